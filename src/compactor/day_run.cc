#include "compactor/day_run.h"

#include <algorithm>
#include <unordered_map>

#include "compactor/orphans.h"
#include "skald/codec/hash.h"
#include "skald/obs/log.h"

namespace skald::compactor {
namespace {

constexpr std::uint64_t kTierRatio = 4;              // an older object is rewritten with newcomers of at least a quarter of its size
constexpr double kDeadShareMax = 1.0 / 3;            // an object with more bytes than this that nobody lists is rewritten
constexpr std::size_t kEntriesPerCommit = 16 << 10;  // of new chunks held before they are committed
constexpr std::uint64_t kBytesPerCommit = 2ULL << 30;
constexpr std::size_t kRemoveAtOnce = 1000;

std::string table_of(std::int64_t day) { return "index_" + std::to_string(day); }

// What is known of a live object before it is opened.
struct ObjectUse {
  index::ObjectRef ref;
  std::uint32_t level = 0;
  std::uint64_t live_bytes = 0;          // of chunks that some index lists, with padding
  std::set<std::uint64_t> groups;        // offsets of group chunks seen
  bool touched = false;                  // a delete request may mean rows of it
  bool hit = false;                      // it does
  double dead_share() const {
    const std::uint64_t all = ref.tail_offset > 64 ? ref.tail_offset - 64 : 0;
    return all == 0 || live_bytes >= all ? 0 : 1 - static_cast<double>(live_bytes) / static_cast<double>(all);
  }
};

struct ShardUse {
  std::vector<ObjectUse*> objects;
  std::unordered_map<std::uint64_t, std::uint32_t> stream_chunks;   // only where an ingester's objects wait to be merged
  bool fragmented = false;                                          // some stream has several chunks
};

struct Plan {
  std::int64_t shard_start_ns = 0;
  std::set<Ulid> inputs;
  bool copy_whole = false;
};

class DayRun {
 public:
  DayRun(const DayEnvironment& env, DayTask task, const CallContext& ctx, DayMemo& memo, DayResult& result)
      : env_(env), task_(std::move(task)), ctx_(ctx), memo_(memo), result_(result), now_ns_(env.clock.now_ns()), begun_ns_(env.clock.monotonic_ns()) {
    writer_.chunk = {env.options.codec, env.options.zstd_level, codec::xxh3_64("compactor"), now_ns_};
    writer_.object_bytes_target = std::min(env.options.object_bytes_target, std::max<std::uint64_t>(env.memory_bytes / 4, 1 << 20));
    writer_.chunk_raw_bytes_target = std::min(env.options.chunk_raw_bytes_target, std::max<std::uint64_t>(env.memory_bytes / 4, 1 << 20));
  }

  Result<void> run() {
    ++result_.report.days_opened;
    SKALD_TRY(DayState loaded, DayState::load(env_.objects, ctx_, task_.tenant, task_.listing));
    state_ = std::move(loaded);
    SKALD_TRY_VOID(sweep());
    if (nothing_left()) return remove_day();
    for (const auto& request : task_.deletes) {
      if (note_of(*request) == nullptr || !note_of(*request)->complete) SKALD_TRY_VOID(deletions_.add(request));
    }
    if (Result<void> worked = work(); !worked.ok()) return worked;
    if (first_error_) return *first_error_;
    finish();
    return {};
  }

 private:
  Result<void> work() {
    Result<void> looked = task_.chunk_objects ? look_for_orphans() : Result<void>();
    if (looked.ok()) looked = survey();
    if (looked.ok()) looked = find_hits();
    if (!looked.ok()) {
      discard(outputs_);
      return looked;
    }
    for (const Plan& plan : make_plans()) {
      if (Result<void> merged = merge(plan); !merged.ok()) {
        // Other shards are none the worse for it, unless all work is to end.
        if (!ctx_.check().ok() || (env_.progress && !env_.progress().ok())) {
          discard(outputs_);
          return merged;
        }
        log::error("time shard not compacted", {{"tenant", task_.tenant}, {"err", merged.error().message()}});
        if (!first_error_) first_error_ = merged.error();
        continue;
      }
      if (edit_.added.size() >= kEntriesPerCommit || bytes_in_edit_ >= kBytesPerCommit) SKALD_TRY_VOID(commit_edit(false));
      if (result_.lost) return {};
    }
    return commit_edit(!first_error_);
  }

