// A clock whose wall time can be set apart from the time that passes.
#pragma once

#include <atomic>

#include "skald/base/clock.h"

namespace skald::ring {

// Thread-safe.
class SteppingClock final : public Clock {
 public:
  std::int64_t now_ns() const override { return wall_ns_; }
  std::int64_t monotonic_ns() const override { return monotonic_ns_; }
  void pass_ns(std::int64_t by_ns) { monotonic_ns_ += by_ns, wall_ns_ += by_ns; }
  void step_ns(std::int64_t by_ns) { wall_ns_ += by_ns; }

 private:
  std::atomic<std::int64_t> wall_ns_{1'700'000'000 * kNanosPerSecond}, monotonic_ns_{kNanosPerHour};
};

}  // namespace skald::ring
