#include "compactor/shard_merge.h"

#include <algorithm>
#include <list>
#include <map>
#include <set>
#include <tuple>

#include "skald/chunk/reader.h"

namespace skald::compactor {
namespace {

using index::ChunkRef;
using Place = std::pair<Ulid, std::uint64_t>;   // object, offset

bool same_place(const ChunkRef& a, const ChunkRef& b) { return a.offset == b.offset && a.object.id == b.object.id; }

// Replicas write equal rows into different objects. The content id of a group is all its members': equal groups have equal members.
bool same_rows(const ChunkRef& a, const ChunkRef& b) {
  return a.content_id != 0 && a.content_id == b.content_id && a.rows == b.rows && a.raw_bytes == b.raw_bytes && a.group == b.group && a.first_row == b.first_row &&
         a.min_ts_ns == b.min_ts_ns && a.max_ts_ns == b.max_ts_ns;
}

// What becomes of some chunks of a stream, neighbours in time.
struct Step {
  bool copy = false;               // exactly one chunk, as it is
  std::vector<ChunkRef> chunks;
};

struct StreamPlan {
  model::LabelsPtr labels;
  bool small = false;              // all of it goes to a group chunk; one step
  std::uint64_t raw_bytes = 0;
  std::uint64_t duplicate_rows = 0;
  std::vector<Step> steps;
};

StreamPlan plan_stream(index::StreamChunkRefs stream, const ShardJob& job, const WriterOptions& options) {
  StreamPlan plan{.labels = std::move(stream.labels), .small = false, .raw_bytes = 0, .duplicate_rows = 0, .steps = {}};
  std::vector<ChunkRef>& chunks = stream.chunks;
  std::sort(chunks.begin(), chunks.end(), [](const ChunkRef& a, const ChunkRef& b) {
    return std::tie(a.min_ts_ns, a.max_ts_ns, a.rows, a.content_id, a.object.id, a.offset) < std::tie(b.min_ts_ns, b.max_ts_ns, b.rows, b.content_id, b.object.id, b.offset);
  });
  std::vector<ChunkRef> distinct;
  std::uint64_t rows = 0;
  for (ChunkRef& chunk : chunks) {
    if (!distinct.empty() && same_place(distinct.back(), chunk)) continue;
    if (!distinct.empty() && same_rows(distinct.back(), chunk)) {
      plan.duplicate_rows += chunk.rows;
      continue;
    }
    plan.raw_bytes += chunk.raw_bytes;
    rows += chunk.rows;
    distinct.push_back(std::move(chunk));
  }
  const auto touched = [&](const ChunkRef& chunk) { return job.deletions != nullptr && job.deletions->touches(*plan.labels, chunk); };
  const bool lone = distinct.size() == 1 && !distinct.front().group && !touched(distinct.front());
  plan.small = plan.raw_bytes + rows * 16 < options.group_stream_bytes_max && !(lone && job.copy_whole);
  if (plan.small) {
    plan.steps.push_back({.copy = false, .chunks = std::move(distinct)});
    return plan;
  }
  // Clusters of chunks that overlap in time must be merged; a cluster of one may be copied.
  Step merging;
  const auto end_merging = [&] {
    if (merging.chunks.empty()) return;
    merging.copy = merging.chunks.size() == 1 && !merging.chunks.front().group && !touched(merging.chunks.front());
    plan.steps.push_back(std::move(merging));
    merging = {};
  };
  for (std::size_t begin = 0; begin < distinct.size();) {
    std::int64_t max_ts_ns = distinct[begin].max_ts_ns;
    std::size_t end = begin + 1;
    for (; end < distinct.size() && distinct[end].min_ts_ns <= max_ts_ns; ++end) max_ts_ns = std::max(max_ts_ns, distinct[end].max_ts_ns);
    const ChunkRef& first = distinct[begin];
    const bool alone = end == begin + 1 && !first.group && !touched(first);
    if (alone && (job.copy_whole || first.raw_bytes >= job.copy_raw_bytes_min)) {
      end_merging();
      plan.steps.push_back({.copy = true, .chunks = {first}});
    } else {
      merging.chunks.insert(merging.chunks.end(), distinct.begin() + static_cast<std::ptrdiff_t>(begin), distinct.begin() + static_cast<std::ptrdiff_t>(end));
    }
    begin = end;
  }
  end_merging();
  return plan;
}

// Decoded blocks of group chunks, shared by their members. The least recently asked for go first.
class HeldBlock final : public chunk::Block {
 public:
  HeldBlock(std::shared_ptr<const chunk::Block> block, std::list<std::pair<const HeldBlock*, std::shared_ptr<const chunk::Columns>>>& held) : block_(std::move(block)), held_(held) {}
  Result<std::shared_ptr<const chunk::Columns>> load(chunk::ColumnMask need, const CallContext& ctx) const override {
    const auto at = std::find_if(held_.begin(), held_.end(), [&](const auto& entry) { return entry.first == this; });
    if (at != held_.end()) {
      held_.splice(held_.begin(), held_, at);
      return at->second;
    }
    SKALD_TRY(auto columns, block_->load(need, ctx));
    held_.emplace_front(this, columns);
    if (held_.size() > kHeldMax) held_.pop_back();
    return columns;
  }

