// The ingester: keeps acknowledged entries in memory and in the WAL until they are durable in the bucket and visible
// through the store. Memory layout: docs/design/ingester-memory.md; promises: docs/design/durability.md.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/chunk/builder.h"
#include "skald/exec/pool.h"
#include "skald/io/file_system.h"
#include "skald/objstore/object_store.h"
#include "skald/objstore/space.h"
#include "skald/obs/metrics.h"
#include "skald/rpc/ingester_client.h"
#include "skald/store/store.h"

namespace skald::ingester {

enum class Durability { kAlways /* ack after a group fdatasync */, kInterval /* ack when written, sync every second */ };

// Per-tenant limits, asked for at each push; from config::Limits in production.
struct TenantLimits {
  std::uint64_t max_streams = 5000;                     // 0: unlimited; max_global_streams_per_user (one ingester here)
  std::uint64_t per_stream_rate_bytes = 3 << 20;        // per second; 0: unlimited
  std::uint64_t per_stream_burst_bytes = 15 << 20;
  bool unordered_writes = true;
};

struct IngesterOptions {
  std::string id = "ingester-0";
  std::string wal_directory;                            // empty: WAL disabled
  Durability durability = Durability::kInterval;
  std::uint64_t wal_segment_bytes = 256ULL << 20;
  std::uint64_t wal_bytes_max = 8ULL << 30;             // above: oldest streams are flushed until segments can go
  bool flush_on_shutdown = false;                       // ingester.wal.flush_on_shutdown
  chunk::Codec chunk_encoding = chunk::Codec::kZstd;
  std::uint64_t chunk_target_bytes = 1'572'864;         // compressed
  std::uint64_t chunk_block_bytes = 1 << 20;            // raw
  std::int64_t chunk_idle_ns = 30 * kNanosPerMinute;
  std::int64_t max_chunk_age_ns = 2 * kNanosPerHour;
  std::int64_t flush_check_ns = 30 * kNanosPerSecond;
  std::int64_t index_ship_ns = 10 * kNanosPerMinute;
  std::uint64_t object_target_bytes = 64ULL << 20;
  objstore::SpaceReserve disk_reserve;                  // of the log's volume: below it pushes are refused
  std::uint64_t memory_soft_bytes = 0;                  // heads and blocks; 0: 60 % of the machine's or cgroup's memory
  std::function<TenantLimits(const std::string& tenant)> limits;
};

struct RecoveryReport {
  std::uint64_t frames = 0, entries = 0, streams = 0, segments = 0;
  std::uint64_t torn_tail_bytes = 0, corrupt_frames = 0;
  std::int64_t duration_ns = 0;
};

// Who takes a stream over from an ingester that leaves, decided by the ring; null: nobody does. Called from one thread.
using Successor = std::function<rpc::IngesterClient*(const std::string& tenant, const model::InternedLabels& labels)>;

struct HandOverOptions {
  std::uint64_t batch_bytes = 2 << 20;                  // of lines and metadata in one push
  std::uint32_t retries = 3;                            // of one push; then its successor is asked no more
  std::int64_t push_timeout_ns = 10 * kNanosPerSecond;
};

struct HandOver {
  std::uint64_t chunks = 0, rows = 0, line_bytes = 0, pushes = 0;   // acknowledged by successors
  std::uint64_t chunks_flushed = 0;                                 // that nobody took: in the bucket now
};

class Ingester final : public rpc::IngesterClient {
 public:
  Ingester(IngesterOptions options, io::FileSystem& fs, objstore::ObjectStore& objects, store::Store& store, exec::Pool& pool,
           obs::Registry& registry, const Clock& clock);
  ~Ingester() override;

  // Replays the WAL (also re-adds index entries not yet shipped to the store), then starts the flush loop.
  Result<RecoveryReport> start();
  // Refuses new pushes (kUnavailable), syncs the WAL, flushes when configured, stops the loop. Rows stay readable until
  // the destructor, also those that are elsewhere by then.
  void stop();
  // Leaves: refuses new pushes, gives all rows that are not in the bucket to successors, flushes what nobody took, ships
  // the index and empties the WAL. stop() comes next. `ctx` bounds the pushes, not the flush. An error means that
  // something is still in the WAL only; successors may hold rows nevertheless.
  Result<HandOver> hand_over(const CallContext& ctx, const Successor& successor, const HandOverOptions& options = {});

  void push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) override;
  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::shared_ptr<void>> tail(const CallContext& ctx, std::vector<model::Matcher> matchers, rpc::TailSink sink) override;

  // POST /flush: cuts and flushes everything, ships the index, trims the WAL. Blocks until done.
  Result<void> flush_all(const CallContext& ctx);
  // /ingester/prepare_shutdown: flush on shutdown and leave for good. GET/POST/DELETE.
  void set_prepare_shutdown(bool on);
  bool prepare_shutdown() const;
  bool ready() const;
  std::uint64_t stream_count(const std::string& tenant) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skald::ingester
