#include "index/labels_cache.h"

#include <deque>

namespace skald::index {
namespace {

std::uint64_t heap_bytes(const std::string& text) { return text.capacity() > 15 ? text.capacity() + 1 : 0; }

// First in, first out: an index that nobody asks any more loses its labels to those that are asked.
class RecentLabels {
 public:
  void add(const LabelsCache::Made& made) {
    std::vector<model::LabelsPtr> released;   // destroyed after the lock is gone
    const std::lock_guard lock(mutex_);
    for (const auto& [series, labels] : made) {
      held_.emplace_back(labels, memory_bytes(*labels));
      bytes_ += held_.back().second;
    }
    while (bytes_ > kRecentLabelsBytesMax) {
      bytes_ -= held_.front().second;
      released.push_back(std::move(held_.front().first));
      held_.pop_front();
    }
  }

 private:
  std::mutex mutex_;   // guards all below
  std::deque<std::pair<model::LabelsPtr, std::uint64_t>> held_;
  std::uint64_t bytes_ = 0;
};

RecentLabels& recent_labels() {
  static RecentLabels recent;
  return recent;
}

}  // namespace

std::uint64_t memory_bytes(const model::InternedLabels& labels) {
  std::uint64_t bytes = sizeof(labels) + 32 + heap_bytes(labels.text) + labels.labels.pairs().capacity() * sizeof(model::Label);
  for (const model::Label& label : labels.labels.pairs()) bytes += heap_bytes(label.name) + heap_bytes(label.value);
  return bytes;
}

model::LabelsPtr LabelsCache::find(std::uint32_t series) const {
  const std::lock_guard lock(mutex_);
  const std::size_t part = series / kSeriesPerPart;
  if (part >= parts_.size() || parts_[part] == nullptr) return nullptr;
  return (*parts_[part])[series % kSeriesPerPart].lock();
}

void LabelsCache::add(const Made& made) {
  if (made.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [series, labels] : made) {
      const std::size_t part = series / kSeriesPerPart;
      if (part >= parts_.size()) parts_.resize(part + 1);
      if (parts_[part] == nullptr) parts_[part] = std::make_unique<Part>();
      (*parts_[part])[series % kSeriesPerPart] = labels;
    }
  }
  recent_labels().add(made);
}

}  // namespace skald::index
