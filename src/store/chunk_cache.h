// Opened chunks and the parts of them that queries fetched, bounded by bytes. One GET covers the heads of neighbouring
// chunks of an object; a chunk that several streams share is opened once.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "skald/chunk/reader.h"
#include "skald/exec/pool.h"
#include "skald/index/chunk_ref.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"

namespace skald::store {

// Immutable. The blocks name the object and offset in their errors.
struct OpenChunk {
  std::shared_ptr<const chunk::ChunkReader> reader;
  std::vector<std::shared_ptr<const chunk::Block>> blocks;
};

// Identity of a chunk in the bucket.
struct ChunkKey {
  Ulid object;
  std::uint64_t offset = 0;
  auto operator<=>(const ChunkKey&) const = default;
};
struct ChunkKeyHash {
  std::size_t operator()(const ChunkKey& key) const;
};
inline ChunkKey key_of(const index::ChunkRef& ref) { return {.object = ref.object.id, .offset = ref.offset}; }

class ChunkBytes;

// Thread-safe.
class ChunkCache : public std::enable_shared_from_this<ChunkCache> {
 public:
  ChunkCache(objstore::ObjectStore& objects, exec::Pool& pool, obs::Registry& registry, std::uint64_t limit_bytes,
             std::uint64_t coalesce_gap_bytes);

  // Opens the chunks, in the order of `wanted` (distinct chunks). An error names object key and offset.
  Result<std::vector<std::shared_ptr<const OpenChunk>>> open(const CallContext& ctx, const std::string& tenant,
                                                             std::span<const index::ChunkRef* const> wanted);
  std::uint64_t used_bytes() const;

 private:
  friend class ChunkBytes;
  struct Entry {
    ChunkKey key;
    std::shared_ptr<const OpenChunk> chunk;
    std::shared_ptr<ChunkBytes> bytes;
    std::uint64_t size_bytes = 0;
  };
  struct Span;   // one GET and the chunks whose heads it brings

  std::shared_ptr<const OpenChunk> find(const ChunkKey& key);
  std::shared_ptr<const OpenChunk> insert(const ChunkKey& key, std::shared_ptr<const OpenChunk> chunk,
                                          std::shared_ptr<ChunkBytes> bytes, std::uint64_t size_bytes);
  // More bytes of an entry are about to be kept; false when the entry is not in the cache (any more).
  bool charge(const ChunkKey& key, const ChunkBytes* bytes, std::uint64_t size_bytes);
  void evict_locked();
  Result<Bytes> get(const std::string& key, std::uint64_t begin, std::uint64_t end, const CallContext& ctx);
  Result<void> open_span(const CallContext& ctx, const Span& span,
                         std::vector<std::shared_ptr<const OpenChunk>>& opened);

  objstore::ObjectStore& objects_;
  exec::Pool& pool_;
  const std::uint64_t limit_bytes_;
  const std::uint64_t gap_bytes_;
  obs::Gauge& entries_gauge_;
  obs::Gauge& bytes_gauge_;
  obs::Counter& added_;
  obs::Counter& evicted_;
  obs::Counter& requested_;
  obs::Counter& hits_;
  obs::Counter& downloaded_;
  obs::Histogram& fetched_from_storage_;
  obs::Histogram& fetched_from_cache_;

  mutable std::mutex mutex_;   // guards all below
  std::list<Entry> lru_;       // front = used last
  std::unordered_map<ChunkKey, std::list<Entry>::iterator, ChunkKeyHash> entries_;
  std::uint64_t used_bytes_ = 0;
};

}  // namespace skald::store
