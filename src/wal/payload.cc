#include "wal/payload.h"

#include <algorithm>
#include <limits>

#include "skald/codec/compress.h"
#include "skald/codec/varint.h"
#include "skald/model/push_wire.h"

namespace skald::wal {
namespace {

using codec::append_varint;
using codec::append_zigzag;
using codec::ByteReader;

constexpr std::uint64_t kRawBytesMax = 2ULL << 30;
constexpr std::uint64_t kLabelsMax = 1 << 16;

Error damaged(const char* what) { return Error(ErrorCode::kCorruption, std::string("WAL frame: ") + what); }

void append_sized(Bytes& out, ByteView bytes) {
  append_varint(out, bytes.size());
  out.append(bytes);
}

void append_labels(Bytes& out, const model::Labels& labels) {
  append_varint(out, labels.size());
  for (const auto& pair : labels.pairs()) {
    append_sized(out, pair.name);
    append_sized(out, pair.value);
  }
}

bool read_labels(ByteReader& in, model::Labels& labels) {
  const std::uint64_t count = in.varint();
  if (!in.ok() || count > kLabelsMax || count > in.remaining()) return false;
  std::vector<model::Label> pairs;
  pairs.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const ByteView name = in.sized_bytes(), value = in.sized_bytes();
    pairs.push_back({std::string(name), std::string(value)});
  }
  labels = model::Labels::from_pairs(std::move(pairs));
  return in.ok();
}

constexpr std::uint64_t kFormerFlag = 1 << 16;   // beside the width; says nothing any more

void append_sketch(Bytes& out, const chunk::Sketch& sketch) {
  append_varint(out, sketch.width_s);
  if (sketch.width_s == 0) return;
  append_zigzag(out, sketch.origin_ns);
  append_varint(out, sketch.rows.size());
  for (const auto rows : sketch.rows) append_varint(out, rows);
  append_varint(out, sketch.bytes.size());
  for (const auto bytes : sketch.bytes) append_varint(out, bytes);
  append_varint(out, sketch.rows_by_level.size());
  for (const auto& [level, rows] : sketch.rows_by_level) {
    append_le(out, level);
    append_varint(out, rows.size());
    for (const auto n : rows) append_varint(out, n);
  }
}

template <class T>
bool read_numbers(ByteReader& in, std::vector<T>& out) {
  const std::uint64_t count = in.varint();
  if (!in.ok() || count > in.remaining()) return false;  // at least a byte each
  out.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) out.push_back(static_cast<T>(in.varint()));
  return in.ok();
}

bool read_sketch(ByteReader& in, chunk::Sketch& sketch) {
  const std::uint64_t width = in.varint();
  sketch.width_s = static_cast<std::uint32_t>(width & ~kFormerFlag);
  if (sketch.width_s == 0) return in.ok();
  sketch.origin_ns = in.zigzag();
  if (!read_numbers(in, sketch.rows) || !read_numbers(in, sketch.bytes)) return false;
  const std::uint64_t levels = in.varint();
  if (!in.ok() || levels > model::kLevelCount) return false;
  for (std::uint64_t i = 0; i < levels; ++i) {
    auto& [level, rows] = sketch.rows_by_level.emplace_back();
    level = in.fixed<std::uint8_t>();
    if (!read_numbers(in, rows)) return false;
  }
  return in.ok();
}

