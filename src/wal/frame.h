// Frames: how bytes of a segment are cut into records, and how a reader finds its footing again after damage.
#pragma once

#include <cstdint>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::wal {

inline constexpr std::uint32_t kSegmentMagic = 0x4C57'4B53;  // "SKWL"
inline constexpr std::uint8_t kFormatVersion = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 64;
inline constexpr std::size_t kFrameHeaderBytes = 12;
inline constexpr std::uint64_t kFramePayloadBytesMax = 1ULL << 30;
inline constexpr std::uint64_t kSegmentBytesMax = 4ULL << 30;  // a segment ends with the frame that crosses its target

enum class FrameType : std::uint8_t { kPushReceived = 1, kPushCanonical = 2, kFlush = 3, kShipped = 4, kSeries = 5 };

struct SegmentHeader {
  std::uint64_t sequence = 0;
  std::uint64_t counter = 0;      // next ordinal when the segment was begun
  std::int64_t created_ns = 0;
};
Bytes encode_segment_header(const SegmentHeader& header);
Result<SegmentHeader> decode_segment_header(ByteView bytes);

// A frame is begun, its payload appended to `out`, then sealed: length and checksums are filled in.
std::size_t begin_frame(Bytes& out, FrameType type);
void seal_frame(Bytes& out, std::size_t begin);

struct FrameRef {
  std::uint64_t offset = 0;         // of the payload
  std::uint32_t length = 0;         // of the payload
  FrameType type{};
};
struct SegmentScan {
  std::vector<FrameRef> frames;
  std::uint64_t corrupt_stretches = 0;  // damaged bytes with a valid frame behind them
  std::uint64_t valid_end = 0;          // everything behind is a torn tail
};
// Checks every frame's checksums.
SegmentScan scan_segment(ByteView bytes);

std::string segment_name(std::uint64_t sequence);
bool parse_segment_name(std::string_view name, std::uint64_t& sequence);

}  // namespace skald::wal
