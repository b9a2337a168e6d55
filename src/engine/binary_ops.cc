// Binary operators: scalars, vector with scalar, vector with vector (matched per step), and set operators.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <unordered_map>

#include "engine/eval.h"

namespace skald::engine {

namespace {

using logql::BinaryOp;
using logql::VectorMatching;

bool is_comparison(BinaryOp op) {
  switch (op) {
    case BinaryOp::kEqual: case BinaryOp::kNotEqual: case BinaryOp::kGreater: case BinaryOp::kGreaterEqual:
    case BinaryOp::kLess: case BinaryOp::kLessEqual: return true;
    default: return false;
  }
}

bool is_set_operator(BinaryOp op) { return op == BinaryOp::kAnd || op == BinaryOp::kOr || op == BinaryOp::kUnless; }

bool compare(BinaryOp op, double left, double right) {
  switch (op) {
    case BinaryOp::kEqual: return left == right;
    case BinaryOp::kNotEqual: return left != right;
    case BinaryOp::kGreater: return left > right;
    case BinaryOp::kGreaterEqual: return left >= right;
    case BinaryOp::kLess: return left < right;
    default: return left <= right;
  }
}

double calculate(BinaryOp op, double left, double right) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  switch (op) {
    case BinaryOp::kAdd: return left + right;
    case BinaryOp::kSub: return left - right;
    case BinaryOp::kMul: return left * right;
    case BinaryOp::kDiv: return right == 0 ? nan : left / right;
    case BinaryOp::kMod: return right == 0 ? nan : std::fmod(left, right);
    case BinaryOp::kPow: return std::pow(left, right);
    default: return compare(op, left, right) ? 1 : 0;
  }
}

Value with_scalar(Value vector, const logql::BinaryExpr& expression, double scalar, bool scalar_left) {
  const bool filter = is_comparison(expression.op) && !expression.return_bool;
  for (StepSeries& series : vector.series) {
    std::size_t kept = 0;
    for (const Point& p : series.points) {
      const double left = scalar_left ? scalar : p.value, right = scalar_left ? p.value : scalar;
      if (filter) {   // the vector's value stays, whichever side it is on
        if (compare(expression.op, left, right)) series.points[kept++] = p;
      } else {
        series.points[kept++] = {p.step, calculate(expression.op, left, right)};
      }
    }
    series.points.resize(kept);
  }
  std::erase_if(vector.series, [](const StepSeries& s) { return s.points.empty(); });
  return vector;
}

// Numbers the label sets that take part in matching: equal signatures, equal numbers.
class Signatures {
 public:
  explicit Signatures(const VectorMatching& matching) {
    grouping_.without = !matching.on;
    grouping_.labels = matching.labels;
  }
  std::vector<std::uint32_t> of(const std::vector<StepSeries>& series) {
    std::vector<std::uint32_t> numbers;
    std::string key;
    for (const StepSeries& s : series) {
      key.clear();
      append_label_key(key, group_labels(s.labels, grouping_));
      numbers.push_back(index_.emplace(key, static_cast<std::uint32_t>(index_.size())).first->second);
    }
    return numbers;
  }
  std::size_t size() const { return index_.size(); }

 private:
  logql::Grouping grouping_;
  std::unordered_map<std::string, std::uint32_t> index_;
};

// Walks one side's points step by step.
class StepCursor {
 public:
  explicit StepCursor(const std::vector<StepSeries>& series) : series_(series), next_(series.size(), 0) {}
  // The point of series `i` at `step`, or nullptr. Steps must not go back.
  const Point* at(std::size_t i, std::uint32_t step) {
    const auto& points = series_[i].points;
    std::size_t& n = next_[i];
    while (n < points.size() && points[n].step < step) ++n;
    return n < points.size() && points[n].step == step ? &points[n] : nullptr;
  }

 private:
  const std::vector<StepSeries>& series_;
  std::vector<std::size_t> next_;
};

// Output series by label set.
class SeriesBuilder {
 public:
  std::uint32_t series(const model::Labels& labels) {
    key_.clear();
    append_label_key(key_, labels);
    const auto [it, fresh] = index_.emplace(key_, static_cast<std::uint32_t>(output_.size()));
    if (fresh) output_.push_back({labels, {}});
    return it->second;
  }
  void add(std::uint32_t series, std::uint32_t step, double value) { output_[series].points.push_back({step, value}); }
  Value finish() {
    Value value;
    for (StepSeries& s : output_)
      if (!s.points.empty()) value.series.push_back(std::move(s));
    std::sort(value.series.begin(), value.series.end(), [](const StepSeries& a, const StepSeries& b) { return a.labels < b.labels; });
    return value;
  }

