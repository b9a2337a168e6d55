#include "limits_custom.h"

#include <span>

#include "limits_keys.h"
#include "skald/model/time.h"
#include "values.h"

namespace skald::config {
namespace {

Error at_line(const YamlNode& node, const std::string& what) {
  return Error(ErrorCode::kInvalidArgument, "line " + std::to_string(node.line) + ": " + what);
}

struct Field {
  const char* name;
  Kind kind;
  void* target;
};

// Reads a map whose keys are all in `fields`.
Result<void> read_struct(const YamlNode& node, const char* what, std::initializer_list<Field> fields) {
  if (node.kind != YamlNode::Kind::kMap) return at_line(node, std::string(what) + " must be a map");
  for (const auto& [name, value] : node.entries) {
    const Field* found = nullptr;
    for (const Field& field : fields)
      if (name.scalar == field.name) found = &field;
    if (!found) return at_line(name, "field " + name.scalar + " not found in " + what);
    SKALD_TRY_VOID(set_from_yaml(found->kind, value, found->target));
  }
  return {};
}

template <class T, class Read>
Result<std::vector<T>> read_list(const YamlNode& node, const char* what, Read read) {
  std::vector<T> out;
  if (node.is_null()) return out;
  if (node.kind != YamlNode::Kind::kSequence) return at_line(node, std::string(what) + " must be a list");
  for (const YamlNode& item : node.items) {
    T value;
    SKALD_TRY_VOID(read(item, value));
    out.push_back(std::move(value));
  }
  return out;
}

Result<StringListMap> read_list_map(const YamlNode& node, const char* what) {
  StringListMap out;
  if (node.kind != YamlNode::Kind::kMap) return at_line(node, std::string(what) + " must be a map of lists");
  for (const auto& [name, value] : node.entries) SKALD_TRY_VOID(set_from_yaml(Kind::kList, value, &out[name.scalar]));
  return out;
}

Result<std::int64_t> read_time(const YamlNode& node) {
  if (node.is_null() || node.scalar == "0" || node.scalar.empty()) return std::int64_t{0};
  const auto time = model::parse_rfc3339(node.scalar);
  if (node.kind != YamlNode::Kind::kScalar || !time) return at_line(node, "`" + node.scalar + "` is not an RFC 3339 time");
  return *time;
}

Result<std::vector<OtlpAttributeRule>> read_rules(const YamlNode& node, bool resource) {
  return read_list<OtlpAttributeRule>(node, "attributes_config", [&](const YamlNode& item, OtlpAttributeRule& rule) -> Result<void> {
    SKALD_TRY_VOID(read_struct(item, "attributes_config", {{"action", Kind::kString, &rule.action},
        {"attributes", Kind::kList, &rule.attributes}, {"regex", Kind::kString, &rule.regex}}));
    if (rule.action.empty()) rule.action = resource ? "index_label" : "structured_metadata";
    if (rule.action != "structured_metadata" && rule.action != "drop" && !(resource && rule.action == "index_label"))
      return at_line(item, "invalid OTLP action " + rule.action + (resource ? "" : "; only structured_metadata and drop are possible here"));
    if (!rule.attributes.empty() && !rule.regex.empty()) return at_line(item, "only one of attributes and regex can be set");
    return {};
  });
}

Result<PolicyStream> read_policy_stream(const YamlNode& node) {
  PolicyStream out;
  SKALD_TRY_VOID(read_struct(node, "policy_stream_mapping", {{"selector", Kind::kString, &out.selector}, {"priority", Kind::kInt, &out.priority}}));
  return out;
}

std::string strings_json(const std::vector<std::string>& list) {
  std::string out = "[";
  for (const std::string& item : list) out += (out.size() > 1 ? "," : "") + json_quote(item);
  return out + "]";
}

std::string list_map_json(const StringListMap& map) {
  std::string out = "{";
  for (const auto& [name, list] : map) out += (out.size() > 1 ? "," : "") + json_quote(name) + ": " + strings_json(list);
  return out + "}";
}

std::string rule_json(const OtlpAttributeRule& rule) {
  std::string out = "{\"action\": " + json_quote(rule.action);
  if (!rule.attributes.empty()) out += ",\"attributes\": " + strings_json(rule.attributes);
  if (!rule.regex.empty()) out += ",\"regex\": " + json_quote(rule.regex);
  return out + "}";
}

std::string rules_json(const std::vector<OtlpAttributeRule>& rules) {
  std::string out = "[";
  for (const OtlpAttributeRule& rule : rules) out += (out.size() > 1 ? "," : "") + rule_json(rule);
  return out + "]";
}

}  // namespace

std::string json_quote(const std::string& text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') { out += '\\'; out += c; }
    else if (c == '\n') out += "\\n";
    else if (u < 0x20) { out += "\\u00"; out += kHex[u >> 4]; out += kHex[u & 15]; }
    else out += c;
  }
  return out + "\"";
}

