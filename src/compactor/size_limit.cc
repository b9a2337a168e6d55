#include "compactor/size_limit.h"

#include <algorithm>
#include <map>
#include <set>

#include "compactor/day.h"
#include "skald/chunk/builder.h"
#include "skald/chunk/object_reader.h"
#include "skald/obs/log.h"

namespace skald::compactor {
namespace {

constexpr int kTriesOfADay = 3;

using Day = std::pair<std::string, std::int64_t>;   // tenant, day

Result<DayListing> list_day(objstore::ObjectStore& objects, const Day& day, const CallContext& ctx) {
  DayListing listing{.day = day.second, .ids = {}};
  SKALD_TRY(const std::vector<objstore::ObjectInfo> found, objstore::list_objects(objects, day.first + "/index/index_" + std::to_string(day.second) + "/", ctx));
  for (const objstore::ObjectInfo& object : found)
    if (const auto key = index::parse_day_index_key(object.key); key.has_value()) listing.ids.push_back(key->id);
  std::sort(listing.ids.begin(), listing.ids.end());
  return listing;
}

// False: another compactor was faster each time.
Result<bool> drop_of_day(objstore::ObjectStore& objects, const Day& day, const std::set<std::int64_t>& shards, const DropOptions& options, const CallContext& ctx,
                         DropReport& report) {
  for (int attempt = 0; attempt < kTriesOfADay; ++attempt) {
    SKALD_TRY(const DayListing listing, list_day(objects, day, ctx));
    if (listing.ids.empty()) return true;
    Result<DayState> state = DayState::load(objects, ctx, day.first, listing);
    if (!state.ok()) {
      if (state.error().code() == ErrorCode::kUnavailable) continue;   // changed while it was read
      return std::move(state).error();
    }
    std::vector<std::string> keys;
    std::uint64_t bytes = 0;
    for (const auto& [id, object] : state->objects()) {
      if (!shards.contains(object.shard_start_ns)) continue;
      keys.push_back(chunk::object_key(day.first, object.shard_start_ns, id));
      bytes += object.length;
    }
    // Dropped earlier, and not deleted yet: by whoever was interrupted, or by retention, which waits.
    for (const index::RetiredObject& object : state->upkeep().retired_objects)
      if (shards.contains(object.shard_start_ns)) keys.push_back(chunk::object_key(day.first, object.shard_start_ns, object.id));
    if (bytes != 0) {
      DayEdit edit;
      edit.drop = [&](const model::LabelsPtr&, const index::ChunkRef& chunk) { return shards.contains(chunk.object.shard_start_ns); };
      edit.deletes = state->upkeep().deletes;
      DayChange change;
      SKALD_TRY(const CommitOutcome outcome,
                commit(objects, ctx, *state, edit, {.now_ms = ctx.clock->now_ns() / kNanosPerMilli, .may_overwrite = options.may_overwrite}, change));
      if (outcome == CommitOutcome::kLost) continue;
      report.chunks += change.dropped_chunks;
      if (options.committed) options.committed();
    }
    SKALD_TRY_VOID(objects.remove_all(keys, ctx));
    report.shards += shards.size();
    report.objects_deleted += keys.size();
    report.bytes_deleted += bytes;
    return true;
  }
  return false;
}

}  // namespace

Result<std::vector<ShardToDrop>> shards_over_size(objstore::ObjectStore& objects, std::uint64_t max_bytes, std::int64_t now_ns, const CallContext& ctx) {
  SKALD_TRY(const std::vector<objstore::ObjectInfo> listed, objstore::list_objects(objects, "", ctx));
  std::uint64_t total = 0;
  std::map<std::pair<std::int64_t, std::string>, std::uint64_t> shards;   // oldest first
  for (const objstore::ObjectInfo& object : listed) {
    total += object.size;
    const auto key = chunk::parse_object_key(object.key);
    if (key.ok() && key->shard_start_ns <= now_ns - chunk::kTimeShardNs) shards[{key->shard_start_ns, key->tenant}] += object.size;
  }
  std::vector<ShardToDrop> chosen;
  for (const auto& [shard, bytes] : shards) {
    if (total <= max_bytes) break;
    chosen.push_back({.tenant = shard.second, .shard_start_ns = shard.first, .bytes = bytes});
    total -= bytes;
  }
  return chosen;
}

Result<DropReport> drop_shards(objstore::ObjectStore& objects, std::span<const ShardToDrop> shards, const DropOptions& options, const CallContext& ctx) {
  std::map<Day, std::set<std::int64_t>> days;
  for (const ShardToDrop& shard : shards) days[{shard.tenant, index::day_of(shard.shard_start_ns)}].insert(shard.shard_start_ns);
  DropReport report;
  for (const auto& [day, of_day] : days) {
    CallContext tenant_ctx = ctx;
    tenant_ctx.tenant = day.first;
    Result<bool> done = drop_of_day(objects, day, of_day, options, tenant_ctx, report);
    if (!done.ok()) return std::move(done).error().with_prefix("tenant " + day.first + ", day " + std::to_string(day.second));
    if (!*done) ++report.days_lost;
    else log::warn("dropped the oldest time shards: the bucket has reached its size limit", {{"tenant", day.first}, {"day", day.second}, {"shards", of_day.size()}});
  }
  return report;
}

}  // namespace skald::compactor
