// Checks beyond the grammar, in Loki's order: matchers of all selectors, then what each stage is made of.
#pragma once

#include "skald/base/result.h"
#include "skald/logql/ast.h"

namespace skald::logql {

Result<void> validate(const Query& query);
Result<void> validate_matchers(const std::vector<model::Matcher>& matchers);

}  // namespace skald::logql
