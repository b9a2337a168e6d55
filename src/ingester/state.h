// What an ingester holds, and who guards it. docs/design/ingester-memory.md has the picture.
//
// Lock order: shard → block or queue. Nothing that blocks runs under a shard's lock: no encoding, no I/O, no waiting.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "ingester/head.h"
#include "ingester/metrics.h"
#include "skald/ingester/ingester.h"
#include "skald/wal/replay.h"
#include "skald/wal/writer.h"

namespace skald::ingester {

inline constexpr std::uint64_t kIngesterSourceBit = 1ULL << 63;   // source ids of ours never meet the store's
inline constexpr std::uint64_t kGroupStreamBytesMax = 64 << 10;   // below: a stream's rows go into a group chunk
inline constexpr std::uint64_t kGroupChunkBytesTarget = 4 << 20;  // raw
inline constexpr std::uint64_t kChunkRawBytesMax = 12 << 20;       // cut at; replay and haste may exceed it, up to
inline constexpr std::uint64_t kChunkRawBytesSplit = 48 << 20;     // where a stream's rows go into several chunks
inline constexpr std::uint64_t kObjectBytesMin = 8 << 20;         // full chunks wait for company up to here, or …
inline constexpr std::uint64_t kPortionBytesMin = 16 << 20;        // of a flush, decoded and built
inline constexpr std::int64_t kObjectWaitNs = 15 * kNanosPerMinute;

// A push counts itself in before it looks at `closed`; who closes looks at `running` afterwards. So one of them sees the other.
struct Tail {
  std::string tenant;
  std::vector<model::Matcher> matchers;
  rpc::TailSink sink;
  std::atomic<bool> closed{false};
  std::atomic<std::uint32_t> running{0};
};
using TailList = std::vector<std::shared_ptr<Tail>>;

struct Tenant {
  std::string name;
  std::uint64_t hash = 0;
  std::atomic<std::uint64_t> streams{0};
  std::atomic<std::uint64_t> tails{0};
  NameTablePtr names = std::make_shared<NameTable>();
  obs::Gauge* memory_streams = nullptr;
  obs::Counter* streams_created = nullptr;
  obs::Counter* streams_removed = nullptr;
};

// Rows that no longer change: first as slabs, later encoded. Shared with readers.
struct MemBlock {
  std::uint64_t source_id = 0;
  std::uint32_t rows = 0;          // records; duplicates inside not counted off
  std::uint64_t raw_bytes = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  bool ascending = true;
  std::uint64_t content_id = 0;    // of the records, until they are encoded

