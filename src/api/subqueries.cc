#include "skald/api/subqueries.h"

#include "api/limited_source.h"
#include "skald/engine/engine.h"
#include "skald/logql/parser.h"

namespace skald::api {

frontend::Evaluate make_evaluate(querier::Querier& querier, exec::Pool& pool, std::int64_t memory_bytes_max) {
  return [&querier, &pool, memory_bytes_max](const CallContext& ctx, const frontend::Subquery& subquery) -> Result<engine::QueryResult> {
    SKALD_TRY(const logql::Query query, logql::parse(subquery.query));
    CallContext own = ctx;
    own.tenant = subquery.tenant;
    if (own.memory == nullptr && memory_bytes_max > 0) own.memory = std::make_shared<MemoryBudget>(memory_bytes_max);
    const config::Limits limits = frontend::as_limits(subquery.read);
    LimitedSource source(querier, limits, !subquery.params.instant);
    engine::Engine engine(source, pool);
    return engine.run(own, query, subquery.params, subquery.limits);
  };
}

}  // namespace skald::api
