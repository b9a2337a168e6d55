// The compactor: merges index objects and small chunks, stores replicas' copies once, applies retention and delete requests,
// and deletes what nothing lists any more. docs/design/compaction.md says why it is safe to run any number of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/base/context.h"
#include "skald/base/random.h"
#include "skald/base/result.h"
#include "skald/chunk/builder.h"
#include "skald/compactor/delete_requests.h"
#include "skald/config/limits.h"
#include "skald/exec/pool.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"

namespace skald::compactor {

struct CompactorOptions {
  // The keys of the `compactor` block.
  std::int64_t compaction_interval_ns = 10 * kNanosPerMinute;
  bool retention_enabled = false;                              // retention and delete requests
  std::int64_t apply_retention_interval_ns = 0;                // 0: with every run
  std::int64_t retention_delete_delay_ns = 2 * kNanosPerHour;  // what is replaced or expired stays this long; above the longest query
  std::size_t retention_delete_worker_count = 150;             // deletions at once, as far as the pool goes
  std::size_t delete_batch_size = 70;                          // delete requests per tenant and run
  std::size_t max_compaction_parallelism = 1;                  // days at once; they share memory_bytes
  std::int64_t skip_latest_n_tables = 0;                       // the newest n days are left alone
  std::int64_t tables_to_compact = 0;                          // only the newest n days; 0: all

  std::uint64_t bucket_bytes_max = 0;                          // 0: none; else the oldest time shards are dropped above it
  // How chunks are written.
  chunk::Codec codec = chunk::Codec::kZstd;
  int zstd_level = 1;                                          // on JSON lines 5.39x; 3: 5.10x, 6: 5.45x at a quarter of the speed, 9: 5.68x at a seventh
  std::uint64_t object_bytes_target = 64 << 20;
  std::uint64_t chunk_raw_bytes_target = 32 << 20;
  std::uint64_t memory_bytes = 256 << 20;                      // of chunk data at once; indexes of the day in work come on top

  // A shard's chunks are merged once it ended this long ago: max_chunk_age plus the time flushing and shipping take.
  std::int64_t shard_settle_ns = 2 * kNanosPerHour + 45 * kNanosPerMinute;
  // Days that are over are merged at once, today's index objects when there are this many.
  std::size_t index_merge_min = 4;
  // Chunk objects that nothing lists: what a compactor left behind is deleted, what an ingester left behind is listed.
  std::int64_t orphan_sweep_interval_ns = 6 * kNanosPerHour;
  std::int64_t orphan_grace_ns = 2 * kNanosPerHour;
  std::int64_t adopt_grace_ns = 3 * kNanosPerHour;
  // How long a deleted object's name is remembered, in case an ingester lists it again.
  std::int64_t tombstone_ns = 24 * kNanosPerHour;
  std::int64_t lease_ns = 5 * kNanosPerMinute;
  // A delete request waits until every ingester has written what it held when the request came. With `flush` that is done
  // by calling it, so set it only where no other process ingests; without, a request must be this old.
  std::int64_t delete_horizon_ns = 3 * kNanosPerHour;

  std::string instance;                                        // who holds a lease, for people; a random suffix is added
  std::function<Result<void>(const std::string& tenant)> flush;   // ingesters of this process: write and ship everything
  std::function<void()> committed;                             // after each change of an index; e.g. Store::refresh
};

// What one run did.
struct RunReport {
  std::uint64_t tenants = 0, tenants_locked = 0;     // locked: another compactor works on them
  std::uint64_t days = 0, days_opened = 0;           // days without news are not opened
  std::uint64_t commits = 0, commits_lost = 0;
  std::uint64_t indexes_merged = 0, indexes_deleted = 0;
  std::uint64_t objects_in = 0, objects_out = 0, objects_deleted = 0;
  std::uint64_t chunks_in = 0, chunks_out = 0, chunks_copied = 0;
  std::uint64_t bytes_in = 0, bytes_out = 0;
  std::uint64_t rows_in = 0, rows_out = 0, rows_duplicate = 0;
  std::uint64_t chunks_expired = 0;                  // index entries
  std::uint64_t orphans_deleted = 0, objects_adopted = 0;
  std::uint64_t days_removed = 0;
  std::uint64_t shards_dropped = 0;                  // to keep the bucket below its size
  std::uint64_t lines_deleted = 0, deletes_processed = 0;
  std::vector<std::string> errors;                   // of days and tenants; the others were worked on all the same
};

// Thread-safe, but for start() and stop().
class Compactor {
 public:
  // `deletes` may be null: no delete requests. Everything passed by reference outlives the compactor.
  Compactor(objstore::ObjectStore& objects, DeleteStore* deletes, const config::LimitsProvider& limits, exec::Pool& pool, obs::Registry& registry,
            const Clock& clock, Random& random, CompactorOptions options);
  ~Compactor();

  // Everything that is due, once. One run at a time. kCancelled, or an error that kept it from seeing any tenant; what failed
  // for single tenants or days is in the report.
  Result<RunReport> run_once(const CallContext& ctx);

  // Runs every compaction_interval on a thread of its own, the first time after a tenth of it. stop() cancels and waits.
  void start();
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skald::compactor
