// `| json label="path", …`: one walk over the line that follows all paths at once.
#pragma once

#include "engine/json_stage.h"

namespace skald::engine {

Result<StagePtr> compile_json_paths(const logql::JsonStage& stage);

}  // namespace skald::engine
