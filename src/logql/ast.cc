#include "skald/logql/ast.h"

namespace skald::logql {

const char* range_op_name(RangeOp op) {
  switch (op) {
    case RangeOp::kCountOverTime: return "count_over_time";
    case RangeOp::kRate: return "rate";
    case RangeOp::kRateCounter: return "rate_counter";
    case RangeOp::kBytesOverTime: return "bytes_over_time";
    case RangeOp::kBytesRate: return "bytes_rate";
    case RangeOp::kSumOverTime: return "sum_over_time";
    case RangeOp::kAvgOverTime: return "avg_over_time";
    case RangeOp::kMinOverTime: return "min_over_time";
    case RangeOp::kMaxOverTime: return "max_over_time";
    case RangeOp::kFirstOverTime: return "first_over_time";
    case RangeOp::kLastOverTime: return "last_over_time";
    case RangeOp::kStddevOverTime: return "stddev_over_time";
    case RangeOp::kStdvarOverTime: return "stdvar_over_time";
    case RangeOp::kQuantileOverTime: return "quantile_over_time";
    case RangeOp::kAbsentOverTime: return "absent_over_time";
  }
  return "";
}

const char* vector_op_name(VectorOp op) {
  switch (op) {
    case VectorOp::kSum: return "sum";
    case VectorOp::kAvg: return "avg";
    case VectorOp::kMin: return "min";
    case VectorOp::kMax: return "max";
    case VectorOp::kCount: return "count";
    case VectorOp::kStddev: return "stddev";
    case VectorOp::kStdvar: return "stdvar";
    case VectorOp::kTopk: return "topk";
    case VectorOp::kBottomk: return "bottomk";
    case VectorOp::kApproxTopk: return "approx_topk";
    case VectorOp::kSort: return "sort";
    case VectorOp::kSortDesc: return "sort_desc";
  }
  return "";
}

const char* binary_op_name(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd: return "+";
    case BinaryOp::kSub: return "-";
    case BinaryOp::kMul: return "*";
    case BinaryOp::kDiv: return "/";
    case BinaryOp::kMod: return "%";
    case BinaryOp::kPow: return "^";
    case BinaryOp::kEqual: return "==";
    case BinaryOp::kNotEqual: return "!=";
    case BinaryOp::kGreater: return ">";
    case BinaryOp::kGreaterEqual: return ">=";
    case BinaryOp::kLess: return "<";
    case BinaryOp::kLessEqual: return "<=";
    case BinaryOp::kAnd: return "and";
    case BinaryOp::kOr: return "or";
    case BinaryOp::kUnless: return "unless";
  }
  return "";
}

namespace {

void collect(const MetricExpr& metric, std::vector<const LogSelector*>& found) {
  std::visit(
      [&](const auto& node) {
        using Node = std::decay_t<decltype(node)>;
        if constexpr (std::is_same_v<Node, RangeAggregation>) {
          found.push_back(&node.range.selector);
        } else if constexpr (std::is_same_v<Node, VectorAggregation> || std::is_same_v<Node, LabelReplace>) {
          collect(*node.inner, found);
        } else if constexpr (std::is_same_v<Node, BinaryExpr>) {
          collect(*node.left, found);
          collect(*node.right, found);
        }
      },
      metric.node);
}

}  // namespace

std::vector<const LogSelector*> selectors_of(const Query& query) {
  std::vector<const LogSelector*> found;
  if (query.is_log()) found.push_back(&query.log());
  else collect(query.metric(), found);
  return found;
}

}  // namespace skald::logql
