// Bytes: std::string_view for bytes we look at, std::string for bytes we own. Little-endian loads and stores.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace skald {

using ByteView = std::string_view;
using Bytes = std::string;
using SharedBytes = std::shared_ptr<const std::string>;  // immutable, read by many

// Every buffer handed to SIMD code keeps this many readable bytes behind its end.
inline constexpr std::size_t kBufferSlack = 64;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats are little endian and read in place");

template <class T>
T load_le(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
void store_le(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}
template <class T>
void append_le(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace skald
