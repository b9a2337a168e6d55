#include <algorithm>
#include <array>
#include <list>
#include <mutex>
#include <unordered_map>

#include "cache/levels.h"
#include "skald/codec/hash.h"

namespace skald::cache {
namespace {

constexpr std::uint64_t kItemOverheadBytes = 128;        // list and map nodes, roughly
constexpr std::uint64_t kShardBytesMin = 4 << 20;        // a shard should hold several of the largest values (units of 512 KiB)
constexpr std::uint64_t kShardsMax = 16;

// Segmented LRU (Karedla, Love, Wherry 1994): new items are on probation, a second use protects them, so that one query
// over much data does not wash out what every query uses. Protected items take at most 4/5 of the bytes.
class Shard {
 public:
  struct Limits {
    std::uint64_t bytes_max = 0, items_max = 0;
    std::int64_t ttl_ns = 0;
  };
  struct Change {
    std::int64_t items = 0, bytes = 0;
    std::uint64_t added = 0, evicted_full = 0, evicted_expired = 0, evicted_too_big = 0;
  };

  SharedBytes find(const std::string& key, std::int64_t now_ns, const Limits& limits, Change& change) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return nullptr;
    const List::iterator entry = found->second;
    if (limits.ttl_ns > 0 && now_ns - entry->stored_ns > limits.ttl_ns) {
      erase(entry, change);
      ++change.evicted_expired;
      return nullptr;
    }
    SharedBytes value = entry->value;
    if (entry->is_protected) {
      protected_.splice(protected_.begin(), protected_, entry);
      return value;
    }
    entry->is_protected = true;
    protected_bytes_ += entry->size_bytes;
    protected_.splice(protected_.begin(), probation_, entry);
    while (protected_bytes_ > limits.bytes_max / 5 * 4 && protected_.size() > 1) {
      const List::iterator oldest = std::prev(protected_.end());
      oldest->is_protected = false;
      protected_bytes_ -= oldest->size_bytes;
      probation_.splice(probation_.begin(), protected_, oldest);
    }
    return value;
  }

  void insert(Item item, std::int64_t now_ns, const Limits& limits, Change& change) {
    const std::uint64_t size_bytes = kItemOverheadBytes + 2 * item.key.size() + item.value->size();
    const std::lock_guard lock(mutex_);
    if (const auto found = entries_.find(item.key); found != entries_.end()) {
      if (found->second->size_bytes == size_bytes) {
        found->second->value = std::move(item.value);
        found->second->stored_ns = now_ns;
        return;
      }
      erase(found->second, change);
    }
    if (size_bytes > limits.bytes_max) {
      ++change.evicted_too_big;
      return;
    }
    probation_.push_front({.key = std::move(item.key), .value = std::move(item.value), .stored_ns = now_ns, .size_bytes = size_bytes, .is_protected = false});
    entries_.emplace(probation_.front().key, probation_.begin());
    bytes_ += size_bytes;
    change.bytes += static_cast<std::int64_t>(size_bytes);
    ++change.items;
    ++change.added;
    while (bytes_ > limits.bytes_max || (limits.items_max != 0 && entries_.size() > limits.items_max)) {
      // The newcomer is the last of its segment to go: were it refused, nothing would ever get past protected items.
      const bool from_protected = probation_.size() == 1 && !protected_.empty();
      erase(std::prev((from_protected ? protected_ : probation_).end()), change);
      ++change.evicted_full;
    }
  }

 private:
  struct Entry {
    std::string key;
    SharedBytes value;
    std::int64_t stored_ns = 0;
    std::uint64_t size_bytes = 0;
    bool is_protected = false;
  };
  using List = std::list<Entry>;

  void erase(List::iterator entry, Change& change) {
    bytes_ -= entry->size_bytes;
    change.bytes -= static_cast<std::int64_t>(entry->size_bytes);
    --change.items;
    if (entry->is_protected) protected_bytes_ -= entry->size_bytes;
    entries_.erase(entry->key);
    (entry->is_protected ? protected_ : probation_).erase(entry);
  }

