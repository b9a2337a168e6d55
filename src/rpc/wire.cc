#include "skald/rpc/wire.h"

#include <algorithm>
#include <limits>

#include "skald/codec/proto_writer.h"
#include "skald/model/proto_cursor.h"
#include "skald/wal/records.h"

namespace skald::rpc {
namespace {

using codec::append_proto_bytes;
using codec::append_proto_fixed64;
using codec::append_proto_sint;
using codec::append_proto_varint;
using model::ProtoCursor;

constexpr std::uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2;

Error malformed(const char* message, const char* what) {
  return Error(ErrorCode::kInvalidArgument, std::string("call from a peer: ") + message + ": " + what);
}

// Walks a message: `field(number, wire, cursor)` reads the field and returns true, or returns false to have it skipped.
template <class Field>
Result<void> walk(ByteView message, const char* name, Field&& field) {
  ProtoCursor cursor(message);
  std::uint32_t number = 0, wire = 0;
  while (cursor.tag(number, wire)) {
    SKALD_TRY(const bool taken, field(number, wire, cursor));
    if (!taken) cursor.skip(wire);
  }
  if (cursor.error != nullptr) return malformed(name, cursor.error);
  return {};
}

std::int64_t read_sint(ProtoCursor& cursor) {
  std::uint64_t value = 0;
  cursor.varint(value);
  return codec::unzigzag(value);
}

template <class T>
bool read_number(std::uint32_t wire, ProtoCursor& cursor, T& out) {
  std::uint64_t value = 0;
  if (wire != kVarint || !cursor.varint(value)) return wire == kVarint;
  out = static_cast<T>(value);
  return true;
}

Bytes with_streams(Bytes out, const model::PushBatch& batch, const std::vector<std::uint32_t>* only) {
  const auto append = [&](const model::PushStream& stream) {
    Bytes one;
    append_proto_bytes(one, 1, stream.labels->text);
    append_proto_varint(one, 2, stream.entries_end - stream.entries_begin);
    append_proto_bytes(out, 3, one);
  };
  if (only == nullptr) for (const model::PushStream& stream : batch.streams) append(stream);
  else for (const std::uint32_t i : *only) append(batch.streams[i]);
  return out;
}

}  // namespace

Result<Bytes> encode_push(const model::PushBatch& batch) {
  if (!batch.received_body) {
    std::vector<std::uint32_t> all(batch.streams.size());
    for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
    return encode_push(batch, all);
  }
  const wal::PushRecord record = wal::make_received_record(batch, 0);
  Bytes out;
  out.reserve(record.prefix.size() + record.shared_body->size() + 128 * batch.streams.size() + 64);
  append_proto_varint(out, 1, 1);
  append_proto_bytes(out, 2, record.prefix);
  append_proto_bytes(out, 4, *record.shared_body);
  return with_streams(std::move(out), batch, nullptr);
}

Result<Bytes> encode_push(const model::PushBatch& batch, const std::vector<std::uint32_t>& streams) {
  std::vector<std::uint32_t> entries;
  for (const std::uint32_t i : streams)
    for (std::uint32_t entry = batch.streams[i].entries_begin; entry < batch.streams[i].entries_end; ++entry) entries.push_back(entry);
  SKALD_TRY(const wal::PushRecord record, wal::make_canonical_record(batch, entries, 0));
  Bytes out;
  append_proto_bytes(out, 2, record.prefix);
  append_proto_bytes(out, 4, record.own_body);
  append_proto_varint(out, 5, batch.handed_over ? 1 : 0);
  return with_streams(std::move(out), batch, &streams);
}

Result<std::shared_ptr<const model::PushBatch>> decode_push(std::string tenant, ByteView message, const InternText& intern) {
  auto batch = std::make_shared<model::PushBatch>();
  batch->tenant = std::move(tenant);
  bool received = false;
  std::string_view prefix, body;
  std::uint64_t total = 0;
  SKALD_TRY_VOID(walk(message, "push", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    if (field == 1 && wire == kVarint) return read_number(wire, cursor, received);
    if (field == 2 && wire == kBytes) return cursor.bytes(prefix), true;
    if (field == 4 && wire == kBytes) return cursor.bytes(body), true;
    if (field == 5 && wire == kVarint) return read_number(wire, cursor, batch->handed_over);
    if (field != 3 || wire != kBytes) return false;
    std::string_view one, text;
    cursor.bytes(one);
    std::uint64_t entries = 0;
    SKALD_TRY_VOID(walk(one, "push stream", [&](std::uint32_t part, std::uint32_t part_wire, ProtoCursor& in) -> Result<bool> {
      if (part == 1 && part_wire == kBytes) return in.bytes(text), true;
      if (part == 2 && part_wire == kVarint) return read_number(part_wire, in, entries);
      return false;
    }));
    if (entries == 0 || entries > std::numeric_limits<std::uint32_t>::max() - total) return malformed("push stream", "entry count");
    SKALD_TRY(model::LabelsPtr labels, intern(text));
    batch->streams.push_back({std::move(labels), static_cast<std::uint32_t>(total), static_cast<std::uint32_t>(total + entries)});
    total += entries;
    return true;
  }));
  if (batch->streams.empty()) return malformed("push", "no streams");
  Bytes whole(prefix);
  whole.append(body);
  SKALD_TRY_VOID(wal::decode_push_body(received, whole, total, *batch));
  if (received) batch->received_body = std::make_shared<const Bytes>(body);
  for (const model::PushEntry& entry : batch->entries) batch->line_bytes += entry.line.size();
  for (const model::LabelView& pair : batch->metadata) batch->metadata_bytes += pair.name.size() + pair.value.size();
  return std::shared_ptr<const model::PushBatch>(std::move(batch));
}

