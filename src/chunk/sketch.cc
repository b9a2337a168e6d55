#include "chunk/sketch.h"

#include "skald/base/clock.h"

namespace skald::chunk {
namespace {

// Buckets are left-open: a row exactly on a border belongs to the bucket that ends there.
std::int64_t bucket_of(std::int64_t ts_ns, std::int64_t width_ns) {
  const std::int64_t quotient = ts_ns / width_ns;
  const std::int64_t remainder = ts_ns % width_ns;
  return remainder > 0 ? quotient : quotient - 1;   // ceil(ts / width) - 1, also below zero
}

}  // namespace

SketchBuilder::SketchBuilder(std::int64_t min_ts_ns, std::int64_t max_ts_ns, std::size_t buckets_max) {
  for (const std::uint32_t width_s : {1U, 10U, 60U, 300U}) {
    const std::int64_t width_ns = width_s * kNanosPerSecond;
    const std::int64_t first = bucket_of(min_ts_ns, width_ns);
    const auto buckets = static_cast<std::uint64_t>(bucket_of(max_ts_ns, width_ns) - first) + 1;
    if (buckets > buckets_max) continue;
    if (__builtin_mul_overflow(first, width_ns, &sketch_.origin_ns)) return;   // within a bucket of the first year int64 knows
    sketch_.width_s = width_s;
    sketch_.rows.resize(buckets);
    sketch_.bytes.resize(buckets);
    width_ns_ = width_ns;
    return;
  }
}

void SketchBuilder::add(const Columns& columns) {
  if (sketch_.width_s == 0) return;
  const std::int64_t first = sketch_.origin_ns / width_ns_;
  // Sorted rows stay in one bucket for long: the division is made once per bucket.
  std::int64_t low_ns = 0;
  std::int64_t high_ns = 0;   // the held bucket is (low, high]; none yet
  std::size_t bucket = 0;
  bool held = false;
  for (std::uint32_t row = 0; row < columns.rows; ++row) {
    const std::int64_t ts = columns.timestamps_ns[row];
    if (!held || ts <= low_ns || ts > high_ns) {
      const std::int64_t number = bucket_of(ts, width_ns_);
      bucket = static_cast<std::size_t>(number - first);
      low_ns = number * width_ns_;
      held = !__builtin_add_overflow(low_ns, width_ns_, &high_ns);
    }
    ++sketch_.rows[bucket];
    sketch_.bytes[bucket] += columns.line_offsets[row + 1] - columns.line_offsets[row] - 1;
    if (columns.levels.empty() || columns.levels[row] == 0) continue;
    std::vector<std::uint32_t>& by_level = rows_by_level_[columns.levels[row]];
    if (by_level.empty()) by_level.resize(sketch_.rows.size());
    ++by_level[bucket];
  }
}

Sketch SketchBuilder::finish() {
  for (std::uint8_t level = 0; level < model::kLevelCount; ++level) {
    if (!rows_by_level_[level].empty()) sketch_.rows_by_level.emplace_back(level, std::move(rows_by_level_[level]));
  }
  return std::move(sketch_);
}

}  // namespace skald::chunk
