#include "store/index_objects.h"

namespace skald::store {
namespace {

constexpr const char* kName = "index-pages";

}  // namespace

std::shared_ptr<const std::vector<Ulid>> IndexObject::inputs() const {
  const std::lock_guard lock(mutex_);
  return inputs_;
}

bool IndexObject::failed() const {
  const std::lock_guard lock(mutex_);
  return failure_ != nullptr;
}

IndexObjects::IndexObjects(objstore::ObjectStore& objects, const StoreOptions& options, obs::Registry& registry)
    : objects_(objects), cache_(options.index_cache), bytes_max_(options.index_memory_bytes),
      entries_gauge_(registry.gauge_family("loki_embeddedcache_entries", "Items in the cache.", {"cache"}).with({kName})),
      bytes_gauge_(registry.gauge_family("loki_embeddedcache_memory_bytes", "Bytes the cache holds.", {"cache"}).with({kName})),
      evicted_(registry.counter_family("loki_embeddedcache_evicted_total", "Items evicted from the cache.", {"cache", "reason"}).with({kName, "full"})),
      requested_(registry.counter_family("loki_cache_fetched_keys", "Keys looked up in the cache.", {"name"}).with({kName})),
      hits_(registry.counter_family("loki_cache_hits", "Keys found in the cache.", {"name"}).with({kName})) {}

IndexReaderPtr IndexObjects::find(const IndexObject& object) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = held_.find(&object); found != held_.end()) {
      lru_.splice(lru_.begin(), lru_, found->second);
      return found->second->reader;
    }
  }
  const std::lock_guard lock(object.mutex_);
  return object.reader_.lock();   // evicted, and some query still uses it
}

Result<IndexReaderPtr> IndexObjects::open(const CallContext& ctx, const IndexObjectPtr& object) {
  requested_.add();
  if (IndexReaderPtr held = find(*object); held != nullptr) {
    hits_.add();
    return held;
  }
  const std::lock_guard one_at_a_time(object->open_mutex_);
  if (IndexReaderPtr held = find(*object); held != nullptr) return held;
  {
    const std::lock_guard lock(object->mutex_);
    if (object->failure_ != nullptr) return *object->failure_;
  }
  SKALD_TRY_VOID(ctx.check());
  auto opened = read(ctx, *object);
  if (!opened.ok()) {
    Error error = opened.error().with_prefix("index object " + object->key());
    if (error.code() == ErrorCode::kCorruption) {
      const std::lock_guard lock(object->mutex_);
      object->failure_ = std::make_shared<const Error>(error);
    }
    return error;
  }
  hold(object, *opened);
  return opened;
}

Result<IndexReaderPtr> IndexObjects::read(const CallContext& ctx, const IndexObject& object) {
  const auto open_bytes = [&](SharedBytes bytes) -> Result<IndexReaderPtr> {
    SKALD_TRY(IndexReaderPtr reader, index::DayIndexReader::open(std::move(bytes)));
    const index::DayIndexHeader& header = reader->header();
    if (header.id != object.id() || header.day != object.day()) {
      return Error(ErrorCode::kCorruption, "its header names day " + std::to_string(header.day) + " and object " + header.id.to_string());
    }
    return reader;
  };
  const std::string cache_key = "i/" + object.key();
  if (cache_ != nullptr) {
    if (SharedBytes cached = cache_->fetch_one(ctx, cache_key); cached != nullptr) {
      if (auto opened = open_bytes(std::move(cached)); opened.ok()) return opened;
    }
  }
  SKALD_TRY(Bytes bytes, objects_.get(object.key(), {}, ctx));
  const auto shared = std::make_shared<const Bytes>(std::move(bytes));
  auto opened = open_bytes(shared);
  if (opened.ok() && cache_ != nullptr) {
    std::vector<cache::Item> items;
    items.push_back({.key = cache_key, .value = shared});
    cache_->store(std::move(items));
  }
  return opened;
}

void IndexObjects::add(const IndexObjectPtr& object, IndexReaderPtr reader) { hold(object, std::move(reader)); }

void IndexObjects::hold(const IndexObjectPtr& object, IndexReaderPtr reader) {
  {
    const std::lock_guard lock(object->mutex_);
    object->reader_ = reader;
    if (object->inputs_ == nullptr) object->inputs_ = std::make_shared<const std::vector<Ulid>>(reader->header().inputs);
  }
  const std::lock_guard lock(mutex_);
  // An older object may have lived at the same address.
  if (const auto found = held_.find(object.get()); found != held_.end()) erase_locked(found->second);
  const std::uint64_t bytes = reader->size_bytes();
  lru_.push_front({.object = object, .identity = object.get(), .reader = std::move(reader), .bytes = bytes});
  held_.emplace(object.get(), lru_.begin());
  bytes_ += bytes;
  while (bytes_ > bytes_max_ && !lru_.empty()) {
    erase_locked(std::prev(lru_.end()));
    evicted_.add();
  }
  entries_gauge_.set(static_cast<double>(lru_.size()));
  bytes_gauge_.set(static_cast<double>(bytes_));
}

void IndexObjects::erase_locked(std::list<Held>::iterator held) {
  bytes_ -= held->bytes;
  held_.erase(held->identity);
  lru_.erase(held);
}

void IndexObjects::prune() {
  const std::lock_guard lock(mutex_);
  for (auto held = lru_.begin(); held != lru_.end();) {
    const auto next = std::next(held);
    if (held->object.expired()) erase_locked(held);
    held = next;
  }
  entries_gauge_.set(static_cast<double>(lru_.size()));
  bytes_gauge_.set(static_cast<double>(bytes_));
}

}  // namespace skald::store
