// Results between processes. Columns of numbers are packed; an entry or a sample has no message of its own.
#include <bit>

#include "frontend/wire_walk.h"
#include "skald/frontend/subquery.h"

namespace skald::frontend {

using namespace wire;

namespace {

constexpr std::uint32_t kEndField = 15;   // last; a message without it was cut off

enum Kind : std::uint64_t { kNone = 0, kLogs = 1, kVector = 2, kMatrix = 3, kScalar = 4 };

void append_delta(Bytes& out, std::int64_t value, std::int64_t& previous) {
  // Differences wrap around; so does adding them up.
  codec::append_zigzag(out, static_cast<std::int64_t>(static_cast<std::uint64_t>(value) - static_cast<std::uint64_t>(previous)));
  previous = value;
}

// Numbers packed with append_delta, one at a time.
class Deltas {
 public:
  explicit Deltas(std::string_view packed) : cursor_(packed) {}
  bool at_end() const { return cursor_.at == cursor_.end; }
  bool next(std::int64_t& value) {
    std::uint64_t raw = 0;
    if (!cursor_.varint(raw)) return false;
    value_ = static_cast<std::int64_t>(static_cast<std::uint64_t>(value_) + static_cast<std::uint64_t>(codec::unzigzag(raw)));
    value = value_;
    return true;
  }

 private:
  ProtoCursor cursor_;
  std::int64_t value_ = 0;
};

Bytes encode_label(std::string_view name, std::string_view value, std::uint64_t category) {
  Bytes out;
  append_proto_bytes(out, 1, name);
  if (!value.empty()) append_proto_bytes(out, 2, value);
  append_proto_varint(out, 3, category);
  return out;
}

Result<engine::ResultLabel> decode_label(std::string_view message) {
  engine::ResultLabel label;
  std::uint64_t category = 0;
  SKALD_TRY_VOID(walk(message, "label", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    switch (field) {
      case 1: return read_text(wire, cursor, label.name);
      case 2: return read_text(wire, cursor, label.value);
      case 3: return read_number(wire, cursor, category);
      default: return false;
    }
  }));
  if (category > static_cast<std::uint64_t>(engine::LabelCategory::kParsed)) return malformed("label", "unknown category");
  label.category = static_cast<engine::LabelCategory>(category);
  return label;
}

Bytes encode_series(const engine::Series& series) {
  Bytes out, times, values;
  for (const model::Label& label : series.labels.pairs()) append_proto_bytes(out, 1, encode_label(label.name, label.value, 0));
  values.reserve(series.samples.size() * sizeof(double));
  std::int64_t previous = 0;
  for (const engine::Sample& sample : series.samples) {
    append_delta(times, sample.timestamp_ms, previous);
    append_le(values, std::bit_cast<std::uint64_t>(sample.value));
  }
  append_proto_bytes(out, 2, times);
  append_proto_bytes(out, 3, values);
  return out;
}

Result<engine::Series> decode_series(std::string_view message) {
  engine::Series series;
  std::vector<model::Label> labels;
  std::string_view times, values;
  SKALD_TRY_VOID(walk(message, "series", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    std::string_view one;
    switch (field) {
      case 1: {
        if (!read_view(wire, cursor, one)) return false;
        SKALD_TRY(engine::ResultLabel label, decode_label(one));
        labels.push_back({std::move(label.name), std::move(label.value)});
        return true;
      }
      case 2: return read_view(wire, cursor, times);
      case 3: return read_view(wire, cursor, values);
      default: return false;
    }
  }));
  series.labels = model::Labels::from_pairs_with_empty(std::move(labels));
  if (values.size() % sizeof(double) != 0) return malformed("series", "values");
  const std::size_t count = values.size() / sizeof(double);
  if (times.size() < count) return malformed("series", "fewer times than values");
  series.samples.reserve(count);
  Deltas deltas(times);
  for (std::size_t i = 0; i < count; ++i) {
    engine::Sample sample;
    if (!deltas.next(sample.timestamp_ms)) return malformed("series", "times");
    sample.value = std::bit_cast<double>(load_le<std::uint64_t>(values.data() + i * sizeof(double)));
    series.samples.push_back(sample);
  }
  if (!deltas.at_end()) return malformed("series", "more times than values");
  return series;
}

