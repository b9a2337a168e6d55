// From memory to the bucket: cut, encode, pack, put, log, show in the store, forget; then ship the index and trim the log.
#include <algorithm>

#include "ingester/state.h"
#include "skald/obs/log.h"

namespace skald::ingester {
namespace {

using PartsByShard = std::map<std::int64_t, std::vector<ShardPart>>;

CallContext background_context(const CallContext& from, const std::string& tenant) {
  CallContext ctx = from;
  ctx.tenant = tenant;
  return ctx;
}

// Equal timestamps at the seam of two blocks may hide a duplicate.
Result<bool> share_a_row(const chunk::EncodedBlockPtr& first, const chunk::EncodedBlockPtr& second, const CallContext& ctx) {
  SKALD_TRY(const auto a, chunk::as_block(first)->load(chunk::kAllColumns, ctx));
  SKALD_TRY(const auto b, chunk::as_block(second)->load(chunk::kAllColumns, ctx));
  const auto merged = merge_rows({a, b}, chunk::kBlockRowsMax * 2, ~0ULL);
  std::uint64_t rows = 0;
  for (const auto& shard : merged) rows += shard.rows;
  return rows != static_cast<std::uint64_t>(a->rows) + b->rows;
}

}  // namespace

void Ingester::State::encode_later(std::vector<MemBlockPtr> blocks) {
  {
    std::lock_guard lock(loop_mutex);
    tasks += blocks.size();
  }
  for (auto& block : blocks) {
    pool.submit([this, block = std::move(block)] {
      encode(*block);
      std::lock_guard lock(loop_mutex);
      if (--tasks == 0) tasks_done.notify_all();
    });
  }
}

void Ingester::State::encode(MemBlock& block) {
  HeadView view;
  {
    std::lock_guard lock(block.mutex);
    if (!block.view.chain || block.dropped) return;
    view = block.view;
  }
  const chunk::ChunkOptions chunk_options{options.chunk_encoding, 1, writer_hash, clock.now_ns()};
  std::vector<MemBlock::Piece> pieces;
  std::uint64_t bytes = 0;
  for (const auto& shard : merge_rows({decode_head(view)}, chunk::kBlockRowsMax, ~0ULL)) {
    for (const auto& columns : shard.blocks) {
      auto encoded = chunk::encode_block(*columns, chunk_options);
      if (!encoded.ok()) {  // stays as it is; the flush says so again
        log::error("encoding a block failed", {{"err", encoded.error().message()}});
        return;
      }
      bytes += chunk::memory_bytes(**encoded);
      std::uint64_t raw = 0;
      for (std::uint32_t row = 0; row < columns->rows; ++row) raw += columns->line(row).size();
      pieces.push_back({shard.shard_start_ns, std::move(encoded).value(), columns->rows, raw, columns->timestamps_ns.front(), columns->timestamps_ns.back()});
    }
  }
  std::lock_guard lock(block.mutex);
  if (!block.view.chain || block.dropped) return;
  memory_bytes.fetch_add(static_cast<std::int64_t>(bytes) - static_cast<std::int64_t>(block.memory_bytes), std::memory_order_relaxed);
  block.memory_bytes = bytes;
  block.pieces = std::move(pieces);
  block.view = {};
  block.decoded.reset();
}

CutChunkPtr Ingester::State::cut(Stream& stream, const char* reason) {
  if (stream.head_rows > 0) seal_head(stream);
  if (!stream.blocks || stream.blocks->sealed.empty()) return nullptr;
  auto chunk = std::make_shared<CutChunk>();
  chunk->tenant = stream.tenant;
  chunk->labels = stream.labels;
  chunk->stream_id = stream.id;
  chunk->blocks = std::move(stream.blocks->sealed);
  chunk->first_ordinal = stream.first_ordinal;
  chunk->last_ordinal = stream.last_ordinal;
  chunk->min_ts_ns = chunk->blocks.front()->min_ts_ns;
  chunk->max_ts_ns = chunk->blocks.front()->max_ts_ns;
  for (const auto& block : chunk->blocks) {
    chunk->rows += block->rows;
    chunk->raw_bytes += block->raw_bytes;
    chunk->min_ts_ns = std::min(chunk->min_ts_ns, block->min_ts_ns);
    chunk->max_ts_ns = std::max(chunk->max_ts_ns, block->max_ts_ns);
  }
  chunk->cut_ns = clock.monotonic_ns();
  chunk->begun_ns = epoch_ns + (static_cast<std::int64_t>(stream.begun_s) - 1) * kNanosPerSecond;
  chunk->reason = reason;
  stream.blocks->sealed.clear();
  stream.blocks->raw_bytes = 0;
  stream.blocks->flushing.push_back(chunk);
  stream.first_ordinal = stream.last_ordinal = 0;
  std::lock_guard lock(queue_mutex);
  queue.push_back(chunk);
  metrics.flush_queue_length.set(static_cast<double>(queue.size()));
  return chunk;
}

void Ingester::State::cut_ripe(bool everything) {
  const std::uint32_t now_s = seconds_now();
  const auto seconds = [](std::int64_t ns) { return static_cast<std::uint32_t>(ns / kNanosPerSecond); };
  for (Shard& shard : shards) {
    std::lock_guard lock(shard.mutex);
    shard.streams.for_each([&](Stream& stream) {
      if (!stream.has_open_data()) return;
      std::int64_t min_ns = stream.head_rows > 0 ? stream.head_min_ns : stream.blocks->sealed.front()->min_ts_ns;
      std::int64_t max_ns = stream.head_rows > 0 ? stream.head_max_ns : stream.blocks->sealed.front()->max_ts_ns;
      if (stream.blocks) {
        for (const auto& block : stream.blocks->sealed) {
          min_ns = std::min(min_ns, block->min_ts_ns);
          max_ns = std::max(max_ns, block->max_ts_ns);
        }
      }
      if (everything)
        cut(stream, "forced");
      else if (now_s - stream.appended_s >= seconds(options.chunk_idle_ns))
        cut(stream, "idle");
      else if (now_s - stream.begun_s >= seconds(options.max_chunk_age_ns) || chunk::time_shard_start(min_ns) != chunk::time_shard_start(max_ns))
        cut(stream, "max_age");
    });
  }
}

void Ingester::State::cut_for_memory() {
  if (soft_bytes == 0 || memory_bytes.load() <= static_cast<std::int64_t>(soft_bytes)) return;
  // Largest first, until what is being flushed brings memory to 80 % of the soft limit.
  struct Candidate {
    std::uint64_t bytes;
    Shard* shard;
    std::uint64_t id;
  };
  std::vector<Candidate> candidates;
  for (Shard& shard : shards) {
    std::lock_guard lock(shard.mutex);
    shard.streams.for_each([&](Stream& stream) {
      if (!stream.has_open_data()) return;
      std::uint64_t bytes = stream.head ? stream.head->memory_bytes() : 0;
      if (stream.blocks)
        for (const auto& block : stream.blocks->sealed) {
          std::lock_guard block_lock(block->mutex);
          bytes += block->memory_bytes;
        }
      candidates.push_back({bytes, &shard, stream.id});
    });
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) { return a.bytes > b.bytes; });
  std::int64_t excess = memory_bytes.load() - static_cast<std::int64_t>(soft_bytes / 5 * 4);
  std::unordered_map<Shard*, std::set<std::uint64_t>> chosen;
  for (const auto& candidate : candidates) {
    if (excess <= 0) break;
    chosen[candidate.shard].insert(candidate.id);
    excess -= static_cast<std::int64_t>(candidate.bytes);
  }
  for (const auto& [shard, ids] : chosen) {
    std::lock_guard lock(shard->mutex);
    shard->streams.for_each([&, &wanted = ids](Stream& stream) {
      if (wanted.contains(stream.id)) cut(stream, "forced");
    });
  }
}