// Metadata as the distributor leaves it: names normalised, no empty values, sorted by name, of equal names the last.
Result<void> take_metadata(const model::WirePush& wire, const model::WireEntry& from, model::PushEntry& entry, model::PushBatch& batch) {
  entry.metadata_begin = static_cast<std::uint32_t>(batch.metadata.size());
  for (std::uint32_t i = from.metadata_begin; i < from.metadata_end; ++i) {
    model::LabelView pair = wire.metadata[i];
    if (pair.value.empty()) continue;
    std::string normal;
    SKALD_TRY(const bool already, model::normalize_metadata_name(pair.name, normal));
    if (!already) pair.name = batch.owned.emplace_back(std::move(normal));
    if (entry.level != model::Level::kNone && pair.name == model::kDetectedLevelName) continue;  // the level column carries it
    batch.metadata.push_back(pair);
  }
  const auto begin = batch.metadata.begin() + entry.metadata_begin;
  if (batch.metadata.end() - begin > 1) {
    std::stable_sort(begin, batch.metadata.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    auto out = begin;
    for (auto in = begin; in != batch.metadata.end(); ++in) {
      if (in + 1 != batch.metadata.end() && (in + 1)->name == in->name) continue;
      *out++ = *in;
    }
    batch.metadata.erase(out, batch.metadata.end());
  }
  entry.metadata_end = static_cast<std::uint32_t>(batch.metadata.size());
  return {};
}

Result<void> decode_received(ByteReader& in, std::uint64_t total, model::PushBatch& batch) {
  std::vector<std::pair<std::uint8_t, std::uint64_t>> runs;
  const std::uint64_t run_count = in.varint();
  if (!in.ok() || run_count > in.remaining()) return damaged("level runs");
  std::uint64_t covered = 0;
  for (std::uint64_t i = 0; i < run_count; ++i) {
    const auto level = in.fixed<std::uint8_t>();
    const std::uint64_t rows = in.varint();
    if (level >= model::kLevelCount || rows > total - covered) return damaged("level runs");
    covered += rows;
    runs.emplace_back(level, rows);
  }
  if (!in.ok() || covered != total) return damaged("level runs");
  SKALD_TRY(auto raw, model::snappy_uncompress(in.rest(), kRawBytesMax));
  batch.decoded = std::make_shared<const std::string>(std::move(raw));
  model::WirePush wire;
  SKALD_TRY_VOID(model::walk_push(*batch.decoded, wire));
  if (wire.entries.size() != total) return damaged("body has another number of entries");
  batch.entries.reserve(total);
  std::size_t run = 0;
  std::uint64_t left = runs.empty() ? 0 : runs[0].second;
  for (const auto& stream : wire.streams) {
    for (std::uint32_t i = stream.entries_begin; i < stream.entries_end; ++i) {
      while (left == 0 && run + 1 < runs.size()) left = runs[++run].second;
      --left;
      model::PushEntry& entry = batch.entries.emplace_back();
      entry.timestamp_ns = wire.entries[i].timestamp_ns;
      entry.line = wire.entries[i].line;
      entry.level = static_cast<model::Level>(runs[run].first);
      SKALD_TRY_VOID(take_metadata(wire, wire.entries[i], entry, batch));
    }
  }
  if (batch.entries.size() != total) return damaged("body has another number of entries");
  return {};
}

Result<void> decode_canonical(ByteReader& in, std::uint64_t total, model::PushBatch& batch) {
  const std::uint64_t raw_bytes = in.varint();
  const auto codec_number = in.fixed<std::uint8_t>();
  // LZ4 expands at most 255 times; a larger claim is a lie that must not make us reserve memory.
  if (!in.ok() || raw_bytes > kRawBytesMax || raw_bytes > 64 + 256 * static_cast<std::uint64_t>(in.remaining())) return damaged("declared size");
  const auto codec = static_cast<codec::Compression>(codec_number);
  if (codec != codec::Compression::kLz4 && codec != codec::Compression::kNone) return damaged("codec");
  SKALD_TRY(auto raw, codec::decompress_exact(codec, in.rest(), raw_bytes));
  batch.decoded = std::make_shared<const std::string>(std::move(raw));
  ByteReader rows(ByteView(batch.decoded->data(), raw_bytes));
  if (total > raw_bytes) return damaged("entry count");
  batch.entries.reserve(total);
  std::int64_t ts = 0;
  for (std::uint64_t i = 0; i < total; ++i) {
    model::PushEntry& entry = batch.entries.emplace_back();
    ts = static_cast<std::int64_t>(static_cast<std::uint64_t>(ts) + static_cast<std::uint64_t>(rows.zigzag()));
    entry.timestamp_ns = ts;
    const auto level = rows.fixed<std::uint8_t>();
    if (level >= model::kLevelCount) return damaged("level");
    entry.level = static_cast<model::Level>(level);
    entry.line = rows.sized_bytes();
    const std::uint64_t pairs = rows.varint();
    if (!rows.ok() || pairs > rows.remaining()) return damaged("entry");
    entry.metadata_begin = static_cast<std::uint32_t>(batch.metadata.size());
    for (std::uint64_t k = 0; k < pairs; ++k) {
      const ByteView name = rows.sized_bytes(), value = rows.sized_bytes();
      batch.metadata.push_back({name, value});
    }
    entry.metadata_end = static_cast<std::uint32_t>(batch.metadata.size());
  }
  if (!rows.at_end()) return damaged("entries do not fill the payload");
  return {};
}

}  // namespace

