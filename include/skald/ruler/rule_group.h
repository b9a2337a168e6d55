// Rule groups: what a user writes in YAML, validated as Loki's rule API does. Evaluation: ruler.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"

namespace skald::ruler {

struct Rule {
  std::string record;               // exactly one of record and alert is set
  std::string alert;
  std::string expr;
  std::int64_t for_ns = 0;
  std::int64_t keep_firing_for_ns = 0;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
};

struct RuleGroup {
  std::string name;
  std::int64_t interval_ns = 0;     // 0: the ruler's evaluation_interval
  std::int64_t query_offset_ns = 0; // queries look at so much earlier a time
  std::int64_t limit = 0;           // 0: no limit on the series or alerts a rule may produce
  std::map<std::string, std::string> labels{};   // of all rules; a rule's own win
  std::vector<Rule> rules;
};

// Unknown fields are ignored, as Loki does. kInvalidArgument: "unable to decoded rule group" when it is not the YAML of a group.
Result<RuleGroup> parse_rule_group(std::string_view yaml);

// A rule file of an operator: `groups: [...]`. kInvalidArgument: not that, a group that validate_rule_group() refuses, or a
// name used twice.
Result<std::vector<RuleGroup>> parse_rule_file(std::string_view yaml);

// Names, one of record and alert, LogQL of each expression. kInvalidArgument with Loki's texts.
Result<void> validate_rule_group(const RuleGroup& group);

// Canonical YAML, four spaces a level.
std::string format_rule_group(const RuleGroup& group);
// namespace → its groups, as the listing endpoints print them.
std::string format_namespaces(const std::map<std::string, std::vector<RuleGroup>>& namespaces);

}  // namespace skald::ruler