  struct Piece {                   // rows of one time shard
    std::int64_t shard_start_ns = 0;
    chunk::EncodedBlockPtr encoded;
    std::uint32_t rows = 0;
    std::uint64_t raw_bytes = 0;
    std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  };
  mutable std::mutex mutex;        // guards all below
  HeadView view;                   // chain is null once encoded
  std::shared_ptr<const HeadBlock> decoded;  // of an unsorted view: readers share one decoding
  std::vector<Piece> pieces;
  std::uint64_t memory_bytes = 0;            // as counted in State::memory_bytes
  bool dropped = false;            // durable elsewhere: a late encoding must not be counted
};
using MemBlockPtr = std::shared_ptr<MemBlock>;

// All that a stream held when it was cut; leaves memory once every time shard of it is durable and in the store.
struct CutChunk {
  Tenant* tenant = nullptr;
  model::LabelsPtr labels;
  std::uint64_t stream_id = 0;
  std::vector<MemBlockPtr> blocks;
  std::uint64_t first_ordinal = 0, last_ordinal = 0;
  std::uint64_t rows = 0, raw_bytes = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::int64_t begun_ns = 0, cut_ns = 0;    // monotonic: first append, cut
  const char* reason = "";                  // full, idle, max_age, forced
  std::set<std::int64_t> shards_done;       // by the flusher only
  bool durable = false;                     // guarded by the shard's lock: elsewhere for good, held for readers at most
};
using CutChunkPtr = std::shared_ptr<CutChunk>;

// What a cut chunk holds of one time shard.
struct ShardPart {
  CutChunkPtr owner;
  std::vector<chunk::EncodedBlockPtr> encoded;                 // blocks as they were encoded, or
  std::vector<std::shared_ptr<const chunk::Columns>> columns;  // merged rows
  std::uint64_t raw_bytes = 0;
  std::size_t chunks_left = 1;   // not yet durable and logged; only the last one's record speaks for the ordinals
};

// Splits a cut chunk by time shard; blocks that are apart in time stay encoded unless rows are wanted, others are decoded
// and merged.
Result<std::map<std::int64_t, ShardPart>> split_by_shard(const CutChunkPtr& cut, bool want_rows, const CallContext& ctx);

// A chunk built from blocks [begin, end) of a part.
struct PartChunk {
  ShardPart* part = nullptr;
  std::size_t begin = 0, end = 0;
};

struct StreamBlocks {
  std::vector<MemBlockPtr> sealed;          // of the chunk in the making
  std::vector<CutChunkPtr> flushing;
  std::uint64_t raw_bytes = 0;              // of sealed
};

// One per open stream; a hundred thousand are normal, so every field is counted.
struct Stream {
  model::LabelsPtr labels;
  Tenant* tenant = nullptr;
  std::uint64_t id = 0;
  ChainRef head;
  std::unique_ptr<StreamBlocks> blocks;     // only when there are any
  std::uint64_t last_hash = 0;              // entry_hash of the latest entry
  std::uint64_t head_sum = 0;               // of the entry_hashes of the head's records
  std::int64_t highest_ts_ns = 0;           // ever accepted
  std::int64_t head_min_ns = 0, head_max_ns = 0;
  std::uint64_t first_ordinal = 0, last_ordinal = 0;  // of head and sealed blocks
  std::uint32_t head_length = 0, head_rows = 0, head_raw = 0;
  std::uint32_t begun_s = 0, appended_s = 0;          // monotonic seconds since the ingester's start: first and latest append
  std::uint32_t rate_ms = 0;                          // when the tokens were counted
  float rate_tokens = 0;                              // bytes
  bool ascending : 1 = true;
  bool any : 1 = false;                               // an entry was ever accepted
  bool rated : 1 = false;

  bool has_open_data() const { return head_rows > 0 || (blocks && !blocks->sealed.empty()); }
  bool has_data() const { return has_open_data() || (blocks && !blocks->flushing.empty()); }
};
// What a stream held at one moment; filled under the shard's lock, turned into slices without it.
struct Held {
  model::LabelsPtr labels;
  std::optional<HeadView> head;
  std::int64_t head_min_ns = 0, head_max_ns = 0;
  std::uint64_t head_raw = 0, head_content_id = 0;
  std::vector<MemBlockPtr> blocks;
  std::uint64_t chunks = 0;
};
// What heads with equal records have in common in whichever ingester.
std::uint64_t content_id_of(std::uint64_t sum, std::uint32_t rows);
// As far as it overlaps the request's times. Under the shard's lock.
Held hold(const Stream& stream, const rpc::SelectRequest& request);

static_assert(sizeof(Stream) <= 144, "the budget per open stream is ~1 KiB, text and labels included");

// Two of 64 bits for one fact about a stream (its tenant, or a label with its value); a stream's signature has the bits
// of all its facts. A selector's equality matchers leave out most streams by it.
std::uint64_t signature_bits(std::string_view name, std::string_view value);

// Streams by hash of tenant and labels: open addressing, linear probing.
class StreamTable {
 public:
  Stream* find(std::uint64_t hash, const Tenant* tenant, const model::InternedLabels& labels) const;
  void insert(std::uint64_t hash, std::uint64_t signature, std::unique_ptr<Stream> stream);
  // Streams whose signature has all of these bits; passing over the others touches neither record nor labels.
  template <class F>  // void(Stream&)
  void for_each(F f, std::uint64_t signature_bits = 0) const {
    for (const auto& slot : slots_)
      if (slot.stream && (slot.signature & signature_bits) == signature_bits) f(*slot.stream);
  }
  template <class F>  // bool(Stream&): whether to remove it
  void remove_if(F f);
  std::size_t size() const { return size_; }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint64_t signature = 0;
    std::unique_ptr<Stream> stream;
  };
  void rehash(std::size_t slots);
  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

template <class F>
void StreamTable::remove_if(F f) {
  bool removed = false;
  for (auto& slot : slots_) {
    if (slot.stream && f(*slot.stream)) {
      slot.stream.reset();
      --size_;
      removed = true;
    }
  }
  if (removed) rehash(size_ * 2 < slots_.size() / 4 ? slots_.size() / 2 : slots_.size());  // closes the gaps of probing
}

struct Shard {
  mutable std::mutex mutex;  // guards streams and all they own
  StreamTable streams;
};
inline constexpr std::size_t kShards = 128;

// Lets a flusher wait for the pushes that are under way right now, without ever holding up new ones (a reader-writer lock
// would make one of the two wait for long). Two counters, flipped twice, as in sleepable RCU: McKenney, "Sleepable RCU", 2006.
class PushGate {
 public:
  class Pass {
   public:
    explicit Pass(PushGate& gate) : count_(gate.inside_[gate.phase_.load() & 1]) { count_.fetch_add(1); }
    ~Pass() { count_.fetch_sub(1); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    std::atomic<std::uint64_t>& count_;
  };
  // Returns once every Pass that existed when it was called is gone.
  void wait_for_passes() {
    std::lock_guard lock(mutex_);
    for (int flip = 0; flip < 2; ++flip) {
      const unsigned old = phase_.fetch_add(1) & 1;
      while (inside_[old].load() != 0) std::this_thread::yield();
    }
  }

