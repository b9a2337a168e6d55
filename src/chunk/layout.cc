#include "chunk/layout.h"

#include <algorithm>

#include "skald/codec/crc32c.h"
#include "skald/codec/hash.h"
#include "skald/codec/varint.h"

namespace skald::chunk {

using codec::ByteReader;
using codec::append_varint;
using codec::crc32c;

codec::Compression to_compression(Codec codec) { return static_cast<codec::Compression>(codec); }

void append_header(Bytes& out, const ChunkHeader& h) {
  const std::size_t begin = out.size();
  append_le(out, kChunkMagic);
  append_le(out, kChunkVersion);
  append_le(out, static_cast<std::uint8_t>(h.kind));
  append_le(out, static_cast<std::uint8_t>(h.codec));
  append_le(out, h.flags);
  append_le(out, h.stream_hash);
  append_le(out, h.min_ts_ns);
  append_le(out, h.max_ts_ns);
  append_le(out, h.content_id);
  append_le(out, h.raw_bytes);
  append_le(out, h.rows);
  append_le(out, h.blocks);
  append_le(out, h.streams);
  append_le(out, h.metadata_bytes);
  append_le(out, h.hot_length);
  out.append(12, '\0');                 // template dictionary: offset, stored, raw
  append_le(out, h.length);
  out.append(4, '\0');                  // object dictionaries
  append_le(out, h.token_lengths);
  append_le(out, h.token_classes);
  append_le(out, h.longest_line_kib);
  append_le(out, h.min_level);
  append_le(out, h.max_level);
  append_le(out, h.metadata_columns);
  append_le(out, h.writer);
  append_le(out, h.created_ns);
  append_le(out, std::uint32_t{0});
  append_le(out, crc32c(ByteView(out).substr(begin)));
  SKALD_CHECK(out.size() - begin == kChunkHeaderBytes);
}

Result<ChunkHeader> read_header(ByteView bytes) {
  if (bytes.size() < kChunkHeaderBytes) return corrupt("header: truncated");
  bytes = bytes.substr(0, kChunkHeaderBytes);
  if (load_le<std::uint32_t>(bytes.data()) != kChunkMagic) return corrupt("header: wrong magic");
  if (load_le<std::uint32_t>(bytes.data() + 124) != crc32c(bytes.substr(0, 124))) return corrupt("header: checksum mismatch");
  ByteReader in(bytes.substr(4));
  const auto version = in.fixed<std::uint8_t>();
  if (version != kChunkVersion) {
    return Error(ErrorCode::kUnimplemented, "chunk: format version " + std::to_string(version) + " is not known to this release");
  }
  ChunkHeader h;
  const auto kind = in.fixed<std::uint8_t>();
  if (kind != kSingleStream && kind != kGroup) return Error(ErrorCode::kUnimplemented, "chunk: kind " + std::to_string(kind) + " is not known to this release");
  h.kind = static_cast<ChunkKind>(kind);
  const auto codec = in.fixed<std::uint8_t>();
  if (codec > static_cast<std::uint8_t>(Codec::kZstd)) return Error(ErrorCode::kUnimplemented, "chunk: codec " + std::to_string(codec) + " is not known to this release");
  h.codec = static_cast<Codec>(codec);
  h.flags = in.fixed<std::uint8_t>();
  constexpr std::uint8_t kUnderstood = kFlagSorted | kFlagMetadata | kFlagLevels | kFlagTemplates;
  if ((h.flags & ~kUnderstood) != 0) return Error(ErrorCode::kUnimplemented, "chunk: needs features not known to this release (flags " + std::to_string(h.flags) + ")");
  h.stream_hash = in.fixed<std::uint64_t>();
  h.min_ts_ns = in.fixed<std::int64_t>();
  h.max_ts_ns = in.fixed<std::int64_t>();
  h.content_id = in.fixed<std::uint64_t>();
  h.raw_bytes = in.fixed<std::uint64_t>();
  h.rows = in.fixed<std::uint32_t>();
  h.blocks = in.fixed<std::uint32_t>();
  h.streams = in.fixed<std::uint32_t>();
  h.metadata_bytes = in.fixed<std::uint32_t>();
  h.hot_length = in.fixed<std::uint32_t>();
  in.bytes(12);
  h.length = in.fixed<std::uint32_t>();
  in.bytes(4);
  h.token_lengths = in.fixed<std::uint64_t>();
  h.token_classes = in.fixed<std::uint16_t>();
  h.longest_line_kib = in.fixed<std::uint16_t>();
  h.min_level = in.fixed<std::uint8_t>();
  h.max_level = in.fixed<std::uint8_t>();
  h.metadata_columns = in.fixed<std::uint16_t>();
  h.writer = in.fixed<std::uint64_t>();
  h.created_ns = in.fixed<std::int64_t>();

  if (h.min_ts_ns > h.max_ts_ns) return corrupt("header: time range is reversed");
  if (h.length > kChunkBytesMax) return corrupt("header: length " + std::to_string(h.length) + " above 64 MiB");
  if (h.raw_bytes > kChunkRawBytesMax) return corrupt("header: raw size above 256 MiB");
  if (h.metadata_bytes > kMetadataBytesMax) return corrupt("header: structured metadata above 256 MiB");
  if (h.rows == 0 || h.rows > kChunkRowsMax) return corrupt("header: row count out of range");
  if (h.blocks == 0 || h.blocks > kBlocksLimit || h.blocks > h.rows) return corrupt("header: block count out of range");
  if (h.streams == 0 || h.streams > h.rows || (h.kind == kSingleStream && h.streams != 1)) return corrupt("header: stream count out of range");
  if (h.hot_length < kChunkHeaderBytes + directory_bytes(h.blocks) || h.length < h.hot_length + kFooterBytes) {
    return corrupt("header: lengths do not hold the directory");
  }
  return h;
}

void append_block_entry(Bytes& out, const BlockEntry& e) {
  append_le(out, e.min_ts_ns);
  append_le(out, e.max_ts_ns);
  append_le(out, e.rows);
  append_le(out, e.first_row);
  append_le(out, e.raw_bytes);
  append_le(out, e.table_offset);
  append_le(out, e.table_length);
  append_le(out, e.data_offset);
  append_le(out, e.data_length);
  append_le(out, e.hot_offset);
  append_le(out, e.hot_length);
  append_le(out, e.encoding);
  append_le(out, e.ts_scale);
  append_le(out, e.ts_encoding);
  append_le(out, e.flags);
  append_le(out, e.table_crc);
  append_le(out, std::uint32_t{0});
}

Result<std::vector<BlockEntry>> read_directory(ByteView bytes, const ChunkHeader& header) {
  const std::size_t size = directory_bytes(header.blocks);
  if (bytes.size() < size) return corrupt("block directory: truncated");
  if (load_le<std::uint32_t>(bytes.data() + size - 4) != crc32c(bytes.substr(0, size - 4))) {
    return corrupt("block directory: checksum mismatch");
  }
  ByteReader in(bytes.substr(0, size - 4));
  std::vector<BlockEntry> entries(header.blocks);
  // Hot parts, tables and data each lie in block order, without overlap.
  std::uint64_t hot_end = kChunkHeaderBytes + size;
  std::uint64_t table_end = header.hot_length;
  std::uint64_t rows = 0;
  std::uint64_t raw_bytes = 0;
  for (BlockEntry& e : entries) {
    e.min_ts_ns = in.fixed<std::int64_t>();
    e.max_ts_ns = in.fixed<std::int64_t>();
    e.rows = in.fixed<std::uint32_t>();
    e.first_row = in.fixed<std::uint32_t>();
    e.raw_bytes = in.fixed<std::uint32_t>();
    e.table_offset = in.fixed<std::uint32_t>();
    e.table_length = in.fixed<std::uint32_t>();
    e.data_offset = in.fixed<std::uint32_t>();
    e.data_length = in.fixed<std::uint32_t>();
    e.hot_offset = in.fixed<std::uint32_t>();
    e.hot_length = in.fixed<std::uint32_t>();
    e.encoding = in.fixed<std::uint8_t>();
    e.ts_scale = in.fixed<std::uint8_t>();
    e.ts_encoding = in.fixed<std::uint8_t>();
    e.flags = in.fixed<std::uint8_t>();
    e.table_crc = in.fixed<std::uint32_t>();
    in.bytes(4);   // reserved
    if (e.rows == 0 || e.rows > kBlockRowsLimit || e.first_row != rows) return corrupt("block directory: row counts");
    if (e.raw_bytes > kBlockRawBytesMax) return corrupt("block directory: raw size above its limit");
    if (e.min_ts_ns > e.max_ts_ns || e.min_ts_ns < header.min_ts_ns || e.max_ts_ns > header.max_ts_ns) {
      return corrupt("block directory: time range");
    }
    if (e.hot_offset < hot_end || std::uint64_t{e.hot_offset} + e.hot_length > header.hot_length) {
      return corrupt("block directory: hot part out of place");
    }
    if (e.table_offset < table_end || std::uint64_t{e.table_offset} + e.table_length > header.length) {
      return corrupt("block directory: column table out of place");
    }
    hot_end = std::uint64_t{e.hot_offset} + e.hot_length;
    table_end = std::uint64_t{e.table_offset} + e.table_length;
    rows += e.rows;
    raw_bytes += e.raw_bytes;
  }
  std::uint64_t data_end = table_end;
  for (const BlockEntry& e : entries) {
    if (e.data_offset < data_end || std::uint64_t{e.data_offset} + e.data_length + kFooterBytes > header.length) {
      return corrupt("block directory: data out of place");
    }
    data_end = std::uint64_t{e.data_offset} + e.data_length;
  }
  if (rows != header.rows || raw_bytes != header.raw_bytes) return corrupt("block directory: sums differ from the header");
  return entries;
}

void append_runs(Bytes& out, const std::vector<GroupMember>& members, std::int64_t chunk_min_ts_ns) {
  Bytes payload;
  std::uint64_t expected_row = 0;
  for (const GroupMember& m : members) {
    append_le(payload, m.stream_hash);
    append_varint(payload, m.first_row - expected_row);
    append_varint(payload, m.rows);
    append_varint(payload, static_cast<std::uint64_t>(m.min_ts_ns) - static_cast<std::uint64_t>(chunk_min_ts_ns));
    append_varint(payload, static_cast<std::uint64_t>(m.max_ts_ns) - static_cast<std::uint64_t>(m.min_ts_ns));
    append_varint(payload, m.raw_bytes);
    expected_row = std::uint64_t{m.first_row} + m.rows;
  }
  append_le(out, static_cast<std::uint32_t>(payload.size()));
  append_le(out, crc32c(payload));
  out += payload;
}

Result<std::vector<GroupMember>> read_runs(ByteView bytes, const ChunkHeader& header) {
  ByteReader in(bytes);
  const auto size = in.fixed<std::uint32_t>();
  const auto crc = in.fixed<std::uint32_t>();
  const ByteView payload = in.bytes(size);
  // 13 bytes is the least one run can take: the count is checked before it is believed.
  if (!in.ok() || payload.size() / 13 < header.streams) return corrupt("stream runs: truncated");
  if (crc32c(payload) != crc) return corrupt("stream runs: checksum mismatch");
  ByteReader runs(payload);
  std::vector<GroupMember> members(header.streams);
  std::uint64_t next_row = 0;
  std::uint64_t previous_hash = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    GroupMember& m = members[i];
    m.stream_hash = runs.fixed<std::uint64_t>();
    const std::uint64_t skipped = runs.varint();
    const std::uint64_t rows = runs.varint();
    m.min_ts_ns = static_cast<std::int64_t>(static_cast<std::uint64_t>(header.min_ts_ns) + runs.varint());
    m.max_ts_ns = static_cast<std::int64_t>(static_cast<std::uint64_t>(m.min_ts_ns) + runs.varint());
    m.raw_bytes = runs.varint();
    if (!runs.ok() || skipped > header.rows || rows == 0 || rows > header.rows || next_row + skipped + rows > header.rows) {
      return corrupt("stream runs: row counts");
    }
    if (m.min_ts_ns < header.min_ts_ns || m.max_ts_ns > header.max_ts_ns || m.min_ts_ns > m.max_ts_ns || m.raw_bytes > header.raw_bytes) {
      return corrupt("stream runs: ranges");
    }
    if (i > 0 && m.stream_hash <= previous_hash) return corrupt("stream runs: order");
    m.first_row = static_cast<std::uint32_t>(next_row + skipped);
    m.rows = static_cast<std::uint32_t>(rows);
    next_row += skipped + rows;
    previous_hash = m.stream_hash;
  }
  return members;
}

