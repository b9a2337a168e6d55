// Parsers of free text and stages that only rewrite the line: regexp, pattern, decolorize.
#pragma once

#include "skald/base/result.h"
#include "skald/logql/ast.h"
#include "engine/stage.h"

namespace skald::engine {

Result<StagePtr> compile_regexp(const logql::RegexpStage& stage);
Result<StagePtr> compile_pattern(const logql::PatternStage& stage);
StagePtr compile_decolorize();

// `line` without ANSI escape sequences; `line` itself when it has none.
std::string_view decolorize(std::string_view line, Arena& arena);

}  // namespace skald::engine
