#include "ring/gossip_wire.h"
#include "skald/codec/varint.h"
#include "skald/model/proto_cursor.h"

namespace skald::ring::gossip {
namespace {

enum Field : std::uint32_t { kKey = 1, kValue = 2, kCodec = 3, kDeleted = 4, kUpdated = 5 };

void append_text(Bytes& out, std::uint32_t field, std::string_view text) {
  if (text.empty()) return;
  codec::append_varint(out, field << 3 | 2);
  codec::append_varint(out, text.size());
  out.append(text);
}
void append_number(Bytes& out, std::uint32_t field, std::uint64_t value) {
  if (value == 0) return;
  codec::append_varint(out, field << 3);
  codec::append_varint(out, value);
}

}  // namespace

Bytes encode(const KeyValue& pair) {
  Bytes out;
  append_text(out, kKey, pair.key);
  append_text(out, kValue, pair.value);
  append_text(out, kCodec, pair.codec);
  append_number(out, kDeleted, pair.deleted ? 1 : 0);
  append_number(out, kUpdated, static_cast<std::uint64_t>(pair.updated_ms));
  return out;
}

Result<KeyValue> decode_key_value(ByteView bytes) {
  KeyValue out;
  model::ProtoCursor cursor(bytes);
  std::uint32_t field = 0, wire = 0;
  while (cursor.tag(field, wire)) {
    std::string_view text;
    std::uint64_t number = 0;
    if (wire == 2 && field <= kCodec) {
      if (!cursor.bytes(text)) break;
      (field == kKey ? out.key : field == kValue ? out.value : out.codec) = text;
    } else if (wire == 0 && (field == kDeleted || field == kUpdated)) {
      if (!cursor.varint(number)) break;
      if (field == kDeleted) out.deleted = number != 0;
      else out.updated_ms = static_cast<std::int64_t>(number);
    } else {
      cursor.skip(wire);
    }
  }
  if (cursor.error != nullptr) return Error(ErrorCode::kCorruption, std::string("gossip: value: ") + cursor.error);
  return out;
}

void append_state(Bytes& state, const KeyValue& pair) {
  const Bytes bytes = encode(pair);
  for (int shift = 24; shift >= 0; shift -= 8) state.push_back(static_cast<char>(bytes.size() >> shift));
  state += bytes;
}

Result<std::vector<KeyValue>> split_state(ByteView state) {
  std::vector<KeyValue> out;
  while (!state.empty()) {
    if (state.size() < 4) return Error(ErrorCode::kCorruption, "gossip: state: truncated");
    std::size_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(state[i]);
    state.remove_prefix(4);
    if (state.size() < size) return Error(ErrorCode::kCorruption, "gossip: state: truncated");
    SKALD_TRY(KeyValue pair, decode_key_value(state.substr(0, size)));
    out.push_back(std::move(pair));
    state.remove_prefix(size);
  }
  return out;
}

}  // namespace skald::ring::gossip
