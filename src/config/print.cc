// Configuration as YAML and JSON for people and for clients.
#include <algorithm>
#include <functional>
#include <memory>

#include "keys.h"
#include "limits_keys.h"

namespace skald::config {
namespace {

// Keys arrive in table order, blocks in pieces; the tree puts each block together.
struct PrintNode {
  std::string value;
  bool leaf = false;
  std::vector<std::pair<std::string, std::unique_ptr<PrintNode>>> children;

  PrintNode& child(const std::string& name) {
    for (auto& [known, node] : children)
      if (known == name) return *node;
    children.emplace_back(name, std::make_unique<PrintNode>());
    return *children.back().second;
  }
  void set(const std::string& path, std::string text) {
    PrintNode* node = this;
    for (std::size_t from = 0;;) {
      const std::size_t dot = path.find('.', from);
      node = &node->child(path.substr(from, dot == std::string::npos ? dot : dot - from));
      if (dot == std::string::npos) break;
      from = dot + 1;
    }
    node->leaf = true;
    node->value = std::move(text);
  }
  void print(std::string& out, int indent) const {
    for (const auto& [name, node] : children) {
      out.append(static_cast<std::size_t>(indent), ' ');
      out += name + ":";
      if (node->leaf) out += " " + node->value;
      out += "\n";
      node->print(out, indent + 2);
    }
  }
};

std::string schema_yaml(const std::vector<SchemaPeriod>& schema) {
  std::string out = "schema_config:\n  configs:";
  if (schema.empty()) return out + " []\n";
  out += "\n";
  for (const SchemaPeriod& period : schema) {
    out += "    - from: " + yaml_quote(period.from) + "\n";
    out += "      store: " + yaml_quote(period.store) + "\n";
    out += "      object_store: " + yaml_quote(period.object_store) + "\n";
    out += "      schema: " + yaml_quote(period.schema) + "\n";
    out += "      index:\n        path_prefix: " + yaml_quote(period.index_path_prefix) + "\n        prefix: " + yaml_quote(period.index_prefix) +
           "\n        period: " + to_yaml(Kind::kPromDuration, &period.index_period) + "\n";
  }
  return out;
}

std::string limit_yaml(const LimitKey& key, Limits& limits) {
  return key.json ? key.json(limits) : to_yaml(key.kind, key.member(limits));
}

void add_limits(PrintNode& root, const std::string& prefix, Limits limits, Limits* only_other_than, const std::vector<std::string>& only) {
  for (const LimitKey& key : limit_keys()) {
    if (!key.json && !key.member) continue;
    if (!only.empty() && std::find(only.begin(), only.end(), key.name) == only.end()) continue;
    std::string text = limit_yaml(key, limits);
    if (only_other_than && text == limit_yaml(key, *only_other_than)) continue;
    root.set(prefix + key.name, std::move(text));
  }
}

std::string print(const Config& in, bool only_differences) {
  Config config = in;
  Config defaults;
  PrintNode root;
  KeyTable table;
  for (const auto& [path, block] : config.named_stores) table.mount(path, block);
  for (const KeyInfo& key : table.keys()) {
    if (key.alias || key.kind == Kind::kAny) continue;
    std::string text;
    std::string usual;
    if (key.member) {
      text = to_yaml(key.kind, key.member(config));
      usual = to_yaml(key.kind, key.member(defaults));
    } else {
      const auto render = [&](const std::string& value) {
        YamlNode node;
        node.kind = YamlNode::Kind::kScalar;
        node.scalar = value;
        if (key.kind == Kind::kList) {
          const std::vector<std::string> list = split_list(value);
          return to_yaml(Kind::kList, &list);
        }
        if (key.kind == Kind::kString || key.kind == Kind::kSecret || key.kind == Kind::kSecretUrl || key.kind == Kind::kLogLevel) return to_yaml(key.kind, &value);
        Result<std::string> canonical = canonical_text(key.kind, node);
        return canonical.ok() ? *canonical : yaml_quote(value);
      };
      const auto at = config.other.find(key.path);
      usual = render(key.fallback);
      text = at == config.other.end() ? usual : render(at->second);
    }
    if (only_differences && text == usual) continue;
    root.set(key.path, std::move(text));
  }
  add_limits(root, "limits_config.", config.limits, only_differences ? &defaults.limits : nullptr, {});
  std::string out;
  root.print(out, 0);
  if (!only_differences || !config.schema.empty()) out += schema_yaml(config.schema);
  return out;
}

std::string limit_json(const LimitKey& key, Limits& limits) {
  if (key.json) return key.json(limits);
  switch (key.kind) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat: return to_text(key.kind, key.member(limits));
    case Kind::kList: {
      std::string out = "[";
      for (const std::string& item : *static_cast<std::vector<std::string>*>(key.member(limits)))
        out += (out.size() > 1 ? "," : "") + json_quote(item);
      return out + "]";
    }
    default: return json_quote(to_text(key.kind, key.member(limits)));
  }
}

}  // namespace

std::string print_config(const Config& config) { return print(config, false); }
std::string print_config_diff(const Config& config) { return print(config, true); }

std::string print_limits(const Limits& limits, const std::vector<std::string>& only) {
  PrintNode root;
  add_limits(root, "", limits, nullptr, only);
  std::string out;
  root.print(out, 0);
  return out;
}

std::string limits_json(const Limits& in, const std::vector<std::string>& only) {
  Limits limits = in;
  std::string out = "{";
  for (const LimitKey& key : limit_keys()) {
    if (!key.json && !key.member) continue;
    if (!only.empty() && std::find(only.begin(), only.end(), key.name) == only.end()) continue;
    // Clients read an absent list as "none"; an empty one is not shown by Loki either.
    if (std::string_view(key.name) == "retention_stream" && limits.retention_stream.empty()) continue;
    out += (out.size() > 1 ? "," : "") + json_quote(key.name) + ":" + limit_json(key, limits);
  }
  return out + "}";
}

std::vector<std::string> effective_keys() {
  static constexpr const char* kKindNames[] = {"bool", "int", "float", "string", "secret", "secret", "duration", "duration", "size", "list", "level", "any"};
  std::vector<std::string> out;
  const KeyTable table;
  for (const KeyInfo& key : table.keys()) {
    if (!key.effective() || key.alias) continue;
    // Blocks that stand in several places are listed once.
    std::string row = (key.block ? "<" + std::string(key.block) + ">." + key.path_in_block : key.path) + "\t" + key.fallback + "\t" + kKindNames[static_cast<int>(key.kind)];
    if (key.block && std::find(out.begin(), out.end(), row) != out.end()) continue;
    out.push_back(std::move(row));
  }
  Limits defaults;
  for (const LimitKey& key : limit_keys())
    if (key.effective && key.member)
      out.push_back(std::string("limits_config.") + key.name + "\t" + to_text(key.kind, key.member(defaults)) + "\t" + kKindNames[static_cast<int>(key.kind)]);
  return out;
}

}  // namespace skald::config
