// The process: command line, configuration, module graph, start and stop order.
#pragma once

namespace skald::app {

// Returns the exit code: 0 information commands and clean stop, 1 bad config or failed start, 2 unknown flag.
int run(int argc, char** argv);

}  // namespace skald::app
