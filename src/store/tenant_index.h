// What one process knows of the indexes: per tenant the opened daily index objects and the entries not shipped yet.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "skald/index/day_index.h"
#include "skald/index/memory_index.h"

namespace skald::store {

// One index object of a day. Either opened, or known to exist and not readable: then queries of that day fail.
struct DayObject {
  std::string key;
  Ulid id;
  std::shared_ptr<const index::DayIndexReader> reader;   // null: see failure
  std::shared_ptr<const Error> failure;
};
using DayObjects = std::map<std::int64_t, std::vector<DayObject>>;   // by day; objects sorted by id

// What a query looks at; immutable but for entries that are still being added to the last pending index.
struct TenantView {
  std::shared_ptr<const DayObjects> days;
  std::vector<std::shared_ptr<const index::MemoryIndex>> pending;
};

// Thread-safe.
class TenantIndex {
 public:
  TenantView view() const;

  void add_pending(const std::vector<index::IndexEntry>& entries);
  std::size_t pending_count() const;
  // Closes the pending index that entries go to; what it and earlier ones hold stays visible and is returned.
  std::vector<std::shared_ptr<const index::MemoryIndex>> freeze_pending();
  // The frozen indexes are listed by `objects` from now on: both changes become visible at once.
  void replace_shipped(const std::vector<std::shared_ptr<const index::MemoryIndex>>& frozen, const std::map<std::int64_t, DayObject>& objects);

  // Makes the opened objects exactly `listed`, but keeps those that shipped after `listing_began`: a listing made before
  // that cannot know them. Sequence numbers come from ship_sequence().
  void replace_listed(DayObjects listed, std::uint64_t listing_began);
  std::uint64_t ship_sequence() const;

 private:
  mutable std::mutex mutex_;   // guards all below
  std::shared_ptr<const DayObjects> days_ = std::make_shared<DayObjects>();
  std::vector<std::shared_ptr<const index::MemoryIndex>> frozen_;
  std::shared_ptr<index::MemoryIndex> current_ = std::make_shared<index::MemoryIndex>();
  std::uint64_t ship_sequence_ = 0;
  std::vector<std::pair<std::uint64_t, Ulid>> shipped_;   // (sequence, object) not yet confirmed by a listing
};

// An index a query has to ask.
struct QuerySource {
  const index::SeriesIndex* index = nullptr;
  bool whole_days = false;   // every series of it has a chunk in one of the query's days
};

// The indexes that may know chunks of `range`. An object that another opened object lists among its inputs is left out.
// Fails when an object of these days could not be opened.
Result<std::vector<QuerySource>> sources_of(const TenantView& view, const index::TimeRange& range);

}  // namespace skald::store
