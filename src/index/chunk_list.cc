#include "index/chunk_list.h"

#include <algorithm>

#include "index/day_index_format.h"
#include "skald/base/clock.h"
#include "skald/codec/varint.h"
#include "skald/model/level.h"

namespace skald::index {
namespace {

constexpr std::uint64_t kGroup = 1, kMilliseconds = 2;   // flags of an entry
constexpr std::uint64_t kKnownFlags = kGroup | kMilliseconds;
constexpr std::uint64_t kOffsetMax = 1ULL << 48;   // far above any object, far below where sums overflow

std::int64_t floor_ms(std::int64_t ts_ns) { return ts_ns / kNanosPerMilli - (ts_ns % kNanosPerMilli < 0 ? 1 : 0); }

// Differences of int64 times may not fit int64; as unsigned they wrap, and wrap back when they are added.
std::int64_t wrapping_difference(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b)); }
std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b)); }

std::uint8_t width_code(std::uint32_t width_s) {
  switch (width_s) {
    case 1: return 1;
    case 10: return 2;
    case 60: return 3;
    case 300: return 4;
    default: return 0;
  }
}
constexpr std::uint32_t kWidths[] = {0, 1, 10, 60, 300};
constexpr std::uint8_t kFormerFlag = 0x80;   // beside the width; says nothing any more

bool can_store(const chunk::Sketch& sketch) {
  const std::uint8_t code = width_code(sketch.width_s);
  if (code == 0 || sketch.rows.size() > kSketchBucketsMax || sketch.bytes.size() != sketch.rows.size()) return false;
  if (sketch.origin_ns % (static_cast<std::int64_t>(sketch.width_s) * kNanosPerSecond) != 0) return false;
  if (sketch.rows_by_level.size() > model::kLevelCount) return false;
  return std::all_of(sketch.rows_by_level.begin(), sketch.rows_by_level.end(), [&](const auto& level) { return level.second.size() == sketch.rows.size(); });
}

}  // namespace

void append_chunk_list(std::string& out, std::int64_t day, std::span<const PlacedRef> refs) {
  std::uint32_t object = 0;
  std::int64_t previous_ns = day * kNanosPerDay;
  for (const PlacedRef& placed : refs) {
    const ChunkRef& ref = *placed.chunk;
    const bool ms = ref.min_ts_ns % kNanosPerMilli == 0 && ref.max_ts_ns % kNanosPerMilli == 0;
    codec::append_varint(out, (ref.group ? kGroup : 0) | (ms ? kMilliseconds : 0));
    codec::append_zigzag(out, static_cast<std::int64_t>(placed.object) - object);
    codec::append_varint(out, ref.offset / kAlignment);
    codec::append_varint(out, ref.length);
    codec::append_varint(out, ref.hot_length);
    const auto duration_ns = static_cast<std::uint64_t>(wrapping_difference(ref.max_ts_ns, ref.min_ts_ns));
    if (ms) {
      codec::append_zigzag(out, ref.min_ts_ns / kNanosPerMilli - floor_ms(previous_ns));
      codec::append_varint(out, duration_ns / kNanosPerMilli);
    } else {
      codec::append_zigzag(out, wrapping_difference(ref.min_ts_ns, previous_ns));
      codec::append_varint(out, duration_ns);
    }
    codec::append_varint(out, ref.rows);
    codec::append_varint(out, ref.raw_bytes);
    append_le<std::uint64_t>(out, ref.content_id);
    if (ref.group) codec::append_varint(out, ref.first_row);
    object = placed.object;
    previous_ns = ref.min_ts_ns;
  }
}

ObjectRef read_object(const char* entry) {
  ObjectRef object;
  std::memcpy(object.id.bytes.data(), entry, object.id.bytes.size());
  object.shard_start_ns = load_le<std::int64_t>(entry + 16);
  object.length = load_le<std::uint64_t>(entry + 24);
  object.tail_offset = load_le<std::uint64_t>(entry + 32);
  return object;
}

ChunkListReader::ChunkListReader(ByteView list, std::int64_t day, ByteView objects)
    : p_(list.data()), end_(list.data() + list.size()), objects_(objects), min_ts_ns_(day * kNanosPerDay) {}

