#include <algorithm>

#include "ingester/state.h"
#include "skald/codec/hash.h"

namespace skald::ingester {
namespace {

bool overlaps(std::int64_t min_ns, std::int64_t max_ns, const rpc::SelectRequest& request) {
  return min_ns <= request.end_ns && max_ns >= request.start_ns;
}

// Only a strictly rising head is known to be free of duplicates; any other must be decoded to know its rows.
struct ToDecode {
  std::shared_ptr<const HeadBlock> block;
  std::size_t stream = 0, slice = 0;
};

}  // namespace

// f(stream), under the shard's lock, for each stream of the tenant that matches and holds anything.
template <class F>
void Ingester::State::for_each_match(const rpc::SelectRequest& request, Tenant& tenant, F f) {
  std::uint64_t bits = signature_bits("", tenant.name);
  for (const auto& matcher : request.matchers) {
    if (matcher.type() == model::MatchType::kEqual && !matcher.value().empty()) bits |= signature_bits(matcher.name(), matcher.value());
    if (matcher.type() == model::MatchType::kRegex && matcher.literals().size() == 1 && !matcher.literals()[0].empty())
      bits |= signature_bits(matcher.name(), matcher.literals()[0]);
  }
  for (Shard& shard : shards) {
    std::lock_guard lock(shard.mutex);
    const auto visit = [&](Stream& stream) {
      if (stream.tenant == &tenant && stream.has_data() && model::matches_all(request.matchers, stream.labels->labels)) f(stream);
    };
    shard.streams.for_each(visit, bits);
  }
}

// Chunks in the bucket sum up other hashes: such ids never meet these.
std::uint64_t content_id_of(std::uint64_t sum, std::uint32_t rows) { return codec::xxh3_words(sum, rows) | 1; }

Held hold(const Stream& stream, const rpc::SelectRequest& request) {
  Held held;
  held.labels = stream.labels;
  if (stream.head_rows > 0 && overlaps(stream.head_min_ns, stream.head_max_ns, request)) {
    held.head = HeadView{stream.head, stream.head_length, stream.head_rows, stream.ascending, stream.tenant->names};
    held.head_min_ns = stream.head_min_ns;
    held.head_max_ns = stream.head_max_ns;
    held.head_raw = stream.head_raw;
    held.head_content_id = content_id_of(stream.head_sum, stream.head_rows);
  }
  bool open = held.head.has_value();
  if (stream.blocks) {
    const auto take = [&](const std::vector<MemBlockPtr>& blocks) {
      bool any = false;
      for (const auto& block : blocks) {
        if (!overlaps(block->min_ts_ns, block->max_ts_ns, request)) continue;
        held.blocks.push_back(block);
        any = true;
      }
      return any;
    };
    open |= take(stream.blocks->sealed);
    for (const auto& chunk : stream.blocks->flushing) held.chunks += take(chunk->blocks) ? 1 : 0;
  }
  held.chunks += open ? 1 : 0;
  return held;
}

Result<chunk::SelectResult> Ingester::State::select(const CallContext& ctx, const rpc::SelectRequest& request) {
  chunk::SelectResult result;
  Tenant* tenant = find_tenant(ctx.tenant);
  if (tenant == nullptr) return result;
  std::vector<Held> all;
  for_each_match(request, *tenant, [&](Stream& stream) {
    Held held = hold(stream, request);
    if (held.chunks > 0) all.push_back(std::move(held));
  });
  result.streams.reserve(all.size());
  std::vector<ToDecode> to_decode;
  for (Held& held : all) {
    SKALD_TRY_VOID(ctx.check());
    chunk::StreamData data;
    data.labels = std::move(held.labels);
    result.stats.ingester_chunks_matched += held.chunks;
    std::vector<std::shared_ptr<const HeadBlock>> unsorted;
    const auto add_view = [&](std::shared_ptr<const HeadBlock> block, bool ascending, std::uint32_t rows, std::int64_t min_ns, std::int64_t max_ns,
                              std::uint64_t raw_bytes, std::uint64_t source_id, std::uint64_t content_id) {
      if (!ascending) unsorted.push_back(block);
      data.blocks.push_back({std::move(block), 0, rows, min_ns, max_ns, raw_bytes, source_id, true, content_id});
    };
    for (const auto& block : held.blocks) {
      std::shared_ptr<const HeadBlock> view;
      {
        std::lock_guard lock(block->mutex);
        if (block->view.chain) {
          if (!block->decoded) block->decoded = std::make_shared<const HeadBlock>(block->view);
          view = block->decoded;
        } else {
          for (std::size_t i = 0; i < block->pieces.size(); ++i) {
            const auto& piece = block->pieces[i];
            if (!overlaps(piece.min_ts_ns, piece.max_ts_ns, request)) continue;
            data.blocks.push_back({chunk::as_block(piece.encoded), 0, piece.rows, piece.min_ts_ns, piece.max_ts_ns, piece.raw_bytes,
                                   block->source_id, true, chunk::content_id(*piece.encoded)});
          }
        }
      }
      if (view) add_view(std::move(view), block->ascending, block->rows, block->min_ts_ns, block->max_ts_ns, block->raw_bytes, block->source_id, block->content_id);
    }
    if (held.head) {
      const HeadView& head = *held.head;
      const bool ascending = head.ascending;
      const std::uint32_t rows = head.rows;
      add_view(std::make_shared<const HeadBlock>(std::move(*held.head)), ascending, rows, held.head_min_ns, held.head_max_ns, held.head_raw,
               kIngesterSourceBit | source_ids.fetch_add(1, std::memory_order_relaxed), held.head_content_id);
    }
    std::stable_sort(data.blocks.begin(), data.blocks.end(), [](const auto& a, const auto& b) { return a.min_ts_ns < b.min_ts_ns; });
    for (auto& block : unsorted) {
      const auto slice = std::find_if(data.blocks.begin(), data.blocks.end(), [&](const auto& s) { return s.block == block; });
      to_decode.push_back({std::move(block), result.streams.size(), static_cast<std::size_t>(slice - data.blocks.begin())});
    }
    if (!data.blocks.empty()) result.streams.push_back(std::move(data));
  }
  const auto decode = [&](std::size_t i) {
    const ToDecode& job = to_decode[i];
    result.streams[job.stream].blocks[job.slice].rows = job.block->columns()->rows;
  };
  if (to_decode.size() == 1) decode(0);
  else if (!to_decode.empty()) pool.parallel_for(to_decode.size(), decode);
  return result;
}

Result<std::vector<model::LabelsPtr>> Ingester::State::series(const CallContext& ctx, const rpc::SelectRequest& request) {
  std::vector<model::LabelsPtr> found;
  Tenant* tenant = find_tenant(ctx.tenant);
  if (tenant == nullptr) return found;
  for_each_match(request, *tenant, [&](Stream& stream) {
    if (hold(stream, request).chunks > 0) found.push_back(stream.labels);
  });
  return found;
}

Result<std::vector<rpc::SeriesVolume>> Ingester::State::volumes(const CallContext& ctx, const rpc::SelectRequest& request) {
  std::vector<rpc::SeriesVolume> found;
  Tenant* tenant = find_tenant(ctx.tenant);
  if (tenant == nullptr) return found;
  for_each_match(request, *tenant, [&](Stream& stream) {
    const Held held = hold(stream, request);
    if (held.chunks == 0) return;
    rpc::SeriesVolume volume{stream.labels, 0, 0, held.chunks};
    // The share of the time span that lies in the range; rows are taken as evenly spread.
    const auto add = [&](std::int64_t min_ns, std::int64_t max_ns, std::uint64_t rows, std::uint64_t bytes) {
      const double span = static_cast<double>(max_ns - min_ns) + 1;
      const double inside = static_cast<double>(std::min(max_ns, request.end_ns) - std::max(min_ns, request.start_ns)) + 1;
      const double share = std::clamp(inside / span, 0.0, 1.0);
      volume.entries += static_cast<std::uint64_t>(share * static_cast<double>(rows) + 0.5);
      volume.bytes += static_cast<std::uint64_t>(share * static_cast<double>(bytes) + 0.5);
    };
    if (held.head) add(held.head_min_ns, held.head_max_ns, held.head->rows, held.head_raw);
    for (const auto& block : held.blocks) add(block->min_ts_ns, block->max_ts_ns, block->rows, block->raw_bytes);
    found.push_back(std::move(volume));
  });
  return found;
}

}  // namespace skald::ingester
