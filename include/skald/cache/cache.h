// Values by key that can be had again elsewhere: chunk units, index objects, answers. Asking a cache costs time and
// never correctness: what fails, is slow, or does not check out is a miss, and is counted.
//
// Levels, asked in this order: memory of this process, files on a local disk, memcached or Redis. A hit below is copied
// to the levels above it. Memory is written at once, the others by background threads behind a bounded queue.
//
//   open(config, "chunks", …)  →  Tiered{ Memory, Background{Disk}, Background{Memcached} }
//
// Clients of memcached and Redis are our own: Debian 12's hiredis has no TLS, libmemcached brings a second kind of
// blocking, hashing and failure handling, and one small socket class with deadlines (src/cache/socket.h) serves both.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/clock.h"
#include "skald/base/context.h"
#include "skald/config/storage.h"
#include "skald/io/file_system.h"
#include "skald/obs/metrics.h"

namespace skald::cache {

struct Item {
  std::string key;
  SharedBytes value;   // not null
};

// Thread-safe. Keys are any bytes, up to 64 KiB. One key always means the same value: whoever changes what a key stands
// for changes the key.
class Cache {
 public:
  virtual ~Cache() = default;
  // As many values as keys, in their order; null: not there. Blocks for as long as the level's timeout at most, and not
  // beyond the context's deadline.
  virtual std::vector<SharedBytes> fetch(const CallContext& ctx, std::span<const std::string> keys) = 0;
  // Returns at once where the level is slow; items beyond the queue's bounds are dropped and counted.
  virtual void store(std::vector<Item> items) = 0;
  // Waits until everything stored before has been written or dropped.
  virtual void flush() {}

  SharedBytes fetch_one(const CallContext& ctx, const std::string& key) { return fetch(ctx, std::span(&key, 1)).front(); }
};

// What the values are good for.
enum class Content {
  kImmutable,   // parts of immutable objects: files on disk stay until their space is needed
  kAnswers,     // answers that may age: files on disk live for default_validity
};

struct OpenOptions {
  std::string name;              // of the cache in metrics: "chunks", "frontend."; levels append "embedded-cache", "memcache", …
  Content content = Content::kImmutable;
  bool with_memory = true;       // false: the caller has a memory level of its own and configures it from the same block
};

// The levels that `config` names; nullptr when it names none.
// kInvalidArgument: addresses or TLS files that cannot be used; several Redis endpoints (cluster, sentinel).
// kIo, kResourceExhausted: the disk directory cannot be made or read. A remote server that is down is no error.
// `fs`, `clock` and `registry` outlive the cache.
Result<std::shared_ptr<Cache>> open(const config::CacheBlockConfig& config, const OpenOptions& options, io::FileSystem& fs,
                                    obs::Registry& registry, const Clock& clock = system_clock());

// The same cache for one use of it: `prefix` stands before every key.
std::shared_ptr<Cache> with_prefix(std::shared_ptr<Cache> inner, std::string prefix);

}  // namespace skald::cache
