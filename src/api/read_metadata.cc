// labels, label values, series, index/stats, index/shards.
#include <algorithm>
#include <map>

#include "api/query_json.h"
#include "api/query_limits.h"
#include "api/query_run.h"
#include "api/read_context.h"
#include "api/request_limits.h"
#include "skald/api/json.h"
#include "skald/api/params.h"
#include "skald/api/status.h"
#include "skald/logql/parser.h"

namespace skald::api {

namespace {

// Time range and selector of a metadata request; `required`: an empty query is a parse error.
Result<rpc::SelectRequest> metadata_request(const ReadRequest& request, bool required) {
  SKALD_TRY(Bounds bounds, parse_bounds(request.form, request.now_ns));
  rpc::SelectRequest select;
  const std::string query(param(request.form, "query"));
  if (required || !query.empty()) { SKALD_TRY(select.matchers, parse_matchers(query)); }
  SKALD_TRY_VOID(check_length(*request.limits, bounds.end_ns - bounds.start_ns));
  if (!clamp_to_lookback(*request.limits, request.now_ns, bounds.start_ns, bounds.end_ns)) return past_lookback(*request.limits);
  select.start_ns = bounds.start_ns;
  select.end_ns = bounds.end_ns;
  return select;
}

http::Response strings_response(const std::vector<std::string>& strings) {
  std::string body = "{\"status\":\"success\"";
  if (!strings.empty()) {
    body += ",\"data\":[";
    for (std::size_t i = 0; i < strings.size(); ++i) {
      if (i != 0) body += ',';
      append_json_string(body, strings[i]);
    }
    body += ']';
  }
  body += '}';
  return metadata_response(std::move(body));
}

Result<http::Response> handle_labels(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(const rpc::SelectRequest select, metadata_request(request, false));
  SKALD_TRY(const auto names, service.querier.label_names(request.ctx, select));
  return strings_response(names);
}

Result<http::Response> handle_values(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(const rpc::SelectRequest select, metadata_request(request, false));
  SKALD_TRY(const auto values, service.querier.label_values(request.ctx, request.http.path_params.at(0), select));
  return strings_response(values);
}

Result<http::Response> handle_series(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(Bounds bounds, parse_bounds(request.form, request.now_ns));
  std::vector<std::string> texts = request.form.all("match[]");
  for (std::string& text : request.form.all("match")) texts.push_back(std::move(text));
  std::vector<std::vector<model::Matcher>> selectors;
  bool all = false;
  for (const std::string& text : texts) {
    if (text == "{}" || text.empty()) { all = true; continue; }
    SKALD_TRY(auto matchers, parse_matchers(text));
    selectors.push_back(std::move(matchers));
  }
  if (all || selectors.empty()) selectors.assign(1, {});
  SKALD_TRY_VOID(check_length(*request.limits, bounds.end_ns - bounds.start_ns));
  if (!clamp_to_lookback(*request.limits, request.now_ns, bounds.start_ns, bounds.end_ns)) selectors.clear();
  std::map<std::string, model::LabelsPtr> found;
  for (auto& matchers : selectors) {
    rpc::SelectRequest select{std::move(matchers), bounds.start_ns, bounds.end_ns};
    SKALD_TRY_VOID(request.ctx.check());
    SKALD_TRY(auto series, service.querier.series(request.ctx, select));
    for (auto& labels : series) found.emplace(labels->text, labels);
  }
  std::string body = "{\"status\":\"success\",\"data\":[";
  bool first = true;
  for (const auto& [text, labels] : found) {
    if (!first) body += ',';
    first = false;
    append_json_labels(body, labels->labels.pairs());
  }
  body += "]}";
  return metadata_response(std::move(body));
}

void append_index_stats(std::string& body, const querier::IndexStats& stats) {
  body += "{\"streams\":" + std::to_string(stats.streams) + ",\"chunks\":" + std::to_string(stats.chunks) +
          ",\"bytes\":" + std::to_string(stats.bytes) + ",\"entries\":" + std::to_string(stats.entries) + "}";
}

Result<http::Response> handle_stats(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(const rpc::SelectRequest select, metadata_request(request, true));
  SKALD_TRY(const querier::IndexStats stats, service.querier.stats(request.ctx, select));
  std::string body;
  append_index_stats(body, stats);
  return metadata_response(std::move(body));
}

// The selector of any query: only its matchers count.
Result<rpc::SelectRequest> shards_request(const ReadRequest& request) {
  SKALD_TRY(Bounds bounds, parse_bounds(request.form, request.now_ns));
  SKALD_TRY(const logql::Query query, logql::parse(param(request.form, "query")));
  const std::vector<const logql::LogSelector*> selectors = logql::selectors_of(query);
  if (selectors.size() != 1) return Error(ErrorCode::kInvalidArgument, "a query with one stream selector is needed");
  SKALD_TRY_VOID(check_length(*request.limits, bounds.end_ns - bounds.start_ns));
  if (!clamp_to_lookback(*request.limits, request.now_ns, bounds.start_ns, bounds.end_ns)) return past_lookback(*request.limits);
  return rpc::SelectRequest{selectors.front()->matchers, bounds.start_ns, bounds.end_ns};
}

// Streams are not sharded here, so that every query is one shard over all hashes.
Result<http::Response> handle_shards(ReadService& service, const ReadRequest& request) {
  const std::string_view target = param(request.form, "targetBytesPerShard");
  std::int64_t target_bytes = 0;
  if (!target.empty()) { SKALD_TRY(target_bytes, parse_bytes_text(target)); }
  if (target_bytes <= 0) return Error(ErrorCode::kInvalidArgument, "targetBytesPerShard must be a positive value");
  const std::int64_t begin_ns = service.clock.monotonic_ns();
  SKALD_TRY(const rpc::SelectRequest select, shards_request(request));
  SKALD_TRY(const querier::IndexStats stats, service.querier.stats(request.ctx, select));
  std::string body = "{\"shards\":[{\"bounds\":{\"min\":0,\"max\":18446744073709551615},\"stats\":";
  append_index_stats(body, stats);
  body += "}],\"statistics\":";
  engine::QueryStats query_stats;
  query_stats.exec_ns = service.clock.monotonic_ns() - begin_ns;
  query_stats.select.store_chunk_refs = stats.chunks;
  append_stats_json(body, query_stats);
  body += '}';
  return metadata_response(std::move(body));
}

// Part of the keys of what is cached for the tenant; "" where nothing is.
Result<http::Response> handle_generation(ReadService& service, const ReadRequest& request) {
  return metadata_response("\"" + (service.results == nullptr ? "" : results_generation(service, request.ctx.tenant)) + "\"");
}

}  // namespace

void add_metadata_routes(http::Server& server, ReadService& service) {
  add_read_route(server, service, "/loki/api/v1/labels", "loki_api_v1_labels", handle_labels);
  add_read_route(server, service, "/loki/api/v1/label", "loki_api_v1_label", handle_labels);
  add_read_route(server, service, "/loki/api/v1/label/{name}/values", "loki_api_v1_label_name_values", handle_values);
  add_read_route(server, service, "/loki/api/v1/series", "loki_api_v1_series", handle_series);
  add_read_route(server, service, "/loki/api/v1/index/stats", "loki_api_v1_index_stats", handle_stats);
  add_read_route(server, service, "/loki/api/v1/index/shards", "loki_api_v1_index_shards", handle_shards);
  http::Route generation;
  generation.methods = {"POST"};
  generation.pattern = "/loki/api/v1/cache/generation_numbers/increase";
  generation.name = "loki_api_v1_cache_generation_numbers_increase";
  generation.run_on = http::RunOn::kIo;
  generation.handler = [&service](const std::shared_ptr<http::Request>& request, const http::Responder& respond) {
    const Result<std::string> tenant = resolve_tenant(*request, service.options.tenants);
    if (tenant.ok() && service.results != nullptr) service.results->increase_generation(*tenant);
    respond(tenant.ok() ? http::Response::empty(204) : error_response_with_newline(tenant.error()));
  };
  server.add(std::move(generation));
  add_read_route(server, service, "/loki/api/v1/cache/generation_numbers", "loki_api_v1_cache_generation_numbers", handle_generation);
  add_read_route(server, service, "/api/prom/label", "api_prom_label", handle_labels);
  add_read_route(server, service, "/api/prom/label/{name}/values", "api_prom_label_name_values", handle_values);
  add_read_route(server, service, "/api/prom/series", "api_prom_series", handle_series);
}

}  // namespace skald::api
