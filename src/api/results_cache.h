// Answers of metric range queries, kept in pieces of time, so that a dashboard that asks again computes only what is new.
//
// A query's steps are cut into buckets of time; under (tenant, generation, query, step, phase, bucket) lies an extent: the
// points of a contiguous run of the bucket's steps. Only the steps that no extent covers are computed. The newest steps
// (max_cache_freshness_per_query) are never kept, as lines for them may still arrive; a line that arrives later than that
// shows once the cached extent has gone. Deletion changes the generation, and with it every key of the tenant.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "skald/base/context.h"
#include "skald/cache/cache.h"
#include "skald/engine/result.h"
#include "skald/engine/source.h"
#include "skald/logql/ast.h"
#include "skald/obs/metrics.h"

namespace skald::api {

// Points of the steps first_ns, first_ns + step, …, last_ns; steps without a point have none in any series.
struct Extent {
  std::int64_t first_ns = 0, last_ns = 0;
  std::vector<engine::Series> series;   // none is empty; samples by time
};
Bytes encode_extent(const Extent& extent);
// nullptr-like: nullopt when the bytes are not one, or one outside [bucket_begin_ns, bucket_end_ns).
std::optional<Extent> decode_extent(ByteView bytes, std::int64_t bucket_begin_ns, std::int64_t bucket_end_ns);

// Thread-safe.
class ResultsCache {
 public:
  ResultsCache(std::shared_ptr<cache::Cache> cache, obs::Registry& registry);

  struct Query {
    std::string tenant;
    std::string generation;
    std::string text;              // normalised
    std::int64_t start_ns = 0, end_ns = 0, step_ns = 0;   // steps start, start + step, … up to end
    std::int64_t keep_until_ns = 0;   // later steps are not kept
    std::int64_t bucket_ns = 0;       // wanted; rounded to whole steps, at least 128 of them
    std::int64_t series_max = 0;      // more in the merged answer: it is computed as a whole, which fails as it should
  };
  // Computes the steps of a range.
  using Compute = std::function<Result<engine::QueryResult>(std::int64_t start_ns, std::int64_t end_ns)>;
  Result<engine::QueryResult> run(const CallContext& ctx, const Query& query, const Compute& compute);

  // Whether the answers of a query depend on nothing but data around each step, so that they can be put together.
  static bool can_cache(const logql::Query& query, std::int64_t start_ns, std::int64_t end_ns, std::int64_t step_ns);

  // `given`, from whoever knows all delete requests, those carried out included. Where nobody does (""): a text that changes
  // whenever what is hidden by deletions does, and never comes back to an earlier one while the process lives.
  std::string generation(const std::string& tenant, const engine::Deletions& deletions, const std::string& given);
  // Somebody knows better: whatever the tenant has cached is not asked for again by this process.
  void increase_generation(const std::string& tenant);

 private:
  struct Generation {
    std::uint64_t hash = 0;
    std::uint64_t changes = 0;
    std::uint64_t increases = 0;   // asked for
  };
  const std::shared_ptr<cache::Cache> cache_;
  const std::string process_;   // tells this process's generations from another's
  obs::Counter& hits_;
  obs::Counter& partial_hits_;
  obs::Counter& misses_;
  std::mutex mutex_;   // guards generations_
  std::unordered_map<std::string, Generation> generations_;
};

}  // namespace skald::api
