#include "skald/chunk/builder.h"

#include <algorithm>
#include <set>

#include "chunk/encoded_block.h"
#include "chunk/row_appender.h"
#include "chunk/sketch.h"
#include "skald/codec/crc32c.h"

namespace skald::chunk {
namespace {

constexpr std::uint64_t kBlockRawBytesAsIs = 4 << 20;   // larger blocks are cut anew

Error bad_input(std::string what) { return Error(ErrorCode::kInvalidArgument, "chunk: " + std::move(what)); }

std::uint16_t to_kib_saturating(std::uint64_t bytes) { return static_cast<std::uint16_t>(std::min<std::uint64_t>((bytes + 1023) / 1024, 0xFFFF)); }

struct Sums {
  std::uint64_t rows = 0, raw_bytes = 0, stored_bytes = 0;
};

// Everything but the sketch.
Result<BuiltChunk> assemble(ChunkKind kind, std::uint64_t stream_hash, std::vector<GroupMember> members,
                            std::span<const EncodedBlockPtr> blocks, const ChunkOptions& options) {
  if (blocks.empty()) return bad_input("has no rows");
  if (blocks.size() > kBlocksLimit) return bad_input("more than 65536 blocks");
  ChunkHeader header;
  header.kind = kind;
  header.codec = options.codec;
  header.flags = kFlagSorted;
  header.stream_hash = stream_hash;
  header.min_ts_ns = blocks[0]->entry.min_ts_ns;
  header.max_ts_ns = blocks[0]->entry.max_ts_ns;
  header.blocks = static_cast<std::uint32_t>(blocks.size());
  header.streams = kind == kGroup ? static_cast<std::uint32_t>(members.size()) : 1;
  header.writer = options.writer;
  header.created_ns = options.created_ns;
  std::set<std::string_view> names;
  Sums sums;
  std::uint64_t metadata_bytes = 0;
  std::uint64_t longest_line = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const EncodedBlock& block = *blocks[i];
    header.min_ts_ns = std::min(header.min_ts_ns, block.entry.min_ts_ns);
    header.max_ts_ns = std::max(header.max_ts_ns, block.entry.max_ts_ns);
    header.content_id += block.content_id;
    sums.rows += block.entry.rows;
    sums.raw_bytes += block.entry.raw_bytes;
    sums.stored_bytes += block.hot.size() + block.table.size() + block.data.size();
    metadata_bytes += block.metadata_bytes;
    longest_line = std::max<std::uint64_t>(longest_line, block.longest_line_bytes);
    names.insert(block.names.begin(), block.names.end());
    if (block.max_level != 0) {
      header.flags |= kFlagLevels;
      header.min_level = header.min_level == 0 ? block.min_level : std::min(header.min_level, block.min_level);
      header.max_level = std::max(header.max_level, block.max_level);
    }
    // In a group the order is by (stream, time), which its builder keeps.
    const bool sorted = kind == kGroup || (block.sorted && (i == 0 || blocks[i - 1]->entry.max_ts_ns <= block.entry.min_ts_ns));
    if (!sorted) header.flags &= static_cast<std::uint8_t>(~kFlagSorted);
  }
  if (time_shard_start(header.min_ts_ns) != time_shard_start(header.max_ts_ns)) return bad_input("rows cross the edge of a time shard");
  Bytes runs;
  if (kind == kGroup) append_runs(runs, members, header.min_ts_ns);
  const std::uint64_t length = kChunkHeaderBytes + directory_bytes(blocks.size()) + runs.size() + sums.stored_bytes + kFooterBytes;
  if (sums.rows > kChunkRowsMax || sums.raw_bytes > kChunkRawBytesMax || metadata_bytes > kMetadataBytesMax || length > kChunkBytesMax) {
    return bad_input("is too large: " + std::to_string(sums.rows) + " rows, " + std::to_string(sums.raw_bytes) + " bytes raw, " +
                     std::to_string(length) + " stored (at most 64 MiB stored, 256 MiB raw)");
  }
  if (!names.empty()) header.flags |= kFlagMetadata;
  header.metadata_columns = static_cast<std::uint16_t>(std::min<std::size_t>(names.size(), 0xFFFF));
  header.rows = static_cast<std::uint32_t>(sums.rows);
  header.raw_bytes = sums.raw_bytes;
  header.metadata_bytes = static_cast<std::uint32_t>(metadata_bytes);
  header.longest_line_kib = to_kib_saturating(longest_line);
  header.length = static_cast<std::uint32_t>(length);

