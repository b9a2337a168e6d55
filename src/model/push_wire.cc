#include "skald/model/push_wire.h"

#include <snappy.h>

#include <limits>

#include "skald/base/clock.h"
#include "skald/model/proto_cursor.h"

namespace skald::model {
namespace {

Error malformed(const char* what) { return Error(ErrorCode::kInvalidArgument, what); }

using Cursor = ProtoCursor;
Cursor over(std::string_view message) { return Cursor(message); }

const char* walk_timestamp(std::string_view message, std::int64_t& out) {
  Cursor cursor = over(message);
  std::uint32_t field = 0, wire = 0;
  std::uint64_t seconds_raw = 0, nanos_raw = 0;
  while (cursor.tag(field, wire)) {
    if (field == 1 || field == 2) {
      if (wire != 0) return "proto: wrong wireType for field of Timestamp";
      cursor.varint(field == 1 ? seconds_raw : nanos_raw);
    } else {
      cursor.skip(wire);
    }
  }
  if (cursor.error != nullptr) return cursor.error;
  const auto seconds = static_cast<std::int64_t>(seconds_raw);
  const auto nanos = static_cast<std::int32_t>(nanos_raw);
  if (nanos < 0 || nanos >= kNanosPerSecond) return "timestamp: nanos not in range [0, 1e9)";
  // Years 0001 to 9999 are legal on the wire; what int64 nanoseconds cannot say becomes the nearest they can.
  if (seconds < -62135596800 || seconds >= 253402300800) return "timestamp: seconds out of range";
  std::int64_t scaled = 0;
  if (__builtin_mul_overflow(seconds, kNanosPerSecond, &scaled) || __builtin_add_overflow(scaled, nanos, &out))
    out = seconds < 0 ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
  return nullptr;
}

const char* walk_pair(std::string_view message, LabelView& out) {
  Cursor cursor = over(message);
  std::uint32_t field = 0, wire = 0;
  while (cursor.tag(field, wire)) {
    if (field == 1 || field == 2) {
      if (wire != 2) return "proto: wrong wireType for field of LabelPairAdapter";
      cursor.bytes(field == 1 ? out.name : out.value);
    } else {
      cursor.skip(wire);
    }
  }
  return cursor.error;
}

const char* walk_entry(std::string_view message, WirePush& out) {
  WireEntry entry;
  entry.metadata_begin = static_cast<std::uint32_t>(out.metadata.size());
  Cursor cursor = over(message);
  std::uint32_t field = 0, wire = 0;
  std::string_view part;
  while (cursor.tag(field, wire)) {
    if (field >= 1 && field <= 3) {
      if (wire != 2) return "proto: wrong wireType for field of EntryAdapter";
      if (!cursor.bytes(part)) break;
      if (field == 1) {
        if (const char* error = walk_timestamp(part, entry.timestamp_ns)) return error;
      } else if (field == 2) {
        entry.line = part;
      } else {
        LabelView pair;
        if (const char* error = walk_pair(part, pair)) return error;
        out.metadata.push_back(pair);
      }
    } else {
      cursor.skip(wire);
    }
  }
  if (cursor.error != nullptr) return cursor.error;
  entry.metadata_end = static_cast<std::uint32_t>(out.metadata.size());
  out.entries.push_back(entry);
  return nullptr;
}

const char* walk_stream(std::string_view message, WirePush& out) {
  WireStream stream;
  stream.entries_begin = static_cast<std::uint32_t>(out.entries.size());
  Cursor cursor = over(message);
  std::uint32_t field = 0, wire = 0;
  std::string_view part;
  while (cursor.tag(field, wire)) {
    if (field == 1 || field == 2) {
      if (wire != 2) return "proto: wrong wireType for field of StreamAdapter";
      if (!cursor.bytes(part)) break;
      if (field == 1) {
        stream.labels_text = part;
      } else if (const char* error = walk_entry(part, out)) {
        return error;
      }
    } else {
      cursor.skip(wire);
    }
  }
  if (cursor.error != nullptr) return cursor.error;
  stream.entries_end = static_cast<std::uint32_t>(out.entries.size());
  out.streams.push_back(stream);
  return nullptr;
}

}  // namespace

void WirePush::clear() {
  streams.clear();
  entries.clear();
  metadata.clear();
}

Result<void> walk_push(ByteView body, WirePush& out) {
  out.clear();
  // Every row takes at least two bytes of the body, so 32-bit row numbers hold below this size.
  if (body.size() > std::numeric_limits<std::uint32_t>::max())
    return Error(ErrorCode::kTooLarge, "push body larger than 4 GiB");
  Cursor cursor = over(body);
  std::uint32_t field = 0, wire = 0;
  std::string_view part;
  while (cursor.tag(field, wire)) {
    if (field == 1) {
      if (wire != 2) return malformed("proto: wrong wireType for field Streams");
      if (!cursor.bytes(part)) break;
      if (const char* error = walk_stream(part, out)) return malformed(error);
    } else {
      cursor.skip(wire);
    }
  }
  if (cursor.error != nullptr) return malformed(cursor.error);
  return {};
}

Result<std::string> snappy_uncompress(ByteView body, std::uint64_t limit_bytes) {
  constexpr const char* kCorrupt = "snappy: corrupt input";
  std::size_t declared = 0;
  if (!snappy::GetUncompressedLength(body.data(), body.size(), &declared)) return malformed(kCorrupt);
  // No element makes more than 64 bytes of 3, so a body that promises more is corrupt; nothing is reserved for it.
  if (declared / 22 > body.size()) return malformed(kCorrupt);
  if (declared > limit_bytes)
    return Error(ErrorCode::kTooLarge, "request body too large: decompressed size " + std::to_string(declared) +
                                           " exceeds limit " + std::to_string(limit_bytes));
  std::string out;
  out.reserve(declared + kBufferSlack);
  out.resize(declared);
  if (!snappy::RawUncompress(body.data(), body.size(), out.data())) return malformed(kCorrupt);
  return out;
}

Result<bool> normalize_metadata_name(std::string_view name, std::string& out) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_plain = [&](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c); };
  bool normal = !name.empty() && !is_digit(name[0]), any_plain = false;
  char previous = '\0';
  for (const char c : name) {
    if (is_plain(c)) any_plain = true;
    else if (c != '_' || previous == '_') normal = false;
    previous = c;
  }
  if (normal && any_plain) return true;
  if (name.empty()) return Error(ErrorCode::kInternal, "label name is empty");

  const bool wrapped = name.size() > 4 && name.substr(0, 2) == "__" && name.substr(name.size() - 2) == "__";
  const std::string_view inner = wrapped ? name.substr(2, name.size() - 4) : name;
  std::string cleaned;
  cleaned.reserve(name.size() + 4);
  for (const char c : inner) {
    if (is_plain(c)) cleaned += c;
    else if (cleaned.empty() || cleaned.back() != '_') cleaned += '_';
  }
  if (!any_plain) {
    std::string message = "normalization for label name ";
    append_go_quoted(message, name);
    message += " resulted in invalid name \"_\"";
    return Error(ErrorCode::kInternal, std::move(message));
  }
  if (wrapped) {
    // The wrapping underscores stay two however many stood beside them inside.
    const std::size_t first = cleaned.find_first_not_of('_'), last = cleaned.find_last_not_of('_');
    cleaned = "__" + cleaned.substr(first, last - first + 1) + "__";
    if (cleaned == name) return true;
  } else if (is_digit(cleaned[0])) {
    cleaned.insert(0, "key_");
  }
  out = std::move(cleaned);
  return false;
}

}  // namespace skald::model
