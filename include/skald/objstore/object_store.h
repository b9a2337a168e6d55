// Blobs by key. Implementations are thread-safe. Ranges are bytes, half open. Keys are '/'-separated, never start with '/',
// have no segment "..", and are at most 900 bytes (stores.h: check_key).
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
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
  std::vector<ObjectInfo> objects;    // sorted by key
  std::vector<std::string> folders;   // kOneLevel: what lies deeper, cut after the next '/', each once; sorted
  std::string next;                   // empty: that was all. Else a token for the next call; only the store knows what it says
};

enum class ListDepth { kAll, kOneLevel };

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  virtual Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) = 0;  // atomic: all or nothing
  // Like put(), but never replaces: kAlreadyExists when the key is there. Of several writers exactly one succeeds. An
  // error other than kAlreadyExists may hide a success (the answer was lost), as with put(). A retry inside the store that
  // then meets its own object answers success only if the stored bytes are `body`.
  // kUnimplemented: the service has no such condition.
  virtual Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) = 0;
  virtual Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) = 0;  // kNotFound
  // `next`: empty, or the token of the page before. Not for the query path: listings cost as much as writes.
  virtual Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) = 0;
  virtual Result<void> remove(std::string_view key, const CallContext& ctx) = 0;  // absent key is success
  // As many requests as the service needs. On failure some may be gone; the first error is returned.
  virtual Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx);
};

// Every object (kAll) or folder (kOneLevel; sorted, each once) below `prefix`, page after page.
Result<std::vector<ObjectInfo>> list_objects(ObjectStore& store, std::string_view prefix, const CallContext& ctx);
Result<std::vector<std::string>> list_folders(ObjectStore& store, std::string_view prefix, const CallContext& ctx);

}  // namespace skald::objstore
