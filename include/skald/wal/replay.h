// Reading the log back. Damage is counted and skipped, never fatal.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "skald/exec/pool.h"
#include "skald/io/file_system.h"
#include "skald/wal/records.h"
#include "skald/wal/writer.h"

namespace skald::wal {

struct ReplayReport {
  std::uint64_t frames = 0;
  std::uint64_t entries = 0;           // given to on_push
  std::uint64_t entries_flushed = 0;   // left out: a chunk holds them
  std::uint64_t torn_tail_bytes = 0;   // cut from the newest segment
  std::uint64_t corrupt_frames = 0;    // damaged stretches, and frames whose series definition was lost
  std::uint64_t max_ordinal = 0;       // the counter must continue above
  std::vector<SegmentInfo> segments;   // for Writer
};

class ReplaySink {
 public:
  virtual ~ReplaySink() = default;
  // Index entries of flushed chunks that no shipped mark covers, in flush order; before any push. `sequence` is the
  // newest segment that holds the record.
  virtual void on_pending(FlushRecord record, std::uint64_t sequence) = 0;
  // One push without the entries that are flushed already. ordinals[i] belongs to batch.streams[i].
  virtual void on_push(const model::PushBatch& batch, std::span<const std::uint64_t> ordinals, std::int64_t arrival_ns) = 0;
};

// Calls the sink from this thread; decodes on `pool` too. An empty or absent directory is an empty log. The torn tail of
// the newest segment is cut off the file. Errors: the directory or a file cannot be read at all.
Result<ReplayReport> replay(io::FileSystem& fs, const std::string& directory, exec::Pool& pool, ReplaySink& sink);

}  // namespace skald::wal
