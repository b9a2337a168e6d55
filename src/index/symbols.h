// Sorted strings, front coded in blocks of 16, with the blocks' offsets in front as a sparse index.
//   u32 symbols, u32 blocks, u32 block offset × (blocks + 1) relative to the data, data
//   in a block: varint length, bytes; then varint shared, varint rest, bytes of the rest
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::index {

// `sorted`: ascending, unique. kTooLarge: more than 4 GiB of text.
Result<std::string> encode_symbols(std::span<const std::string_view> sorted);

// Reads in place. Copyable view.
class SymbolView {
 public:
  SymbolView() = default;
  // Checks counts and block bounds; the texts are checked as they are decoded.
  static Result<SymbolView> parse(ByteView section);

  std::uint32_t count() const { return count_; }
  std::uint32_t blocks() const { return blocks_; }
  // The number of `text`, if it is a symbol.
  Result<std::optional<std::uint32_t>> find(std::string_view text) const;
  // Symbols of one block, in order.
  Result<void> decode_block(std::uint32_t block, std::vector<std::string>& out) const;

 private:
  ByteView block_bytes(std::uint32_t block) const;
  std::uint32_t count_ = 0, blocks_ = 0;
  ByteView offsets_, data_;
};

// Decodes symbols by number; asking for neighbours in a row costs one block. Not thread-safe.
class SymbolCursor {
 public:
  explicit SymbolCursor(const SymbolView& symbols) : symbols_(symbols) {}
  // The view is good until the next call. kCorruption: no such symbol.
  Result<std::string_view> text(std::uint32_t symbol);

 private:
  const SymbolView& symbols_;
  std::vector<std::string> block_;
  std::uint32_t loaded_ = UINT32_MAX;
};

}  // namespace skald::index
