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
#include "store/chunk_parts.h"

namespace skald::store {

// What is known of a chunk once its head was read. Immutable. It holds none of the chunk's bytes: its blocks find the
// reader in the cache, or read the head again, so that a query over many chunks does not keep all their heads in memory.
// Errors of the blocks name object and offset.
struct OpenChunk {
  chunk::ChunkMeta meta;   // no sketch
  std::vector<chunk::BlockSummary> summaries;
  std::vector<std::shared_ptr<const chunk::Block>> blocks;   // as many as summaries
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
class ChunkHandle;

// Thread-safe.
class ChunkCache : public std::enable_shared_from_this<ChunkCache> {
 public:
  ChunkCache(objstore::ObjectStore& objects, exec::Pool& pool, obs::Registry& registry, const StoreOptions& options);

  // Opens the chunks, in the order of `wanted` (distinct chunks). An error names object key and offset. kNotFound: an object
  // is not there (any more); the caller knows whether that is damage.
  Result<std::vector<std::shared_ptr<const OpenChunk>>> open(const CallContext& ctx, const std::string& tenant,
                                                             std::span<const index::ChunkRef* const> wanted);
  std::uint64_t used_bytes() const;

  // Keeps a decoded block (and its reader) among the few last used. For blocks of group chunks: the streams of a group are
  // read one after the other, and each would decode the block they share.
  void keep_decoded(std::shared_ptr<const chunk::ChunkReader> reader, std::shared_ptr<const chunk::Columns> columns);

 private:
  friend class ChunkBytes;
  friend class ChunkHandle;
  struct Entry {
    ChunkKey key;
    std::shared_ptr<const OpenChunk> chunk;
    std::shared_ptr<chunk::ChunkReader> reader;
    std::shared_ptr<ChunkBytes> bytes;
    std::uint64_t size_bytes = 0;
  };
  // A decoded block of a group chunk, kept for the streams of the group that come next, with the reader that knows it.
  struct Decoded {
    std::shared_ptr<const chunk::ChunkReader> reader;
    std::shared_ptr<const chunk::Columns> columns;
    std::uint64_t size_bytes = 0;
  };
  struct Span;   // one GET (or one cached part) and the chunks whose heads it brings

  std::shared_ptr<const OpenChunk> find(const ChunkKey& key);
  // The entry of the key afterwards: this one, or the one that another query was quicker with.
  std::shared_ptr<const OpenChunk> insert(Entry entry);
  // More bytes of an entry are about to be kept; false when the entry is not in the cache (any more).
  bool charge(const ChunkKey& key, const ChunkBytes* bytes, std::uint64_t size_bytes);
  void evict_locked();
  Result<void> open_span(const CallContext& ctx, const Span& span,
                         std::vector<std::shared_ptr<const OpenChunk>>& opened);

  exec::Pool& pool_;
  ChunkParts parts_;
  const std::uint64_t limit_bytes_;
  const std::uint64_t gap_bytes_;
  obs::Gauge& entries_gauge_;
  obs::Gauge& bytes_gauge_;
  obs::Counter& added_;
  obs::Counter& evicted_;
  obs::Counter& requested_;
  obs::Counter& hits_;
  obs::Counter& downloaded_;

  mutable std::mutex mutex_;   // guards all below
  std::list<Entry> lru_;       // front = used last
  std::unordered_map<ChunkKey, std::list<Entry>::iterator, ChunkKeyHash> entries_;
  std::uint64_t used_bytes_ = 0;

  std::mutex decoded_mutex_;     // guards all below
  std::list<Decoded> decoded_;   // front = used last
  std::uint64_t decoded_bytes_ = 0;
};

}  // namespace skald::store
