// query, query_range, format_query and /api/prom/query.
#include "api/query_json.h"
#include "api/query_run.h"
#include "api/read_context.h"
#include "skald/api/json.h"
#include "skald/api/params.h"
#include "skald/engine/engine.h"
#include "skald/logql/format.h"
#include "skald/logql/parser.h"

namespace skald::api {

namespace {

Result<http::Response> handle_range(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(const RangeParams params, parse_range_params(request.form, request.now_ns));
  SKALD_TRY(const logql::Query query, logql::parse(params.query));
  SKALD_TRY(engine::QueryResult result, run_range_query(service, request, query, params));
  return http::Response::json(query_result_json(std::move(result), wants_categories(request.http)));
}

Result<http::Response> handle_instant(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(const InstantParams params, parse_instant_params(request.form, request.now_ns));
  SKALD_TRY(const logql::Query query, logql::parse(params.query));
  if (query.is_log())
    return Error(ErrorCode::kInvalidArgument,
                 "log queries are not supported as an instant query type, please change your query to a range query type");
  SKALD_TRY(engine::QueryResult result, run_instant_query(service, request, query, params));
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

Result<http::Response> handle_legacy(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(const RangeParams params, parse_range_params(request.form, request.now_ns));
  std::string text = params.query;
  if (const std::string_view regexp = param(request.form, "regexp"); !regexp.empty()) {
    text += " |~ ";
    model::append_go_quoted(text, regexp);
  }
  SKALD_TRY(const logql::Query query, logql::parse(text));
  if (!query.is_log())
    return Error(ErrorCode::kInvalidArgument, "rpc error: code = Code(400) desc = legacy endpoints only support streams result type");
  SKALD_TRY(engine::QueryResult result, run_range_query(service, request, query, params));
  return http::Response::json(legacy_result_json(std::move(result)));
}

}  // namespace

void add_query_routes(http::Server& server, ReadService& service) {
  add_query_route(server, service, "/loki/api/v1/query_range", "loki_api_v1_query_range", handle_range);
  add_query_route(server, service, "/loki/api/v1/query", "loki_api_v1_query", handle_instant);
  http::Route format;
  format.methods = {"GET", "POST"};
  format.pattern = "/loki/api/v1/format_query";
  format.name = "loki_api_v1_format_query";
  format.handler = [](const std::shared_ptr<http::Request>& request, const http::Responder& respond) { respond(format_response(*request)); };
  server.add(std::move(format));
  add_query_route(server, service, "/api/prom/query", "api_prom_query", handle_legacy);
}

}  // namespace skald::api
