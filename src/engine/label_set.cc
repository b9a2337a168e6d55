#include "skald/engine/label_set.h"

#include <xxhash.h>

namespace skald::engine {
namespace {

std::uint64_t hash_views(const std::vector<LabelSetTable::View>& sorted) {
  std::uint64_t hash = 0x9e3779b97f4a7c15ULL + sorted.size();
  for (const auto& view : sorted) {
    hash = XXH3_64bits_withSeed(view.name.data(), view.name.size(), hash);
    hash = XXH3_64bits_withSeed(view.value.data(), view.value.size(), hash + static_cast<std::uint64_t>(view.category));
  }
  return hash;
}

bool same(const ResultLabels& set, const std::vector<LabelSetTable::View>& sorted) {
  if (set.labels.size() != sorted.size()) return false;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const ResultLabel& label = set.labels[i];
    if (label.category != sorted[i].category || label.value != sorted[i].value || label.name != sorted[i].name) return false;
  }
  return true;
}

}  // namespace

model::Labels ResultLabels::plain() const {
  std::vector<model::Label> pairs;
  pairs.reserve(labels.size());
  for (const ResultLabel& label : labels) pairs.push_back({label.name, label.value});
  return model::Labels::from_pairs(std::move(pairs));
}

std::uint32_t LabelSetTable::intern(const std::vector<View>& sorted) {
  const std::uint64_t hash = hash_views(sorted);
  const auto [first, last] = by_hash_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (same(*sets_[it->second], sorted)) return it->second;
  }
  auto set = std::make_unique<ResultLabels>();
  set->labels.reserve(sorted.size());
  for (const View& view : sorted) set->labels.push_back({std::string(view.name), std::string(view.value), view.category});
  const auto id = static_cast<std::uint32_t>(sets_.size());
  sets_.push_back(std::move(set));
  by_hash_.emplace(hash, id);
  return id;
}

}  // namespace skald::engine
