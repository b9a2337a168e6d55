#include "store/chunk_cache.h"

#include <algorithm>
#include <atomic>

namespace skald::store {
namespace {

// Durner et al., VLDB 2023: 8–16 MiB a request is where object stores give the most bytes per cost and second.
constexpr std::uint64_t kRequestBytesMax = 8 << 20;
// Decoded blocks of group chunks: enough for the few blocks that worker threads are in, each of about 1 MiB.
constexpr std::uint64_t kDecodedBytesMax = 16 << 20;
constexpr std::size_t kDecodedBlocksMax = 64;
constexpr std::uint64_t kEntryOverheadBytes = 1024;   // reader, directory and map nodes, roughly

std::string name_of(const std::string& object_key, std::uint64_t offset) {
  return "chunk at offset " + std::to_string(offset) + " of object " + object_key;
}

bool is_callers(ErrorCode code) { return code == ErrorCode::kCancelled || code == ErrorCode::kDeadlineExceeded; }

// Names the chunk. A listed object that is not there is damage, not "not found".
Error explain(const Error& error, const std::string& name) {
  if (is_callers(error.code())) return error;
  if (error.code() == ErrorCode::kNotFound) {
    return Error(ErrorCode::kCorruption, name + ": the index lists it but the object is missing: " + error.message());
  }
  return error.with_prefix(name);
}

}  // namespace

std::size_t ChunkKeyHash::operator()(const ChunkKey& key) const {
  const auto low = load_le<std::uint64_t>(key.object.bytes.data() + 8);   // random bits of the ULID
  return static_cast<std::size_t>(low ^ (key.offset * 0x9E3779B97F4A7C15ULL));
}

// Bytes of one chunk: what a ChunkReader's fetches are answered from. Parts beyond the head are read in units of the
// coalescing gap, because a request costs more than the bytes between two pages.
class ChunkBytes {
 public:
  ChunkBytes(std::weak_ptr<ChunkCache> cache, std::string object_key, const index::ChunkRef& ref, std::uint64_t unit_bytes)
      : cache_(std::move(cache)), object_key_(std::move(object_key)), key_(key_of(ref)), length_(ref.length),
        hot_length_(std::min(ref.hot_length, ref.length)), unit_bytes_(unit_bytes), max_ts_ns_(ref.max_ts_ns) {}

  std::string name() const { return name_of(object_key_, key_.offset); }

  void seed(std::uint64_t begin, Bytes bytes) {
    const std::lock_guard lock(mutex_);
    extents_.push_back({.begin = begin, .bytes = std::make_shared<const Bytes>(std::move(bytes))});
  }
  // The reader keeps the head itself once it is open.
  void forget_head() {
    const std::lock_guard lock(mutex_);
    std::erase_if(extents_, [&](const Extent& extent) { return extent.end() <= hot_length_; });
  }
  std::uint64_t held_bytes() const {
    const std::lock_guard lock(mutex_);
    std::uint64_t total = 0;
    for (const Extent& extent : extents_) total += extent.bytes->size();
    return total;
  }
  void drop() {
    const std::lock_guard lock(mutex_);
    dropped_ = true;
    extents_.clear();
  }

  Result<Bytes> fetch(std::uint64_t begin, std::uint64_t end, const CallContext& ctx) {
    if (begin > end || end > length_) {
      return Error(ErrorCode::kCorruption, "bytes [" + std::to_string(begin) + ", " + std::to_string(end) + ") lie outside the chunk of " +
                                               std::to_string(length_) + " bytes");
    }
    const std::shared_ptr<ChunkCache> cache = cache_.lock();
    if (cache == nullptr) return Error(ErrorCode::kUnavailable, "the store is shut down");
    if (Bytes held; find(begin, end, held)) {
      cache->parts_.count_from_cache(end - begin);
      return held;
    }
    SKALD_TRY_VOID(ctx.check());
    std::uint64_t from = begin, to = end;
    widen(from, to);
    SKALD_TRY(const SharedBytes bytes, read(*cache, from, to, ctx));
    if (from == begin && to == end) return *bytes;   // nothing beyond what was asked for: the reader keeps what it needs
    Bytes part = bytes->substr(begin - from, end - begin);
    if (cache->charge(key_, this, bytes->size())) {
      const std::lock_guard lock(mutex_);
      if (!dropped_) extents_.push_back({.begin = from, .bytes = bytes});
    }
    return part;
  }

 private:
  struct Extent {
    std::uint64_t begin = 0;
    std::shared_ptr<const Bytes> bytes;
    std::uint64_t end() const { return begin + bytes->size(); }
  };

