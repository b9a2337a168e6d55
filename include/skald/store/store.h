// The long-term store as one process sees it: daily indexes (shipped, and the entries not shipped yet) and chunks in the
// bucket. Nothing on the query path lists the bucket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "skald/exec/pool.h"
#include "skald/index/chunk_ref.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"
#include "skald/rpc/store_client.h"

namespace skald::store {

struct StoreOptions {
  std::uint64_t chunk_cache_bytes = 64ULL << 20;   // decoded/compressed chunk parts kept in memory; starts empty
  std::uint64_t coalesce_gap_bytes = 512 << 10;
};

// Thread-safe.
class Store final : public rpc::StoreClient {
 public:
  Store(objstore::ObjectStore& objects, exec::Pool& pool, obs::Registry& registry, StoreOptions options);
  ~Store() override;

  // Lists <tenant>/index/… of all tenants and opens what is new, forgets what is gone. At start and then periodically.
  Result<void> refresh(const CallContext& ctx);

  // Entries of objects that are durable but whose index has not shipped: visible to queries at once.
  void add_pending(const std::string& tenant, std::vector<index::IndexEntry> entries);
  // Ships all pending entries of every tenant: one immutable index object per tenant and day,
  // <tenant>/index/index_<day>/<ULID>. They stay visible throughout. On success nothing is pending; on failure all of it is.
  Result<void> ship_pending(const CallContext& ctx);
  std::size_t pending_count() const;

  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<std::string>> label_names(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skald::store
