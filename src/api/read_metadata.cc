// labels, label values, series, index/stats.
#include <algorithm>
#include <map>

#include "api/query_limits.h"
#include "api/read_context.h"
#include "skald/api/json.h"
#include "skald/api/params.h"
#include "skald/model/time.h"

namespace skald::api {

namespace {

// Time range and selector of a metadata request; `required`: an empty query is a parse error.
Result<rpc::SelectRequest> metadata_request(const ReadRequest& request, bool required) {
  SKALD_TRY(Bounds bounds, parse_bounds(request.form, request.now_ns));
  rpc::SelectRequest select;
  const std::string query(param(request.form, "query"));
  if (required || !query.empty()) { SKALD_TRY(select.matchers, parse_matchers(query)); }
  SKALD_TRY_VOID(check_length(*request.limits, bounds.end_ns - bounds.start_ns));
  if (const std::int64_t lookback_ns = request.limits->max_query_lookback; lookback_ns > 0) {
    const std::int64_t oldest_ns = request.now_ns - lookback_ns;
    if (bounds.end_ns < oldest_ns)
      return Error(ErrorCode::kInvalidArgument, "this data is no longer available, it is past now - max_query_lookback (" +
                                                    model::format_prom_duration(lookback_ns) + ")");
    bounds.start_ns = std::max(bounds.start_ns, oldest_ns);
  }
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

Result<http::Response> handle_labels(ReadDeps& deps, const ReadRequest& request) {
  SKALD_TRY(const rpc::SelectRequest select, metadata_request(request, false));
  SKALD_TRY(const auto names, deps.querier.label_names(request.ctx, select));
  return strings_response(names);
}

Result<http::Response> handle_values(ReadDeps& deps, const ReadRequest& request) {
  SKALD_TRY(const rpc::SelectRequest select, metadata_request(request, false));
  SKALD_TRY(const auto values, deps.querier.label_values(request.ctx, request.http.path_params.at(0), select));
  return strings_response(values);
}

Result<http::Response> handle_series(ReadDeps& deps, const ReadRequest& request) {
  SKALD_TRY(const Bounds bounds, parse_bounds(request.form, request.now_ns));
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
  std::map<std::string, model::LabelsPtr> found;
  for (auto& matchers : selectors) {
    rpc::SelectRequest select{std::move(matchers), bounds.start_ns, bounds.end_ns};
    SKALD_TRY(auto series, deps.querier.series(request.ctx, select));
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

Result<http::Response> handle_stats(ReadDeps& deps, const ReadRequest& request) {
  SKALD_TRY(const rpc::SelectRequest select, metadata_request(request, true));
  SKALD_TRY(const querier::IndexStats stats, deps.querier.stats(request.ctx, select));
  std::string body = "{\"streams\":" + std::to_string(stats.streams) + ",\"chunks\":" + std::to_string(stats.chunks) +
                     ",\"bytes\":" + std::to_string(stats.bytes) + ",\"entries\":" + std::to_string(stats.entries) + "}";
  return metadata_response(std::move(body));
}

}  // namespace

void add_metadata_routes(http::Server& server, const std::shared_ptr<ReadDeps>& deps) {
  add_read_route(server, deps, "/loki/api/v1/labels", "loki_api_v1_labels", handle_labels);
  add_read_route(server, deps, "/loki/api/v1/label", "loki_api_v1_label", handle_labels);
  add_read_route(server, deps, "/loki/api/v1/label/{name}/values", "loki_api_v1_label_name_values", handle_values);
  add_read_route(server, deps, "/loki/api/v1/series", "loki_api_v1_series", handle_series);
  add_read_route(server, deps, "/loki/api/v1/index/stats", "loki_api_v1_index_stats", handle_stats);
  add_read_route(server, deps, "/api/prom/label", "api_prom_label", handle_labels);
  add_read_route(server, deps, "/api/prom/label/{name}/values", "api_prom_label_name_values", handle_values);
  add_read_route(server, deps, "/api/prom/series", "api_prom_series", handle_series);
}

}  // namespace skald::api
