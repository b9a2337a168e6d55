// Inside of Store, shared by its parts: queries (store.cc), listing and opening (refresh.cc), shipping (ship.cc).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_map>

#include "skald/store/store.h"
#include "store/chunk_cache.h"
#include "store/tenant_index.h"

namespace skald::store {

enum class Scope { kAll, kRecent };
enum class Objects { kAll, kMerged /* that compactors wrote */ };

struct Store::State {
  State(objstore::ObjectStore& objects_in, exec::Pool& pool_in, obs::Registry& registry, const StoreOptions& options);

  objstore::ObjectStore& objects;
  exec::Pool& pool;
  std::shared_ptr<ChunkCache> chunks;
  IndexObjects index_objects;
  const std::int64_t query_ready_days, recent_keep_ns, listing_age_max_ns;
  const std::shared_ptr<rpc::IndexClient> gateway;
  std::atomic<bool> gateway_lost{false};
  const std::unique_ptr<View> whole_view, recent_view;
  const std::unique_ptr<Index> index;

  obs::HistogramFamily& request_duration;
  obs::Counter& refs_matched;
  obs::Counter& series_matched;
  obs::CounterFamily& builds;
  obs::Gauge& last_build_s;
  obs::CounterFamily& uploads;
  obs::CounterFamily& syncs;

  std::mutex ship_mutex;      // one ship_pending() at a time
  std::mutex refresh_mutex;   // one listing at a time
  std::atomic<std::int64_t> tenants_listed_ns{INT64_MIN};   // monotonic; when the last listing of all tenants' names began

  std::mutex adopt_mutex;     // guards the next two
  bool adoption_began = false;
  std::set<std::string> not_adopted;   // tenants of which it is not known yet what shipped here shortly before

  // refresh.cc. The indexes that may know chunks of `range`, opened; without those that another one replaces. An object
  // that is gone is looked for once by a listing. Fails when an object of these days cannot be opened.
  Result<QuerySources> sources(const CallContext& ctx, const TenantIndex& tenant, const index::TimeRange& range, Objects which);
  // Lists the index objects of a tenant. refresh_mutex is held.
  Result<void> list_tenant(const CallContext& ctx, const std::string& tenant, std::optional<std::int64_t> only_day);
  // For a query that met something missing in `seen`: lists unless that has happened since.
  Result<void> list_again(const CallContext& ctx, const TenantView& seen, std::optional<std::int64_t> only_day);
  // Lists the tenant when its last listing is older than listing_age_max_ns. kUnavailable when that fails.
  Result<void> list_if_old(const CallContext& ctx);
  // Lists the tenant now, unless somebody did since the call began.
  Result<void> list_now(const CallContext& ctx);
  Result<void> open_ahead(const CallContext& ctx, const std::string& tenant);

  // recent.cc. kUnavailable: nobody knows yet what was shipped here shortly before.
  Result<void> knows_recent(const CallContext& ctx);
  // After the tenant's first listing; again after later ones until it succeeds.
  Result<void> adopt_recent(const CallContext& ctx, const std::string& tenant);
  Result<QuerySources> recent_sources(const CallContext& ctx, const TenantIndex& tenant, const index::TimeRange& range);
  Result<std::vector<index::StreamChunkRefs>> recent_refs(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request,
                                                          index::WithSketches with_sketches, TenantView& seen);

  std::shared_ptr<TenantIndex> find(const std::string& tenant) const;   // null: never heard of
  std::shared_ptr<TenantIndex> find_or_add(const std::string& tenant);
  std::vector<std::pair<std::string, std::shared_ptr<TenantIndex>>> all() const;

 private:
  mutable std::shared_mutex tenants_mutex_;   // guards tenants_
  std::map<std::string, std::shared_ptr<TenantIndex>> tenants_;
};

}  // namespace skald::store
