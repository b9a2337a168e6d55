#include "store/tenant_index.h"

#include <algorithm>

namespace skald::store {
namespace {

bool by_id(const DayObject& a, const DayObject& b) { return a.id < b.id; }

void insert_object(DayObjects& days, std::int64_t day, DayObject object) {
  std::vector<DayObject>& objects = days[day];
  const auto at = std::lower_bound(objects.begin(), objects.end(), object, by_id);
  if (at != objects.end() && at->id == object.id) {
    *at = std::move(object);
  } else {
    objects.insert(at, std::move(object));
  }
}

}  // namespace

TenantView TenantIndex::view() const {
  const std::lock_guard lock(mutex_);
  TenantView view{.days = days_, .pending = frozen_};
  view.pending.push_back(current_);
  return view;
}

void TenantIndex::add_pending(const std::vector<index::IndexEntry>& entries) {
  const std::lock_guard lock(mutex_);
  for (const index::IndexEntry& entry : entries) current_->add(entry.labels, entry.chunk);
}

std::size_t TenantIndex::pending_count() const {
  const std::lock_guard lock(mutex_);
  std::size_t count = current_->chunk_count();
  for (const auto& frozen : frozen_) count += frozen->chunk_count();
  return count;
}

std::vector<std::shared_ptr<const index::MemoryIndex>> TenantIndex::freeze_pending() {
  const std::lock_guard lock(mutex_);
  if (current_->chunk_count() != 0) {
    frozen_.push_back(current_);
    current_ = std::make_shared<index::MemoryIndex>();
  }
  return frozen_;
}

void TenantIndex::replace_shipped(const std::vector<std::shared_ptr<const index::MemoryIndex>>& frozen,
                                  const std::map<std::int64_t, DayObject>& objects) {
  const std::lock_guard lock(mutex_);
  auto days = std::make_shared<DayObjects>(*days_);
  ++ship_sequence_;
  for (const auto& [day, object] : objects) {
    insert_object(*days, day, object);
    shipped_.emplace_back(ship_sequence_, object.id);
  }
  days_ = std::move(days);
  std::erase_if(frozen_, [&](const auto& held) { return std::find(frozen.begin(), frozen.end(), held) != frozen.end(); });
}

std::uint64_t TenantIndex::ship_sequence() const {
  const std::lock_guard lock(mutex_);
  return ship_sequence_;
}

void TenantIndex::replace_listed(DayObjects listed, std::uint64_t listing_began) {
  const std::lock_guard lock(mutex_);
  std::erase_if(shipped_, [&](const auto& shipped) { return shipped.first <= listing_began; });
  for (const auto& [day, objects] : *days_) {
    for (const DayObject& object : objects) {
      const bool is_new = std::any_of(shipped_.begin(), shipped_.end(), [&](const auto& shipped) { return shipped.second == object.id; });
      if (is_new) insert_object(listed, day, object);
    }
  }
  days_ = std::make_shared<const DayObjects>(std::move(listed));
}

Result<std::vector<QuerySource>> sources_of(const TenantView& view, const index::TimeRange& range) {
  std::vector<QuerySource> sources;
  const auto first = view.days->lower_bound(index::day_of(range.start_ns));
  const auto last = view.days->upper_bound(index::day_of(range.end_ns));
  for (auto day = first; day != last; ++day) {
    std::vector<Ulid> replaced;
    for (const DayObject& object : day->second) {
      if (object.reader == nullptr) continue;
      const std::vector<Ulid>& inputs = object.reader->header().inputs;
      replaced.insert(replaced.end(), inputs.begin(), inputs.end());
    }
    std::sort(replaced.begin(), replaced.end());
    for (const DayObject& object : day->second) {
      if (std::binary_search(replaced.begin(), replaced.end(), object.id)) continue;
      if (object.reader == nullptr) return *object.failure;
      sources.push_back({.index = object.reader.get(), .whole_days = true});
    }
  }
  for (const auto& pending : view.pending) {
    if (pending->chunk_count() != 0) sources.push_back({.index = pending.get(), .whole_days = false});
  }
  return sources;
}

}  // namespace skald::store
