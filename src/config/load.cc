#include "skald/config/load.h"

#include <algorithm>
#include <set>

#include "derive.h"
#include "keys.h"
#include "limits_keys.h"
#include "schema.h"
#include "stores.h"

namespace skald::config {
namespace {

constexpr const char* kExpandHint =
    "Use `-config.expand-env=true` flag if you want to expand environment variables in your config file";

// Keys that cost nothing to honour: there is nothing to switch off.
constexpr std::string_view kSilent[] = {"analytics.reporting_enabled", "storage_config.use_thanos_objstore", "tracing.enabled"};

bool is_silent(const std::string& path) { return std::find(std::begin(kSilent), std::end(kSilent), path) != std::end(kSilent); }

std::string warning_of(const std::string& path) {
  const std::string_view reason = reason_without_effect(path);
  return reason.empty() ? path : path + "\t" + std::string(reason);
}

// A block or value that switches something off, or nothing at all, loses nothing by having no effect.
bool is_off(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: return true;
    case YamlNode::Kind::kScalar: return node.scalar.empty() || node.scalar == "false";
    case YamlNode::Kind::kSequence: return std::all_of(node.items.begin(), node.items.end(), is_off);
    case YamlNode::Kind::kMap: break;
  }
  if (const YamlNode* enabled = node.find("enabled"); enabled && enabled->scalar == "false") return true;
  return std::all_of(node.entries.begin(), node.entries.end(), [](const YamlNode::Entry& entry) { return is_off(entry.second); });
}

bool is_default(const KeyInfo& key, const std::string& text) {
  if (text.empty()) return true;
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.scalar = key.fallback;
  const Result<std::string> usual = canonical_text(key.kind, node);
  return usual.ok() && *usual == text;
}

struct Assignment {
  const KeyInfo* key;
  const YamlNode* value;
  int line;
};

class FileReader {
 public:
  FileReader(KeyTable& table, Loaded& out) : table_(table), out_(out) {}

  Result<void> read(const YamlNode& root) {
    if (root.is_null()) return {};
    if (root.kind != YamlNode::Kind::kMap)
      return Error(ErrorCode::kInvalidArgument, "yaml: line " + std::to_string(root.line) + ": the file must be a map of keys");
    walk(root, "");
    // Older spellings first, so that the current key wins wherever it stands.
    std::stable_partition(assignments_.begin(), assignments_.end(), [](const Assignment& a) { return a.key->alias; });
    for (const Assignment& a : assignments_) assign(a);
    if (schema_) {
      if (Result<void> read = read_schema(*schema_, out_.config.schema); !read.ok()) errors_.push_back(read.error().message());
      out_.config.given["schema_config"] = schema_->line;
    }
    if (limits_) read_limits(*limits_);
    if (errors_.empty()) return {};
    if (errors_.size() == 1) return Error(ErrorCode::kInvalidArgument, "yaml: " + errors_.front());
    std::string all = "yaml: unmarshal errors:";
    for (const std::string& error : errors_) all += "\n  " + error;
    return Error(ErrorCode::kInvalidArgument, all);
  }

 private:
  void walk(const YamlNode& node, const std::string& prefix) {
    for (const auto& [name, value] : node.entries) {
      const std::string path = prefix + name.scalar;
      if (path == "schema_config") { schema_ = &value; continue; }
      if (path == "limits_config") { limits_ = &value; continue; }
      if (const std::string_view block = named_store_block(path); !block.empty()) {
        walk_named_stores(value, path, block);
        continue;
      }
      if (const KeyInfo* key = table_.find(path)) {
        assignments_.push_back({key, &value, name.line});
      } else if (table_.is_block(path)) {
        if (value.kind == YamlNode::Kind::kMap) walk(value, path + ".");
        else if (!value.is_null() && !value.scalar.empty())
          errors_.push_back("line " + std::to_string(value.line) + ": " + path + " must be a map of keys");
      } else {
        unknown(prefix, name);
      }
    }
  }

  // Names are the user's: each gets its block's keys.
  void walk_named_stores(const YamlNode& node, const std::string& path, std::string_view block) {
    if (node.is_null()) return;
    if (node.kind != YamlNode::Kind::kMap) {
      errors_.push_back("line " + std::to_string(node.line) + ": " + path + " must be a map of names");
      return;
    }
    for (const auto& [name, value] : node.entries) {
      const bool plain = !name.scalar.empty() && std::all_of(name.scalar.begin(), name.scalar.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      });
      if (!plain || value.kind != YamlNode::Kind::kMap) {
        errors_.push_back("line " + std::to_string(name.line) + ": " + path + ": a named store is a name of letters, digits, - and _ with a map of keys");
        continue;
      }
      const std::string store = path + "." + name.scalar;
      table_.mount(store, block);
      out_.config.named_stores.emplace(store, block);
      walk(value, store + ".");
    }
  }

