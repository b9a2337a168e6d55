// What plan and merge of an instant query agree on.
#pragma once

#include <optional>

#include "skald/frontend/split.h"

namespace skald::frontend {

// An instant query whose range may be cut: the parts' values are combined, then divided.
struct InstantFold {
  const logql::VectorAggregation* outer = nullptr;   // of the query's tree; may be null
  const logql::RangeAggregation* aggregation = nullptr;
  std::optional<logql::RangeOp> counted_as;          // what the parts compute instead: a rate is a count over seconds
  double (*combine)(double, double) = nullptr;
  double divisor = 1;
};
std::optional<InstantFold> instant_fold(const logql::MetricExpr& root);

}  // namespace skald::frontend
