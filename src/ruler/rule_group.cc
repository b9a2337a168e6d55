#include "skald/ruler/rule_group.h"

#include <yaml-cpp/yaml.h>

#include <set>

#include "skald/logql/parser.h"
#include "skald/model/time.h"

namespace skald::ruler {
namespace {

constexpr std::size_t kGroupBytesMax = 4U << 20;
constexpr std::size_t kRulesMax = 10'000;

Error undecodable() { return Error(ErrorCode::kInvalidArgument, "unable to decoded rule group"); }

bool read_text(const YAML::Node& node, const char* key, std::string& out) {
  const YAML::Node value = node[key];
  if (!value || value.IsNull()) return true;
  if (!value.IsScalar()) return false;
  out = value.Scalar();
  return true;
}

bool read_duration(const YAML::Node& node, const char* key, std::int64_t& out_ns) {
  std::string text;
  if (!read_text(node, key, text)) return false;
  if (text.empty()) return true;
  const auto parsed = model::parse_prom_duration(text);
  if (!parsed) return false;
  out_ns = *parsed;
  return true;
}

bool read_map(const YAML::Node& node, const char* key, std::map<std::string, std::string>& out) {
  const YAML::Node value = node[key];
  if (!value || value.IsNull()) return true;
  if (!value.IsMap()) return false;
  for (const auto& pair : value) {
    if (!pair.first.IsScalar() || !pair.second.IsScalar()) return false;
    out[pair.first.Scalar()] = pair.second.Scalar();
  }
  return true;
}

bool read_rule(const YAML::Node& node, Rule& rule) {
  return node.IsMap() && read_text(node, "record", rule.record) && read_text(node, "alert", rule.alert) && read_text(node, "expr", rule.expr) &&
         read_duration(node, "for", rule.for_ns) && read_duration(node, "keep_firing_for", rule.keep_firing_for_ns) &&
         read_map(node, "labels", rule.labels) && read_map(node, "annotations", rule.annotations);
}

bool read_group(const YAML::Node& node, RuleGroup& group) {
  if (!node || node.IsNull()) return true;   // an empty body is a group without a name
  if (!node.IsMap()) return false;
  for (const auto& pair : node) {
    if (!pair.first.IsScalar()) return false;   // ": : :" is a mapping of null to yaml-cpp, an error to Go
  }
  if (!read_text(node, "name", group.name) || !read_duration(node, "interval", group.interval_ns) ||
      !read_duration(node, "query_offset", group.query_offset_ns) || !read_map(node, "labels", group.labels)) return false;
  std::string limit;
  if (!read_text(node, "limit", limit)) return false;
  if (!limit.empty()) {
    char* end = nullptr;
    group.limit = std::strtoll(limit.c_str(), &end, 10);
    if (*end != '\0') return false;
  }
  const YAML::Node rules = node["rules"];
  if (!rules || rules.IsNull()) return true;
  if (!rules.IsSequence() || rules.size() > kRulesMax) return false;
  for (const YAML::Node& rule_node : rules) {
    Rule rule;
    if (!read_rule(rule_node, rule)) return false;
    group.rules.push_back(std::move(rule));
  }
  return true;
}

// A scalar as YAML: plain where that reads back as the same string, else quoted; blocks for text of several lines.
std::string scalar(const std::string& text, const std::string& indent) {
  if (text.find('\n') != std::string::npos && text.find_first_not_of('\n') == 0 && text.find(" \n") == std::string::npos && text.find('\t') == std::string::npos) {
    std::string out = text.back() == '\n' ? "|" : "|-";
    std::size_t at = 0;
    while (at < text.size()) {
      const std::size_t end = text.find('\n', at);
      const std::string line = text.substr(at, end - at);
      out += "\n" + (line.empty() ? std::string() : indent + "    " + line);
      if (end == std::string::npos) break;
      at = end + 1;
    }
    return out;
  }
  static const std::string kSpecialFirst = "!&*-?|>@`\"'%#{}[],:=~ ";
  bool plain = !text.empty() && kSpecialFirst.find(text.front()) == std::string::npos && text.back() != ' ' && text.back() != ':' &&
               text.find(": ") == std::string::npos && text.find(" #") == std::string::npos && text.find('\n') == std::string::npos &&
               text.find('\t') == std::string::npos;
  if (plain) {
    // Numbers, booleans and nulls must stay strings.
    char* end = nullptr;
    std::strtod(text.c_str(), &end);
    if (*end == '\0') plain = false;
    for (const char* word : {"true", "false", "null", "yes", "no", "on", "off", "True", "False", "Null", "y", "n", "Y", "N", ".inf", ".nan"}) {
      if (text == word) plain = false;
    }
  }
  if (plain) return text;
  YAML::Emitter emitter;
  emitter << YAML::DoubleQuoted << text;
  return emitter.c_str();
}

void append_map(std::string& out, const std::string& indent, const char* key, const std::map<std::string, std::string>& map) {
  if (map.empty()) return;
  out += indent + key + ":\n";
  for (const auto& [name, value] : map) out += indent + "  " + scalar(name, indent) + ": " + scalar(value, indent + "  ") + "\n";
}

// yaml.v3 indents sequences inside mappings by four and the mappings inside those by two.
void append_rules(std::string& out, const std::string& indent, const std::vector<Rule>& rules) {
  out += indent + "rules:" + (rules.empty() ? " []\n" : "\n");
  const std::string inner = indent + "      ";
  for (const Rule& rule : rules) {
    out += indent + "    - ";
    out += rule.alert.empty() ? "record: " + scalar(rule.record, inner) : "alert: " + scalar(rule.alert, inner);
    out += "\n" + inner + "expr: " + scalar(rule.expr, inner) + "\n";
    if (rule.for_ns != 0) out += inner + "for: " + model::format_prom_duration(rule.for_ns) + "\n";
    if (rule.keep_firing_for_ns != 0) out += inner + "keep_firing_for: " + model::format_prom_duration(rule.keep_firing_for_ns) + "\n";
    append_map(out, inner, "labels", rule.labels);
    append_map(out, inner, "annotations", rule.annotations);
  }
}

void append_group(std::string& out, const std::string& first, const std::string& indent, const RuleGroup& group) {
  out += first + "name: " + scalar(group.name, indent) + "\n";
  if (group.interval_ns != 0) out += indent + "interval: " + model::format_prom_duration(group.interval_ns) + "\n";
  if (group.query_offset_ns != 0) out += indent + "query_offset: " + model::format_prom_duration(group.query_offset_ns) + "\n";
  if (group.limit != 0) out += indent + "limit: " + std::to_string(group.limit) + "\n";
  append_map(out, indent, "labels", group.labels);
  append_rules(out, indent, group.rules);
}

}  // namespace

Result<RuleGroup> parse_rule_group(std::string_view yaml) {
  if (yaml.size() > kGroupBytesMax) return Error(ErrorCode::kTooLarge, "rule group of " + std::to_string(yaml.size()) + " bytes exceeds 4 MiB");
  RuleGroup group;
  try {
    if (!read_group(YAML::Load(std::string(yaml)), group)) return undecodable();
  } catch (const YAML::Exception&) {
    return undecodable();
  }
  return group;
}

Result<std::vector<RuleGroup>> parse_rule_file(std::string_view yaml) {
  if (yaml.size() > kGroupBytesMax) return Error(ErrorCode::kTooLarge, "rule file of " + std::to_string(yaml.size()) + " bytes exceeds 4 MiB");
  std::vector<RuleGroup> out;
  try {
    const YAML::Node root = YAML::Load(std::string(yaml));
    if (!root || root.IsNull()) return out;
    if (!root.IsMap()) return Error(ErrorCode::kInvalidArgument, "a rule file is a mapping with the key groups");
    const YAML::Node groups = root["groups"];
    if (!groups || groups.IsNull()) return out;
    if (!groups.IsSequence()) return Error(ErrorCode::kInvalidArgument, "groups is not a list");
    for (const YAML::Node& node : groups) {
      RuleGroup group;
      if (!read_group(node, group)) return undecodable();
      out.push_back(std::move(group));
    }
  } catch (const YAML::Exception& thrown) {
    return Error(ErrorCode::kInvalidArgument, std::string("not YAML: ") + thrown.what());
  }
  std::set<std::string> names;
  for (const RuleGroup& group : out) {
    SKALD_TRY_VOID(validate_rule_group(group));
    if (!names.insert(group.name).second) return Error(ErrorCode::kInvalidArgument, "groupname \"" + group.name + "\" is repeated in the same file");
  }
  return out;
}

Result<void> validate_rule_group(const RuleGroup& group) {
  if (group.name.empty()) return Error(ErrorCode::kInvalidArgument, "group 0: Groupname must not be empty");
  for (const Rule& rule : group.rules) {
    if (!rule.record.empty() && !rule.alert.empty()) return Error(ErrorCode::kInvalidArgument, "only one of 'record' and 'alert' must be set");
    if (rule.record.empty() && rule.alert.empty()) return Error(ErrorCode::kInvalidArgument, "one of 'record' or 'alert' must be set");
    if (rule.expr.empty()) return Error(ErrorCode::kInvalidArgument, "field 'expr' must be set in rule");
    const auto parsed = logql::parse(rule.expr);
    const std::string what = rule.alert.empty() ? "record '" + rule.record + "'" : "alert '" + rule.alert + "'";
    if (!parsed.ok()) {
      return Error(ErrorCode::kInvalidArgument, "could not parse expression for " + what + " in group '" + group.name + "': " + parsed.error().message());
    }
    if (rule.alert.empty() && rule.for_ns != 0) return Error(ErrorCode::kInvalidArgument, "invalid field 'for' in recording rule");
    if (rule.alert.empty() && !rule.annotations.empty()) return Error(ErrorCode::kInvalidArgument, "invalid field 'annotations' in recording rule");
  }
  return {};
}

std::string format_rule_group(const RuleGroup& group) {
  std::string out;
  append_group(out, "", "", group);
  return out;
}

std::string format_namespaces(const std::map<std::string, std::vector<RuleGroup>>& namespaces) {
  std::string out;
  for (const auto& [name, groups] : namespaces) {
    out += scalar(name, "") + ":\n";
    for (const RuleGroup& group : groups) append_group(out, "    - ", "      ", group);
  }
  return out;
}

}  // namespace skald::ruler
