// Counting without reading: whoever selects rows only to count them is offered, chunk by chunk, what the index knows of
// them, and may take that instead of the rows.
#pragma once

#include <cstdint>

#include "skald/chunk/builder.h"
#include "skald/model/labels.h"

namespace skald::rpc {

// One stream's rows in one chunk of the long-term store.
struct ChunkCounts {
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint32_t rows = 0;
  std::uint64_t raw_bytes = 0;
  const chunk::Sketch* sketch = nullptr;   // width_s 0: nothing finer is known
};

// Belongs to one select(); called from one thread at a time.
class CountTaker {
 public:
  virtual ~CountTaker() = default;
  // Rows of the stream between these times are in memory too; chunks that touch them may hold the same rows and are not taken.
  virtual void in_memory(const model::InternedLabels& labels, std::int64_t min_ts_ns, std::int64_t max_ts_ns) = 0;
  // The chunk's rows are nobody else's: no other chunk of the stream overlaps it in time. True: they are counted, and the
  // chunk stays out of the select's result.
  virtual bool take(const model::LabelsPtr& labels, const ChunkCounts& counts) = 0;
  // Forgets what was taken (not what is in memory): the store begins again.
  virtual void restart() = 0;
  // What was taken so far, for limits.
  struct Taken {
    std::uint64_t streams = 0;   // of which at least one chunk was taken
    std::uint64_t chunks = 0;
    std::uint64_t bytes = 0;     // raw bytes of their rows
  };
  virtual Taken taken() const = 0;
};

}  // namespace skald::rpc
