#include "skald/api/rules.h"

#include <algorithm>

#include "api/rule_states.h"
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

// As Prometheus' API says it.
http::Response server_error(const Error& error) {
  std::string body = R"({"status":"error","data":null,"errorType":"server_error","error":)";
  append_json_string(body, error.message());
  http::Response response = http::Response::json(body + "}");
  response.status = 500;
  return response;
}

// Rules that nobody here evaluates, as a ruler would show them before their first evaluation.
std::vector<ruler::GroupStatus> unevaluated(const std::map<std::string, std::vector<RuleGroup>>& namespaces) {
  std::vector<ruler::GroupStatus> out;
  for (const auto& [name_space, groups] : namespaces) {
    for (const RuleGroup& group : groups) {
      ruler::GroupStatus status;
      status.name_space = name_space;
      status.name = group.name;
      status.interval_ns = group.interval_ns != 0 ? group.interval_ns : kNanosPerMinute;
      status.limit = group.limit;
      for (const Rule& rule : group.rules) status.rules.push_back({.rule = rule, .health = "unknown", .last_error = {}, .alerts = {}});
      out.push_back(std::move(status));
    }
  }
  return out;
}

class RuleRoutes {
 public:
  RuleRoutes(ruler::RuleStore& rules, TenantPolicy tenants, ruler::RuleStates* states) : rules_(rules), tenants_(std::move(tenants)), states_(states) {}

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
    return changed(ctx);
  }
  http::Response remove_group(const CallContext& ctx, const http::Request& request) {
    const auto removed = rules_.remove_group(ctx, request.path_params[0], request.path_params[1]);
    return removed.ok() ? changed(ctx) : error_response_with_newline(removed.error());
  }
  http::Response remove_namespace(const CallContext& ctx, const http::Request& request) {
    const auto removed = rules_.remove_namespace(ctx, request.path_params[0]);
    return removed.ok() ? changed(ctx) : error_response_with_newline(removed.error());
  }
  http::Response prometheus(const CallContext& ctx, const http::Request& request) {
    if (states_ != nullptr) {
      const auto groups = states_->status(ctx);
      return groups.ok() ? http::Response::json(rules_json(*groups, request.form)) : server_error(groups.error());
    }
    const auto namespaces = rules_.list(ctx, "");
    if (!namespaces.ok()) return error_response_with_newline(namespaces.error());
    return http::Response::json(rules_json(unevaluated(*namespaces), request.form));
  }
  http::Response alerts(const CallContext& ctx, const http::Request&) {
    if (states_ == nullptr) return http::Response::json(alerts_json({}));
    const auto groups = states_->status(ctx);
    return groups.ok() ? http::Response::json(alerts_json(*groups)) : server_error(groups.error());
  }

 private:
  http::Response changed(const CallContext& ctx) {
    if (states_ != nullptr) states_->changed(ctx.tenant);
    return accepted();
  }

  ruler::RuleStore& rules_;
  const TenantPolicy tenants_;
  ruler::RuleStates* const states_;
};

}  // namespace

void add_rule_routes(http::Server& server, ruler::RuleStore& rules, TenantPolicy tenants, ruler::RuleStates* states) {
  auto routes = std::make_shared<RuleRoutes>(rules, std::move(tenants), states);
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
