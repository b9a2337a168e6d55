// Chunk objects of one time shard → fewer, larger ones with the same rows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compactor/chunk_writer.h"
#include "compactor/object_parts.h"
#include "compactor/row_merge.h"
#include "skald/exec/pool.h"
#include "skald/index/series_index.h"

namespace skald::compactor {

// Which rows a delete request takes, as far as a shard merge asks.
class DeletionRows : public RowFilter {
 public:
  // False: no row of this chunk can be meant, by labels and times.
  virtual bool touches(const model::InternedLabels& labels, const index::ChunkRef& chunk) const = 0;
};

struct ShardJob {
  std::string tenant;
  std::int64_t shard_start_ns = 0;
  std::vector<index::ObjectRef> inputs;              // every live chunk of them is in `streams`
  std::vector<index::StreamChunkRefs> streams;       // any order; chunks may be listed twice
  std::uint32_t level = 1;                           // of the outputs
  bool copy_whole = false;                           // chunks without touched rows are copied, not merged
  std::uint64_t copy_raw_bytes_min = 16 << 20;       // a chunk from here on is copied where nothing overlaps it
  std::uint64_t memory_bytes = 64 << 20;             // of chunk bytes held at once
  DeletionRows* deletions = nullptr;
  std::function<Result<void>()> progress;            // called now and then; an error stops the job
};

struct ShardResult {
  std::vector<index::IndexEntry> entries;
  std::vector<WrittenObject> objects;                // also after an error: what may be in the store
  RowCounts rows;
  std::uint64_t chunks_in = 0, chunks_out = 0, chunks_copied = 0;
  std::uint64_t bytes_in = 0, bytes_out = 0;         // of chunks, of objects
};

// `result.objects` is filled whatever happens, for the caller to remove.
Result<void> merge_shard(objstore::ObjectStore& objects, exec::Pool& pool, Random& random, const WriterOptions& options, ShardJob job, const CallContext& ctx,
                         ShardResult& result);

}  // namespace skald::compactor