Bytes encode_stream(const engine::LogStream& stream) {
  Bytes out, times, orders, lines;
  for (const engine::ResultLabel& label : stream.labels.labels)
    append_proto_bytes(out, 1, encode_label(label.name, label.value, static_cast<std::uint64_t>(label.category)));
  std::int64_t previous = 0, previous_order = 0;
  for (const engine::LogEntry& entry : stream.entries) {
    append_delta(times, entry.timestamp_ns, previous);
    append_delta(orders, entry.order, previous_order);
    append_proto_bytes(lines, 4, entry.line);
  }
  append_proto_bytes(out, 2, times);
  append_proto_bytes(out, 3, orders);
  out += lines;
  return out;
}

Result<engine::LogStream> decode_stream(std::string_view message) {
  engine::LogStream stream;
  std::string_view times, orders;
  SKALD_TRY_VOID(walk(message, "stream", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    std::string_view one;
    switch (field) {
      case 1: {
        if (!read_view(wire, cursor, one)) return false;
        SKALD_TRY(engine::ResultLabel label, decode_label(one));
        stream.labels.labels.push_back(std::move(label));
        return true;
      }
      case 2: return read_view(wire, cursor, times);
      case 3: return read_view(wire, cursor, orders);
      case 4:
        if (!read_view(wire, cursor, one)) return false;
        stream.entries.push_back({0, std::string(one), 0});
        return true;
      default: return false;
    }
  }));
  Deltas time(times), order(orders);
  for (engine::LogEntry& entry : stream.entries) {
    std::int64_t place = 0;
    if (!time.next(entry.timestamp_ns) || !order.next(place)) return malformed("stream", "fewer times than lines");
    if (place < 0 || place > UINT32_MAX) return malformed("stream", "order");
    entry.order = static_cast<std::uint32_t>(place);
  }
  if (!time.at_end() || !order.at_end()) return malformed("stream", "more times than lines");
  return stream;
}

// One list for both directions: field number, member.
template <class Stats, class Visit>
bool visit_stats(Stats& stats, Visit&& visit) {
  return visit(1, stats.bytes_processed) || visit(2, stats.lines_processed) || visit(3, stats.metadata_bytes_processed) || visit(4, stats.post_filter_lines) ||
         visit(5, stats.entries_returned) || visit(6, stats.exec_ns) || visit(7, stats.queue_ns) || visit(8, stats.splits) || visit(9, stats.shards) ||
         visit(10, stats.subqueries) || visit(11, stats.streams) || visit(12, stats.select.ingester_chunks_matched) || visit(13, stats.select.store_chunk_refs) ||
         visit(14, stats.select.store_chunks_matched) || visit(15, stats.select.chunk_refs_lookup_ns) || visit(16, stats.ingester_lines) ||
         visit(17, stats.ingester_bytes) || visit(18, stats.store_lines) || visit(19, stats.store_decompressed_bytes) ||
         visit(20, stats.store_compressed_bytes) || visit(21, stats.store_chunks_downloaded) || visit(22, stats.store_download_ns);
}

Bytes encode_stats(const engine::QueryStats& stats) {
  Bytes out;
  visit_stats(stats, [&](std::uint32_t field, const auto& member) {
    append_proto_varint(out, field, static_cast<std::uint64_t>(member));
    return false;
  });
  return out;
}

Result<void> decode_stats(std::string_view message, engine::QueryStats& stats) {
  return walk(message, "statistics", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    return visit_stats(stats, [&](std::uint32_t number, auto& member) { return number == field && read_number(wire, cursor, member); });
  });
}

}  // namespace