void Ingester::State::cut_for_wal() {
  if (!wal || wal->total_bytes() <= options.wal_bytes_max) return;
  // Streams whose oldest data keeps the oldest segments alive, as many segments as must go.
  const auto segments = wal->segments();
  std::uint64_t total = wal->total_bytes(), up_to = 0;
  for (const auto& segment : segments) {
    if (total <= options.wal_bytes_max / 2) break;
    up_to = std::max(up_to, segment.max_ordinal);
    total -= segment.bytes;
  }
  for (Shard& shard : shards) {
    std::lock_guard lock(shard.mutex);
    shard.streams.for_each([&](Stream& stream) {
      if (stream.has_open_data() && stream.first_ordinal <= up_to) cut(stream, "forced");
    });
  }
  (void)wal->roll();
}

Result<std::map<std::int64_t, ShardPart>> split_by_shard(const CutChunkPtr& cut, bool want_rows, const CallContext& ctx) {
  std::map<std::int64_t, ShardPart> parts;
  if (!want_rows) {
    std::map<std::int64_t, std::vector<MemBlock::Piece>> pieces;
    bool all_encoded = true;
    for (const auto& block : cut->blocks) {
      std::lock_guard lock(block->mutex);
      all_encoded = all_encoded && !block->view.chain;
      for (const auto& piece : block->pieces) pieces[piece.shard_start_ns].push_back(piece);
    }
    bool apart = all_encoded;
    for (auto& [shard, list] : pieces) {
      std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.min_ts_ns < b.min_ts_ns; });
      for (std::size_t i = 1; i < list.size() && apart; ++i) {
        if (list[i - 1].max_ts_ns > list[i].min_ts_ns) apart = false;
        else if (list[i - 1].max_ts_ns == list[i].min_ts_ns) {
          SKALD_TRY(const bool shared, share_a_row(list[i - 1].encoded, list[i].encoded, ctx));
          apart = !shared;
        }
      }
    }
    if (apart) {
      for (auto& [shard, list] : pieces) {
        ShardPart& part = parts[shard];
        part.owner = cut;
        for (auto& piece : list) {
          part.raw_bytes += piece.raw_bytes;
          part.encoded.push_back(std::move(piece.encoded));
        }
      }
      return parts;
    }
  }
  std::vector<std::shared_ptr<const chunk::Columns>> sources;
  for (const auto& block : cut->blocks) {
    HeadView view;
    std::vector<MemBlock::Piece> pieces;
    {
      std::lock_guard lock(block->mutex);
      view = block->view;
      pieces = block->pieces;
    }
    if (view.chain) sources.push_back(decode_head(view));
    for (const auto& piece : pieces) {
      SKALD_TRY(auto columns, chunk::as_block(piece.encoded)->load(chunk::kAllColumns, ctx));
      sources.push_back(std::move(columns));
    }
  }
  for (auto& shard : merge_rows(sources, chunk::kBlockRowsMax, chunk::kBlockRawBytesTarget)) {
    ShardPart& part = parts[shard.shard_start_ns];
    part.owner = cut;
    part.columns = std::move(shard.blocks);
    part.raw_bytes = shard.raw_bytes;
  }
  return parts;
}