  Result<SharedBytes> read(ChunkCache& cache, std::uint64_t from, std::uint64_t to, const CallContext& ctx) const {
    const ChunkPart part{.object_key = object_key_, .begin = key_.offset + from, .end = key_.offset + to, .max_ts_ns = max_ts_ns_};
    if (cache.parts_.has_cache()) {
      if (SharedBytes cached = cache.parts_.find(ctx, std::span(&part, 1)).front(); cached != nullptr) return cached;
    }
    SKALD_TRY(Bytes bytes, cache.parts_.read(ctx, part.object_key, part.begin, part.end));
    auto shared = std::make_shared<const Bytes>(std::move(bytes));
    if (cache.parts_.has_cache()) cache.parts_.keep(ctx, part, shared);
    return SharedBytes(std::move(shared));
  }

  bool find(std::uint64_t begin, std::uint64_t end, Bytes& out) const {
    std::shared_ptr<const Bytes> bytes;
    std::uint64_t at = 0;
    {
      const std::lock_guard lock(mutex_);
      for (const Extent& extent : extents_)
        if (extent.begin <= begin && end <= extent.end()) bytes = extent.bytes, at = begin - extent.begin;
    }
    if (bytes == nullptr) return false;
    out = bytes->substr(at, end - begin);
    return true;
  }

  void widen(std::uint64_t& from, std::uint64_t& to) const {
    if (unit_bytes_ == 0 || from < hot_length_) return;
    if (length_ - hot_length_ <= 2 * unit_bytes_) {
      from = hot_length_;
      to = length_;
      return;
    }
    from = hot_length_ + (from - hot_length_) / unit_bytes_ * unit_bytes_;
    to = std::min(length_, hot_length_ + (to - hot_length_ + unit_bytes_ - 1) / unit_bytes_ * unit_bytes_);
  }

  const std::weak_ptr<ChunkCache> cache_;   // weak: a query's blocks may outlive the store
  const std::string object_key_;
  const ChunkKey key_;
  const std::uint64_t length_, hot_length_, unit_bytes_;
  const std::int64_t max_ts_ns_;
  mutable std::mutex mutex_;   // guards all below
  std::vector<Extent> extents_;
  bool dropped_ = false;
};

// Where a chunk is, and its reader while somebody holds it.
class ChunkHandle : public std::enable_shared_from_this<ChunkHandle> {
 public:
  ChunkHandle(std::weak_ptr<ChunkCache> cache, std::string object_key, const index::ChunkRef& ref)
      : cache_(std::move(cache)), object_key_(std::move(object_key)), key_(key_of(ref)), length_(ref.length), hot_length_(ref.hot_length),
        max_ts_ns_(ref.max_ts_ns) {}

  std::string name() const { return name_of(object_key_, key_.offset); }

  // Opens the reader. `head`: bytes from the chunk's start that have been read already; empty: they are fetched.
  Result<std::shared_ptr<chunk::ChunkReader>> open(ChunkCache& cache, Bytes head, const CallContext& ctx, std::shared_ptr<ChunkBytes>& bytes) {
    index::ChunkRef ref;
    ref.object.id = key_.object;
    ref.offset = key_.offset;
    ref.length = length_;
    ref.hot_length = hot_length_;
    ref.max_ts_ns = max_ts_ns_;
    bytes = std::make_shared<ChunkBytes>(cache_, object_key_, ref, cache.gap_bytes_);
    if (!head.empty()) bytes->seed(0, std::move(head));
    const auto fetch = [bytes](std::uint64_t begin, std::uint64_t end, const CallContext& call) { return bytes->fetch(begin, end, call); };
    auto reader = chunk::ChunkReader::open(fetch, length_, hot_length_, ctx);
    if (!reader.ok()) return explain(reader.error(), name());
    bytes->forget_head();
    const std::lock_guard lock(mutex_);
    reader_ = *reader;
    return reader;
  }

  Result<std::shared_ptr<chunk::ChunkReader>> reader(ChunkCache& cache, const CallContext& ctx) {
    const std::lock_guard one_at_a_time(open_mutex_);
    if (auto held = current(); held != nullptr) return held;
    std::shared_ptr<ChunkBytes> bytes;
    SKALD_TRY(std::shared_ptr<chunk::ChunkReader> opened, open(cache, {}, ctx, bytes));
    cache.insert({.key = key_, .chunk = describe(*opened), .reader = opened, .bytes = bytes, .size_bytes = size_bytes(*bytes)});
    return opened;
  }
  std::shared_ptr<chunk::ChunkReader> current() const {
    const std::lock_guard lock(mutex_);
    return reader_.lock();
  }
  std::shared_ptr<ChunkCache> cache() const { return cache_.lock(); }
  const ChunkKey& key() const { return key_; }

