#include "cache/ring.h"

#include <algorithm>

#include "skald/base/check.h"
#include "skald/codec/hash.h"

namespace skald::cache {
namespace {

constexpr std::uint32_t kPointsPerServer = 160;   // shares within about ±15 % of each other

}  // namespace

Ring::Ring(std::vector<std::string> names, bool consistent) : names_(std::move(names)) {
  std::sort(names_.begin(), names_.end());
  names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
  if (!consistent || names_.size() < 2) return;
  points_.reserve(names_.size() * kPointsPerServer);
  for (std::uint32_t i = 0; i < names_.size(); ++i) {
    for (std::uint32_t point = 0; point < kPointsPerServer; ++point) points_.emplace_back(codec::xxh3_64_seeded(names_[i], point), i);
  }
  std::sort(points_.begin(), points_.end());
}

std::size_t Ring::find(std::string_view key) const {
  SKALD_CHECK(!names_.empty());
  const std::uint64_t hash = codec::xxh3_64(key);
  if (points_.empty()) return hash % names_.size();
  const auto at = std::lower_bound(points_.begin(), points_.end(), std::pair<std::uint64_t, std::uint32_t>(hash, 0));
  return (at == points_.end() ? points_.front() : *at).second;
}

}  // namespace skald::cache
