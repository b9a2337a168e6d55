#include "wal/frame.h"

#include <charconv>
#include <cstdio>

#include "skald/codec/crc32c.h"

namespace skald::wal {
namespace {

constexpr std::uint8_t kFrameMark = 0xA7;

std::uint16_t header_check(const char* header) { return static_cast<std::uint16_t>(codec::crc32c(ByteView(header, 10))); }

bool type_known(std::uint8_t type) { return type >= 1 && type <= 5; }

// The mark and the check of the header come first, so that searching for a frame in damaged bytes computes a payload's
// CRC about once in 2^24 wrong places.
bool frame_at(ByteView bytes, std::uint64_t offset, FrameRef& frame) {
  if (bytes.size() - offset < kFrameHeaderBytes) return false;
  const char* header = bytes.data() + offset;
  if (static_cast<std::uint8_t>(header[9]) != kFrameMark || !type_known(static_cast<std::uint8_t>(header[8]))) return false;
  if (load_le<std::uint16_t>(header + 10) != header_check(header)) return false;
  const auto length = load_le<std::uint32_t>(header);
  if (length > kFramePayloadBytesMax || length > bytes.size() - offset - kFrameHeaderBytes) return false;
  const std::uint32_t crc = codec::crc32c(ByteView(header + kFrameHeaderBytes, length), codec::crc32c(ByteView(header + 8, 1)));
  if (crc != load_le<std::uint32_t>(header + 4)) return false;
  frame = {offset + kFrameHeaderBytes, length, static_cast<FrameType>(header[8])};
  return true;
}

}  // namespace

Bytes encode_segment_header(const SegmentHeader& header) {
  Bytes out;
  out.reserve(kSegmentHeaderBytes);
  append_le(out, kSegmentMagic);
  append_le(out, kFormatVersion);
  out.append(3, '\0');
  append_le(out, header.sequence);
  append_le(out, header.counter);
  append_le(out, header.created_ns);
  out.resize(kSegmentHeaderBytes - 4, '\0');
  append_le(out, codec::crc32c(out));
  return out;
}

Result<SegmentHeader> decode_segment_header(ByteView bytes) {
  if (bytes.size() < kSegmentHeaderBytes) return Error(ErrorCode::kCorruption, "WAL segment: shorter than its header");
  if (load_le<std::uint32_t>(bytes.data()) != kSegmentMagic) return Error(ErrorCode::kCorruption, "WAL segment: wrong magic");
  if (load_le<std::uint32_t>(bytes.data() + kSegmentHeaderBytes - 4) != codec::crc32c(bytes.substr(0, kSegmentHeaderBytes - 4)))
    return Error(ErrorCode::kCorruption, "WAL segment: header checksum does not match");
  if (static_cast<std::uint8_t>(bytes[4]) != kFormatVersion)
    return Error(ErrorCode::kCorruption, "WAL segment: version " + std::to_string(static_cast<std::uint8_t>(bytes[4])) + " is not known");
  return SegmentHeader{load_le<std::uint64_t>(bytes.data() + 8), load_le<std::uint64_t>(bytes.data() + 16), load_le<std::int64_t>(bytes.data() + 24)};
}

std::size_t begin_frame(Bytes& out, FrameType type) {
  const std::size_t begin = out.size();
  out.append(kFrameHeaderBytes, '\0');
  out[begin + 8] = static_cast<char>(type);
  out[begin + 9] = static_cast<char>(kFrameMark);
  return begin;
}

void seal_frame(Bytes& out, std::size_t begin) {
  const std::size_t length = out.size() - begin - kFrameHeaderBytes;
  SKALD_CHECK(length <= kFramePayloadBytesMax);
  char* header = out.data() + begin;
  store_le(header, static_cast<std::uint32_t>(length));
  store_le(header + 4, codec::crc32c(ByteView(header + kFrameHeaderBytes, length), codec::crc32c(ByteView(header + 8, 1))));
  store_le(header + 10, header_check(header));
}

SegmentScan scan_segment(ByteView bytes) {
  SegmentScan scan;
  std::uint64_t offset = kSegmentHeaderBytes;
  scan.valid_end = offset;
  bool damaged = false;
  while (offset < bytes.size()) {
    FrameRef frame;
    if (frame_at(bytes, offset, frame)) {
      if (damaged) ++scan.corrupt_stretches;
      damaged = false;
      scan.frames.push_back(frame);
      offset = frame.offset + frame.length;
      scan.valid_end = offset;
      continue;
    }
    if (!damaged && bytes.size() - offset >= kFrameHeaderBytes) {
      // Usually only the payload is hit and the header still says where the next frame begins.
      const char* header = bytes.data() + offset;
      const std::uint64_t next = offset + kFrameHeaderBytes + load_le<std::uint32_t>(header);
      if (load_le<std::uint16_t>(header + 10) == header_check(header) && next < bytes.size() && frame_at(bytes, next, frame)) {
        ++scan.corrupt_stretches;
        offset = next;
        continue;
      }
    }
    damaged = true;
    // The mark is the tenth byte of a header: jump from mark to mark.
    const void* mark = bytes.size() - offset > kFrameHeaderBytes
                           ? std::memchr(bytes.data() + offset + 10, kFrameMark, bytes.size() - offset - 10)
                           : nullptr;
    if (mark == nullptr) break;
    offset = static_cast<std::uint64_t>(static_cast<const char*>(mark) - bytes.data()) - 9;
  }
  return scan;
}

std::string segment_name(std::uint64_t sequence) {
  char name[40];
  std::snprintf(name, sizeof name, "%020llu.wal", static_cast<unsigned long long>(sequence));
  return name;
}

bool parse_segment_name(std::string_view name, std::uint64_t& sequence) {
  if (name.size() != 24 || !name.ends_with(".wal")) return false;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 20, sequence);
  return error == std::errc() && end == name.data() + 20;
}

}  // namespace skald::wal
