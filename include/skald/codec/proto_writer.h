// Appends protobuf fields; the reading side is model/proto_cursor.h. Zero and empty are written too where the caller says
// so; proto3 readers take absent for zero.
#pragma once

#include <cstdint>
#include <string_view>

#include "skald/codec/varint.h"

namespace skald::codec {

inline void append_proto_varint(Bytes& out, std::uint32_t field, std::uint64_t value) {
  if (value == 0) return;
  append_varint(out, static_cast<std::uint64_t>(field) << 3);
  append_varint(out, value);
}

// sint64: zig-zag.
inline void append_proto_sint(Bytes& out, std::uint32_t field, std::int64_t value) { append_proto_varint(out, field, zigzag(value)); }

inline void append_proto_fixed64(Bytes& out, std::uint32_t field, std::uint64_t value) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 1);
  append_le(out, value);
}

// string, bytes and sub-messages.
inline void append_proto_bytes(Bytes& out, std::uint32_t field, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  append_varint(out, bytes.size());
  out.append(bytes);
}

}  // namespace skald::codec