  std::vector<BlockEntry> entries;
  std::uint64_t at = kChunkHeaderBytes + directory_bytes(blocks.size()) + runs.size();
  std::uint32_t first_row = 0;
  for (const EncodedBlockPtr& block : blocks) {
    BlockEntry entry = block->entry;
    entry.first_row = first_row;
    entry.hot_offset = static_cast<std::uint32_t>(at);
    at += entry.hot_length;
    first_row += entry.rows;
    entries.push_back(entry);
  }
  header.hot_length = static_cast<std::uint32_t>(at);
  for (BlockEntry& entry : entries) {
    entry.table_offset = static_cast<std::uint32_t>(at);
    at += entry.table_length;
  }
  for (BlockEntry& entry : entries) {
    entry.data_offset = static_cast<std::uint32_t>(at);
    at += entry.data_length;
  }

  BuiltChunk chunk;
  Bytes& out = chunk.bytes;
  out.reserve(length);
  append_header(out, header);
  const std::size_t directory_begin = out.size();
  for (const BlockEntry& entry : entries) append_block_entry(out, entry);
  append_le(out, codec::crc32c(ByteView(out).substr(directory_begin)));
  out += runs;
  for (const EncodedBlockPtr& block : blocks) out += block->hot;
  for (const EncodedBlockPtr& block : blocks) out += block->table;
  for (const EncodedBlockPtr& block : blocks) out += block->data;
  append_footer(out, {header.stream_hash, header.content_id, header.rows, header.length, codec::crc32c(out)});
  SKALD_CHECK(out.size() == length);

  ChunkMeta& meta = chunk.meta;
  meta.group = kind == kGroup;
  meta.stream_hash = header.stream_hash;
  meta.content_id = header.content_id;
  meta.min_ts_ns = header.min_ts_ns;
  meta.max_ts_ns = header.max_ts_ns;
  meta.rows = header.rows;
  meta.raw_bytes = header.raw_bytes;
  meta.length = header.length;
  meta.hot_length = header.hot_length;
  meta.members = std::move(members);
  return chunk;
}

Result<void> encode_taken(RowAppender& appender, const ChunkOptions& options, std::vector<EncodedBlockPtr>& blocks) {
  const Columns columns = appender.take();
  SKALD_TRY(EncodedBlockPtr block, encode_block(columns, options));
  blocks.push_back(std::move(block));
  return {};
}

// Appends all rows of `source`, encoding blocks as they fill.
Result<void> append_rows(const Columns& source, const ChunkOptions& options, RowAppender& appender, std::vector<EncodedBlockPtr>& blocks) {
  for (std::uint32_t row = 0; row < source.rows;) {
    const std::uint32_t end = appender.fit(source, row, source.rows);
    if (end > row) appender.append(source, row, end);
    if (end < source.rows) SKALD_TRY_VOID(encode_taken(appender, options, blocks));
    row = end;
  }
  return {};
}

Result<void> check_spans(const Columns& c) {
  if (c.timestamps_ns.size() != c.rows || c.line_offsets.size() != c.rows + std::size_t{1} || (!c.levels.empty() && c.levels.size() != c.rows) ||
      !std::is_sorted(c.line_offsets.begin(), c.line_offsets.end()) || c.line_offsets.back() > c.text.size()) {
    return bad_input("columns differ in length");
  }
  for (const MetadataColumn& column : c.metadata) {
    if (column.values.size() != c.rows) return bad_input("columns differ in length");
  }
  return {};
}

}  // namespace

Result<Codec> codec_from_name(std::string_view name) {
  if (name == "none") return Codec::kNone;
  if (name == "gzip" || name == "flate") return Codec::kGzip;
  if (name == "snappy") return Codec::kSnappy;
  if (name == "lz4" || name == "lz4-64k" || name == "lz4-256k" || name == "lz4-1M") return Codec::kLz4;
  if (name == "zstd") return Codec::kZstd;
  return Error(ErrorCode::kInvalidArgument, "invalid encoding: " + std::string(name) +
                                                ", supported: none, gzip, lz4-64k, snappy, lz4-256k, lz4-1M, lz4, flate, zstd");
}

