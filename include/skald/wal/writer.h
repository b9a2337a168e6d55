// Append-only log of accepted pushes; the ingester's memory survives a crash through it.
//
// One writer thread turns whatever has queued up into one write and, when somebody needs it, one sync (group commit): the
// previous sync is the batching window. Format: docs/formats/wal.md; promises: docs/design/durability.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/base/clock.h"
#include "skald/io/file_system.h"
#include "skald/obs/metrics.h"
#include "skald/wal/records.h"

namespace skald::wal {

struct WriterOptions {
  std::string directory{};
  std::uint64_t segment_bytes = 256ULL << 20;
  bool sync_each_group = true;                   // false: pushes are acknowledged when written, synced every interval
  std::int64_t sync_interval_ns = kNanosPerSecond;
  std::uint64_t queue_bytes_max = 256ULL << 20;  // above: pushes are refused with kUnavailable
};

struct SegmentInfo {
  std::uint64_t sequence = 0;
  std::uint64_t bytes = 0;
  std::uint64_t max_ordinal = 0;   // of pushes in it; 0: none
  bool sealed = false;
};

// Thread-safe.
class Writer {
 public:
  using Done = std::function<void(Result<void>)>;

  // `existing` are the segments replay found (sealed for good: a new one is always begun). `counter` is the ordinal
  // counter, stored in segment headers so that it never runs backwards. The file system, the counter, registry and
  // clock outlive the writer. Nothing is created before the first append.
  Writer(io::FileSystem& fs, WriterOptions options, std::vector<SegmentInfo> existing, const std::atomic<std::uint64_t>& counter,
         obs::Registry& registry, const Clock& clock);
  ~Writer();  // close()

  // Queues the record. `done` is called once from the writer thread (or from here, when refused): success means written,
  // and with sync_each_group on disk. kUnavailable: the log failed earlier, is full or closed. A failed write or sync
  // fails the writer for good, with one exception: a write refused for lack of space is cut off again, and the next
  // append begins a new segment.
  void append(PushRecord record, Done done);
  // Flush records and shipped marks are always on disk when these return. The value is the segment they went to.
  Result<std::uint64_t> append_flush(const std::vector<FlushRecord>& records);
  Result<std::uint64_t> append_flush(Bytes encoded_records);   // by encode_flush_records
  Result<std::uint64_t> append_shipped(std::uint64_t up_to_flush_id);
  // Everything appended before is on disk when this returns.
  Result<void> sync();
  // Writes and syncs what is queued, then refuses everything.
  Result<void> close();

  std::vector<SegmentInfo> segments() const;     // oldest first; the last may be open
  std::uint64_t total_bytes() const;
  bool failed() const;
  // Removes sealed segments with sequence ≤ `up_to`, oldest first, each removal synced before the next.
  Result<void> remove_segments(std::uint64_t up_to);
  // Seals the open segment, if it holds anything, so that it can be removed.
  Result<void> roll();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skald::wal
