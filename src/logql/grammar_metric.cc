#include <charconv>
#include <cmath>
#include <cstdio>

#include "logql/grammar.h"
#include "skald/logql/regex.h"
#include "skald/logql/units.h"

namespace skald::logql {
namespace {

Error unplaced(std::string_view message) { return parse_error(0, 0, message); }

std::optional<RangeOp> range_op(Tok tok) {
  switch (tok) {
    case Tok::kCountOverTime: return RangeOp::kCountOverTime;
    case Tok::kRate: return RangeOp::kRate;
    case Tok::kRateCounter: return RangeOp::kRateCounter;
    case Tok::kBytesOverTime: return RangeOp::kBytesOverTime;
    case Tok::kBytesRate: return RangeOp::kBytesRate;
    case Tok::kSumOverTime: return RangeOp::kSumOverTime;
    case Tok::kAvgOverTime: return RangeOp::kAvgOverTime;
    case Tok::kMinOverTime: return RangeOp::kMinOverTime;
    case Tok::kMaxOverTime: return RangeOp::kMaxOverTime;
    case Tok::kFirstOverTime: return RangeOp::kFirstOverTime;
    case Tok::kLastOverTime: return RangeOp::kLastOverTime;
    case Tok::kStddevOverTime: return RangeOp::kStddevOverTime;
    case Tok::kStdvarOverTime: return RangeOp::kStdvarOverTime;
    case Tok::kQuantileOverTime: return RangeOp::kQuantileOverTime;
    case Tok::kAbsentOverTime: return RangeOp::kAbsentOverTime;
    default: return std::nullopt;
  }
}

std::optional<VectorOp> vector_op(Tok tok) {
  switch (tok) {
    case Tok::kSum: return VectorOp::kSum;
    case Tok::kAvg: return VectorOp::kAvg;
    case Tok::kMin: return VectorOp::kMin;
    case Tok::kMax: return VectorOp::kMax;
    case Tok::kCount: return VectorOp::kCount;
    case Tok::kStddev: return VectorOp::kStddev;
    case Tok::kStdvar: return VectorOp::kStdvar;
    case Tok::kTopk: return VectorOp::kTopk;
    case Tok::kBottomk: return VectorOp::kBottomk;
    case Tok::kApproxTopk: return VectorOp::kApproxTopk;
    case Tok::kSort: return VectorOp::kSort;
    case Tok::kSortDesc: return VectorOp::kSortDesc;
    default: return std::nullopt;
  }
}

struct OperatorShape {
  BinaryOp op;
  int strength;  // higher binds tighter
};
std::optional<OperatorShape> binary_op(Tok tok) {
  switch (tok) {
    case Tok::kOr: return OperatorShape{BinaryOp::kOr, 1};
    case Tok::kAnd: return OperatorShape{BinaryOp::kAnd, 2};
    case Tok::kUnless: return OperatorShape{BinaryOp::kUnless, 2};
    case Tok::kCmpEq: return OperatorShape{BinaryOp::kEqual, 3};
    case Tok::kNeq: return OperatorShape{BinaryOp::kNotEqual, 3};
    case Tok::kGt: return OperatorShape{BinaryOp::kGreater, 3};
    case Tok::kGte: return OperatorShape{BinaryOp::kGreaterEqual, 3};
    case Tok::kLt: return OperatorShape{BinaryOp::kLess, 3};
    case Tok::kLte: return OperatorShape{BinaryOp::kLessEqual, 3};
    case Tok::kAdd: return OperatorShape{BinaryOp::kAdd, 4};
    case Tok::kSub: return OperatorShape{BinaryOp::kSub, 4};
    case Tok::kMul: return OperatorShape{BinaryOp::kMul, 5};
    case Tok::kDiv: return OperatorShape{BinaryOp::kDiv, 5};
    case Tok::kMod: return OperatorShape{BinaryOp::kMod, 5};
    case Tok::kPow: return OperatorShape{BinaryOp::kPow, 6};
    default: return std::nullopt;
  }
}

double fold(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd: return a + b;
    case BinaryOp::kSub: return a - b;
    case BinaryOp::kMul: return a * b;
    case BinaryOp::kDiv: return b == 0 ? std::nan("") : a / b;
    case BinaryOp::kMod: return b == 0 ? std::nan("") : std::fmod(a, b);
    case BinaryOp::kPow: return std::pow(a, b);
    case BinaryOp::kEqual: return a == b ? 1 : 0;
    case BinaryOp::kNotEqual: return a != b ? 1 : 0;
    case BinaryOp::kGreater: return a > b ? 1 : 0;
    case BinaryOp::kGreaterEqual: return a >= b ? 1 : 0;
    case BinaryOp::kLess: return a < b ? 1 : 0;
    case BinaryOp::kLessEqual: return a <= b ? 1 : 0;
    case BinaryOp::kAnd:
    case BinaryOp::kOr:
    case BinaryOp::kUnless: break;
  }
  return std::nan("");
}

bool set_operator(BinaryOp op) { return op == BinaryOp::kAnd || op == BinaryOp::kOr || op == BinaryOp::kUnless; }

MetricPtr make(auto node) { return std::make_shared<const MetricExpr>(MetricExpr{std::move(node)}); }

const Literal* as_literal(const MetricPtr& metric) { return std::get_if<Literal>(&metric->node); }

std::string fixed6(double value) {
  char text[400];
  std::snprintf(text, sizeof text, "%f", value);
  return text;
}

// Which range aggregations read unwrapped values, and which may be grouped.
bool needs_unwrap(RangeOp op) {
  switch (op) {
    case RangeOp::kCountOverTime:
    case RangeOp::kRate:
    case RangeOp::kBytesOverTime:
    case RangeOp::kBytesRate:
    case RangeOp::kAbsentOverTime: return false;
    default: return true;
  }
}
bool allows_unwrap(RangeOp op) {
  return op != RangeOp::kCountOverTime && op != RangeOp::kBytesOverTime && op != RangeOp::kBytesRate;
}
bool allows_grouping(RangeOp op) {
  switch (op) {
    case RangeOp::kAvgOverTime:
    case RangeOp::kMinOverTime:
    case RangeOp::kMaxOverTime:
    case RangeOp::kStddevOverTime:
    case RangeOp::kStdvarOverTime:
    case RangeOp::kQuantileOverTime:
    case RangeOp::kFirstOverTime:
    case RangeOp::kLastOverTime: return true;
    default: return false;
  }
}

}  // namespace