Result<BuiltChunk> assemble_chunk(const model::InternedLabels& labels, std::span<const EncodedBlockPtr> blocks, const ChunkOptions& options) {
  SKALD_TRY(BuiltChunk chunk, assemble(kSingleStream, labels.hash, {}, blocks, options));
  SketchBuilder sketch(chunk.meta.min_ts_ns, chunk.meta.max_ts_ns);
  for (const EncodedBlockPtr& block : blocks) {
    SKALD_TRY(const std::shared_ptr<const Columns> columns, block->load(kTimestamps | kLevels | kLineLengths, CallContext()));
    sketch.add(*columns);
  }
  chunk.meta.sketch = sketch.finish();
  return chunk;
}

Result<BuiltChunk> build_chunk(const model::InternedLabels& labels, std::span<const std::shared_ptr<const Columns>> blocks,
                               const ChunkOptions& options) {
  std::vector<EncodedBlockPtr> encoded;
  for (const std::shared_ptr<const Columns>& columns : blocks) {
    if (columns->rows == 0) continue;
    SKALD_TRY_VOID(check_spans(*columns));
    if (columns->rows <= kBlockRowsMax && columns->text_bytes <= kBlockRawBytesAsIs) {
      SKALD_TRY(EncodedBlockPtr block, encode_block(*columns, options));
      encoded.push_back(std::move(block));
      continue;
    }
    RowAppender appender;
    SKALD_TRY_VOID(append_rows(*columns, options, appender, encoded));
    if (!appender.empty()) SKALD_TRY_VOID(encode_taken(appender, options, encoded));
  }
  SKALD_TRY(BuiltChunk chunk, assemble(kSingleStream, labels.hash, {}, encoded, options));
  SketchBuilder sketch(chunk.meta.min_ts_ns, chunk.meta.max_ts_ns);
  for (const std::shared_ptr<const Columns>& columns : blocks) sketch.add(*columns);
  chunk.meta.sketch = sketch.finish();
  return chunk;
}

Result<BuiltChunk> build_group_chunk(std::vector<StreamRows> streams, const ChunkOptions& options) {
  std::erase_if(streams, [](const StreamRows& s) { return s.rows->rows == 0; });
  std::sort(streams.begin(), streams.end(), [](const StreamRows& a, const StreamRows& b) { return a.labels->hash < b.labels->hash; });
  std::vector<GroupMember> members;
  std::vector<Sketch> sketches;
  std::vector<EncodedBlockPtr> encoded;
  RowAppender appender;
  std::uint64_t row = 0;
  for (const StreamRows& stream : streams) {
    const Columns& rows = *stream.rows;
    SKALD_TRY_VOID(check_spans(rows));
    if (!members.empty() && members.back().stream_hash == stream.labels->hash) return bad_input("a stream appears twice in a group");
    const auto [low, high] = std::minmax_element(rows.timestamps_ns.begin(), rows.timestamps_ns.end());
    members.push_back({.stream_hash = stream.labels->hash,
                       .first_row = static_cast<std::uint32_t>(row),
                       .rows = rows.rows,
                       .min_ts_ns = *low,
                       .max_ts_ns = *high,
                       .raw_bytes = rows.text_bytes - rows.rows});
    if (rows.rows >= kMemberSketchRowsMin) {
      SketchBuilder sketch(*low, *high, kMemberSketchBucketsMax);
      sketch.add(rows);
      sketches.resize(members.size());
      sketches.back() = sketch.finish();
    }
    row += rows.rows;
    if (row > kChunkRowsMax) return bad_input("too many rows in a group");
    SKALD_TRY_VOID(append_rows(rows, options, appender, encoded));
  }
  if (!appender.empty()) SKALD_TRY_VOID(encode_taken(appender, options, encoded));
  const std::uint64_t hash = compute_group_hash(members);
  SKALD_TRY(BuiltChunk chunk, assemble(kGroup, hash, std::move(members), encoded, options));
  if (!sketches.empty()) sketches.resize(chunk.meta.members.size());
  chunk.meta.member_sketches = std::move(sketches);
  return chunk;
}

}  // namespace skald::chunk
