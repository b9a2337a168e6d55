// AST → canonical LogQL text, as /format_query prints it (pretty = indented) and as one line.
#pragma once

#include <string>

#include "skald/logql/ast.h"

namespace skald::logql {
std::string format_pretty(const Query& query);
std::string format_line(const Query& query);   // parse(format_line(parse(x))) is the same tree
}  // namespace skald::logql