Result<void> parse_generic_fields(const YamlNode& node, Limits& limits) {
  if (node.kind != YamlNode::Kind::kMap) return at_line(node, "discover_generic_fields must be a map");
  for (const auto& [name, value] : node.entries) {
    if (name.scalar != "fields") return at_line(name, "field " + name.scalar + " not found in discover_generic_fields");
    SKALD_TRY(limits.discover_generic_fields, read_list_map(value, "discover_generic_fields.fields"));
  }
  return {};
}

Result<void> parse_retention_stream(const YamlNode& node, Limits& limits) {
  SKALD_TRY(limits.retention_stream, read_list<StreamRetention>(node, "retention_stream", [](const YamlNode& item, StreamRetention& rule) -> Result<void> {
    SKALD_TRY_VOID(read_struct(item, "retention_stream", {{"selector", Kind::kString, &rule.selector},
        {"priority", Kind::kInt, &rule.priority}, {"period", Kind::kPromDuration, &rule.period}}));
    if (rule.selector.empty()) return at_line(item, "retention_stream: selector is missing");
    return {};
  }));
  return {};
}

Result<void> parse_blocked_queries(const YamlNode& node, Limits& limits) {
  SKALD_TRY(limits.blocked_queries, read_list<BlockedQuery>(node, "blocked_queries", [](const YamlNode& item, BlockedQuery& query) -> Result<void> {
    std::vector<std::string> types;
    SKALD_TRY_VOID(read_struct(item, "blocked_queries", {{"pattern", Kind::kString, &query.pattern}, {"regex", Kind::kBool, &query.regex},
        {"types", Kind::kList, &types}, {"hash", Kind::kInt, &query.hash}, {"query_tags", Kind::kString, &query.query_tags}}));
    query.types = to_text(Kind::kList, &types);
    return {};
  }));
  return {};
}

Result<void> parse_otlp_config(const YamlNode& node, Limits& limits) {
  if (node.kind != YamlNode::Kind::kMap) return at_line(node, "otlp_config must be a map");
  OtlpConfig& otlp = limits.otlp_config;
  for (const auto& [name, value] : node.entries) {
    if (name.scalar == "resource_attributes") {
      if (value.is_null()) continue;
      if (value.kind != YamlNode::Kind::kMap) return at_line(value, "resource_attributes must be a map");
      for (const auto& [inner, content] : value.entries) {
        if (inner.scalar == "ignore_defaults") {
          SKALD_TRY_VOID(set_from_yaml(Kind::kBool, content, &otlp.ignore_resource_defaults));
        } else if (inner.scalar == "attributes_config" || inner.scalar == "attributes") {
          SKALD_TRY(otlp.resource_attributes, read_rules(content, true));
          // What we show starts with the built-in labels as a rule; reading it back must not name them twice.
          const OtlpAttributeRule built_in{"index_label", otlp.default_labels, ""};
          if (!otlp.resource_attributes.empty() && otlp.resource_attributes.front() == built_in)
            otlp.resource_attributes.erase(otlp.resource_attributes.begin());
        } else {
          return at_line(inner, "field " + inner.scalar + " not found in otlp_config.resource_attributes");
        }
      }
    } else if (name.scalar == "scope_attributes") {
      SKALD_TRY(otlp.scope_attributes, read_rules(value, false));
    } else if (name.scalar == "log_attributes") {
      SKALD_TRY(otlp.log_attributes, read_rules(value, false));
    } else if (name.scalar == "severity_text_as_label") {
      SKALD_TRY_VOID(set_from_yaml(Kind::kBool, value, &otlp.severity_text_as_label));
    } else {
      return at_line(name, "field " + name.scalar + " not found in otlp_config");
    }
  }
  return {};
}

Result<void> parse_block_policy_until(const YamlNode& node, Limits& limits) {
  if (node.kind != YamlNode::Kind::kMap) return at_line(node, "block_ingestion_policy_until must be a map");
  for (const auto& [name, value] : node.entries) {
    SKALD_TRY(limits.block_ingestion_policy_until[name.scalar], read_time(value));
  }
  return {};
}

