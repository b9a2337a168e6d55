// Log queries: rows of many streams merged by time, read block by block from the wanted end.
#pragma once

#include "engine/eval.h"

namespace skald::engine {

Result<LogResult> run_log_query(Evaluation& evaluation, const logql::LogSelector& selector);

}  // namespace skald::engine