  std::shared_ptr<const OpenChunk> describe(const chunk::ChunkReader& reader);
  std::uint64_t size_bytes(const ChunkBytes& bytes) const { return kEntryOverheadBytes + hot_length_ + bytes.held_bytes(); }

 private:
  const std::weak_ptr<ChunkCache> cache_;   // weak: a query's blocks may outlive the store
  const std::string object_key_;
  const ChunkKey key_;
  const std::uint32_t length_, hot_length_;
  const std::int64_t max_ts_ns_;   // by the index: of one of its streams
  std::mutex open_mutex_;       // one reopening at a time
  mutable std::mutex mutex_;    // guards reader_
  std::weak_ptr<chunk::ChunkReader> reader_;
};

namespace {

class StoredBlock final : public chunk::Block {
 public:
  StoredBlock(std::shared_ptr<ChunkHandle> chunk, std::size_t index, bool group) : chunk_(std::move(chunk)), index_(index), group_(group) {}
  Result<std::shared_ptr<const chunk::Columns>> load(chunk::ColumnMask need, const CallContext& ctx) const override;

 private:
  const std::shared_ptr<ChunkHandle> chunk_;
  const std::size_t index_;
  const bool group_;
};

}  // namespace

std::shared_ptr<const OpenChunk> ChunkHandle::describe(const chunk::ChunkReader& reader) {
  auto chunk = std::make_shared<OpenChunk>();
  chunk->meta = reader.meta();
  chunk->summaries = reader.blocks();
  for (std::size_t i = 0; i < chunk->summaries.size(); ++i) {
    chunk->blocks.push_back(std::make_shared<StoredBlock>(shared_from_this(), i, chunk->meta.group));
  }
  return chunk;
}

struct ChunkCache::Span {
  std::string object_key;
  std::uint64_t begin = 0, end = 0;   // in the object
  struct Member {
    const index::ChunkRef* ref = nullptr;
    std::size_t position = 0;         // in `wanted`
    std::uint64_t head_bytes = 0;     // from the chunk's start: what opening needs
    std::uint64_t bytes = 0;          // what is taken, head_bytes or all of the chunk
  };
  std::vector<Member> members;
  SharedBytes cached;                 // the span's bytes, when a cache had them: then there is one member

  ChunkPart part_of(const Member& member, std::uint64_t from, std::uint64_t to) const {
    return {.object_key = object_key, .begin = member.ref->offset + from, .end = member.ref->offset + to, .max_ts_ns = member.ref->max_ts_ns};
  }
};

ChunkCache::ChunkCache(objstore::ObjectStore& objects, exec::Pool& pool, obs::Registry& registry, const StoreOptions& options)
    : pool_(pool), parts_(objects, options, registry), limit_bytes_(options.chunk_cache_bytes), gap_bytes_(options.coalesce_gap_bytes),
      entries_gauge_(registry.gauge_family("loki_embeddedcache_entries", "Items in the cache.", {"cache"}).with({"chunksembedded-cache"})),
      bytes_gauge_(registry.gauge_family("loki_embeddedcache_memory_bytes", "Bytes the cache holds.", {"cache"}).with({"chunksembedded-cache"})),
      added_(registry.counter_family("loki_embeddedcache_added_new_total", "Items added to the cache.", {"cache"}).with({"chunksembedded-cache"})),
      evicted_(registry.counter_family("loki_embeddedcache_evicted_total", "Items evicted from the cache.", {"cache", "reason"})
                   .with({"chunksembedded-cache", "full"})),
      requested_(registry.counter_family("loki_cache_fetched_keys", "Keys looked up in the cache.", {"name"}).with({"chunksembedded-cache"})),
      hits_(registry.counter_family("loki_cache_hits", "Keys found in the cache.", {"name"}).with({"chunksembedded-cache"})),
      downloaded_(registry.counter_family("loki_store_chunks_downloaded_total", "Chunks whose head was read from the bucket.", {"status"}).with({"matched"})) {}

std::uint64_t ChunkCache::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_bytes_;
}

std::shared_ptr<const OpenChunk> ChunkCache::find(const ChunkKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  lru_.splice(lru_.begin(), lru_, found->second);
  return found->second->chunk;
}

