// Evaluation times and range windows of a metric query, cut into intervals that windows are unions of.
#pragma once

#include <cstdint>
#include <vector>

namespace skald::engine {

// Evaluation times: start, start + step, … up to and including `end`. Instant queries have one.
struct StepGrid {
  std::int64_t start_ns = 0;
  std::int64_t step_ns = 0;   // > 0 unless count == 1
  std::uint32_t count = 0;
  std::int64_t at(std::uint32_t k) const { return start_ns + static_cast<std::int64_t>(k) * step_ns; }
};

// Windows (t - offset - range, t - offset] for every t of a StepGrid. The distinct window edges, sorted, cut time into
// intervals (edge i, edge i+1]; a sample belongs to one interval and a window is a run of intervals, so samples are
// folded once per interval however much the windows overlap.
class WindowGrid {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  WindowGrid(const StepGrid& steps, std::int64_t range_ns, std::int64_t offset_ns);

  std::uint32_t interval_count() const { return static_cast<std::uint32_t>(covered_.size()); }
  std::uint32_t step_count() const { return static_cast<std::uint32_t>(first_.size()); }
  // Intervals [first_interval(k), last_interval(k)) make up window k; empty when range is 0.
  std::uint32_t first_interval(std::uint32_t k) const { return first_[k]; }
  std::uint32_t last_interval(std::uint32_t k) const { return last_[k]; }
  std::int64_t window_start(std::uint32_t k) const { return edges_[first_[k]]; }  // exclusive
  std::int64_t window_end(std::uint32_t k) const { return edges_[last_[k]]; }     // inclusive

  // All windows lie in (min_ns(), max_ns()].
  std::int64_t min_ns() const { return edges_.front(); }
  std::int64_t max_ns() const { return edges_.back(); }
  std::int64_t interval_end(std::uint32_t i) const { return edges_[i + 1]; }
  bool covered(std::uint32_t i) const { return covered_[i]; }

  // Interval a time lies in, whether covered by a window or not; kNone outside all edges. `hint` (an interval at or
  // before the answer) makes ascending look-ups cheap.
  std::uint32_t find(std::int64_t ts_ns, std::uint32_t hint = 0) const;
  // Whether some window holds a time in [min_ts_ns, max_ts_ns] (may say yes too often, never no wrongly).
  bool touches(std::int64_t min_ts_ns, std::int64_t max_ts_ns) const;

 private:
  std::vector<std::int64_t> edges_;
  std::vector<char> covered_;          // per interval: some window contains it
  std::vector<std::uint32_t> first_, last_;   // per step
};

}  // namespace skald::engine
