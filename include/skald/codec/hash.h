// XXH3-64, seed 0 unless said: the hash of every format of ours.
#pragma once

#include <cstdint>

#include "skald/base/bytes.h"

namespace skald::codec {

std::uint64_t xxh3_64(ByteView data);
std::uint64_t xxh3_64_seeded(ByteView data, std::uint64_t seed);

// XXH3-64 of the little-endian bytes of the words, in order.
std::uint64_t xxh3_words(std::uint64_t a, std::uint64_t b);
std::uint64_t xxh3_words(std::uint64_t a, std::uint64_t b, std::uint64_t c);

}  // namespace skald::codec