Result<Query> Grammar::query() {
  SKALD_TRY(Operand root, expression(0));
  SKALD_TRY(const Tok kind, peek());
  if (kind != Tok::kEnd) return unexpected();
  return Query{std::move(root)};
}

Result<Grammar::Operand> Grammar::expression(int floor) {
  const Depth depth(*this);
  SKALD_TRY_VOID(depth.check());
  SKALD_TRY(Operand left, operand());
  return expression_after(std::move(left), floor);
}

// Binary operators stronger than `floor` behind an operand already read.
Result<Grammar::Operand> Grammar::expression_after(Operand left, int floor) {
  while (true) {
    SKALD_TRY(const Tok kind, peek());
    const auto shape = binary_op(kind);
    if (!shape || shape->strength <= floor) return left;
    take();
    BinaryExpr binary;
    binary.op = shape->op;
    SKALD_TRY_VOID(modifiers(binary));
    // 2^3^2 is 2^(3^2); everything else groups to the left.
    SKALD_TRY(Operand right, expression(shape->op == BinaryOp::kPow ? shape->strength - 1 : shape->strength));
    SKALD_TRY(left, combine(std::move(binary), std::move(left), std::move(right)));
  }
}

Result<Grammar::Operand> Grammar::operand() {
  SKALD_TRY(const Tok kind, peek());
  if (kind == Tok::kOpenBrace) {
    SKALD_TRY(LogSelector log, selector());
    SKALD_TRY_VOID(stages(log, nullptr));
    return Operand(std::move(log));
  }
  if (kind == Tok::kOpenParen) {
    take();
    SKALD_TRY(Operand inner, expression(0));
    SKALD_TRY_VOID(expect(Tok::kCloseParen, {}));
    return inner;
  }
  MetricPtr metric;
  if (kind == Tok::kNumber) {
    SKALD_TRY(metric, literal(take(), false));
  } else if (kind == Tok::kAdd || kind == Tok::kSub) {
    take();
    SKALD_TRY(const Token number, expect(Tok::kNumber, {Tok::kNumber}));
    SKALD_TRY(metric, literal(number, kind == Tok::kSub));
  } else if (range_op(kind)) {
    SKALD_TRY(metric, range_aggregation());
  } else if (vector_op(kind)) {
    SKALD_TRY(metric, vector_aggregation());
  } else if (kind == Tok::kLabelReplace) {
    SKALD_TRY(metric, label_replace());
  } else if (kind == Tok::kVector) {
    SKALD_TRY(metric, vector_literal());
  } else {
    return unexpected();
  }
  return Operand(std::move(metric));
}