  // Nearest among the siblings; else the same name in another block; else the least far sibling.
  void unknown(const std::string& prefix, const YamlNode& name) {
    const std::string block = prefix.empty() ? "" : prefix.substr(0, prefix.size() - 1);
    std::vector<std::string> siblings = table_.children(block);
    if (block.empty()) siblings.insert(siblings.end(), {"schema_config", "limits_config"});
    std::string near = nearest(name.scalar, siblings);
    if (near.empty()) near = elsewhere(name.scalar);
    std::string text = "line " + std::to_string(name.line) + ": field " + name.scalar + " not found in " +
                       (block.empty() ? "the top level" : block);
    if (!near.empty()) text += "; did you mean \"" + near + "\"?";
    else if (!siblings.empty()) text += "; known keys: " + first_names(siblings);
    errors_.push_back(text);
  }

  std::string elsewhere(const std::string& name) const {
    for (const KeyInfo& key : table_.keys())
      if (key.path.size() > name.size() && key.path.ends_with("." + name)) return key.path;
    for (const LimitKey& limit : limit_keys())
      if (name == limit.name) return "limits_config." + name;
    return {};
  }

  static std::string first_names(const std::vector<std::string>& names) {
    std::string out;
    for (std::size_t i = 0; i < names.size() && i < 8; ++i) out += (i ? ", " : "") + names[i];
    return out + (names.size() > 8 ? ", …" : "");
  }

  void assign(const Assignment& a) {
    Config& config = out_.config;
    const std::string& path = a.key->path;
    // Charts write empty strings for "not set" (numbers and durations too).
    const bool unset = a.value->is_null() ||
                       (a.value->kind == YamlNode::Kind::kScalar && a.value->scalar.empty() && a.key->kind != Kind::kString && a.key->kind != Kind::kSecret && a.key->kind != Kind::kSecretUrl);
    if (unset) return;
    if (!a.key->member) {
      Result<std::string> text = canonical_text(a.key->kind, *a.value);
      if (!text.ok()) {
        errors_.push_back(text.error().message());
        return;
      }
      const bool said_nothing = a.key->kind == Kind::kAny ? is_off(*a.value) : is_default(*a.key, *text);
      if (!a.key->as_text && !said_nothing && !is_silent(path)) out_.warnings.push_back(warning_of(path));
      if (a.key->kind != Kind::kAny) config.other[path] = *text;
      else if (a.key->as_text) config.other[path] = flow_text(*a.value);   // its reader takes it apart
    } else if (Result<void> set = set_from_yaml(a.key->kind, *a.value, a.key->member(config)); !set.ok()) {
      errors_.push_back(set.error().message());
    } else if (is_idle(path)) {
      const Result<std::string> text = canonical_text(a.key->kind, *a.value);
      if (text.ok() && !is_default(*a.key, *text) && !is_off(*a.value)) out_.warnings.push_back(warning_of(path));
    }
    config.given[path] = a.line;
  }

  void read_limits(const YamlNode& node) {
    YamlNode rest = node;
    rest.entries.clear();
    for (const auto& [name, value] : node.entries) {
      Config::RuntimeConfig& runtime = out_.config.runtime_config;
      Result<void> set;
      if (name.scalar == "per_tenant_override_config") {
        if (runtime.file.empty()) set = set_from_yaml(Kind::kString, value, &runtime.file);
      } else if (name.scalar == "per_tenant_override_period") {
        if (!out_.config.is_given("runtime_config.period")) set = set_from_yaml(Kind::kDuration, value, &runtime.period);
      } else {
        rest.entries.push_back({name, value});
        out_.config.given["limits_config." + name.scalar] = name.line;
      }
      if (!set.ok()) errors_.push_back(set.error().message());
    }
    LimitNotes notes;
    if (Result<void> applied = apply_limits(rest, false, out_.config.limits, notes); !applied.ok())
      errors_.push_back(applied.error().message());
    for (const std::string& name : notes.without_effect) out_.warnings.push_back(warning_of("limits_config." + name));
    for (const std::string& text : notes.unknown) out_.warnings.push_back("limits_config\t" + text);
  }

  KeyTable& table_;
  Loaded& out_;
  std::vector<Assignment> assignments_;
  const YamlNode* schema_ = nullptr;
  const YamlNode* limits_ = nullptr;
  std::vector<std::string> errors_;
};

