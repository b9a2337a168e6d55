#include "chunk/decode.h"

#include <algorithm>

#include "chunk/decode_metadata.h"
#include "chunk/page_reader.h"
#include "chunk/splice.h"
#include "skald/codec/bitpack.h"
#include "skald/codec/varint.h"
#include "skald/model/level.h"

namespace skald::chunk {
namespace {

using codec::ByteReader;

Result<std::int64_t> unit_of(std::uint8_t scale) {
  switch (scale) {
    case 0: return 1;
    case 3: return 1'000;
    case 6: return 1'000'000;
    case 9: return 1'000'000'000;
    default: return corrupt("timestamps: unknown scale " + std::to_string(scale));
  }
}

// Width-byte planes of `count` values at `planes`.
std::uint64_t from_planes(const char* planes, std::size_t count, unsigned width, std::size_t i) {
  std::uint64_t value = 0;
  for (unsigned plane = 0; plane < width; ++plane) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(planes[plane * count + i])) << (8 * plane);
  }
  return value;
}

Result<void> decode_timestamps(const BlockEntry& block, const HotPage& page, std::vector<std::int64_t>& out) {
  if (page.encoding != block.ts_encoding) return corrupt("timestamps: encoding differs from the directory");
  SKALD_TRY(const std::int64_t unit, unit_of(block.ts_scale));
  const std::size_t count = block.rows - 1;
  SKALD_TRY(const Page raw, open_page(page.codec, page.stored, page.raw, codec::bitpack_bytes_max(block.rows) + 64));
  ByteReader in(raw.bytes());
  std::vector<std::int64_t>& ts = out;
  ts.resize(block.rows);
  ts[0] = in.zigzag();
  const std::span<std::int64_t> deltas = std::span(ts).subspan(1);
  switch (page.encoding) {
    case kEncConst: {
      std::fill(deltas.begin(), deltas.end(), in.zigzag());
      if (!in.at_end()) return corrupt("timestamps: size");
      break;
    }
    case kEncDelta:
      if (!in.ok() || !codec::bitpack_read<std::int64_t>(in.rest(), deltas)) return corrupt("timestamps: packed deltas");
      break;
    case kEncPlanes: {
      const auto base = static_cast<std::uint64_t>(in.zigzag());
      const unsigned width = in.fixed<std::uint8_t>();
      if (!in.ok() || width < 1 || width > 8 || in.remaining() != count * width) return corrupt("timestamps: planes");
      const ByteView planes = in.rest();
      for (std::size_t i = 0; i < count; ++i) {
        deltas[i] = static_cast<std::int64_t>(base + from_planes(planes.data(), count, width, i));
      }
      break;
    }
    default:
      return Error(ErrorCode::kUnimplemented, "chunk: timestamps: encoding " + std::to_string(page.encoding) + " is not known to this release");
  }
  // Sums and products wrap as unsigned: nonsense ends outside the block's time range, which is checked.
  auto sum = static_cast<std::uint64_t>(ts[0]);
  const auto scale = static_cast<std::uint64_t>(unit);
  ts[0] = static_cast<std::int64_t>(sum * scale);
  std::int64_t low = ts[0];
  std::int64_t high = ts[0];
  for (std::int64_t& delta : deltas) {
    sum += static_cast<std::uint64_t>(delta);
    delta = static_cast<std::int64_t>(sum * scale);
    low = std::min(low, delta);
    high = std::max(high, delta);
  }
  if (low != block.min_ts_ns || high != block.max_ts_ns) return corrupt("timestamps: outside the block's time range");
  return {};
}

Result<void> decode_levels(const BlockEntry& block, const HotPage& page, std::vector<std::uint8_t>& out) {
  SKALD_TRY(const Page raw, open_page(page.codec, page.stored, page.raw, codec::bitpack_bytes_max(block.rows)));
  out.resize(block.rows);
  ByteReader in(raw.bytes());
  switch (page.encoding) {
    case kEncConst: {
      std::fill(out.begin(), out.end(), in.fixed<std::uint8_t>());
      if (!in.at_end()) return corrupt("levels: size");
      break;
    }
    case kEncRuns: {
      std::size_t row = 0;
      while (in.remaining() > 0) {
        const auto level = in.fixed<std::uint8_t>();
        const std::uint64_t count = in.varint();
        if (!in.ok() || count > block.rows - row) return corrupt("levels: runs");
        std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(row), count, level);
        row += count;
      }
      if (row != block.rows) return corrupt("levels: runs");
      break;
    }
    case kEncBitpack:
      if (!codec::bitpack_read<std::uint8_t>(in.rest(), out)) return corrupt("levels: packed");
      break;
    default:
      return Error(ErrorCode::kUnimplemented, "chunk: levels: encoding " + std::to_string(page.encoding) + " is not known to this release");
  }
  if (std::any_of(out.begin(), out.end(), [](std::uint8_t level) { return level >= model::kLevelCount; })) {
    return corrupt("levels: unknown level");
  }
  return {};
}

