#include "api/query_split.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "api/limited_source.h"
#include "api/query_run.h"
#include "skald/frontend/split.h"
#include "skald/logql/format.h"
#include "skald/logql/parser.h"

namespace skald::api {

namespace {

// What a selector of the query reads: [start, end], both inclusive.
struct Reach {
  const logql::LogSelector* selector = nullptr;
  std::int64_t start_ns = 0, end_ns = 0;
};

void add_reaches(const logql::MetricExpr& expression, const engine::QueryParams& params, std::vector<Reach>& out) {
  if (const auto* range = std::get_if<logql::RangeAggregation>(&expression.node)) {
    const logql::LogRange& reads = range->range;
    if (reads.range_ns > 0) out.push_back({&reads.selector, params.start_ns - reads.offset_ns - reads.range_ns + 1, params.end_ns - reads.offset_ns});
  } else if (const auto* vector = std::get_if<logql::VectorAggregation>(&expression.node)) {
    add_reaches(*vector->inner, params, out);
  } else if (const auto* binary = std::get_if<logql::BinaryExpr>(&expression.node)) {
    add_reaches(*binary->left, params, out);
    add_reaches(*binary->right, params, out);
  } else if (const auto* replace = std::get_if<logql::LabelReplace>(&expression.node)) {
    add_reaches(*replace->inner, params, out);
  }
}

std::vector<Reach> reaches_of(const logql::Query& query, engine::QueryParams params) {
  std::vector<Reach> out;
  if (query.is_log()) {
    out.push_back({&query.log(), params.start_ns, params.end_ns - 1});
    return out;
  }
  if (!params.instant && params.step_ns > 0) params.end_ns = params.start_ns + (params.end_ns - params.start_ns) / params.step_ns * params.step_ns;
  add_reaches(query.metric(), params, out);
  return out;
}

// Going by the index; nothing when that does not say.
std::optional<std::uint64_t> estimated_bytes(ReadService& service, const ReadRequest& request, const std::vector<Reach>& reaches) {
  std::uint64_t bytes = 0;
  for (const Reach& reach : reaches) {
    const Result<querier::IndexStats> stats = service.querier.stats(request.ctx, {reach.selector->matchers, reach.start_ns, reach.end_ns});
    if (!stats.ok()) return std::nullopt;
    bytes += stats->bytes;
  }
  return bytes;
}

// What the whole query would read, asked before it is cut: parts read rows at their borders twice, so that their sums
// would refuse what the whole may read.
Result<void> check_bytes(ReadService& service, const ReadRequest& request, const std::vector<Reach>& reaches, bool instant) {
  if (request.limits->max_query_bytes_read <= 0) return {};
  LimitedSource source(service.querier, *request.limits, !instant);
  for (const Reach& reach : reaches) {
    SKALD_TRY_VOID(source.select(request.ctx, {reach.selector->matchers, reach.start_ns, reach.end_ns}));
  }
  return {};
}

}  // namespace

Result<engine::QueryResult> run_in_parts(ReadService& service, const ReadRequest& request, const logql::Query& query, const engine::QueryParams& params,
                                         const EvaluateHere& here) {
  frontend::Subquery whole;
  whole.tenant = request.ctx.tenant;
  whole.query = logql::format_line(query);
  whole.params = params;
  whole.limits = engine_limits(request);
  whole.read = frontend::read_limits(*request.limits);
  frontend::SplitOptions options;
  options.interval_ns = request.limits->split_queries_by_interval;
  options.instant_interval_ns = request.limits->split_instant_metric_queries_by_interval;
  options.parallelism = static_cast<std::size_t>(std::clamp<std::int64_t>(request.limits->max_query_parallelism, 1, 1024));
  options.whole_bytes = service.options.whole_bytes;
  options.bytes = std::numeric_limits<std::uint64_t>::max();
  if (frontend::make_plan(query, whole, options).kind == frontend::Plan::Kind::kWhole) return here(query, params);   // however much it reads
  const std::vector<Reach> reaches = reaches_of(query, params);
  // Without a filter the newest lines are enough, however many there are.
  if (query.is_log() && query.log().stages.empty()) options.bytes.reset();
  else options.bytes = estimated_bytes(service, request, reaches);
  if (frontend::make_plan(query, whole, options).kind == frontend::Plan::Kind::kWhole) return here(query, params);
  SKALD_TRY_VOID(check_bytes(service, request, reaches, params.instant));
  whole.read.max_query_bytes_read = 0;   // is checked
  return frontend::run_split(request.ctx, query, whole, options, *service.options.runner,
                             [&](const CallContext&, const frontend::Subquery& subquery) -> Result<engine::QueryResult> {
                               if (subquery.query == whole.query) return here(query, subquery.params);
                               SKALD_TRY(const logql::Query part, logql::parse(subquery.query));
                               return here(part, subquery.params);
                             });
}

}  // namespace skald::api
