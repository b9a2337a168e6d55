#include "compactor/orphans.h"

#include <algorithm>
#include <set>

#include "skald/chunk/object_reader.h"
#include "skald/obs/log.h"

namespace skald::compactor {
namespace {

std::int64_t created_ms(const Ulid& id) {
  std::int64_t ms = 0;
  for (std::size_t i = 0; i < 6; ++i) ms = ms << 8 | id.bytes[i];
  return ms;
}

// Entries for every stream of the object, from its own tail and chunks. Every chunk's checksum is checked on the way.
Result<std::vector<index::IndexEntry>> list_object(const index::ObjectRef& ref, const Bytes& bytes) {
  SKALD_TRY(const chunk::ObjectTail tail, chunk::open_object_tail(bytes, bytes.size()));
  if (tail.trailer.id != ref.id) return Error(ErrorCode::kCorruption, "its trailer names another object");
  index::ObjectRef object = ref;
  object.length = bytes.size();
  object.tail_offset = tail.trailer.tail_offset;
  std::vector<index::IndexEntry> entries;
  for (const chunk::ObjectChunk& listed : tail.chunks) {
    auto copied = chunk::copy_chunk(bytes.substr(listed.offset, listed.length));
    if (!copied.ok()) return copied.error().with_prefix("chunk at offset " + std::to_string(listed.offset));
    chunk::ChunkMeta& meta = copied->meta;
    index::ChunkRef chunk{.object = object, .offset = listed.offset, .length = meta.length, .hot_length = meta.hot_length, .min_ts_ns = meta.min_ts_ns,
                          .max_ts_ns = meta.max_ts_ns, .rows = meta.rows, .raw_bytes = meta.raw_bytes, .content_id = meta.content_id, .group = meta.group,
                          .first_row = 0, .sketch = std::move(meta.sketch)};
    if (chunk::time_shard_start(chunk.min_ts_ns) != ref.shard_start_ns || chunk::time_shard_start(chunk.max_ts_ns) != ref.shard_start_ns) {
      return Error(ErrorCode::kCorruption, "chunk at offset " + std::to_string(listed.offset) + " belongs to another time shard");
    }
    const auto add = [&](std::uint64_t stream_hash, const index::ChunkRef& part) -> Result<void> {
      const auto labels = tail.labels.find(stream_hash);
      if (labels == tail.labels.end()) return Error(ErrorCode::kCorruption, "chunk at offset " + std::to_string(listed.offset) + ": a stream without labels");
      entries.push_back({labels->second, part});
      return {};
    };
    if (!meta.group) {
      SKALD_TRY_VOID(add(meta.stream_hash, chunk));
      continue;
    }
    for (const chunk::GroupMember& member : meta.members) {
      index::ChunkRef part = chunk;
      part.first_row = member.first_row;
      part.rows = member.rows;
      part.raw_bytes = member.raw_bytes;
      part.min_ts_ns = member.min_ts_ns;
      part.max_ts_ns = member.max_ts_ns;
      SKALD_TRY_VOID(add(member.stream_hash, part));
    }
  }
  return entries;
}

class Finder {
 public:
  Finder(const DayEnvironment& env, const DayState& state, const std::vector<std::shared_ptr<const DeleteRequest>>& processed, const WriterOptions& writer,
         const CallContext& ctx, Orphans& found)
      : env_(env), state_(state), processed_(processed), writer_(writer), ctx_(ctx), found_(found), now_ns_(env.clock.now_ns()) {}

  Result<void> look_at(const index::ObjectRef& object) {
    if (state_.objects().contains(object.id) || state_.is_retired(object.id)) return {};
    const std::int64_t age_ns = now_ns_ - created_ms(object.id) * kNanosPerMilli;
    const std::int64_t least_ns = std::min(env_.options.orphan_grace_ns, env_.options.adopt_grace_ns);
    if (age_ns < least_ns) return wait(age_ns, least_ns);
    const std::string key = chunk::object_key(state_.tenant(), object.shard_start_ns, object.id);
    const auto head = env_.objects.get(key, {.begin = 0, .end = chunk::kObjectHeaderBytes}, ctx_);
    if (!head.ok() && head.error().code() == ErrorCode::kNotFound) return {};   // gone since it was listed
    if (!head.ok()) return head.error();
    const auto header = chunk::read_object_header(*head);
    if (!header.ok() || header->id != object.id) {
      log::error("chunk object that no index lists cannot be read; left alone", {{"key", key}, {"err", header.ok() ? "it names another object" : header.error().message()}});
      return {};
    }
    const std::int64_t grace_ns = header->level == 0 ? env_.options.adopt_grace_ns : env_.options.orphan_grace_ns;
    if (age_ns < grace_ns) return wait(age_ns, grace_ns);
    if (header->level != 0) {
      found_.condemned.push_back(key);
      return {};
    }
    return adopt(object, key);
  }

