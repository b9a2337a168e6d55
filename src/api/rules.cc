#include "skald/api/rules.h"

#include <algorithm>

#include "skald/api/json.h"
#include "skald/api/status.h"
#include "skald/api/tenant.h"

namespace skald::api {
namespace {

using ruler::Rule;
using ruler::RuleGroup;

http::Response yaml(std::string body) {
  http::Response response;
  response.content_type = "application/yaml";
  response.body = std::move(body);
  return response;
}

http::Response accepted() {
  http::Response response = http::Response::json(R"({"status":"success","data":null,"errorType":"","error":""})");
  response.content_type = "application/json";
  response.status = 202;
  return response;
}

void append_string_map(std::string& out, const std::map<std::string, std::string>& map) {
  out += '{';
  bool first = true;
  for (const auto& [name, value] : map) {
    if (!first) out += ',';
    first = false;
    append_json_string(out, name);
    out += ':';
    append_json_string(out, value);
  }
  out += '}';
}

void append_rule(std::string& out, const Rule& rule) {
  const bool alerting = !rule.alert.empty();
  out += '{';
  if (alerting) out += R"("state":"inactive",)";
  out += "\"name\":";
  append_json_string(out, alerting ? rule.alert : rule.record);
  out += ",\"query\":";
  append_json_string(out, rule.expr);
  if (alerting) {
    out += ",\"duration\":";
    append_json_double(out, static_cast<double>(rule.for_ns) / 1e9);
  }
  out += ",\"labels\":";
  append_string_map(out, rule.labels);
  if (alerting) {
    out += ",\"annotations\":";
    append_string_map(out, rule.annotations);
    out += ",\"alerts\":[]";
  }
  out += R"(,"health":"unknown","lastError":"","type":")";
  out += alerting ? "alerting" : "recording";
  out += R"(","lastEvaluation":"0001-01-01T00:00:00Z","evaluationTime":0})";
}

bool contains(const std::vector<std::string>& wanted, const std::string& name) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
}

// Prometheus' shape of the rules, with its filters type, rule_name[], rule_group[] and file[].
std::string prometheus_rules(const std::map<std::string, std::vector<RuleGroup>>& namespaces, const http::Params& form) {
  const std::string* type = form.get("type");
  const auto names = form.all("rule_name[]");
  const auto group_names = form.all("rule_group[]");
  const auto files = form.all("file[]");
  std::string out = R"({"status":"success","data":{"groups":[)";
  bool first_group = true;
  for (const auto& [name_space, groups] : namespaces) {
    if (!contains(files, name_space)) continue;
    for (const RuleGroup& group : groups) {
      if (!contains(group_names, group.name)) continue;
      if (!first_group) out += ',';
      first_group = false;
      out += "{\"name\":";
      append_json_string(out, group.name);
      out += ",\"file\":";
      append_json_string(out, name_space);
      out += ",\"rules\":[";
      bool first = true;
      for (const Rule& rule : group.rules) {
        const bool alerting = !rule.alert.empty();
        if (type != nullptr && !type->empty() && (*type == "alert") != alerting) continue;
        if (!contains(names, alerting ? rule.alert : rule.record)) continue;
        if (!first) out += ',';
        first = false;
        append_rule(out, rule);
      }
      out += "],\"interval\":";
      append_json_double(out, group.interval_ns != 0 ? static_cast<double>(group.interval_ns) / 1e9 : 60);
      out += R"(,"lastEvaluation":"0001-01-01T00:00:00Z","evaluationTime":0})";
    }
  }
  return out + R"(]},"errorType":"","error":""})";
}

class RuleRoutes {
 public:
  RuleRoutes(ruler::RuleStore& rules, TenantPolicy tenants) : rules_(rules), tenants_(std::move(tenants)) {}

  using Method = http::Response (RuleRoutes::*)(const CallContext&, const http::Request&);
  http::Response handle(Method method, const http::Request& request) {
    const auto tenant = resolve_tenant(request, tenants_);
    if (!tenant.ok()) return error_response_with_newline(tenant.error());
    CallContext ctx;
    ctx.tenant = *tenant;
    ctx.cancel = request.cancel;
    return (this->*method)(ctx, request);
  }

