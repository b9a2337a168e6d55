#include "api/query_run.h"

#include <algorithm>

#include "api/limited_source.h"
#include "api/query_limits.h"
#include "api/query_split.h"
#include "skald/api/status.h"
#include "skald/frontend/runner.h"
#include "skald/http/status.h"
#include "skald/logql/format.h"
#include "skald/model/time.h"

namespace skald::api {

namespace {

std::int64_t floor_to(std::int64_t value, std::int64_t unit) {
  const std::int64_t rest = value % unit;
  return value - (rest < 0 ? rest + unit : rest);
}

engine::QueryResult empty_result(const logql::Query& query, bool instant) {
  engine::QueryResult result;
  if (query.is_log()) result.data = engine::LogResult{};
  else if (instant) result.data = engine::VectorResult{};
  else result.data = engine::MatrixResult{};
  return result;
}

// Parts in which Loki would read the range: what clients know as splits.
std::uint64_t splits_of(const config::Limits& limits, std::int64_t start_ns, std::int64_t end_ns) {
  const std::int64_t interval_ns = limits.split_queries_by_interval;
  if (interval_ns <= 0 || end_ns <= start_ns) return 0;
  return static_cast<std::uint64_t>((end_ns - floor_to(start_ns, interval_ns) + interval_ns - 1) / interval_ns);
}

bool refuses_cache(const http::Request& request) {
  const std::string* const control = request.header("Cache-Control");
  return control != nullptr && control->find("no-store") != std::string::npos;
}

constexpr std::int64_t kRetryPauseNs = 50 * kNanosPerMilli;

Result<engine::QueryResult> run_in_engine(ReadService& service, const ReadRequest& request, const logql::Query& query, const engine::QueryParams& params) {
  return frontend::with_retries(request.ctx, service.options.max_retries, kRetryPauseNs, [&]() -> Result<engine::QueryResult> {
    LimitedSource source(service.querier, *request.limits, !params.instant);
    engine::Engine engine(source, service.pool);
    return engine.run(request.ctx, query, params, engine_limits(request));
  });
}

Result<engine::QueryResult> evaluate(ReadService& service, const ReadRequest& request, const logql::Query& query, const engine::QueryParams& params) {
  const EvaluateHere here = [&](const logql::Query& part, const engine::QueryParams& part_params) { return run_in_engine(service, request, part, part_params); };
  return service.options.runner == nullptr ? here(query, params) : run_in_parts(service, request, query, params, here);
}

Result<engine::QueryResult> run_through_cache(ReadService& service, const ReadRequest& request, const logql::Query& query, const engine::QueryParams& params) {
  const std::string& tenant = request.ctx.tenant;
  ResultsCache::Query cached;
  cached.tenant = tenant;
  cached.generation = results_generation(service, tenant);
  cached.text = logql::format_line(query);
  cached.start_ns = params.start_ns;
  cached.end_ns = params.end_ns;
  cached.step_ns = params.step_ns;
  cached.keep_until_ns = request.now_ns - std::max<std::int64_t>(0, request.limits->max_cache_freshness_per_query);
  cached.bucket_ns = std::clamp<std::int64_t>(request.limits->split_queries_by_interval, kNanosPerHour, kNanosPerDay);
  cached.series_max = request.limits->max_query_series;
  return service.results->run(request.ctx, cached, [&](std::int64_t start_ns, std::int64_t end_ns) {
    engine::QueryParams part = params;
    part.start_ns = start_ns;
    part.end_ns = end_ns;
    return evaluate(service, request, query, part);
  });
}

Result<engine::QueryResult> run(ReadService& service, const ReadRequest& request, const logql::Query& query, engine::QueryParams params) {
  const std::int64_t asked_from_ns = params.start_ns;
  if (!clamp_to_lookback(*request.limits, request.now_ns, params.start_ns, params.end_ns)) return empty_result(query, params.instant);
  // A start that moves with the clock would fill the cache with grids that nobody asks for again.
  const bool cacheable = service.results != nullptr && !params.instant && params.start_ns == asked_from_ns && !engine_limits(request).partial_results &&
                         !refuses_cache(request.http) && ResultsCache::can_cache(query, params.start_ns, params.end_ns, params.step_ns);
  SKALD_TRY(engine::QueryResult result, cacheable ? run_through_cache(service, request, query, params) : evaluate(service, request, query, params));
  result.stats.queue_ns = request.queued_ns;
  result.stats.splits = splits_of(*request.limits, params.start_ns, params.end_ns);
  return result;
}

// Runs and leaves a line about it, whatever comes out.
template <class Run>
Result<engine::QueryResult> recorded(ReadService& service, const ReadRequest& request, const logql::Query& query, QueryRecord record, const Run& run_query) {
  const std::int64_t begin_ns = service.clock.monotonic_ns();
  record.tags = request.tags;
  Result<engine::QueryResult> result = run_query();
  record.tenant = request.ctx.tenant;
  record.type = query_type(query);
  record.now_ns = request.now_ns;
  record.duration_ns = service.clock.monotonic_ns() - begin_ns;
  record.queue_ns = request.queued_ns;
  if (result.ok()) {
    record.stats = result->stats;
  } else {
    record.status = http::status_of(result.error().code());
    record.error = result.error().message();
    record.blocked = is_blocked(*request.limits, query, record.query, request.tags);
  }
  service.log.write(record, request.http);
  return result;
}

}  // namespace

engine::EngineLimits engine_limits(const ReadRequest& request) {
  engine::EngineLimits limits;
  limits.max_series = static_cast<std::uint32_t>(std::clamp<std::int64_t>(request.limits->max_query_series, 0, UINT32_MAX));
  const auto& sharded = request.limits->shard_aggregations;
  limits.allow_approx_topk = std::find(sharded.begin(), sharded.end(), "approx_topk") != sharded.end();
  limits.allow_variants = request.limits->enable_multi_variant_queries;
  limits.partial_results = has_tags(request.tags, "Source=grafana-lokiexplore-app");
  return limits;
}

std::string results_generation(ReadService& service, const std::string& tenant) {
  return service.results->generation(tenant, service.querier.deletions(tenant),
                                     service.options.cache_generation ? service.options.cache_generation(tenant) : std::string());
}

Result<engine::QueryResult> run_range_query(ReadService& service, const ReadRequest& request, const logql::Query& query, const RangeParams& params) {
  QueryRecord record;
  record.query = params.query;
  record.start_ns = params.start_ns;
  record.end_ns = params.end_ns;
  record.step_ns = params.step_ns;
  record.limit = params.limit;
  return recorded(service, request, query, record, [&]() -> Result<engine::QueryResult> {
    SKALD_TRY_VOID(check_query(*request.limits, query, params.query, request.tags, {params.start_ns, params.end_ns}));
    engine::QueryParams run_params;
    run_params.start_ns = params.start_ns;
    run_params.end_ns = params.end_ns;
    run_params.step_ns = params.step_ns;
    run_params.interval_ns = params.interval_ns;
    run_params.limit = params.limit;
    run_params.direction = params.direction;
    if (query.is_log()) {
      SKALD_TRY_VOID(check_entries(*request.limits, params.limit));
    } else if (request.limits->split_queries_by_interval != 0) {
      // Points lie on multiples of step, so that results of neighbouring requests fit together.
      run_params.start_ns = floor_to(params.start_ns, params.step_ns);
      run_params.end_ns = floor_to(params.end_ns + params.step_ns - 1, params.step_ns);
    } else if (service.options.align_with_step) {
      run_params.start_ns = floor_to(params.start_ns, params.step_ns);
      run_params.end_ns = floor_to(params.end_ns, params.step_ns);
    }
    return run(service, request, query, run_params);
  });
}

Result<engine::QueryResult> run_instant_query(ReadService& service, const ReadRequest& request, const logql::Query& query, const InstantParams& params) {
  QueryRecord record;
  record.query = params.query;
  record.instant = true;
  record.start_ns = record.end_ns = params.time_ns;
  record.limit = params.limit;
  return recorded(service, request, query, record, [&]() -> Result<engine::QueryResult> {
    SKALD_TRY_VOID(check_query(*request.limits, query, params.query, request.tags, {params.time_ns, params.time_ns}));
    engine::QueryParams run_params;
    run_params.instant = true;
    run_params.start_ns = run_params.end_ns = params.time_ns;
    run_params.limit = params.limit;
    run_params.direction = params.direction;
    return run(service, request, query, run_params);
  });
}

}  // namespace skald::api
