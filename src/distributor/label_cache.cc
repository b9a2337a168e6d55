#include "distributor/label_cache.h"

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

namespace skald::distributor {

std::uint64_t label_cache_scope(std::string_view tenant, std::uint64_t generation, LabelSyntax syntax,
                                std::string_view backfill_shard) {
  std::uint64_t scope = XXH3_64bits_withSeed(tenant.data(), tenant.size(), generation);
  if (!backfill_shard.empty()) scope = XXH3_64bits_withSeed(backfill_shard.data(), backfill_shard.size(), scope + 1);
  return scope * 2 + static_cast<std::uint64_t>(syntax);
}

LabelCacheKey label_cache_key(std::uint64_t scope, std::string_view labels_text) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(labels_text.data(), labels_text.size(), scope);
  return {hash.low64, hash.high64};
}

std::shared_ptr<const StreamInfo> LabelCache::find(const LabelCacheKey& key) {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.index.find(key);
  if (it == shard.index.end()) return nullptr;
  Slot& slot = shard.slots[it->second];
  slot.used = true;
  return slot.info;
}

void LabelCache::insert(const LabelCacheKey& key, std::shared_ptr<const StreamInfo> info) {
  const std::size_t bytes = info->size_bytes() + sizeof(Slot) + 64;
  if (bytes > shard_limit_bytes_) return;
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  if (shard.index.count(key) != 0) return;  // another thread was quicker
  while (shard.bytes + bytes > shard_limit_bytes_) evict_one(shard);
  std::uint32_t place;
  if (!shard.free.empty()) {
    place = shard.free.back();
    shard.free.pop_back();
  } else {
    place = static_cast<std::uint32_t>(shard.slots.size());
    shard.slots.emplace_back();
  }
  shard.slots[place] = {key, std::move(info), bytes, false};
  shard.index.emplace(key, place);
  shard.bytes += bytes;
}

void LabelCache::evict_one(Shard& shard) {
  while (true) {
    if (shard.hand >= shard.slots.size()) shard.hand = 0;
    Slot& slot = shard.slots[shard.hand++];
    if (slot.info == nullptr) continue;
    if (slot.used) {
      slot.used = false;
      continue;
    }
    shard.bytes -= slot.bytes;
    shard.index.erase(slot.key);
    slot.info.reset();
    shard.free.push_back(static_cast<std::uint32_t>(shard.hand - 1));
    return;
  }
}

std::size_t LabelCache::size_bytes() const {
  std::size_t total = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    total += shard.bytes;
  }
  return total;
}

}  // namespace skald::distributor
