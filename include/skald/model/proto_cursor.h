// Reads one protobuf message field by field, without generated code. The error texts are those of Go's decoders.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

#include "skald/base/bytes.h"

namespace skald::model {

// A cursor over one message. Errors are sticky: the text is set, and every further read fails.
struct ProtoCursor {
  const char* at;
  const char* end;
  const char* error = nullptr;

  explicit ProtoCursor(std::string_view message) : at(message.data()), end(message.data() + message.size()) {}

  bool varint(std::uint64_t& out) {
    if (at < end && static_cast<std::int8_t>(*at) >= 0) {
      out = static_cast<std::uint8_t>(*at++);
      return true;
    }
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at == end) return fail("unexpected EOF");
      const auto byte = static_cast<std::uint8_t>(*at++);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) {
        out = value;
        return true;
      }
    }
    return fail("proto: integer overflow");
  }

  bool bytes(std::string_view& out) {
    std::uint64_t length = 0;
    if (!varint(length)) return false;
    if (length > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return fail("proto: negative length found during unmarshaling");
    if (length > static_cast<std::uint64_t>(end - at)) return fail("unexpected EOF");
    out = std::string_view(at, static_cast<std::size_t>(length));
    at += length;
    return true;
  }

  // Field number and wire type; false with no error at the end of the message.
  bool tag(std::uint32_t& field, std::uint32_t& wire) {
    if (at == end || error != nullptr) return false;
    std::uint64_t key = 0;
    if (!varint(key)) return false;
    field = static_cast<std::uint32_t>(key >> 3);
    wire = static_cast<std::uint32_t>(key & 7);
    if (field == 0 || key >> 32 != 0) return fail("proto: illegal tag");
    if (wire == 4) return fail("proto: wiretype end group for non-group");
    return true;
  }

  template <class T>
  bool fixed(T& out) {
    if (static_cast<std::size_t>(end - at) < sizeof(T)) return fail("unexpected EOF");
    out = load_le<T>(at);
    at += sizeof(T);
    return true;
  }

  bool skip(std::uint32_t wire) {
    std::uint64_t ignored = 0;
    std::string_view bytes_ignored;
    switch (wire) {
      case 0: return varint(ignored);
      case 1: return jump(8);
      case 2: return bytes(bytes_ignored);
      case 3: return skip_group();
      case 5: return jump(4);
      default: return fail("proto: illegal wireType");
    }
  }

  bool skip_group() {
    std::uint32_t depth = 1;
    while (depth > 0) {
      if (at == end) return fail("unexpected EOF");
      std::uint64_t key = 0;
      if (!varint(key)) return false;
      const auto wire = static_cast<std::uint32_t>(key & 7);
      if (wire == 3) ++depth;
      else if (wire == 4) --depth;
      else if (!skip(wire)) return false;
    }
    return true;
  }

  bool jump(std::size_t count) {
    if (static_cast<std::size_t>(end - at) < count) return fail("unexpected EOF");
    at += count;
    return true;
  }

  bool fail(const char* what) {
    if (error == nullptr) error = what;
    at = end;
    return false;
  }
};

}  // namespace skald::model
