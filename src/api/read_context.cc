#include "api/read_context.h"

#include <string_view>

#include "skald/api/status.h"
#include "skald/api/tenant.h"
#include "skald/logql/parser.h"

namespace skald::api {

Result<ReadRequest> make_read_request(const ReadDeps& deps, const http::Request& request) {
  Result<std::string> resolved = resolve_tenant(request, deps.auth_enabled);
  if (!resolved.ok()) {
    // A query over several tenants that is not allowed is an execution error to Loki's clients, not a bad request.
    if (resolved.error().message() == "multiple org IDs present") return Error(ErrorCode::kInternal, resolved.error().message());
    return std::move(resolved).error();
  }
  std::string tenant = std::move(resolved).value();
  ReadRequest read{request, request.form, {}, deps.limits.for_tenant(tenant), deps.clock.now_ns()};
  read.ctx.tenant = std::move(tenant);
  read.ctx.clock = &deps.clock;
  read.ctx.cancel = request.cancel;
  if (read.limits->query_timeout > 0) read.ctx.deadline_monotonic_ns = deps.clock.monotonic_ns() + read.limits->query_timeout;
  return read;
}

http::Response read_error_response(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kDeadlineExceeded:
      return error_response(Error(error.code(),
                                  "request timed out, decrease the duration of the request or add more label matchers (prefer exact match over "
                                  "regex match) to reduce the amount of data processed"));
    case ErrorCode::kCancelled: return error_response(Error(error.code(), "the request was cancelled by the client"));
    default: return error_response(error);
  }
}

void add_read_route(http::Server& server, const std::shared_ptr<ReadDeps>& deps, std::string pattern, std::string name, ReadHandler handler) {
  http::Route route;
  route.methods = {"GET", "POST"};
  route.pattern = std::move(pattern);
  route.name = std::move(name);
  route.run_on = http::RunOn::kPool;
  route.handler = [deps, handler = std::move(handler)](const std::shared_ptr<http::Request>& request, const http::Responder& respond) {
    const Result<ReadRequest> read = make_read_request(*deps, *request);
    if (!read.ok()) return respond(read_error_response(read.error()));
    Result<http::Response> response = handler(*deps, *read);
    respond(response.ok() ? std::move(response).value() : read_error_response(response.error()));
  };
  server.add(std::move(route));
}

Result<std::vector<model::Matcher>> parse_matchers(const std::string& text) {
  SKALD_TRY(logql::Query query, logql::parse(text));
  if (!query.is_log() || !query.log().stages.empty()) return Error(ErrorCode::kInvalidArgument, "only label matchers are supported");
  return query.log().matchers;
}

http::Response metadata_response(std::string json) {
  json += '\n';
  return http::Response::json(std::move(json));
}

bool wants_categories(const http::Request& request) {
  const std::string* flags = request.header("X-Loki-Response-Encoding-Flags");
  if (!flags) return false;
  std::string_view rest = *flags;
  while (!rest.empty()) {   // a comma list
    const std::size_t comma = rest.find(',');
    std::string_view flag = rest.substr(0, comma);
    while (!flag.empty() && flag.front() == ' ') flag.remove_prefix(1);
    while (!flag.empty() && flag.back() == ' ') flag.remove_suffix(1);
    if (flag == "categorize-labels") return true;
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return false;
}

void add_read_routes(http::Server& server, ReadDeps deps) {
  const auto shared = std::make_shared<ReadDeps>(deps);
  add_query_routes(server, shared);
  add_metadata_routes(server, shared);
  add_volume_routes(server, shared);
  add_detected_routes(server, shared);
  add_tail_routes(server, shared);
}

}  // namespace skald::api
