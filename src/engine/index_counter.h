// Counts rows of stored chunks from what the index knows of them (docs/formats/index.md, "Sketches"), where that gives
// exactly what reading them would: each bucket with rows lies in one interval of the window grid, and the labels grouped
// by are the stream's, the detected level, or known to be absent.
#pragma once

#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/range_sink.h"
#include "skald/engine/label_set.h"
#include "skald/engine/result.h"
#include "skald/rpc/count_taker.h"

namespace skald::engine {

// For aggregations that count rows or line bytes (counts_rows) of unfiltered streams, grouped by labels (not `without`).
// All arguments outlive it.
class IndexCounter final : public rpc::CountTaker {
 public:
  IndexCounter(const logql::RangeAggregation& aggregation, const logql::Grouping& grouping, const WindowGrid& grid);

  void in_memory(const model::InternedLabels& labels, std::int64_t min_ts_ns, std::int64_t max_ts_ns) override;
  bool take(const model::LabelsPtr& labels, const rpc::ChunkCounts& counts) override;
  void restart() override;
  Taken taken() const override { return taken_; }

  bool took_from(const model::InternedLabels& labels) const { return streams_.contains(labels.hash); }
  // After the select.
  LabelSetTable take_sets() { return std::move(sets_); }
  std::unique_ptr<RangeSink> take_sink() { return std::move(sink_); }
  const QueryStats& stats() const { return stats_; }

 private:
  struct Cell {
    std::uint8_t level = 0;
    std::uint32_t interval = 0;
    std::uint64_t rows = 0, bytes = 0;
  };
  enum class Place { kCounts, kOutside, kStraddles };

  void begin_stream(const model::LabelsPtr& labels);
  bool is_in_memory(std::int64_t min_ts_ns, std::int64_t max_ts_ns) const;
  Place place(std::int64_t after_ns, std::int64_t until_ns, std::uint32_t& interval) const;
  bool count_whole(const rpc::ChunkCounts& counts);
  bool count_buckets(const rpc::ChunkCounts& counts);
  bool add_bucket(const chunk::Sketch& sketch, std::size_t bucket, std::uint32_t interval);
  std::uint32_t set_of(std::uint8_t level);

  const logql::RangeAggregation& aggregation_;
  const logql::Grouping& grouping_;
  const WindowGrid& grid_;
  const bool bytes_;
  std::unordered_map<std::uint64_t, std::vector<std::pair<std::int64_t, std::int64_t>>> memory_;   // by hash of labels

  // The stream at hand.
  model::LabelsPtr stream_;
  bool by_level_ = false;      // detected_level is grouped by and is not a label of the stream
  bool by_unknown_ = false;    // some other label is grouped by and is not a label of the stream
  std::unordered_map<std::uint8_t, std::uint32_t> set_of_level_;
  std::vector<Cell> cells_;    // of one chunk

  LabelSetTable sets_;
  std::unique_ptr<RangeSink> sink_;
  QueryStats stats_;
  Taken taken_;
  std::unordered_set<std::uint64_t> streams_;   // hashes of those that had chunks taken
};

}  // namespace skald::engine