PushRecord make_received_record(const model::PushBatch& batch, std::int64_t arrival_ns) {
  PushRecord record;
  record.tenant = batch.tenant;
  record.arrival_ns = arrival_ns;
  record.received = true;
  record.shared_body = batch.received_body;
  Bytes runs;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < batch.entries.size();) {
    std::size_t j = i + 1;
    while (j < batch.entries.size() && batch.entries[j].level == batch.entries[i].level) ++j;
    append_le(runs, static_cast<std::uint8_t>(batch.entries[i].level));
    append_varint(runs, j - i);
    ++count;
    i = j;
  }
  append_varint(record.prefix, count);
  record.prefix += runs;
  return record;
}

Result<PushRecord> make_canonical_record(const model::PushBatch& batch, const std::vector<std::uint32_t>& accepted, std::int64_t arrival_ns) {
  Bytes raw;
  std::int64_t ts = 0;
  for (const std::uint32_t i : accepted) {
    const model::PushEntry& entry = batch.entries[i];
    append_zigzag(raw, static_cast<std::int64_t>(static_cast<std::uint64_t>(entry.timestamp_ns) - static_cast<std::uint64_t>(ts)));
    ts = entry.timestamp_ns;
    append_le(raw, static_cast<std::uint8_t>(entry.level));
    append_sized(raw, entry.line);
    append_varint(raw, entry.metadata_end - entry.metadata_begin);
    for (std::uint32_t k = entry.metadata_begin; k < entry.metadata_end; ++k) {
      append_sized(raw, batch.metadata[k].name);
      append_sized(raw, batch.metadata[k].value);
    }
  }
  PushRecord record;
  record.tenant = batch.tenant;
  record.arrival_ns = arrival_ns;
  const auto codec = raw.size() < 128 ? codec::Compression::kNone : codec::Compression::kLz4;
  append_varint(record.prefix, raw.size());
  append_le(record.prefix, static_cast<std::uint8_t>(codec));
  if (codec == codec::Compression::kNone)
    record.own_body = std::move(raw);
  else
    SKALD_TRY_VOID(codec::compress_append(codec, codec::kDefaultLevel, raw, record.own_body));
  return record;
}

void append_series(Bytes& out, std::uint64_t number, std::string_view tenant, const model::Labels& labels) {
  append_varint(out, number);
  append_sized(out, tenant);
  append_labels(out, labels);
}

Result<std::vector<SeriesDefinition>> decode_series(ByteView payload) {
  std::vector<SeriesDefinition> series;
  ByteReader in(payload);
  while (in.ok() && in.remaining() > 0) {
    SeriesDefinition definition;
    definition.number = in.varint();
    definition.tenant = in.sized_bytes();
    if (!read_labels(in, definition.labels)) return damaged("series definition");
    series.push_back(std::move(definition));
  }
  if (!in.ok()) return damaged("series definition");
  return series;
}

void append_push_payload(Bytes& out, const PushRecord& record, const std::vector<std::uint64_t>& numbers) {
  append_le(out, record.arrival_ns);
  append_varint(out, record.streams.size());
  for (std::size_t i = 0; i < record.streams.size(); ++i) {
    append_varint(out, numbers[i]);
    append_varint(out, record.streams[i].ordinal);
    append_varint(out, record.streams[i].entries);
  }
  out += record.prefix;
  if (record.received)
    out += *record.shared_body;
  else
    out += record.own_body;
}

Result<PushHead> decode_push_head(ByteView payload) {
  ByteReader in(payload);
  PushHead head;
  head.arrival_ns = in.fixed<std::int64_t>();
  const std::uint64_t count = in.varint();
  if (!in.ok() || count > in.remaining() / 3) return damaged("stream count");
  head.streams.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    auto& stream = head.streams.emplace_back();
    stream.number = in.varint();
    stream.ordinal = in.varint();
    stream.entries = in.varint();
    if (stream.entries > std::numeric_limits<std::uint32_t>::max()) return damaged("entry count");
  }
  if (!in.ok()) return damaged("streams");
  head.rest = in.rest();
  return head;
}

