// Bytes of chunks of a few objects, fetched with as few requests as their places allow.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/context.h"
#include "skald/exec/pool.h"
#include "skald/index/chunk_ref.h"
#include "skald/objstore/object_store.h"

namespace skald::compactor {

// Not thread-safe while fetching; reads afterwards may come from anywhere.
class ObjectParts {
 public:
  ObjectParts(objstore::ObjectStore& objects, exec::Pool& pool, std::string tenant) : objects_(objects), pool_(pool), tenant_(std::move(tenant)) {}

  void want(const index::ChunkRef& chunk);
  std::uint64_t wanted_bytes() const { return wanted_bytes_; }
  // Fetches what is wanted in place of what was held before. kNotFound: an object is gone.
  Result<void> fetch(const CallContext& ctx);
  std::uint64_t held_bytes() const;
  // Bytes [begin, end) of the chunk. kCorruption: outside of what was fetched.
  Result<ByteView> view(const index::ChunkRef& chunk, std::uint64_t begin, std::uint64_t end) const;

 private:
  struct Range {
    index::ObjectRef object;
    std::uint64_t begin = 0, end = 0;
  };
  struct Piece {
    std::uint64_t begin = 0;
    Bytes bytes;
  };
  objstore::ObjectStore& objects_;
  exec::Pool& pool_;
  const std::string tenant_;
  std::vector<Range> wanted_;
  std::uint64_t wanted_bytes_ = 0;
  std::map<Ulid, std::vector<Piece>> held_;   // by begin
};

}  // namespace skald::compactor
