#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/eval.h"

namespace skald::engine {

Result<Value> evaluate_label_replace(Evaluation& evaluation, const logql::LabelReplace& expression);

// Go's Regexp.Expand: $name, ${name}, $1, $$; an unknown or malformed reference expands to nothing.

void expand_template(std::string_view text, const std::vector<std::string_view>& groups,
                     const std::map<std::string, int>& names, std::string& out);

}  // namespace skald::engine