Bytes encode_result(const Result<engine::QueryResult>& result) {
  Bytes out;
  if (!result.ok()) {
    append_proto_varint(out, 1, static_cast<std::uint64_t>(result.error().code()) + 1);
    append_proto_bytes(out, 2, result.error().message());
    append_proto_varint(out, kEndField, 1);
    return out;
  }
  const auto& data = result->data;
  if (const auto* logs = std::get_if<engine::LogResult>(&data)) {
    append_proto_varint(out, 3, kLogs);
    for (const engine::LogStream& stream : logs->streams) append_proto_bytes(out, 4, encode_stream(stream));
  } else if (const auto* vector = std::get_if<engine::VectorResult>(&data)) {
    append_proto_varint(out, 3, kVector);
    append_proto_varint(out, 6, vector->ordered ? 1 : 0);
    for (const engine::Series& series : vector->series) append_proto_bytes(out, 5, encode_series(series));
  } else if (const auto* matrix = std::get_if<engine::MatrixResult>(&data)) {
    append_proto_varint(out, 3, kMatrix);
    for (const engine::Series& series : matrix->series) append_proto_bytes(out, 5, encode_series(series));
  } else {
    append_proto_varint(out, 3, kScalar);
    append_proto_bytes(out, 5, encode_series({{}, {std::get<engine::ScalarResult>(data).sample}}));
  }
  append_proto_bytes(out, 7, encode_stats(result->stats));
  for (const std::string& warning : result->warnings) append_proto_bytes(out, 8, warning);
  append_proto_varint(out, kEndField, 1);
  return out;
}

Result<Result<engine::QueryResult>> decode_result(ByteView message) {
  std::uint64_t code = 0, kind = kNone;
  std::string text;
  bool ordered = false, ended = false;
  std::vector<engine::LogStream> streams;
  std::vector<engine::Series> series;
  engine::QueryResult result;
  SKALD_TRY_VOID(walk(message, "result", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    std::string_view one;
    switch (field) {
      case 1: return read_number(wire, cursor, code);
      case 2: return read_text(wire, cursor, text);
      case 3: return read_number(wire, cursor, kind);
      case 4: {
        if (!read_view(wire, cursor, one)) return false;
        SKALD_TRY(engine::LogStream stream, decode_stream(one));
        streams.push_back(std::move(stream));
        return true;
      }
      case 5: {
        if (!read_view(wire, cursor, one)) return false;
        SKALD_TRY(engine::Series decoded, decode_series(one));
        series.push_back(std::move(decoded));
        return true;
      }
      case 6: return read_number(wire, cursor, ordered);
      case 7:
        if (!read_view(wire, cursor, one)) return false;
        SKALD_TRY_VOID(decode_stats(one, result.stats));
        return true;
      case 8:
        if (!read_view(wire, cursor, one)) return false;
        result.warnings.emplace_back(one);
        return true;
      case kEndField: return read_number(wire, cursor, ended);
      default: return false;
    }
  }));
  if (!ended) return malformed("result", "it was cut off");
  if (code != 0) {
    // A code that only a newer binary knows.
    if (code > static_cast<std::uint64_t>(ErrorCode::kIo) + 1) code = static_cast<std::uint64_t>(ErrorCode::kInternal) + 1;
    return Result<engine::QueryResult>(Error(static_cast<ErrorCode>(code - 1), std::move(text)));
  }
  switch (kind) {
    case kLogs: result.data = engine::LogResult{std::move(streams)}; break;
    case kVector:
      for (const engine::Series& one : series)
        if (one.samples.size() != 1) return malformed("result", "a vector's series has one sample");
      result.data = engine::VectorResult{std::move(series), ordered};
      break;
    case kMatrix: result.data = engine::MatrixResult{std::move(series)}; break;
    case kScalar:
      if (series.size() != 1 || series[0].samples.size() != 1) return malformed("result", "a scalar is one sample");
      result.data = engine::ScalarResult{series[0].samples[0]};
      break;
    default: return malformed("result", "unknown kind");
  }
  return Result<engine::QueryResult>(std::move(result));
}

}  // namespace skald::frontend
