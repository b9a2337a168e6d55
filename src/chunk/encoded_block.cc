#include "chunk/encoded_block.h"

#include <algorithm>

#include "chunk/content_id.h"
#include "chunk/encode.h"
#include "chunk/splice.h"
#include "skald/model/level.h"

namespace skald::chunk {
namespace {

Error bad_input(std::string what) { return Error(ErrorCode::kInvalidArgument, "block of rows: " + std::move(what)); }

// Our callers keep these promises; a broken one must not become a chunk that cannot be read back.
Result<void> check_columns(const Columns& c) {
  if (c.rows == 0) return bad_input("is empty");
  if (c.rows > kBlockRowsLimit) return bad_input("has more than 65536 rows");
  if (c.timestamps_ns.size() != c.rows || c.line_offsets.size() != c.rows + std::size_t{1}) return bad_input("columns differ in length");
  if (!c.levels.empty() && c.levels.size() != c.rows) return bad_input("columns differ in length");
  if (c.line_offsets[0] != 0 || c.line_offsets[c.rows] != c.text_bytes || c.text.size() < c.text_bytes) return bad_input("offsets do not span the text");
  if (c.text_bytes - std::min<std::size_t>(c.text_bytes, c.rows) > kBlockRawBytesMax) return bad_input("holds more than 32 MiB of lines");
  for (std::uint32_t row = 0; row < c.rows; ++row) {
    if (c.line_offsets[row + 1] <= c.line_offsets[row] || c.text[c.line_offsets[row + 1] - 1] != '\n') return bad_input("line without its end");
    if (c.line_offsets[row + 1] - c.line_offsets[row] - 1 > kLineBytesMax) return bad_input("line above 16 MiB");
  }
  for (const std::uint8_t level : c.levels) {
    if (level >= model::kLevelCount) return bad_input("unknown level");
  }
  if (c.metadata.size() * std::uint64_t{c.rows} > kMetadataCellsMax) return bad_input("too many names of structured metadata for its rows");
  if (c.metadata.size() > kMetadataColumnsMax) return bad_input("more than 16384 names of structured metadata");
  for (const MetadataColumn& column : c.metadata) {
    if (column.values.size() != c.rows) return bad_input("columns differ in length");
  }
  return {};
}

}  // namespace

Result<EncodedBlockPtr> EncodedBlock::encode(const Columns& columns, const ChunkOptions& options) {
  SKALD_TRY_VOID(check_columns(columns));
  auto block = std::make_shared<EncodedBlock>();
  const auto [low, high] = std::minmax_element(columns.timestamps_ns.begin(), columns.timestamps_ns.end());
  block->entry.min_ts_ns = *low;
  block->entry.max_ts_ns = *high;
  block->entry.rows = columns.rows;
  block->entry.raw_bytes = static_cast<std::uint32_t>(columns.text_bytes - columns.rows);
  block->sorted = std::is_sorted(columns.timestamps_ns.begin(), columns.timestamps_ns.end());
  block->content_id = compute_content_id(columns);
  block->metadata_bytes = compute_metadata_bytes(columns);
  if (block->metadata_bytes > kMetadataBytesMax) return bad_input("holds more than 256 MiB of structured metadata");
  for (std::uint32_t row = 0; row < columns.rows; ++row) {
    block->longest_line_bytes = std::max(block->longest_line_bytes, columns.line_offsets[row + 1] - columns.line_offsets[row] - 1);
  }
  for (const std::uint8_t level : columns.levels) {
    if (level == 0) continue;
    block->min_level = block->min_level == 0 ? level : std::min(block->min_level, level);
    block->max_level = std::max(block->max_level, level);
  }

  PageWriter writer(options);
  SKALD_TRY(const TimestampsEncoded timestamps, encode_timestamps(columns.timestamps_ns, writer, block->hot));
  block->entry.ts_scale = timestamps.scale;
  block->entry.ts_encoding = timestamps.encoding;
  SKALD_TRY_VOID(encode_levels(columns.levels, writer, block->hot));

  BlockData data;
  TableEntry lines;
  lines.kind = kColLines;
  lines.encoding = kEncStrings;
  lines.class_mask = kAllTokenClasses;
  lines.distinct = 0xFFFF;
  const ByteView text = ByteView(columns.text).substr(0, columns.text_bytes);
  // Text, lengths and what is spliced into the text lie together, the other metadata behind: both kinds of plan read one
  // range without the other's bytes.
  const std::optional<Splice> splice = splice_lines(columns);
  if (splice) {
    lines.encoding = kEncSpliced;
    lines.ref = 0;
    lines.min = splice->marker;
    SKALD_TRY_VOID(append_page(data, writer, lines, splice->text));
  } else {
    SKALD_TRY_VOID(append_page(data, writer, lines, text));
  }
  SKALD_TRY_VOID(encode_line_lengths(columns.line_offsets, writer, data));
  if (splice) SKALD_TRY_VOID(encode_metadata(columns.metadata[splice->column], writer, data));
  for (std::size_t i = 0; i < columns.metadata.size(); ++i) {
    if (!splice || i != splice->column) SKALD_TRY_VOID(encode_metadata(columns.metadata[i], writer, data));
  }
  SKALD_TRY_VOID(append_table(block->table, data.table, block->entry.table_crc));
  block->names = data.table.symbols;
  block->data = std::move(data.data);
  block->data.shrink_to_fit();
  block->hot.shrink_to_fit();
  block->entry.hot_length = static_cast<std::uint32_t>(block->hot.size());
  block->entry.table_length = static_cast<std::uint32_t>(block->table.size());
  block->entry.data_length = static_cast<std::uint32_t>(block->data.size());
  block->parsed_table_ = std::move(data.table);
  return EncodedBlockPtr(std::move(block));
}

Result<std::shared_ptr<const Columns>> EncodedBlock::load(ColumnMask need, const CallContext& ctx) const {
  SKALD_TRY_VOID(ctx.check());
  return decoded_.load(complete_mask(need), [&](ColumnMask mask) -> Result<std::shared_ptr<const Columns>> {
    auto columns = std::make_shared<Columns>();
    SKALD_TRY_VOID(decode_hot(entry, hot, mask, *columns));
    const DataRange range = pages_needed(parsed_table_, mask);
    SKALD_TRY_VOID(decode_data(entry, parsed_table_, ByteView(data).substr(range.begin, range.end - range.begin), range, mask, *columns));
    return std::shared_ptr<const Columns>(std::move(columns));
  });
}

Result<EncodedBlockPtr> encode_block(const Columns& columns, const ChunkOptions& options) { return EncodedBlock::encode(columns, options); }
std::shared_ptr<const Block> as_block(EncodedBlockPtr block) { return block; }
std::uint64_t memory_bytes(const EncodedBlock& block) {
  return sizeof(EncodedBlock) + block.hot.capacity() + block.table.capacity() + block.data.capacity();
}
std::uint64_t content_id(const EncodedBlock& block) { return block.content_id; }

}  // namespace skald::chunk