 private:
  std::string key_;
  std::unordered_map<std::string, std::uint32_t> index_;
  std::vector<StepSeries> output_;
};

Value combine_sets(const Value& left, const Value& right, const logql::BinaryExpr& expression, std::uint32_t steps) {
  Signatures signatures(expression.matching);
  const auto left_signatures = signatures.of(left.series), right_signatures = signatures.of(right.series);
  StepCursor left_points(left.series), right_points(right.series);
  SeriesBuilder out;
  std::vector<std::uint32_t> left_out, right_out;
  for (const StepSeries& s : left.series) left_out.push_back(out.series(s.labels));
  if (expression.op == BinaryOp::kOr)
    for (const StepSeries& s : right.series) right_out.push_back(out.series(s.labels));
  std::vector<char> present;
  for (std::uint32_t step = 0; step < steps; ++step) {
    present.assign(signatures.size(), 0);
    if (expression.op == BinaryOp::kOr) {
      for (std::size_t i = 0; i < left.series.size(); ++i)
        if (const Point* p = left_points.at(i, step)) {
          present[left_signatures[i]] = 1;
          out.add(left_out[i], step, p->value);
        }
      for (std::size_t i = 0; i < right.series.size(); ++i)
        if (const Point* p = right_points.at(i, step); p && !present[right_signatures[i]]) out.add(right_out[i], step, p->value);
    } else {
      for (std::size_t i = 0; i < right.series.size(); ++i)
        if (right_points.at(i, step)) present[right_signatures[i]] = 1;
      const bool wanted = expression.op == BinaryOp::kAnd;
      for (std::size_t i = 0; i < left.series.size(); ++i)
        if (const Point* p = left_points.at(i, step); p && static_cast<bool>(present[left_signatures[i]]) == wanted) out.add(left_out[i], step, p->value);
    }
  }
  return out.finish();
}

// Labels of a matched pair; `many` is the side whose labels stay.
model::Labels matched_labels(const model::Labels& many, const model::Labels& one, const VectorMatching& matching) {
  model::Labels labels = many;
  if (matching.card == VectorMatching::Card::kOneToOne) {
    logql::Grouping grouping;
    grouping.without = !matching.on;
    grouping.labels = matching.labels;
    return group_labels(many, grouping);
  }
  if (matching.include.empty()) return labels;
  std::vector<model::Label> pairs = labels.pairs();
  for (const std::string& name : matching.include) {
    std::erase_if(pairs, [&](const model::Label& label) { return label.name == name; });
    if (one.has(name)) pairs.push_back({name, std::string(one.get(name))});
  }
  return model::Labels::from_pairs_with_empty(std::move(pairs));
}

Result<Value> combine_matched(const Value& left, const Value& right, const logql::BinaryExpr& expression, std::uint32_t steps) {
  const VectorMatching& matching = expression.matching;
  const bool swapped = matching.card == VectorMatching::Card::kOneToMany;
  const bool one_to_one = matching.card == VectorMatching::Card::kOneToOne;
  const std::vector<StepSeries>& many = swapped ? right.series : left.series;
  const std::vector<StepSeries>& one = swapped ? left.series : right.series;
  Signatures signatures(matching);
  const auto many_signatures = signatures.of(many), one_signatures = signatures.of(one);
  StepCursor many_points(many), one_points(one);
  const bool filter = is_comparison(expression.op) && !expression.return_bool;

  constexpr std::uint32_t kNone = 0xffffffff;
  struct Partner { std::uint32_t series = kNone; double value = 0; bool matched = false; };
  std::vector<Partner> partners;
  SeriesBuilder out;
  std::unordered_map<std::uint64_t, std::uint32_t> outputs;   // (many, one) → output series
  std::vector<std::uint32_t> emitted_at;                      // output series → last step + 1
  for (std::uint32_t step = 0; step < steps; ++step) {
    partners.assign(signatures.size(), {});
    for (std::uint32_t i = 0; i < one.size(); ++i) {
      const Point* p = one_points.at(i, step);
      if (!p) continue;
      Partner& partner = partners[one_signatures[i]];
      if (partner.series != kNone)
        return Error(ErrorCode::kInternal, std::string("found duplicate series on the ") + (swapped ? "left" : "right") +
                                               " hand-side;many-to-many matching not allowed: matching labels must be unique on one side");
      partner.series = i;
      partner.value = p->value;
    }
    for (std::uint32_t i = 0; i < many.size(); ++i) {
      const Point* p = many_points.at(i, step);
      if (!p) continue;
      Partner& partner = partners[many_signatures[i]];
      if (partner.series == kNone) continue;
      if (one_to_one && partner.matched)
        return Error(ErrorCode::kInternal, "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)");
      partner.matched = true;
      const auto [it, fresh] = outputs.emplace(static_cast<std::uint64_t>(i) << 32 | partner.series, 0);
      if (fresh) it->second = out.series(matched_labels(many[i].labels, one[partner.series].labels, matching));
      const std::uint32_t series = it->second;
      if (emitted_at.size() <= series) emitted_at.resize(series + 1, 0);
      if (emitted_at[series] == step + 1)
        return Error(ErrorCode::kInternal, "multiple matches for labels: grouping labels must ensure unique matches");
      emitted_at[series] = step + 1;
      const double l = swapped ? partner.value : p->value, r = swapped ? p->value : partner.value;
      if (!filter) out.add(series, step, calculate(expression.op, l, r));
      else if (compare(expression.op, l, r)) out.add(series, step, l);
    }
  }
  return out.finish();
}

}  // namespace

Result<Value> evaluate_binary(Evaluation& evaluation, const logql::BinaryExpr& expression) {
  SKALD_TRY(Value left, evaluate(evaluation, *expression.left));
  SKALD_TRY(Value right, evaluate(evaluation, *expression.right));
  if (left.is_scalar && right.is_scalar) {
    Value value;
    value.is_scalar = true;
    value.scalar = calculate(expression.op, left.scalar, right.scalar);
    return value;
  }
  SKALD_TRY_VOID(check_series(evaluation, left));
  SKALD_TRY_VOID(check_series(evaluation, right));
  if (left.is_scalar) return with_scalar(std::move(right), expression, left.scalar, true);
  if (right.is_scalar) return with_scalar(std::move(left), expression, right.scalar, false);
  if (is_set_operator(expression.op)) return combine_sets(left, right, expression, evaluation.steps.count);
  return combine_matched(left, right, expression, evaluation.steps.count);
}

}  // namespace skald::engine
