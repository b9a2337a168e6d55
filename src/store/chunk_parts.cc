#include "store/chunk_parts.h"

namespace skald::store {
namespace {

std::vector<double> size_edges() {
  std::vector<double> edges;
  for (double edge = 128; edges.size() < 8; edge *= 4) edges.push_back(edge);
  return edges;
}

obs::HistogramFamily& fetched(obs::Registry& registry) {
  return registry.histogram_family("loki_chunk_fetcher_fetched_size_bytes", "Bytes of chunks fetched, by source.", {"source"}, size_edges());
}

// Prefixed: several uses may share one memcached.
std::string cache_key(const ChunkPart& part) {
  return "c/" + part.object_key + ":" + std::to_string(part.begin) + "-" + std::to_string(part.end);
}

}  // namespace

ChunkParts::ChunkParts(objstore::ObjectStore& objects, const StoreOptions& options, obs::Registry& registry)
    : objects_(objects), near_(options.chunk_cache), far_(options.chunk_cache_l2), handoff_ns_(options.chunk_cache_l2 == nullptr ? 0 : options.l2_handoff_ns),
      keep_age_max_ns_(options.skip_writeback_older_than_ns), from_storage_(fetched(registry).with({"storage"})), from_cache_(fetched(registry).with({"cache"})),
      corrupt_(registry.counter("loki_cache_corrupt_chunks_total", "Cached parts of chunks that did not check out.")) {}

cache::Cache* ChunkParts::cache_for(const CallContext& ctx, const ChunkPart& part) const {
  if (handoff_ns_ > 0 && part.max_ts_ns < ctx.clock->now_ns() - handoff_ns_) return far_.get();
  return near_.get();
}

std::vector<SharedBytes> ChunkParts::find(const CallContext& ctx, std::span<const ChunkPart> parts) {
  std::vector<SharedBytes> found(parts.size());
  for (cache::Cache* cache : {near_.get(), far_.get()}) {
    if (cache == nullptr) continue;
    std::vector<std::string> keys;
    std::vector<std::size_t> positions;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (cache_for(ctx, parts[i]) != cache) continue;
      keys.push_back(cache_key(parts[i]));
      positions.push_back(i);
    }
    if (keys.empty()) continue;
    std::vector<SharedBytes> values = cache->fetch(ctx, keys);
    for (std::size_t k = 0; k < values.size(); ++k) {
      if (values[k] == nullptr) continue;
      const ChunkPart& part = parts[positions[k]];
      if (values[k]->size() != part.end - part.begin) {
        count_corrupt();
        continue;
      }
      count_from_cache(values[k]->size());
      found[positions[k]] = std::move(values[k]);
    }
    if (near_ == far_) break;
  }
  return found;
}

void ChunkParts::keep(const CallContext& ctx, const ChunkPart& part, SharedBytes bytes) {
  if (keep_age_max_ns_ > 0 && part.max_ts_ns < ctx.clock->now_ns() - keep_age_max_ns_) return;
  cache::Cache* cache = cache_for(ctx, part);
  if (cache == nullptr) return;
  std::vector<cache::Item> items;
  items.push_back({.key = cache_key(part), .value = std::move(bytes)});
  cache->store(std::move(items));
}

Result<Bytes> ChunkParts::read(const CallContext& ctx, const std::string& object_key, std::uint64_t begin, std::uint64_t end) {
  SKALD_TRY(Bytes bytes, objects_.get(object_key, {.begin = begin, .end = end}, ctx));
  if (bytes.size() != end - begin) {
    return Error(ErrorCode::kCorruption, "object " + object_key + " ends early: asked for bytes [" + std::to_string(begin) + ", " + std::to_string(end) +
                                             "), got " + std::to_string(bytes.size()));
  }
  from_storage_.observe(static_cast<double>(bytes.size()));
  return bytes;
}

}  // namespace skald::store