Result<void> decode_line_lengths(const BlockEntry& block, const TableEntry& entry, ByteView stored, Columns& columns) {
  SKALD_TRY(const Page raw, open_page(entry, stored, codec::bitpack_bytes_max(block.rows) + 16));
  std::vector<std::uint32_t>& offsets = columns.line_offsets;
  offsets.resize(block.rows + std::size_t{1});
  const std::span<std::uint32_t> lengths(offsets.data() + 1, block.rows);
  ByteReader in(raw.bytes());
  switch (entry.encoding) {
    case kEncConst: {
      std::fill(lengths.begin(), lengths.end(), static_cast<std::uint32_t>(in.varint()));
      if (!in.at_end()) return corrupt("line lengths: size");
      break;
    }
    case kEncBitpack:
      if (!codec::bitpack_read<std::uint32_t>(in.rest(), lengths)) return corrupt("line lengths: packed");
      break;
    case kEncPlanes: {
      const auto base = static_cast<std::uint64_t>(in.zigzag());
      const unsigned width = in.fixed<std::uint8_t>();
      if (!in.ok() || width < 1 || width > 4 || in.remaining() != std::uint64_t{block.rows} * width) return corrupt("line lengths: planes");
      const ByteView planes = in.rest();
      for (std::size_t i = 0; i < lengths.size(); ++i) {
        lengths[i] = static_cast<std::uint32_t>(base + from_planes(planes.data(), lengths.size(), width, i));
      }
      break;
    }
    default:
      return Error(ErrorCode::kUnimplemented, "chunk: line lengths: encoding " + std::to_string(entry.encoding) + " is not known to this release");
  }
  std::uint64_t sum = 0;
  offsets[0] = 0;
  const std::uint64_t text_bytes = std::uint64_t{block.raw_bytes} + block.rows;
  for (std::uint32_t& slot : lengths) {
    sum += std::uint64_t{slot} + 1;
    if (sum > text_bytes) return corrupt("line lengths: more than the block holds");
    slot = static_cast<std::uint32_t>(sum);
  }
  if (sum != text_bytes) return corrupt("line lengths: less than the block holds");
  return {};
}

constexpr std::uint32_t kNoSplice = ~0U;

// The metadata column that lines need to be whole.
std::uint32_t splice_ref(const ColumnTable& table, ColumnMask need) {
  if ((need & kLines) == 0) return kNoSplice;
  for (const TableEntry& entry : table.entries) {
    if (entry.kind == kColLines && entry.encoding == kEncSpliced) return entry.ref;
  }
  return kNoSplice;
}

bool wanted(const TableEntry& entry, ColumnMask need, std::uint32_t splice) {
  switch (entry.kind) {
    case kColLineLengths: return (need & (kLineLengths | kLines)) != 0;
    case kColLines: return (need & kLines) != 0;
    case kColMetadata:
    case kColPresence: return (need & kMetadata) != 0 || entry.ref == splice;
    default: return false;   // a column of a later release that nothing here asks for
  }
}

