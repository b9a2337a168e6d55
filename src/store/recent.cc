// What other processes may not have listed yet: entries not shipped, and index objects that shipped a short time ago.
#include <algorithm>

#include "skald/obs/log.h"
#include "store/lookups.h"
#include "store/store_state.h"

namespace skald::store {
namespace {

using index::ChunkRef;
using index::StreamChunkRefs;

constexpr std::int64_t kPutNs = 5 * kNanosPerMinute;   // an index object's id is made before it is written

std::int64_t made_at_ns(const Ulid& id) {
  std::int64_t ms = 0;
  for (int i = 0; i < 6; ++i) ms = ms << 8 | id.bytes[static_cast<std::size_t>(i)];
  return ms * kNanosPerMilli;
}

bool is_retired(const std::vector<Ulid>& retired, const ChunkRef& ref) { return std::binary_search(retired.begin(), retired.end(), ref.object.id); }

}  // namespace

Result<void> Store::State::knows_recent(const CallContext& ctx) {
  if (recent_keep_ns <= 0) return {};
  const std::lock_guard lock(adopt_mutex);
  if (adoption_began && !not_adopted.contains(ctx.tenant)) return {};
  return Error(ErrorCode::kUnavailable, "what shipped from here before the restart is not known yet: the bucket has not been listed");
}

Result<void> Store::State::adopt_recent(const CallContext& ctx, const std::string& tenant) {
  {
    const std::lock_guard lock(adopt_mutex);
    if (!not_adopted.contains(tenant)) return {};
  }
  if (const std::shared_ptr<TenantIndex> known = find(tenant); known != nullptr) {
    const std::int64_t now_ns = ctx.clock->now_ns(), monotonic_ns = ctx.clock->monotonic_ns();
    std::vector<RecentObject> recent;
    const TenantView view = known->view();
    for (const auto& [day, of_day] : *view.days) {
      for (const IndexObjectPtr& object : of_day) {
        if (index::merged_generation(day, object->id()).has_value()) continue;   // a compactor's
        const std::int64_t age_ns = std::max<std::int64_t>(0, now_ns - made_at_ns(object->id()));   // clocks may have been set back
        if (age_ns >= recent_keep_ns + kPutNs) continue;
        SKALD_TRY(IndexReaderPtr reader, index_objects.open(ctx, object));
        recent.push_back({.object = object, .reader = std::move(reader), .until_ns = monotonic_ns + recent_keep_ns + kPutNs - age_ns});
      }
    }
    if (!recent.empty()) log::info("index objects shipped shortly before the start are shown to peers", {{"tenant", tenant}, {"objects", recent.size()}});
    known->add_recent(std::move(recent));
  }
  const std::lock_guard lock(adopt_mutex);
  not_adopted.erase(tenant);
  return {};
}

Result<QuerySources> Store::State::recent_sources(const CallContext& ctx, const TenantIndex& tenant, const index::TimeRange& range) {
  QuerySources out{.view = tenant.recent_view(ctx.clock->monotonic_ns()), .readers = {}, .all = {}, .retired = {}};
  const std::int64_t first_day = index::day_of(range.start_ns), last_day = index::day_of(range.end_ns);
  for (const RecentObject& recent : out.view.recent) {
    if (recent.object->day() < first_day || recent.object->day() > last_day) continue;
    out.readers.push_back(recent.reader);
    out.all.push_back({.index = recent.reader.get(), .whole_days = true});
  }
  for (const auto& pending : out.view.pending)
    if (pending->chunk_count() != 0) out.all.push_back({.index = pending.get(), .whole_days = false});
  return out;
}

Result<std::vector<StreamChunkRefs>> Store::State::recent_refs(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request,
                                                               index::WithSketches with_sketches, TenantView& seen) {
  SKALD_TRY(const QuerySources sources, recent_sources(ctx, tenant, range_of(request)));
  seen = sources.view;
  if (sources.all.empty()) return std::vector<StreamChunkRefs>();
  SKALD_TRY(std::vector<StreamChunkRefs> streams, find_refs(pool, ctx, sources, request, with_sketches));
  if (streams.empty()) return streams;

  // A compactor may have been quicker than our peers' listings. Only merged indexes tell.
  const auto widen = [](index::TimeRange& range, const ChunkRef& ref) {
    range.start_ns = std::min(range.start_ns, ref.min_ts_ns);
    range.end_ns = std::max(range.end_ns, ref.max_ts_ns);
  };
  constexpr index::TimeRange kNothing{.start_ns = INT64_MAX, .end_ns = INT64_MIN};
  index::TimeRange touched = kNothing;
  for (const StreamChunkRefs& stream : streams)
    for (const ChunkRef& ref : stream.chunks) widen(touched, ref);
  SKALD_TRY(const QuerySources merged, this->sources(ctx, tenant, touched, Objects::kMerged));
  seen.listing = std::max(seen.listing, merged.view.listing);
  if (merged.retired.empty()) return streams;

  std::unordered_map<const model::InternedLabels*, std::vector<index::TimeRange>, LabelsHash, LabelsEqual> replaced;
  index::TimeRange range = kNothing;
  for (const StreamChunkRefs& stream : streams) {
    for (const ChunkRef& ref : stream.chunks) {
      if (!is_retired(merged.retired, ref)) continue;
      replaced[stream.labels.get()].push_back({.start_ns = ref.min_ts_ns, .end_ns = ref.max_ts_ns});
      widen(range, ref);
    }
  }
  if (replaced.empty()) return streams;
  rpc::SelectRequest narrow = request;
  narrow.start_ns = std::max(request.start_ns, range.start_ns);
  narrow.end_ns = std::min(request.end_ns, range.end_ns);
  SKALD_TRY(const QuerySources whole, this->sources(ctx, tenant, range_of(narrow), Objects::kAll));
  SKALD_TRY(const std::vector<StreamChunkRefs> successors, find_refs(pool, ctx, whole, narrow, with_sketches));
  StreamPositions positions;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    positions.emplace(streams[i].labels.get(), i);
    // Not those that `whole` alone calls retired: it may be newer, and their successors were not looked for.
    std::erase_if(streams[i].chunks, [&](const ChunkRef& ref) { return is_retired(merged.retired, ref); });
  }
  for (const StreamChunkRefs& successor : successors) {
    const auto times = replaced.find(successor.labels.get());
    if (times == replaced.end()) continue;
    std::vector<ChunkRef>& of_stream = streams[positions.at(successor.labels.get())].chunks;
    for (const ChunkRef& ref : successor.chunks) {
      const bool succeeds = std::any_of(times->second.begin(), times->second.end(), [&](const index::TimeRange& t) { return t.overlaps(ref.min_ts_ns, ref.max_ts_ns); });
      if (succeeds) of_stream.push_back(ref);
    }
  }
  for (StreamChunkRefs& stream : streams) sort_and_deduplicate(stream.chunks);
  std::erase_if(streams, [](const StreamChunkRefs& stream) { return stream.chunks.empty(); });
  return streams;
}

}  // namespace skald::store
