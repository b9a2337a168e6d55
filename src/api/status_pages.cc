#include "skald/api/status_pages.h"

#include "api/ring_page.h"
#include "skald/api/json.h"
#include "skald/api/ring_pages.h"
#include "skald/api/status.h"
#include "skald/api/tenant.h"
#include "skald/obs/log.h"

namespace skald::api {
namespace {

http::Response plain(int status, std::string body) {
  http::Response out = http::Response::text(status, std::move(body));
  return out;
}

http::Response json(int status, std::string body) {
  http::Response out = http::Response::json(std::move(body));
  out.status = status;
  return out;
}

http::Response yaml(std::string body) {
  http::Response out;
  out.content_type = "text/plain; charset=utf-8";
  out.body = std::move(body);
  return out;
}

void append_field(std::string& out, const char* name, const std::string& value) {
  if (out.size() > 1) out += ',';
  append_json_string(out, name);
  out += ':';
  append_json_string(out, value);
}

}  // namespace

http::Response StatusPages::ready() const {
  const std::string reason = sources_.not_ready();
  return reason.empty() ? plain(200, "ready\n") : plain(503, reason + "\n");
}

http::Response StatusPages::metrics() const {
  http::Response out;
  out.content_type = "text/plain; version=0.0.4; charset=utf-8";
  out.body = sources_.registry.expose_text();
  return out;
}

http::Response StatusPages::config(const http::Request& request) const {
  const std::string* mode = request.query.get("mode");
  if (!mode || mode->empty()) return yaml(config::print_config(sources_.config));
  if (*mode == "diff") return yaml(config::print_config_diff(sources_.config));
  if (*mode == "defaults") return yaml(config::print_config(config::default_config()));
  return plain(400, "unknown mode \"" + *mode + "\"; one of diff, defaults\n");
}

http::Response StatusPages::tenant_limits(const http::Request& request) const {
  const Result<std::string> tenant = resolve_tenant(request, {sources_.config.auth_enabled, sources_.config.no_auth_tenant});
  if (!tenant.ok()) return error_response_with_newline(tenant.error());
  return yaml(config::print_limits(*sources_.limits.for_tenant(*tenant), sources_.config.tenant_limits_allow_publish));
}

http::Response StatusPages::drilldown_limits(const http::Request& request) const {
  // Asked for by a client that always sends the header; without it Loki refuses even when authentication is off.
  const Result<std::string> named = resolve_tenant(request, true);
  if (!named.ok()) return error_response_with_newline(named.error());
  const std::string tenant = sources_.config.auth_enabled ? *named : sources_.config.no_auth_tenant;
  std::string out = "{\"limits\":" + config::limits_json(*sources_.limits.for_tenant(tenant), sources_.config.tenant_limits_allow_publish);
  out += std::string(",\"pattern_ingester_enabled\":") + (sources_.config.pattern_ingester.enabled ? "true" : "false") + ",\"version\":";
  append_json_string(out, sources_.build.loki_version);
  return json(200, out + "}");
}

http::Response StatusPages::services() const {
  std::string out;
  for (const ServiceState& service : sources_.services()) out += service.name + " => " + service.state + "\n";
  return plain(200, out);
}

http::Response StatusPages::build_info() const {
  const BuildInfo& build = sources_.build;
  std::string out = "{";
  append_field(out, "version", build.loki_version);
  append_field(out, "revision", build.revision);
  append_field(out, "branch", build.branch);
  append_field(out, "buildUser", build.build_user);
  append_field(out, "buildDate", build.build_date);
  append_field(out, "goVersion", build.compiler);
  append_field(out, "skaldVersion", build.version);
  return json(200, out + "}");
}

http::Response StatusPages::log_level(const http::Request& request) const {
  if (request.method == "GET" || request.method == "HEAD")
    return json(200, std::string("{\"message\":\"Current log level is ") + log::level_name(log::level()) + "\"}");
  const std::string* wanted = request.form.get("log_level");
  if (!wanted) wanted = request.query.get("log_level");
  const std::string text = wanted ? *wanted : std::string();
  log::Level level;
  std::string out = "{";
  if (!log::parse_level(text, level)) {
    append_field(out, "status", "failed");
    append_field(out, "message", "unrecognized log level \"" + text + "\"");
    return json(400, out + "}");
  }
  log::set_level(level);
  append_field(out, "status", "success");
  append_field(out, "message", "Log level set to " + text);
  return json(200, out + "}");
}

http::Response StatusPages::ring(const http::Request& request, const std::string& title, std::size_t tokens) const {
  // Forgetting the only member changes nothing: it is alive and registers again at once. Answer as after a forget.
  if (request.method == "POST") return back_to_page();
  RingRow row;
  row.id = sources_.member.id;
  row.state = sources_.not_ready().empty() ? "ACTIVE" : "JOINING";
  row.address = sources_.member.address;
  row.zone = sources_.member.zone;
  row.heartbeat_ns = sources_.clock.now_ns();
  row.registered_ns = sources_.member.registered_ns;
  row.tokens = member_tokens(row.id, tokens);
  row.ownership = 1;
  const std::int64_t now_ns = row.heartbeat_ns;
  return ring_page(RingView{title, now_ns, {std::move(row)}}, request);
}

void StatusPages::add_routes(http::Server& server) const {
  using RequestPtr = std::shared_ptr<http::Request>;
  const auto add = [&](std::vector<std::string> methods, const char* pattern, const char* name, http::RunOn run_on, auto answer) {
    http::Route route;
    route.methods = std::move(methods);
    route.pattern = pattern;
    route.name = name;
    route.run_on = run_on;
    route.handler = [answer](RequestPtr request, http::Responder respond) { respond(answer(*request)); };
    server.add(std::move(route));
  };
  using http::Request;
  const auto io = http::RunOn::kIo;
  const auto pool = http::RunOn::kPool;
  add({"GET"}, "/ready", "ready", io, [this](const Request&) { return ready(); });
  if (sources_.config.server.register_instrumentation)
    add({"GET"}, "/metrics", "metrics", pool, [this](const Request&) { return metrics(); });
  add({"GET"}, "/config", "config", pool, [this](const Request& r) { return config(r); });
  add({"GET"}, "/config/tenant/v1/limits", "config_tenant_v1_limits", pool, [this](const Request& r) { return tenant_limits(r); });
  add({"GET"}, "/loki/api/v1/drilldown-limits", "loki_api_v1_drilldown_limits", pool, [this](const Request& r) { return drilldown_limits(r); });
  add({"GET"}, "/services", "services", io, [this](const Request&) { return services(); });
  add({"GET"}, "/loki/api/v1/status/buildinfo", "loki_api_v1_status_buildinfo", io, [this](const Request&) { return build_info(); });
  add({"GET", "POST"}, "/log_level", "log_level", io, [this](const Request& r) { return log_level(r); });
  if (!sources_.alone) return;
  add_memberlist_route(server, nullptr, sources_.clock);
  struct RingRoute {
    const char* pattern;
    const char* name;
    const char* title;
    std::size_t tokens;
  };
  static constexpr RingRoute kRings[] = {{"/ring", "ring", "Ingester Ring", 128},
      {"/distributor/ring", "distributor_ring", "Distributor Ring", 1}, {"/compactor/ring", "compactor_ring", "Compactor Ring", 1},
      {"/ruler/ring", "ruler_ring", "Ruler Ring", 128}, {"/scheduler/ring", "scheduler_ring", "Scheduler Ring", 1},
      {"/indexgateway/ring", "indexgateway_ring", "Index Gateway Ring", 128}};
  for (const RingRoute& route : kRings)
    add({"GET", "POST"}, route.pattern, route.name, pool, [this, route](const Request& r) { return ring(r, route.title, route.tokens); });
  if (sources_.config.pattern_ingester.enabled)
    add({"GET", "POST"}, "/pattern/ring", "pattern_ring", pool, [this](const Request& r) { return ring(r, "Pattern Ring", 128); });
}

}  // namespace skald::api
