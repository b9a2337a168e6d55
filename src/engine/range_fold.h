// What a range aggregation keeps per series and interval, and how windows are folded from it.
//
// Every accumulator is a commutative monoid (empty value = default constructed, `merge`), so that rows may arrive in any
// order from any number of blocks and workers. Functions that need the samples themselves keep SampleList instead.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "engine/range_grid.h"

namespace skald::engine {

// Rows, and the sum of something that is a whole number: no rounding, so windows may subtract.
struct CountFold {
  std::uint64_t rows = 0;
  std::uint64_t sum = 0;     // bytes; unused for counts
  void merge(const CountFold& o) { rows += o.rows; sum += o.sum; }
};

struct SumFold {
  std::uint64_t rows = 0;
  double sum = 0;
  void add(double v, std::int64_t) { ++rows; sum += v; }
  void merge(const SumFold& o) { rows += o.rows; sum += o.sum; }
  double sum_value() const { return sum; }
};

// NaN gives way to any other value.
template <bool kMax>
struct ExtremeFold {
  std::uint64_t rows = 0;
  double value = std::numeric_limits<double>::quiet_NaN();
  void take(double v) {
    if (std::isnan(value) || (kMax ? v > value : v < value)) value = v;
  }
  void add(double v, std::int64_t) { ++rows; take(v); }
  void merge(const ExtremeFold& o) { if (o.rows != 0) { rows += o.rows; take(o.value); } }
};

// Mean kept as Loki keeps it: once infinite, only an opposite infinity or NaN moves it.
struct MeanFold {
  std::uint64_t rows = 0;
  double mean = 0;
  void add(double v, std::int64_t) { MeanFold one; one.rows = 1; one.mean = v; merge(one); }
  void merge(const MeanFold& o) {
    if (o.rows == 0) return;
    if (rows == 0) { *this = o; return; }
    rows += o.rows;
    if (std::isinf(mean)) {
      if (std::isinf(o.mean) && (mean > 0) == (o.mean > 0)) return;
      if (!std::isinf(o.mean) && !std::isnan(o.mean)) return;
    }
    const double weight = static_cast<double>(o.rows) / static_cast<double>(rows);
    mean += o.mean * weight - mean * weight;
  }
};

// Welford, merged after Chan, Golub and LeVeque (1979).
struct VarianceFold {
  std::uint64_t rows = 0;
  double mean = 0, m2 = 0;
  void add(double v, std::int64_t) {
    ++rows;
    const double delta = v - mean;
    mean += delta / static_cast<double>(rows);
    m2 += delta * (v - mean);
  }
  void merge(const VarianceFold& o) {
    if (o.rows == 0) return;
    if (rows == 0) { *this = o; return; }
    const double n = static_cast<double>(rows), m = static_cast<double>(o.rows), delta = o.mean - mean;
    m2 += o.m2 + delta * delta * n * m / (n + m);
    mean += delta * m / (n + m);
    rows += o.rows;
  }
  double variance() const { return m2 / static_cast<double>(rows); }
};

// Equal times: the sample seen first (or last) stays.
template <bool kLast>
struct EdgeFold {
  std::uint64_t rows = 0;
  std::int64_t ts_ns = 0;
  double value = 0;
  void add(double v, std::int64_t ts) {
    if (rows++ == 0 || (kLast ? ts >= ts_ns : ts < ts_ns)) { value = v; ts_ns = ts; }
  }
  void merge(const EdgeFold& o) {
    if (o.rows == 0) return;
    const std::uint64_t total = rows + o.rows;
    if (rows == 0 || (kLast ? o.ts_ns >= ts_ns : o.ts_ns < ts_ns)) *this = o;
    rows = total;
  }
};

template <class Fold>
struct Cell {
  std::uint32_t interval = 0;
  Fold fold;
};

// A series' cells, sorted by interval. Appending in time order, the common case, touches the last cell only.
template <class Fold>
class CellList {
 public:
  Fold& at(std::uint32_t interval) {
    if (cursor_ < cells_.size() && cells_[cursor_].interval == interval) return cells_[cursor_].fold;
    if (cells_.empty() || cells_.back().interval < interval) {
      cells_.push_back({interval, {}});
      cursor_ = cells_.size() - 1;
      return cells_.back().fold;
    }
    // A further stream of the same series starts over from earlier times.
    const auto it = std::lower_bound(cells_.begin(), cells_.end(), interval,
                                     [](const Cell<Fold>& c, std::uint32_t i) { return c.interval < i; });
    cursor_ = static_cast<std::size_t>(it - cells_.begin());
    if (it == cells_.end() || it->interval != interval) cells_.insert(it, {interval, {}});
    return cells_[cursor_].fold;
  }
  std::vector<Cell<Fold>>& cells() { return cells_; }
  std::uint64_t bytes() const { return cells_.capacity() * sizeof(Cell<Fold>); }

