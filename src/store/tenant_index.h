// What one process knows of the indexes: per tenant the daily index objects that exist and the entries not shipped yet.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "skald/index/memory_index.h"
#include "store/index_objects.h"

namespace skald::store {

using DayObjects = std::map<std::int64_t, std::vector<IndexObjectPtr>>;   // by day; objects sorted by id

// An index object that other processes may not have listed yet. Its reader stays, whatever the budget of opened objects.
struct RecentObject {
  IndexObjectPtr object;
  IndexReaderPtr reader;
  std::int64_t until_ns = 0;   // monotonic
};

// What a query looks at; immutable but for entries that are still being added to the last pending index.
struct TenantView {
  std::shared_ptr<const DayObjects> days;
  std::vector<std::shared_ptr<const index::MemoryIndex>> pending;
  std::vector<RecentObject> recent;   // in views for recent queries only
  std::uint64_t listing = 0;   // how many listings it knows
};

// Thread-safe.
class TenantIndex {
 public:
  TenantView view() const;
  // With what shipped recently; pending and recent are of one moment. Drops what is recent no more.
  TenantView recent_view(std::int64_t now_monotonic_ns) const;
  void drop_expired(std::int64_t now_monotonic_ns);
  // Those that are not there yet.
  void add_recent(std::vector<RecentObject> objects);

  void add_pending(const std::vector<index::IndexEntry>& entries);
  std::size_t pending_count() const;
  // Closes the pending index that entries go to; what it and earlier ones hold stays visible and is returned.
  std::vector<std::shared_ptr<const index::MemoryIndex>> freeze_pending();
  // The frozen indexes are listed by `objects` from now on: both changes become visible at once.
  // `keep`: they are recent.
  void replace_shipped(const std::vector<std::shared_ptr<const index::MemoryIndex>>& frozen, const std::vector<RecentObject>& objects, bool keep);

  // Makes the known objects (of one day, or all) exactly `listed`, but keeps those that shipped after `listing_began`: a
  // listing made before that cannot know them. Sequence numbers come from ship_sequence(). Objects known before keep their
  // identity, and with it what was opened, unless they failed.
  void replace_listed(const std::vector<IndexObjectPtr>& listed, std::uint64_t listing_began, std::optional<std::int64_t> only_day, std::int64_t began_monotonic_ns);
  // When the last listing of all days began that came to its end; INT64_MIN: there was none. Monotonic.
  std::int64_t listed_ns() const;
  std::uint64_t ship_sequence() const;

 private:
  mutable std::mutex mutex_;   // guards all below
  std::shared_ptr<const DayObjects> days_ = std::make_shared<DayObjects>();
  std::vector<std::shared_ptr<const index::MemoryIndex>> frozen_;
  std::shared_ptr<index::MemoryIndex> current_ = std::make_shared<index::MemoryIndex>();
  std::uint64_t ship_sequence_ = 0;
  std::uint64_t listings_ = 0;
  std::int64_t listed_ns_ = INT64_MIN;
  mutable std::vector<RecentObject> recent_;
  std::vector<std::pair<std::uint64_t, Ulid>> shipped_;   // (sequence, object) not yet confirmed by a listing
};

// An index a query has to ask.
struct QuerySource {
  const index::SeriesIndex* index = nullptr;
  bool whole_days = false;   // every series of it has a chunk in one of the query's days
};

// The indexes that may know chunks of a range, and what keeps them alive.
struct QuerySources {
  TenantView view;
  std::vector<IndexReaderPtr> readers;
  std::vector<QuerySource> all;
  // Chunk objects that compaction has let go of, sorted. An ingester may list one of them once more, when it shipped and then
  // crashed before it had noted that: its rows are elsewhere or gone on purpose, and the object itself will go.
  std::vector<Ulid> retired;
};

}  // namespace skald::store