Result<void> ChunkListReader::next(ChunkRef& ref) {
  codec::ByteReader in(ByteView(p_, static_cast<std::size_t>(end_ - p_)));
  const std::uint64_t flags = in.varint();
  const std::int64_t object = wrapping_sum(object_, in.zigzag());
  const std::uint64_t offset = in.varint(), length = in.varint(), hot_length = in.varint();
  const std::int64_t min_delta = in.zigzag();
  const std::uint64_t duration = in.varint();
  const std::uint64_t rows = in.varint();
  ref.raw_bytes = in.varint();
  ref.content_id = in.fixed<std::uint64_t>();
  const std::uint64_t first_row = (flags & kGroup) != 0 ? in.varint() : 0;
  if (!in.ok()) return corrupt_index("chunk list: truncated");
  if ((flags & ~kKnownFlags) != 0) return corrupt_index("chunk list: unknown flags");
  if (object < 0 || static_cast<std::uint64_t>(object) >= objects_.size() / kObjectEntryBytes) return corrupt_index("chunk list: no such object");
  if (offset > kOffsetMax / kAlignment || length > UINT32_MAX || hot_length > length || rows > UINT32_MAX || first_row > UINT32_MAX) {
    return corrupt_index("chunk list: number out of range");
  }
  if ((flags & kMilliseconds) != 0) {
    std::int64_t min_ns = 0, duration_ns = 0;
    if (duration > static_cast<std::uint64_t>(INT64_MAX) ||
        __builtin_mul_overflow(wrapping_sum(floor_ms(min_ts_ns_), min_delta), kNanosPerMilli, &min_ns) ||
        __builtin_mul_overflow(static_cast<std::int64_t>(duration), kNanosPerMilli, &duration_ns)) {
      return corrupt_index("chunk list: time out of range");
    }
    ref.min_ts_ns = min_ns;
    ref.max_ts_ns = wrapping_sum(min_ns, duration_ns);
  } else {
    ref.min_ts_ns = wrapping_sum(min_ts_ns_, min_delta);
    ref.max_ts_ns = wrapping_sum(ref.min_ts_ns, static_cast<std::int64_t>(duration));
  }
  if (ref.max_ts_ns < ref.min_ts_ns) return corrupt_index("chunk list: time out of range");
  object_ = static_cast<std::uint32_t>(object);
  ref.object = read_object(objects_.data() + object_ * kObjectEntryBytes);
  ref.offset = offset * kAlignment;
  if (ref.object.length != 0 && (ref.offset > ref.object.length || length > ref.object.length - ref.offset)) return corrupt_index("chunk list: chunk beyond its object");
  ref.length = static_cast<std::uint32_t>(length);
  ref.hot_length = static_cast<std::uint32_t>(hot_length);
  ref.rows = static_cast<std::uint32_t>(rows);
  ref.group = (flags & kGroup) != 0;
  ref.first_row = static_cast<std::uint32_t>(first_row);
  min_ts_ns_ = ref.min_ts_ns;
  p_ = end_ - in.remaining();
  return {};
}

void append_sketch(std::string& out, const chunk::Sketch& sketch) {
  if (!can_store(sketch)) {
    out.push_back('\0');
    return;
  }
  out.push_back(static_cast<char>(width_code(sketch.width_s)));
  codec::append_zigzag(out, sketch.origin_ns / (static_cast<std::int64_t>(sketch.width_s) * kNanosPerSecond));
  codec::append_varint(out, sketch.rows.size());
  for (const std::uint32_t rows : sketch.rows) codec::append_varint(out, rows);
  for (const std::uint64_t bytes : sketch.bytes) codec::append_varint(out, bytes);
  out.push_back(static_cast<char>(sketch.rows_by_level.size()));
  for (const auto& [level, rows_of_level] : sketch.rows_by_level) {
    out.push_back(static_cast<char>(level));
    for (const std::uint32_t rows : rows_of_level) codec::append_varint(out, rows);
  }
}

Result<void> read_sketches(ByteView raw, std::uint32_t count, std::vector<chunk::Sketch>& out) {
  codec::ByteReader in(raw);
  out.clear();
  const auto read_rows = [&](std::vector<std::uint32_t>& rows) {
    for (std::uint32_t& value : rows) {
      const std::uint64_t read = in.varint();
      if (read > UINT32_MAX) return false;
      value = static_cast<std::uint32_t>(read);
    }
    return in.ok();
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    chunk::Sketch& sketch = out.emplace_back();
    const std::uint8_t first = in.fixed<std::uint8_t>(), code = first & ~kFormerFlag;
    if (!in.ok() || code > 4 || first == kFormerFlag) return corrupt_index("sketch: unknown width");
    if (code == 0) continue;
    sketch.width_s = kWidths[code];
    if (__builtin_mul_overflow(in.zigzag(), static_cast<std::int64_t>(sketch.width_s) * kNanosPerSecond, &sketch.origin_ns)) {
      return corrupt_index("sketch: origin out of range");
    }
    const std::uint64_t buckets = in.varint();
    if (!in.ok() || buckets > kSketchBucketsMax || 2 * buckets > in.remaining()) return corrupt_index("sketch: number of buckets");
    sketch.rows.resize(buckets);
    if (!read_rows(sketch.rows)) return corrupt_index("sketch: rows");
    sketch.bytes.resize(buckets);
    for (std::uint64_t& bytes : sketch.bytes) bytes = in.varint();
    const std::uint8_t levels = in.fixed<std::uint8_t>();
    if (!in.ok() || levels > model::kLevelCount) return corrupt_index("sketch: levels");
    for (std::uint8_t l = 0; l < levels; ++l) {
      auto& [level, rows] = sketch.rows_by_level.emplace_back();
      level = in.fixed<std::uint8_t>();
      if (!in.ok() || buckets > in.remaining()) return corrupt_index("sketch: rows by level");
      rows.resize(buckets);
      if (!read_rows(rows)) return corrupt_index("sketch: rows by level");
    }
  }
  if (!in.at_end()) return corrupt_index("sketch: bytes left over");
  return {};
}

}  // namespace skald::index
