#include "caches.h"

#include "keys.h"

namespace skald::config {
namespace {

constexpr std::int64_t kCacheMegabytesMax = 1 << 24;   // 16 TiB: whoever writes more means bytes

bool names_level(const CacheBlockConfig& cache) {
  return cache.embedded_enabled || !cache.disk_directory.empty() || cache.memcached_configured() || cache.redis_configured();
}

// The cache of Loki 2: its size was in bytes.
void take_fifocache_size(const std::string& path, CacheBlockConfig& cache, const Config& config) {
  if (config.is_given(path + ".embedded_cache.max_size_mb")) return;
  const auto text = config.other.find(path + ".fifocache.max_size_bytes");
  if (text == config.other.end()) return;
  const Result<std::int64_t> bytes = parse_size(text->second);
  if (bytes.ok() && *bytes > 0) cache.embedded_max_size_mb = (*bytes - 1) / (1 << 20) + 1;
}

}  // namespace

void derive_caches(Config& config) {
  for (const Mount& mount : mounts())
    if (mount.cache) take_fifocache_size(mount.path, mount.cache(config), config);
  // On by itself unless another level was chosen.
  const auto settle = [&](const std::string& path, CacheBlockConfig& cache) {
    if (config.is_given(path + ".embedded_cache.enabled") || config.is_given(path + ".enable_fifocache")) return;
    if (cache.memcached_configured() || cache.redis_configured()) cache.embedded_enabled = false;
  };
  settle("chunk_store_config.chunk_cache_config", config.chunk_cache);
  settle("query_range.results_cache.cache", config.query_range.results_cache);
  auto& range = config.query_range;
  for (CacheBlockConfig* cache : {&range.index_stats_results_cache, &range.volume_results_cache, &range.instant_metric_results_cache,
                                  &range.series_results_cache, &range.label_results_cache})
    if (!names_level(*cache)) *cache = range.results_cache;
}

std::vector<std::string> validate_caches(const Config& config) {
  std::vector<std::string> out;
  Config copy;   // mounts give the block of a Config that may change
  copy.chunk_cache = config.chunk_cache;
  copy.chunk_cache_l2 = config.chunk_cache_l2;
  copy.query_range = config.query_range;
  for (const Mount& mount : mounts()) {
    if (!mount.cache) continue;
    const CacheBlockConfig& cache = mount.cache(copy);
    const auto check = [&](bool good, const std::string& what) {
      if (!good) out.push_back(std::string("invalid ") + mount.path + " config: " + what);
    };
    check(cache.embedded_max_size_mb >= 0 && cache.embedded_max_size_mb < kCacheMegabytesMax, "embedded_cache.max_size_mb is out of range");
    check(cache.disk_max_size_mb >= 0 && cache.disk_max_size_mb < kCacheMegabytesMax, "disk_cache.max_size_mb is out of range");
    check(cache.embedded_max_size_items >= 0 && cache.embedded_ttl >= 0 && cache.default_validity >= 0, "sizes and durations must not be negative");
    check(cache.writeback_goroutines >= 0 && cache.writeback_buffer >= 0 && cache.writeback_size_limit >= 0, "background values must not be negative");
    const MemcachedConfig& memcached = cache.memcached;
    check(memcached.timeout >= 0 && memcached.expiration >= 0 && memcached.update_interval >= 0 && memcached.max_idle_conns >= 0 && memcached.max_item_size >= 0 &&
              memcached.batch_size >= 0 && memcached.parallelism >= 0 && memcached.circuit_breaker_consecutive_failures >= 0 &&
              memcached.circuit_breaker_timeout >= 0 && memcached.circuit_breaker_interval >= 0,
          "memcached values must not be negative");
    check(memcached.tls_cert_path.empty() == memcached.tls_key_path.empty(), "memcached_client needs both tls_cert_path and tls_key_path");
    const RedisConfig& redis = cache.redis;
    check(redis.timeout >= 0 && redis.expiration >= 0 && redis.db >= 0 && redis.pool_size >= 0, "redis values must not be negative");
    check(redis.master_name.empty(), "redis.master_name: sentinel is not supported; name the server itself in redis.endpoint");
    check(redis.endpoint.find(',') == std::string::npos, "redis.endpoint names several servers; one is supported, no cluster");
    check(!cache.memcached_configured() || !cache.redis_configured(), "memcached and redis are both named; choose one");
  }
  return out;
}

}  // namespace skald::config
