// Puts together what several were asked for the same rows.
#pragma once

#include "skald/chunk/block.h"

namespace skald::rpc {

// Adds the streams of `from`. A stored chunk of which `into` has slices of the same stream is left out: who reads the bucket
// and who shows what it has just stored mean the same one (BlockSlice::source_id names stored chunks alike everywhere). Both
// have asked for the same range, so slices of one chunk are the same set. The same goes for rows that are known to be copies
// (BlockSlice::content_id), as replicas that took the same pushes hold the same blocks. Other rows may still be copies: the
// engine drops those. Blocks come out sorted by time; of equal starts those of `into` are first. Statistics are summed,
// chunks that were left out not counted.
void merge_into(chunk::SelectResult& into, chunk::SelectResult from);

}  // namespace skald::rpc
