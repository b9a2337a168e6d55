#include "engine/range_grid.h"

#include <algorithm>

namespace skald::engine {

WindowGrid::WindowGrid(const StepGrid& steps, std::int64_t range_ns, std::int64_t offset_ns) {
  const std::uint32_t n = steps.count;
  std::vector<std::int64_t> starts(n), ends(n);
  for (std::uint32_t k = 0; k < n; ++k) {
    ends[k] = steps.at(k) - offset_ns;
    starts[k] = ends[k] - range_ns;
  }
  edges_.resize(2 * static_cast<std::size_t>(n));
  std::merge(starts.begin(), starts.end(), ends.begin(), ends.end(), edges_.begin());
  edges_.erase(std::unique(edges_.begin(), edges_.end()), edges_.end());
  covered_.assign(edges_.size() - 1, 0);
  first_.resize(n);
  last_.resize(n);
  std::uint32_t a = 0, b = 0, marked = 0;
  for (std::uint32_t k = 0; k < n; ++k) {   // both cursors only move forward: starts and ends ascend
    while (edges_[a] < starts[k]) ++a;
    while (edges_[b] < ends[k]) ++b;
    first_[k] = a;
    last_[k] = b;
    for (marked = std::max(marked, a); marked < b; ++marked) covered_[marked] = 1;
  }
}

std::uint32_t WindowGrid::find(std::int64_t ts_ns, std::uint32_t hint) const {
  if (ts_ns <= edges_.front() || ts_ns > edges_.back()) return kNone;
  // Interval i holds ts when edges[i] < ts <= edges[i + 1].
  if (hint < covered_.size() && edges_[hint] < ts_ns) {
    if (ts_ns <= edges_[hint + 1]) return hint;
    if (ts_ns <= edges_[hint + 2]) return hint + 1;   // hint + 2 exists: ts <= edges_.back()
    const auto it = std::lower_bound(edges_.begin() + hint + 2, edges_.end(), ts_ns);
    return static_cast<std::uint32_t>(it - edges_.begin()) - 1;
  }
  const auto it = std::lower_bound(edges_.begin(), edges_.end(), ts_ns);
  return static_cast<std::uint32_t>(it - edges_.begin()) - 1;
}

bool WindowGrid::touches(std::int64_t min_ts_ns, std::int64_t max_ts_ns) const {
  if (covered_.empty() || max_ts_ns <= edges_.front() || min_ts_ns > edges_.back()) return false;
  const std::uint32_t lo = min_ts_ns <= edges_.front() ? 0 : find(min_ts_ns);
  const std::uint32_t hi = max_ts_ns > edges_.back() ? interval_count() - 1 : find(max_ts_ns);
  for (std::uint32_t i = lo; i <= hi; ++i)
    if (covered_[i]) return true;
  return false;
}

}  // namespace skald::engine