Bytes encode_push_outcome(const model::PushOutcome& outcome) {
  Bytes out;
  append_proto_varint(out, 1, outcome.accepted);
  append_proto_varint(out, 2, outcome.refused);
  if (outcome.error.has_value()) {
    append_proto_varint(out, 3, static_cast<std::uint64_t>(outcome.error->code()) + 1);
    append_proto_bytes(out, 4, outcome.error->message());
  }
  return out;
}

Result<model::PushOutcome> decode_push_outcome(ByteView message) {
  model::PushOutcome outcome;
  std::uint64_t code = 0;
  std::string_view text;
  SKALD_TRY_VOID(walk(message, "push outcome", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    switch (field) {
      case 1: return read_number(wire, cursor, outcome.accepted);
      case 2: return read_number(wire, cursor, outcome.refused);
      case 3: return read_number(wire, cursor, code);
      case 4: return wire == kBytes && (cursor.bytes(text), true);
      default: return false;
    }
  }));
  if (code > static_cast<std::uint64_t>(ErrorCode::kIo) + 1) code = static_cast<std::uint64_t>(ErrorCode::kInternal) + 1;
  if (code != 0) outcome.error = Error(static_cast<ErrorCode>(code - 1), std::string(text));
  return outcome;
}

Bytes encode_select(const SelectRequest& request) {
  Bytes out;
  for (const model::Matcher& matcher : request.matchers) {
    Bytes one;
    append_proto_varint(one, 1, static_cast<std::uint64_t>(matcher.type()));
    append_proto_bytes(one, 2, matcher.name());
    append_proto_bytes(one, 3, matcher.value());
    append_proto_bytes(out, 1, one);
  }
  append_proto_sint(out, 2, request.start_ns);
  append_proto_sint(out, 3, request.end_ns);
  if (request.copies > 1) append_proto_varint(out, 4, request.copies);
  if (request.spans_since_ns != INT64_MAX) append_proto_sint(out, 5, request.spans_since_ns);
  if (request.turns != 0) {
    append_proto_varint(out, 6, request.turn);
    append_proto_varint(out, 7, request.turns);
  }
  return out;
}

