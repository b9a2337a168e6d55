// limits_config: its keys, its YAML and its texts. Also read per tenant from the runtime file.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "skald/config/limits.h"
#include "values.h"

namespace skald::config {

struct LimitKey {
  const char* name;                      // "shard_streams.enabled"
  Kind kind;                             // kAny: composite, see custom
  void* (*member)(Limits&) = nullptr;    // null: known, without effect here
  const char* flag = nullptr;
  bool effective = true;                 // this release acts on it
  // Composite keys.
  Result<void> (*parse)(const YamlNode&, Limits&) = nullptr;
  std::string (*json)(const Limits&) = nullptr;   // JSON is also flow YAML
};

std::span<const LimitKey> limit_keys();
const LimitKey* find_limit_flag(const std::string& flag);

struct LimitNotes {
  std::vector<std::string> without_effect;   // known keys that steer nothing
  std::vector<std::string> unknown;          // with line and nearest name, ready to log
};

// Lays the keys of `node` over `limits`. With `strict`, unknown keys are errors (runtime file); else they are noted.
Result<void> apply_limits(const YamlNode& node, bool strict, Limits& limits, LimitNotes& notes);
Result<void> validate_limits(const Limits& limits);

std::string json_quote(const std::string& text);

}  // namespace skald::config
