// Evaluation of subqueries for others: what frontend::Worker and frontend::make_remote_runner() call.
#pragma once

#include "skald/exec/pool.h"
#include "skald/frontend/subquery.h"
#include "skald/querier/querier.h"

namespace skald::api {

// Evaluates as the query routes do: the subquery's limits, deletions and tenants ("a|b") hold. Everything is used until
// the last call has returned. `memory_bytes_max` (querier.max_query_memory) holds for each subquery whose context has no
// budget of its own; 0: no limit.
frontend::Evaluate make_evaluate(querier::Querier& querier, exec::Pool& pool, std::int64_t memory_bytes_max);

}  // namespace skald::api
