#include "engine/range_sink.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/range_fold.h"

namespace skald::engine {

using logql::RangeOp;

bool reads_line_bytes(RangeOp op) { return op == RangeOp::kBytesOverTime || op == RangeOp::kBytesRate; }

bool counts_rows(const logql::RangeAggregation& aggregation) {
  switch (aggregation.op) {
    case RangeOp::kCountOverTime: case RangeOp::kBytesOverTime: case RangeOp::kBytesRate: case RangeOp::kAbsentOverTime: return true;
    case RangeOp::kRate: return !aggregation.range.unwrap.has_value();
    default: return false;
  }
}

namespace {

constexpr std::size_t kSamplesPerCheck = 100'000;   // sorted in about 10 ms

// Calls on_run(interval, first, last) for each run of times that lie in one interval that a window covers.
template <class OnRun>
void for_each_run(std::span<const std::int64_t> times, const WindowGrid& grid, OnRun on_run) {
  std::uint32_t hint = 0;
  for (std::size_t i = 0; i < times.size();) {
    const std::uint32_t interval = grid.find(times[i], hint);
    if (interval == WindowGrid::kNone) {
      ++i;
      continue;
    }
    hint = interval;
    const std::int64_t until = grid.interval_end(interval);
    std::size_t last = i + 1;
    if (times.back() <= until) last = times.size();
    while (last < times.size() && times[last] <= until) ++last;
    if (grid.covered(interval)) on_run(interval, i, last);
    i = last;
  }
}

template <class Series>
Series& series_at(std::vector<Series>& all, std::uint32_t set) {
  if (set >= all.size()) all.resize(set + 1);
  return all[set];
}

class CountSink final : public RangeSink {
 public:
  CountSink(const WindowGrid& grid, bool bytes, double divisor) : grid_(grid), bytes_(bytes), divisor_(divisor) {}

  void add_frame(Frame& frame, std::span<const std::uint32_t> sets) override {
    for_each_run(frame.timestamps(), grid_, [&](std::uint32_t interval, std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last;) {
        const std::uint32_t set = sets[i];
        CountFold& fold = series_at(series_, set).at(interval);
        for (; i < last && sets[i] == set; ++i) {
          ++fold.rows;
          if (bytes_) fold.sum += frame.line(static_cast<std::uint32_t>(i)).size();
        }
      }
    });
  }
  void add_counted(std::uint32_t set, std::uint32_t interval, std::uint64_t rows, std::uint64_t bytes) override {
    CountFold& fold = series_at(series_, set).at(interval);
    fold.rows += rows;
    fold.sum += bytes;
  }
  void absorb(RangeSink& other, std::span<const std::uint32_t> set_map) override {
    auto& theirs = static_cast<CountSink&>(other).series_;
    for (std::uint32_t s = 0; s < theirs.size(); ++s)
      if (!theirs[s].cells().empty()) series_at(series_, set_map[s]).absorb(std::move(theirs[s]));
  }
  std::uint64_t bytes() const override {
    std::uint64_t bytes = series_.capacity() * sizeof(series_[0]);
    for (const auto& series : series_) bytes += series.bytes();
    return bytes;
  }
  Result<std::vector<Point>> finish(std::uint32_t set, const CallContext&) override {
    std::vector<Point> points;
    if (set >= series_.size()) return points;
    const auto& cells = series_[set].cells();
    std::size_t low = 0, high = 0;
    CountFold window;   // whole numbers: adding and taking away is exact
    for (std::uint32_t k = 0; k < grid_.step_count(); ++k) {
      for (; high < cells.size() && cells[high].interval < grid_.last_interval(k); ++high) window.merge(cells[high].fold);
      for (; low < high && cells[low].interval < grid_.first_interval(k); ++low) {
        window.rows -= cells[low].fold.rows;
        window.sum -= cells[low].fold.sum;
      }
      if (window.rows != 0) points.push_back({k, static_cast<double>(bytes_ ? window.sum : window.rows) / divisor_});
    }
    return points;
  }