std::shared_ptr<const OpenChunk> ChunkCache::insert(Entry entry) {
  const std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(entry.key); found != entries_.end()) return found->second->chunk;
  std::shared_ptr<const OpenChunk> chunk = entry.chunk;
  used_bytes_ += entry.size_bytes;
  lru_.push_front(std::move(entry));
  entries_.emplace(lru_.front().key, lru_.begin());
  added_.add();
  evict_locked();
  return chunk;
}

void ChunkCache::keep_decoded(std::shared_ptr<const chunk::ChunkReader> reader, std::shared_ptr<const chunk::Columns> columns) {
  const std::lock_guard lock(decoded_mutex_);
  const auto found = std::find_if(decoded_.begin(), decoded_.end(), [&](const Decoded& held) { return held.columns == columns; });
  if (found != decoded_.end()) {
    decoded_.splice(decoded_.begin(), decoded_, found);
    return;
  }
  const std::uint64_t size_bytes = columns->text_bytes + columns->rows * (16ULL + 16 * columns->metadata.size());
  decoded_.push_front({.reader = std::move(reader), .columns = std::move(columns), .size_bytes = size_bytes});
  decoded_bytes_ += size_bytes;
  while (decoded_bytes_ > kDecodedBytesMax || decoded_.size() > kDecodedBlocksMax) {
    decoded_bytes_ -= decoded_.back().size_bytes;
    decoded_.pop_back();
  }
}

bool ChunkCache::charge(const ChunkKey& key, const ChunkBytes* bytes, std::uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second->bytes.get() != bytes) return false;
  lru_.splice(lru_.begin(), lru_, found->second);
  found->second->size_bytes += size_bytes;
  used_bytes_ += size_bytes;
  evict_locked();
  return true;
}

void ChunkCache::evict_locked() {
  while (used_bytes_ > limit_bytes_ && !lru_.empty()) {
    Entry& oldest = lru_.back();
    used_bytes_ -= oldest.size_bytes;
    oldest.bytes->drop();
    entries_.erase(oldest.key);
    lru_.pop_back();
    evicted_.add();
  }
  entries_gauge_.set(static_cast<double>(lru_.size()));
  bytes_gauge_.set(static_cast<double>(used_bytes_));
}

Result<void> ChunkCache::open_span(const CallContext& ctx, const Span& span,
                                   std::vector<std::shared_ptr<const OpenChunk>>& opened) {
  SKALD_TRY_VOID(ctx.check());
  const auto open_one = [&](const Span::Member& member, Bytes head) -> Result<void> {
    const auto handle = std::make_shared<ChunkHandle>(weak_from_this(), span.object_key, *member.ref);
    std::shared_ptr<ChunkBytes> bytes;
    SKALD_TRY(std::shared_ptr<chunk::ChunkReader> reader, handle->open(*this, std::move(head), ctx, bytes));
    opened[member.position] =
        insert({.key = handle->key(), .chunk = handle->describe(*reader), .reader = reader, .bytes = bytes, .size_bytes = handle->size_bytes(*bytes)});
    return {};
  };
  if (span.cached != nullptr) {
    Result<void> done = open_one(span.members.front(), *span.cached);
    if (done.ok() || done.error().code() != ErrorCode::kCorruption) return done;
    parts_.count_corrupt();   // the bucket decides
  }
  auto got = parts_.read(ctx, span.object_key, span.begin, span.end);
  if (!got.ok()) {
    const std::string name = name_of(span.object_key, span.members.front().ref->offset);
    return got.error().code() == ErrorCode::kNotFound ? got.error().with_prefix(name) : explain(got.error(), name);
  }
  for (const Span::Member& member : span.members) {
    Bytes head = got->substr(member.ref->offset - span.begin, member.bytes);
    if (parts_.has_cache()) {
      parts_.keep(ctx, span.part_of(member, 0, member.head_bytes), std::make_shared<const Bytes>(head.substr(0, member.head_bytes)));
      // The rest under the name that ChunkBytes will ask for.
      if (member.bytes > member.head_bytes && member.bytes - member.head_bytes <= 2 * gap_bytes_)
        parts_.keep(ctx, span.part_of(member, member.head_bytes, member.bytes), std::make_shared<const Bytes>(head.substr(member.head_bytes)));
    }
    SKALD_TRY_VOID(open_one(member, std::move(head)));
    downloaded_.add();
  }
  return {};
}