Result<void> read_text(const std::string& text, const std::string& name, KeyTable& table, Loaded& out) {
  const auto fail = [&](const Error& error) {
    std::string hint = text.find("${") != std::string::npos ? std::string(". ") + kExpandHint : std::string();
    return Error(ErrorCode::kInvalidArgument, "failed parsing config: " + name + ": " + error.message() + hint);
  };
  Result<YamlNode> root = parse_yaml(text);
  if (!root.ok()) return fail(root.error());
  if (Result<void> read = FileReader(table, out).read(*root); !read.ok()) return fail(read.error());
  return {};
}

Result<void> apply_flags(const CommandLine& command_line, KeyTable& table, Loaded& out) {
  Config& config = out.config;
  std::set<std::string> appended;
  for (const auto& [path, text] : command_line.keys) {
    config.given[path] = 0;
    if (path.starts_with("limits_config.")) {
      for (const LimitKey& limit : limit_keys()) {
        if (path.substr(14) != limit.name || !limit.member) continue;
        SKALD_TRY_VOID(set_from_text(limit.kind, text, limit.member(config.limits)));
        if (!limit.effective) out.warnings.push_back(path);
      }
      continue;
    }
    const KeyInfo* key = table.find(path);
    if (!key) return Error(ErrorCode::kInvalidArgument, "unknown key " + path);
    if (!key->member) {
      YamlNode node;
      node.kind = YamlNode::Kind::kScalar;
      node.scalar = text;
      SKALD_TRY(const std::string canonical, canonical_text(key->kind, node));
      if (!key->as_text && !is_default(*key, canonical) && !is_silent(path)) out.warnings.push_back(warning_of(path));
      if (key->kind != Kind::kAny) config.other[path] = canonical;
    } else if (path == "memberlist.join_members" && !appended.insert(path).second) {
      for (std::string& item : split_list(text)) config.memberlist.join_members.push_back(std::move(item));
    } else {
      SKALD_TRY_VOID(set_from_text(key->kind, text, key->member(config)));
      if (is_idle(path)) out.warnings.push_back(warning_of(path));
    }
  }
  return {};
}

Result<void> finish(Loaded& out) {
  SKALD_TRY_VOID(derive(out.config));
  const std::vector<std::string> problems = validate(out.config);
  std::set<std::string> seen;
  std::erase_if(out.warnings, [&](const std::string& key) { return !seen.insert(key).second; });
  if (problems.empty()) return {};
  if (problems.size() == 1) return Error(ErrorCode::kInvalidArgument, "CONFIG ERROR: " + problems.front());
  std::string all = "MULTIPLE CONFIG ERRORS FOUND, PLEASE READ CAREFULLY";
  for (const std::string& problem : problems) all += "\n" + problem;
  return Error(ErrorCode::kInvalidArgument, all);
}

}  // namespace

Result<Loaded> load(const CommandLine& command_line, const ReadFile& read_file, const GetEnv& get_env) {
  const bool named = !command_line.config_files.empty();
  const std::vector<std::string> candidates =
      named ? command_line.config_files : std::vector<std::string>{"config.yaml", "config/config.yaml"};
  Loaded out;
  KeyTable table;
  for (const std::string& path : candidates) {
    Result<std::string> text = read_file(path);
    if (!text.ok()) {
      if (text.error().code() == ErrorCode::kNotFound) continue;
      return Error(text.error().code(), "failed parsing config: " + text.error().message());
    }
    out.file = path;
    if (command_line.expand_env) {
      Result<std::string> expanded = expand_environment(*text, get_env);
      if (!expanded.ok()) return Error(ErrorCode::kInvalidArgument, "failed parsing config: " + path + ": " + expanded.error().message());
      text = std::move(expanded);
    }
    SKALD_TRY_VOID(read_text(*text, path, table, out));
    break;
  }
  if (out.file.empty()) {
    if (named) {
      std::string list;
      for (const std::string& path : candidates) list += (list.empty() ? "" : ",") + path;
      return Error(ErrorCode::kInvalidArgument, "failed parsing config: " + list + " does not exist, set config.file for custom config path");
    }
    apply_built_in(out.config);
  }
  SKALD_TRY_VOID(apply_flags(command_line, table, out));
  SKALD_TRY_VOID(finish(out));
  return out;
}

Result<Loaded> load_text(const std::string& text, const std::string& name) {
  Loaded out;
  out.file = name;
  KeyTable table;
  SKALD_TRY_VOID(read_text(text, name, table, out));
  SKALD_TRY_VOID(finish(out));
  return out;
}

}  // namespace skald::config