 private:
  std::mutex mutex_;  // one waiter at a time
  std::atomic<unsigned> phase_{0};
  std::atomic<std::uint64_t> inside_[2] = {};
};

// Flush records of one object whose index entries have not shipped.
struct PendingFlush {
  Bytes records;               // as the log has them: wal::encode_flush_records; empty without a log
  std::uint64_t last_flush_id = 0;
  std::uint64_t sequence = 0;  // newest WAL segment that holds them
};

struct Ingester::State {
  State(IngesterOptions ingester_options, io::FileSystem& file_system, objstore::ObjectStore& object_store, store::Store& long_term,
        exec::Pool& worker_pool, obs::Registry& metrics_registry, const Clock& wall_clock);

  // push.cc
  Tenant& tenant_of(const std::string& name);
  Tenant* find_tenant(const std::string& name) const;
  Shard& shard_of(std::uint64_t hash) { return shards[hash >> 57]; }
  static std::uint64_t stream_hash(const Tenant& tenant, const model::InternedLabels& labels);
  Stream& create_stream(Shard& shard, std::uint64_t hash, Tenant& tenant, const model::LabelsPtr& labels);
  std::optional<Error> why_not_now() const;
  void push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done);
  // Under the shard's lock. Blocks sealed on the way are added to `sealed`.
  void append_entry(Stream& stream, const model::PushEntry& entry, const model::LabelView* metadata, std::uint64_t hash, NameCache& names,
                    std::vector<MemBlockPtr>& sealed);
  void note_ordinal(Stream& stream, std::uint64_t ordinal);
  MemBlockPtr seal_head(Stream& stream);                 // head_rows > 0
  bool is_full(const Stream& stream) const;
  void encode_later(std::vector<MemBlockPtr> blocks);
  void encode(MemBlock& block);
  void notify_tails(const model::PushBatch& batch, const std::vector<std::uint8_t>& fresh);
  void replay_push(const model::PushBatch& batch, std::span<const std::uint64_t> ordinals);

