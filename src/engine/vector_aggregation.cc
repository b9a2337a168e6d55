// sum, avg, …, topk over the series of an inner expression, step by step.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <unordered_map>

#include "engine/eval.h"
#include "engine/range_fold.h"

namespace skald::engine {

namespace {

using logql::VectorOp;

// Series indexes per group, in the order of the series.
struct Group {
  model::Labels labels;
  std::vector<std::uint32_t> members;
};

std::vector<Group> make_groups(const std::vector<StepSeries>& series, const logql::Grouping& grouping) {
  std::vector<Group> groups;
  std::unordered_map<std::string, std::uint32_t> index;
  std::string key;
  for (std::uint32_t i = 0; i < series.size(); ++i) {
    model::Labels labels = group_labels(series[i].labels, grouping);
    key.clear();
    append_label_key(key, labels);
    const auto [it, fresh] = index.emplace(key, static_cast<std::uint32_t>(groups.size()));
    if (fresh) groups.push_back({std::move(labels), {}});
    groups[it->second].members.push_back(i);
  }
  return groups;
}

template <class Fold, class Finish>
std::vector<Point> fold_group(const std::vector<StepSeries>& series, const Group& group, std::uint32_t steps, Finish&& finish) {
  std::vector<Fold> folds(steps);
  for (const std::uint32_t member : group.members)
    for (const Point& p : series[member].points) folds[p.step].add(p.value, 0);
  std::vector<Point> points;
  for (std::uint32_t k = 0; k < steps; ++k)
    if (folds[k].rows != 0) points.push_back({k, finish(folds[k])});
  return points;
}

std::vector<Point> aggregate_group(VectorOp op, const std::vector<StepSeries>& series, const Group& group, std::uint32_t steps) {
  switch (op) {
    case VectorOp::kSum: return fold_group<SumFold>(series, group, steps, [](const SumFold& f) { return f.sum; });
    case VectorOp::kAvg: return fold_group<MeanFold>(series, group, steps, [](const MeanFold& f) { return f.mean; });
    case VectorOp::kMin: return fold_group<ExtremeFold<false>>(series, group, steps, [](const auto& f) { return f.value; });
    case VectorOp::kMax: return fold_group<ExtremeFold<true>>(series, group, steps, [](const auto& f) { return f.value; });
    case VectorOp::kCount: return fold_group<SumFold>(series, group, steps, [](const SumFold& f) { return static_cast<double>(f.rows); });
    case VectorOp::kStddev: return fold_group<VarianceFold>(series, group, steps, [](const VarianceFold& f) { return std::sqrt(f.variance()); });
    default: return fold_group<VarianceFold>(series, group, steps, [](const VarianceFold& f) { return f.variance(); });
  }
}

// Keeps the k first in rank at every step. NaN ranks last; among equals the first seen stays.
Value select_ranked(Value input, const logql::VectorAggregation& aggregation, const logql::Grouping& grouping, std::uint32_t steps) {
  const bool largest = aggregation.op != VectorOp::kBottomk;
  const std::size_t k = static_cast<std::size_t>(std::max<std::int64_t>(0, aggregation.parameter.value_or(0)));
  struct Candidate { double value; std::uint32_t series; };
  const auto better = [largest](const Candidate& a, const Candidate& b) {
    if (std::isnan(a.value) || std::isnan(b.value)) return !std::isnan(a.value) && std::isnan(b.value);
    return largest ? a.value > b.value : a.value < b.value;
  };
  std::vector<StepSeries> kept(input.series.size());
  std::vector<std::size_t> next(input.series.size(), 0);
  for (const Group& group : make_groups(input.series, grouping)) {
    std::vector<Candidate> candidates;
    for (std::uint32_t step = 0; step < steps; ++step) {
      candidates.clear();
      for (const std::uint32_t member : group.members) {
        const auto& points = input.series[member].points;
        std::size_t& at = next[member];
        while (at < points.size() && points[at].step < step) ++at;
        if (at < points.size() && points[at].step == step) candidates.push_back({points[at].value, member});
      }
      if (candidates.size() > k) {
        std::stable_sort(candidates.begin(), candidates.end(), better);
        candidates.resize(k);
      }
      for (const Candidate& c : candidates) kept[c.series].points.push_back({step, c.value});
    }
  }
  Value output;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (kept[i].points.empty()) continue;
    kept[i].labels = std::move(input.series[i].labels);
    output.series.push_back(std::move(kept[i]));
  }
  return output;
}

void sort_by_value(Value& value, bool descending) {
  std::stable_sort(value.series.begin(), value.series.end(), [descending](const StepSeries& a, const StepSeries& b) {
    const double x = a.points.front().value, y = b.points.front().value;
    if (std::isnan(x) || std::isnan(y)) return !std::isnan(x) && std::isnan(y);   // NaN last either way
    return descending ? x > y : x < y;
  });
  value.ordered = true;
}

bool sums_linearly(logql::RangeOp op) {
  using logql::RangeOp;
  return op == RangeOp::kCountOverTime || op == RangeOp::kRate || op == RangeOp::kBytesOverTime || op == RangeOp::kBytesRate ||
         op == RangeOp::kSumOverTime;
}

}  // namespace

Result<Value> evaluate_vector(Evaluation& evaluation, const logql::VectorAggregation& aggregation) {
  const logql::Grouping grouping = aggregation.grouping.value_or(logql::Grouping{});
  const std::uint32_t steps = evaluation.steps.count;
  const auto* range = std::get_if<logql::RangeAggregation>(&aggregation.inner->node);
  Value input;
  if (aggregation.op == VectorOp::kSum && range && sums_linearly(range->op) && !range->grouping) {
    SKALD_TRY(input, evaluate_range(evaluation, *range, &grouping));
  } else {
    if (aggregation.op == VectorOp::kApproxTopk) {
      if (!evaluation.limits.allow_approx_topk)
        return Error(ErrorCode::kInternal, "approx_topk is not enabled. See -limits.shard_aggregations");
      if (!evaluation.params.instant)
        return Error(ErrorCode::kInternal, "count min sketches are only supported on instant queries");
    }
    // Aggregations that Loki pushes to its shards never see their input as a whole; the others evaluate it first.
    const bool pushed = aggregation.op == VectorOp::kSum || aggregation.op == VectorOp::kAvg || aggregation.op == VectorOp::kMin ||
                        aggregation.op == VectorOp::kMax || aggregation.op == VectorOp::kCount;
    SKALD_TRY(input, evaluate_operand(evaluation, *aggregation.inner, !pushed));
  }
  switch (aggregation.op) {
    case VectorOp::kTopk: case VectorOp::kBottomk: case VectorOp::kApproxTopk:
      return select_ranked(std::move(input), aggregation, grouping, steps);
    case VectorOp::kSort: case VectorOp::kSortDesc:
      if (evaluation.params.instant) sort_by_value(input, aggregation.op == VectorOp::kSortDesc);
      return input;
    default: break;
  }
  Value output;
  for (Group& group : make_groups(input.series, grouping)) {
    std::vector<Point> points = aggregate_group(aggregation.op, input.series, group, steps);
    output.series.push_back({std::move(group.labels), std::move(points)});
  }
  std::sort(output.series.begin(), output.series.end(), [](const StepSeries& a, const StepSeries& b) { return a.labels < b.labels; });
  return output;
}

}  // namespace skald::engine