namespace {

index::ChunkRef make_ref(const index::ObjectRef& object, const chunk::PlacedChunk& placed) {
  index::ChunkRef ref;
  ref.object = object;
  ref.offset = placed.offset;
  ref.length = placed.meta.length;
  ref.hot_length = placed.meta.hot_length;
  ref.content_id = placed.meta.content_id;
  ref.group = placed.meta.group;
  ref.min_ts_ns = placed.meta.min_ts_ns;
  ref.max_ts_ns = placed.meta.max_ts_ns;
  ref.rows = placed.meta.rows;
  ref.raw_bytes = placed.meta.raw_bytes;
  if (!placed.meta.group) ref.sketch = placed.meta.sketch;
  return ref;
}

}  // namespace

Result<void> Ingester::State::flush_queued(bool everything, const CallContext& ctx) {
  std::lock_guard flush_lock(flush_mutex);
  std::vector<CutChunkPtr> taken;
  {
    std::lock_guard lock(queue_mutex);
    taken.swap(queue);
  }
  // Frames of all that was cut are in the log's queue once their passes are gone.
  push_gate.wait_for_passes();

  std::optional<Error> failure;
  std::vector<CutChunkPtr> again;
  std::map<Tenant*, std::vector<CutChunkPtr>> by_tenant;
  for (auto& chunk : taken) by_tenant[chunk->tenant].push_back(std::move(chunk));
  for (auto& [tenant, chunks] : by_tenant) {
    // Full chunks wait for company, so that objects are worth their request; anything else cut drags them along.
    if (!everything) {
      std::uint64_t bytes = 0;
      bool ripe = false;
      for (const auto& chunk : chunks) {
        bytes += chunk->raw_bytes / 8;
        ripe |= chunk->reason != std::string_view("full") || clock.monotonic_ns() - chunk->cut_ns >= kObjectWaitNs;
      }
      if (!ripe && bytes < kObjectBytesMin) {
        again.insert(again.end(), chunks.begin(), chunks.end());
        continue;
      }
    }
    if (auto flushed = flush_tenant(*tenant, chunks, background_context(ctx, tenant->name)); !flushed.ok()) {
      metrics.flush_failures.add(1);
      log::warn("flush failed; it will be tried again", {{"tenant", tenant->name}, {"err", flushed.error().message()}});
      failure = flushed.error();
      for (auto& chunk : chunks)
        if (!chunk->durable) again.push_back(chunk);
    }
  }
  {
    std::lock_guard lock(queue_mutex);
    queue.insert(queue.begin(), again.begin(), again.end());
    metrics.flush_queue_length.set(static_cast<double>(queue.size()));
  }
  if (failure) return *failure;
  return {};
}

