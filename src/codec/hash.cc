#include "skald/codec/hash.h"

#include <xxhash.h>

namespace skald::codec {

std::uint64_t xxh3_64(ByteView data) { return XXH3_64bits(data.data(), data.size()); }

std::uint64_t xxh3_64_seeded(ByteView data, std::uint64_t seed) {
  return XXH3_64bits_withSeed(data.data(), data.size(), seed);
}

std::uint64_t xxh3_words(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t words[] = {a, b};
  return XXH3_64bits(words, sizeof words);
}

std::uint64_t xxh3_words(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  const std::uint64_t words[] = {a, b, c};
  return XXH3_64bits(words, sizeof words);
}

}  // namespace skald::codec