Result<void> decode_lines(const BlockEntry& block, const TableEntry& entry, ByteView stored, const MetadataColumn* spliced, Columns& columns) {
  const std::uint64_t text_bytes = std::uint64_t{block.raw_bytes} + block.rows;
  columns.text_bytes = text_bytes;
  SKALD_TRY_VOID(check_page(entry, stored));
  const auto compression = static_cast<codec::Compression>(entry.codec);
  if (entry.encoding == kEncStrings) {
    if (entry.raw != text_bytes) return corrupt("lines: raw size differs from the block's");
    SKALD_TRY(columns.text, codec::decompress_exact(compression, stored, text_bytes));
    return {};
  }
  if (entry.encoding != kEncSpliced) {
    return Error(ErrorCode::kUnimplemented, "chunk: lines: encoding " + std::to_string(entry.encoding) + " is not known to this release");
  }
  if (spliced == nullptr) return corrupt("lines: the column they need is missing");
  if (entry.raw > text_bytes) return corrupt("lines: raw size above the block's");
  SKALD_TRY(const Page page, open_page(entry.codec, stored, entry.raw, text_bytes));
  if (!unsplice_lines(page.bytes(), static_cast<char>(entry.min), *spliced, columns)) return corrupt("lines: markers do not fit the values");
  return {};
}

}  // namespace

Result<void> check_block_encoding(const BlockEntry& block) {
  if (block.encoding == kBlockPlain) return {};
  return Error(ErrorCode::kUnimplemented, "chunk: block encoding " + std::to_string(block.encoding) +
                                              " is not known to this release; read it with the release that wrote it");
}

Result<void> decode_hot(const BlockEntry& block, ByteView hot, ColumnMask need, Columns& columns) {
  SKALD_TRY(const std::vector<HotPage> pages, read_hot_pages(hot));
  bool has_timestamps = false;
  columns.rows = block.rows;
  for (const HotPage& page : pages) {
    if (page.kind == kColTimestamps) {
      SKALD_TRY_VOID(decode_timestamps(block, page, columns.timestamps_ns));
      has_timestamps = true;
    } else if (page.kind == kColLevel && (need & kLevels) != 0) {
      SKALD_TRY_VOID(decode_levels(block, page, columns.levels));
    }
  }
  if (!has_timestamps) return corrupt("timestamps: missing");
  return {};
}

DataRange pages_needed(const ColumnTable& table, ColumnMask need) {
  DataRange range;
  const std::uint32_t splice = splice_ref(table, need);
  for (const TableEntry& entry : table.entries) {
    if (!wanted(entry, need, splice) || entry.stored == 0) continue;
    if (range.begin == range.end) range = {entry.offset, entry.offset};
    range.begin = std::min(range.begin, entry.offset);
    range.end = std::max(range.end, entry.offset + entry.stored);
  }
  return range;
}

Result<void> decode_data(const BlockEntry& block, const ColumnTable& table, ByteView bytes, DataRange range, ColumnMask need,
                         Columns& columns) {
  SKALD_TRY_VOID(check_block_encoding(block));
  if (bytes.size() < range.end - range.begin) return corrupt("block data: truncated");
  bool has_lengths = false;
  const TableEntry* lines = nullptr;
  const std::uint32_t splice = splice_ref(table, need);
  MetadataDecoder metadata(block);
  Columns only_spliced;   // when the plan does not want metadata itself
  Columns& target = (need & kMetadata) != 0 ? columns : only_spliced;
  const MetadataColumn* spliced = nullptr;
  const auto stored_of = [&](const TableEntry& entry) {
    return entry.stored == 0 ? ByteView{} : bytes.substr(entry.offset - range.begin, entry.stored);
  };
  target.metadata.reserve(table.entries.size());   // `spliced` points into it
  for (const TableEntry& entry : table.entries) {
    if (!wanted(entry, need, splice)) continue;
    switch (entry.kind) {
      case kColLineLengths:
        SKALD_TRY_VOID(decode_line_lengths(block, entry, stored_of(entry), columns));
        has_lengths = true;
        break;
      case kColLines: lines = &entry; break;   // last: they need the lengths and perhaps a value per row
      case kColPresence: SKALD_TRY_VOID(metadata.add_presence(entry, stored_of(entry))); break;
      case kColMetadata:
        SKALD_TRY_VOID(metadata.add_values(entry, table.symbols[entry.ref], stored_of(entry), target));
        if (entry.ref == splice) spliced = &target.metadata.back();
        break;
      default: break;
    }
  }
  if ((need & (kLineLengths | kLines)) != 0 && !has_lengths) return corrupt("line lengths: missing");
  if ((need & kLines) != 0) {
    if (lines == nullptr) return corrupt("lines: missing");
    SKALD_TRY_VOID(decode_lines(block, *lines, stored_of(*lines), spliced, columns));
  }
  return {};
}

}  // namespace skald::chunk