  std::mutex mutex_;   // guards all below
  List probation_, protected_;   // front = used last
  std::unordered_map<std::string_view, List::iterator> entries_;   // keys point into the lists
  std::uint64_t bytes_ = 0, protected_bytes_ = 0;
};

class MemoryCache final : public Cache {
 public:
  MemoryCache(const MemoryOptions& options, obs::Registry& registry, const Clock& clock)
      : clock_(clock),
        shard_count_(std::clamp<std::uint64_t>(options.items_max != 0 ? std::min(options.items_max / 64, options.bytes_max / kShardBytesMin)
                                                                      : options.bytes_max / kShardBytesMin, 1, kShardsMax)),
        limits_{.bytes_max = options.bytes_max / shard_count_, .items_max = (options.items_max + shard_count_ - 1) / shard_count_, .ttl_ns = options.ttl_ns},
        entries_(registry.gauge_family("loki_embeddedcache_entries", "Items in the cache.", {"cache"}).with({options.name})),
        bytes_(registry.gauge_family("loki_embeddedcache_memory_bytes", "Bytes the cache holds.", {"cache"}).with({options.name})),
        added_(registry.counter_family("loki_embeddedcache_added_new_total", "Items added to the cache.", {"cache"}).with({options.name})),
        evicted_full_(evicted(registry).with({options.name, "full"})),
        evicted_expired_(evicted(registry).with({options.name, "expired"})),
        evicted_too_big_(evicted(registry).with({options.name, "object too big"})) {}

  std::vector<SharedBytes> fetch(const CallContext&, std::span<const std::string> keys) override {
    std::vector<SharedBytes> values;
    values.reserve(keys.size());
    Shard::Change change;
    const std::int64_t now_ns = clock_.monotonic_ns();
    for (const std::string& key : keys) values.push_back(shard_of(key).find(key, now_ns, limits_, change));
    count(change);
    return values;
  }

  void store(std::vector<Item> items) override {
    Shard::Change change;
    const std::int64_t now_ns = clock_.monotonic_ns();
    for (Item& item : items) {
      Shard& shard = shard_of(item.key);
      shard.insert(std::move(item), now_ns, limits_, change);
    }
    count(change);
  }

 private:
  static obs::CounterFamily& evicted(obs::Registry& registry) {
    return registry.counter_family("loki_embeddedcache_evicted_total", "Items evicted from the cache.", {"cache", "reason"});
  }
  Shard& shard_of(const std::string& key) { return shards_[codec::xxh3_64(key) % shard_count_]; }
  void count(const Shard::Change& change) {
    if (change.items != 0) entries_.add(static_cast<double>(change.items));
    if (change.bytes != 0) bytes_.add(static_cast<double>(change.bytes));
    if (change.added != 0) added_.add(static_cast<double>(change.added));
    if (change.evicted_full != 0) evicted_full_.add(static_cast<double>(change.evicted_full));
    if (change.evicted_expired != 0) evicted_expired_.add(static_cast<double>(change.evicted_expired));
    if (change.evicted_too_big != 0) evicted_too_big_.add(static_cast<double>(change.evicted_too_big));
  }

  const Clock& clock_;
  const std::uint64_t shard_count_;
  const Shard::Limits limits_;   // of one shard
  obs::Gauge& entries_;
  obs::Gauge& bytes_;
  obs::Counter& added_;
  obs::Counter& evicted_full_;
  obs::Counter& evicted_expired_;
  obs::Counter& evicted_too_big_;
  std::array<Shard, kShardsMax> shards_;
};

}  // namespace

std::shared_ptr<Cache> make_memory_cache(const MemoryOptions& options, obs::Registry& registry, const Clock& clock) {
  return std::make_shared<MemoryCache>(options, registry, clock);
}

}  // namespace skald::cache