Result<void> Ingester::State::flush_tenant(Tenant& tenant, const std::vector<CutChunkPtr>& chunks, const CallContext& ctx) {
  // In portions, so that what is decoded and built beside what is held stays a small part of the memory allowed.
  const std::uint64_t portion_bytes = std::clamp<std::uint64_t>(soft_bytes / 8, kPortionBytesMin, std::max(kPortionBytesMin, 2 * options.object_target_bytes));
  const auto weight = [](const CutChunk& chunk) {   // of small streams all rows are decoded at once
    return chunk.raw_bytes < kGroupStreamBytesMax ? 2 * chunk.raw_bytes + 100 * chunk.rows + 1000 : chunk.raw_bytes / 2;
  };
  std::optional<Error> failure;
  for (std::size_t begin = 0; begin < chunks.size();) {
    std::size_t end = begin;
    std::uint64_t bytes = 0;
    while (end < chunks.size() && (end == begin || bytes + weight(*chunks[end]) <= portion_bytes)) bytes += weight(*chunks[end++]);
    if (auto done = flush_portion(tenant, std::span(chunks).subspan(begin, end - begin), ctx); !done.ok()) failure = done.error();
    begin = end;
  }
  if (failure) return *failure;
  return {};
}

Result<void> Ingester::State::flush_portion(Tenant& tenant, std::span<const CutChunkPtr> chunks, const CallContext& ctx) {
  std::vector<std::optional<Result<std::map<std::int64_t, ShardPart>>>> split(chunks.size());
  pool.parallel_for(chunks.size(), [&](std::size_t i) {
    const bool small = chunks[i]->raw_bytes < kGroupStreamBytesMax;
    if (!small)
      for (const auto& block : chunks[i]->blocks) encode(*block);
    split[i] = split_by_shard(chunks[i], small, ctx);
  });
  PartsByShard by_shard;
  std::vector<std::set<std::int64_t>> shards_of(chunks.size());
  std::optional<Error> failure;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    if (!split[i]->ok()) {
      failure = split[i]->error();
      continue;
    }
    for (auto& [shard, part] : split[i]->value()) {
      shards_of[i].insert(shard);
      if (!chunks[i]->shards_done.contains(shard)) by_shard[shard].push_back(std::move(part));
    }
  }
  split.clear();
  for (auto& [shard, parts] : by_shard)
    if (auto written = write_shard(tenant, shard, parts, ctx); !written.ok()) failure = written.error();
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const auto& done = chunks[i]->shards_done;
    if (!shards_of[i].empty() && std::includes(done.begin(), done.end(), shards_of[i].begin(), shards_of[i].end())) drop(chunks[i], true);
  }
  if (failure) return *failure;
  return {};
}

