// Object bytes → what is in them (docs/formats/object.md). Queries go through the index and never need this; inspection,
// verification and rebuilding a lost index do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/random.h"
#include "skald/base/result.h"
#include "skald/model/labels.h"

namespace skald::chunk {

inline constexpr std::size_t kObjectHeaderBytes = 64;
inline constexpr std::size_t kObjectTrailerBytes = 64;

struct ObjectHeader {
  Ulid id;
  std::uint64_t tenant_hash = 0;       // XXH3-64 of the tenant's name
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint32_t level = 0;             // 0: written by an ingester; n: compacted n times
  std::uint32_t chunks = 0;
};
Result<ObjectHeader> read_object_header(ByteView first_64_bytes);

struct ObjectTrailer {
  Ulid id;
  std::uint64_t section_table_offset = 0;
  std::uint32_t section_table_length = 0;
  std::uint32_t section_table_crc = 0;
  std::uint64_t tail_offset = 0;
  std::uint64_t object_length = 0;
  std::uint32_t chunks = 0;
};
// kCorruption unless magic, checksum and offsets check out against `object_length`.
Result<ObjectTrailer> read_object_trailer(ByteView last_64_bytes, std::uint64_t object_length);

// One entry of the chunk directory. Times are whole seconds (rounded outwards) and raw bytes whole KiB (rounded up); the
// chunk's own header has the exact numbers.
struct ObjectChunk {
  std::uint64_t stream_hash = 0;       // of a group: hash of its members' hashes
  std::uint64_t content_id = 0;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  std::uint32_t hot_length = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint32_t rows = 0;
  std::uint64_t raw_bytes = 0;
  bool group = false;                  // no stream of the labels section has this hash
};

struct ObjectSection {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::uint64_t offset = 0, stored = 0, raw = 0;
};

struct ObjectTail {
  ObjectTrailer trailer;
  std::vector<ObjectSection> sections;
  std::vector<ObjectChunk> chunks;                                // by offset
  std::vector<Ulid> inputs;                                       // objects that this one replaces, sorted
  std::unordered_map<std::uint64_t, model::LabelsPtr> labels;     // by stream hash: single streams and group members
};
// `tail` is the end of the object, from the trailer's tail_offset or earlier on. Call it with the last 256 KiB; when that
// is too short the error is kInvalidArgument and read_object_trailer() tells where the tail begins.
Result<ObjectTail> open_object_tail(ByteView tail, std::uint64_t object_length);

struct ObjectKey {
  std::string tenant;
  std::int64_t shard_start_ns = 0;
  Ulid id;
};
// The reverse of object_key(); kInvalidArgument for anything else.
Result<ObjectKey> parse_object_key(std::string_view key);

}  // namespace skald::chunk
