// Reading and writing protobuf messages field by field.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <utility>

#include "skald/base/result.h"
#include "skald/codec/proto_writer.h"
#include "skald/model/proto_cursor.h"

namespace skald::frontend::wire {

using codec::append_proto_bytes;
using codec::append_proto_fixed64;
using codec::append_proto_sint;
using codec::append_proto_varint;
using model::ProtoCursor;

inline constexpr std::uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2;

inline Error malformed(const char* message, const char* what) {
  return Error(ErrorCode::kInvalidArgument, std::string("call from a peer: ") + message + ": " + what);
}

// `field(number, wire, cursor)` reads the field and returns true, or returns false to have it skipped.
template <class Field>
Result<void> walk(std::string_view message, const char* name, Field&& field) {
  ProtoCursor cursor(message);
  std::uint32_t number = 0, wire = 0;
  while (cursor.tag(number, wire)) {
    SKALD_TRY(const bool taken, field(number, wire, cursor));
    if (!taken) cursor.skip(wire);
  }
  if (cursor.error != nullptr) return malformed(name, cursor.error);
  return {};
}

template <class T>
bool read_number(std::uint32_t wire, ProtoCursor& cursor, T& out) {
  std::uint64_t value = 0;
  if (wire != kVarint) return false;
  if (cursor.varint(value)) out = static_cast<T>(value);
  return true;
}

inline bool read_sint(std::uint32_t wire, ProtoCursor& cursor, std::int64_t& out) {
  std::uint64_t value = 0;
  if (wire != kVarint) return false;
  if (cursor.varint(value)) out = codec::unzigzag(value);
  return true;
}

inline bool read_text(std::uint32_t wire, ProtoCursor& cursor, std::string& out) {
  std::string_view bytes;
  if (wire != kBytes) return false;
  if (cursor.bytes(bytes)) out = bytes;
  return true;
}

inline bool read_view(std::uint32_t wire, ProtoCursor& cursor, std::string_view& out) {
  return wire == kBytes && (cursor.bytes(out), true);
}

}  // namespace skald::frontend::wire
