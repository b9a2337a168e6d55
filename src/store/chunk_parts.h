// Byte ranges of chunk objects from where they are nearest: a cache below the memory level (disk, memcached, Redis), then
// the bucket. Objects never change, so a range of one is its own name.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "skald/cache/cache.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"
#include "skald/store/store.h"

namespace skald::store {

struct ChunkPart {
  std::string object_key;
  std::uint64_t begin = 0, end = 0;   // in the object
  std::int64_t max_ts_ns = 0;         // of the chunk: decides which cache, and whether to keep it
};

// Thread-safe.
class ChunkParts {
 public:
  ChunkParts(objstore::ObjectStore& objects, const StoreOptions& options, obs::Registry& registry);

  bool has_cache() const { return near_ != nullptr || far_ != nullptr; }
  // From the cache alone, in order; null: not there. What is returned has the right size.
  std::vector<SharedBytes> find(const CallContext& ctx, std::span<const ChunkPart> parts);
  // Puts a part read from the bucket into its cache, unless the chunk is too old for that.
  void keep(const CallContext& ctx, const ChunkPart& part, SharedBytes bytes);
  // From the bucket. kCorruption: the object ends early; kNotFound; the store's errors.
  Result<Bytes> read(const CallContext& ctx, const std::string& object_key, std::uint64_t begin, std::uint64_t end);
  // A cached part passed its checksum and yet was not the chunk.
  void count_corrupt() { corrupt_.add(); }
  void count_from_cache(std::uint64_t bytes) { from_cache_.observe(static_cast<double>(bytes)); }

 private:
  cache::Cache* cache_for(const CallContext& ctx, const ChunkPart& part) const;

  objstore::ObjectStore& objects_;
  const std::shared_ptr<cache::Cache> near_, far_;   // young and old chunks
  const std::int64_t handoff_ns_, keep_age_max_ns_;
  obs::Histogram& from_storage_;
  obs::Histogram& from_cache_;
  obs::Counter& corrupt_;
};

}  // namespace skald::store