 private:
  const WindowGrid& grid_;
  const bool bytes_;
  const double divisor_;
  std::vector<CellList<CountFold>> series_;
};

template <class Fold>
class FoldSink final : public RangeSink {
 public:
  using Finish = double (*)(const Fold&, double divisor);
  FoldSink(const WindowGrid& grid, Finish function, double divisor = 1) : grid_(grid), finish_(function), divisor_(divisor) {}

  void add_frame(Frame& frame, std::span<const std::uint32_t> sets) override {
    const std::span<const std::int64_t> times = frame.timestamps();
    const std::span<const double> values = frame.unwrapped();
    SKALD_CHECK(values.size() == times.size());
    for_each_run(times, grid_, [&](std::uint32_t interval, std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) series_at(series_, sets[i]).at(interval).add(values[i], times[i]);
    });
  }
  void add_counted(std::uint32_t, std::uint32_t, std::uint64_t, std::uint64_t) override { SKALD_CHECK(false); }
  void absorb(RangeSink& other, std::span<const std::uint32_t> set_map) override {
    auto& theirs = static_cast<FoldSink&>(other).series_;
    for (std::uint32_t s = 0; s < theirs.size(); ++s)
      if (!theirs[s].cells().empty()) series_at(series_, set_map[s]).absorb(std::move(theirs[s]));
  }
  std::uint64_t bytes() const override {
    std::uint64_t bytes = series_.capacity() * sizeof(series_[0]);
    for (const auto& series : series_) bytes += series.bytes();
    return bytes;
  }
  Result<std::vector<Point>> finish(std::uint32_t set, const CallContext&) override {
    std::vector<Point> points;
    if (set >= series_.size()) return points;
    fold_windows(series_[set].cells(), grid_, [&](std::uint32_t k, const Fold& fold) { points.push_back({k, finish_(fold, divisor_)}); });
    return points;
  }

 private:
  const WindowGrid& grid_;
  const Finish finish_;
  const double divisor_;
  std::vector<CellList<Fold>> series_;
};

// Functions of all samples of a window: quantile_over_time and rate_counter.
class SampleSink final : public RangeSink {
 public:
  using Finish = std::function<double(const TimedValue* begin, const TimedValue* end, std::int64_t after_ns, std::int64_t until_ns)>;
  SampleSink(const WindowGrid& grid, Finish function) : grid_(grid), finish_(std::move(function)) {}

  void add_frame(Frame& frame, std::span<const std::uint32_t> sets) override {
    const std::span<const std::int64_t> times = frame.timestamps();
    const std::span<const double> values = frame.unwrapped();
    SKALD_CHECK(values.size() == times.size());
    for_each_run(times, grid_, [&](std::uint32_t, std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) series_at(series_, sets[i]).push_back({times[i], values[i]});
    });
  }
  void add_counted(std::uint32_t, std::uint32_t, std::uint64_t, std::uint64_t) override { SKALD_CHECK(false); }
  void absorb(RangeSink& other, std::span<const std::uint32_t> set_map) override {
    auto& theirs = static_cast<SampleSink&>(other).series_;
    for (std::uint32_t s = 0; s < theirs.size(); ++s) {
      if (theirs[s].empty()) continue;
      auto& ours = series_at(series_, set_map[s]);
      if (ours.empty()) ours = std::move(theirs[s]);
      else ours.insert(ours.end(), theirs[s].begin(), theirs[s].end());
    }
  }
  std::uint64_t bytes() const override {
    std::uint64_t bytes = series_.capacity() * sizeof(series_[0]);
    for (const auto& series : series_) bytes += series.capacity() * sizeof(TimedValue);
    return bytes;
  }
  Result<std::vector<Point>> finish(std::uint32_t set, const CallContext& ctx) override {
    std::vector<Point> points;
    if (set >= series_.size()) return points;
    auto& samples = series_[set];
    std::stable_sort(samples.begin(), samples.end(), [](const TimedValue& a, const TimedValue& b) { return a.ts_ns < b.ts_ns; });
    Result<void> alive;
    std::size_t looked_at = 0;   // samples since the last look at the context; wide windows at many steps take long
    sample_windows(samples, grid_, [&](std::uint32_t k, const TimedValue* begin, const TimedValue* end) {
      if (!alive.ok()) return;
      if ((looked_at += static_cast<std::size_t>(end - begin)) >= kSamplesPerCheck) {
        looked_at = 0;
        alive = ctx.check();
      }
      points.push_back({k, finish_(begin, end, grid_.window_start(k), grid_.window_end(k))});
    });
    SKALD_TRY_VOID(std::move(alive));
    return points;
  }

 private:
  const WindowGrid& grid_;
  const Finish finish_;
  std::vector<std::vector<TimedValue>> series_;
};

}  // namespace

