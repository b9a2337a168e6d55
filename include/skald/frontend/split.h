// Cutting a query into parts that several processes can evaluate, and putting the answers together. The answer is the one
// the whole query gives, bit by bit; what cannot be cut that way runs as a whole:
//  - metric range queries are cut by steps: a step depends on nothing but the rows of its windows. Not cut: functions that
//    add up fractions over windows that overlap (sum_over_time, avg_over_time, stddev_over_time, stdvar_over_time, rate of
//    unwrapped values with a range above the step), as rounding depends on how a window is pieced together; label_replace
//    outside an aggregation;
//  - log queries are cut by time, in the direction of the query, with a look-ahead that grows while `limit` is not reached;
//  - instant queries over a long range are cut by time when they count (count_over_time, rate, bytes_over_time, bytes_rate,
//    and sum of them) or pick (min_over_time, max_over_time, and min or max of them): whole numbers add up exactly.
// max_query_series holds for the merged answer. For operands inside an expression it holds per part, so a query may succeed
// in parts that would be refused as a whole.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "skald/frontend/runner.h"
#include "skald/frontend/subquery.h"
#include "skald/logql/ast.h"

namespace skald::frontend {

struct SplitOptions {
  std::int64_t interval_ns = 0;           // split_queries_by_interval; 0: never cut
  std::int64_t instant_interval_ns = 0;   // split_instant_metric_queries_by_interval; 0: never cut
  std::size_t parallelism = 32;           // max_query_parallelism: parts of a query at a time; 1: never cut
  // What the whole reads, about. It decides on the length of parts then: a query of less than whole_bytes is not worth any
  // way, one of more has at least eight parts, each of about part_bytes. Unknown: parts are as long as the intervals say.
  std::optional<std::uint64_t> bytes;
  std::uint64_t whole_bytes = 16 << 20;   // some hundredths of a second
  std::uint64_t part_bytes = 64 << 20;
  bool sums_may_round = false;            // cut sums of fractions over overlapping windows, too
};

// `whole.query` is the text of `query`. Evaluates the whole with `here` where it is not to be cut, and where only that
// gives the error its exact text.
Result<engine::QueryResult> run_split(const CallContext& ctx, const logql::Query& query, const Subquery& whole, const SplitOptions& options, Runner& runner,
                                      const Evaluate& here);

// How run_split() cuts; fewer than two parts: not at all.
struct Plan {
  enum class Kind { kWhole, kSteps, kLogs, kInstant };
  Kind kind = Kind::kWhole;
  std::vector<Subquery> parts;   // in the order in which they are wanted
};
Plan make_plan(const logql::Query& query, const Subquery& whole, const SplitOptions& options);

}  // namespace skald::frontend
