#include <algorithm>

#include "cache/levels.h"

namespace skald::cache {
namespace {

constexpr std::int64_t kMegabyte = 1 << 20;

// "frontend." → "frontend": a folder below the configured directory, so that one directory serves all caches.
std::string folder_name(const std::string& name) {
  std::string folder;
  for (const char c : name) folder += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? c : '-';
  while (!folder.empty() && folder.back() == '-') folder.pop_back();
  return folder.empty() ? "cache" : folder;
}

}  // namespace

Result<std::shared_ptr<Cache>> open(const config::CacheBlockConfig& config, const OpenOptions& options, io::FileSystem& fs,
                                    obs::Registry& registry, const Clock& clock) {
  std::vector<std::shared_ptr<Cache>> levels;
  const auto background = [&](std::shared_ptr<Cache> level, const std::string& name) {
    return in_background(with_metrics(std::move(level), name, registry),
                         {.name = name, .threads = static_cast<std::size_t>(std::clamp<std::int64_t>(config.writeback_goroutines, 1, 64)),
                          .batches_max = static_cast<std::size_t>(std::max<std::int64_t>(0, config.writeback_buffer)),
                          .bytes_max = static_cast<std::uint64_t>(std::max<std::int64_t>(0, config.writeback_size_limit))},
                         registry);
  };
  if (config.embedded_enabled && options.with_memory) {
    const std::string name = options.name + "embedded-cache";
    MemoryOptions memory{.name = name, .bytes_max = static_cast<std::uint64_t>(std::clamp<std::int64_t>(config.embedded_max_size_mb, 0, 1LL << 40)) * kMegabyte,
                         .items_max = static_cast<std::uint64_t>(std::max<std::int64_t>(0, config.embedded_max_size_items)),
                         .ttl_ns = config.embedded_ttl > 0 ? config.embedded_ttl : config.default_validity};
    levels.push_back(with_metrics(make_memory_cache(memory, registry, clock), name, registry));
  }
  if (!config.disk_directory.empty()) {
    const std::string name = options.name + "disk-cache";
    DiskOptions disk{.name = name, .directory = config.disk_directory + "/" + folder_name(options.name),
                     .bytes_max = static_cast<std::uint64_t>(std::clamp<std::int64_t>(config.disk_max_size_mb, 0, 1LL << 40)) * kMegabyte,
                     .ttl_ns = options.content == Content::kAnswers ? config.default_validity : 0};
    SKALD_TRY(std::shared_ptr<Cache> level, open_disk_cache(disk, fs, registry, clock));
    levels.push_back(background(std::move(level), name));
  }
  if (config.memcached_configured()) {
    const std::string name = options.name + "memcache";
    SKALD_TRY(std::shared_ptr<Cache> level, open_memcached(config.memcached, config.default_validity, name, registry));
    levels.push_back(background(std::move(level), name));
  }
  if (config.redis_configured()) {
    const std::string name = options.name + "redis";
    SKALD_TRY(std::shared_ptr<Cache> level, open_redis(config.redis, config.default_validity, name, registry));
    levels.push_back(background(std::move(level), name));
  }
  if (levels.empty()) return std::shared_ptr<Cache>();
  if (levels.size() == 1) return std::move(levels.front());
  return tiered(std::move(levels));
}

}  // namespace skald::cache
