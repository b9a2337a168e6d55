// Several buckets as one, by date: schema_config may send each period's data to another store.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "skald/objstore/object_store.h"

namespace skald::objstore {

struct Period {
  std::int64_t first_day = 0;              // days since 1970-01-01 UTC; holds until the next period's first day
  std::shared_ptr<ObjectStore> store;      // periods may share one
};

// Keys that carry a date (<tenant>/index/index_<day>/…, <tenant>/chunks/<20261120T06>/…) belong to the store of the period
// that day falls into (before the first: the first); all others (rules, delete requests, locks) to the last period's store.
// Listings ask every store that may hold such keys, one after the other: sorted within each store only.
// `periods`: at least one, first_day ascending.
std::unique_ptr<ObjectStore> with_periods(std::vector<Period> periods);

}  // namespace skald::objstore