Result<Grammar::Operand> Grammar::combine(BinaryExpr shape, Operand left, Operand right) {
  const std::string op = binary_op_name(shape.op);
  const auto check_leg = [&](const Operand& leg, const char* side) -> Result<void> {
    const auto* log = std::get_if<LogSelector>(&leg);
    if (log == nullptr) return {};
    return unplaced(std::string("unexpected type for ") + side + " leg of binary operation (" + op +
                    "): *syntax." + (log->stages.empty() ? "MatchersExpr" : "PipelineExpr"));
  };
  SKALD_TRY_VOID(check_leg(left, "left"));
  SKALD_TRY_VOID(check_leg(right, "right"));
  shape.left = std::get<MetricPtr>(std::move(left));
  shape.right = std::get<MetricPtr>(std::move(right));
  const Literal* a = as_literal(shape.left);
  const Literal* b = as_literal(shape.right);
  if (set_operator(shape.op) && (a != nullptr || b != nullptr))
    return unplaced(std::string("unexpected literal for ") + (a != nullptr ? "left" : "right") +
                    " leg of logical/set binary operation (" + op + "): " + fixed6((a != nullptr ? a : b)->value));
  if (a != nullptr && b != nullptr) return Operand(make(Literal{fold(shape.op, a->value, b->value)}));
  if (++nodes_ > kNodesMax)
    return unplaced("query is too complex, at most " + std::to_string(kNodesMax) + " operators are allowed");
  return Operand(make(std::move(shape)));
}

Result<void> Grammar::modifiers(BinaryExpr& shape) {
  SKALD_TRY(Tok kind, peek());
  if (kind == Tok::kBool) {
    take();
    shape.return_bool = true;
    SKALD_TRY(kind, peek());
  }
  if (kind != Tok::kOn && kind != Tok::kIgnoring) return {};
  VectorMatching& matching = shape.matching;
  matching.given = true;
  matching.on = kind == Tok::kOn;
  take();
  SKALD_TRY(matching.labels, name_list(true));
  SKALD_TRY(kind, peek());
  if (kind != Tok::kGroupLeft && kind != Tok::kGroupRight) return {};
  matching.card =
      kind == Tok::kGroupLeft ? VectorMatching::Card::kManyToOne : VectorMatching::Card::kOneToMany;
  take();
  SKALD_TRY(kind, peek());
  if (kind == Tok::kOpenParen) {
    SKALD_TRY(matching.include, name_list(true));
  }
  return {};
}

// "(" names ")"
Result<std::vector<std::string>> Grammar::name_list(bool may_be_empty) {
  std::vector<std::string> names;
  SKALD_TRY_VOID(expect(Tok::kOpenParen, {Tok::kOpenParen}));
  SKALD_TRY(Tok kind, peek());
  if (may_be_empty && kind == Tok::kCloseParen) {
    take();
    return names;
  }
  while (true) {
    SKALD_TRY(Token label, names.empty() ? name({Tok::kIdentifier, Tok::kCloseParen}) : name({Tok::kIdentifier}));
    names.push_back(std::move(label.text));
    SKALD_TRY(kind, peek());
    if (kind == Tok::kCloseParen) break;
    if (kind != Tok::kComma) return unexpected({Tok::kComma, Tok::kCloseParen});
    take();
  }
  take();
  return names;
}

Result<Grouping> Grammar::grouping() {
  Grouping by;
  by.without = take().kind == Tok::kWithout;
  SKALD_TRY(by.labels, name_list(true));
  return by;
}

Result<MetricPtr> Grammar::literal(const Token& number, bool negative) {
  double value = 0;
  if (const FloatStatus status = parse_go_float(number.text, value); status != FloatStatus::kOk)
    return unplaced("unable to parse literal as a float: " + go_float_error(number.text, status));
  return make(Literal{negative ? -value : value});
}

Result<MetricPtr> Grammar::vector_literal() {
  take();
  SKALD_TRY_VOID(expect(Tok::kOpenParen, {Tok::kOpenParen}));
  SKALD_TRY(const Token number, expect(Tok::kNumber, {Tok::kNumber}));
  SKALD_TRY_VOID(expect(Tok::kCloseParen, {Tok::kCloseParen}));
  double value = 0;
  if (const FloatStatus status = parse_go_float(number.text, value); status != FloatStatus::kOk)
    return unplaced("unable to parse vectorExpr as a float: " + go_float_error(number.text, status));
  return make(VectorLiteral{value});
}