std::uint64_t compute_group_hash(const std::vector<GroupMember>& sorted_members) {
  Bytes hashes;
  for (const GroupMember& m : sorted_members) append_le(hashes, m.stream_hash);
  return codec::xxh3_64(hashes);
}

Result<void> append_table(Bytes& out, const ColumnTable& table, std::uint32_t& crc) {
  Bytes raw;
  append_le(raw, static_cast<std::uint16_t>(table.entries.size()));
  append_le(raw, static_cast<std::uint16_t>(table.symbols.size()));
  for (const TableEntry& e : table.entries) {
    append_le(raw, e.kind);
    append_le(raw, e.encoding);
    append_le(raw, e.codec);
    append_le(raw, e.ref);
    append_le(raw, e.offset);
    append_le(raw, e.stored);
    append_le(raw, e.raw);
    append_le(raw, e.crc);
    append_le(raw, e.class_mask);
    append_le(raw, e.min_length);
    append_le(raw, e.max_length);
    append_le(raw, e.distinct);
    append_le(raw, e.min);
    append_le(raw, e.max);
  }
  for (const std::string& symbol : table.symbols) {
    append_varint(raw, symbol.size());
    raw += symbol;
  }
  if (raw.size() > kColumnTableRawBytesMax) {
    return Error(ErrorCode::kInvalidArgument, "chunk: the names of structured metadata exceed 1 MiB in one block");
  }
  const std::size_t begin = out.size();
  SKALD_TRY(Bytes packed, codec::compress(codec::Compression::kZstd, raw));
  const bool smaller = packed.size() < raw.size();
  append_le(out, static_cast<std::uint32_t>(smaller ? codec::Compression::kZstd : codec::Compression::kNone));
  append_le(out, static_cast<std::uint32_t>(raw.size()));
  out += smaller ? packed : raw;
  crc = crc32c(ByteView(out).substr(begin));
  return {};
}

