// Pending entries → index objects in the bucket.
#include "skald/base/random.h"
#include "skald/obs/log.h"
#include "store/store_state.h"

namespace skald::store {
namespace {

using Frozen = std::vector<std::shared_ptr<const index::MemoryIndex>>;

// One builder per day that the entries touch; a chunk belongs to every day it touches.
Result<std::map<std::int64_t, std::unique_ptr<index::DayIndexBuilder>>> build_days(const std::string& tenant, const Frozen& frozen, const Clock& clock) {
  std::map<std::int64_t, std::unique_ptr<index::DayIndexBuilder>> days;
  Result<void> outcome;
  for (const auto& pending : frozen) {
    pending->for_each([&](const model::LabelsPtr& labels, const index::ChunkRef& chunk) {
      if (!outcome.ok()) return;
      if (chunk.max_ts_ns - chunk.min_ts_ns > 2 * chunk::kTimeShardNs) {
        outcome = Error(ErrorCode::kInvalidArgument, "chunk at offset " + std::to_string(chunk.offset) + " of object " + chunk.object.id.to_string() +
                                                         " spans more than a time shard");
        return;
      }
      for (std::int64_t day = index::day_of(chunk.min_ts_ns); day <= index::day_of(chunk.max_ts_ns) && outcome.ok(); ++day) {
        auto& builder = days[day];
        if (builder == nullptr) builder = std::make_unique<index::DayIndexBuilder>(tenant, day, Ulid::make(clock.now_ns(), system_random()));
        outcome = builder->add(labels, chunk);
      }
    });
  }
  if (!outcome.ok()) return outcome.error();
  return days;
}

Result<std::vector<RecentObject>> write_days(objstore::ObjectStore& objects, IndexObjects& index_objects, const CallContext& ctx, const std::string& tenant,
                                                         const Frozen& frozen) {
  SKALD_TRY(const auto builders, build_days(tenant, frozen, *ctx.clock));
  std::vector<RecentObject> written;
  for (const auto& [day, builder] : builders) {
    SKALD_TRY_VOID(ctx.check());
    SKALD_TRY(index::BuiltDayIndex built, builder->finish());
    const auto object = std::make_shared<IndexObject>(index::day_index_key(tenant, day, built.header.id), built.header.id, day);
    // Opened before it is written: what we cannot read must not replace what is pending.
    auto bytes = std::make_shared<const Bytes>(std::move(built.bytes));
    SKALD_TRY(IndexReaderPtr reader, index::DayIndexReader::open(bytes));
    SKALD_TRY_VOID(objects.put(object->key(), *bytes, ctx));
    index_objects.add(object, reader);
    written.push_back({.object = object, .reader = std::move(reader), .until_ns = 0});
  }
  return written;
}

}  // namespace

Result<void> Store::ship_pending(const CallContext& ctx) {
  const std::lock_guard shipping(state_->ship_mutex);
  std::unique_ptr<Error> first_error;
  for (const auto& [tenant, tenant_index] : state_->all()) {
    tenant_index->drop_expired(ctx.clock->monotonic_ns());
    const Frozen frozen = tenant_index->freeze_pending();
    if (frozen.empty()) continue;
    CallContext tenant_ctx = ctx;
    tenant_ctx.tenant = tenant;
    const std::int64_t start_ns = ctx.clock->monotonic_ns();
    auto written = write_days(state_->objects, state_->index_objects, tenant_ctx, tenant, frozen);
    const double duration_s = static_cast<double>(ctx.clock->monotonic_ns() - start_ns) / 1e9;
    state_->request_duration.with({"index_chunk", written.ok() ? "200" : "500", "store"}).observe(duration_s);
    const char* status = written.ok() ? "success" : "failure";
    state_->builds.with({"store", "head", status}).add();
    state_->uploads.with({"store", status}).add();
    if (written.ok()) state_->last_build_s.set(static_cast<double>(ctx.clock->now_ns()) / 1e9);
    if (!written.ok()) {
      log::error("index not shipped", {{"tenant", tenant}, {"err", written.error().message()}});
      if (first_error == nullptr) first_error = std::make_unique<Error>(written.error().with_prefix("tenant " + tenant + ": ship index"));
      continue;
    }
    // From now on whoever lists finds them.
    for (RecentObject& object : *written) object.until_ns = ctx.clock->monotonic_ns() + state_->recent_keep_ns;
    tenant_index->replace_shipped(frozen, *written, state_->recent_keep_ns > 0);
    log::debug("index shipped", {{"tenant", tenant}, {"objects", written->size()}});
  }
  if (first_error != nullptr) return *first_error;
  return {};
}

}  // namespace skald::store