Result<void> Ingester::State::write_shard(Tenant& tenant, std::int64_t shard_start_ns, std::vector<ShardPart>& parts, const CallContext& ctx) {
  const chunk::ChunkOptions chunk_options{options.chunk_encoding, 1, writer_hash, clock.now_ns()};
  // Small streams together, each at most once per group.
  std::vector<std::vector<ShardPart*>> groups;
  std::vector<PartChunk> singles;
  const auto add_single = [&](ShardPart& part) {
    const std::size_t blocks = part.encoded.empty() ? part.columns.size() : part.encoded.size();
    const std::size_t per_chunk = std::max<std::size_t>(1, part.raw_bytes > kChunkRawBytesSplit ? blocks * kChunkRawBytesSplit / part.raw_bytes : blocks);
    part.chunks_left = (blocks + per_chunk - 1) / per_chunk;
    for (std::size_t begin = 0; begin < blocks; begin += per_chunk) singles.push_back({&part, begin, std::min(blocks, begin + per_chunk)});
  };
  std::uint64_t group_bytes = 0;
  std::set<std::string_view> in_group;
  for (auto& part : parts) {
    const bool small = part.encoded.empty() && part.columns.size() == 1 && part.raw_bytes < kGroupStreamBytesMax;
    if (!small) {
      add_single(part);
      continue;
    }
    if (groups.empty() || group_bytes >= kGroupChunkBytesTarget || in_group.contains(part.owner->labels->text)) {
      groups.emplace_back();
      group_bytes = 0;
      in_group.clear();
    }
    groups.back().push_back(&part);
    group_bytes += part.raw_bytes;
    in_group.insert(part.owner->labels->text);
  }
  if (!groups.empty() && groups.back().size() == 1) {  // alone in company is a chunk of its own
    add_single(*groups.back().front());
    groups.pop_back();
  }
  std::vector<std::optional<Result<chunk::BuiltChunk>>> built(singles.size() + groups.size());
  pool.parallel_for(built.size(), [&](std::size_t i) {
    if (i < singles.size()) {
      const auto& [part, first, last] = singles[i];
      if (part->encoded.empty())
        built[i] = chunk::build_chunk(*part->owner->labels, std::span(part->columns).subspan(first, last - first), chunk_options);
      else
        built[i] = chunk::assemble_chunk(*part->owner->labels, std::span(part->encoded).subspan(first, last - first), chunk_options);
      return;
    }
    std::vector<chunk::StreamRows> streams;
    for (const ShardPart* part : groups[i - singles.size()]) streams.push_back({part->owner->labels, part->columns.front()});
    built[i] = chunk::build_group_chunk(std::move(streams), chunk_options);
  });

  std::optional<Error> failure;
  for (std::size_t begin = 0; begin < built.size();) {
    chunk::ObjectBuilder builder(tenant.name, shard_start_ns, Ulid::make(clock.now_ns(), system_random()));
    std::vector<std::vector<ShardPart*>> owners;  // of the object's chunks, in order
    std::size_t end = begin;
    for (; end < built.size() && (owners.empty() || builder.size_bytes() < options.object_target_bytes); ++end) {
      if (!built[end]->ok()) {
        failure = built[end]->error();
        continue;
      }
      std::vector<ShardPart*> of_chunk;
      std::vector<model::LabelsPtr> labels;
      const auto own = [&](ShardPart* part) {
        of_chunk.push_back(part);
        labels.push_back(part->owner->labels);
      };
      if (end < singles.size()) own(singles[end].part);
      else for (ShardPart* part : groups[end - singles.size()]) own(part);
      builder.add(std::move(*built[end]).value(), labels);
      owners.push_back(std::move(of_chunk));
    }
    begin = end;
    if (owners.empty()) continue;
    if (auto put = put_object(tenant, shard_start_ns, builder, owners, ctx); !put.ok()) failure = put.error();
  }
  if (failure) return *failure;
  return {};
}