  // ---- what is there

  bool expired(const model::LabelsPtr& labels, const index::ChunkRef& chunk) {
    if (!task_.retention) return false;
    const std::int64_t expires_ns = task_.retention->expires_ns(labels->labels, chunk);
    if (expires_ns <= now_ns_) return true;
    next_expiry_ns_ = std::min(next_expiry_ns_, expires_ns);
    return false;
  }

  // Nothing of the shard can be needed any more, whatever its streams' labels are.
  bool shard_expired(std::int64_t shard_start_ns) const {
    if (!task_.retention || task_.retention->longest_ns() == 0) return false;
    return shard_start_ns + chunk::kTimeShardNs <= now_ns_ - task_.retention->longest_ns();
  }

  bool dropped(const model::LabelsPtr& labels, const index::ChunkRef& chunk) {
    return shard_expired(chunk.object.shard_start_ns) || expired(labels, chunk);
  }

  bool settled(std::int64_t shard_start_ns) const { return now_ns_ >= shard_start_ns + chunk::kTimeShardNs + env_.options.shard_settle_ns; }
  bool day_is_over() const { return now_ns_ >= (state_.day() + 1) * kNanosPerDay + env_.options.shard_settle_ns; }

  Result<void> survey() {
    objects_.clear();
    shards_.clear();
    expired_entries_ = 0;
    for (const auto& [id, ref] : state_.objects()) {
      ObjectUse& use = objects_[id];
      use.ref = ref;
      use.level = state_.level_of(id);
      shards_[ref.shard_start_ns].objects.push_back(&use);
    }
    std::set<std::int64_t> waiting;   // shards with objects to merge
    for (const auto& [shard, use] : shards_)
      if (settled(shard) && std::any_of(use.objects.begin(), use.objects.end(), [](const ObjectUse* object) { return object->level == 0; })) waiting.insert(shard);
    return state_.for_each(ctx_, index::WithSketches::kNo, [&](const model::LabelsPtr& labels, index::ChunkRef& chunk) -> Result<void> {
      if (dropped(labels, chunk)) {
        ++expired_entries_;
        return {};
      }
      ObjectUse& use = objects_.at(chunk.object.id);
      if (!chunk.group || use.groups.insert(chunk.offset).second) use.live_bytes += (std::uint64_t{chunk.length} + 63) / 64 * 64;
      if (!deletions_.empty() && deletions_.touches(*labels, chunk)) {
        use.touched = true;
        env_.metrics.chunks_selected.with({task_.tenant}).add();
        if (deletions_.covers(*labels, chunk) != 0) use.hit = true;
      }
      if (waiting.contains(chunk.object.shard_start_ns)) {
        ShardUse& shard = shards_.at(chunk.object.shard_start_ns);
        if (!shard.fragmented) shard.fragmented = ++shard.stream_chunks[labels->hash] > 1;
      }
      return {};
    });
  }

  // Opens what delete requests may mean, object by object, until a row of it is found.
  Result<void> find_hits() {
    std::set<Ulid> doubtful;
    for (const auto& [id, use] : objects_)
      if (use.touched && !use.hit) doubtful.insert(id);
    if (doubtful.empty()) return {};
    std::map<Ulid, std::vector<std::pair<model::LabelsPtr, index::ChunkRef>>> chunks;
    const Result<void> gathered = state_.for_each(ctx_, index::WithSketches::kNo, [&](const model::LabelsPtr& labels, index::ChunkRef& chunk) -> Result<void> {
      if (doubtful.contains(chunk.object.id) && !dropped(labels, chunk) && deletions_.touches(*labels, chunk)) chunks[chunk.object.id].emplace_back(labels, chunk);
      return {};
    });
    if (!gathered.ok()) return gathered;
    for (auto& [id, of_object] : chunks) {
      SKALD_TRY(const bool hit, has_deleted_row(env_.objects, env_.pool, task_.tenant, of_object, deletions_, env_.memory_bytes / 4, ctx_));
      objects_.at(id).hit = hit;
      if (env_.progress) SKALD_TRY_VOID(env_.progress());
    }
    return {};
  }

