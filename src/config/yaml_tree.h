// A YAML document as plain values with line numbers. The only file that sees yaml-cpp is yaml_tree.cc.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "skald/base/result.h"

namespace skald::config {

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  int line = 0;            // 1-based
  bool quoted = false;     // '3100' is a string, 3100 is a number
  std::string scalar;
  std::vector<YamlNode> items;
  struct Entry;
  std::vector<Entry> entries;  // in order; keys unique

  bool is_null() const { return kind == Kind::kNull; }
  const YamlNode* find(const std::string& key) const;  // nullptr when absent or not a map
};
struct YamlNode::Entry {
  YamlNode first, second;   // key, value
};

// Applies aliases and merge keys (<<). kInvalidArgument: syntax error or a key given twice, each with its line. Bounded in
// size and depth, so that nested aliases cannot fill memory.
Result<YamlNode> parse_yaml(const std::string& text);

// The whole value in one line that reads back as the same mappings, lists and texts (of scalars: as texts).
std::string flow_text(const YamlNode& node);

// YAML spelling of a string: bare when that is unambiguous, else quoted.
std::string yaml_quote(const std::string& text);

}  // namespace skald::config