 private:
  Result<void> wait(std::int64_t age_ns, std::int64_t grace_ns) {
    found_.next_due_ns = std::min(found_.next_due_ns, now_ns_ + grace_ns - age_ns);
    return {};
  }

  Result<void> adopt(const index::ObjectRef& object, const std::string& key) {
    const auto bytes = env_.objects.get(key, {}, ctx_);
    if (!bytes.ok() && bytes.error().code() == ErrorCode::kNotFound) return {};
    if (!bytes.ok()) return bytes.error();
    auto entries = list_object(object, *bytes);
    if (!entries.ok()) {
      log::error("chunk object that no index lists is damaged; left alone", {{"key", key}, {"err", entries.error().message()}});
      return {};
    }
    log::warn("chunk object that no index listed is listed again", {{"key", key}, {"streams", entries->size()}});
    ++found_.objects_adopted;
    // Rows of requests that came after them are not to come back.
    DeleteRows deletions;
    for (const auto& request : processed_)
      if (request->created_ms >= created_ms(object.id)) SKALD_TRY_VOID(deletions.add(request));
    const bool touched = std::any_of(entries->begin(), entries->end(), [&](const index::IndexEntry& entry) { return deletions.touches(*entry.labels, entry.chunk); });
    if (touched) return rewrite(std::move(*entries), deletions);
    found_.adopted.insert(found_.adopted.end(), std::make_move_iterator(entries->begin()), std::make_move_iterator(entries->end()));
    return {};
  }

  Result<void> rewrite(std::vector<index::IndexEntry> entries, DeleteRows& deletions) {
    const index::ObjectRef object = entries.front().chunk.object;
    ShardJob job{.tenant = state_.tenant(), .shard_start_ns = object.shard_start_ns, .inputs = {object}, .streams = {}, .level = 1, .copy_whole = true,
                 .copy_raw_bytes_min = 0, .memory_bytes = std::max<std::uint64_t>(env_.memory_bytes / 4, 1 << 20), .deletions = &deletions, .progress = env_.progress};
    for (index::IndexEntry& entry : entries) {   // several chunks of one stream are neighbours for the merge, not here
      const auto at = std::find_if(job.streams.begin(), job.streams.end(), [&](const auto& stream) { return stream.labels->labels == entry.labels->labels; });
      if (at != job.streams.end()) at->chunks.push_back(std::move(entry.chunk));
      else job.streams.push_back({.labels = entry.labels, .chunks = {std::move(entry.chunk)}});
    }
    ShardResult merged;
    const Result<void> outcome = merge_shard(env_.objects, env_.pool, env_.random, writer_, std::move(job), ctx_, merged);
    for (const WrittenObject& output : merged.objects) found_.outputs.push_back(output.key);
    SKALD_TRY_VOID(outcome);
    for (const WrittenObject& output : merged.objects) found_.compacted.push_back({output.ref.id, 1});
    found_.adopted.insert(found_.adopted.end(), std::make_move_iterator(merged.entries.begin()), std::make_move_iterator(merged.entries.end()));
    found_.retired.push_back({object.id, object.shard_start_ns, now_ns_ / kNanosPerMilli});
    return {};
  }

  const DayEnvironment& env_;
  const DayState& state_;
  const std::vector<std::shared_ptr<const DeleteRequest>>& processed_;
  const WriterOptions& writer_;
  const CallContext& ctx_;
  Orphans& found_;
  const std::int64_t now_ns_;
};

}  // namespace

Result<void> find_orphans(const DayEnvironment& env, const DayState& state, const std::vector<index::ObjectRef>& listed,
                          const std::vector<std::shared_ptr<const DeleteRequest>>& processed, const WriterOptions& writer, const CallContext& ctx, Orphans& found) {
  Finder finder(env, state, processed, writer, ctx, found);
  for (const index::ObjectRef& object : listed) {
    SKALD_TRY_VOID(ctx.check());
    SKALD_TRY_VOID(finder.look_at(object));
  }
  return {};
}

}  // namespace skald::compactor
