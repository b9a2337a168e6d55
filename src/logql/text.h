// AST → text. Two dialects of the same printer: Loki's own (lossy in places: sizes are rounded, `or` of negated line
// filters is spelled out) and an exact one that parses back to the same tree.
#pragma once

#include <string>

#include "skald/logql/ast.h"

namespace skald::logql {

enum class Dialect { kLoki, kExact };

// `| json a="b.c"`, `|= "x"`: without a leading space.
std::string stage_text(const Stage& stage, Dialect dialect);
std::string filter_text(const LabelFilter& filter, Dialect dialect);
std::string unwrap_text(const Unwrap& unwrap, Dialect dialect);      // `| unwrap duration(x) | a="b"`
std::string selector_text(const LogSelector& selector, Dialect dialect);
std::string range_text(const LogRange& range, Dialect dialect);
std::string grouping_text(const Grouping& grouping, const char* separator);  // ` by (a,b)`
std::string operator_text(const BinaryExpr& binary, Dialect dialect);        // `> bool on (a) group_left (b)`
// True when `inner`, printed without parentheses beside `outer`, would be read as another tree.
bool needs_parentheses(const BinaryExpr& outer, const MetricExpr& inner, bool on_the_right);
std::string metric_text(const MetricExpr& metric, Dialect dialect);
std::string matchers_text(const std::vector<model::Matcher>& matchers);

}  // namespace skald::logql
