// Labels that queries made of an index's series, for the next query. An index knows all it made weakly; what was made
// last, over all indexes of the process, is held up to a number of bytes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "skald/model/labels.h"

namespace skald::index {

inline constexpr std::uint64_t kRecentLabelsBytesMax = 32 << 20;

// Bytes that holding the labels takes, about.
std::uint64_t memory_bytes(const model::InternedLabels& labels);

// Of one index; series are its own numbers. Thread-safe.
class LabelsCache {
 public:
  using Made = std::vector<std::pair<std::uint32_t, model::LabelsPtr>>;   // series, labels

  model::LabelsPtr find(std::uint32_t series) const;   // null: unknown, or let go
  void add(const Made& made);

 private:
  static constexpr std::uint32_t kSeriesPerPart = 256;   // a selector's series are often neighbours
  using Part = std::array<std::weak_ptr<const model::InternedLabels>, kSeriesPerPart>;
  mutable std::mutex mutex_;   // guards parts_
  std::vector<std::unique_ptr<Part>> parts_;
};

}  // namespace skald::index
