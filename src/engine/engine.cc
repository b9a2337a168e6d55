#include "skald/engine/engine.h"

#include <chrono>

#include "engine/eval.h"
#include "engine/log_query.h"

namespace skald::engine {

namespace {

constexpr std::uint32_t kStepsMax = 1'000'000;   // callers limit points to 11 000; this only bounds memory

bool reads_no_stream(const Value& value) { return value.is_scalar; }

std::vector<Sample> to_samples(const std::vector<Point>& points, const StepGrid& steps) {
  std::vector<Sample> samples;
  samples.reserve(points.size());
  for (const Point& p : points) {
    const std::int64_t t = steps.at(p.step);
    samples.push_back({(t - ((t % 1'000'000) + 1'000'000) % 1'000'000) / 1'000'000, p.value});
  }
  return samples;
}

void to_result(Value value, const Evaluation& evaluation, QueryResult& result) {
  const StepGrid& steps = evaluation.steps;
  if (reads_no_stream(value)) {
    if (evaluation.params.instant) {
      result.data = ScalarResult{to_samples({{0, value.scalar}}, steps).front()};
      return;
    }
    StepSeries constant;
    for (std::uint32_t k = 0; k < steps.count; ++k) constant.points.push_back({k, value.scalar});
    value.series.push_back(std::move(constant));
  }
  std::vector<Series> series;
  series.reserve(value.series.size());
  for (StepSeries& s : value.series) series.push_back({std::move(s.labels), to_samples(s.points, steps)});
  result.stats.entries_returned = series.size();
  if (evaluation.params.instant) result.data = VectorResult{std::move(series), value.ordered};
  else result.data = MatrixResult{std::move(series)};
}

}  // namespace

Engine::Engine(Source& source, exec::Pool& pool) : source_(source), pool_(pool) {}

Result<QueryResult> Engine::run(const CallContext& ctx, const logql::Query& query, const QueryParams& params, const EngineLimits& limits) {
  const std::int64_t begin_ns = ctx.clock->monotonic_ns();
  Evaluation evaluation{ctx, source_, pool_, params, limits, {}, {}, {}};
  QueryResult result;
  if (query.is_log()) {
    SKALD_TRY(LogResult logs, run_log_query(evaluation, query.log()));
    result.stats = evaluation.stats;
    result.data = std::move(logs);
  } else {
    evaluation.steps.start_ns = params.start_ns;
    evaluation.steps.count = 1;
    if (!params.instant) {
      if (params.step_ns <= 0 || params.end_ns < params.start_ns)
        return Error(ErrorCode::kInvalidArgument, "zero or negative query resolution step widths are not accepted. Try a positive integer");
      const std::int64_t points = (params.end_ns - params.start_ns) / params.step_ns + 1;
      if (points > kStepsMax)
        return Error(ErrorCode::kInvalidArgument,
                     "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter");
      evaluation.steps.step_ns = params.step_ns;
      evaluation.steps.count = static_cast<std::uint32_t>(points);
    }
    SKALD_TRY(Value value, evaluate(evaluation, query.metric()));
    SKALD_TRY_VOID(check_series(evaluation, value));
    result.stats = evaluation.stats;
    to_result(std::move(value), evaluation, result);
  }
  result.warnings = std::move(evaluation.warnings);
  result.stats.exec_ns = ctx.clock->monotonic_ns() - begin_ns;
  return result;
}

}  // namespace skald::engine
