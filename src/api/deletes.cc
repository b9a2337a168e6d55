#include "skald/api/deletes.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "skald/api/json.h"
#include "skald/api/status.h"
#include "skald/api/tenant.h"
#include "skald/model/time.h"

namespace skald::api {
namespace {

using compactor::DeleteRequest;
using compactor::DeleteStatus;
using compactor::DeleteStore;

// Unix seconds of at most ten digits (a fraction is allowed and dropped), or RFC 3339.
std::optional<std::int64_t> parse_delete_time(const std::string& text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size() && std::isfinite(seconds)) {
    if (seconds < 0 || seconds >= 1e10) return std::nullopt;
    return static_cast<std::int64_t>(seconds);
  }
  const auto ns = model::parse_rfc3339(text);
  if (!ns) return std::nullopt;
  return *ns / kNanosPerSecond;
}

Error bad(std::string text) { return Error(ErrorCode::kInvalidArgument, std::move(text)); }

struct Routes {
  DeleteStore& deletes;
  const config::LimitsProvider& limits;
  const Clock& clock;
  const TenantPolicy tenants;
  const bool several;

  // Another process may have taken or dropped requests since this one looked.
  Result<void> look_again(const CallContext& ctx) const { return several ? deletes.load(ctx, {ctx.tenant}) : Result<void>(); }

  Result<CallContext> context(const http::Request& request) const {
    CallContext ctx;
    SKALD_TRY(ctx.tenant, resolve_tenant(request, tenants));
    ctx.cancel = request.cancel;
    if (limits.for_tenant(ctx.tenant)->deletion_mode == "disabled") {
      return Error(ErrorCode::kPermissionDenied, "deletion is not available for this tenant");
    }
    return ctx;
  }

  Result<http::Response> create(const http::Request& request) const {
    SKALD_TRY(const CallContext ctx, context(request));
    const std::string* query = request.form.get("query");
    if (query == nullptr || query->empty()) return bad("query not set");
    SKALD_TRY_VOID(compactor::parse_delete_query(*query));
    const std::string* start_text = request.form.get("start");
    if (start_text == nullptr || start_text->empty()) return bad("start time not set");
    const auto start_s = parse_delete_time(*start_text);
    if (!start_s) return bad("invalid start time: require unix seconds or RFC3339 format");
    const std::int64_t now_s = clock.now_ns() / kNanosPerSecond;
    std::int64_t end_s = now_s;
    if (const std::string* end_text = request.form.get("end"); end_text != nullptr && !end_text->empty()) {
      const auto parsed = parse_delete_time(*end_text);
      if (!parsed) return bad("invalid end time: require unix seconds or RFC3339 format");
      end_s = *parsed;
    }
    if (end_s > now_s) return bad("deletes in the future are not allowed");
    if (*start_s >= end_s) return bad("start time can't be greater than or equal to end time");
    SKALD_TRY(const std::string id, deletes.add(ctx, *query, *start_s, end_s));
    http::Response response = http::Response::empty(204);
    response.headers.push_back({"X-Delete-Request-ID", id});
    return response;
  }

  Result<http::Response> list(const http::Request& request) const {
    SKALD_TRY(const CallContext ctx, context(request));
    SKALD_TRY_VOID(look_again(ctx));
    std::string out = "[";
    const auto requests = deletes.of(ctx.tenant);
    for (const auto& one : *requests) {
      if (out.size() > 1) out += ',';
      out += "{\"request_id\":";
      append_json_string(out, one->id);
      out += fmt::format(",\"start_time\":{},\"end_time\":{},\"query\":", one->start_s, one->end_s);
      append_json_string(out, one->query);
      out += fmt::format(",\"status\":\"{}\",\"created_at\":", compactor::status_text(*one));
      append_seconds(out, one->created_ms);
      out += ",\"user_id\":\"\"";
      // How far it is and what it took, which clients of Loki do not know and do not mind.
      if (one->days_total != 0 || one->status == DeleteStatus::kProcessed) {
        out += fmt::format(",\"deleted_lines\":{},\"deleted_bytes\":{}", one->lines_removed, one->bytes_removed);
      }
      if (one->finished_ms != 0) {
        out += ",\"finished_at\":";
        append_seconds(out, one->finished_ms);
      }
      out += '}';
    }
    out += "]\n";
    return http::Response::json(std::move(out));
  }

  Result<http::Response> cancel(const http::Request& request) const {
    SKALD_TRY(const CallContext ctx, context(request));
    const std::string* id = request.form.get("request_id");
    const std::string* force = request.form.get("force");
    if (id != nullptr && !id->empty()) {
      SKALD_TRY_VOID(look_again(ctx));
      SKALD_TRY_VOID(deletes.cancel(ctx, *id, force != nullptr && *force == "true"));
    }
    return http::Response::empty(204);
  }
};

}  // namespace

void add_delete_routes(http::Server& server, DeleteStore& deletes, const config::LimitsProvider& limits, const Clock& clock, TenantPolicy tenants, bool several) {
  const auto routes = std::make_shared<const Routes>(Routes{deletes, limits, clock, std::move(tenants), several});
  using Method = Result<http::Response> (Routes::*)(const http::Request&) const;
  const auto add = [&](std::vector<std::string> methods, Method method) {
    http::Route route;
    route.methods = std::move(methods);
    route.pattern = "/loki/api/v1/delete";
    route.name = "loki_api_v1_delete";
    route.handler = [routes, method](std::shared_ptr<http::Request> request, http::Responder respond) {
      auto response = ((*routes).*method)(*request);
      respond(response.ok() ? std::move(response).value() : error_response_with_newline(response.error()));
    };
    server.add(std::move(route));
  };
  add({"PUT", "POST"}, &Routes::create);
  add({"GET"}, &Routes::list);
  add({"DELETE"}, &Routes::cancel);
}

}  // namespace skald::api