  // ---- what to rewrite

  std::vector<Plan> make_plans() {
    std::vector<Plan> plans;
    for (auto& [shard_start_ns, shard] : shards_) {
      if (shard_expired(shard_start_ns)) continue;
      Plan merging{.shard_start_ns = shard_start_ns, .inputs = choose_for_merging(shard_start_ns, shard), .copy_whole = false};
      Plan copying{.shard_start_ns = shard_start_ns, .inputs = {}, .copy_whole = true};
      for (const ObjectUse* object : shard.objects) {
        if (merging.inputs.contains(object->ref.id)) continue;
        if (object->hit || (object->live_bytes != 0 && object->dead_share() > kDeadShareMax)) copying.inputs.insert(object->ref.id);
      }
      for (Plan* plan : {&merging, &copying})
        if (!plan->inputs.empty()) plans.push_back(std::move(*plan));
    }
    return plans;
  }

  std::set<Ulid> choose_for_merging(std::int64_t shard_start_ns, ShardUse& shard) const {
    std::set<Ulid> chosen;
    if (!settled(shard_start_ns)) return chosen;
    std::sort(shard.objects.begin(), shard.objects.end(), [](const ObjectUse* a, const ObjectUse* b) { return a->live_bytes < b->live_bytes; });
    std::uint64_t bytes = 0;
    for (const ObjectUse* object : shard.objects) {
      if (object->level != 0 || object->live_bytes == 0) continue;
      chosen.insert(object->ref.id);
      bytes += object->live_bytes;
    }
    if (chosen.empty()) return chosen;
    for (const ObjectUse* object : shard.objects) {
      if (object->level == 0 || object->live_bytes == 0 || object->live_bytes > kTierRatio * bytes) continue;
      chosen.insert(object->ref.id);
      bytes += object->live_bytes;
    }
    const std::uint64_t objects_after = (bytes + writer_.object_bytes_target - 1) / writer_.object_bytes_target;
    // One object alone gains something only by chunks that become one.
    if (objects_after >= chosen.size() && !(shard.fragmented && chosen.size() > 1) && !(shard.fragmented && only_fresh(shard))) chosen.clear();
    return chosen;
  }

  static bool only_fresh(const ShardUse& shard) {
    return std::all_of(shard.objects.begin(), shard.objects.end(), [](const ObjectUse* object) { return object->level == 0; });
  }

  // ---- doing it

