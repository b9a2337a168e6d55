// The parts that open() puts together. Each is a Cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "skald/cache/cache.h"

namespace skald::cache {

// --- memory_cache.cc: segmented LRU by bytes in independently locked shards.
struct MemoryOptions {
  std::string name;                    // label `cache` of the metrics
  std::uint64_t bytes_max = 100 << 20;
  std::uint64_t items_max = 0;         // 0: by bytes only
  std::int64_t ttl_ns = 0;             // 0: for ever
};
std::shared_ptr<Cache> make_memory_cache(const MemoryOptions& options, obs::Registry& registry, const Clock& clock);

// --- disk_cache.cc: one file per item, an index of them in memory.
struct DiskOptions {
  std::string name;
  std::string directory;               // owned by this cache alone
  std::uint64_t bytes_max = 1ULL << 30;
  std::int64_t ttl_ns = 0;             // 0: until the space is needed
};
Result<std::shared_ptr<Cache>> open_disk_cache(const DiskOptions& options, io::FileSystem& fs, obs::Registry& registry, const Clock& clock);

// --- memcached_cache.cc, redis_cache.cc
Result<std::shared_ptr<Cache>> open_memcached(const config::MemcachedConfig& config, std::int64_t default_validity_ns, const std::string& name,
                                              obs::Registry& registry);
Result<std::shared_ptr<Cache>> open_redis(const config::RedisConfig& config, std::int64_t default_validity_ns, const std::string& name,
                                          obs::Registry& registry);

// --- background.cc: store() by `threads` threads of its own, started with the first item.
struct BackgroundOptions {
  std::string name;
  std::size_t threads = 1;
  std::size_t batches_max = 500'000;   // calls of store() that wait
  std::uint64_t bytes_max = 500ULL << 20;
};
std::shared_ptr<Cache> in_background(std::shared_ptr<Cache> inner, const BackgroundOptions& options, obs::Registry& registry);

// --- decorators.cc
// loki_cache_*: durations, keys asked for, hits, sizes.
std::shared_ptr<Cache> with_metrics(std::shared_ptr<Cache> inner, const std::string& name, obs::Registry& registry);
std::shared_ptr<Cache> tiered(std::vector<std::shared_ptr<Cache>> levels);   // at least one, fastest first

}  // namespace skald::cache
