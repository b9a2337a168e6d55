// Blobs by key. Implementations are thread-safe. Ranges are bytes, half open. Keys are '/'-separated, never start with '/',
// have no segment "..", and are at most 900 bytes (stores.h: check_key).
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/context.h"
#include "skald/base/result.h"

namespace skald::objstore {

struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = std::numeric_limits<std::uint64_t>::max();  // max: to the end of the object
};

struct ObjectInfo {
  std::string key;
  std::uint64_t size = 0;
};

struct ListPage {
  std::vector<ObjectInfo> objects;  // sorted by key
  bool more = false;                // call again with after = last key
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  virtual Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) = 0;  // atomic: all or nothing
  virtual Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) = 0;  // kNotFound
  virtual Result<ListPage> list(std::string_view prefix, std::string_view after, const CallContext& ctx) = 0;
  virtual Result<void> remove(std::string_view key, const CallContext& ctx) = 0;  // absent key is success
};

}  // namespace skald::objstore