Result<void> parse_block_until(const YamlNode& node, Limits& limits) {
  SKALD_TRY(limits.block_ingestion_until, read_time(node));
  return {};
}

Result<void> parse_policy_labels(const YamlNode& node, Limits& limits) {
  SKALD_TRY(limits.policy_enforced_labels, read_list_map(node, "policy_enforced_labels"));
  return {};
}

Result<void> parse_policy_streams(const YamlNode& node, Limits& limits) {
  if (node.kind != YamlNode::Kind::kMap) return at_line(node, "policy_stream_mapping must be a map");
  limits.policy_stream_mapping.clear();
  for (const auto& [name, value] : node.entries) {
    SKALD_TRY(limits.policy_stream_mapping[name.scalar], read_list<PolicyStream>(value, "policy_stream_mapping", [](const YamlNode& item, PolicyStream& out) -> Result<void> {
      SKALD_TRY(out, read_policy_stream(item));
      return {};
    }));
  }
  return {};
}

std::string generic_fields_json(const Limits& limits) { return "{\"fields\": " + list_map_json(limits.discover_generic_fields) + "}"; }

std::string retention_stream_json(const Limits& limits) {
  std::string out = "[";
  for (const StreamRetention& rule : limits.retention_stream)
    out += std::string(out.size() > 1 ? "," : "") + "{\"period\": " + json_quote(to_text(Kind::kPromDuration, &rule.period)) +
           ",\"priority\": " + std::to_string(rule.priority) + ",\"selector\": " + json_quote(rule.selector) + "}";
  return out + "]";
}

std::string blocked_queries_json(const Limits& limits) {
  std::string out = "[";
  for (const BlockedQuery& query : limits.blocked_queries)
    out += std::string(out.size() > 1 ? "," : "") + "{\"pattern\": " + json_quote(query.pattern) + ",\"regex\": " +
           (query.regex ? "true" : "false") + ",\"types\": " + json_quote(query.types) + ",\"hash\": " +
           std::to_string(query.hash) + ",\"query_tags\": " + json_quote(query.query_tags) + "}";
  return out + "]";
}

// As clients see it: the built-in labels are the first rule, unless they are switched off.
std::string otlp_config_json(const Limits& limits) {
  const OtlpConfig& otlp = limits.otlp_config;
  std::vector<OtlpAttributeRule> resource;
  if (!otlp.ignore_resource_defaults) resource.push_back({"index_label", otlp.default_labels, ""});
  resource.insert(resource.end(), otlp.resource_attributes.begin(), otlp.resource_attributes.end());
  std::string out = "{\"resource_attributes\": {";
  if (otlp.ignore_resource_defaults) out += "\"ignore_defaults\": true,";
  out += "\"attributes_config\": " + rules_json(resource) + "}";
  if (!otlp.scope_attributes.empty()) out += ",\"scope_attributes\": " + rules_json(otlp.scope_attributes);
  if (!otlp.log_attributes.empty()) out += ",\"log_attributes\": " + rules_json(otlp.log_attributes);
  if (otlp.severity_text_as_label) out += ",\"severity_text_as_label\": true";
  return out + "}";
}

std::string block_policy_until_json(const Limits& limits) {
  std::string out = "{";
  for (const auto& [policy, until] : limits.block_ingestion_policy_until)
    out += std::string(out.size() > 1 ? "," : "") + json_quote(policy) + ": " + json_quote(model::format_rfc3339_nano(until));
  return out + "}";
}

std::string block_until_json(const Limits& limits) {
  return limits.block_ingestion_until == 0 ? "0" : json_quote(model::format_rfc3339_nano(limits.block_ingestion_until));
}

std::string policy_labels_json(const Limits& limits) { return list_map_json(limits.policy_enforced_labels); }

std::string policy_streams_json(const Limits& limits) {
  std::string out = "{";
  for (const auto& [policy, streams] : limits.policy_stream_mapping) {
    out += (out.size() > 1 ? "," : "") + json_quote(policy) + ": [";
    for (std::size_t i = 0; i < streams.size(); ++i)
      out += std::string(i ? "," : "") + "{\"selector\": " + json_quote(streams[i].selector) + ",\"priority\": " + std::to_string(streams[i].priority) + "}";
    out += "]";
  }
  return out + "}";
}

}  // namespace skald::config
