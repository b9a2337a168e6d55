// Where rows of a range aggregation go: one sink per worker, merged at the end.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/eval.h"
#include "engine/range_grid.h"
#include "skald/engine/pipeline.h"
#include "skald/logql/ast.h"

namespace skald::engine {

// Series are numbered by the worker's LabelSetTable. Calls are per block, not per row. Not thread-safe.
class RangeSink {
 public:
  virtual ~RangeSink() = default;
  // Rows of a frame, ascending in time; sets[i] is the series of row i.
  virtual void add_frame(Frame& frame, std::span<const std::uint32_t> sets) = 0;
  // `rows` rows of one interval whose content nobody needs. Counting sinks only.
  virtual void add_counted(std::uint32_t set, std::uint32_t interval, std::uint64_t rows, std::uint64_t bytes) = 0;
  // Takes over another worker's series; set_map[its number] = our number.
  virtual void absorb(RangeSink& other, std::span<const std::uint32_t> set_map) = 0;
  // Held by the series, about. Looks at every series.
  virtual std::uint64_t bytes() const = 0;
  // Values of one series at all steps that have one. Errors of ctx.check().
  virtual Result<std::vector<Point>> finish(std::uint32_t set, const CallContext& ctx) = 0;
};

// `grid` outlives the sink.
std::unique_ptr<RangeSink> make_range_sink(const logql::RangeAggregation& aggregation, const WindowGrid& grid);

// The aggregation needs line lengths (bytes_over_time, bytes_rate).
bool reads_line_bytes(logql::RangeOp op);
// The aggregation counts rows or bytes of lines and looks at no value.
bool counts_rows(const logql::RangeAggregation& aggregation);

}  // namespace skald::engine