// An expression in a place where a log query cannot stand.
Result<MetricPtr> Grammar::metric_argument() {
  SKALD_TRY(Operand inner, expression(0));
  if (std::holds_alternative<LogSelector>(inner)) {
    SKALD_TRY_VOID(peek());
    return unexpected();
  }
  return std::get<MetricPtr>(std::move(inner));
}

Result<MetricPtr> Grammar::label_replace() {
  take();
  SKALD_TRY_VOID(expect(Tok::kOpenParen, {Tok::kOpenParen}));
  LabelReplace replace;
  SKALD_TRY(replace.inner, metric_argument());
  SKALD_TRY_VOID(expect(Tok::kComma, {}));
  std::string* const targets[] = {&replace.destination, &replace.replacement, &replace.source, &replace.regex};
  for (std::string* target : targets) {
    if (target != targets[0]) {
      SKALD_TRY_VOID(expect(Tok::kComma, {Tok::kComma}));
    }
    SKALD_TRY(Token text, expect(Tok::kString, {Tok::kString}));
    *target = std::move(text.text);
  }
  SKALD_TRY_VOID(expect(Tok::kCloseParen, {Tok::kCloseParen}));
  if (auto regex = compile_regex("^(?:" + replace.regex + ")$"); !regex.ok())
    return unplaced("invalid regex in label_replace: " + regex.error().message());
  return make(std::move(replace));
}

Result<MetricPtr> Grammar::range_aggregation() {
  RangeAggregation aggregation;
  aggregation.op = *range_op(take().kind);
  const std::string op = range_op_name(aggregation.op);
  SKALD_TRY_VOID(expect(Tok::kOpenParen, {Tok::kOpenParen}));
  SKALD_TRY(Tok kind, peek());
  std::optional<Token> parameter;
  if (kind == Tok::kNumber) {
    parameter = take();
    SKALD_TRY_VOID(expect(Tok::kComma, {Tok::kComma}));
    SKALD_TRY(aggregation.range, log_range({Tok::kOpenBrace, Tok::kOpenParen}));
  } else {
    SKALD_TRY(aggregation.range, log_range({Tok::kNumber, Tok::kOpenBrace, Tok::kOpenParen}));
  }
  SKALD_TRY_VOID(expect(Tok::kCloseParen, {Tok::kCloseParen}));
  SKALD_TRY(kind, peek());
  if (kind == Tok::kBy || kind == Tok::kWithout) {
    SKALD_TRY(aggregation.grouping, grouping());
  }

  if (parameter && aggregation.op != RangeOp::kQuantileOverTime)
    return unplaced("parameter " + parameter->text + " not supported for operation " + op);
  if (parameter) {
    double value = 0;
    if (const FloatStatus status = parse_go_float(parameter->text, value); status != FloatStatus::kOk)
      return unplaced("invalid parameter for operation " + op + ": " + go_float_error(parameter->text, status));
    aggregation.parameter = value;
  } else if (aggregation.op == RangeOp::kQuantileOverTime) {
    return unplaced("parameter required for operation " + op);
  }
  if (aggregation.grouping && !allows_grouping(aggregation.op))
    return unplaced("grouping not allowed for " + op + " aggregation");
  if (aggregation.range.unwrap && !allows_unwrap(aggregation.op))
    return unplaced("invalid aggregation " + op + " with unwrap");
  if (!aggregation.range.unwrap && needs_unwrap(aggregation.op))
    return unplaced("invalid aggregation " + op + " without unwrap");
  return make(std::move(aggregation));
}

