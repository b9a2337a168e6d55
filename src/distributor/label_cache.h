// Raw label text → finished stream. Most requests name streams seen before, and parsing, sorting and validating labels
// costs far more than looking at 16 bytes of hash.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "distributor/stream_rules.h"

namespace skald::distributor {

struct LabelCacheKey {
  std::uint64_t low = 0, high = 0;
  bool operator==(const LabelCacheKey&) const = default;
};

// 128 bits of the text, seeded with the scope: two texts share a key with a chance of 2^-128, so keys stand for texts.
// The scope says tenant, limits generation, syntax and backfill shard.
std::uint64_t label_cache_scope(std::string_view tenant, std::uint64_t generation, LabelSyntax syntax,
                                std::string_view backfill_shard);
LabelCacheKey label_cache_key(std::uint64_t scope, std::string_view labels_text);

// Thread-safe; sharded locks held for one look-up each. Bounded by bytes, second-chance (CLOCK) eviction.
class LabelCache {
 public:
  explicit LabelCache(std::size_t limit_bytes) : shard_limit_bytes_(limit_bytes / kShards) {}
  std::shared_ptr<const StreamInfo> find(const LabelCacheKey& key);
  void insert(const LabelCacheKey& key, std::shared_ptr<const StreamInfo> info);
  std::size_t size_bytes() const;

 private:
  static constexpr std::size_t kShards = 16;
  struct KeyHash {
    std::size_t operator()(const LabelCacheKey& key) const { return key.low; }
  };
  struct Slot {
    LabelCacheKey key;
    std::shared_ptr<const StreamInfo> info;
    std::size_t bytes = 0;
    bool used = false;
  };
  struct Shard {
    mutable std::mutex mutex;  // guards all below
    std::unordered_map<LabelCacheKey, std::uint32_t, KeyHash> index;
    std::vector<Slot> slots;
    std::vector<std::uint32_t> free;
    std::size_t hand = 0;
    std::size_t bytes = 0;
  };
  static void evict_one(Shard& shard);
  Shard& shard_of(const LabelCacheKey& key) { return shards_[key.high % kShards]; }

  const std::size_t shard_limit_bytes_;
  std::array<Shard, kShards> shards_;
};

}  // namespace skald::distributor
