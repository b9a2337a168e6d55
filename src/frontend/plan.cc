// How a query is cut.
#include <algorithm>
#include <limits>

#include "frontend/plan.h"
#include "skald/logql/format.h"

namespace skald::frontend {

namespace {

using logql::RangeOp;
using logql::VectorOp;

constexpr std::int64_t kPartsMax = 1024;        // of one query; longer ranges have longer parts
constexpr std::uint64_t kPartsMin = 8;          // of a query that is worth cutting
constexpr std::int64_t kPartNsMin = kNanosPerMinute;   // blocks are not much shorter, and are read by each part they reach into
constexpr std::int64_t kOverlapsPerPart = 3;    // a part is so many times as long as what it reads again of its neighbour
constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max() / 4;   // beyond, sums of times could overflow

std::int64_t floor_to(std::int64_t value, std::int64_t unit) {
  const std::int64_t rest = value % unit;
  return value - (rest < 0 ? rest + unit : rest);
}

// Folds of fractions: the result depends on where windows are pieced together.
bool rounds(const logql::RangeAggregation& aggregation) {
  switch (aggregation.op) {
    case RangeOp::kSumOverTime: case RangeOp::kAvgOverTime: case RangeOp::kStddevOverTime: case RangeOp::kStdvarOverTime: return true;
    case RangeOp::kRate: return aggregation.range.unwrap.has_value();
    default: return false;
  }
}

// What the cut by steps has to know of an expression.
struct Traits {
  bool reads = false;               // some range aggregation
  bool whole_only = false;
  std::int64_t longest_ns = 0;      // range
  std::int64_t longest_rounding_ns = 0;
};

// `aggregated`: an aggregation above brings series with equal labels together.
void look_at(const logql::MetricExpr& expression, bool aggregated, Traits& traits) {
  if (const auto* range = std::get_if<logql::RangeAggregation>(&expression.node)) {
    traits.reads = true;
    const std::int64_t length = range->range.range_ns;
    if (length < 0 || length > kFar || std::abs(range->range.offset_ns) > kFar) traits.whole_only = true;
    traits.longest_ns = std::max(traits.longest_ns, length);
    if (rounds(*range)) traits.longest_rounding_ns = std::max(traits.longest_rounding_ns, length);
  } else if (const auto* vector = std::get_if<logql::VectorAggregation>(&expression.node)) {
    const bool groups = vector->op == VectorOp::kSum || vector->op == VectorOp::kAvg || vector->op == VectorOp::kMin || vector->op == VectorOp::kMax ||
                        vector->op == VectorOp::kCount || vector->op == VectorOp::kStddev || vector->op == VectorOp::kStdvar;
    if (vector->op == VectorOp::kApproxTopk) traits.whole_only = true;
    look_at(*vector->inner, aggregated || groups, traits);
  } else if (const auto* binary = std::get_if<logql::BinaryExpr>(&expression.node)) {
    look_at(*binary->left, aggregated, traits);
    look_at(*binary->right, aggregated, traits);
  } else if (const auto* replace = std::get_if<logql::LabelReplace>(&expression.node)) {
    // Two series may come out with the same labels, each in parts of its own: then nobody sees that they are two.
    if (!aggregated) traits.whole_only = true;
    look_at(*replace->inner, aggregated, traits);
  }
}

bool far(const engine::QueryParams& params) {
  return params.start_ns < -kFar || params.start_ns > kFar || params.end_ns < -kFar || params.end_ns > kFar;
}

// How long parts should be that together span so much; 0: the whole is better not cut.
std::int64_t fitting_interval(const SplitOptions& options, std::int64_t interval_ns, std::int64_t span_ns) {
  if (!options.bytes) return span_ns > interval_ns ? interval_ns : 0;
  if (*options.bytes < options.whole_bytes || span_ns < 2 * kPartNsMin) return 0;
  const std::uint64_t parts = std::clamp<std::uint64_t>(*options.bytes / std::max<std::uint64_t>(1, options.part_bytes), kPartsMin, kPartsMax / 2);
  return std::max(kPartNsMin, span_ns / static_cast<std::int64_t>(parts));
}

std::int64_t part_length(std::int64_t wanted_ns, std::int64_t whole_ns, std::int64_t overlap_ns) {
  return std::max({wanted_ns, overlap_ns > kFar / kOverlapsPerPart ? kFar : overlap_ns * kOverlapsPerPart, whole_ns / kPartsMax + 1});
}

Plan plan_steps(const logql::Query& query, const Subquery& whole, const SplitOptions& options) {
  const engine::QueryParams& params = whole.params;
  Traits traits;
  look_at(query.metric(), false, traits);
  if (!traits.reads || traits.whole_only || params.step_ns <= 0 || params.step_ns > kFar || params.end_ns < params.start_ns) return {};
  if (!options.sums_may_round && traits.longest_rounding_ns > params.step_ns) return {};
  const std::int64_t span_ns = params.end_ns - params.start_ns;
  const std::int64_t wanted_ns = fitting_interval(options, options.interval_ns, span_ns + 1);
  if (wanted_ns == 0) return {};
  const std::int64_t length_ns = part_length(wanted_ns, span_ns, std::max<std::int64_t>(0, traits.longest_ns - params.step_ns));
  Plan plan{Plan::Kind::kSteps, {}};
  const std::int64_t last_ns = params.start_ns + span_ns / params.step_ns * params.step_ns;
  for (std::int64_t first_ns = params.start_ns; first_ns <= last_ns;) {
    // The last step before the next multiple of the part's length.
    const std::int64_t border_ns = floor_to(first_ns, length_ns) + length_ns;
    const std::int64_t until_ns = std::min(last_ns, first_ns + (border_ns - 1 - first_ns) / params.step_ns * params.step_ns);
    Subquery part = whole;
    part.params.start_ns = first_ns;
    part.params.end_ns = until_ns;
    plan.parts.push_back(std::move(part));
    first_ns = until_ns + params.step_ns;
  }
  return plan;
}

Plan plan_logs(const Subquery& whole, const SplitOptions& options) {
  const engine::QueryParams& params = whole.params;
  if (params.start_ns >= params.end_ns || params.limit == 0) return {};
  const std::int64_t wanted_ns = fitting_interval(options, options.interval_ns, params.end_ns - params.start_ns);
  if (wanted_ns == 0) return {};
  const std::int64_t length_ns = part_length(wanted_ns, params.end_ns - params.start_ns, 0);
  Plan plan{Plan::Kind::kLogs, {}};
  for (std::int64_t from_ns = params.start_ns; from_ns < params.end_ns;) {
    const std::int64_t until_ns = std::min(params.end_ns, floor_to(from_ns, length_ns) + length_ns);
    Subquery part = whole;
    part.params.start_ns = from_ns;
    part.params.end_ns = until_ns;
    part.params.interval_ns = 0;   // the merged answer is thinned out
    plan.parts.push_back(std::move(part));
    from_ns = until_ns;
  }
  if (params.direction == engine::Direction::kBackward) std::reverse(plan.parts.begin(), plan.parts.end());
  return plan;
}

Plan plan_instant(const logql::Query& query, const Subquery& whole, const SplitOptions& options) {
  const std::optional<InstantFold> fold = instant_fold(query.metric());
  if (!fold || options.instant_interval_ns <= 0) return {};
  const logql::RangeAggregation& aggregation = *fold->aggregation;
  const std::int64_t range_ns = aggregation.range.range_ns, at_ns = whole.params.start_ns;
  if (range_ns > kFar || std::abs(aggregation.range.offset_ns) > kFar) return {};
  std::int64_t wanted_ns = fitting_interval(options, options.instant_interval_ns, range_ns);
  if (wanted_ns == 0) return {};
  if (wanted_ns > kNanosPerSecond) wanted_ns -= wanted_ns % kNanosPerSecond;   // as durations are written
  const std::int64_t length_ns = part_length(wanted_ns, range_ns, 0);
  Plan plan{Plan::Kind::kInstant, {}};
  for (std::int64_t before_ns = 0; before_ns < range_ns; before_ns += length_ns) {
    logql::RangeAggregation counted = aggregation;
    if (fold->counted_as) counted.op = *fold->counted_as;
    counted.range.range_ns = std::min(length_ns, range_ns - before_ns);
    auto inner = std::make_shared<logql::MetricExpr>();
    inner->node = std::move(counted);
    logql::MetricPtr root = inner;
    if (fold->outer != nullptr) {
      logql::VectorAggregation outer = *fold->outer;
      outer.inner = root;
      auto expression = std::make_shared<logql::MetricExpr>();
      expression->node = std::move(outer);
      root = expression;
    }
    Subquery part = whole;
    part.query = logql::format_line(logql::Query{root});
    part.params.start_ns = part.params.end_ns = at_ns - before_ns;
    plan.parts.push_back(std::move(part));
  }
  return plan;
}

}  // namespace

std::optional<InstantFold> instant_fold(const logql::MetricExpr& root) {
  InstantFold fold;
  const logql::MetricExpr* at = &root;
  if (const auto* vector = std::get_if<logql::VectorAggregation>(&at->node)) {
    if (vector->op != VectorOp::kSum && vector->op != VectorOp::kMin && vector->op != VectorOp::kMax) return std::nullopt;
    fold.outer = vector;
    at = vector->inner.get();
  }
  fold.aggregation = std::get_if<logql::RangeAggregation>(&at->node);
  if (fold.aggregation == nullptr || fold.aggregation->range.range_ns <= 0) return std::nullopt;
  const logql::RangeAggregation& aggregation = *fold.aggregation;
  const bool unwraps = aggregation.range.unwrap.has_value();
  VectorOp fitting = VectorOp::kSum;
  switch (aggregation.op) {
    case RangeOp::kCountOverTime: case RangeOp::kBytesOverTime: break;
    case RangeOp::kRate: fold.counted_as = RangeOp::kCountOverTime; break;
    case RangeOp::kBytesRate: fold.counted_as = RangeOp::kBytesOverTime; break;
    case RangeOp::kMinOverTime: fitting = VectorOp::kMin; break;
    case RangeOp::kMaxOverTime: fitting = VectorOp::kMax; break;
    default: return std::nullopt;
  }
  if (fitting == VectorOp::kSum) {
    if (unwraps || aggregation.grouping) return std::nullopt;
    fold.combine = [](double a, double b) { return a + b; };
  } else {
    // NaN gives way to any other value.
    if (fitting == VectorOp::kMin) fold.combine = [](double a, double b) { return a != a || b < a ? b : a; };
    else fold.combine = [](double a, double b) { return a != a || b > a ? b : a; };
  }
  if (fold.outer != nullptr && fold.outer->op != fitting) return std::nullopt;
  if (fold.counted_as) fold.divisor = static_cast<double>(aggregation.range.range_ns) / 1e9;
  return fold;
}

Plan make_plan(const logql::Query& query, const Subquery& whole, const SplitOptions& options) {
  // A part of the truth (cut series) is not to be put together.
  if (options.interval_ns <= 0 || options.parallelism <= 1 || whole.limits.partial_results || far(whole.params)) return {};
  Plan plan = query.is_log() ? plan_logs(whole, options) : whole.params.instant ? plan_instant(query, whole, options) : plan_steps(query, whole, options);
  return plan.parts.size() < 2 ? Plan{} : plan;
}

}  // namespace skald::frontend
