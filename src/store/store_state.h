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

  obs::HistogramFamily& request_duration;
  obs::Counter& refs_matched;
  obs::Counter& series_matched;
  obs::CounterFamily& builds;
  obs::Gauge& last_build_s;
  obs::CounterFamily& uploads;
  obs::CounterFamily& syncs;

  std::mutex ship_mutex;      // one ship_pending() at a time
  std::mutex refresh_mutex;   // one refresh() at a time

  std::shared_ptr<TenantIndex> find(const std::string& tenant) const;   // null: never heard of
  std::shared_ptr<TenantIndex> find_or_add(const std::string& tenant);
  std::vector<std::pair<std::string, std::shared_ptr<TenantIndex>>> all() const;

 private:
  mutable std::shared_mutex tenants_mutex_;   // guards tenants_
  std::map<std::string, std::shared_ptr<TenantIndex>> tenants_;
};

}  // namespace skald::store
