#include "skald/compactor/compactor.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "compactor/day_run.h"
#include "compactor/lease.h"
#include "compactor/size_limit.h"
#include "skald/chunk/object_reader.h"
#include "skald/obs/log.h"

namespace skald::compactor {
namespace {

void add(RunReport& sum, const RunReport& one) {
  sum.days_opened += one.days_opened;
  sum.commits += one.commits;
  sum.commits_lost += one.commits_lost;
  sum.indexes_merged += one.indexes_merged;
  sum.indexes_deleted += one.indexes_deleted;
  sum.objects_in += one.objects_in;
  sum.objects_out += one.objects_out;
  sum.objects_deleted += one.objects_deleted;
  sum.chunks_in += one.chunks_in;
  sum.chunks_out += one.chunks_out;
  sum.chunks_copied += one.chunks_copied;
  sum.bytes_in += one.bytes_in;
  sum.bytes_out += one.bytes_out;
  sum.rows_in += one.rows_in;
  sum.rows_out += one.rows_out;
  sum.rows_duplicate += one.rows_duplicate;
  sum.chunks_expired += one.chunks_expired;
  sum.orphans_deleted += one.orphans_deleted;
  sum.objects_adopted += one.objects_adopted;
  sum.days_removed += one.days_removed;
  sum.lines_deleted += one.lines_deleted;
}

using Requests = std::vector<std::shared_ptr<const DeleteRequest>>;

bool has_day(const DeleteRequest& request, std::int64_t day) { return std::binary_search(request.days_done.begin(), request.days_done.end(), day); }

bool overlaps_day(const DeleteRequest& request, std::int64_t day) {
  constexpr std::int64_t kDaySeconds = 24 * 3600;
  return request.end_s >= day * kDaySeconds && request.start_s < (day + 1) * kDaySeconds;
}

}  // namespace

struct Compactor::State {
  State(objstore::ObjectStore& objects_in, DeleteStore* deletes_in, const config::LimitsProvider& limits_in, exec::Pool& pool_in, obs::Registry& registry,
        const Clock& clock_in, Random& random_in, CompactorOptions options_in)
      : objects(objects_in), deletes(deletes_in), limits(limits_in), pool(pool_in), clock(clock_in), random(random_in), options(std::move(options_in)), metrics(registry),
        leases(objects, options.instance + "-" + Ulid::make(clock.now_ns(), random).to_string(), options.lease_ns) {
    // The registry outlives the request store; this object need not.
    if (deletes != nullptr) deletes->set_received([&received = metrics.requests_received](const std::string& tenant) { received.with({tenant}).add(); });
  }

  struct TenantMemo {
    std::map<std::int64_t, DayMemo> days;
    std::int64_t sweep_ns = INT64_MIN;        // when orphans are to be looked for next
    std::uint64_t skips = 0;                  // runs in a row that found the lease held by another
  };

  // One tenant in one run.
  struct TenantRun {
    std::string name;
    CallContext ctx;
    std::map<std::int64_t, DayListing> days;
    Requests due, processed;
    std::set<std::uint32_t> noted;
    bool apply_retention = false;
    RetentionRules rules;
    std::optional<std::map<std::int64_t, std::vector<index::ObjectRef>>> chunk_objects;
  };

  Result<RunReport> run(const CallContext& outer);
  Result<void> run_tenant(const std::string& tenant, const CallContext& ctx, bool apply_retention, RunReport& report);
  Result<std::map<std::int64_t, DayListing>> list_days(const TenantRun& run);
  Result<std::map<std::int64_t, std::vector<index::ObjectRef>>> list_chunk_objects(const TenantRun& run);
  Result<void> find_requests(TenantRun& run);
  bool day_is_due(const TenantRun& run, std::int64_t day, const DayMemo& memo, const Requests& requests) const;
  void run_days(TenantRun& run, TenantMemo& memo, RunReport& report);
  Result<void> run_one_day(const TenantRun& run, std::int64_t day, DayMemo& memo, DayResult& result);
  Result<void> note_progress(TenantRun& run, RunReport& report);
  Result<void> keep_size(const CallContext& ctx, RunReport& report);
  void fail(RunReport& report, const std::string& what, const Error& error);
  void run_periodically();