Result<void> decode_push_entries(FrameType type, const PushHead& head, model::PushBatch& batch) {
  std::uint64_t total = 0;
  for (const auto& stream : head.streams) total += stream.entries;
  return decode_push_body(type == FrameType::kPushReceived, head.rest, total, batch);
}

Result<void> decode_push_body(bool received, ByteView body, std::uint64_t total, model::PushBatch& batch) {
  if (total > std::numeric_limits<std::uint32_t>::max()) return damaged("entry count");
  ByteReader in(body);
  return received ? decode_received(in, total, batch) : decode_canonical(in, total, batch);
}

Bytes encode_flush_records(const std::vector<FlushRecord>& records) {
  Bytes out;
  append_varint(out, records.size());
  for (const auto& record : records) {
    append_sized(out, record.tenant);
    append_labels(out, record.entry.labels->labels);
    append_varint(out, record.flush_id);
    append_varint(out, record.first_ordinal);
    append_varint(out, record.last_ordinal);
    append_zigzag(out, record.shard_start_ns);
    const index::ChunkRef& chunk = record.entry.chunk;
    out.append(reinterpret_cast<const char*>(chunk.object.id.bytes.data()), chunk.object.id.bytes.size());
    append_zigzag(out, chunk.object.shard_start_ns);
    append_varint(out, chunk.object.length);
    append_varint(out, chunk.object.tail_offset);
    append_varint(out, chunk.offset);
    append_varint(out, chunk.length);
    append_varint(out, chunk.hot_length);
    append_zigzag(out, chunk.min_ts_ns);
    append_zigzag(out, chunk.max_ts_ns);
    append_varint(out, chunk.rows);
    append_varint(out, chunk.raw_bytes);
    append_le(out, chunk.content_id);
    append_le(out, static_cast<std::uint8_t>(chunk.group ? 1 : 0));
    append_varint(out, chunk.first_row);
    append_sketch(out, chunk.sketch);
  }
  return out;
}

Result<std::vector<FlushRecord>> decode_flush_records(ByteView payload) {
  ByteReader in(payload);
  const std::uint64_t count = in.varint();
  if (!in.ok() || count > in.remaining() / 32) return damaged("flush record count");
  std::vector<FlushRecord> records;
  records.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    FlushRecord& record = records.emplace_back();
    record.tenant = in.sized_bytes();
    model::Labels labels;
    if (!read_labels(in, labels)) return damaged("flush record");
    record.entry.labels = model::intern(std::move(labels));
    record.flush_id = in.varint();
    record.first_ordinal = in.varint();
    record.last_ordinal = in.varint();
    record.shard_start_ns = in.zigzag();
    index::ChunkRef& chunk = record.entry.chunk;
    const ByteView id = in.bytes(chunk.object.id.bytes.size());
    std::copy(id.begin(), id.end(), chunk.object.id.bytes.begin());
    chunk.object.shard_start_ns = in.zigzag();
    chunk.object.length = in.varint();
    chunk.object.tail_offset = in.varint();
    chunk.offset = in.varint();
    chunk.length = static_cast<std::uint32_t>(in.varint());
    chunk.hot_length = static_cast<std::uint32_t>(in.varint());
    chunk.min_ts_ns = in.zigzag();
    chunk.max_ts_ns = in.zigzag();
    chunk.rows = static_cast<std::uint32_t>(in.varint());
    chunk.raw_bytes = in.varint();
    chunk.content_id = in.fixed<std::uint64_t>();
    chunk.group = in.fixed<std::uint8_t>() != 0;
    chunk.first_row = static_cast<std::uint32_t>(in.varint());
    if (!read_sketch(in, chunk.sketch)) return damaged("flush record");
  }
  if (!in.at_end()) return damaged("flush records do not fill the payload");
  return records;
}

Bytes encode_shipped(std::uint64_t up_to_flush_id) {
  Bytes out;
  append_varint(out, up_to_flush_id);
  return out;
}

Result<std::uint64_t> decode_shipped(ByteView payload) {
  ByteReader in(payload);
  const std::uint64_t id = in.varint();
  if (!in.at_end()) return damaged("shipped mark");
  return id;
}

}  // namespace skald::wal
