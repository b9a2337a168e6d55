#include "engine/index_counter.h"

#include <algorithm>

#include "skald/base/clock.h"
#include "skald/model/level.h"

namespace skald::engine {

IndexCounter::IndexCounter(const logql::RangeAggregation& aggregation, const logql::Grouping& grouping, const WindowGrid& grid)
    : aggregation_(aggregation), grouping_(grouping), grid_(grid), bytes_(reads_line_bytes(aggregation.op)), sink_(make_range_sink(aggregation, grid)) {}

void IndexCounter::in_memory(const model::InternedLabels& labels, std::int64_t min_ts_ns, std::int64_t max_ts_ns) {
  memory_[labels.hash].emplace_back(min_ts_ns, max_ts_ns);
}

void IndexCounter::restart() {
  sets_ = LabelSetTable();
  sink_ = make_range_sink(aggregation_, grid_);
  stats_ = QueryStats();
  taken_ = Taken();
  streams_.clear();
  stream_ = nullptr;
}

void IndexCounter::begin_stream(const model::LabelsPtr& labels) {
  stream_ = labels;
  by_level_ = by_unknown_ = false;
  set_of_level_.clear();
  for (const std::string& name : grouping_.labels) {
    if (labels->labels.has(name)) continue;
    if (name == model::kDetectedLevelName) by_level_ = true;
    else by_unknown_ = true;
  }
}

bool IndexCounter::is_in_memory(std::int64_t min_ts_ns, std::int64_t max_ts_ns) const {
  const auto found = memory_.find(stream_->hash);
  if (found == memory_.end()) return false;
  return std::any_of(found->second.begin(), found->second.end(),
                     [&](const auto& times) { return times.first <= max_ts_ns && times.second >= min_ts_ns; });
}

// Rows in (after, until]: whether one interval holds them all.
IndexCounter::Place IndexCounter::place(std::int64_t after_ns, std::int64_t until_ns, std::uint32_t& interval) const {
  if (until_ns <= grid_.min_ns() || after_ns >= grid_.max_ns()) return Place::kOutside;
  if (after_ns < grid_.min_ns() || until_ns > grid_.max_ns()) return Place::kStraddles;
  interval = grid_.find(after_ns + 1);
  if (interval == WindowGrid::kNone || grid_.find(until_ns, interval) != interval) return Place::kStraddles;
  return grid_.covered(interval) ? Place::kCounts : Place::kOutside;
}

bool IndexCounter::count_whole(const rpc::ChunkCounts& counts) {
  if (by_level_ || by_unknown_ || counts.min_ts_ns == INT64_MIN) return false;
  std::uint32_t interval = 0;
  const Place where = place(counts.min_ts_ns - 1, counts.max_ts_ns, interval);
  if (where == Place::kCounts) cells_.push_back({.level = 0, .interval = interval, .rows = counts.rows, .bytes = counts.raw_bytes});
  return where != Place::kStraddles;
}

bool IndexCounter::add_bucket(const chunk::Sketch& sketch, std::size_t bucket, std::uint32_t interval) {
  std::uint64_t left = sketch.rows[bucket];
  if (by_level_) {
    if (bytes_) return false;   // bytes are not known by level
    for (const auto& [level, rows] : sketch.rows_by_level) {
      if (bucket >= rows.size() || rows[bucket] > left) return false;
      if (rows[bucket] == 0) continue;
      cells_.push_back({.level = level, .interval = interval, .rows = rows[bucket], .bytes = 0});
      left -= rows[bucket];
    }
    if (left != 0) return false;   // their level may be another word, kept as ordinary metadata
  }
  if (left != 0) cells_.push_back({.level = 0, .interval = interval, .rows = left, .bytes = sketch.bytes[bucket]});
  return true;
}

bool IndexCounter::count_buckets(const rpc::ChunkCounts& counts) {
  const chunk::Sketch& sketch = *counts.sketch;
  // A label that no stream has may still be in the rows' metadata, which the index does not know.
  if (by_unknown_ || sketch.bytes.size() != sketch.rows.size() || counts.min_ts_ns == INT64_MIN) return false;
  const std::int64_t width_ns = sketch.width_s * kNanosPerSecond;
  std::int64_t end_ns = sketch.origin_ns;
  std::uint64_t rows = 0;
  for (std::size_t i = 0; i < sketch.rows.size(); ++i) {
    const std::int64_t begin_ns = end_ns;
    if (__builtin_add_overflow(end_ns, width_ns, &end_ns)) return false;
    if (sketch.rows[i] == 0) continue;
    rows += sketch.rows[i];
    const std::int64_t after_ns = std::max(begin_ns, counts.min_ts_ns - 1), until_ns = std::min(end_ns, counts.max_ts_ns);
    if (after_ns >= until_ns) return false;   // rows where the chunk has none
    std::uint32_t interval = 0;
    const Place where = place(after_ns, until_ns, interval);
    if (where == Place::kStraddles) return false;
    if (where == Place::kCounts && !add_bucket(sketch, i, interval)) return false;
  }
  return rows == counts.rows;
}

bool IndexCounter::take(const model::LabelsPtr& labels, const rpc::ChunkCounts& counts) {
  if (stream_ != labels) begin_stream(labels);
  if (is_in_memory(counts.min_ts_ns, counts.max_ts_ns)) return false;
  cells_.clear();
  const bool has_sketch = counts.sketch != nullptr && counts.sketch->width_s != 0;
  if (!count_whole(counts)) {
    cells_.clear();
    if (!has_sketch || !count_buckets(counts)) return false;
  }
  for (const Cell& cell : cells_) {
    sink_->add_counted(set_of(cell.level), cell.interval, cell.rows, cell.bytes);
    stats_.lines_processed += cell.rows;
    stats_.post_filter_lines += cell.rows;
    stats_.bytes_processed += cell.bytes;
  }
  taken_.bytes += counts.raw_bytes;
  ++taken_.chunks;
  if (streams_.insert(labels->hash).second) ++taken_.streams;
  return true;
}

std::uint32_t IndexCounter::set_of(std::uint8_t level) {
  const auto found = set_of_level_.find(level);
  if (found != set_of_level_.end()) return found->second;
  std::vector<LabelSetTable::View> views;
  for (const model::Label& label : stream_->labels.pairs())
    if (std::find(grouping_.labels.begin(), grouping_.labels.end(), label.name) != grouping_.labels.end())
      views.push_back({label.name, label.value, LabelCategory::kStream});
  if (level != 0) views.push_back({model::kDetectedLevelName, model::level_text(static_cast<model::Level>(level)), LabelCategory::kMetadata});
  std::sort(views.begin(), views.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return set_of_level_[level] = sets_.intern(views);
}

}  // namespace skald::engine
