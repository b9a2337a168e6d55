// Runs a parsed query over a Source.
#pragma once

#include <cstdint>

#include "skald/base/context.h"
#include "skald/engine/result.h"
#include "skald/engine/source.h"
#include "skald/exec/pool.h"
#include "skald/logql/ast.h"

namespace skald::engine {

enum class Direction { kBackward, kForward };

struct QueryParams {
  bool instant = false;
  std::int64_t start_ns = 0;      // instant: the evaluation time, start == end
  std::int64_t end_ns = 0;        // log queries read [start, end)
  std::int64_t step_ns = 0;       // 0 with instant
  std::int64_t interval_ns = 0;   // log queries: thin out per stream
  std::uint32_t limit = 100;
  Direction direction = Direction::kBackward;
};

// The limits_config keys the engine enforces, with Loki's texts.
struct EngineLimits {
  std::uint32_t max_series = 500;
  bool allow_approx_topk = false;         // shard_aggregations names it
  bool allow_variants = false;            // enable_multi_variant_queries
  bool partial_results = false;           // too many series: cut and warn instead of failing (Logs Drilldown)
};

// What a query is refused with that has more series than `max_series`.
Error too_many_series(std::size_t max_series);

class Engine {
 public:
  Engine(Source& source, exec::Pool& pool);
  // Error codes are those of the API: kInvalidArgument = 400 (pipeline errors, limits), kInternal = 500 (matching
  // errors), kDeadlineExceeded, kCancelled, kResourceExhausted.
  Result<QueryResult> run(const CallContext& ctx, const logql::Query& query, const QueryParams& params, const EngineLimits& limits);

 private:
  Source& source_;
  exec::Pool& pool_;
};

}  // namespace skald::engine
