// What stands around a value outside of this process: enough to know that the bytes are the ones stored under the key.
// Layout: "SKc1", CRC32C of key, a zero byte and value (u32, little endian), value.
#pragma once

#include <string_view>

#include "skald/base/bytes.h"

namespace skald::cache {

inline constexpr std::size_t kEnvelopeBytes = 8;

Bytes seal(std::string_view key, ByteView value);
// nullptr: somebody else's value, another key's, or a damaged one.
SharedBytes unseal(std::string_view key, ByteView sealed);

}  // namespace skald::cache
