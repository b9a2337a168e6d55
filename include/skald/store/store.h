// The long-term store as one process sees it: daily indexes (shipped, and the entries not shipped yet) and chunks in the
// bucket. Nothing on the query path lists the bucket, but for one case: something that an index lists is gone, because a
// compactor replaced it. Then the tenant's index (or one day of it) is listed once and the query starts over.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "skald/exec/pool.h"
#include "skald/index/chunk_ref.h"
#include "skald/index/series_index.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"
#include "skald/rpc/index_client.h"
#include "skald/rpc/store_client.h"

namespace skald::cache {
class Cache;
}

namespace skald::store {

struct StoreOptions {
  std::uint64_t chunk_cache_bytes = 64ULL << 20;   // decoded/compressed chunk parts kept in memory; starts empty
  // Ranges of one object that are at most this far apart are read with one request, and parts of chunks are read in units
  // of this size. For stores where a request costs milliseconds; a local file system does better with 64 KiB or less.
  std::uint64_t coalesce_gap_bytes = 512 << 10;
  // Below that memory, by object key and byte range; null: none. With `l2_handoff_ns` chunks older than it live in the
  // second one only. Parts of chunks older than `skip_writeback_older_than_ns` (0: none are) are not put into either.
  std::shared_ptr<cache::Cache> chunk_cache = nullptr, chunk_cache_l2 = nullptr;
  std::int64_t l2_handoff_ns = 0;
  std::int64_t skip_writeback_older_than_ns = 0;
  // Opened index objects kept in memory; those that a query is using stay whatever this says. Starts empty.
  std::uint64_t index_memory_bytes = 256ULL << 20;
  std::shared_ptr<cache::Cache> index_cache = nullptr;       // index objects by key, below that memory; null: none
  std::int64_t query_ready_num_days = 0;           // index objects of so many days up to today are opened by refresh()
  // Where other processes read what this one writes: how long recent() shows what shipped. Above the time in which each of
  // them lists the bucket surely, see listing_age_max_ns. 0: recent() shows what has not shipped.
  std::int64_t recent_keep_ns = 0;
  // Where this process reads what others write: a query whose tenant's last complete listing began longer ago lists it
  // first, and fails if that cannot be done. At most the writers' recent_keep_ns, less a minute or two. 0: never.
  std::int64_t listing_age_max_ns = 0;
  // Who keeps the index for this process (rpc/index_gateway.h); null: nobody. Calls are answered by it, and chunks it tells
  // of are read here. While it is kUnavailable the own listing answers, which then must not be older than
  // listing_age_max_ns (five minutes when that is 0). refresh() is not needed. What is pending here is not seen: this is for
  // processes that only read.
  std::shared_ptr<rpc::IndexClient> gateway = nullptr;
};

// Thread-safe.
class Store final : public rpc::StoreClient {
 public:
  Store(objstore::ObjectStore& objects, exec::Pool& pool, obs::Registry& registry, StoreOptions options);
  ~Store() override;

  // Lists <tenant>/index/… of all tenants, forgets what is gone. At start and then periodically, and after this process
  // changed what is there. Index objects are opened when a query first needs their day, those of the last
  // query_ready_num_days here; one that does not check out is named in the error of whoever opens it: queries of that day
  // fail, as they would be incomplete, until a refresh lets it be tried again.
  Result<void> refresh(const CallContext& ctx);

  // Entries of objects that are durable but whose index has not shipped: visible to queries at once.
  void add_pending(const std::string& tenant, std::vector<index::IndexEntry> entries);
  // Ships all pending entries of every tenant: one immutable index object per tenant and day,
  // <tenant>/index/index_<day>/<ULID>. They stay visible throughout. On success everything that was pending at the call has
  // shipped; on failure the tenants whose objects were not all written stay pending as a whole.
  Result<void> ship_pending(const CallContext& ctx);
  std::size_t pending_count() const;   // chunk list entries: a group chunk counts once per member stream

  // Only what other processes may not have listed yet: entries that have not shipped, and those shipped less than
  // recent_keep_ns ago, by this process or (told by the times of index objects) by whoever ran here before it. That is known
  // once refresh() has listed the tenant; until then calls are kUnavailable. Where a compactor has replaced such a chunk
  // already, what it replaced it by is shown. Lives as long as the store.
  rpc::StoreClient& recent();
  // What this store answers to other processes as their index gateway (rpc/index_service.h). Lives as long as the store.
  rpc::IndexClient& index();

  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<std::string>> label_names(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) override;

  // Per stream the references of its chunks that overlap the range, each once, sorted by time; no chunk is opened.
  // For statistics and for counting from sketches.
  Result<std::vector<index::StreamChunkRefs>> refs(const CallContext& ctx, const rpc::SelectRequest& request,
                                                   index::WithSketches with_sketches = index::WithSketches::kNo);

 private:
  struct State;
  class View;
  class Index;
  std::unique_ptr<State> state_;
};

}  // namespace skald::store
