// Chunk bytes → blocks. Everything from outside is checked before memory is reserved (docs/formats/chunk.md, "Checks").
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "skald/chunk/block.h"
#include "skald/chunk/builder.h"

namespace skald::chunk {

// Reads bytes [begin, end) of the chunk; called from load() on any thread. The reader asks first for the head
// (header, directory, runs, hot columns), then for whole column tables and page ranges as plans need them.
using ChunkFetch = std::function<Result<Bytes>(std::uint64_t begin, std::uint64_t end, const CallContext& ctx)>;

struct BlockSummary {
  std::uint32_t rows = 0, first_row = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint64_t raw_bytes = 0;
};

// Thread-safe. Decoded blocks are kept while somebody holds them (weak reference), so that the members of a group chunk
// share one decoding.
class ChunkReader {
 public:
  // `length` and `hot_length` come from the index; kCorruption when header or directory do not check out.
  static Result<std::shared_ptr<ChunkReader>> open(ChunkFetch fetch, std::uint64_t length, std::uint64_t hot_length, const CallContext& ctx);
  static Result<std::shared_ptr<ChunkReader>> open(SharedBytes whole_chunk);
  virtual ~ChunkReader() = default;
  virtual const ChunkMeta& meta() const = 0;                    // no sketch
  virtual const std::vector<BlockSummary>& blocks() const = 0;
  virtual std::shared_ptr<const Block> block(std::size_t i) const = 0;
};

}  // namespace skald::chunk
