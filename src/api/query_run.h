// Running a range query for a handler: limits, step alignment, engine.
#pragma once

#include "api/read_context.h"
#include "skald/api/params.h"
#include "skald/engine/engine.h"

namespace skald::api {

engine::EngineLimits engine_limits(const ReadRequest& request);
Result<engine::QueryResult> run_range_query(ReadDeps& deps, const ReadRequest& request, const logql::Query& query, const RangeParams& params);

}  // namespace skald::api