Result<SelectRequest> decode_select(ByteView message) {
  SelectRequest request;
  SKALD_TRY_VOID(walk(message, "select", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    if (field == 2 && wire == kVarint) return request.start_ns = read_sint(cursor), true;
    if (field == 3 && wire == kVarint) return request.end_ns = read_sint(cursor), true;
    if (field == 4) return read_number(wire, cursor, request.copies);
    if (field == 5 && wire == kVarint) return request.spans_since_ns = read_sint(cursor), true;
    if (field == 6) return read_number(wire, cursor, request.turn);
    if (field == 7) return read_number(wire, cursor, request.turns);
    if (field != 1 || wire != kBytes) return false;
    std::string_view one, name, value;
    cursor.bytes(one);
    std::uint64_t type = 0;
    SKALD_TRY_VOID(walk(one, "matcher", [&](std::uint32_t part, std::uint32_t part_wire, ProtoCursor& in) -> Result<bool> {
      if (part == 1) return read_number(part_wire, in, type);
      if ((part == 2 || part == 3) && part_wire == kBytes) return in.bytes(part == 2 ? name : value), true;
      return false;
    }));
    if (type > static_cast<std::uint64_t>(model::MatchType::kNotRegex)) return malformed("matcher", "unknown type");
    SKALD_TRY(model::Matcher matcher, model::Matcher::make(static_cast<model::MatchType>(type), std::string(name), std::string(value)));
    request.matchers.push_back(std::move(matcher));
    return true;
  }));
  return request;
}

Bytes encode_series(const std::vector<model::LabelsPtr>& series) {
  Bytes out;
  for (const model::LabelsPtr& labels : series) append_proto_bytes(out, 1, labels->text);
  return out;
}

Result<std::vector<model::LabelsPtr>> decode_series(ByteView message, const InternText& intern) {
  std::vector<model::LabelsPtr> series;
  SKALD_TRY_VOID(walk(message, "series", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    if (field != 1 || wire != kBytes) return false;
    std::string_view text;
    cursor.bytes(text);
    SKALD_TRY(model::LabelsPtr labels, intern(text));
    series.push_back(std::move(labels));
    return true;
  }));
  return series;
}

Bytes encode_volumes(const std::vector<SeriesVolume>& volumes) {
  Bytes out;
  for (const SeriesVolume& volume : volumes) {
    Bytes one;
    append_proto_bytes(one, 1, volume.labels->text);
    append_proto_varint(one, 2, volume.bytes);
    append_proto_varint(one, 3, volume.entries);
    append_proto_varint(one, 4, volume.chunks);
    for (const VolumeSpan& span : volume.spans) {
      Bytes packed;
      append_proto_fixed64(packed, 1, span.source_id);
      append_proto_sint(packed, 2, span.min_ts_ns);
      append_proto_sint(packed, 3, span.max_ts_ns);
      append_proto_varint(packed, 4, span.bytes);
      append_proto_varint(packed, 5, span.entries);
      append_proto_varint(packed, 6, span.holder);
      append_proto_bytes(one, 5, packed);
    }
    append_proto_bytes(out, 1, one);
  }
  return out;
}

namespace {

Result<VolumeSpan> decode_span(std::string_view packed) {
  VolumeSpan span;
  SKALD_TRY_VOID(walk(packed, "span", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& in) -> Result<bool> {
    switch (field) {
      case 1: return wire == kFixed64 && (in.fixed(span.source_id), true);
      case 2: return wire == kVarint && (span.min_ts_ns = read_sint(in), true);
      case 3: return wire == kVarint && (span.max_ts_ns = read_sint(in), true);
      case 4: return read_number(wire, in, span.bytes);
      case 5: return read_number(wire, in, span.entries);
      case 6: return read_number(wire, in, span.holder);
      default: return false;
    }
  }));
  if (span.max_ts_ns < span.min_ts_ns) return malformed("span", "it ends before it begins");
  return span;
}

}  // namespace

Result<std::vector<SeriesVolume>> decode_volumes(ByteView message, const InternText& intern) {
  std::vector<SeriesVolume> volumes;
  SKALD_TRY_VOID(walk(message, "volumes", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    if (field != 1 || wire != kBytes) return false;
    std::string_view one, text;
    cursor.bytes(one);
    SeriesVolume volume;
    SKALD_TRY_VOID(walk(one, "volume", [&](std::uint32_t part, std::uint32_t part_wire, ProtoCursor& in) -> Result<bool> {
      switch (part) {
        case 1: return part_wire == kBytes && (in.bytes(text), true);
        case 2: return read_number(part_wire, in, volume.bytes);
        case 3: return read_number(part_wire, in, volume.entries);
        case 4: return read_number(part_wire, in, volume.chunks);
        case 5: {
          if (part_wire != kBytes) return false;
          std::string_view packed;
          in.bytes(packed);
          SKALD_TRY(const VolumeSpan span, decode_span(packed));
          volume.spans.push_back(span);
          return true;
        }
        default: return false;
      }
    }));
    SKALD_TRY(volume.labels, intern(text));
    volumes.push_back(std::move(volume));
    return true;
  }));
  return volumes;
}

