#include "index/symbols.h"

#include <algorithm>

#include "index/day_index_format.h"
#include "skald/codec/varint.h"

namespace skald::index {

Result<std::string> encode_symbols(std::span<const std::string_view> sorted) {
  if (sorted.size() > UINT32_MAX - kSymbolsPerBlock) return Error(ErrorCode::kTooLarge, "index: too many different label names and values");
  std::string data;
  std::vector<std::uint32_t> offsets;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const std::string_view text = sorted[i];
    if (text.size() > kSymbolBytesMax) return Error(ErrorCode::kTooLarge, "index: a label name or value of " + std::to_string(text.size()) + " bytes");
    if (data.size() > UINT32_MAX - 2 * kSymbolBytesMax) return Error(ErrorCode::kTooLarge, "index: more than 4 GiB of label names and values");
    if (i % kSymbolsPerBlock == 0) {
      offsets.push_back(static_cast<std::uint32_t>(data.size()));
      codec::append_varint(data, text.size());
      data += text;
    } else {
      const std::string_view previous = sorted[i - 1];
      const auto shared = static_cast<std::size_t>(std::mismatch(previous.begin(), previous.end(), text.begin(), text.end()).first - previous.begin());
      codec::append_varint(data, shared);
      codec::append_varint(data, text.size() - shared);
      data += text.substr(shared);
    }
  }
  std::string out;
  append_le<std::uint32_t>(out, static_cast<std::uint32_t>(sorted.size()));
  append_le<std::uint32_t>(out, static_cast<std::uint32_t>(offsets.size()));
  offsets.push_back(static_cast<std::uint32_t>(data.size()));
  for (const std::uint32_t offset : offsets) append_le<std::uint32_t>(out, offset);
  return out + data;
}

Result<SymbolView> SymbolView::parse(ByteView section) {
  codec::ByteReader in(section);
  SymbolView view;
  view.count_ = in.fixed<std::uint32_t>();
  view.blocks_ = in.fixed<std::uint32_t>();
  if (!in.ok() || view.blocks_ != (static_cast<std::uint64_t>(view.count_) + kSymbolsPerBlock - 1) / kSymbolsPerBlock) return corrupt_index("symbols: number of blocks");
  view.offsets_ = in.bytes(4ULL * (static_cast<std::uint64_t>(view.blocks_) + 1));
  view.data_ = in.rest();
  if (!in.ok()) return corrupt_index("symbols: truncated block index");
  std::uint32_t previous = 0;
  for (std::uint64_t i = 0; i <= view.blocks_; ++i) {
    const auto offset = load_le<std::uint32_t>(view.offsets_.data() + 4 * i);
    if (offset < previous || offset > view.data_.size() || (i == 0 && offset != 0)) return corrupt_index("symbols: block offsets");
    previous = offset;
  }
  if (previous != view.data_.size()) return corrupt_index("symbols: bytes left over");
  return view;
}

ByteView SymbolView::block_bytes(std::uint32_t block) const {
  const auto begin = load_le<std::uint32_t>(offsets_.data() + 4ULL * block), end = load_le<std::uint32_t>(offsets_.data() + 4ULL * block + 4);
  return data_.substr(begin, end - begin);
}

Result<void> SymbolView::decode_block(std::uint32_t block, std::vector<std::string>& out) const {
  codec::ByteReader in(block_bytes(block));
  const std::uint32_t symbols = std::min(kSymbolsPerBlock, count_ - block * kSymbolsPerBlock);
  out.resize(symbols);
  for (std::uint32_t i = 0; i < symbols; ++i) {
    const std::uint64_t shared = i == 0 ? 0 : in.varint();
    const ByteView rest = in.sized_bytes();
    if (!in.ok() || (i > 0 && shared > out[i - 1].size()) || shared + rest.size() > kSymbolBytesMax) {
      return corrupt_index("symbols: block " + std::to_string(block));
    }
    if (i > 0) out[i].assign(out[i - 1], 0, shared);
    else out[i].clear();
    out[i] += rest;
  }
  if (!in.at_end()) return corrupt_index("symbols: block " + std::to_string(block) + " has bytes left over");
  return {};
}

Result<std::optional<std::uint32_t>> SymbolView::find(std::string_view text) const {
  std::uint32_t low = 0, high = blocks_;   // the last block whose first symbol is <= text
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    codec::ByteReader in(block_bytes(middle));
    const ByteView first = in.sized_bytes();
    if (!in.ok()) return corrupt_index("symbols: block " + std::to_string(middle));
    if (first <= text) low = middle + 1;
    else high = middle;
  }
  if (low == 0) return std::optional<std::uint32_t>();
  std::vector<std::string> block;
  SKALD_TRY_VOID(decode_block(low - 1, block));
  const auto found = std::find(block.begin(), block.end(), text);
  if (found == block.end()) return std::optional<std::uint32_t>();
  return std::optional<std::uint32_t>((low - 1) * kSymbolsPerBlock + static_cast<std::uint32_t>(found - block.begin()));
}

Result<std::string_view> SymbolCursor::text(std::uint32_t symbol) {
  if (symbol >= symbols_.count()) return corrupt_index("symbol " + std::to_string(symbol) + " does not exist");
  const std::uint32_t block = symbol / kSymbolsPerBlock;
  if (loaded_ != block) {
    loaded_ = UINT32_MAX;
    SKALD_TRY_VOID(symbols_.decode_block(block, block_));
    loaded_ = block;
  }
  return std::string_view(block_[symbol % kSymbolsPerBlock]);
}

}  // namespace skald::index
