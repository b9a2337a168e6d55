// How many requests beyond the necessary a store may be asked: retries and hedges. Thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "skald/base/clock.h"

namespace skald::objstore {

// Tokens that come with time and with events, up to a ceiling.
class TokenBucket {
 public:
  TokenBucket(double per_second, double ceiling, std::int64_t now_ns)
      : per_second_(per_second), ceiling_(ceiling), tokens_(std::min(per_second, ceiling)), filled_ns_(now_ns) {}
  void add(double tokens) {
    const std::lock_guard lock(mutex_);
    tokens_ = std::min(ceiling_, tokens_ + tokens);
  }
  bool take(std::int64_t now_ns) {
    const std::lock_guard lock(mutex_);
    if (now_ns > filled_ns_) {
      tokens_ = std::min(ceiling_, tokens_ + per_second_ * static_cast<double>(now_ns - filled_ns_) / 1e9);
      filled_ns_ = now_ns;
    }
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  const double per_second_, ceiling_;
  std::mutex mutex_;   // guards what follows
  double tokens_;
  std::int64_t filled_ns_;
};

inline constexpr double kRetriesPerSecondFloor = 10;
inline constexpr double kRetriesPerRequest = 0.1;
inline constexpr double kRetriesSavedMax = 100;   // of quiet times, for a burst of failures

}  // namespace skald::objstore