Bytes encode_remote_select(const RemoteSelect& select) {
  Bytes out;
  append_proto_fixed64(out, 1, select.handle);
  for (const RemoteStream& stream : select.streams) {
    Bytes one;
    append_proto_bytes(one, 1, stream.labels->text);
    for (const RemoteBlockInfo& block : stream.blocks) {
      Bytes info;
      append_proto_varint(info, 1, block.rows);
      append_proto_sint(info, 2, block.min_ts_ns);
      append_proto_sint(info, 3, block.max_ts_ns);
      append_proto_varint(info, 4, block.raw_bytes);
      append_proto_fixed64(info, 5, block.source_id);
      append_proto_varint(info, 6, block.from_ingester ? 1 : 0);
      if (!block.columns.empty()) append_proto_bytes(info, 7, block.columns);
      if (block.content_id != 0) append_proto_fixed64(info, 8, block.content_id);
      append_proto_bytes(one, 2, info);
    }
    append_proto_bytes(out, 2, one);
  }
  append_proto_varint(out, 3, select.stats.ingester_chunks_matched);
  append_proto_varint(out, 4, select.stats.store_chunk_refs);
  append_proto_varint(out, 5, select.stats.store_chunks_matched);
  append_proto_varint(out, 6, static_cast<std::uint64_t>(std::max<std::int64_t>(0, select.stats.chunk_refs_lookup_ns)));
  return out;
}

Result<RemoteSelect> decode_remote_select(ByteView message, const InternText& intern) {
  RemoteSelect select;
  SKALD_TRY_VOID(walk(message, "selected", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    switch (field) {
      case 1: return wire == kFixed64 && (cursor.fixed(select.handle), true);
      case 3: return read_number(wire, cursor, select.stats.ingester_chunks_matched);
      case 4: return read_number(wire, cursor, select.stats.store_chunk_refs);
      case 5: return read_number(wire, cursor, select.stats.store_chunks_matched);
      case 6: return read_number(wire, cursor, select.stats.chunk_refs_lookup_ns);
      case 2: break;
      default: return false;
    }
    if (wire != kBytes) return false;
    std::string_view one, text;
    cursor.bytes(one);
    RemoteStream stream;
    SKALD_TRY_VOID(walk(one, "selected stream", [&](std::uint32_t part, std::uint32_t part_wire, ProtoCursor& in) -> Result<bool> {
      if (part == 1 && part_wire == kBytes) return in.bytes(text), true;
      if (part != 2 || part_wire != kBytes) return false;
      std::string_view info;
      in.bytes(info);
      RemoteBlockInfo block;
      SKALD_TRY_VOID(walk(info, "selected block", [&](std::uint32_t n, std::uint32_t w, ProtoCursor& c) -> Result<bool> {
        std::string_view columns;
        switch (n) {
          case 1: return read_number(w, c, block.rows);
          case 2: return w == kVarint && (block.min_ts_ns = read_sint(c), true);
          case 3: return w == kVarint && (block.max_ts_ns = read_sint(c), true);
          case 4: return read_number(w, c, block.raw_bytes);
          case 5: return w == kFixed64 && (c.fixed(block.source_id), true);
          case 6: return read_number(w, c, block.from_ingester);
          case 7:
            if (w != kBytes) return false;
            c.bytes(columns);
            block.columns = columns;
            return true;
          case 8: return w == kFixed64 && (c.fixed(block.content_id), true);
          default: return false;
        }
      }));
      stream.blocks.push_back(std::move(block));
      return true;
    }));
    SKALD_TRY(stream.labels, intern(text));
    select.streams.push_back(std::move(stream));
    return true;
  }));
  return select;
}

Bytes encode_blocks_request(const BlocksRequest& request) {
  Bytes out, numbers;
  append_proto_fixed64(out, 1, request.handle);
  append_proto_varint(out, 2, request.mask);
  for (const std::uint32_t block : request.blocks) codec::append_varint(numbers, block);
  append_proto_bytes(out, 3, numbers);
  return out;
}

