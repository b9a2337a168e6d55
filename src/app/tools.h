// Subcommands that look at files without running anything: skald inspect <file>, skald fsck <directory>.
#pragma once

#include <string>
#include <vector>

namespace skald::app {

// `arguments[0]` is the subcommand. Exit code: 0 clean, 1 damage found or unreadable, 2 wrong usage.
int run_tool(const std::vector<std::string>& arguments);

}  // namespace skald::app