Result<ColumnTable> read_table(ByteView stored, const BlockEntry& block, std::uint64_t metadata_bytes) {
  if (stored.size() != block.table_length || stored.size() < kTableHeadBytes) return corrupt("column table: truncated");
  if (crc32c(stored) != block.table_crc) return corrupt("column table: checksum mismatch");
  const auto codec = load_le<std::uint32_t>(stored.data());
  const auto raw_bytes = load_le<std::uint32_t>(stored.data() + 4);
  if (raw_bytes > kColumnTableRawBytesMax) return corrupt("column table: raw size above 1 MiB");
  if (codec != 0 && codec != static_cast<std::uint32_t>(codec::Compression::kZstd)) {
    return Error(ErrorCode::kUnimplemented, "chunk: column table: codec " + std::to_string(codec) + " is not known to this release");
  }
  SKALD_TRY(const Bytes raw, codec::decompress_exact(static_cast<codec::Compression>(codec), stored.substr(kTableHeadBytes), raw_bytes));
  ByteReader in(raw);
  const auto entries = in.fixed<std::uint16_t>();
  const auto symbols = in.fixed<std::uint16_t>();
  if (in.remaining() < entries * kTableEntryBytes + symbols) return corrupt("column table: counts exceed its size");
  if (std::uint64_t{symbols} * block.rows > kMetadataCellsMax) return corrupt("column table: too many names for its rows");
  ColumnTable table;
  table.entries.resize(entries);
  std::uint64_t raw_sum = 0;
  for (TableEntry& e : table.entries) {
    e.kind = in.fixed<std::uint16_t>();
    e.encoding = in.fixed<std::uint8_t>();
    e.codec = in.fixed<std::uint8_t>();
    e.ref = in.fixed<std::uint32_t>();
    e.offset = in.fixed<std::uint32_t>();
    e.stored = in.fixed<std::uint32_t>();
    e.raw = in.fixed<std::uint32_t>();
    e.crc = in.fixed<std::uint32_t>();
    e.class_mask = in.fixed<std::uint16_t>();
    e.min_length = in.fixed<std::uint16_t>();
    e.max_length = in.fixed<std::uint16_t>();
    e.distinct = in.fixed<std::uint16_t>();
    e.min = in.fixed<std::int64_t>();
    e.max = in.fixed<std::int64_t>();
    if (std::uint64_t{e.offset} + e.stored > block.data_length) return corrupt("column table: page outside the block's data");
    if ((e.kind == kColMetadata || e.kind == kColPresence || (e.kind == kColLines && e.encoding == kEncSpliced)) && e.ref >= symbols) return corrupt("column table: symbol out of range");
    raw_sum += e.raw;
  }
  // A few bytes that claim to be gigabytes are refused here, before a page is touched.
  const std::uint64_t believable = 4 * (block.raw_bytes + 16ULL * block.rows + metadata_bytes) + 16ULL * entries + (64 << 10) +
                                   (std::uint64_t{entries} * (block.rows / 8 + 1));
  if (raw_sum > believable) return corrupt("column table: raw sizes are out of proportion");
  for (std::uint16_t i = 0; i < symbols; ++i) table.symbols.emplace_back(in.sized_bytes());
  if (!in.at_end()) return corrupt("column table: symbols");
  return table;
}

