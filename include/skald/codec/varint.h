// LEB128 varints, zig-zag, and a bounds-checked reader of little-endian fields.
#pragma once

#include <cstdint>

#include "skald/base/bytes.h"

namespace skald::codec {

inline constexpr std::size_t kVarintBytesMax = 10;

inline void append_varint(Bytes& out, std::uint64_t value) {
  char buffer[kVarintBytesMax];
  std::size_t n = 0;
  while (value >= 0x80) {
    buffer[n++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  buffer[n++] = static_cast<char>(value);
  out.append(buffer, n);
}

inline std::size_t varint_size(std::uint64_t value) {
  std::size_t n = 1;
  for (; value >= 0x80; value >>= 7) ++n;
  return n;
}

inline std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
inline std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}
inline void append_zigzag(Bytes& out, std::int64_t value) { append_varint(out, zigzag(value)); }

// Reads one varint at `p`; false (and `p` anywhere within bounds) when it runs past `end` or does not fit 64 bits.
inline bool read_varint(const char*& p, const char* end, std::uint64_t& value) {
  if (p < end && static_cast<unsigned char>(*p) < 0x80) {
    value = static_cast<unsigned char>(*p++);
    return true;
  }
  std::uint64_t result = 0;
  for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
    const auto byte = static_cast<unsigned char>(*p++);
    if (shift == 63 && byte > 1) return false;
    result |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) {
      value = result;
      return true;
    }
  }
  return false;
}

// Walks bytes from outside. After a failed read ok() stays false and every read yields 0 or an empty view, so a whole
// structure can be read before ok() is asked once.
class ByteReader {
 public:
  explicit ByteReader(ByteView data) : p_(data.data()), end_(data.data() + data.size()) {}

  bool ok() const { return ok_; }
  std::size_t remaining() const { return static_cast<std::size_t>(end_ - p_); }
  bool at_end() const { return ok_ && p_ == end_; }

  template <class T>
  T fixed() {
    if (remaining() < sizeof(T)) return fail(), T{};
    const T value = load_le<T>(p_);
    p_ += sizeof(T);
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    if (!ok_ || !read_varint(p_, end_, value)) return fail(), 0;
    return value;
  }
  std::int64_t zigzag() { return unzigzag(varint()); }
  ByteView bytes(std::uint64_t count) {
    if (!ok_ || count > remaining()) return fail(), ByteView{};
    const ByteView view(p_, static_cast<std::size_t>(count));
    p_ += count;
    return view;
  }
  // varint length, then that many bytes.
  ByteView sized_bytes() { return bytes(varint()); }
  ByteView rest() { return bytes(remaining()); }

 private:
  void fail() {
    ok_ = false;
    p_ = end_;
  }
  const char* p_;
  const char* end_;
  bool ok_ = true;
};

}  // namespace skald::codec
