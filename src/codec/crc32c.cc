#include "skald/codec/crc32c.h"

#include <array>

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace skald::codec {
namespace {

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
    t[0][i] = crc;
  }
  for (std::uint32_t i = 0; i < 256; ++i) {
    for (std::size_t k = 1; k < 8; ++k) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xFF];
  }
  return t;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::uint32_t crc32c_scalar(ByteView data, std::uint32_t crc) {
  // Eight bytes a step, one table per byte position.
  crc = ~crc;
  const char* p = data.data();
  std::size_t n = data.size();
  for (; n >= 8; p += 8, n -= 8) {
    const std::uint64_t word = load_le<std::uint64_t>(p) ^ crc;
    crc = kTables[7][word & 0xFF] ^ kTables[6][(word >> 8) & 0xFF] ^ kTables[5][(word >> 16) & 0xFF] ^
          kTables[4][(word >> 24) & 0xFF] ^ kTables[3][(word >> 32) & 0xFF] ^ kTables[2][(word >> 40) & 0xFF] ^
          kTables[1][(word >> 48) & 0xFF] ^ kTables[0][word >> 56];
  }
  for (; n > 0; ++p, --n) crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<std::uint8_t>(*p)) & 0xFF];
  return ~crc;
}

std::uint32_t crc32c(ByteView data, std::uint32_t crc) {
#if defined(__SSE4_2__)
  std::uint64_t state = static_cast<std::uint32_t>(~crc);
  const char* p = data.data();
  std::size_t n = data.size();
  for (; n >= 8; p += 8, n -= 8) state = _mm_crc32_u64(state, load_le<std::uint64_t>(p));
  auto low = static_cast<std::uint32_t>(state);
  for (; n > 0; ++p, --n) low = _mm_crc32_u8(low, static_cast<std::uint8_t>(*p));
  return ~low;
#elif defined(__ARM_FEATURE_CRC32)
  std::uint32_t state = ~crc;
  const char* p = data.data();
  std::size_t n = data.size();
  for (; n >= 8; p += 8, n -= 8) state = __crc32cd(state, load_le<std::uint64_t>(p));
  for (; n > 0; ++p, --n) state = __crc32cb(state, static_cast<std::uint8_t>(*p));
  return ~state;
#else
  return crc32c_scalar(data, crc);
#endif
}

}  // namespace skald::codec