 private:
  static constexpr std::size_t kHeldMax = 16;   // a block of a group decodes to some 2 MiB
  const std::shared_ptr<const chunk::Block> block_;
  std::list<std::pair<const HeldBlock*, std::shared_ptr<const chunk::Columns>>>& held_;
};

class Merger {
 public:
  Merger(objstore::ObjectStore& objects, exec::Pool& pool, Random& random, const WriterOptions& options, ShardJob& job, const CallContext& ctx, ShardResult& result)
      : options_(options), job_(job), ctx_(ctx), result_(result), parts_(objects, pool, job.tenant),
        writer_(objects, job.tenant, job.shard_start_ns, job.level, input_ids(job), options, random) {}

  Result<void> run() {
    const Result<void> outcome = merge();
    result_.objects = writer_.written();
    result_.bytes_out = writer_.bytes_out();
    result_.chunks_out = writer_.chunks_out();
    if (outcome.ok()) result_.entries = std::move(writer_.entries());
    return outcome;
  }

 private:
  static std::vector<Ulid> input_ids(const ShardJob& job) {
    std::vector<Ulid> ids;
    for (const index::ObjectRef& input : job.inputs) ids.push_back(input.id);
    return ids;
  }

  Result<void> merge() {
    std::sort(job_.streams.begin(), job_.streams.end(), [](const auto& a, const auto& b) { return a.labels->labels < b.labels->labels; });
    std::vector<StreamPlan> batch;
    std::set<Place> wanted;
    for (index::StreamChunkRefs& stream : job_.streams) {
      StreamPlan plan = plan_stream(std::move(stream), job_, options_);
      result_.rows.in += plan.duplicate_rows;
      result_.rows.duplicates += plan.duplicate_rows;
      std::uint64_t more = 0;
      for (const Step& step : plan.steps)
        for (const ChunkRef& chunk : step.chunks) more += wanted.contains({chunk.object.id, chunk.offset}) ? 0 : chunk.length;
      if (!batch.empty() && parts_.wanted_bytes() + more > job_.memory_bytes) {
        SKALD_TRY_VOID(write_batch(batch));
        wanted.clear();
      }
      for (const Step& step : plan.steps) {
        for (const ChunkRef& chunk : step.chunks) {
          if (!wanted.emplace(chunk.object.id, chunk.offset).second) continue;
          parts_.want(chunk);
          result_.bytes_in += chunk.length;
          ++result_.chunks_in;
        }
      }
      batch.push_back(std::move(plan));
    }
    SKALD_TRY_VOID(write_batch(batch));
    return writer_.finish(ctx_);
  }

  Result<void> write_batch(std::vector<StreamPlan>& batch) {
    if (job_.progress) SKALD_TRY_VOID(job_.progress());
    SKALD_TRY_VOID(parts_.fetch(ctx_));
    for (const StreamPlan& plan : batch) SKALD_TRY_VOID(write_stream(plan));
    batch.clear();
    held_.clear();
    readers_.clear();
    return {};
  }

  Result<void> write_stream(const StreamPlan& plan) {
    SKALD_TRY_VOID(ctx_.check());
    for (const Step& step : plan.steps) {
      if (step.copy) {
        SKALD_TRY_VOID(copy(plan, step.chunks.front()));
        continue;
      }
      SKALD_TRY(std::vector<RowSlice> slices, slices_of(plan, step));
      DeletionRows* const deletions = touches_any(plan, step) ? job_.deletions : nullptr;
      if (plan.small) {
        SmallStream rows;
        SKALD_TRY(const RowCounts counts, merge_rows(*plan.labels, std::move(slices), deletions, rows, ctx_));
        add(counts);
        if (!rows.empty()) SKALD_TRY_VOID(writer_.add_small(plan.labels, rows.take(), ctx_));
        continue;
      }
      std::uint64_t raw_bytes = 0;
      for (const ChunkRef& chunk : step.chunks) raw_bytes += chunk.raw_bytes;
      StreamWriter rows(plan.labels, raw_bytes, writer_, options_, ctx_);
      SKALD_TRY(const RowCounts counts, merge_rows(*plan.labels, std::move(slices), deletions, rows, ctx_));
      add(counts);
      SKALD_TRY_VOID(rows.finish());
      for (const ChunkRef& chunk : step.chunks)   // others want the groups
        if (!chunk.group) readers_.erase({chunk.object.id, chunk.offset});
    }
    return {};
  }

  bool touches_any(const StreamPlan& plan, const Step& step) const {
    return job_.deletions != nullptr &&
           std::any_of(step.chunks.begin(), step.chunks.end(), [&](const ChunkRef& chunk) { return job_.deletions->touches(*plan.labels, chunk); });
  }

  void add(const RowCounts& counts) {
    result_.rows.in += counts.in;
    result_.rows.out += counts.out;
    result_.rows.duplicates += counts.duplicates;
    result_.rows.removed += counts.removed;
  }

