// Checks a bucket: every object, and whether indexes and chunk objects agree. Only reads; may run beside ingesters and
// compactors: a day whose index objects change meanwhile is looked at again.
#pragma once

#include <cstdint>

#include "fsck_report.h"
#include "skald/exec/pool.h"
#include "skald/objstore/object_store.h"

namespace skald::app {

struct BucketCheckOptions {
  // Chunk objects younger than this may be in no index: ingesters ship theirs every ten minutes, a compactor when its work
  // is complete, and it looks for what either left behind every six hours, sparing the last three.
  std::int64_t young_ns = 10 * kNanosPerHour;
  // A write-ahead log knows of objects that no index names yet, however old they are.
  bool log_beside = false;
  // False: chunk objects are not read, only looked for.
  bool read_objects = true;
  // A configuration may keep these in different buckets, each of which may be another's for something else.
  bool check_data = true, check_deletes = true, check_rules = true;
};

// Errors of single objects are findings; an error is returned only when the bucket cannot be listed.
Result<FsckReport> check_bucket(objstore::ObjectStore& bucket, exec::Pool& pool, const BucketCheckOptions& options, const CallContext& ctx);

}  // namespace skald::app