  Result<void> merge(const Plan& plan) {
    ShardJob job{.tenant = task_.tenant, .shard_start_ns = plan.shard_start_ns, .inputs = {}, .streams = {}, .level = 1, .copy_whole = plan.copy_whole,
                 .copy_raw_bytes_min = writer_.chunk_raw_bytes_target / 2, .memory_bytes = std::max<std::uint64_t>(env_.memory_bytes / 4, 1 << 20),
                 .deletions = deletions_.empty() ? nullptr : &deletions_, .progress = env_.progress};
    for (const Ulid& id : plan.inputs) {
      job.inputs.push_back(objects_.at(id).ref);
      job.level = std::max(job.level, objects_.at(id).level + 1);
    }
    std::unordered_map<std::string_view, std::size_t> positions;
    const Result<void> gathered = state_.for_each(ctx_, index::WithSketches::kNo, [&](const model::LabelsPtr& labels, index::ChunkRef& chunk) -> Result<void> {
      if (!plan.inputs.contains(chunk.object.id) || dropped(labels, chunk)) return {};
      if (job.deletions != nullptr && !plan_keeps(labels, chunk)) return {};
      const auto [at, is_new] = positions.try_emplace(labels->text, job.streams.size());
      if (is_new) job.streams.push_back({.labels = labels, .chunks = {}});
      job.streams[at->second].chunks.push_back(std::move(chunk));
      return {};
    });
    if (!gathered.ok()) return gathered;
    const std::int64_t begun_ns = env_.clock.monotonic_ns();
    ShardResult merged;
    const Result<void> outcome = merge_shard(env_.objects, env_.pool, env_.random, writer_, std::move(job), ctx_, merged);
    std::vector<std::string> keys;
    for (const WrittenObject& object : merged.objects) keys.push_back(object.key);
    if (!outcome.ok()) {
      discard(keys);
      return outcome.error().with_prefix("time shard " + chunk::object_key(task_.tenant, plan.shard_start_ns, {}).substr(task_.tenant.size() + 8, 11));
    }
    outputs_.insert(outputs_.end(), keys.begin(), keys.end());
    edit_.replaced.insert(plan.inputs.begin(), plan.inputs.end());
    std::uint32_t level = 1;
    for (const Ulid& id : plan.inputs) level = std::max(level, objects_.at(id).level + 1);
    for (const WrittenObject& object : merged.objects) edit_.compacted.push_back({object.ref.id, level});
    edit_.added.insert(edit_.added.end(), std::make_move_iterator(merged.entries.begin()), std::make_move_iterator(merged.entries.end()));
    bytes_in_edit_ += merged.bytes_in;
    RunReport& report = pending_;
    report.objects_in += plan.inputs.size();
    report.objects_out += merged.objects.size();
    report.chunks_in += merged.chunks_in;
    report.chunks_out += merged.chunks_out;
    report.chunks_copied += merged.chunks_copied;
    report.bytes_in += merged.bytes_in;
    report.bytes_out += merged.bytes_out;
    report.rows_in += merged.rows.in;
    report.rows_out += merged.rows.out;
    report.rows_duplicate += merged.rows.duplicates;
    env_.metrics.bytes_in.add(static_cast<double>(merged.bytes_in));
    env_.metrics.bytes_out.add(static_cast<double>(merged.bytes_out));
    log::info("compacted a time shard", {{"tenant", task_.tenant}, {"shard", chunk::object_key(task_.tenant, plan.shard_start_ns, {}).substr(task_.tenant.size() + 8, 11)},
              {"objects_in", plan.inputs.size()}, {"objects_out", merged.objects.size()}, {"chunks_in", merged.chunks_in}, {"chunks_out", merged.chunks_out},
              {"bytes_in", merged.bytes_in}, {"bytes_out", merged.bytes_out}, {"rows", merged.rows.out}, {"duplicate_rows", merged.rows.duplicates},
              {"deleted_rows", merged.rows.removed}, {"duration_ms", (env_.clock.monotonic_ns() - begun_ns) / kNanosPerMilli}});
    return {};
  }

  // Chunks that a request takes as a whole are not even read. Copies of replicas are counted once.
  bool plan_keeps(const model::LabelsPtr& labels, const index::ChunkRef& chunk) {
    const std::uint16_t mark = deletions_.covers(*labels, chunk);
    if (mark == 0) return true;
    const auto content = std::tuple(labels->hash, chunk.content_id, chunk.min_ts_ns, chunk.max_ts_ns, chunk.rows);
    if (covered_.emplace(content).second) deletions_.count(mark, chunk.rows, chunk.raw_bytes);
    return false;
  }

