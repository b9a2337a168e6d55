// Looking at a segment without replaying it: for `skald inspect` and `skald fsck`.
#pragma once

#include <cstdint>
#include <string>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::wal {

struct SegmentCheck {
  std::uint64_t sequence = 0;
  std::uint64_t frames = 0, pushes = 0, entries = 0, series = 0, flush_records = 0;
  std::uint64_t corrupt_frames = 0;      // damaged stretches followed by something valid, and undecodable payloads
  std::uint64_t torn_tail_bytes = 0;
  bool clean() const { return corrupt_frames == 0 && torn_tail_bytes == 0; }
};

// kCorruption: the header is not one of a segment. All other damage is in the counts.
Result<SegmentCheck> verify_wal_segment(ByteView bytes);
// One line per frame, for people.
Result<std::string> describe_wal_segment(ByteView bytes);

}  // namespace skald::wal