Result<MetricPtr> Grammar::vector_aggregation() {
  VectorAggregation aggregation;
  aggregation.op = *vector_op(take().kind);
  const std::string op = vector_op_name(aggregation.op);
  SKALD_TRY(Tok kind, peek());
  if (kind == Tok::kBy || kind == Tok::kWithout) {
    SKALD_TRY(aggregation.grouping, grouping());
  }
  SKALD_TRY_VOID(expect(Tok::kOpenParen, {Tok::kOpenParen}));
  SKALD_TRY(kind, peek());
  std::optional<Token> parameter;
  if (kind == Tok::kNumber) {
    const Token number = take();
    SKALD_TRY(kind, peek());
    if (kind == Tok::kComma) {
      take();
      parameter = number;
    } else {
      SKALD_TRY(MetricPtr first, literal(number, false));
      SKALD_TRY(Operand inner, expression_after(Operand(std::move(first)), 0));
      aggregation.inner = std::get<MetricPtr>(std::move(inner));
    }
  }
  if (!aggregation.inner) {
    const Depth depth(*this);
    SKALD_TRY_VOID(depth.check());
    SKALD_TRY(aggregation.inner, metric_argument());
  }
  SKALD_TRY_VOID(expect(Tok::kCloseParen, {}));
  if (!aggregation.grouping) {
    SKALD_TRY(kind, peek());
    if (kind == Tok::kBy || kind == Tok::kWithout) {
      SKALD_TRY(aggregation.grouping, grouping());
    }
  }

  switch (aggregation.op) {
    case VectorOp::kTopk:
    case VectorOp::kBottomk:
    case VectorOp::kApproxTopk: {
      if (!parameter) return unplaced("parameter required for operation " + op);
      std::int64_t k = 0;
      const char* end = parameter->text.data() + parameter->text.size();
      const auto parsed = std::from_chars(parameter->text.data(), end, k);
      if (parsed.ec != std::errc() || parsed.ptr != end)
        return unplaced("invalid parameter " + op + "(" + parameter->text + ",");
      if (k < 1) return unplaced("invalid parameter (must be greater than 0) " + op + "(" + parameter->text);
      aggregation.parameter = k;
      break;
    }
    default:
      if (parameter) return unplaced("unsupported parameter for operation " + op + "(" + parameter->text + ",");
  }
  if (aggregation.grouping) {
    if (aggregation.op == VectorOp::kSort || aggregation.op == VectorOp::kSortDesc)
      return unplaced("sort and sort_desc doesn't allow grouping by ");
    if (aggregation.op == VectorOp::kApproxTopk) return unplaced("grouping not allowed for approx_topk aggregation");
  }
  return make(std::move(aggregation));
}

Result<void> Grammar::offset(LogRange& range) {
  SKALD_TRY(const Tok kind, peek());
  if (kind != Tok::kOffset) return {};
  take();
  SKALD_TRY(const Token by, expect(Tok::kDuration, {Tok::kDuration}));
  range.offset_ns = by.duration_ns;
  return {};
}

Result<LogRange> Grammar::log_range(std::initializer_list<Tok> expected) {
  const Depth depth(*this);
  SKALD_TRY_VOID(depth.check());
  SKALD_TRY(Tok kind, peek());
  bool wrapped = false;
  if (kind == Tok::kOpenParen) {
    take();
    SKALD_TRY(kind, peek());
    if (kind == Tok::kOpenParen) {
      SKALD_TRY(LogRange inner, log_range({}));
      SKALD_TRY_VOID(expect(Tok::kCloseParen, {Tok::kCloseParen}));
      return inner;
    }
    if (kind != Tok::kOpenBrace) return unexpected({Tok::kOpenBrace, Tok::kOpenParen});
    wrapped = true;
  } else if (kind != Tok::kOpenBrace) {
    return unexpected(expected);
  }

  LogRange range;
  SKALD_TRY(range.selector, selector());
  SKALD_TRY(kind, peek());
  if (kind == Tok::kRange) {  // {…}[5m] first, stages behind it
    range.range_ns = take().duration_ns;
    SKALD_TRY_VOID(offset(range));
    SKALD_TRY_VOID(stages(range.selector, &range.unwrap));
    if (wrapped) {
      SKALD_TRY_VOID(expect(Tok::kCloseParen, {Tok::kCloseParen}));
    }
    return range;
  }
  SKALD_TRY_VOID(stages(range.selector, &range.unwrap));
  SKALD_TRY(kind, peek());
  if (wrapped && kind == Tok::kCloseParen) {
    take();
    SKALD_TRY(kind, peek());
    if (kind != Tok::kRange) return unexpected({Tok::kRange});
    range.range_ns = take().duration_ns;
    SKALD_TRY_VOID(offset(range));
    SKALD_TRY(kind, peek());
    if (kind == Tok::kPipe && range.selector.stages.empty() && !range.unwrap) {
      take();
      SKALD_TRY_VOID(expect(Tok::kUnwrap, {Tok::kUnwrap}));
      SKALD_TRY(range.unwrap, unwrap());
    }
    return range;
  }
  if (kind != Tok::kRange) {
    if (!range.unwrap) return unexpected();
    if (wrapped) return unexpected({Tok::kRange, Tok::kCloseParen, Tok::kPipe});
    return unexpected({Tok::kRange, Tok::kPipe});
  }
  range.range_ns = take().duration_ns;
  SKALD_TRY_VOID(offset(range));
  if (wrapped) {
    SKALD_TRY_VOID(expect(Tok::kCloseParen, {Tok::kCloseParen}));
  }
  return range;
}

}  // namespace skald::logql
