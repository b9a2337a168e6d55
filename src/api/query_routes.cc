// query, query_range, format_query and /api/prom/query.
#include <algorithm>

#include "api/query_json.h"
#include "api/query_limits.h"
#include "api/query_run.h"
#include "api/read_context.h"
#include "skald/api/json.h"
#include "skald/api/params.h"
#include "skald/engine/engine.h"
#include "skald/logql/format.h"
#include "skald/logql/parser.h"

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

// What the selectors match in the range, as the index estimates it; only asked for when there is a limit.
Result<void> check_volume(ReadDeps& deps, const ReadRequest& request, const logql::Query& query, const engine::QueryParams& params) {
  if (request.limits->max_query_bytes_read <= 0) return {};
  std::uint64_t bytes = 0;
  for (const logql::LogSelector* selector : logql::selectors_of(query)) {
    SKALD_TRY(const auto volumes, deps.querier.volumes(request.ctx, {selector->matchers, params.start_ns - longest_window_ns(query), params.end_ns}));
    for (const rpc::SeriesVolume& volume : volumes) bytes += volume.bytes;
  }
  return check_bytes(*request.limits, bytes);
}

Result<void> check_accept(const ReadRequest& request) {
  const std::string* accept = request.http.header("Accept");
  if (!accept || accept->find("application/vnd.apache.parquet") == std::string::npos) return {};
  return Error(ErrorCode::kInvalidArgument,
               "support for Parquet encoded responses is disabled. Enable with -frontend.support-parquet-encoding=true");
}

Result<engine::QueryResult> run(ReadDeps& deps, const ReadRequest& request, const logql::Query& query, engine::QueryParams params) {
  const std::int64_t lookback_ns = request.limits->max_query_lookback;
  if (lookback_ns > 0) {
    const std::int64_t oldest_ns = request.now_ns - lookback_ns;
    if (params.end_ns < oldest_ns) return empty_result(query, params.instant);
    params.start_ns = std::max(params.start_ns, oldest_ns);
  }
  SKALD_TRY_VOID(check_volume(deps, request, query, params));
  engine::Engine engine(deps.querier, deps.pool);
  return engine.run(request.ctx, query, params, engine_limits(request));
}

Result<http::Response> handle_range(ReadDeps& deps, const ReadRequest& request) {
  SKALD_TRY_VOID(check_accept(request));
  SKALD_TRY(const RangeParams params, parse_range_params(request.form, request.now_ns));
  SKALD_TRY(const logql::Query query, logql::parse(params.query));
  SKALD_TRY(engine::QueryResult result, run_range_query(deps, request, query, params));
  return http::Response::json(query_result_json(std::move(result), wants_categories(request.http)));
}

Result<http::Response> handle_instant(ReadDeps& deps, const ReadRequest& request) {
  SKALD_TRY_VOID(check_accept(request));
  SKALD_TRY(const InstantParams params, parse_instant_params(request.form, request.now_ns));
  SKALD_TRY(const logql::Query query, logql::parse(params.query));
  if (query.is_log())
    return Error(ErrorCode::kInvalidArgument,
                 "log queries are not supported as an instant query type, please change your query to a range query type");
  SKALD_TRY_VOID(check_query(*request.limits, query, params.query, {params.time_ns, params.time_ns}));
  engine::QueryParams run_params;
  run_params.instant = true;
  run_params.start_ns = run_params.end_ns = params.time_ns;
  run_params.limit = params.limit;
  run_params.direction = params.direction;
  SKALD_TRY(engine::QueryResult result, run(deps, request, query, run_params));
  return http::Response::json(query_result_json(std::move(result), false));
}

// Needs no tenant: it looks at no data.
http::Response format_response(const http::Request& request) {
  const Result<logql::Query> query = logql::parse(param(request.form, "query"));
  std::string body;
  if (!query.ok()) {   // the one error that is JSON
    body = "{\"status\":\"invalid-query\",\"error\":";
    append_json_string(body, query.error().message());
    body += '}';
    http::Response response = http::Response::json(std::move(body));
    response.status = 400;
    return response;
  }
  body = "{\"status\":\"success\",\"data\":";
  append_json_string(body, logql::format_pretty(*query));
  body += '}';
  return http::Response::json(std::move(body));
}

Result<http::Response> handle_legacy(ReadDeps& deps, const ReadRequest& request) {
  SKALD_TRY(const RangeParams params, parse_range_params(request.form, request.now_ns));
  std::string text = params.query;
  if (const std::string_view regexp = param(request.form, "regexp"); !regexp.empty()) {
    text += " |~ ";
    model::append_go_quoted(text, regexp);
  }
  SKALD_TRY(const logql::Query query, logql::parse(text));
  if (!query.is_log())
    return Error(ErrorCode::kInvalidArgument, "rpc error: code = Code(400) desc = legacy endpoints only support streams result type");
  SKALD_TRY(engine::QueryResult result, run_range_query(deps, request, query, params));
  return http::Response::json(legacy_result_json(std::move(result)));
}

}  // namespace

engine::EngineLimits engine_limits(const ReadRequest& request) {
  engine::EngineLimits limits;
  limits.max_series = static_cast<std::uint32_t>(std::clamp<std::int64_t>(request.limits->max_query_series, 0, UINT32_MAX));
  const auto& sharded = request.limits->shard_aggregations;
  limits.allow_approx_topk = std::find(sharded.begin(), sharded.end(), "approx_topk") != sharded.end();
  const std::string* tags = request.http.header("X-Query-Tags");
  limits.partial_results = tags && tags->find("Source=grafana-lokiexplore-app") != std::string::npos;
  return limits;
}

Result<engine::QueryResult> run_range_query(ReadDeps& deps, const ReadRequest& request, const logql::Query& query, const RangeParams& params) {
  SKALD_TRY_VOID(check_query(*request.limits, query, params.query, {params.start_ns, params.end_ns}));
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
  }
  return run(deps, request, query, run_params);
}

void add_query_routes(http::Server& server, const std::shared_ptr<ReadDeps>& deps) {
  add_read_route(server, deps, "/loki/api/v1/query_range", "loki_api_v1_query_range", handle_range);
  add_read_route(server, deps, "/loki/api/v1/query", "loki_api_v1_query", handle_instant);
  http::Route format;
  format.methods = {"GET", "POST"};
  format.pattern = "/loki/api/v1/format_query";
  format.name = "loki_api_v1_format_query";
  format.handler = [](const std::shared_ptr<http::Request>& request, const http::Responder& respond) { respond(format_response(*request)); };
  server.add(std::move(format));
  add_read_route(server, deps, "/api/prom/query", "api_prom_query", handle_legacy);
}

}  // namespace skald::api
