// CallContext: what travels with each call: tenant, deadline, cancellation, memory budget, clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "skald/base/clock.h"
#include "skald/base/result.h"

namespace skald {

// Set once, read by many. Thread-safe.
class CancelToken {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_release); }
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> cancelled_{false};
};

// A ceiling on the bytes one query (or one process part) may hold. Thread-safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::int64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  // kResourceExhausted when the ceiling would be passed; nothing is taken then.
  Result<void> take(std::int64_t bytes);
  void give_back(std::int64_t bytes) { used_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  std::int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  std::int64_t limit_bytes() const { return limit_bytes_; }

 private:
  const std::int64_t limit_bytes_;
  std::atomic<std::int64_t> used_bytes_{0};
};

struct CallContext {
  std::string tenant;
  std::int64_t deadline_monotonic_ns = std::numeric_limits<std::int64_t>::max();
  std::shared_ptr<const CancelToken> cancel;   // may be null
  std::shared_ptr<MemoryBudget> memory;        // may be null: unlimited
  const Clock* clock = &system_clock();

  // kCancelled or kDeadlineExceeded, else success. Cheap enough for once per block.
  Result<void> check() const;
};

}  // namespace skald