  objstore::ObjectStore& objects;
  DeleteStore* const deletes;
  const config::LimitsProvider& limits;
  exec::Pool& pool;
  const Clock& clock;
  Random& random;
  const CompactorOptions options;
  Metrics metrics;
  Leases leases;
  std::mutex run_mutex;                             // one run at a time; guards the memos
  std::map<std::string, TenantMemo> memos;
  std::int64_t retention_applied_ns = INT64_MIN;
  std::mutex report_mutex;                          // days run beside each other
  std::atomic<bool> may_overwrite{false};
  std::atomic<std::int64_t> days_left{0};
  std::map<std::string, std::map<std::int64_t, std::vector<index::AppliedDelete>>> done_deletes;   // by tenant and day, of this run

  std::thread thread;
  std::mutex stop_mutex;                            // guards stopping
  std::condition_variable wake;
  bool stopping = false;
  std::shared_ptr<CancelToken> cancel = std::make_shared<CancelToken>();
};

void Compactor::State::fail(RunReport& report, const std::string& what, const Error& error) {
  log::error("compaction failed", {{"what", what}, {"err", error.message()}});
  const std::lock_guard lock(report_mutex);
  report.errors.push_back(what + ": " + error.message());
}

Result<std::map<std::int64_t, DayListing>> Compactor::State::list_days(const TenantRun& run) {
  SKALD_TRY(const std::vector<objstore::ObjectInfo> found, objstore::list_objects(objects, run.name + "/index/", run.ctx));
  std::map<std::int64_t, DayListing> days;
  for (const objstore::ObjectInfo& object : found) {
    const auto key = index::parse_day_index_key(object.key);
    if (!key.has_value() || key->tenant != run.name) continue;
    DayListing& day = days[key->day];
    day.day = key->day;
    day.ids.push_back(key->id);
  }
  for (auto& [number, day] : days) std::sort(day.ids.begin(), day.ids.end());
  return days;
}

Result<std::map<std::int64_t, std::vector<index::ObjectRef>>> Compactor::State::list_chunk_objects(const TenantRun& run) {
  SKALD_TRY(const std::vector<objstore::ObjectInfo> found, objstore::list_objects(objects, run.name + "/chunks/", run.ctx));
  std::map<std::int64_t, std::vector<index::ObjectRef>> days;
  for (const objstore::ObjectInfo& object : found) {
    const auto key = chunk::parse_object_key(object.key);
    if (!key.ok() || key->tenant != run.name) continue;
    days[index::day_of(key->shard_start_ns)].push_back({.id = key->id, .shard_start_ns = key->shard_start_ns, .length = object.size, .tail_offset = 0});
  }
  return days;
}

// Requests that may be carried out now, those that were, and whose notes are still needed.
Result<void> Compactor::State::find_requests(TenantRun& run) {
  if (deletes == nullptr || !options.retention_enabled) return {};
  const Result<void> loaded = deletes->load(run.ctx, {run.name});
  metrics.load_attempts.with({loaded.ok() ? "success" : "failure"}).add();
  SKALD_TRY_VOID(loaded);
  const bool carried_out = limits.for_tenant(run.name)->deletion_mode == "filter-and-delete";
  const std::int64_t now_ns = clock.now_ns();
  const DeleteRequests requests = deletes->of(run.name);
  for (const auto& request : *requests) {
    if (request->status == DeleteStatus::kProcessed) {
      run.processed.push_back(request);
      continue;
    }
    run.noted.insert(request_number(*request));
    const std::int64_t age_ns = now_ns - request->created_ms * kNanosPerMilli;
    if (!carried_out || age_ns <= deletes->cancel_period_ns() || run.due.size() >= options.delete_batch_size) continue;
    if (!options.flush && age_ns < options.delete_horizon_ns) continue;
    run.due.push_back(request);
  }
  if (!run.due.empty() && options.flush) {
    if (Result<void> flushed = options.flush(run.name); !flushed.ok()) {
      run.due.clear();   // rows may still be on their way
      return flushed.error().with_prefix("flush before deletion");
    }
  }
  return {};
}

bool Compactor::State::day_is_due(const TenantRun& run, std::int64_t day, const DayMemo& memo, const Requests& requests) const {
  const auto listing = run.days.find(day);
  if (run.chunk_objects && run.chunk_objects->contains(day)) return true;
  if (listing == run.days.end()) return false;
  if (!requests.empty() || memo.present != listing->second.ids || memo.due_ns <= clock.now_ns()) return true;
  return run.apply_retention && memo.rules != run.rules.fingerprint();
}

Result<void> Compactor::State::run_one_day(const TenantRun& run, std::int64_t day, DayMemo& memo, DayResult& result) {
  const DayEnvironment env{.objects = objects, .pool = pool, .clock = clock, .random = random, .options = options, .metrics = metrics,
                           .memory_bytes = options.memory_bytes / std::max<std::size_t>(1, options.max_compaction_parallelism), .may_overwrite = may_overwrite.load(),
                           .progress = [this, &run]() -> Result<void> {
                             SKALD_TRY(const bool held, leases.keep(run.ctx, run.name));
                             if (!held) return Error(ErrorCode::kUnavailable, "another compactor took over tenant " + run.name);
                             return {};
                           }};
  DayTask task{.tenant = run.name, .listing = {.day = day, .ids = {}}, .retention = std::nullopt, .deletes = {}, .processed = run.processed, .noted = {},
               .chunk_objects = std::nullopt};
  if (const auto listing = run.days.find(day); listing != run.days.end()) task.listing = listing->second;
  if (run.apply_retention) task.retention = run.rules;
  for (const auto& request : run.due)
    if (overlaps_day(*request, day) && !has_day(*request, day)) task.deletes.push_back(request);
  const DeleteRequests all = deletes == nullptr ? nullptr : deletes->of(run.name);
  if (all != nullptr)
    for (const auto& request : *all)
      if (request->status != DeleteStatus::kProcessed && !has_day(*request, day)) task.noted.insert(request_number(*request));
  if (run.chunk_objects) {
    const auto found = run.chunk_objects->find(day);
    task.chunk_objects = found == run.chunk_objects->end() ? std::vector<index::ObjectRef>() : found->second;
  }
  DayTask again = task;
  Result<void> done = run_day(env, std::move(task), run.ctx, memo, result);
  if (!done.ok() && done.error().code() == ErrorCode::kUnimplemented && !may_overwrite.exchange(true)) {
    log::warn("the object store cannot create objects conditionally; compaction relies on its lease: run one compactor only", {{"err", done.error().message()}});
  }
  if (!done.ok() && done.error().code() == ErrorCode::kUnimplemented && !env.may_overwrite) {
    DayEnvironment overwriting = env;
    overwriting.may_overwrite = true;
    result = {};
    done = run_day(overwriting, std::move(again), run.ctx, memo, result);
  }
  return done;
}

void Compactor::State::run_days(TenantRun& run, TenantMemo& memo, RunReport& report) {
  std::set<std::int64_t> numbers;
  for (const auto& [day, listing] : run.days) numbers.insert(day);
  if (run.chunk_objects)
    for (const auto& [day, listed] : *run.chunk_objects) numbers.insert(day);
  // The newest days are left alone, or only these are worked on, as configured; a delete request goes through them all.
  std::set<std::int64_t> chosen;
  std::int64_t rank = 0;   // 0: the newest
  for (auto day = numbers.rbegin(); day != numbers.rend(); ++day, ++rank) {
    const std::int64_t place = rank - std::max<std::int64_t>(0, options.skip_latest_n_tables);
    if (place >= 0 && (options.tables_to_compact <= 0 || place < options.tables_to_compact)) chosen.insert(*day);
  }

  std::erase_if(memo.days, [&](const auto& known) { return !numbers.contains(known.first); });
  std::vector<std::pair<std::int64_t, DayMemo*>> due;
  for (const std::int64_t day : numbers) {
    ++report.days;
    Requests requests;
    for (const auto& request : run.due)
      if (overlaps_day(*request, day) && !has_day(*request, day)) requests.push_back(request);
    DayMemo& day_memo = memo.days[day];
    if (!chosen.contains(day) && requests.empty()) continue;
    if (day_is_due(run, day, day_memo, requests)) due.emplace_back(day, &day_memo);
  }
  days_left = static_cast<std::int64_t>(due.size());
  metrics.days_left.set(static_cast<double>(due.size()));
  std::atomic<std::size_t> next{0};
  std::atomic<bool> unsettled{false};
  std::atomic<std::int64_t> next_sweep_ns{INT64_MAX};
  const auto work = [&] {
    for (std::size_t i = next++; i < due.size(); i = next++) {
      const auto& [day, day_memo] = due[i];
      if (!run.ctx.check().ok()) return;
      const std::int64_t begun_ns = clock.monotonic_ns();
      DayResult result;
      const Result<void> done = run_one_day(run, day, *day_memo, result);
      metrics.table_seconds.with({"index_" + std::to_string(day), done.ok() ? "success" : "failure"}).observe(static_cast<double>(clock.monotonic_ns() - begun_ns) / 1e9);
      metrics.days_left.set(static_cast<double>(--days_left));
      {
        const std::lock_guard lock(report_mutex);
        next_sweep_ns = std::min(next_sweep_ns.load(), result.next_sweep_ns);
        add(report, result.report);
        if (done.ok() && !result.lost) done_deletes[run.name][day] = result.deletes;
      }
      if (!done.ok()) {
        day_memo->due_ns = INT64_MIN;
        unsettled = true;
        if (!run.due.empty()) metrics.delete_failures.add();
        fail(report, "tenant " + run.name + ", day " + std::to_string(day), done.error());
      } else if (result.lost) {
        day_memo->due_ns = INT64_MIN;
      }
    }
  };
  const std::size_t threads = std::min(std::max<std::size_t>(1, options.max_compaction_parallelism), std::max<std::size_t>(1, due.size()));
  std::vector<std::thread> helpers;
  for (std::size_t i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  // What failed may have left objects behind; some may have been too young to be judged.
  if (unsettled) next_sweep_ns = std::min(next_sweep_ns.load(), clock.now_ns() + options.orphan_grace_ns);
  memo.sweep_ns = std::min(memo.sweep_ns, next_sweep_ns.load());
}

// What was done in this run for each request goes into the request's own object.
Result<void> Compactor::State::note_progress(TenantRun& run, RunReport& report) {
  const auto& done = done_deletes[run.name];
  for (const auto& request : run.due) {
    DeleteRequest updated = *request;
    std::uint32_t days = 0;
    for (const auto& [day, listing] : run.days) days += overlaps_day(*request, day) ? 1 : 0;
    for (const auto& [day, notes] : done) {
      const auto note = std::find_if(notes.begin(), notes.end(), [&](const auto& one) { return one.request == request_number(*request); });
      if (note == notes.end() || has_day(updated, day)) continue;
      updated.days_done.insert(std::lower_bound(updated.days_done.begin(), updated.days_done.end(), day), day);
      updated.lines_removed += note->lines;
      updated.bytes_removed += note->bytes;
    }
    const bool complete = std::all_of(run.days.begin(), run.days.end(), [&](const auto& day) { return !overlaps_day(*request, day.first) || has_day(updated, day.first); });
    updated.days_total = std::max<std::uint32_t>(days, 1);
    if (complete) {
      updated.status = DeleteStatus::kProcessed;
      updated.finished_ms = clock.now_ns() / kNanosPerMilli;
      updated.days_done.clear();
      updated.days_total = 0;
    }
    if (Result<void> saved = deletes->save(run.ctx, updated); !saved.ok()) {
      if (saved.error().code() == ErrorCode::kNotFound) continue;   // cancelled by force
      return saved;
    }
    if (!complete) continue;
    ++report.deletes_processed;
    metrics.requests_processed.with({run.name}).add();
    log::info("delete request carried out", {{"tenant", run.name}, {"request", updated.id}, {"query", updated.query}, {"lines", updated.lines_removed}, {"bytes", updated.bytes_removed}});
  }
  return {};
}

Result<void> Compactor::State::run_tenant(const std::string& tenant, const CallContext& ctx, bool apply_retention, RunReport& report) {
  TenantRun run{.name = tenant, .ctx = ctx, .days = {}, .due = {}, .processed = {}, .noted = {}, .apply_retention = apply_retention, .rules = {}, .chunk_objects = std::nullopt};
  run.ctx.tenant = tenant;
  TenantMemo& memo = memos[tenant];
  SKALD_TRY(const bool held, leases.hold(run.ctx, tenant));
  memo.skips = held ? 0 : memo.skips + 1;
  metrics.locked_tables.with({tenant}).set(static_cast<double>(memo.skips));
  if (!held) {
    ++report.tenants_locked;
    return {};
  }
  if (Result<void> found = find_requests(run); !found.ok()) fail(report, "tenant " + tenant + ": delete requests", found.error());
  if (apply_retention) run.rules = RetentionRules::make(tenant, *limits.for_tenant(tenant));
  // Chunk objects before indexes: whatever an index lists is then known when something seems to be listed nowhere.
  const std::int64_t now_ns = clock.now_ns();
  const bool sweep = now_ns >= memo.sweep_ns;
  if (sweep) { SKALD_TRY(run.chunk_objects, list_chunk_objects(run)); }
  SKALD_TRY(run.days, list_days(run));
  if (sweep) memo.sweep_ns = now_ns + options.orphan_sweep_interval_ns;
  run_days(run, memo, report);
  SKALD_TRY_VOID(ctx.check());
  if (!run.due.empty()) SKALD_TRY_VOID(note_progress(run, report));
  return {};
}

Result<void> Compactor::State::keep_size(const CallContext& ctx, RunReport& report) {
  if (options.bucket_bytes_max == 0) return {};
  SKALD_TRY(const std::vector<ShardToDrop> shards, shards_over_size(objects, options.bucket_bytes_max, clock.now_ns(), ctx));
  SKALD_TRY(const DropReport dropped, drop_shards(objects, shards, {.may_overwrite = may_overwrite, .committed = options.committed}, ctx));
  report.shards_dropped += dropped.shards;
  report.objects_deleted += dropped.objects_deleted;
  return {};
}

Result<RunReport> Compactor::State::run(const CallContext& outer) {
  const std::lock_guard running(run_mutex);
  CallContext ctx = outer;
  ctx.clock = &clock;
  const std::int64_t begun_ns = clock.monotonic_ns();
  const std::int64_t now_ns = clock.now_ns();
  const bool apply_retention =
      options.retention_enabled && (retention_applied_ns == INT64_MIN || now_ns - retention_applied_ns >= options.apply_retention_interval_ns);
  RunReport report;
  done_deletes.clear();
  const auto ended = [&](bool good) {
    const double seconds = static_cast<double>(clock.monotonic_ns() - begun_ns) / 1e9;
    metrics.compactions.with({good ? "success" : "failure"}).add();
    metrics.compaction_seconds.set(seconds);
    if (good) metrics.last_compaction_s.set(static_cast<double>(clock.now_ns()) / 1e9);
    if (!apply_retention) return;
    metrics.retentions.with({good ? "success" : "failure"}).add();
    metrics.retention_seconds.set(seconds);
    if (good) metrics.last_retention_s.set(static_cast<double>(clock.now_ns()) / 1e9);
  };
  auto tenants = objstore::list_folders(objects, "", ctx);
  if (!tenants.ok()) {
    ended(false);
    return tenants.error().with_prefix("list tenants");
  }
  if (Result<void> kept = keep_size(ctx, report); !kept.ok()) fail(report, "size limit of the bucket", kept.error());
  std::int64_t oldest_ms = INT64_MAX;
  std::size_t pending = 0;
  bool leads = false;
  for (std::string& tenant : *tenants) {
    tenant.pop_back();   // the '/'
    if (tenant.empty() || tenant.front() == '.') continue;
    if (Result<void> going_on = ctx.check(); !going_on.ok()) {
      ended(false);
      return going_on.error();
    }
    ++report.tenants;
    const std::uint64_t locked = report.tenants_locked;
    if (Result<void> done = run_tenant(tenant, ctx, apply_retention, report); !done.ok()) fail(report, "tenant " + tenant, done.error());
    if (report.tenants == 1) leads = report.tenants_locked == locked;
    if (deletes == nullptr) continue;
    const DeleteRequests requests = deletes->of(tenant);
    for (const auto& request : *requests) {
      if (request->status == DeleteStatus::kProcessed || now_ns - request->created_ms * kNanosPerMilli <= deletes->cancel_period_ns()) continue;
      ++pending;
      oldest_ms = std::min(oldest_ms, request->created_ms);
    }
  }
  std::erase_if(memos, [&](const auto& known) { return std::find(tenants->begin(), tenants->end(), known.first) == tenants->end(); });
  metrics.running.set(leads ? 1 : 0);
  metrics.pending_requests.set(static_cast<double>(pending));
  metrics.oldest_request_s.set(pending == 0 ? 0 : static_cast<double>(now_ns / kNanosPerMilli - oldest_ms) / 1e3);
  std::size_t waiting_days = 0;
  std::size_t retired = 0;
  for (const auto& [tenant, memo] : memos) {
    for (const auto& [day, one] : memo.days) {
      waiting_days += one.due_ns != INT64_MAX ? 1 : 0;
      retired += one.swept.size();
    }
  }
  metrics.marker_files.with({""}).set(static_cast<double>(waiting_days));
  metrics.retired_objects.set(static_cast<double>(retired));
  const bool good = report.errors.empty();
  if (apply_retention && good) retention_applied_ns = now_ns;
  ended(good);
  if (Result<void> going_on = ctx.check(); !going_on.ok()) return going_on.error();
  return report;
}

void Compactor::State::run_periodically() {
  CallContext ctx;
  ctx.clock = &clock;
  ctx.cancel = cancel;
  const std::int64_t interval_ns = std::max<std::int64_t>(options.compaction_interval_ns, kNanosPerSecond);
  std::int64_t wait_ns = interval_ns / 10;
  std::unique_lock lock(stop_mutex);
  while (!stopping) {
    // In slices, to renew leases meanwhile: who holds a tenant keeps it, and knows its days.
    const std::int64_t slice_ns = options.lease_ns > 0 ? std::min(wait_ns, options.lease_ns / 3) : wait_ns;
    if (wake.wait_for(lock, std::chrono::nanoseconds(slice_ns), [this] { return stopping; })) break;
    wait_ns -= slice_ns;
    lock.unlock();
    if (wait_ns > 0) {
      const std::lock_guard running(run_mutex);
      for (const auto& [tenant, memo] : memos) {
        CallContext tenant_ctx = ctx;
        tenant_ctx.tenant = tenant;
        if (memo.skips == 0) (void)leases.keep(tenant_ctx, tenant);   // if it fails, the next run sees who holds it
      }
    } else {
      const auto report = run(ctx);
      if (!report.ok() && report.error().code() != ErrorCode::kCancelled) log::error("compaction run failed", {{"err", report.error().message()}});
      // A tenth more or less, so that several compactors do not meet at every run.
      wait_ns = interval_ns - interval_ns / 10 + static_cast<std::int64_t>(random.next_u64() % static_cast<std::uint64_t>(interval_ns / 5 + 1));
    }
    lock.lock();
  }
}

Compactor::Compactor(objstore::ObjectStore& objects, DeleteStore* deletes, const config::LimitsProvider& limits, exec::Pool& pool, obs::Registry& registry,
                     const Clock& clock, Random& random, CompactorOptions options)
    : state_(std::make_unique<State>(objects, deletes, limits, pool, registry, clock, random, std::move(options))) {}

Compactor::~Compactor() { stop(); }

Result<RunReport> Compactor::run_once(const CallContext& ctx) { return state_->run(ctx); }

void Compactor::start() {
  SKALD_CHECK(!state_->thread.joinable());
  state_->thread = std::thread([state = state_.get()] { state->run_periodically(); });
}

void Compactor::stop() {
  {
    const std::lock_guard lock(state_->stop_mutex);
    state_->stopping = true;
  }
  state_->cancel->cancel();
  state_->wake.notify_all();
  if (state_->thread.joinable()) state_->thread.join();
  CallContext ctx;
  ctx.clock = &state_->clock;
  state_->leases.release_all(ctx);
}

}  // namespace skald::compactor