Result<BlocksRequest> decode_blocks_request(ByteView message) {
  BlocksRequest request;
  SKALD_TRY_VOID(walk(message, "blocks", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    if (field == 1 && wire == kFixed64) return cursor.fixed(request.handle), true;
    if (field == 2 && wire == kVarint) {
      std::uint64_t mask = 0;
      cursor.varint(mask);
      request.mask = static_cast<chunk::ColumnMask>(mask & chunk::kAllColumns);
      return true;
    }
    if (field != 3 || wire != kBytes) return false;
    std::string_view numbers;
    cursor.bytes(numbers);
    ProtoCursor packed(numbers);
    std::uint64_t number = 0;
    while (packed.at < packed.end && packed.varint(number)) request.blocks.push_back(static_cast<std::uint32_t>(number));
    if (packed.error != nullptr) return malformed("blocks", packed.error);
    return true;
  }));
  return request;
}

Bytes encode_blocks(const std::vector<Bytes>& columns) {
  Bytes out;
  for (const Bytes& one : columns) append_proto_bytes(out, 1, one);
  return out;
}

Result<std::vector<ByteView>> decode_blocks(ByteView message) {
  std::vector<ByteView> columns;
  SKALD_TRY_VOID(walk(message, "rows", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    if (field != 1 || wire != kBytes) return false;
    std::string_view one;
    cursor.bytes(one);
    columns.push_back(one);
    return true;
  }));
  return columns;
}

Bytes encode_tail_batch(const std::vector<TailedEntries>& batch) {
  Bytes out;
  for (const TailedEntries& tailed : batch) {
    Bytes one;
    append_proto_bytes(one, 1, tailed.labels->text);
    for (const TailEntry& entry : tailed.entries) {
      Bytes row;
      append_proto_sint(row, 1, entry.timestamp_ns);
      append_proto_bytes(row, 2, entry.line);
      for (const model::Label& pair : entry.metadata) {
        Bytes label;
        append_proto_bytes(label, 1, pair.name);
        append_proto_bytes(label, 2, pair.value);
        append_proto_bytes(row, 3, label);
      }
      append_proto_bytes(one, 2, row);
    }
    append_proto_bytes(out, 1, one);
  }
  return out;
}

namespace {

Result<TailEntry> decode_tail_entry(ByteView message) {
  TailEntry entry;
  SKALD_TRY_VOID(walk(message, "tailed entry", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    if (field == 1 && wire == kVarint) return entry.timestamp_ns = read_sint(cursor), true;
    if ((field != 2 && field != 3) || wire != kBytes) return false;
    std::string_view bytes;
    cursor.bytes(bytes);
    if (field == 2) {
      entry.line = bytes;
      return true;
    }
    model::Label& label = entry.metadata.emplace_back();
    SKALD_TRY_VOID(walk(bytes, "tailed metadata", [&](std::uint32_t part, std::uint32_t part_wire, ProtoCursor& in) -> Result<bool> {
      if ((part != 1 && part != 2) || part_wire != kBytes) return false;
      std::string_view text;
      in.bytes(text);
      (part == 1 ? label.name : label.value) = text;
      return true;
    }));
    return true;
  }));
  return entry;
}

}  // namespace

Result<std::vector<TailedEntries>> decode_tail_batch(ByteView message, const InternText& intern) {
  std::vector<TailedEntries> batch;
  SKALD_TRY_VOID(walk(message, "tailed", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    if (field != 1 || wire != kBytes) return false;
    std::string_view one, text;
    cursor.bytes(one);
    TailedEntries tailed;
    SKALD_TRY_VOID(walk(one, "tailed stream", [&](std::uint32_t part, std::uint32_t part_wire, ProtoCursor& in) -> Result<bool> {
      if ((part != 1 && part != 2) || part_wire != kBytes) return false;
      std::string_view bytes;
      in.bytes(bytes);
      if (part == 1) {
        text = bytes;
        return true;
      }
      SKALD_TRY(TailEntry entry, decode_tail_entry(bytes));
      tailed.entries.push_back(std::move(entry));
      return true;
    }));
    SKALD_TRY(tailed.labels, intern(text));
    batch.push_back(std::move(tailed));
    return true;
  }));
  return batch;
}

}  // namespace skald::rpc
