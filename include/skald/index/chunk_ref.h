// Where a stream's rows lie in the bucket: what daily indexes hold per series.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "skald/base/random.h"
#include "skald/chunk/builder.h"
#include "skald/model/labels.h"

namespace skald::index {

struct ObjectRef {
  Ulid id;
  std::int64_t shard_start_ns = 0;
  std::uint64_t length = 0;
  std::uint64_t tail_offset = 0;
  auto operator<=>(const ObjectRef&) const = default;
};

struct ChunkRef {
  ObjectRef object;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  std::uint32_t hot_length = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;   // of this stream's rows
  std::uint32_t rows = 0;                      // of this stream
  std::uint64_t raw_bytes = 0;                 // of this stream
  std::uint64_t content_id = 0;
  bool group = false;
  std::uint32_t first_row = 0;                 // in the group chunk
  chunk::Sketch sketch;                        // width_s 0 when unknown
};

// One entry of an index: a stream and one of its chunks.
struct IndexEntry {
  model::LabelsPtr labels;
  ChunkRef chunk;
};

inline std::int64_t day_of(std::int64_t ts_ns) {   // days since 1970-01-01 UTC
  constexpr std::int64_t kDayNs = 24LL * 3600 * 1'000'000'000;
  return ts_ns / kDayNs - (ts_ns % kDayNs < 0 ? 1 : 0);
}

}  // namespace skald::index
