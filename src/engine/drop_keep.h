// `| drop` and `| keep`.
#pragma once

#include "skald/logql/ast.h"
#include "engine/stage.h"

namespace skald::engine {

StagePtr compile_drop(const logql::DropStage& stage);
StagePtr compile_keep(const logql::KeepStage& stage);

}  // namespace skald::engine
