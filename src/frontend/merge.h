// Putting the answers of parts together.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "skald/engine/result.h"

namespace skald::frontend {

// Text that is equal for equal label sets only; with_empty sets differ from those without.
std::string label_key(const model::Labels& labels);
std::string label_key(const engine::ResultLabels& labels);

// Series by labels; parts come in order of time.
class SeriesMerger {
 public:
  // False: the part has a series twice, so that series cannot be told by their labels.
  bool append(std::vector<engine::Series>&& part);
  // The one sample of each series is combined with what is there; the time stays.
  bool fold(std::vector<engine::Series>&& part, double (*combine)(double, double));
  std::size_t size() const { return series_.size(); }
  std::vector<engine::Series> take();   // sorted by labels

 private:
  std::map<std::string, std::size_t> index_;
  std::vector<engine::Series> series_;
};

// Entries in query direction; parts come in that order, none of a later part belongs before one of an earlier.
class LogMerger {
 public:
  explicit LogMerger(std::uint32_t limit) : limit_(limit) {}
  void append(engine::LogResult&& part);   // what is beyond the limit is dropped
  std::uint32_t size() const { return static_cast<std::uint32_t>(entries_.size()); }
  bool full() const { return entries_.size() >= limit_; }
  // Keeps an entry, then the next at least an interval away; 0: all.
  void thin(std::int64_t interval_ns, bool backward);
  engine::LogResult take();   // streams sorted by labels, order rebuilt

 private:
  struct Entry {
    std::int64_t timestamp_ns = 0;
    std::uint32_t stream = 0;
    std::string line;
  };
  const std::uint32_t limit_;
  std::map<std::string, std::uint32_t> index_;
  std::vector<engine::ResultLabels> streams_;
  std::vector<Entry> entries_;
};

}  // namespace skald::frontend