std::unique_ptr<RangeSink> make_range_sink(const logql::RangeAggregation& aggregation, const WindowGrid& grid) {
  const double seconds = static_cast<double>(aggregation.range.range_ns) / 1e9;
  const double q = aggregation.parameter.value_or(0);
  switch (aggregation.op) {
    case RangeOp::kCountOverTime: case RangeOp::kAbsentOverTime: return std::make_unique<CountSink>(grid, false, 1);
    case RangeOp::kBytesOverTime: return std::make_unique<CountSink>(grid, true, 1);
    case RangeOp::kBytesRate: return std::make_unique<CountSink>(grid, true, seconds);
    case RangeOp::kRate:
      if (!aggregation.range.unwrap) return std::make_unique<CountSink>(grid, false, seconds);
      return std::make_unique<FoldSink<SumFold>>(grid, [](const SumFold& f, double s) { return f.sum / s; }, seconds);
    case RangeOp::kSumOverTime:
      return std::make_unique<FoldSink<SumFold>>(grid, [](const SumFold& f, double) { return f.sum; });
    case RangeOp::kAvgOverTime:
      return std::make_unique<FoldSink<MeanFold>>(grid, [](const MeanFold& f, double) { return f.mean; });
    case RangeOp::kMinOverTime:
      return std::make_unique<FoldSink<ExtremeFold<false>>>(grid, [](const ExtremeFold<false>& f, double) { return f.value; });
    case RangeOp::kMaxOverTime:
      return std::make_unique<FoldSink<ExtremeFold<true>>>(grid, [](const ExtremeFold<true>& f, double) { return f.value; });
    case RangeOp::kFirstOverTime:
      return std::make_unique<FoldSink<EdgeFold<false>>>(grid, [](const EdgeFold<false>& f, double) { return f.value; });
    case RangeOp::kLastOverTime:
      return std::make_unique<FoldSink<EdgeFold<true>>>(grid, [](const EdgeFold<true>& f, double) { return f.value; });
    case RangeOp::kStdvarOverTime:
      return std::make_unique<FoldSink<VarianceFold>>(grid, [](const VarianceFold& f, double) { return f.variance(); });
    case RangeOp::kStddevOverTime:
      return std::make_unique<FoldSink<VarianceFold>>(grid, [](const VarianceFold& f, double) { return std::sqrt(f.variance()); });
    case RangeOp::kQuantileOverTime:
      return std::make_unique<SampleSink>(grid, [q, values = std::vector<double>()](const TimedValue* b, const TimedValue* e, std::int64_t, std::int64_t) mutable {
        values.clear();
        for (; b != e; ++b) values.push_back(b->value);
        return quantile_of(q, values);
      });
    case RangeOp::kRateCounter:
      return std::make_unique<SampleSink>(grid, [](const TimedValue* b, const TimedValue* e, std::int64_t after, std::int64_t until) {
        return counter_rate(b, e, after, until);
      });
  }
  SKALD_CHECK(false);
  return nullptr;
}

}  // namespace skald::engine
