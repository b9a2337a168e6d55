// `| json`: all members of the line's object, or those the written paths name; `| unpack`.
#pragma once

#include <memory>
#include <vector>

#include "skald/base/result.h"
#include "skald/logql/ast.h"
#include "skald/logql/json_path.h"
#include "engine/stage.h"

namespace skald::engine {

Result<StagePtr> compile_json(const logql::JsonStage& stage);
StagePtr compile_unpack();

}  // namespace skald::engine