namespace {

Result<std::shared_ptr<const chunk::Columns>> StoredBlock::load(chunk::ColumnMask need, const CallContext& ctx) const {
  const std::shared_ptr<ChunkCache> cache = chunk_->cache();
  if (cache == nullptr) return Error(ErrorCode::kUnavailable, chunk_->name() + ": the store is shut down");
  std::shared_ptr<chunk::ChunkReader> reader = chunk_->current();
  if (reader == nullptr) {
    SKALD_TRY(reader, chunk_->reader(*cache, ctx));
  }
  if (index_ >= reader->blocks().size()) return Error(ErrorCode::kCorruption, chunk_->name() + ": changed while it was read");
  auto columns = reader->block(index_)->load(need, ctx);
  if (!columns.ok()) return explain(columns.error(), chunk_->name() + ": block " + std::to_string(index_));
  if (group_) cache->keep_decoded(reader, *columns);
  return columns;
}

}  // namespace

Result<std::vector<std::shared_ptr<const OpenChunk>>> ChunkCache::open(const CallContext& ctx, const std::string& tenant,
                                                                       std::span<const index::ChunkRef* const> wanted) {
  std::vector<std::shared_ptr<const OpenChunk>> opened(wanted.size());
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    opened[i] = find(key_of(*wanted[i]));
    if (opened[i] == nullptr) missing.push_back(i);
  }
  requested_.add(static_cast<double>(wanted.size()));
  hits_.add(static_cast<double>(wanted.size() - missing.size()));
  if (missing.empty()) return opened;

  std::sort(missing.begin(), missing.end(), [&](std::size_t a, std::size_t b) { return key_of(*wanted[a]) < key_of(*wanted[b]); });
  // A chunk smaller than what a second request would cost comes as a whole.
  const auto head_bytes = [&](const index::ChunkRef& ref) -> std::uint64_t {
    return ref.length <= gap_bytes_ / 4 ? ref.length : std::min(ref.hot_length, ref.length);
  };
  std::vector<SharedBytes> cached(missing.size());
  if (parts_.has_cache()) {
    std::vector<ChunkPart> parts;
    parts.reserve(missing.size());
    for (const std::size_t position : missing) {
      const index::ChunkRef& ref = *wanted[position];
      parts.push_back({.object_key = chunk::object_key(tenant, ref.object.shard_start_ns, ref.object.id), .begin = ref.offset,
                       .end = ref.offset + head_bytes(ref), .max_ts_ns = ref.max_ts_ns});
    }
    cached = parts_.find(ctx, parts);
  }
  // Reading a chunk that is not large takes one more request, which costs more than its bytes, and what lies between two
  // heads comes with them anyway: such chunks are taken as a whole, as long as the memory that keeps them lasts.
  std::uint64_t spare_bytes = limit_bytes_ / 2;
  std::vector<Span> spans;
  const Ulid* last_object = nullptr;   // of the last span, which may still grow
  for (std::size_t i = 0; i < missing.size(); ++i) {
    const std::size_t position = missing[i];
    const index::ChunkRef& ref = *wanted[position];
    std::uint64_t bytes = head_bytes(ref);
    if (const std::uint64_t rest = ref.length - bytes; cached[i] == nullptr && ref.length <= 2 * gap_bytes_ && rest <= spare_bytes) {
      bytes = ref.length;
      spare_bytes -= rest;
    }
    const std::uint64_t end = ref.offset + bytes;
    const bool joins = cached[i] == nullptr && last_object != nullptr && *last_object == ref.object.id && ref.offset <= spans.back().end + gap_bytes_ &&
                       end - spans.back().begin <= kRequestBytesMax;
    if (!joins) {
      spans.push_back({.object_key = chunk::object_key(tenant, ref.object.shard_start_ns, ref.object.id), .begin = ref.offset, .end = end, .members = {},
                       .cached = cached[i]});
    }
    spans.back().end = std::max(spans.back().end, end);
    spans.back().members.push_back({.ref = &ref, .position = position, .head_bytes = head_bytes(ref), .bytes = bytes});
    last_object = cached[i] == nullptr ? &ref.object.id : nullptr;
  }

  std::mutex mutex;   // guards first_error
  std::unique_ptr<Error> first_error;
  std::atomic<bool> failed{false};
  pool_.parallel_for(spans.size(), [&](std::size_t i) {
    if (failed.load(std::memory_order_relaxed)) return;
    Result<void> result = open_span(ctx, spans[i], opened);
    if (result.ok()) return;
    failed.store(true, std::memory_order_relaxed);
    const std::lock_guard lock(mutex);
    if (first_error == nullptr) first_error = std::make_unique<Error>(std::move(result).error());
  });
  if (first_error != nullptr) return *first_error;
  return opened;
}

}  // namespace skald::store
