#include "store/tenant_index.h"

#include <algorithm>

namespace skald::store {
namespace {

bool by_id(const IndexObjectPtr& a, const IndexObjectPtr& b) { return a->id() < b->id(); }

void insert_object(DayObjects& days, const IndexObjectPtr& object) {
  std::vector<IndexObjectPtr>& objects = days[object->day()];
  const auto at = std::lower_bound(objects.begin(), objects.end(), object, by_id);
  if (at != objects.end() && (*at)->id() == object->id()) {
    *at = object;
  } else {
    objects.insert(at, object);
  }
}

IndexObjectPtr find_object(const DayObjects& days, const IndexObject& wanted) {
  const auto day = days.find(wanted.day());
  if (day == days.end()) return nullptr;
  const auto at = std::lower_bound(day->second.begin(), day->second.end(), wanted.id(), [](const IndexObjectPtr& a, const Ulid& id) { return a->id() < id; });
  return at != day->second.end() && (*at)->id() == wanted.id() ? *at : nullptr;
}

}  // namespace

TenantView TenantIndex::view() const {
  const std::lock_guard lock(mutex_);
  TenantView view{.days = days_, .pending = frozen_, .listing = listings_};
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
                                  const std::map<std::int64_t, IndexObjectPtr>& objects) {
  const std::lock_guard lock(mutex_);
  auto days = std::make_shared<DayObjects>(*days_);
  ++ship_sequence_;
  for (const auto& [day, object] : objects) {
    insert_object(*days, object);
    shipped_.emplace_back(ship_sequence_, object->id());
  }
  days_ = std::move(days);
  std::erase_if(frozen_, [&](const auto& held) { return std::find(frozen.begin(), frozen.end(), held) != frozen.end(); });
}

std::uint64_t TenantIndex::ship_sequence() const {
  const std::lock_guard lock(mutex_);
  return ship_sequence_;
}

void TenantIndex::replace_listed(const std::vector<IndexObjectPtr>& listed, std::uint64_t listing_began, std::optional<std::int64_t> only_day) {
  const std::lock_guard lock(mutex_);
  // A listing of one day confirms nothing of the others.
  if (!only_day.has_value()) std::erase_if(shipped_, [&](const auto& shipped) { return shipped.first <= listing_began; });
  auto days = std::make_shared<DayObjects>();
  if (only_day.has_value()) {
    *days = *days_;
    days->erase(*only_day);
  }
  for (const IndexObjectPtr& object : listed) {
    const IndexObjectPtr known = find_object(*days_, *object);
    insert_object(*days, known != nullptr && !known->failed() ? known : object);
  }
  for (const auto& [day, objects] : *days_) {
    if (only_day.has_value() && day != *only_day) continue;
    for (const IndexObjectPtr& object : objects) {
      const bool is_new = std::any_of(shipped_.begin(), shipped_.end(), [&](const auto& shipped) {
        return shipped.second == object->id() && (!only_day.has_value() || shipped.first > listing_began);
      });
      if (is_new) insert_object(*days, object);
    }
  }
  days_ = std::move(days);
  ++listings_;
}

}  // namespace skald::store
