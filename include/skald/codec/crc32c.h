// CRC32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 appendix B.4): the checksum of every format of ours.
#pragma once

#include <cstdint>

#include "skald/base/bytes.h"

namespace skald::codec {

// Chains: crc32c(b, crc32c(a)) == crc32c(a + b). Hardware instruction where the build has it.
std::uint32_t crc32c(ByteView data, std::uint32_t crc = 0);

// The table form: fallback, documentation and test oracle.
std::uint32_t crc32c_scalar(ByteView data, std::uint32_t crc = 0);

}  // namespace skald::codec
