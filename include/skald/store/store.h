// The long-term store as one process sees it: daily indexes (shipped, and the entries not shipped yet) and chunks in the
// bucket. Nothing on the query path lists the bucket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "skald/exec/pool.h"
#include "skald/index/chunk_ref.h"
#include "skald/index/series_index.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"
#include "skald/rpc/store_client.h"

namespace skald::store {

struct StoreOptions {
  std::uint64_t chunk_cache_bytes = 64ULL << 20;   // decoded/compressed chunk parts kept in memory; starts empty
  // Ranges of one object that are at most this far apart are read with one request, and parts of chunks are read in units
  // of this size. For stores where a request costs milliseconds; a local file system does better with 64 KiB or less.
  std::uint64_t coalesce_gap_bytes = 512 << 10;
};

// Thread-safe.
class Store final : public rpc::StoreClient {
 public:
  Store(objstore::ObjectStore& objects, exec::Pool& pool, obs::Registry& registry, StoreOptions options);
  ~Store() override;

  // Lists <tenant>/index/… of all tenants and opens what is new, forgets what is gone. At start and then periodically.
  // An index object that cannot be read or does not check out is named in the error and tried again next time; all others
  // are opened nevertheless. Until then queries that need its day fail with the same error: they would be incomplete.
  Result<void> refresh(const CallContext& ctx);

  // Entries of objects that are durable but whose index has not shipped: visible to queries at once.
  void add_pending(const std::string& tenant, std::vector<index::IndexEntry> entries);
  // Ships all pending entries of every tenant: one immutable index object per tenant and day,
  // <tenant>/index/index_<day>/<ULID>. They stay visible throughout. On success everything that was pending at the call has
  // shipped; on failure the tenants whose objects were not all written stay pending as a whole.
  Result<void> ship_pending(const CallContext& ctx);
  std::size_t pending_count() const;   // chunk list entries: a group chunk counts once per member stream

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
  std::unique_ptr<State> state_;
};

}  // namespace skald::store
