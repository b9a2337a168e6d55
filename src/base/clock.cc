#include "skald/base/clock.h"

#include <ctime>

namespace skald {
namespace {

std::int64_t read_clock(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return static_cast<std::int64_t>(ts.tv_sec) * kNanosPerSecond + ts.tv_nsec;
}

class SystemClock final : public Clock {
 public:
  std::int64_t now_ns() const override { return read_clock(CLOCK_REALTIME); }
  std::int64_t monotonic_ns() const override { return read_clock(CLOCK_MONOTONIC); }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace skald
