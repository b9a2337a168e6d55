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
  TenantView view{.days = days_, .pending = frozen_, .recent = {}, .listing = listings_};
  view.pending.push_back(current_);
  return view;
}

TenantView TenantIndex::recent_view(std::int64_t now_monotonic_ns) const {
  const std::lock_guard lock(mutex_);
  std::erase_if(recent_, [&](const RecentObject& recent) { return recent.until_ns <= now_monotonic_ns; });
  TenantView view{.days = days_, .pending = frozen_, .recent = recent_, .listing = listings_};
  view.pending.push_back(current_);
  return view;
}

void TenantIndex::drop_expired(std::int64_t now_monotonic_ns) {
  const std::lock_guard lock(mutex_);
  std::erase_if(recent_, [&](const RecentObject& recent) { return recent.until_ns <= now_monotonic_ns; });
}

void TenantIndex::add_recent(std::vector<RecentObject> objects) {
  const std::lock_guard lock(mutex_);
  for (RecentObject& object : objects) {
    const bool known = std::any_of(recent_.begin(), recent_.end(), [&](const RecentObject& recent) { return recent.object->id() == object.object->id(); });
    if (!known) recent_.push_back(std::move(object));
  }
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
                                  const std::vector<RecentObject>& objects, bool keep) {
  const std::lock_guard lock(mutex_);
  auto days = std::make_shared<DayObjects>(*days_);
  ++ship_sequence_;
  for (const RecentObject& shipped : objects) {
    insert_object(*days, shipped.object);
    shipped_.emplace_back(ship_sequence_, shipped.object->id());
    if (keep) recent_.push_back(shipped);
  }
  days_ = std::move(days);
  std::erase_if(frozen_, [&](const auto& held) { return std::find(frozen.begin(), frozen.end(), held) != frozen.end(); });
}

std::uint64_t TenantIndex::ship_sequence() const {
  const std::lock_guard lock(mutex_);
  return ship_sequence_;
}

std::int64_t TenantIndex::listed_ns() const {
  const std::lock_guard lock(mutex_);
  return listed_ns_;
}

void TenantIndex::replace_listed(const std::vector<IndexObjectPtr>& listed, std::uint64_t listing_began, std::optional<std::int64_t> only_day,
                                 std::int64_t began_monotonic_ns) {
  const std::lock_guard lock(mutex_);
  if (!only_day.has_value()) listed_ns_ = std::max(listed_ns_, began_monotonic_ns);
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
