// `| line_format` and `| label_format` (reference logql.md §8).
#pragma once

#include "skald/base/result.h"
#include "skald/logql/ast.h"
#include "engine/stage.h"

namespace skald::engine {

Result<StagePtr> compile_line_format(const logql::LineFormatStage& stage);
Result<StagePtr> compile_label_format(const logql::LabelFormatStage& stage);

}  // namespace skald::engine
