// Start, replay, the background loop, index shipping, log trimming, stop.
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "ingester/state.h"
#include "skald/codec/hash.h"
#include "skald/obs/log.h"

namespace skald::ingester {
namespace {

constexpr std::int64_t kDiskCheckNs = 5 * kNanosPerSecond;
constexpr std::size_t kRecordsPerPending = 4096;   // flush records taken together after a replay
constexpr std::int64_t kBackoffMinNs = kNanosPerSecond, kBackoffMaxNs = kNanosPerMinute;

// What this process may use: the cgroup's limit, else the machine's memory.
std::uint64_t memory_of_machine() {
  const auto pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGE_SIZE);
  std::uint64_t bytes = pages > 0 && page > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page) : 4ULL << 30;
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream in(path);
    std::uint64_t limit = 0;
    if (in >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

}  // namespace

Ingester::State::State(IngesterOptions ingester_options, io::FileSystem& file_system, objstore::ObjectStore& object_store, store::Store& long_term,
                       exec::Pool& worker_pool, obs::Registry& metrics_registry, const Clock& wall_clock)
    : options(std::move(ingester_options)), fs(file_system), objects(object_store), store(long_term), pool(worker_pool),
      registry(metrics_registry), clock(wall_clock), metrics(metrics_registry), epoch_ns(wall_clock.monotonic_ns()),
      writer_hash(codec::xxh3_64(options.id)) {
  soft_bytes = options.memory_soft_bytes != 0 ? options.memory_soft_bytes : memory_of_machine() / 10 * 6;
  hard_bytes = soft_bytes / 3 * 4;  // 80 % of the machine when soft is 60 %
}

namespace {

class Recovery final : public wal::ReplaySink {
 public:
  explicit Recovery(std::function<void(wal::FlushRecord, std::uint64_t)> pending,
                    std::function<void(const model::PushBatch&, std::span<const std::uint64_t>)> push)
      : pending_(std::move(pending)), push_(std::move(push)) {}
  void on_pending(wal::FlushRecord record, std::uint64_t sequence) override { pending_(std::move(record), sequence); }
  void on_push(const model::PushBatch& batch, std::span<const std::uint64_t> ordinals, std::int64_t) override { push_(batch, ordinals); }

