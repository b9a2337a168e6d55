#include "compactor/day.h"

#include <algorithm>

#include "skald/base/clock.h"
#include "skald/obs/log.h"

namespace skald::compactor {
namespace {

constexpr std::uint32_t kSeriesAtATime = 1024;   // sketches of more would be decoded at once

Result<std::shared_ptr<const index::DayIndexReader>> open_index(objstore::ObjectStore& objects, const CallContext& ctx, const std::string& tenant, std::int64_t day,
                                                                const Ulid& id) {
  const std::string key = index::day_index_key(tenant, day, id);
  auto bytes = objects.get(key, {}, ctx);
  if (!bytes.ok()) return bytes.error().with_prefix("index object " + key);
  auto reader = index::DayIndexReader::open(std::make_shared<const Bytes>(std::move(*bytes)));
  if (!reader.ok()) return reader.error().with_prefix("index object " + key);
  if ((*reader)->header().id != id || (*reader)->header().day != day) {
    return Error(ErrorCode::kCorruption, "index object " + key + ": its header names another object or day");
  }
  return reader;
}

bool contains(const std::vector<Ulid>& sorted, const Ulid& id) { return std::binary_search(sorted.begin(), sorted.end(), id); }

}  // namespace

Result<DayState> DayState::load(objstore::ObjectStore& objects, const CallContext& ctx, std::string tenant, const DayListing& listing) {
  DayState state;
  state.tenant_ = std::move(tenant);
  state.day_ = listing.day;
  state.present_ = listing.ids;
  Ulid base;
  for (const Ulid& id : listing.ids) {
    const auto generation = index::merged_generation(listing.day, id);
    if (!generation.has_value() || *generation <= state.generation_) continue;
    state.generation_ = *generation;
    base = id;
  }
  const auto changed = [](const Error& error) { return error.code() == ErrorCode::kNotFound ? Error(ErrorCode::kUnavailable, error.message()) : error; };
  std::vector<Ulid> replaced;
  if (state.generation_ != 0) {
    auto opened = open_index(objects, ctx, state.tenant_, state.day_, base);
    if (!opened.ok()) return changed(opened.error());
    state.base_ = std::move(*opened);
    state.upkeep_ = state.base_->upkeep();
    replaced = state.base_->header().inputs;
  }
  for (const Ulid& id : listing.ids) {
    if (contains(replaced, id) || index::merged_generation(listing.day, id).has_value()) continue;
    auto opened = open_index(objects, ctx, state.tenant_, state.day_, id);
    if (opened.ok()) {
      state.fresh_.push_back(std::move(*opened));
    } else if (opened.error().code() == ErrorCode::kCorruption) {
      log::error("index object left out of compaction", {{"tenant", state.tenant_}, {"day", state.day_}, {"err", opened.error().message()}});
      state.unreadable_.push_back(id);
    } else {
      return changed(opened.error());
    }
  }
  state.gather_objects();
  return state;
}

void DayState::gather_objects() {
  retired_.clear();
  objects_.clear();
  fresh_objects_.clear();
  for (const index::RetiredObject& one : upkeep_.retired_objects) retired_.insert(one.id);
  const auto add = [&](const index::DayIndexReader& reader, bool is_fresh) {
    for (const index::ObjectRef& object : reader.objects()) {
      if (is_fresh) fresh_objects_.insert(object.id);
      if (!retired_.contains(object.id)) objects_.emplace(object.id, object);
    }
  };
  if (base_ != nullptr) add(*base_, false);
  for (const auto& reader : fresh_) add(*reader, true);
}

std::uint32_t DayState::level_of(const Ulid& object) const {
  const auto at = std::lower_bound(upkeep_.compacted.begin(), upkeep_.compacted.end(), object, [](const auto& one, const Ulid& id) { return one.id < id; });
  return at != upkeep_.compacted.end() && at->id == object ? at->level : 0;
}

void DayState::forget_present(const std::set<Ulid>& removed) {
  std::erase_if(present_, [&](const Ulid& id) { return removed.contains(id); });
}

std::uint64_t DayState::index_bytes() const {
  std::uint64_t bytes = base_ == nullptr ? 0 : base_->size_bytes();
  for (const auto& reader : fresh_) bytes += reader->size_bytes();
  return bytes;
}

Result<void> DayState::for_each(const CallContext& ctx, index::WithSketches with_sketches, const RefVisitor& visit) const {
  const index::TimeRange always{.start_ns = INT64_MIN, .end_ns = INT64_MAX};
  const auto walk = [&](const index::DayIndexReader& reader) -> Result<void> {
    const std::uint32_t series = reader.header().series;
    for (std::uint32_t begin = 0; begin < series; begin += kSeriesAtATime) {
      SKALD_TRY_VOID(ctx.check());
      index::SeriesBitmap only(series);
      only.set_range(begin, std::min(series, begin + kSeriesAtATime));
      std::vector<index::StreamChunkRefs> streams;
      SKALD_TRY_VOID(reader.append_chunk_refs(only, always, with_sketches, streams));
      for (index::StreamChunkRefs& stream : streams) {
        for (index::ChunkRef& chunk : stream.chunks) {
          if (!retired_.contains(chunk.object.id)) SKALD_TRY_VOID(visit(stream.labels, chunk));
        }
      }
    }
    return {};
  };
  if (base_ != nullptr) SKALD_TRY_VOID(walk(*base_));
  for (const auto& reader : fresh_) SKALD_TRY_VOID(walk(*reader));
  return {};
}

class DayCommit {
 public:
  DayCommit(objstore::ObjectStore& objects, const CallContext& ctx, const DayState& before, const DayEdit& edit, const CommitOptions& options)
      : objects_(objects), ctx_(ctx), before_(before), edit_(edit), options_(options), id_(index::merged_index_id(before.day(), before.generation() + 1)),
        key_(index::day_index_key(before.tenant(), before.day(), id_)), builder_(before.tenant(), before.day(), id_) {}

