#include "bucket_watch.h"

#include <algorithm>
#include <chrono>

#include "skald/obs/log.h"

namespace skald::app {
namespace {

constexpr std::int64_t kDeletesNs = kNanosPerMinute;
constexpr std::int64_t kRetryNs = 3 * kNanosPerSecond;

Result<void> tolerate_damage(const char* what, const Result<void>& result) {
  if (result.ok()) return {};
  if (result.error().code() != ErrorCode::kCorruption) return result.error().with_prefix(std::string(what) + " not read");
  log::error("not read completely", {{"what", what}, {"err", result.error().message()}});
  return {};
}

}  // namespace

BucketWatch::BucketWatch(store::Store& store, compactor::DeleteStore& deletes, std::int64_t resync_ns, const Clock& clock)
    : store_(store), deletes_(deletes), resync_ns_(std::max(resync_ns, kNanosPerSecond)), clock_(clock) {}

Result<void> BucketWatch::look() {
  Result<void> read = tolerate_damage("index", store_.refresh(CallContext{}));
  if (read.ok()) read = tolerate_damage("delete requests", deletes_.refresh(CallContext{}));
  const std::lock_guard lock(mutex_);
  trouble_ = read.ok() ? "" : read.error().message();
  if (read.ok()) known_ = true;
  return read;
}

std::string BucketWatch::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_.empty() ? "Object store not read yet" : "Object store not usable yet: " + trouble_;
}

void BucketWatch::refresh_store() {
  const Result<void> refreshed = tolerate_damage("index", store_.refresh(CallContext{}));
  if (!refreshed.ok()) log::error("index not refreshed", {{"err", refreshed.error().message()}});
  const std::lock_guard lock(mutex_);
  trouble_ = refreshed.ok() ? "" : refreshed.error().message();
}

void BucketWatch::look_soon() {
  {
    const std::lock_guard lock(mutex_);
    soon_ = true;
  }
  wake_.notify_all();
}

void BucketWatch::start() {
  thread_ = std::thread([this] { run(); });
}

void BucketWatch::stop() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BucketWatch::run() {
  std::int64_t store_due_ns = clock_.monotonic_ns() + resync_ns_;
  std::unique_lock lock(mutex_);
  for (bool first = !known_;; first = false) {
    const std::int64_t pause_ns = first ? 0 : known_ && trouble_.empty() ? std::min(kDeletesNs, resync_ns_) : kRetryNs;
    wake_.wait_for(lock, std::chrono::nanoseconds(pause_ns), [this] { return stops_ || soon_; });
    if (stops_) return;
    const std::string before = trouble_;
    // A listing that failed is tried again soon.
    const bool soon = std::exchange(soon_, false) || (known_ && !before.empty());
    lock.unlock();
    if (!known_) {
      const Result<void> read = look();
      if (read.ok() && !before.empty()) log::info("object store usable");
      if (!read.ok() && before != read.error().message()) log::error("object store not usable yet: pushes are taken, queries wait", {{"err", read.error().message()}});
    } else {
      if (Result<void> read = deletes_.refresh(CallContext{}); !read.ok()) log::error("delete requests not read completely", {{"err", read.error().message()}});
      if (soon || clock_.monotonic_ns() >= store_due_ns) {
        refresh_store();
        store_due_ns = clock_.monotonic_ns() + resync_ns_;
      }
    }
    lock.lock();
  }
}

}  // namespace skald::app
