// Queries of rules: an instant query as the query API would run it, under the limits of its tenant.
#pragma once

#include <functional>
#include <memory>

#include "skald/base/clock.h"
#include "skald/config/limits.h"
#include "skald/exec/pool.h"
#include "skald/querier/querier.h"
#include "skald/ruler/evaluation.h"

namespace skald::api {

struct RuleQueryOptions {
  std::int64_t memory_bytes_max = 1LL << 30;   // of one query; 0: no limit
  // Asked before each query: an error while data is not all there, so that nothing resolves because of that. Null: always.
  std::function<Result<void>()> ready = nullptr;
};

// Everything outlives the result.
std::unique_ptr<ruler::QueryRunner> make_rule_queries(querier::Querier& querier, const config::LimitsProvider& limits, exec::Pool& pool, const Clock& clock,
                                                      RuleQueryOptions options);

}  // namespace skald::api