  Result<CommitOutcome> run(DayChange& change) {
    SKALD_TRY_VOID(fill(change));
    SKALD_TRY(index::BuiltDayIndex built, builder_.finish());
    change.index_bytes = built.bytes.size();
    auto bytes = std::make_shared<const Bytes>(std::move(built.bytes));
    // Opened before it is written: what we cannot read must not replace anything.
    SKALD_TRY(auto reader, index::DayIndexReader::open(bytes));
    SKALD_TRY_VOID(ctx_.check());
    SKALD_TRY(const CommitOutcome outcome, write(*bytes));
    if (outcome == CommitOutcome::kLost) return outcome;
    change.state = before_;
    change.state.generation_ = before_.generation() + 1;
    change.state.base_ = std::move(reader);
    change.state.fresh_.clear();
    change.state.upkeep_ = change.state.base_->upkeep();
    change.state.present_.push_back(id_);
    std::sort(change.state.present_.begin(), change.state.present_.end());
    change.state.gather_objects();
    return outcome;
  }

 private:
  Result<void> fill(DayChange& change) {
    std::set<Ulid> listed;
    const auto keep = [&](const model::LabelsPtr& labels, const index::ChunkRef& chunk) -> Result<void> {
      listed.insert(chunk.object.id);
      return builder_.add(labels, chunk);
    };
    const Result<void> kept = before_.for_each(ctx_, index::WithSketches::kYes, [&](const model::LabelsPtr& labels, index::ChunkRef& chunk) -> Result<void> {
      if (edit_.replaced.contains(chunk.object.id)) return {};
      if (edit_.drop && edit_.drop(labels, chunk)) {
        ++change.dropped_chunks;
        return {};
      }
      return keep(labels, chunk);
    });
    if (!kept.ok()) return kept;
    for (const index::IndexEntry& entry : edit_.added) SKALD_TRY_VOID(keep(entry.labels, entry.chunk));

    index::Upkeep upkeep;
    const index::Upkeep& old = before_.upkeep();
    for (const index::RetiredObject& one : old.retired_objects)
      if (!edit_.forget || !edit_.forget(one)) upkeep.retired_objects.push_back(one);
    for (const auto& [id, object] : before_.objects()) {
      if (listed.contains(id)) continue;
      upkeep.retired_objects.push_back({id, object.shard_start_ns, options_.now_ms});
      ++change.retired_objects;
    }
    for (const index::CompactedObject& one : old.compacted)
      if (listed.contains(one.id)) upkeep.compacted.push_back(one);
    for (const index::CompactedObject& one : edit_.compacted)
      if (listed.contains(one.id)) upkeep.compacted.push_back(one);
    upkeep.retired_objects.insert(upkeep.retired_objects.end(), edit_.retired.begin(), edit_.retired.end());
    upkeep.deletes = edit_.deletes;

    // What was replaced earlier stays replaced for as long as it exists: a reader may find it without the object that said so.
    for (const index::RetiredIndex& one : old.retired_indexes)
      if (contains(before_.present(), one.id)) upkeep.retired_indexes.push_back(one);
    const auto replace = [&](const Ulid& id) {
      upkeep.retired_indexes.push_back({id, options_.now_ms});
      ++change.merged_indexes;
    };
    if (before_.base_ != nullptr) replace(before_.base_->header().id);
    for (const auto& reader : before_.fresh()) replace(reader->header().id);
    for (const index::RetiredIndex& one : upkeep.retired_indexes) builder_.add_input(one.id);
    builder_.set_upkeep(std::move(upkeep));
    return {};
  }

  // Once begun it is finished: told to stop in between, one would not know whether it was written.
  Result<CommitOutcome> write(const Bytes& bytes) {
    CallContext ctx = ctx_;
    ctx.cancel = nullptr;
    if (options_.may_overwrite) {
      SKALD_TRY(const std::vector<objstore::ObjectInfo> found, objstore::list_objects(objects_, key_, ctx));
      if (!found.empty()) return compare(bytes, ctx);
      SKALD_TRY_VOID(objects_.put(key_, bytes, ctx));
      return CommitOutcome::kDone;
    }
    const Result<void> created = objects_.create(key_, bytes, ctx);
    if (created.ok()) return CommitOutcome::kDone;
    if (created.error().code() == ErrorCode::kAlreadyExists) return compare(bytes, ctx);
    if (created.error().code() == ErrorCode::kUnimplemented) return created.error();
    // The answer may have been lost on its way.
    if (const auto outcome = compare(bytes, ctx); outcome.ok()) return outcome;
    return created.error().with_prefix("index object " + key_);
  }

  // Ours or somebody else's?
  Result<CommitOutcome> compare(const Bytes& bytes, const CallContext& ctx) {
    SKALD_TRY(const Bytes stored, objects_.get(key_, {}, ctx));
    return stored == bytes ? CommitOutcome::kDone : CommitOutcome::kLost;
  }

  objstore::ObjectStore& objects_;
  const CallContext& ctx_;
  const DayState& before_;
  const DayEdit& edit_;
  const CommitOptions& options_;
  const Ulid id_;
  const std::string key_;
  index::DayIndexBuilder builder_;
};

Result<CommitOutcome> commit(objstore::ObjectStore& objects, const CallContext& ctx, const DayState& before, const DayEdit& edit, const CommitOptions& options,
                             DayChange& change) {
  return DayCommit(objects, ctx, before, edit, options).run(change);
}

}  // namespace skald::compactor