  // select.cc
  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request);
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request);
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request);
  template <class F>
  void for_each_match(const rpc::SelectRequest& request, Tenant& tenant, F f);

  // flush.cc
  CutChunkPtr cut(Stream& stream, const char* reason);   // under the shard's lock; null when there is nothing
  void cut_ripe(bool everything);
  void cut_for_memory();
  void cut_for_wal();
  Result<void> flush_queued(bool everything, const CallContext& ctx);
  Result<void> flush_tenant(Tenant& tenant, const std::vector<CutChunkPtr>& chunks, const CallContext& ctx);
  Result<void> flush_portion(Tenant& tenant, std::span<const CutChunkPtr> chunks, const CallContext& ctx);
  Result<void> write_shard(Tenant& tenant, std::int64_t shard_start_ns, std::vector<ShardPart>& parts, const CallContext& ctx);
  Result<void> put_object(Tenant& tenant, std::int64_t shard_start_ns, chunk::ObjectBuilder& builder,
                          const std::vector<std::vector<ShardPart*>>& owners, const CallContext& ctx);
  void drop(const CutChunkPtr& chunk, bool flushed);

  // hand_over.cc
  class Sender;
  Result<HandOver> hand_over(const CallContext& ctx, const Successor& successor, const HandOverOptions& how);
  // Per entry of a handed-over batch: whether memory holds it already.
  std::vector<std::uint8_t> find_known(Tenant& tenant, const model::PushBatch& batch);

  // lifecycle.cc
  Result<RecoveryReport> start();
  void end_pushes();                                     // once it returns, memory grows no more and the loop is gone
  void stop();
  void run_loop();
  void tick();
  Result<void> ship(const CallContext& ctx);
  Result<void> trim();
  Result<void> flush_all(const CallContext& ctx);
  std::uint64_t min_unflushed_ordinal();
  void check_disk();
  void remove_idle_streams();

  const IngesterOptions options;
  io::FileSystem& fs;
  objstore::ObjectStore& objects;
  store::Store& store;
  exec::Pool& pool;
  obs::Registry& registry;
  const Clock& clock;
  Metrics metrics;
  const std::int64_t epoch_ns;                 // monotonic time of the start; seconds in streams count from here
  const std::uint64_t writer_hash;             // names us in chunks
  std::uint64_t soft_bytes = 0, hard_bytes = 0;

  std::array<Shard, kShards> shards;
  mutable std::shared_mutex tenants_mutex;     // guards tenants; entries are never removed
  std::unordered_map<std::string, std::unique_ptr<Tenant>> tenants;

  std::atomic<std::uint64_t> ordinals{1};
  std::atomic<std::uint64_t> stream_ids{1};
  std::atomic<std::uint64_t> source_ids{1};
  std::atomic<std::int64_t> memory_bytes{0};
  std::atomic<bool> running{false}, stopping{false}, prepare_shutdown{false}, disk_low{false}, wal_full{false};

  // Pushes hold a pass between the first append and the hand-over to the log. Whoever has waited for the passes knows
  // that the frames of everything cut before are queued already, hence in no later segment than what is logged next.
  PushGate push_gate;

  std::mutex queue_mutex;                      // guards queue
  std::vector<CutChunkPtr> queue;              // cut, not durable

  std::mutex flush_mutex;                      // one flush, shipping or trimming at a time; guards pending
  std::vector<PendingFlush> pending;           // in the store, index not shipped
  std::int64_t last_ship_ns = 0;
  std::int64_t flush_backoff_ns = 0, flush_not_before_ns = 0;

  std::unique_ptr<wal::Writer> wal;            // null when disabled; set before `running`

  mutable std::mutex tails_mutex;              // guards the pointer; the list is replaced, never changed
  std::shared_ptr<const TailList> tails = std::make_shared<const TailList>();

  std::mutex stop_mutex;                       // guards stopped; held while the pushes end and while stopping
  bool stopped = false;

  std::mutex loop_mutex;                       // guards all below
  std::condition_variable loop_wake;
  bool loop_stop = false, loop_hurry = false;
  std::uint64_t tasks = 0;                     // encodings on the pool
  std::condition_variable tasks_done;
  std::thread loop;

  std::uint32_t seconds_now() const { return static_cast<std::uint32_t>((clock.monotonic_ns() - epoch_ns) / kNanosPerSecond) + 1; }
  void hurry();
};

}  // namespace skald::ingester
