// Evaluation of metric expressions: every node yields a scalar or a set of series over the query's steps.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/charge.h"
#include "engine/range_grid.h"
#include "skald/base/context.h"
#include "skald/engine/engine.h"
#include "skald/engine/result.h"
#include "skald/engine/source.h"
#include "skald/exec/pool.h"
#include "skald/logql/ast.h"
#include "skald/model/labels.h"

namespace skald::engine {

struct Point {
  std::uint32_t step = 0;
  double value = 0;
};

struct StepSeries {
  model::Labels labels;
  std::vector<Point> points;   // by step; only steps that have a value
};

struct Value {
  bool is_scalar = false;
  double scalar = 0;
  std::vector<StepSeries> series;   // sorted by labels unless `ordered`
  bool ordered = false;             // sort() / sort_desc() decided the order
  Charge charge;                    // of the points as they were read; goes with them
};

// One per query. Only touched by the query's own thread.
struct Evaluation {
  const CallContext& ctx;
  Source& source;
  exec::Pool& pool;
  const QueryParams& params;
  const EngineLimits& limits;
  StepGrid steps;
  QueryStats stats;
  std::vector<std::string> warnings;
};

Result<Value> evaluate(Evaluation& evaluation, const logql::MetricExpr& expression);

// `outer_sum`: the grouping of a sum right around the aggregation (a default one when the sum has none), nullptr
// otherwise. The samples are then grouped while they are read.
Result<Value> evaluate_range(Evaluation& evaluation, const logql::RangeAggregation& aggregation, const logql::Grouping* outer_sum);
Result<Value> evaluate_vector(Evaluation& evaluation, const logql::VectorAggregation& aggregation);
Result<Value> evaluate_binary(Evaluation& evaluation, const logql::BinaryExpr& expression);

// An operand that must be a vector. `limited`: Loki evaluates it as a query of its own, so max_query_series holds for it.
Result<Value> evaluate_operand(Evaluation& evaluation, const logql::MetricExpr& expression, bool limited);

// kInvalidArgument when more series than max_query_series have a point; or cut, with a warning, for partial results.
Result<void> check_series(Evaluation& evaluation, Value& value);

// Labels kept by a grouping.
model::Labels group_labels(const model::Labels& labels, const logql::Grouping& grouping);
// Text that is equal for equal label sets only.
void append_label_key(std::string& out, const model::Labels& labels);

}  // namespace skald::engine