  Result<void> look_for_orphans() {
    Orphans found;
    const Result<void> looked = find_orphans(env_, state_, *task_.chunk_objects, task_.processed, writer_, ctx_, found);
    outputs_.insert(outputs_.end(), found.outputs.begin(), found.outputs.end());
    if (!looked.ok()) return looked;
    edit_.added.insert(edit_.added.end(), std::make_move_iterator(found.adopted.begin()), std::make_move_iterator(found.adopted.end()));
    edit_.retired.insert(edit_.retired.end(), found.retired.begin(), found.retired.end());
    edit_.compacted.insert(edit_.compacted.end(), found.compacted.begin(), found.compacted.end());
    adopted_ = found.objects_adopted;
    condemned_ = std::move(found.condemned);
    result_.next_sweep_ns = found.next_due_ns;
    return {};
  }

  const index::AppliedDelete* note_of(const DeleteRequest& request) const {
    for (const index::AppliedDelete& note : state_.upkeep().deletes)
      if (note.request == request_number(request)) return &note;
    return nullptr;
  }

  std::vector<index::AppliedDelete> notes(bool complete) const {
    std::vector<index::AppliedDelete> notes;
    std::set<std::uint32_t> current;
    for (const DeleteRows::Count& count : deletions_.counts()) {
      index::AppliedDelete note{.request = request_number(*count.request), .lines = count.lines, .bytes = count.bytes, .complete = complete};
      if (const index::AppliedDelete* before = note_of(*count.request); before != nullptr) {
        note.lines += before->lines;
        note.bytes += before->bytes;
      }
      current.insert(note.request);
      notes.push_back(note);
    }
    for (const index::AppliedDelete& note : state_.upkeep().deletes)
      if (task_.noted.contains(note.request) && !current.contains(note.request)) notes.push_back(note);
    return notes;
  }

  bool forgettable(const index::RetiredObject& one) const {
    return memo_.swept.contains(one.id) && one.retired_at_ms * kNanosPerMilli + env_.options.retention_delete_delay_ns + env_.options.tombstone_ns <= now_ns_;
  }

  bool commit_is_due(bool last) const {
    if (!edit_.replaced.empty() || !edit_.added.empty() || !edit_.retired.empty() || !condemned_.empty() || expired_entries_ != 0) return true;
    if (!last) return false;
    for (const DeleteRows::Count& count : deletions_.counts())
      if (count.lines != 0) return true;
    const auto& retired = state_.upkeep().retired_objects;
    if (std::any_of(retired.begin(), retired.end(), [&](const auto& one) { return forgettable(one); })) return true;
    const std::size_t fresh = state_.fresh().size();
    if (fresh >= env_.options.index_merge_min) return true;
    return day_is_over() && fresh != 0 && fresh + (state_.generation() != 0 ? 1 : 0) > 1;
  }

  Result<void> commit_edit(bool last) {
    if (!commit_is_due(last)) return {};
    // Whoever slept for as long as names of deleted objects are remembered must not act on what it knew before.
    if (env_.clock.monotonic_ns() - begun_ns_ > env_.options.tombstone_ns / 2) {
      discard(outputs_);
      return Error(ErrorCode::kDeadlineExceeded, "day " + std::to_string(state_.day()) + ": took too long; it will be tried again");
    }
    edit_.drop = [this](const model::LabelsPtr& labels, const index::ChunkRef& chunk) { return dropped(labels, chunk); };
    edit_.forget = [this](const index::RetiredObject& one) { return forgettable(one); };
    edit_.deletes = notes(last);
    DayChange change;
    const Result<CommitOutcome> outcome =
        commit(env_.objects, ctx_, state_, edit_, {.now_ms = now_ns_ / kNanosPerMilli, .may_overwrite = env_.may_overwrite}, change);
    if (!outcome.ok()) {
      // Outputs stay: the index object may have been written. If not, they are orphans and go the orphans' way.
      if (outcome.error().code() == ErrorCode::kUnimplemented || outcome.error().code() == ErrorCode::kInvalidArgument) discard(outputs_);
      return outcome.error();
    }
    if (*outcome == CommitOutcome::kLost) {
      log::info("another compactor was first; its work stands", {{"tenant", task_.tenant}, {"day", state_.day()}, {"generation", state_.generation() + 1}});
      ++result_.report.commits_lost;
      env_.metrics.commits_lost.add();
      result_.lost = true;
      discard(outputs_);
      return {};
    }
    committed(change);
    SKALD_TRY_VOID(delete_condemned());
    return {};
  }