Result<void> Ingester::State::put_object(Tenant& tenant, std::int64_t shard_start_ns, chunk::ObjectBuilder& builder,
                                         const std::vector<std::vector<ShardPart*>>& owners, const CallContext& ctx) {
  SKALD_TRY(const auto object, builder.finish());
  SKALD_CHECK(object.chunks.size() == owners.size());
  metrics.flush_requests.add(1);
  SKALD_TRY_VOID(objects.put(object.key, object.bytes, ctx));

  const index::ObjectRef object_ref{builder.id(), shard_start_ns, object.bytes.size(), object.tail_offset};
  std::vector<wal::FlushRecord> records;
  std::map<ShardPart*, std::size_t> chunks_here;
  for (const auto& of_chunk : owners)
    for (ShardPart* part : of_chunk) ++chunks_here[part];
  for (std::size_t i = 0; i < owners.size(); ++i) {
    const chunk::PlacedChunk& placed = object.chunks[i];
    for (ShardPart* part : owners[i]) {
      const CutChunk* owner = part->owner.get();
      wal::FlushRecord record;
      record.tenant = tenant.name;
      record.entry.labels = owner->labels;
      record.entry.chunk = make_ref(object_ref, placed);
      if (placed.meta.group) {
        const auto member = std::lower_bound(placed.meta.members.begin(), placed.meta.members.end(), owner->labels->hash,
                                             [](const chunk::GroupMember& m, std::uint64_t hash) { return m.stream_hash < hash; });
        SKALD_CHECK(member != placed.meta.members.end() && member->stream_hash == owner->labels->hash);
        record.entry.chunk.first_row = member->first_row;
        record.entry.chunk.rows = member->rows;
        record.entry.chunk.raw_bytes = member->raw_bytes;
        record.entry.chunk.min_ts_ns = member->min_ts_ns;
        record.entry.chunk.max_ts_ns = member->max_ts_ns;
        const auto number = static_cast<std::size_t>(member - placed.meta.members.begin());
        if (number < placed.meta.member_sketches.size()) record.entry.chunk.sketch = placed.meta.member_sketches[number];
      }
      record.flush_id = ordinals.fetch_add(1);
      if (part->chunks_left == chunks_here[part]) {
        record.first_ordinal = owner->first_ordinal;
        record.last_ordinal = owner->last_ordinal;
      } else {
        record.first_ordinal = 1;  // an empty range: chunks of the same rows are still to come
        record.last_ordinal = 0;
      }
      record.shard_start_ns = shard_start_ns;
      records.push_back(std::move(record));
    }
  }
  // Durable in the log before memory lets go of anything: from here on a restart finds the chunk, not the entries.
  PendingFlush flushed;
  flushed.last_flush_id = records.back().flush_id;
  if (wal) {
    flushed.records = wal::encode_flush_records(records);
    SKALD_TRY(flushed.sequence, wal->append_flush(flushed.records));
  }
  std::vector<index::IndexEntry> entries;
  entries.reserve(records.size());
  for (auto& record : records) entries.push_back(std::move(record.entry));
  records = {};
  store.add_pending(tenant.name, std::move(entries));
  pending.push_back(std::move(flushed));

  for (std::size_t i = 0; i < owners.size(); ++i) {
    const chunk::ChunkMeta& meta = object.chunks[i].meta;
    metrics.chunks_stored.with({tenant.name}).add(1);
    metrics.chunk_stored_bytes.with({tenant.name}).add(meta.length);
    metrics.chunk_entries.observe(meta.rows);
    metrics.chunk_size.observe(meta.length);
    metrics.chunk_utilization.observe(static_cast<double>(meta.length) / static_cast<double>(options.chunk_target_bytes));
    metrics.chunk_bounds.observe(static_cast<double>(meta.max_ts_ns - meta.min_ts_ns) / static_cast<double>(kNanosPerHour));
    if (meta.length > 0) metrics.compression_ratio.observe(static_cast<double>(meta.raw_bytes) / meta.length);
    metrics.index_entries_per_chunk.observe(static_cast<double>(owners[i].size()));
    for (ShardPart* part : owners[i])
      if (--part->chunks_left == 0) part->owner->shards_done.insert(shard_start_ns);
  }
  return {};
}

// Its rows are durable elsewhere, and visible there.
void Ingester::State::drop(const CutChunkPtr& chunk, bool flushed) {
  const std::uint64_t hash = stream_hash(*chunk->tenant, *chunk->labels);
  Shard& shard = shard_of(hash);
  std::lock_guard lock(shard.mutex);
  chunk->durable = true;
  metrics.memory_chunks.add(-1);
  // Whoever leaves keeps it for readers: other processes may not have seen yet where it went.
  if (!stopping.load()) {
    if (Stream* stream = shard.streams.find(hash, chunk->tenant, *chunk->labels); stream != nullptr && stream->blocks) {
      std::erase(stream->blocks->flushing, chunk);
      if (stream->blocks->flushing.empty() && stream->blocks->sealed.empty()) stream->blocks.reset();
    }
    for (const auto& block : chunk->blocks) {
      std::lock_guard block_lock(block->mutex);
      block->dropped = true;
      memory_bytes.fetch_sub(static_cast<std::int64_t>(block->memory_bytes), std::memory_order_relaxed);
      block->memory_bytes = 0;
    }
    chunk->blocks.clear();
  }
  if (!flushed) return;
  metrics.chunks_flushed.with({chunk->reason}).add(1);
  metrics.chunk_age.observe(static_cast<double>(clock.monotonic_ns() - chunk->begun_ns) / static_cast<double>(kNanosPerSecond));
}

}  // namespace skald::ingester
