// Inside of Store, shared by its parts: queries (store.cc), listing and opening (refresh.cc), shipping (ship.cc).
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>

#include "skald/store/store.h"
#include "store/chunk_cache.h"
#include "store/tenant_index.h"

namespace skald::store {

struct Store::State {
  State(objstore::ObjectStore& objects_in, exec::Pool& pool_in, obs::Registry& registry, const StoreOptions& options);

  objstore::ObjectStore& objects;
  exec::Pool& pool;
  std::shared_ptr<ChunkCache> chunks;
  IndexObjects index_objects;
  const std::int64_t query_ready_days;

  obs::HistogramFamily& request_duration;
  obs::Counter& refs_matched;
  obs::Counter& series_matched;
  obs::CounterFamily& builds;
  obs::Gauge& last_build_s;
  obs::CounterFamily& uploads;
  obs::CounterFamily& syncs;

  std::mutex ship_mutex;      // one ship_pending() at a time
  std::mutex refresh_mutex;   // one listing at a time

  // refresh.cc. The indexes that may know chunks of `range`, opened; without those that another one replaces. An object
  // that is gone is looked for once by a listing. Fails when an object of these days cannot be opened.
  Result<QuerySources> sources(const CallContext& ctx, const TenantIndex& tenant, const index::TimeRange& range);
  // Lists the index objects of a tenant. refresh_mutex is held.
  Result<void> list_tenant(const CallContext& ctx, const std::string& tenant, std::optional<std::int64_t> only_day);
  // For a query that met something missing in `seen`: lists unless that has happened since.
  Result<void> list_again(const CallContext& ctx, const TenantView& seen, std::optional<std::int64_t> only_day);
  // store.cc. kNotFound: a chunk's object is not there; `seen` tells which view listed it.
  Result<chunk::SelectResult> select(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request, TenantView& seen);
  Result<void> open_ahead(const CallContext& ctx, const std::string& tenant);

  std::shared_ptr<TenantIndex> find(const std::string& tenant) const;   // null: never heard of
  std::shared_ptr<TenantIndex> find_or_add(const std::string& tenant);
  std::vector<std::pair<std::string, std::shared_ptr<TenantIndex>>> all() const;

 private:
  mutable std::shared_mutex tenants_mutex_;   // guards tenants_
  std::map<std::string, std::shared_ptr<TenantIndex>> tenants_;
};

}  // namespace skald::store
