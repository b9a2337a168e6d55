// The object stores we have, and decorators around any of them. All are thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "skald/base/random.h"
#include "skald/io/file_system.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"

namespace skald::objstore {

// kInvalidArgument unless the key is 1..900 bytes of non-empty '/'-separated segments, none of them "." or "..", none
// above 255 bytes (a file name), without zero bytes. Every store checks this before it touches anything.
Result<void> check_key(std::string_view key);

// Objects in memory, gone with the process.
std::unique_ptr<ObjectStore> make_memory_store();

// Objects as files below `root`, directories made as keys need them. put() writes and syncs <root>/.skald-tmp/…, renames
// it into place and syncs the directories, so an object is whole and durable or absent. Directories left empty by
// remove() go too. Opening creates `root` and deletes temporary files an earlier process left: one process per root.
// A key that is a prefix of another at a '/' (x and x/y) cannot be stored beside it: kAlreadyExists.
// `fs` and `random` outlive the store.
Result<std::unique_ptr<ObjectStore>> open_filesystem_store(io::FileSystem& fs, std::string root, Random& random = system_random());

inline constexpr std::size_t kListPageObjects = 1000;   // of both stores above

enum class Operation { kPut, kGet, kList, kRemove };   // create() is a kPut, remove_all() a kRemove per key
inline constexpr std::size_t kOperationCount = 4;

// What goes wrong with one call.
struct Fault {
  ErrorCode code = ErrorCode::kUnavailable;
  std::string message = "injected fault";
  bool after_effect = false;                 // the inner call is made first; only its answer is lost
  std::optional<std::uint64_t> torn_bytes;   // put: the first n bytes are stored, then `code`; get: n bytes, no error
};

// The script of a faulty store; shared between a test and the store, thread-safe.
class FaultPlan {
 public:
  // The n-th call of `operation` from now fails (1: the next one).
  void fail_nth(Operation operation, std::uint64_t n, Fault fault = {});
  // Every call of `operation` fails until clear().
  void fail_always(Operation operation, Fault fault = {});
  void clear();
  // Runs before each call on the calling thread, outside all locks: a place to wait, count or cancel.
  void set_hook(std::function<void(Operation, std::string_view key)> hook);
  std::uint64_t calls(Operation operation) const;

 private:
  friend class FaultyStore;
  std::optional<Fault> next(Operation operation, std::string_view key);
  struct PerOperation {
    std::uint64_t calls = 0;
    std::deque<std::pair<std::uint64_t, Fault>> at_call;
    std::optional<Fault> always;
  };
  mutable std::mutex mutex_;   // guards what follows
  PerOperation operations_[kOperationCount];
  std::function<void(Operation, std::string_view)> hook_;
};

std::unique_ptr<ObjectStore> with_faults(std::unique_ptr<ObjectStore> inner, std::shared_ptr<FaultPlan> plan);

// Refusals of the bucket (wrong credentials, no such bucket) become kInternal: to who asks this server they are its fault,
// not his. What callers act upon (kNotFound, kAlreadyExists, kUnavailable, kUnimplemented …) stays.
std::unique_ptr<ObjectStore> with_server_errors(std::unique_ptr<ObjectStore> inner);

// Counts operations, failures, durations and bytes as loki_objstore_bucket_*{bucket,operation}.
// Requests for absent objects are not failures.
// `registry` and `clock` outlive the store.
std::unique_ptr<ObjectStore> with_metrics(std::unique_ptr<ObjectStore> inner, std::string bucket, obs::Registry& registry,
                                          const Clock& clock = system_clock());

}  // namespace skald::objstore
