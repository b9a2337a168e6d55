// Hash of short strings, for tables of one process: seeded at start, so that nobody outside can aim for collisions.
#pragma once

#include <cstdint>
#include <string_view>

#include <xxhash.h>

#include "skald/base/bytes.h"

namespace skald::engine {

std::uint64_t process_hash_seed();

inline std::uint64_t hash_text(std::string_view text, std::uint64_t seed) {
  const char* const data = text.data();
  const std::size_t size = text.size();
  if (size > 16) return XXH3_64bits_withSeed(data, size, seed);
  std::uint64_t low = 0, high = 0;
  if (size >= 8) {
    low = load_le<std::uint64_t>(data);
    high = load_le<std::uint64_t>(data + size - 8);
  } else if (size >= 4) {
    low = load_le<std::uint32_t>(data);
    high = load_le<std::uint32_t>(data + size - 4);
  } else if (size > 0) {
    low = static_cast<unsigned char>(data[0]) | static_cast<std::uint64_t>(static_cast<unsigned char>(data[size / 2])) << 8 |
          static_cast<std::uint64_t>(static_cast<unsigned char>(data[size - 1])) << 16;
  }
  const auto product = static_cast<unsigned __int128>(low ^ seed ^ 0x9e3779b97f4a7c15ULL) *
                       (high ^ (seed >> 29) ^ 0xd6e8feb86659fd93ULL ^ (static_cast<std::uint64_t>(size) << 57));
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace skald::engine
