// An opened chunk and what the index says of one stream in it → the slices a query reads.
#pragma once

#include <vector>

#include "skald/chunk/block.h"
#include "skald/index/chunk_ref.h"
#include "skald/index/series_index.h"
#include "store/chunk_cache.h"

namespace skald::store {

// Appends the slices of `labels`' rows whose times overlap `range`. kCorruption: the chunk is not the one the index means
// (other stream, other rows).
Result<void> append_slices(const model::InternedLabels& labels, const index::ChunkRef& ref, const OpenChunk& chunk,
                           const index::TimeRange& range, std::vector<chunk::BlockSlice>& out);

// Same chunk, same number; distinct for distinct (object, offset) but for hash collisions.
std::uint64_t source_id(const index::ChunkRef& ref);

}  // namespace skald::store
