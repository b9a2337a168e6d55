// Time as an interface, so that tests can own it. Nanoseconds since 1970 UTC everywhere, int64.
#pragma once

#include <cstdint>

namespace skald {

inline constexpr std::int64_t kNanosPerMicro = 1'000;
inline constexpr std::int64_t kNanosPerMilli = 1'000'000;
inline constexpr std::int64_t kNanosPerSecond = 1'000'000'000;
inline constexpr std::int64_t kNanosPerMinute = 60 * kNanosPerSecond;
inline constexpr std::int64_t kNanosPerHour = 60 * kNanosPerMinute;
inline constexpr std::int64_t kNanosPerDay = 24 * kNanosPerHour;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::int64_t now_ns() const = 0;        // wall clock
  virtual std::int64_t monotonic_ns() const = 0;  // never steps back; no meaning across processes
};

const Clock& system_clock();

// Moves only when told to. Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(std::int64_t now_ns = 1'700'000'000 * kNanosPerSecond) : now_ns_(now_ns) {}
  std::int64_t now_ns() const override { return __atomic_load_n(&now_ns_, __ATOMIC_ACQUIRE); }
  std::int64_t monotonic_ns() const override { return now_ns(); }
  void set_ns(std::int64_t now_ns) { __atomic_store_n(&now_ns_, now_ns, __ATOMIC_RELEASE); }
  void advance_ns(std::int64_t by_ns) { __atomic_fetch_add(&now_ns_, by_ns, __ATOMIC_ACQ_REL); }

 private:
  std::int64_t now_ns_;
};

}  // namespace skald
