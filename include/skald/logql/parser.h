// LogQL text → AST. Bounded in depth and size: no input exceeds its stack or takes super-linear time.
#pragma once

#include <string_view>
#include <vector>

#include "skald/base/result.h"
#include "skald/logql/ast.h"

namespace skald::logql {

// Parses and validates (reference logql.md §2, §3): grammar, matchers that may not all match empty, regexes, templates,
// patterns, json paths, unwrap rules. kInvalidArgument with Loki's exact text: "parse error at line 1, col 5: syntax error: …".
Result<Query> parse(std::string_view text);

// `{a="b", c=~"d"}` alone, as series/match[] and label endpoints take it; same rules for empty matchers.
Result<std::vector<model::Matcher>> parse_selector(std::string_view text);

}  // namespace skald::logql
