// -target: which modules a process runs.
#pragma once

#include <string>
#include <vector>

#include "skald/base/result.h"

namespace skald::app {

// Checks names and that this release can run the choice: everything in one process, spelled `all` or as targets that
// make up all of it. kInvalidArgument: unknown name; kUnimplemented: known but not available yet. One clear line each.
Result<void> check_targets(const std::vector<std::string>& targets);

// What -list-targets prints.
std::string list_targets();

// Modules in start order, as /services names them.
const std::vector<std::string>& running_modules();

}  // namespace skald::app
