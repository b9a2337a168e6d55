// What a line-filter regex can be reduced to: plain searches instead of the regex, or a literal every match must contain.
// Reductions follow Loki, visible oddities included (reference logql.md §5: `foo|.*` means "contains foo").
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skald::engine {

struct LiteralRegex {
  bool match_all = false;
  bool fold_case = false;              // ASCII literals only
  std::vector<std::string> literals;   // any of them
};
// `a`, `a|b`, `.*a.*`, `(a|b)`, with (?i) in front. nullopt: needs a regex engine.
std::optional<LiteralRegex> reduce_to_literals(std::string_view regex);

struct RequiredLiteral {
  std::string text;
  bool fold_case = false;
};
// A literal that is part of every match, the most selective one found. nullopt: none, or the regex is too involved.
std::optional<RequiredLiteral> required_literal(std::string_view regex);

}  // namespace skald::engine