void append_footer(Bytes& out, const Footer& f) {
  append_le(out, f.stream_hash);
  append_le(out, f.content_id);
  append_le(out, f.rows);
  append_le(out, f.length);
  append_le(out, f.crc);
  append_le(out, kFooterMagic);
}

Result<Footer> read_footer(ByteView bytes) {
  if (bytes.size() < kFooterBytes) return corrupt("footer: truncated");
  ByteReader in(bytes.substr(bytes.size() - kFooterBytes));
  Footer f;
  f.stream_hash = in.fixed<std::uint64_t>();
  f.content_id = in.fixed<std::uint64_t>();
  f.rows = in.fixed<std::uint32_t>();
  f.length = in.fixed<std::uint32_t>();
  f.crc = in.fixed<std::uint32_t>();
  if (in.fixed<std::uint32_t>() != kFooterMagic) return corrupt("footer: wrong magic");
  return f;
}

void append_hot_page(Bytes& out, std::uint8_t kind, std::uint8_t encoding, codec::Compression compression, std::uint32_t raw,
                     ByteView stored) {
  const std::size_t begin = out.size();
  append_le(out, kind);
  append_le(out, encoding);
  append_le(out, static_cast<std::uint8_t>(compression));
  append_le(out, std::uint8_t{0});
  append_le(out, static_cast<std::uint32_t>(stored.size()));
  append_le(out, raw);
  append_le(out, crc32c(stored, crc32c(ByteView(out).substr(begin))));
  out += stored;
}

Result<std::vector<HotPage>> read_hot_pages(ByteView hot) {
  std::vector<HotPage> pages;
  ByteReader in(hot);
  while (in.remaining() > 0) {
    const ByteView head = in.bytes(12);
    const auto crc = in.fixed<std::uint32_t>();
    if (!in.ok()) return corrupt("hot part: truncated");
    HotPage page;
    page.kind = static_cast<std::uint8_t>(head[0]);
    page.encoding = static_cast<std::uint8_t>(head[1]);
    page.codec = static_cast<std::uint8_t>(head[2]);
    page.raw = load_le<std::uint32_t>(head.data() + 8);
    page.stored = in.bytes(load_le<std::uint32_t>(head.data() + 4));
    if (!in.ok()) return corrupt("hot part: truncated");
    if (crc32c(page.stored, crc32c(head)) != crc) return corrupt("hot part: checksum mismatch");
    pages.push_back(page);
  }
  return pages;
}

}  // namespace skald::chunk
