#include "engine/range_fold.h"

namespace skald::engine {

double quantile_of(double q, std::vector<double>& values) {
  if (values.empty() || std::isnan(q)) return std::numeric_limits<double>::quiet_NaN();
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  // NaN sorts first, as a smallest value.
  std::sort(values.begin(), values.end(), [](double a, double b) { return std::isnan(a) ? !std::isnan(b) : a < b; });
  const double rank = q * (static_cast<double>(values.size()) - 1);
  const double low = std::max(0.0, std::floor(rank));
  const double high = std::min(static_cast<double>(values.size()) - 1, low + 1);
  const double weight = rank - std::floor(rank);
  return values[static_cast<std::size_t>(low)] * (1 - weight) + values[static_cast<std::size_t>(high)] * weight;
}

double counter_rate(const TimedValue* begin, const TimedValue* end, std::int64_t window_start_ns, std::int64_t window_end_ns) {
  const std::size_t n = static_cast<std::size_t>(end - begin);
  if (n < 2) return 0;
  const TimedValue& first = begin[0];
  const TimedValue& last = begin[n - 1];
  double increase = last.value - first.value;
  double previous = 0;
  for (const TimedValue* s = begin; s != end; ++s) {
    if (s->value < previous) increase += previous;   // the counter was reset
    previous = s->value;
  }
  double gap_start = static_cast<double>(first.ts_ns - window_start_ns) / 1e9;
  double gap_end = static_cast<double>(window_end_ns - last.ts_ns) / 1e9;
  const double sampled = static_cast<double>(last.ts_ns - first.ts_ns) / 1e9;
  const double average = sampled / static_cast<double>(n - 1);
  if (increase > 0 && first.value >= 0) {
    const double to_zero = sampled * (first.value / increase);
    if (to_zero < gap_start) gap_start = to_zero;    // counters do not start below zero
  }
  const double threshold = average * 1.1;
  double covered = sampled;
  covered += gap_start < threshold ? gap_start : average / 2;
  covered += gap_end < threshold ? gap_end : average / 2;
  const double seconds = static_cast<double>(window_end_ns - window_start_ns) / 1e9;
  return increase * (covered / sampled) / seconds;
}

}  // namespace skald::engine