  Result<void> copy(const StreamPlan& plan, const ChunkRef& ref) {
    SKALD_TRY(const ByteView bytes, parts_.view(ref, 0, ref.length));
    auto chunk = chunk::copy_chunk(Bytes(bytes));
    if (!chunk.ok()) return chunk.error().with_prefix(describe(ref));
    if (chunk->meta.group || chunk->meta.stream_hash != plan.labels->hash || chunk->meta.rows != ref.rows) return mismatch(ref);
    ++result_.chunks_copied;
    result_.rows.in += ref.rows;
    result_.rows.out += ref.rows;
    return writer_.add(std::move(*chunk), {plan.labels}, ctx_);
  }

  static std::string describe(const ChunkRef& ref) { return "chunk at offset " + std::to_string(ref.offset) + " of object " + ref.object.id.to_string(); }
  static Error mismatch(const ChunkRef& ref) { return Error(ErrorCode::kCorruption, describe(ref) + " is not the one the index lists"); }

  struct OpenChunk {
    std::shared_ptr<chunk::ChunkReader> reader;
    std::vector<std::shared_ptr<const chunk::Block>> blocks;
  };

  Result<const OpenChunk*> open(const ChunkRef& ref) {
    const auto [at, is_new] = readers_.try_emplace({ref.object.id, ref.offset});
    if (!is_new) return &at->second;
    const auto fetch = [this, ref](std::uint64_t begin, std::uint64_t end, const CallContext&) -> Result<Bytes> {
      SKALD_TRY(const ByteView bytes, parts_.view(ref, begin, end));
      return Bytes(bytes);
    };
    auto reader = chunk::ChunkReader::open(fetch, ref.length, ref.hot_length, ctx_);
    if (!reader.ok()) return reader.error().with_prefix(describe(ref));
    at->second.reader = std::move(*reader);
    for (std::size_t i = 0; i < at->second.reader->blocks().size(); ++i) {
      std::shared_ptr<const chunk::Block> block = at->second.reader->block(i);
      if (ref.group) block = std::make_shared<HeldBlock>(std::move(block), held_);
      at->second.blocks.push_back(std::move(block));
    }
    return &at->second;
  }

  Result<std::vector<RowSlice>> slices_of(const StreamPlan& plan, const Step& step) {
    std::vector<RowSlice> slices;
    for (std::uint32_t source = 0; source < step.chunks.size(); ++source) {
      const ChunkRef& ref = step.chunks[source];
      SKALD_TRY(const OpenChunk* chunk, open(ref));
      const chunk::ChunkMeta& meta = chunk->reader->meta();
      const std::vector<chunk::BlockSummary>& blocks = chunk->reader->blocks();
      if (meta.group != ref.group) return mismatch(ref);
      std::uint64_t first = 0;
      std::uint64_t last = meta.rows;
      std::int64_t min_ts_ns = meta.min_ts_ns;
      std::int64_t max_ts_ns = meta.max_ts_ns;
      if (ref.group) {
        const auto member = std::lower_bound(meta.members.begin(), meta.members.end(), plan.labels->hash, [](const auto& m, std::uint64_t hash) { return m.stream_hash < hash; });
        if (member == meta.members.end() || member->stream_hash != plan.labels->hash || member->first_row != ref.first_row || member->rows != ref.rows) return mismatch(ref);
        first = member->first_row;
        last = first + member->rows;
        min_ts_ns = member->min_ts_ns;
        max_ts_ns = member->max_ts_ns;
      } else if (meta.stream_hash != plan.labels->hash || meta.rows != ref.rows) {
        return mismatch(ref);
      }
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        const std::uint64_t begin = std::max<std::uint64_t>(first, blocks[i].first_row);
        const std::uint64_t end = std::min(last, std::uint64_t{blocks[i].first_row} + blocks[i].rows);
        if (begin >= end) continue;
        slices.push_back({.block = chunk->blocks[i], .first_row = static_cast<std::uint32_t>(begin - blocks[i].first_row), .rows = static_cast<std::uint32_t>(end - begin),
                          .min_ts_ns = std::max(min_ts_ns, blocks[i].min_ts_ns), .max_ts_ns = std::min(max_ts_ns, blocks[i].max_ts_ns), .source = source});
      }
    }
    return slices;
  }

  const WriterOptions& options_;
  ShardJob& job_;
  const CallContext& ctx_;
  ShardResult& result_;
  ObjectParts parts_;
  ObjectWriter writer_;
  std::list<std::pair<const HeldBlock*, std::shared_ptr<const chunk::Columns>>> held_;
  std::map<Place, OpenChunk> readers_;
};

}  // namespace

Result<void> merge_shard(objstore::ObjectStore& objects, exec::Pool& pool, Random& random, const WriterOptions& options, ShardJob job, const CallContext& ctx,
                         ShardResult& result) {
  return Merger(objects, pool, random, options, job, ctx, result).run();
}

}  // namespace skald::compactor
