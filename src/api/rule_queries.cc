#include "skald/api/rule_queries.h"

#include <algorithm>

#include "api/limited_source.h"
#include "api/query_limits.h"
#include "skald/engine/engine.h"
#include "skald/logql/parser.h"

namespace skald::api {
namespace {

constexpr const char* kTags = "Source=ruler";   // blocked_queries may name it

class RuleQueries final : public ruler::QueryRunner {
 public:
  RuleQueries(querier::Querier& querier, const config::LimitsProvider& limits, exec::Pool& pool, const Clock& clock, RuleQueryOptions options)
      : querier_(querier), limits_(limits), pool_(pool), clock_(clock), options_(std::move(options)) {}

  Result<std::vector<ruler::Sample>> run(const CallContext& ctx, const std::string& expr, std::int64_t time_ns) override {
    if (options_.ready) SKALD_TRY_VOID(options_.ready());
    SKALD_TRY(const logql::Query query, logql::parse(expr));
    if (query.is_log()) return Error(ErrorCode::kInvalidArgument, "rule result is not a vector or scalar");
    const config::LimitsPtr limits = limits_.for_tenant(ctx.tenant);
    SKALD_TRY_VOID(check_query(*limits, query, expr, kTags, {time_ns, time_ns}));
    CallContext own = ctx;
    own.clock = &clock_;
    if (limits->query_timeout > 0) own.deadline_monotonic_ns = std::min(own.deadline_monotonic_ns, clock_.monotonic_ns() + limits->query_timeout);
    if (options_.memory_bytes_max > 0) own.memory = std::make_shared<MemoryBudget>(options_.memory_bytes_max);
    engine::QueryParams params;
    params.instant = true;
    params.start_ns = params.end_ns = time_ns;
    if (!clamp_to_lookback(*limits, clock_.now_ns(), params.start_ns, params.end_ns)) return std::vector<ruler::Sample>{};
    engine::EngineLimits engine_limits;
    engine_limits.max_series = static_cast<std::uint32_t>(std::clamp<std::int64_t>(limits->max_query_series, 0, UINT32_MAX));
    engine_limits.allow_approx_topk = std::find(limits->shard_aggregations.begin(), limits->shard_aggregations.end(), "approx_topk") != limits->shard_aggregations.end();
    engine_limits.allow_variants = limits->enable_multi_variant_queries;
    LimitedSource source(querier_, *limits, false);
    engine::Engine engine(source, pool_);
    SKALD_TRY(engine::QueryResult result, engine.run(own, query, params, engine_limits));
    return samples_of(result);
  }

 private:
  static Result<std::vector<ruler::Sample>> samples_of(engine::QueryResult& result) {
    std::vector<ruler::Sample> out;
    if (const auto* scalar = std::get_if<engine::ScalarResult>(&result.data)) {
      out.push_back({{}, scalar->sample.value});
      return out;
    }
    auto* vector = std::get_if<engine::VectorResult>(&result.data);
    if (vector == nullptr) return Error(ErrorCode::kInvalidArgument, "rule result is not a vector or scalar");
    for (engine::Series& series : vector->series)
      if (!series.samples.empty()) out.push_back({std::move(series.labels), series.samples.front().value});
    return out;
  }

  querier::Querier& querier_;
  const config::LimitsProvider& limits_;
  exec::Pool& pool_;
  const Clock& clock_;
  const RuleQueryOptions options_;
};

}  // namespace

std::unique_ptr<ruler::QueryRunner> make_rule_queries(querier::Querier& querier, const config::LimitsProvider& limits, exec::Pool& pool, const Clock& clock,
                                                      RuleQueryOptions options) {
  return std::make_unique<RuleQueries>(querier, limits, pool, clock, std::move(options));
}

}  // namespace skald::api
