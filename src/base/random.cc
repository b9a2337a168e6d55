#include "skald/base/random.h"

#include <sys/random.h>

#include <cstring>

namespace skald {
namespace {

class SystemRandom final : public Random {
 public:
  std::uint64_t next_u64() override {
    std::uint64_t value = 0;
    // getrandom of 8 bytes is never interrupted nor short (getrandom(2)).
    SKALD_CHECK(::getrandom(&value, sizeof value, 0) == static_cast<ssize_t>(sizeof value));
    return value;
  }
};

constexpr char kCrockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

}  // namespace

Random& system_random() {
  static SystemRandom random;
  return random;
}

std::uint64_t SeededRandom::next_u64() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

Ulid Ulid::make(std::int64_t now_ns, Random& random) {
  Ulid id;
  const std::uint64_t ms = static_cast<std::uint64_t>(now_ns) / 1'000'000;
  for (int i = 0; i < 6; ++i) id.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(ms >> (8 * (5 - i)));
  const std::uint64_t high = random.next_u64();
  const std::uint64_t low = random.next_u64();
  std::memcpy(id.bytes.data() + 6, &high, 8);
  std::memcpy(id.bytes.data() + 14, &low, 2);
  return id;
}

std::string Ulid::to_string() const {
  // 128 bits, left padded with two zero bits, in 26 groups of five.
  std::string out(26, '0');
  for (int i = 0; i < 26; ++i) {
    unsigned value = 0;
    for (int b = 0; b < 5; ++b) {
      const int bit = i * 5 + b - 2;
      const unsigned set = bit < 0 ? 0U : (bytes[static_cast<std::size_t>(bit / 8)] >> (7 - bit % 8)) & 1U;
      value = value << 1 | set;
    }
    out[static_cast<std::size_t>(i)] = kCrockford[value];
  }
  return out;
}

Result<Ulid> Ulid::parse(std::string_view text) {
  if (text.size() != 26) return Error(ErrorCode::kInvalidArgument, "ULID must have 26 characters");
  Ulid id;
  for (int i = 0; i < 26; ++i) {
    const char* found = std::strchr(kCrockford, text[static_cast<std::size_t>(i)]);
    if (found == nullptr || text[static_cast<std::size_t>(i)] == '\0') {
      return Error(ErrorCode::kInvalidArgument, "ULID has a character outside Crockford's base 32");
    }
    const auto value = static_cast<unsigned>(found - kCrockford);
    if (i == 0 && value > 7) return Error(ErrorCode::kInvalidArgument, "ULID exceeds 128 bits");
    for (int b = 0; b < 5; ++b) {
      const int bit = i * 5 + b - 2;
      if (bit < 0) continue;
      if ((value >> (4 - b) & 1U) != 0) {
        id.bytes[static_cast<std::size_t>(bit / 8)] |= static_cast<std::uint8_t>(0x80U >> (bit % 8));
      }
    }
  }
  return id;
}

}  // namespace skald
