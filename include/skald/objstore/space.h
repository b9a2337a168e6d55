// A reserve of free space on the disks that pushes fill: below it new data is refused while flushes, merges and queries go
// on, so that a full disk never meets a file half-written. Opens again by itself.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "skald/base/result.h"
#include "skald/io/file_system.h"
#include "skald/obs/metrics.h"

namespace skald::objstore {

// `percent` of the volume, at least `bytes`, but that never more than a quarter of a small volume. Both 0: none.
struct SpaceReserve {
  std::uint64_t percent = 5;
  std::uint64_t bytes = 256ULL << 20;
};
std::uint64_t reserve_of(const SpaceReserve& reserve, std::uint64_t total_bytes);

// Looks once a second. Thread-safe. Also sets skald_disk_free_bytes, skald_disk_reserve_bytes and
// skald_disk_reserve_reached (0 or 1), each by directory.
class SpaceGuard {
 public:
  // `files` and `registry` outlive the guard. Several directories may lie on one volume; empty names are left out.
  SpaceGuard(io::FileSystem& files, std::vector<std::string> directories, SpaceReserve reserve, obs::Registry& registry);
  ~SpaceGuard();

  // Looks now, then every second until the destructor. Without it only look() looks.
  void start();
  void look();

  // kUnavailable when a directory had less than its reserve at the last look; says which, how much is free and how much
  // is needed. A directory that cannot be looked at refuses nothing.
  Result<void> check() const;

 private:
  struct Watched {
    std::string directory;
    obs::Gauge& free_bytes;
    obs::Gauge& reserve_bytes;
    obs::Gauge& reached;
    bool low = false;
    bool unreadable = false;   // said so in the log
  };
  bool look_at(Watched& watched, std::string& refusal);

  io::FileSystem& files_;
  const SpaceReserve reserve_;
  std::mutex look_mutex_;                      // guards watched_
  std::vector<Watched> watched_;
  std::atomic<bool> low_{false};
  mutable std::mutex mutex_;                   // guards what follows
  std::string refusal_;                        // of the first directory that is low
  bool stops_ = false;
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace skald::objstore
