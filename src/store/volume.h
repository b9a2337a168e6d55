// How much of a chunk's rows and bytes lies in a time range, without opening the chunk.
#pragma once

#include <cstdint>

#include "skald/index/chunk_ref.h"
#include "skald/index/series_index.h"

namespace skald::store {

struct Share {
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
};

// Exact when the chunk lies inside the range, or the range's edges fall on sketch buckets; else the buckets (without a
// sketch: the chunk) that straddle an edge count by the part of their time that is inside.
Share compute_share(const index::ChunkRef& ref, const index::TimeRange& range);

}  // namespace skald::store
