#include "skald/engine/label_set.h"

#include "skald/base/random.h"
#include "engine/text_hash.h"

namespace skald::engine {
namespace {

std::uint64_t hash_views(const std::vector<LabelSetTable::View>& sorted) {
  static const std::uint64_t seed = process_hash_seed();
  std::uint64_t hash = seed + sorted.size();
  for (const auto& view : sorted) {
    hash = hash_text(view.name, hash);
    hash = hash_text(view.value, hash + static_cast<std::uint64_t>(view.category));
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

std::uint64_t process_hash_seed() {
  static const std::uint64_t seed = system_random().next_u64();
  return seed;
}

namespace {

std::vector<model::Label> pairs_of(const std::vector<ResultLabel>& labels) {
  std::vector<model::Label> pairs;
  pairs.reserve(labels.size());
  for (const ResultLabel& label : labels) pairs.push_back({label.name, label.value});
  return pairs;
}

}  // namespace

model::Labels ResultLabels::plain() const { return model::Labels::from_pairs(pairs_of(labels)); }
model::Labels ResultLabels::plain_with_empty() const { return model::Labels::from_pairs_with_empty(pairs_of(labels)); }

std::uint32_t LabelSetTable::intern(const std::vector<View>& sorted) {
  const std::uint64_t hash = hash_views(sorted);
  if (sets_.size() * 2 >= places_.size()) grow();
  const std::size_t mask = places_.size() - 1;
  std::size_t at = hash & mask;
  for (; places_[at].id != kFree; at = (at + 1) & mask) {
    if (places_[at].hash == hash && same(*sets_[places_[at].id], sorted)) return places_[at].id;
  }
  auto set = std::make_unique<ResultLabels>();
  set->labels.reserve(sorted.size());
  bytes_ += 2 * sizeof(Place) + sizeof(ResultLabels) + 16;
  for (const View& view : sorted) {
    set->labels.push_back({std::string(view.name), std::string(view.value), view.category});
    const ResultLabel& label = set->labels.back();
    bytes_ += sizeof label + (label.name.size() > 15 ? label.name.size() + 16 : 0) + (label.value.size() > 15 ? label.value.size() + 16 : 0);
  }
  const auto id = static_cast<std::uint32_t>(sets_.size());
  sets_.push_back(std::move(set));
  places_[at] = {hash, id};
  return id;
}

void LabelSetTable::grow() {
  std::vector<Place> old(std::max<std::size_t>(64, places_.size() * 2));
  old.swap(places_);
  const std::size_t mask = places_.size() - 1;
  for (const Place& place : old) {
    if (place.id == kFree) continue;
    std::size_t at = place.hash & mask;
    while (places_[at].id != kFree) at = (at + 1) & mask;
    places_[at] = place;
  }
}

}  // namespace skald::engine
