// /loki/api/v1/patterns: mined when asked, over the rows in range, so that it answers for data of any age and costs
// nothing at ingest (docs/decisions/002-patterns-at-query-time.md).
#pragma once

#include "skald/config/limits.h"
#include "skald/http/server.h"
#include "skald/querier/querier.h"

namespace skald::api {

// Before server.start(); everything outlives it. Without `enabled` (pattern_ingester.enabled) the route answers 404.
void add_pattern_routes(http::Server& server, querier::Querier& querier, const config::LimitsProvider& limits, const Clock& clock, bool enabled, bool auth_enabled);

}  // namespace skald::api