  void committed(DayChange& change) {
    RunReport& report = result_.report;
    ++report.commits;
    report.indexes_merged += change.merged_indexes;
    report.chunks_expired += expired_entries_;
    report.objects_adopted += adopted_;
    report.objects_in += pending_.objects_in;
    report.objects_out += pending_.objects_out;
    report.chunks_in += pending_.chunks_in;
    report.chunks_out += pending_.chunks_out;
    report.chunks_copied += pending_.chunks_copied;
    report.bytes_in += pending_.bytes_in;
    report.bytes_out += pending_.bytes_out;
    report.rows_in += pending_.rows_in;
    report.rows_out += pending_.rows_out;
    report.rows_duplicate += pending_.rows_duplicate;
    Metrics& metrics = env_.metrics;
    metrics.objects_in.add(static_cast<double>(pending_.objects_in));
    metrics.objects_out.add(static_cast<double>(pending_.objects_out));
    metrics.duplicate_rows.add(static_cast<double>(pending_.rows_duplicate));
    metrics.adopted.add(static_cast<double>(adopted_));
    metrics.marked.with({table_of(state_.day())}).add(static_cast<double>(expired_entries_));
    for (const DeleteRows::Count& count : deletions_.counts()) {
      report.lines_deleted += count.lines;
      metrics.deleted_lines.with({task_.tenant}).add(static_cast<double>(count.lines));
    }
    log::info("day compacted", {{"tenant", task_.tenant}, {"day", state_.day()}, {"generation", change.state.generation()}, {"indexes_merged", change.merged_indexes},
              {"index_bytes", change.index_bytes}, {"objects_retired", change.retired_objects}, {"objects_adopted", adopted_}, {"chunks_expired", expired_entries_},
              {"duration_ms", (env_.clock.monotonic_ns() - begun_ns_) / kNanosPerMilli}});
    deletions_.forget_counts();
    covered_.clear();
    state_ = std::move(change.state);
    edit_ = {};
    pending_ = {};
    outputs_.clear();
    bytes_in_edit_ = 0;
    adopted_ = 0;
    expired_entries_ = 0;
    if (env_.options.committed) env_.options.committed();
  }

  // ---- deleting

  Result<void> remove_keys(const std::vector<std::string>& keys) {
    const std::size_t batches = (keys.size() + kRemoveAtOnce - 1) / kRemoveAtOnce;
    std::vector<Result<void>> results(batches);
    const auto remove = [&](std::size_t i) {
      const std::int64_t begun_ns = env_.clock.monotonic_ns();
      const std::size_t begin = i * kRemoveAtOnce;
      results[i] = env_.objects.remove_all(std::span(keys).subspan(begin, std::min(kRemoveAtOnce, keys.size() - begin)), ctx_);
      env_.metrics.sweep_seconds.with({results[i].ok() ? "success" : "failure"}).observe(static_cast<double>(env_.clock.monotonic_ns() - begun_ns) / 1e9);
    };
    if (env_.options.retention_delete_worker_count > 1) env_.pool.parallel_for(batches, remove);
    else for (std::size_t i = 0; i < batches; ++i) remove(i);
    for (const Result<void>& result : results)
      if (!result.ok()) return result.error();
    return {};
  }

