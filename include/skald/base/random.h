// Randomness as an interface; tests seed it. Also ULIDs: 48 bits of milliseconds, 80 random bits.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "skald/base/result.h"

namespace skald {

// Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next_u64() = 0;
};

Random& system_random();

// xoshiro-free, tiny splitmix64; for tests. Not thread-safe.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next_u64() override;

 private:
  std::uint64_t state_;
};

// https://github.com/ulid/spec; sorts by creation time as text and as bytes.
struct Ulid {
  std::array<std::uint8_t, 16> bytes{};
  static Ulid make(std::int64_t now_ns, Random& random);
  static Result<Ulid> parse(std::string_view text);  // 26 characters, Crockford base 32
  std::string to_string() const;
  auto operator<=>(const Ulid&) const = default;
};

}  // namespace skald
