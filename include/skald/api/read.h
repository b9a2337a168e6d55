// The read routes: queries, labels, series, index statistics, patterns, detected labels and fields, tail, and their
// /api/prom forms.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/api/tenant.h"
#include "skald/base/clock.h"
#include "skald/config/limits.h"
#include "skald/exec/pool.h"
#include "skald/http/server.h"
#include "skald/obs/metrics.h"
#include "skald/querier/querier.h"

namespace skald::cache {
class Cache;
}
namespace skald::frontend {
class Runner;
}

namespace skald::api {

struct ReadOptions {
  TenantPolicy tenants;
  bool multi_tenant_queries = false;                  // querier.multi_tenant_queries_enabled
  bool per_request_limits = false;                    // querier.per_request_limits_enabled: X-Loki-Query-Limits
  bool patterns = false;                              // pattern_ingester.enabled: /loki/api/v1/patterns answers
  bool align_with_step = false;                       // query_range.align_queries_with_step
  std::size_t concurrent_queries = 4;                 // querier.max_concurrent: the others wait
  std::size_t waiting_queries_max = 32'000;           // per tenant; above: 429
  std::int64_t query_memory_bytes_max = 1LL << 30;    // of one query's rows, label sets and samples; 0: no limit
  std::int64_t tail_duration_max_ns = kNanosPerHour;  // querier.tail_max_duration
  std::uint64_t body_bytes_max = 10U << 20;           // frontend.max_body_size
  // frontend.log_queries_longer_than: slower queries are logged at info, all when negative; 0: those above ten seconds.
  std::int64_t slow_query_ns = 0;
  bool log_all_queries = false;                       // frontend.query_stats_enabled
  std::vector<std::string> logged_headers;            // frontend.log_query_request_headers
  // Answers of metric range queries (query_range.cache_results and results_cache, Content::kAnswers); null: none are kept.
  std::shared_ptr<cache::Cache> results_cache = nullptr;
  // A text that changes when delete requests of a tenant are made, cancelled or carried out, and never returns; it makes
  // cached answers unreachable. Null: what deletions hide at present decides, which is not enough for a cache that
  // outlives the process.
  std::function<std::string(const std::string& tenant)> cache_generation = nullptr;
  // Queries are cut into parts that it runs (frontend/split.h); null: each is evaluated in this process as a whole.
  std::shared_ptr<frontend::Runner> runner = nullptr;
  std::uint64_t whole_bytes = 16 << 20;               // a query that reads less, going by the index, runs here as a whole
  std::int64_t max_retries = 5;                       // query_range.max_retries: of what runs here and was out of reach
};

// Everything outlives the server.
struct ReadDeps {
  querier::Querier& querier;
  const config::LimitsProvider& limits;
  exec::Pool& pool;                 // blocks of a query are scanned here
  obs::Registry& registry;
  const Clock& clock = system_clock();
  ReadOptions options;
};

// Before server.start(). The result is what the routes share: to be destroyed after server.stop() and before what `deps`
// refers to. That waits for requests still running; with their connections gone they are cancelled and end at once.
[[nodiscard]] std::shared_ptr<void> add_read_routes(http::Server& server, ReadDeps deps);

}  // namespace skald::api
