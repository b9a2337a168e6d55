#include "engine/eval.h"

#include <algorithm>

#include "engine/eval_replace.h"

namespace skald::engine {

namespace {

std::vector<Point> constant_points(const StepGrid& steps, double value) {
  std::vector<Point> points(steps.count);
  for (std::uint32_t k = 0; k < steps.count; ++k) points[k] = {k, value};
  return points;
}

}  // namespace

Result<Value> evaluate(Evaluation& evaluation, const logql::MetricExpr& expression) {
  SKALD_TRY_VOID(evaluation.ctx.check());
  if (const auto* range = std::get_if<logql::RangeAggregation>(&expression.node)) return evaluate_range(evaluation, *range, nullptr);
  if (const auto* vector = std::get_if<logql::VectorAggregation>(&expression.node)) return evaluate_vector(evaluation, *vector);
  if (const auto* binary = std::get_if<logql::BinaryExpr>(&expression.node)) return evaluate_binary(evaluation, *binary);
  if (const auto* replace = std::get_if<logql::LabelReplace>(&expression.node)) return evaluate_label_replace(evaluation, *replace);
  if (const auto* literal = std::get_if<logql::Literal>(&expression.node)) {
    Value value;
    value.is_scalar = true;
    value.scalar = literal->value;
    return value;
  }
  if (const auto* literal = std::get_if<logql::VectorLiteral>(&expression.node)) {
    Value value;
    value.series.push_back({{}, constant_points(evaluation.steps, literal->value)});
    return value;
  }
  return Error(ErrorCode::kInvalidArgument, "multi variant queries are disabled for this tenant");
}

Result<Value> evaluate_operand(Evaluation& evaluation, const logql::MetricExpr& expression, bool limited) {
  SKALD_TRY(Value value, evaluate(evaluation, expression));
  if (value.is_scalar)
    return Error(ErrorCode::kInternal, "unexpected expr type (*syntax.LiteralExpr) for Evaluator type (*logql.DefaultEvaluator) ");
  if (limited) SKALD_TRY_VOID(check_series(evaluation, value));
  return value;
}

Error too_many_series(std::size_t max_series) {
  return Error(ErrorCode::kInvalidArgument,
               "maximum number of series (" + std::to_string(max_series) +
                   ") reached for a single query; consider reducing query cardinality by adding more specific stream selectors, "
                   "reducing the time range, or aggregating results with functions like sum(), count() or topk()");
}

Result<void> check_series(Evaluation& evaluation, Value& value) {
  const std::size_t limit = evaluation.limits.max_series;
  if (limit == 0 || value.series.size() <= limit) return {};
  if (evaluation.limits.partial_results) {
    value.series.resize(limit);
    std::string warning = "maximum number of series (" + std::to_string(limit) + ") reached for a single query; returning partial results";
    if (evaluation.warnings.empty()) evaluation.warnings.push_back(std::move(warning));
    return {};
  }
  return too_many_series(limit);
}

model::Labels group_labels(const model::Labels& labels, const logql::Grouping& grouping) {
  std::vector<model::Label> kept;
  for (const model::Label& label : labels.pairs()) {
    const bool named = std::find(grouping.labels.begin(), grouping.labels.end(), label.name) != grouping.labels.end();
    if (named != grouping.without) kept.push_back(label);
  }
  return model::Labels::from_pairs_with_empty(std::move(kept));
}

void append_label_key(std::string& out, const model::Labels& labels) {
  for (const model::Label& label : labels.pairs()) {
    // Lengths rather than separators: values may hold any byte.
    const std::uint32_t sizes[2] = {static_cast<std::uint32_t>(label.name.size()), static_cast<std::uint32_t>(label.value.size())};
    out.append(reinterpret_cast<const char*>(sizes), sizeof sizes);
    out += label.name;
    out += label.value;
  }
}

}  // namespace skald::engine
