// Tenants take turns; within a tenant the first to come is the first to go.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace skald::frontend {

// Not thread-safe.
template <class T>
class FairQueue {
 public:
  std::size_t size() const { return size_; }
  std::size_t size_of(const std::string& tenant) const {
    const auto found = tenants_.find(tenant);
    return found == tenants_.end() ? 0 : found->second.size();
  }
  void push_back(const std::string& tenant, T item) {
    tenants_[tenant].push_back(std::move(item));
    ++size_;
  }
  // It had its turn before.
  void push_front(const std::string& tenant, T item) {
    tenants_[tenant].push_front(std::move(item));
    ++size_;
  }
  std::optional<T> pop() {
    if (tenants_.empty()) return std::nullopt;
    auto at = tenants_.upper_bound(last_);
    if (at == tenants_.end()) at = tenants_.begin();
    last_ = at->first;
    T item = std::move(at->second.front());
    at->second.pop_front();
    if (at->second.empty()) tenants_.erase(at);
    --size_;
    return item;
  }
  void remove(const std::string& tenant, const T& item) {
    const auto found = tenants_.find(tenant);
    if (found == tenants_.end()) return;
    size_ -= std::erase(found->second, item);
    if (found->second.empty()) tenants_.erase(found);
  }

 private:
  std::map<std::string, std::deque<T>> tenants_;   // none is empty
  std::string last_;                               // whose turn it was; the next in order is next
  std::size_t size_ = 0;
};

}  // namespace skald::frontend