  void absorb(CellList&& other) {
    if (cells_.empty()) { cells_ = std::move(other.cells_); return; }
    std::vector<Cell<Fold>> merged;
    merged.reserve(cells_.size() + other.cells_.size());
    std::size_t i = 0, j = 0;
    while (i < cells_.size() || j < other.cells_.size()) {
      if (j == other.cells_.size() || (i < cells_.size() && cells_[i].interval < other.cells_[j].interval)) merged.push_back(cells_[i++]);
      else if (i == cells_.size() || other.cells_[j].interval < cells_[i].interval) merged.push_back(other.cells_[j++]);
      else { merged.push_back(cells_[i++]); merged.back().fold.merge(other.cells_[j++].fold); }
    }
    cells_ = std::move(merged);
    cursor_ = 0;
  }

 private:
  std::vector<Cell<Fold>> cells_;
  std::size_t cursor_ = 0;
};

// Calls emit(step, fold) for every step whose window holds at least one cell. Linear in cells + steps whatever the
// overlap: the window is a queue kept as a stack of suffix folds and one running fold (two-stack queue), which works
// for every monoid and never subtracts.
template <class Fold, class Emit>
void fold_windows(const std::vector<Cell<Fold>>& cells, const WindowGrid& grid, Emit&& emit) {
  std::vector<Fold> suffix;      // suffix[i - base] folds cells [i, middle)
  std::size_t base = 0, middle = 0, low = 0, high = 0;
  Fold back;                     // folds cells [middle, high)
  const std::uint32_t steps = grid.step_count();
  for (std::uint32_t k = 0; k < steps; ++k) {
    const std::uint32_t from = grid.first_interval(k), to = grid.last_interval(k);
    while (high < cells.size() && cells[high].interval < to) back.merge(cells[high++].fold);
    while (low < high && cells[low].interval < from) ++low;
    if (low == high) {
      middle = low; base = low; suffix.clear(); back = Fold{};
      continue;
    }
    if (low >= middle) {         // the front stack is used up: turn the back over
      suffix.assign(high - low, Fold{});
      Fold running;
      for (std::size_t i = high; i-- > low;) {
        Fold next = cells[i].fold;
        next.merge(running);
        running = next;
        suffix[i - low] = running;
      }
      base = low; middle = high; back = Fold{};
    }
    Fold window = suffix[low - base];
    window.merge(back);
    emit(k, window);
  }
}

struct TimedValue {
  std::int64_t ts_ns = 0;
  double value = 0;
};

// emit(step, begin, end) over samples sorted by time, for every step with a sample in its window.
template <class Emit>
void sample_windows(const std::vector<TimedValue>& samples, const WindowGrid& grid, Emit&& emit) {
  std::size_t low = 0, high = 0;
  for (std::uint32_t k = 0; k < grid.step_count(); ++k) {
    const std::int64_t after = grid.window_start(k), until = grid.window_end(k);
    while (high < samples.size() && samples[high].ts_ns <= until) ++high;
    while (low < high && samples[low].ts_ns <= after) ++low;
    if (low < high) emit(k, samples.data() + low, samples.data() + high);
  }
}

// Linear interpolation on q * (n - 1) of the sorted values; q < 0 → -Inf, q > 1 → +Inf. `values` is sorted in place.
double quantile_of(double q, std::vector<double>& values);

// Prometheus' extrapolated counter rate per second; 0 with fewer than two samples.
double counter_rate(const TimedValue* begin, const TimedValue* end, std::int64_t window_start_ns, std::int64_t window_end_ns);

}  // namespace skald::engine
