// `| logfmt [--strict] [--keep-empty] [label="key", …]`.
#pragma once

#include "skald/base/result.h"
#include "skald/logql/ast.h"
#include "engine/stage.h"

namespace skald::engine {

Result<StagePtr> compile_logfmt(const logql::LogfmtStage& stage);

}  // namespace skald::engine
