#include "api/rule_states.h"

#include <algorithm>
#include <cmath>

#include "skald/api/json.h"
#include "skald/model/time.h"

namespace skald::api {
namespace {

using ruler::ActiveAlert;
using ruler::GroupStatus;
using ruler::RuleStatus;

void append_field(std::string& out, const char* name, std::string_view value) {
  out += '"';
  out += name;
  out += "\":";
  append_json_string(out, value);
  out += ',';
}

// Go's zero time where nothing happened yet.
void append_time(std::string& out, const char* name, std::int64_t ns) {
  append_field(out, name, ns == 0 ? "0001-01-01T00:00:00Z" : model::format_rfc3339_nano(ns));
}

void append_seconds_of(std::string& out, const char* name, std::int64_t ns) {
  out += '"';
  out += name;
  out += "\":";
  append_json_double(out, static_cast<double>(ns) / 1e9);
}

void append_string_map(std::string& out, const std::map<std::string, std::string>& map) {
  out += '{';
  for (const auto& [name, value] : map) {
    if (out.back() != '{') out += ',';
    append_json_string(out, name);
    out += ':';
    append_json_string(out, value);
  }
  out += '}';
}

// strconv's 'e' form: 1e+00, 1.25e+01.
std::string value_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[64];
  for (int digits = 0; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*e", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  return text;
}

void append_alert(std::string& out, const ActiveAlert& alert) {
  out += "{\"labels\":";
  append_json_labels(out, alert.labels.pairs());
  out += ",\"annotations\":";
  append_json_labels(out, alert.annotations.pairs());
  out += ',';
  append_field(out, "state", ruler::alert_state_name(alert.state));
  append_time(out, "activeAt", alert.active_at_ns);
  if (alert.keep_firing_since_ns != 0) append_time(out, "keepFiringSince", alert.keep_firing_since_ns);
  append_field(out, "value", value_text(alert.value));
  out.back() = '}';
}

void append_alerts(std::string& out, const std::vector<ActiveAlert>& alerts) {
  for (const ActiveAlert& alert : alerts) {
    if (out.back() == '}') out += ',';
    append_alert(out, alert);
  }
}

void append_rule(std::string& out, const RuleStatus& status) {
  const ruler::Rule& rule = status.rule;
  const bool alerting = !rule.alert.empty();
  out += '{';
  if (alerting) append_field(out, "state", ruler::alert_state_name(status.state));
  append_field(out, "name", alerting ? rule.alert : rule.record);
  append_field(out, "query", rule.expr);
  if (alerting) {
    append_seconds_of(out, "duration", rule.for_ns);
    out += ',';
    if (rule.keep_firing_for_ns != 0) {
      append_seconds_of(out, "keepFiringFor", rule.keep_firing_for_ns);
      out += ',';
    }
  }
  out += "\"labels\":";
  append_string_map(out, rule.labels);
  out += ',';
  if (alerting) {
    out += "\"annotations\":";
    append_string_map(out, rule.annotations);
    out += ",\"alerts\":[";
    append_alerts(out, status.alerts);
    out += "],";
  }
  append_field(out, "health", status.health);
  append_field(out, "lastError", status.last_error);
  append_field(out, "type", alerting ? "alerting" : "recording");
  append_time(out, "lastEvaluation", status.last_evaluation_ns);
  append_seconds_of(out, "evaluationTime", status.evaluation_ns);
  out += '}';
}

bool contains(const std::vector<std::string>& wanted, const std::string& name) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
}

constexpr const char* kEnd = R"(,"errorType":"","error":""})";

}  // namespace

std::string rules_json(const std::vector<GroupStatus>& groups, const http::Params& form) {
  const std::string* type = form.get("type");
  const bool any_type = type == nullptr || type->empty();
  const auto names = form.all("rule_name[]"), group_names = form.all("rule_group[]"), files = form.all("file[]");
  std::string out = R"({"status":"success","data":{"groups":[)";
  bool first_group = true;
  for (const GroupStatus& group : groups) {
    if (!contains(files, group.name_space) || !contains(group_names, group.name)) continue;
    if (!first_group) out += ',';
    first_group = false;
    out += '{';
    append_field(out, "name", group.name);
    append_field(out, "file", group.name_space);
    out += "\"rules\":[";
    bool first = true;
    for (const RuleStatus& status : group.rules) {
      const bool alerting = !status.rule.alert.empty();
      if ((!any_type && (*type == "alert") != alerting) || !contains(names, alerting ? status.rule.alert : status.rule.record)) continue;
      if (!first) out += ',';
      first = false;
      append_rule(out, status);
    }
    out += "],";
    append_seconds_of(out, "interval", group.interval_ns);
    out += ',';
    if (group.limit != 0) out += "\"limit\":" + std::to_string(group.limit) + ",";
    append_time(out, "lastEvaluation", group.last_evaluation_ns);
    append_seconds_of(out, "evaluationTime", group.evaluation_ns);
    out += '}';
  }
  return out + "]}" + kEnd;
}

std::string alerts_json(const std::vector<GroupStatus>& groups) {
  std::string out = R"({"status":"success","data":{"alerts":[)";
  for (const GroupStatus& group : groups)
    for (const RuleStatus& status : group.rules) append_alerts(out, status.alerts);
  return out + "]}" + kEnd;
}

}  // namespace skald::api
