#include "skald/objstore/space.h"

#include <algorithm>
#include <chrono>

#include "skald/obs/log.h"

namespace skald::objstore {
namespace {

constexpr std::chrono::seconds kPeriod{1};

std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

std::uint64_t reserve_of(const SpaceReserve& reserve, std::uint64_t total_bytes) {
  return std::max(total_bytes / 100 * std::min<std::uint64_t>(reserve.percent, 100), std::min(reserve.bytes, total_bytes / 4));
}

SpaceGuard::SpaceGuard(io::FileSystem& files, std::vector<std::string> directories, SpaceReserve reserve, obs::Registry& registry)
    : files_(files), reserve_(reserve) {
  auto& free_bytes = registry.gauge_family("skald_disk_free_bytes", "Free space of the volume a data directory lies on.", {"directory"});
  auto& reserve_bytes =
      registry.gauge_family("skald_disk_reserve_bytes", "Free space below which pushes are refused; 0 without a reserve.", {"directory"});
  auto& reached = registry.gauge_family("skald_disk_reserve_reached", "1 while pushes are refused for lack of space.", {"directory"});
  for (std::string& directory : directories) {
    if (directory.empty()) continue;
    watched_.push_back({directory, free_bytes.with({directory}), reserve_bytes.with({directory}), reached.with({directory})});
  }
}

SpaceGuard::~SpaceGuard() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void SpaceGuard::start() {
  look();
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kPeriod, [this] { return stops_; })) {
      lock.unlock();
      look();
      lock.lock();
    }
  });
}

void SpaceGuard::look() {
  const std::lock_guard looking(look_mutex_);
  std::string refusal;
  bool low = false;
  for (Watched& watched : watched_) low = look_at(watched, refusal) || low;
  const std::lock_guard lock(mutex_);
  refusal_ = std::move(refusal);
  low_.store(low, std::memory_order_release);
}

bool SpaceGuard::look_at(Watched& watched, std::string& refusal) {
  const Result<io::DiskSpace> space = files_.disk_space(watched.directory);
  const bool readable = space.ok() && space->total_bytes != 0;   // some network file systems do not say
  if (!space.ok() && !watched.unreadable)
    log::warn("free disk space is not known; no reserve is kept", {{"directory", watched.directory}, {"err", space.error().message()}});
  watched.unreadable = !space.ok();
  const std::uint64_t reserve = readable ? reserve_of(reserve_, space->total_bytes) : 0;
  const bool low = readable && space->free_bytes < reserve;
  watched.free_bytes.set(readable ? static_cast<double>(space->free_bytes) : 0);
  watched.reserve_bytes.set(static_cast<double>(reserve));
  watched.reached.set(low ? 1 : 0);
  if (low && refusal.empty()) {
    refusal = "pushes are refused: the disk of " + watched.directory + " has " + mebibytes(space->free_bytes) + " free, below the reserve of " +
              mebibytes(reserve) + "; free space, drop data, or lower storage_config.filesystem.reserve_percent and reserve_bytes; retry later";
  }
  if (low != watched.low) {
    if (low)
      log::error("the disk is nearly full; pushes are refused", {{"directory", watched.directory}, {"free_bytes", space->free_bytes}, {"reserve_bytes", reserve}});
    else
      log::info("the disk has space again", {{"directory", watched.directory}, {"free_bytes", readable ? space->free_bytes : 0}});
  }
  watched.low = low;
  return low;
}

Result<void> SpaceGuard::check() const {
  if (!low_.load(std::memory_order_acquire)) return {};
  const std::lock_guard lock(mutex_);
  if (refusal_.empty()) return {};   // opened again meanwhile
  return Error(ErrorCode::kUnavailable, refusal_);
}

}  // namespace skald::objstore