  http::Response list(const CallContext& ctx, const http::Request& request) {
    const std::string name_space = request.path_params.empty() ? "" : request.path_params[0];
    const auto namespaces = rules_.list(ctx, name_space);
    if (!namespaces.ok()) return error_response_with_newline(namespaces.error());
    if (namespaces->empty()) return error_response_with_newline(Error(ErrorCode::kNotFound, "no rule groups found"));
    return yaml(ruler::format_namespaces(*namespaces));
  }
  http::Response get(const CallContext& ctx, const http::Request& request) {
    const auto group = rules_.get(ctx, request.path_params[0], request.path_params[1]);
    if (!group.ok()) return error_response_with_newline(group.error());
    return yaml(ruler::format_rule_group(*group));
  }
  http::Response create(const CallContext& ctx, const http::Request& request) {
    // A form content type makes the server take the body as parameters; what is left is an empty group.
    const std::string* type = request.header("Content-Type");
    const bool form = type != nullptr && type->starts_with("application/x-www-form-urlencoded");
    const auto group = ruler::parse_rule_group(form ? std::string_view() : std::string_view(*request.body));
    if (!group.ok()) return error_response_with_newline(group.error());
    if (const auto valid = ruler::validate_rule_group(*group); !valid.ok()) return error_response_with_newline(valid.error());
    if (const auto stored = rules_.set(ctx, request.path_params[0], *group); !stored.ok()) return error_response_with_newline(stored.error());
    return accepted();
  }
  http::Response remove_group(const CallContext& ctx, const http::Request& request) {
    const auto removed = rules_.remove_group(ctx, request.path_params[0], request.path_params[1]);
    return removed.ok() ? accepted() : error_response_with_newline(removed.error());
  }
  http::Response remove_namespace(const CallContext& ctx, const http::Request& request) {
    const auto removed = rules_.remove_namespace(ctx, request.path_params[0]);
    return removed.ok() ? accepted() : error_response_with_newline(removed.error());
  }
  http::Response prometheus(const CallContext& ctx, const http::Request& request) {
    const auto namespaces = rules_.list(ctx, "");
    if (!namespaces.ok()) return error_response_with_newline(namespaces.error());
    return http::Response::json(prometheus_rules(*namespaces, request.form));
  }
  // No rule is evaluated in this process, so no alert can be pending or firing.
  http::Response alerts(const CallContext&, const http::Request&) {
    return http::Response::json(R"({"status":"success","data":{"alerts":[]},"errorType":"","error":""})");
  }

 private:
  ruler::RuleStore& rules_;
  const TenantPolicy tenants_;
};

}  // namespace

void add_rule_routes(http::Server& server, ruler::RuleStore& rules, TenantPolicy tenants) {
  auto routes = std::make_shared<RuleRoutes>(rules, std::move(tenants));
  const auto add = [&](const char* verb, const std::string& pattern, const char* name, RuleRoutes::Method method) {
    http::Route route;
    route.methods = {verb};
    route.pattern = pattern;
    route.name = name;
    route.handler = [routes, method](std::shared_ptr<http::Request> request, http::Responder respond) {
      respond(routes->handle(method, *request));
    };
    route.body_bytes_max = 4U << 20;
    server.add(std::move(route));
  };
  for (const std::string base : {"/loki/api/v1/rules", "/api/prom/rules"}) {
    const bool modern = base.starts_with("/loki");
    add("GET", base, modern ? "loki_api_v1_rules" : "api_prom_rules", &RuleRoutes::list);
    add("GET", base + "/{namespace}", modern ? "loki_api_v1_rules_namespace" : "api_prom_rules_namespace", &RuleRoutes::list);
    add("POST", base + "/{namespace}", modern ? "loki_api_v1_rules_namespace" : "api_prom_rules_namespace", &RuleRoutes::create);
    add("DELETE", base + "/{namespace}", modern ? "loki_api_v1_rules_namespace" : "api_prom_rules_namespace", &RuleRoutes::remove_namespace);
    add("GET", base + "/{namespace}/{group}", modern ? "loki_api_v1_rules_namespace_groupname" : "api_prom_rules_namespace_groupname", &RuleRoutes::get);
    add("DELETE", base + "/{namespace}/{group}", modern ? "loki_api_v1_rules_namespace_groupname" : "api_prom_rules_namespace_groupname", &RuleRoutes::remove_group);
  }
  add("GET", "/prometheus/api/v1/rules", "prometheus_api_v1_rules", &RuleRoutes::prometheus);
  add("GET", "/prometheus/api/v1/alerts", "prometheus_api_v1_alerts", &RuleRoutes::alerts);
}

}  // namespace skald::api