 private:
  const std::function<void(wal::FlushRecord, std::uint64_t)> pending_;
  const std::function<void(const model::PushBatch&, std::span<const std::uint64_t>)> push_;
};

}  // namespace

Result<RecoveryReport> Ingester::State::start() {
  RecoveryReport report;
  const std::int64_t begun = clock.monotonic_ns();
  if (!options.wal_directory.empty()) {
    metrics.wal_replay_active.set(1);
    metrics.limiter_enabled.set(0);
    std::map<std::string, std::vector<index::IndexEntry>> entries;
    std::map<std::uint64_t, std::vector<wal::FlushRecord>> records;   // by segment
    const auto keep_pending = [&](std::uint64_t sequence) {
      std::vector<wal::FlushRecord>& of_segment = records[sequence];
      if (of_segment.empty()) return;
      std::uint64_t last_flush_id = 0;
      for (const auto& record : of_segment) last_flush_id = std::max(last_flush_id, record.flush_id);
      pending.push_back({wal::encode_flush_records(of_segment), last_flush_id, sequence});
      for (auto& record : of_segment) entries[record.tenant].push_back(std::move(record.entry));
      of_segment.clear();
    };
    Recovery sink(
        [&](wal::FlushRecord record, std::uint64_t sequence) {
          records[sequence].push_back(std::move(record));
          if (records[sequence].size() >= kRecordsPerPending) keep_pending(sequence);
        },
        [&](const model::PushBatch& batch, std::span<const std::uint64_t> replayed) { replay_push(batch, replayed); });
    auto replayed = wal::replay(fs, options.wal_directory, pool, sink);
    metrics.wal_replay_active.set(0);
    if (!replayed.ok()) return replayed.error().with_prefix("write-ahead log " + options.wal_directory);
    for (const auto& [sequence, rest] : records) keep_pending(sequence);
    for (auto& [tenant, list] : entries) store.add_pending(tenant, std::move(list));
    ordinals.store(std::max<std::uint64_t>(1, replayed->max_ordinal + 1));
    report.frames = replayed->frames;
    report.entries = replayed->entries;
    report.segments = replayed->segments.size();
    report.torn_tail_bytes = replayed->torn_tail_bytes;
    report.corrupt_frames = replayed->corrupt_frames;
    {
      std::shared_lock lock(tenants_mutex);
      for (const auto& [name, tenant] : tenants) report.streams += tenant->streams.load();
    }
    metrics.wal_corruptions.with({"segment"}).add(static_cast<double>(report.corrupt_frames + (report.torn_tail_bytes > 0 ? 1 : 0)));
    metrics.wal_recovered_entries.add(static_cast<double>(report.entries));
    metrics.wal_recovered_streams.add(static_cast<double>(report.streams));
    wal::WriterOptions wal_options;
    wal_options.directory = options.wal_directory;
    wal_options.segment_bytes = options.wal_segment_bytes;
    wal_options.sync_each_group = options.durability == Durability::kAlways;
    wal = std::make_unique<wal::Writer>(fs, std::move(wal_options), std::move(replayed->segments), ordinals, registry, clock);
    SKALD_TRY_VOID(fs.make_directories(options.wal_directory));
    check_disk();
    for (Shard& shard : shards) {
      std::lock_guard lock(shard.mutex);
      shard.streams.for_each([&](Stream& stream) {
        if (is_full(stream)) cut(stream, "full");
      });
    }
  }
  report.duration_ns = clock.monotonic_ns() - begun;
  metrics.wal_replay_duration.set(static_cast<double>(report.duration_ns) / static_cast<double>(kNanosPerSecond));
  metrics.limiter_enabled.set(1);
  last_ship_ns = clock.monotonic_ns();
  running.store(true, std::memory_order_release);
  loop = std::thread([this] { run_loop(); });
  return report;
}

void Ingester::State::end_pushes() {
  std::lock_guard stop_lock(stop_mutex);
  if (stopping.exchange(true)) return;
  {
    std::lock_guard lock(loop_mutex);
    loop_stop = true;
    loop_wake.notify_all();
  }
  if (loop.joinable()) loop.join();
  push_gate.wait_for_passes();  // pushes under way are in the log's queue
}

void Ingester::State::stop() {
  if (!running.load()) return;
  end_pushes();
  std::lock_guard stop_lock(stop_mutex);
  if (std::exchange(stopped, true)) return;
  if (options.flush_on_shutdown || prepare_shutdown.load()) {
    if (auto flushed = flush_all(CallContext{}); !flushed.ok())
      log::error("flush on shutdown failed; the write-ahead log keeps what is not flushed", {{"err", flushed.error().message()}});
  }
  {
    std::unique_lock lock(loop_mutex);
    tasks_done.wait(lock, [&] { return tasks == 0; });
  }
  if (wal)
    if (auto closed = wal->close(); !closed.ok()) log::error("closing the write-ahead log failed", {{"err", closed.error().message()}});
}

void Ingester::State::hurry() {
  std::lock_guard lock(loop_mutex);
  if (loop_hurry) return;
  loop_hurry = true;
  loop_wake.notify_all();
}

void Ingester::State::run_loop() {
  const std::int64_t step_ns = std::min(options.flush_check_ns, kDiskCheckNs);
  std::int64_t last_check_ns = clock.monotonic_ns(), last_disk_ns = last_check_ns;
  while (true) {
    bool hurried = false;
    {
      std::unique_lock lock(loop_mutex);
      loop_wake.wait_for(lock, std::chrono::nanoseconds(step_ns), [&] { return loop_stop || loop_hurry; });
      if (loop_stop) return;
      hurried = std::exchange(loop_hurry, false);
    }
    if (!hurried || clock.monotonic_ns() - last_disk_ns >= kDiskCheckNs) {
      last_disk_ns = clock.monotonic_ns();
      check_disk();
    }
    const bool due = clock.monotonic_ns() - last_check_ns >= options.flush_check_ns;
    if (!hurried && !due) continue;
    if (due) {
      last_check_ns = clock.monotonic_ns();
      cut_ripe(false);
      remove_idle_streams();
    }
    tick();
  }
}

void Ingester::State::tick() {
  if (clock.monotonic_ns() < flush_not_before_ns) return;
  cut_for_memory();
  cut_for_wal();
  CallContext ctx;
  ctx.clock = &clock;
  auto done = flush_queued(false, ctx);
  if (done.ok() && (clock.monotonic_ns() - last_ship_ns >= options.index_ship_ns || (wal && wal->total_bytes() > options.wal_bytes_max)))
    done = ship(ctx);
  if (done.ok()) done = trim();
  if (done.ok()) {
    flush_backoff_ns = flush_not_before_ns = 0;
    return;
  }
  flush_backoff_ns = std::clamp(flush_backoff_ns * 2, kBackoffMinNs, kBackoffMaxNs);
  flush_not_before_ns = clock.monotonic_ns() + flush_backoff_ns;
}

Result<void> Ingester::State::ship(const CallContext& ctx) {
  std::lock_guard lock(flush_mutex);
  last_ship_ns = clock.monotonic_ns();
  if (pending.empty()) return {};
  // No entry is added while the lock is held: what is pending now is what ships.
  std::uint64_t up_to = 0;
  for (const auto& flushed : pending) up_to = std::max(up_to, flushed.last_flush_id);
  SKALD_TRY_VOID(store.ship_pending(ctx));
  pending.clear();
  if (wal) {
    SKALD_TRY_VOID(wal->append_shipped(up_to));
  }
  return {};
}

std::uint64_t Ingester::State::min_unflushed_ordinal() {
  std::uint64_t oldest = ordinals.load();
  // Ordinals taken after this line are above `oldest`, whatever stream they go to.
  push_gate.wait_for_passes();
  for (Shard& shard : shards) {
    std::lock_guard lock(shard.mutex);
    shard.streams.for_each([&](Stream& stream) {
      if (stream.first_ordinal != 0 && stream.has_open_data()) oldest = std::min(oldest, stream.first_ordinal);
      if (stream.blocks)
        for (const auto& chunk : stream.blocks->flushing)
          if (!chunk->durable) oldest = std::min(oldest, chunk->first_ordinal);
    });
  }
  return oldest;
}

Result<void> Ingester::State::trim() {
  if (!wal) return {};
  std::lock_guard lock(flush_mutex);
  const auto segments = wal->segments();
  const std::uint64_t oldest = min_unflushed_ordinal();
  std::uint64_t up_to = 0;
  for (const auto& segment : segments) {
    if (!segment.sealed || segment.max_ordinal >= oldest) break;
    up_to = segment.sequence;
  }
  if (up_to > 0) {
    // Index entries that have not shipped move on to the open segment.
    for (auto& flushed : pending) {
      if (flushed.sequence > up_to) continue;
      SKALD_TRY(flushed.sequence, wal->append_flush(flushed.records));
    }
    SKALD_TRY_VOID(wal->remove_segments(up_to));
  }
  const std::uint64_t total = wal->total_bytes();
  metrics.wal_bytes_in_use.set(static_cast<double>(total));
  wal_full.store(total > options.wal_bytes_max + options.wal_bytes_max / 2, std::memory_order_relaxed);
  return {};
}

Result<void> Ingester::State::flush_all(const CallContext& ctx) {
  cut_ripe(true);
  SKALD_TRY_VOID(flush_queued(true, ctx));
  SKALD_TRY_VOID(ship(ctx));
  if (wal) SKALD_TRY_VOID(wal->roll());
  return trim();
}

void Ingester::State::remove_idle_streams() {
  const std::uint32_t now_s = seconds_now();
  const auto idle_s = static_cast<std::uint32_t>(options.chunk_idle_ns / kNanosPerSecond);
  for (Shard& shard : shards) {
    std::lock_guard lock(shard.mutex);
    shard.streams.remove_if([&](Stream& stream) {
      if (stream.has_data() || now_s - stream.appended_s < idle_s) return false;
      stream.tenant->streams.fetch_sub(1, std::memory_order_relaxed);
      stream.tenant->memory_streams->add(-1);
      stream.tenant->streams_removed->add(1);
      metrics.labels_bytes.add(-static_cast<double>(stream.labels->text.size()));
      return true;
    });
  }
}

void Ingester::State::check_disk() {
  if (!wal) return;
  const auto space = fs.disk_space(options.wal_directory);
  if (!space.ok() || space->total_bytes == 0) return;
  const std::uint64_t reserve = objstore::reserve_of(options.disk_reserve, space->total_bytes);
  const bool low = space->free_bytes < reserve;
  if (low != disk_low.exchange(low, std::memory_order_relaxed)) {
    if (low)
      log::error("free disk space is below the reserve; pushes are refused", {{"free_bytes", space->free_bytes}, {"reserve_bytes", reserve}});
    else
      log::info("free disk space is above the reserve again; pushes are accepted", {{"free_bytes", space->free_bytes}});
  }
  if (low) metrics.wal_disk_full.add(1);
  metrics.wal_disk_usage.set(1.0 - static_cast<double>(space->free_bytes) / static_cast<double>(space->total_bytes));
  const std::uint64_t total = wal->total_bytes();
  metrics.wal_bytes_in_use.set(static_cast<double>(total));
  wal_full.store(total > options.wal_bytes_max + options.wal_bytes_max / 2, std::memory_order_relaxed);
  if (total > options.wal_bytes_max) hurry();
}

}  // namespace skald::ingester
