// Columns of one block → pages. Each function picks the smallest of the encodings docs/formats/chunk.md allows.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chunk/layout.h"
#include "skald/chunk/block.h"
#include "skald/chunk/builder.h"

namespace skald::chunk {

// Compresses pages with the chunk's codec and keeps those raw that do not shrink.
class PageWriter {
 public:
  explicit PageWriter(const ChunkOptions& options)
      : compression_(to_compression(options.codec)), level_(options.codec == Codec::kZstd ? options.zstd_level : 0) {}

  // The stored form of `raw`: what it returns views `raw` or a buffer of this object that the next call overwrites.
  struct Stored {
    ByteView bytes;
    codec::Compression compression = codec::Compression::kNone;
  };
  Result<Stored> pack(ByteView raw, unsigned least_saving_percent = 3);

 private:
  codec::Compression compression_;
  int level_;
  Bytes scratch_;
};

// Pages of a block's cold part and the table that describes them.
struct BlockData {
  Bytes data;
  ColumnTable table;
};
Result<void> append_page(BlockData& block, PageWriter& writer, TableEntry entry, ByteView raw, unsigned least_saving_percent = 3);

struct TimestampsEncoded {
  std::uint8_t scale = 0;      // power of ten of the unit in ns
  std::uint8_t encoding = 0;
};
Result<TimestampsEncoded> encode_timestamps(std::span<const std::int64_t> timestamps_ns, PageWriter& writer, Bytes& hot);
// Nothing when no row has a level.
Result<void> encode_levels(std::span<const std::uint8_t> levels, PageWriter& writer, Bytes& hot);
Result<void> encode_line_lengths(std::span<const std::uint32_t> offsets, PageWriter& writer, BlockData& block);
Result<void> encode_metadata(const MetadataColumn& column, PageWriter& writer, BlockData& block);

// Appends `width` byte planes: all lowest bytes, then all second lowest, …
void append_planes(std::span<const std::uint64_t> values, unsigned width, Bytes& out);

}  // namespace skald::chunk
