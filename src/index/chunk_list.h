// A series' chunk list, delta coded, and the sketches of chunks. Bytes: docs/formats/index.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/index/chunk_ref.h"

namespace skald::index {

// An object's number in the objects section, in chunk list entries.
struct PlacedRef {
  std::uint32_t object = 0;
  const ChunkRef* chunk = nullptr;
};
// Appends a list. `refs` sorted by min_ts_ns; offsets are multiples of 64.
void append_chunk_list(std::string& out, std::int64_t day, std::span<const PlacedRef> refs);

// Walks a list.
class ChunkListReader {
 public:
  // `objects`: the objects section's entries (40 bytes each).
  ChunkListReader(ByteView list, std::int64_t day, ByteView objects);
  // Fills all of `ref` but its sketch. kCorruption: the bytes do not make sense.
  Result<void> next(ChunkRef& ref);
  bool at_end() const { return p_ == end_; }

 private:
  const char* p_;
  const char* end_;
  ByteView objects_;
  std::uint32_t object_ = 0;
  std::int64_t min_ts_ns_ = 0;
};

ObjectRef read_object(const char* entry);   // 40 bytes

void append_sketch(std::string& out, const chunk::Sketch& sketch);
// kCorruption unless `raw` is exactly `count` sketches.
Result<void> read_sketches(ByteView raw, std::uint32_t count, std::vector<chunk::Sketch>& out);

}  // namespace skald::index
