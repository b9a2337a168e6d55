#include "skald/api/admin.h"

#include "skald/api/status.h"
#include "skald/api/tenant.h"

namespace skald::api {
namespace {

bool truth(const http::Request& request, const char* name, bool fallback) {
  const std::string* value = request.form.get(name);
  if (!value) value = request.query.get(name);
  if (!value || value->empty()) return fallback;
  return *value == "true" || *value == "1";
}

http::Response no_content_or(const Result<void>& result) {
  return result.ok() ? http::Response::empty(204) : error_response_with_newline(result.error());
}

}  // namespace

void add_admin_routes(http::Server& server, AdminActions actions) {
  const auto shared = std::make_shared<const AdminActions>(std::move(actions));
  const auto add = [&](std::vector<std::string> methods, const char* pattern, const char* name, auto answer) {
    http::Route route;
    route.methods = std::move(methods);
    route.pattern = pattern;
    route.name = name;
    route.handler = [answer](std::shared_ptr<http::Request> request, http::Responder respond) { respond(answer(*request)); };
    server.add(std::move(route));
  };
  add({"GET", "POST"}, "/flush", "flush", [shared](const http::Request&) { return no_content_or(shared->flush_all()); });
  // The flush of one tenant is a flush: what others have in memory becomes durable with it.
  add({"POST"}, "/flush/tenant", "flush_tenant", [shared](const http::Request& request) {
    if (const Result<std::string> tenant = resolve_tenant(request, shared->tenants); !tenant.ok()) return error_response_with_newline(tenant.error());
    return no_content_or(shared->flush_all());
  });
  add({"GET", "POST", "DELETE"}, "/ingester/prepare_shutdown", "ingester_prepare_shutdown", [shared](const http::Request& request) {
    if (request.method == "GET") return http::Response::text(200, shared->prepare_shutdown() ? "set\n" : "unset\n");
    return no_content_or(shared->set_prepare_shutdown(request.method == "POST"));
  });
  add({"GET", "POST"}, "/ingester/shutdown", "ingester_shutdown", [shared](const http::Request& request) {
    if (truth(request, "flush", true)) {
      if (Result<void> flushed = shared->flush_all(); !flushed.ok()) return error_response_with_newline(flushed.error());
    }
    if (truth(request, "terminate", true)) shared->terminate();
    return http::Response::empty(204);
  });
}

}  // namespace skald::api
