// Keeps what this process knows of the bucket up to date: indexes and delete requests that others wrote or removed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "skald/base/clock.h"
#include "skald/compactor/delete_requests.h"
#include "skald/store/store.h"

namespace skald::app {

// Thread-safe, but for start() and stop().
class BucketWatch {
 public:
  // Both outlive the watch.
  BucketWatch(store::Store& store, compactor::DeleteStore& deletes, std::int64_t resync_ns, const Clock& clock);
  ~BucketWatch() { stop(); }

  // The first look. Damage is logged and is no error: queries that need what is damaged fail and say so, delete requests that
  // cannot be read show their lines again until repaired. A store that cannot be reached is one: every answer would be
  // incomplete.
  Result<void> look();
  // Looks again and again; every few seconds until a first look succeeds.
  void start();
  void stop();
  // After this process changed the index.
  void refresh_store();
  // Others have: looks soon, from the watch's own thread.
  void look_soon();

  bool known() const { return known_; }
  std::string trouble() const;   // why not known: one line

 private:
  void run();

  store::Store& store_;
  compactor::DeleteStore& deletes_;
  const std::int64_t resync_ns_;
  const Clock& clock_;
  std::atomic<bool> known_{false};
  mutable std::mutex mutex_;     // guards what follows
  std::condition_variable wake_;
  std::string trouble_;
  bool stops_ = false, soon_ = false;
  std::thread thread_;
};

}  // namespace skald::app
