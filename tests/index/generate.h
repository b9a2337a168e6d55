// Random label sets and chunk references for the index tests, from a seed.
#pragma once

#include <string>
#include <vector>

#include "skald/base/random.h"
#include "skald/base/clock.h"
#include "skald/index/chunk_ref.h"
#include "skald/index/series_index.h"

namespace skald::index::testing {

inline constexpr std::int64_t kDay = 20'000;   // 2024-10-04
inline constexpr std::int64_t kDayStart = kDay * kNanosPerDay;

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t limit) { return random_.next_u64() % limit; }
  Random& random() { return random_; }

  model::LabelsPtr labels() {
    std::vector<model::Label> pairs;
    const auto maybe = [&](const char* name, std::uint64_t values, std::uint64_t percent) {
      if (below(100) < percent) pairs.push_back({name, std::string(name).substr(0, 2) + "-" + std::to_string(below(values))});
    };
    maybe("env", 3, 95);
    maybe("app", 12, 90);
    maybe("namespace", 6, 70);
    maybe("pod", 500, 60);
    maybe("empty_shared", 1, 30);
    if (below(20) == 0) pairs.push_back({"odd", std::string("\xC3\xA4\n\"\0x", 6)});
    return model::intern(model::Labels::from_pairs(std::move(pairs)));
  }

  ObjectRef object() {
    ObjectRef object;
    object.id = Ulid::make(kDayStart + static_cast<std::int64_t>(below(1'000'000)) * kNanosPerMilli, random_);
    object.shard_start_ns = kDayStart + static_cast<std::int64_t>(below(12)) * chunk::kTimeShardNs;
    object.length = 256 << 20;
    object.tail_offset = object.length - below(300'000);
    return object;
  }

  // Touches kDay; one in eight also the day before or after.
  ChunkRef chunk(const ObjectRef& object) {
    ChunkRef ref;
    ref.object = object;
    ref.offset = below(1 << 20) * 64;
    ref.length = 1000 + static_cast<std::uint32_t>(below(2'000'000));
    ref.hot_length = ref.length / 10;
    ref.min_ts_ns = kDayStart + static_cast<std::int64_t>(below(kNanosPerDay));
    std::int64_t duration_ns = static_cast<std::int64_t>(below(kNanosPerHour));
    if (below(3) == 0) {
      ref.min_ts_ns = ref.min_ts_ns / kNanosPerMilli * kNanosPerMilli;
      duration_ns = duration_ns / kNanosPerMilli * kNanosPerMilli;
    }
    ref.max_ts_ns = ref.min_ts_ns + duration_ns;
    if (below(16) == 0) {
      ref.min_ts_ns = kDayStart - 5;
      ref.max_ts_ns = kDayStart + 5;
    }
    ref.rows = 1 + static_cast<std::uint32_t>(below(40'000));
    ref.raw_bytes = ref.rows * (1 + below(300));
    ref.content_id = random_.next_u64();
    ref.group = below(4) == 0;
    if (ref.group) ref.first_row = static_cast<std::uint32_t>(below(100'000));
    if (below(3) != 0) ref.sketch = sketch(ref.min_ts_ns, 1 + below(40));
    return ref;
  }

  chunk::Sketch sketch(std::int64_t min_ts_ns, std::size_t buckets) {
    constexpr std::uint32_t kWidths[] = {1, 10, 60, 300};
    chunk::Sketch sketch;
    sketch.width_s = kWidths[below(4)];
    const std::int64_t width_ns = sketch.width_s * kNanosPerSecond;
    sketch.origin_ns = min_ts_ns / width_ns * width_ns;
    for (std::size_t i = 0; i < buckets; ++i) {
      sketch.rows.push_back(static_cast<std::uint32_t>(below(1000)));
      sketch.bytes.push_back(below(100'000));
    }
    for (std::uint8_t level = 3; level < 3 + below(4); ++level) {
      sketch.rows_by_level.emplace_back(level, std::vector<std::uint32_t>(buckets, level));
    }
    return sketch;
  }

 private:
  SeededRandom random_;
};

// Everything of a reference as text, so that a failing comparison can be read.
inline std::string describe(const ChunkRef& ref, bool with_sketch) {
  std::string out = ref.object.id.to_string() + " " + std::to_string(ref.object.shard_start_ns) + " " + std::to_string(ref.object.length) + " " +
                    std::to_string(ref.object.tail_offset);
  for (const std::uint64_t field : {ref.offset, std::uint64_t{ref.length}, std::uint64_t{ref.hot_length}, static_cast<std::uint64_t>(ref.min_ts_ns),
                                    static_cast<std::uint64_t>(ref.max_ts_ns), std::uint64_t{ref.rows}, ref.raw_bytes, ref.content_id,
                                    std::uint64_t{ref.group}, std::uint64_t{ref.first_row}}) {
    out += " " + std::to_string(field);
  }
  if (with_sketch) {
    out += " sketch " + std::to_string(ref.sketch.width_s) + " " + std::to_string(ref.sketch.origin_ns);
    for (const std::uint32_t rows : ref.sketch.rows) out += " " + std::to_string(rows);
    for (const std::uint64_t bytes : ref.sketch.bytes) out += " " + std::to_string(bytes);
    for (const auto& [level, rows] : ref.sketch.rows_by_level) {
      out += " level " + std::to_string(level);
      for (const std::uint32_t value : rows) out += " " + std::to_string(value);
    }
  }
  return out;
}

}  // namespace skald::index::testing
