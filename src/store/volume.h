// How much of a chunk's rows and bytes lies in a time range, without opening the chunk.
#pragma once

#include <cstdint>

#include "skald/index/chunk_ref.h"
#include "skald/index/series_index.h"
#include "skald/rpc/ingester_client.h"

namespace skald::store {

struct Share {
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
};

// Exact when the chunk lies inside the range, or the range's edges fall on sketch buckets; else the buckets (without a
// sketch: the chunk) that straddle an edge count by the part of their time that is inside.
Share compute_share(const index::ChunkRef& ref, const index::TimeRange& range);

// What of a stream's chunks lies in the request's range; chunks that reach to request.spans_since_ns as spans, each a holder
// of its own. Copies by several ingesters count once, as far as add_up() can tell them.
rpc::SeriesVolume volume_of(const index::StreamChunkRefs& stream, const rpc::SelectRequest& request);

}  // namespace skald::store