  // Objects that were retired long enough ago, and that no index written since lists again.
  Result<void> sweep() {
    const std::int64_t before_ms = (now_ns_ - env_.options.retention_delete_delay_ns) / kNanosPerMilli;
    std::vector<std::string> keys;
    std::vector<Ulid> ids;
    for (const index::RetiredObject& one : state_.upkeep().retired_objects) {
      if (one.retired_at_ms > before_ms || memo_.swept.contains(one.id) || state_.fresh_objects().contains(one.id)) continue;
      keys.push_back(chunk::object_key(task_.tenant, one.shard_start_ns, one.id));
      ids.push_back(one.id);
      env_.metrics.marker_time.with({""}).set(static_cast<double>(one.retired_at_ms) / 1e3);
    }
    SKALD_TRY_VOID(remove_keys(keys));
    memo_.swept.insert(ids.begin(), ids.end());
    result_.report.objects_deleted += keys.size();

    std::vector<std::string> index_keys;
    std::set<Ulid> removed;
    for (const index::RetiredIndex& one : state_.upkeep().retired_indexes) {
      if (one.retired_at_ms > before_ms || !std::binary_search(state_.present().begin(), state_.present().end(), one.id)) continue;
      index_keys.push_back(index::day_index_key(task_.tenant, state_.day(), one.id));
      removed.insert(one.id);
    }
    SKALD_TRY_VOID(remove_keys(index_keys));
    result_.report.indexes_deleted += index_keys.size();
    state_.forget_present(removed);
    if (!keys.empty() || !index_keys.empty()) {
      log::info("deleted what was replaced", {{"tenant", task_.tenant}, {"day", state_.day()}, {"objects", keys.size()}, {"indexes", index_keys.size()}});
    }
    return {};
  }

  bool nothing_left() const {
    return state_.generation() != 0 && state_.objects().empty() && state_.fresh().empty() && state_.unreadable().empty() && state_.upkeep().retired_objects.empty() &&
           !(task_.chunk_objects && !task_.chunk_objects->empty()) &&
           std::none_of(state_.upkeep().retired_indexes.begin(), state_.upkeep().retired_indexes.end(), [&](const index::RetiredIndex& one) {
             return one.retired_at_ms * kNanosPerMilli + env_.options.retention_delete_delay_ns > now_ns_;
           });
  }

  // The newest index last: without it the others would count again.
  Result<void> remove_day() {
    std::vector<Ulid> ids = state_.present();
    const Ulid newest = index::merged_index_id(state_.day(), state_.generation());
    std::erase(ids, newest);
    ids.push_back(newest);
    for (const Ulid& id : ids) SKALD_TRY_VOID(env_.objects.remove(index::day_index_key(task_.tenant, state_.day(), id), ctx_));
    result_.report.indexes_deleted += ids.size();
    ++result_.report.days_removed;
    result_.removed = true;
    // Requests find nothing here.
    for (const auto& request : task_.deletes) result_.deletes.push_back({.request = request_number(*request), .lines = 0, .bytes = 0, .complete = true});
    env_.metrics.tables_processed.with({table_of(state_.day()), task_.tenant, "deleted"}).add();
    log::info("day removed: nothing is left of it", {{"tenant", task_.tenant}, {"day", state_.day()}});
    if (env_.options.committed) env_.options.committed();
    return {};
  }

  Result<void> delete_condemned() {
    if (condemned_.empty()) return {};
    const std::vector<std::string> keys = std::move(condemned_);
    condemned_.clear();
    SKALD_TRY_VOID(remove_keys(keys));
    result_.report.orphans_deleted += keys.size();
    env_.metrics.orphans.add(static_cast<double>(keys.size()));
    log::warn("deleted what an interrupted compactor had left behind", {{"tenant", task_.tenant}, {"day", state_.day()}, {"objects", keys.size()}});
    return {};
  }

  // Nothing lists them and nothing will.
  void discard(std::vector<std::string>& keys) {
    if (keys.empty()) return;
    CallContext ctx = ctx_;   // also when told to stop
    ctx.cancel = nullptr;
    if (Result<void> removed = env_.objects.remove_all(keys, ctx); !removed.ok()) {
      log::warn("outputs of a merge in vain are left behind; the next look for orphans finds them", {{"tenant", task_.tenant}, {"day", state_.day()}, {"objects", keys.size()}});
    }
    keys.clear();
  }

  // ---- remembering

