// Expressions of `| pattern "…"` and of the pattern line filters `|>` and `!>`: literals and <captures>, alternating.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"

namespace skald::logql {

struct PatternPart {
  bool capture = false;
  std::string text;  // the literal's bytes, or the capture's name
  bool discard() const { return capture && text == "_"; }
  bool operator==(const PatternPart&) const = default;
};
// Never two literals in a row, never two captures in a row.
using PatternExpression = std::vector<PatternPart>;

// For `| pattern`: at least one named capture, names unique. kInvalidArgument: the cause alone, e.g.
// "at least one capture is required".
Result<PatternExpression> parse_pattern(std::string_view text);

// For `|>` and `!>`: literals and <_> only; "" is no part at all (matches the empty line).
Result<PatternExpression> parse_line_pattern(std::string_view text);

}  // namespace skald::logql
