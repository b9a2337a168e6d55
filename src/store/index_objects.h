// Daily index objects: opened when a query first needs them, kept in memory within a budget, read through a cache.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "skald/cache/cache.h"
#include "skald/index/day_index.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"
#include "skald/store/store.h"

namespace skald::store {

using IndexReaderPtr = std::shared_ptr<const index::DayIndexReader>;

// An index object that is known to exist. Shared by all views that list it; thread-safe.
class IndexObject {
 public:
  IndexObject(std::string key, const Ulid& id, std::int64_t day) : key_(std::move(key)), id_(id), day_(day) {}

  const std::string& key() const { return key_; }
  const Ulid& id() const { return id_; }
  std::int64_t day() const { return day_; }
  // The objects it replaces, once it has been opened; before that null. Stays known when the reader has left memory.
  std::shared_ptr<const std::vector<Ulid>> inputs() const;
  // It was read and does not check out. Forgotten with this IndexObject: a refresh that lists it makes a new one.
  bool failed() const;

 private:
  friend class IndexObjects;
  const std::string key_;
  const Ulid id_;
  const std::int64_t day_;
  std::mutex open_mutex_;      // one opening at a time: others wait and find it open
  mutable std::mutex mutex_;   // guards all below
  std::weak_ptr<const index::DayIndexReader> reader_;
  std::shared_ptr<const std::vector<Ulid>> inputs_;
  std::shared_ptr<const Error> failure_;
};
using IndexObjectPtr = std::shared_ptr<IndexObject>;

// Thread-safe.
class IndexObjects {
 public:
  IndexObjects(objstore::ObjectStore& objects, const StoreOptions& options, obs::Registry& registry);

  // kNotFound: the object is gone. kCorruption: it does not check out, and is not read again. Other errors are the
  // bucket's, and the next call tries again. Messages name the object.
  Result<IndexReaderPtr> open(const CallContext& ctx, const IndexObjectPtr& object);
  // The reader if it is in memory.
  IndexReaderPtr find(const IndexObject& object);
  // An object just written by this process.
  void add(const IndexObjectPtr& object, IndexReaderPtr reader);
  // Lets go of readers whose objects nobody lists any more.
  void prune();

 private:
  struct Held {
    std::weak_ptr<IndexObject> object;
    const IndexObject* identity = nullptr;   // never followed: a name for the map
    IndexReaderPtr reader;
    std::uint64_t bytes = 0;
  };
  Result<IndexReaderPtr> read(const CallContext& ctx, const IndexObject& object);
  void hold(const IndexObjectPtr& object, IndexReaderPtr reader);
  void erase_locked(std::list<Held>::iterator held);

  objstore::ObjectStore& objects_;
  const std::shared_ptr<cache::Cache> cache_;
  const std::uint64_t bytes_max_;
  obs::Gauge& entries_gauge_;
  obs::Gauge& bytes_gauge_;
  obs::Counter& evicted_;
  obs::Counter& requested_;
  obs::Counter& hits_;

  std::mutex mutex_;       // guards all below
  std::list<Held> lru_;    // front = used last
  std::unordered_map<const IndexObject*, std::list<Held>::iterator> held_;
  std::uint64_t bytes_ = 0;
};

}  // namespace skald::store