  void finish() {
    if (result_.lost) return;
    for (const auto& request : task_.deletes) {
      index::AppliedDelete note{.request = request_number(*request), .lines = 0, .bytes = 0, .complete = true};
      if (const index::AppliedDelete* noted = note_of(*request); noted != nullptr) note = *noted;
      note.complete = true;   // everything was looked at, whether or not there was something to commit
      result_.deletes.push_back(note);
    }
    const RunReport& report = result_.report;
    env_.metrics.tables_processed.with({table_of(state_.day()), task_.tenant, report.chunks_expired == 0 ? "none" : state_.objects().empty() ? "deleted" : "modified"}).add();
    memo_.present = state_.present();
    memo_.rules = task_.retention ? task_.retention->fingerprint() : 0;
    memo_.due_ns = due_ns();
    std::set<Ulid> still;   // what is remembered of objects that are forgotten is forgotten too
    for (const index::RetiredObject& one : state_.upkeep().retired_objects)
      if (memo_.swept.contains(one.id)) still.insert(one.id);
    memo_.swept = std::move(still);
  }

  std::int64_t due_ns() const {
    const CompactorOptions& options = env_.options;
    std::int64_t due = next_expiry_ns_;
    for (const index::RetiredObject& one : state_.upkeep().retired_objects) {
      const std::int64_t deletable_ns = one.retired_at_ms * kNanosPerMilli + options.retention_delete_delay_ns;
      due = std::min(due, memo_.swept.contains(one.id) ? deletable_ns + options.tombstone_ns : deletable_ns);
    }
    for (const index::RetiredIndex& one : state_.upkeep().retired_indexes) {
      const bool exists = std::binary_search(state_.present().begin(), state_.present().end(), one.id);
      if (exists) due = std::min(due, one.retired_at_ms * kNanosPerMilli + options.retention_delete_delay_ns);
    }
    if (state_.generation() != 0 && state_.objects().empty() && state_.upkeep().retired_objects.empty()) due = std::min(due, now_ns_ + options.retention_delete_delay_ns);
    for (const auto& [id, object] : state_.objects()) {
      const std::int64_t settled_ns = object.shard_start_ns + chunk::kTimeShardNs + options.shard_settle_ns;
      if (state_.level_of(id) == 0 && settled_ns > now_ns_) due = std::min(due, settled_ns);
      if (task_.retention && task_.retention->longest_ns() != 0) due = std::min(due, object.shard_start_ns + chunk::kTimeShardNs + task_.retention->longest_ns());
    }
    if (!state_.fresh().empty() && !day_is_over()) due = std::min(due, (state_.day() + 1) * kNanosPerDay + options.shard_settle_ns);
    return due;
  }

  const DayEnvironment& env_;
  DayTask task_;
  const CallContext& ctx_;
  DayMemo& memo_;
  DayResult& result_;
  const std::int64_t now_ns_;
  const std::int64_t begun_ns_;
  WriterOptions writer_;
  DayState state_;
  DeleteRows deletions_;
  std::map<Ulid, ObjectUse> objects_;
  std::map<std::int64_t, ShardUse> shards_;
  std::set<std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, std::uint32_t>> covered_;
  std::uint64_t expired_entries_ = 0;
  std::int64_t next_expiry_ns_ = INT64_MAX;
  DayEdit edit_;
  RunReport pending_;                    // of merges not committed yet
  std::optional<Error> first_error_;     // of a shard; the others were worked on
  std::uint64_t bytes_in_edit_ = 0;
  std::uint64_t adopted_ = 0;
  std::vector<std::string> outputs_;     // keys written for the edit
  std::vector<std::string> condemned_;   // orphans to delete after the next commit
};

}  // namespace

Result<void> run_day(const DayEnvironment& env, DayTask task, const CallContext& ctx, DayMemo& memo, DayResult& result) {
  return DayRun(env, std::move(task), ctx, memo, result).run();
}

}  // namespace skald::compactor
