// One day of a tenant: what is due is found out, done, and committed.
#pragma once

#include <charconv>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compactor/day.h"
#include "compactor/delete_rows.h"
#include "compactor/metrics.h"
#include "compactor/retention.h"
#include "compactor/shard_merge.h"
#include "skald/compactor/compactor.h"

namespace skald::compactor {

// What is remembered of a day between runs, so that days without news are not opened.
struct DayMemo {
  std::vector<Ulid> present;            // index objects after the last run
  std::int64_t due_ns = INT64_MAX;      // when something is to be done although nothing changed
  std::uint64_t rules = 0;              // RetentionRules::fingerprint(), 0 when not applied
  std::set<Ulid> swept;                 // retired objects that were deleted
};

struct DayEnvironment {
  objstore::ObjectStore& objects;
  exec::Pool& pool;
  const Clock& clock;
  Random& random;
  const CompactorOptions& options;
  Metrics& metrics;
  std::uint64_t memory_bytes = 0;                          // for this day
  bool may_overwrite = false;                              // the store cannot create conditionally
  std::function<Result<void>()> progress;                  // renews the lease
};

struct DayTask {
  std::string tenant;
  DayListing listing;
  std::optional<RetentionRules> retention;                 // none: not applied in this run
  std::vector<std::shared_ptr<const DeleteRequest>> deletes;     // to be carried out in this day
  std::vector<std::shared_ptr<const DeleteRequest>> processed;   // carried out earlier; for what turns up again
  std::set<std::uint32_t> noted;                           // requests whose notes are still needed
  std::optional<std::vector<index::ObjectRef>> chunk_objects;    // listed in the bucket for this day; none: not looked for orphans
};

struct DayResult {
  RunReport report;
  std::vector<index::AppliedDelete> deletes;               // of task.deletes: complete ones
  bool removed = false;                                    // nothing of the day is left
  std::int64_t next_sweep_ns = INT64_MAX;                  // when an object listed nowhere, too young now, is to be looked at
  bool lost = false;                                       // another compactor was first; try again soon
};

// Errors leave the day as it was, or changed in part: every commit stands for itself.
Result<void> run_day(const DayEnvironment& env, DayTask task, const CallContext& ctx, DayMemo& memo, DayResult& result);

// As index objects note it.
inline std::uint32_t request_number(const DeleteRequest& request) {
  std::uint32_t number = 0;
  std::from_chars(request.id.data(), request.id.data() + request.id.size(), number, 16);
  return number;
}

}  // namespace skald::compactor
