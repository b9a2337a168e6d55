// Running a query for a handler: limits, step alignment, engine, log line.
#pragma once

#include "api/read_context.h"
#include "skald/api/params.h"
#include "skald/engine/engine.h"

namespace skald::api {

engine::EngineLimits engine_limits(const ReadRequest& request);
// What the results cache's keys of a tenant carry; service.results is not null.
std::string results_generation(ReadService& service, const std::string& tenant);

// A range query; log queries of other handlers (tail history, detected fields) are range queries, too.
Result<engine::QueryResult> run_range_query(ReadService& service, const ReadRequest& request, const logql::Query& query, const RangeParams& params);
Result<engine::QueryResult> run_instant_query(ReadService& service, const ReadRequest& request, const logql::Query& query, const InstantParams& params);

}  // namespace skald::api
