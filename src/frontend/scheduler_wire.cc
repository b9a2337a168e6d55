#include "frontend/scheduler_wire.h"

#include "frontend/wire_walk.h"

namespace skald::frontend {

using namespace wire;

namespace {

constexpr std::uint32_t kEndField = 15;   // last; a message without it was cut off

bool read_fixed(std::uint32_t wire, ProtoCursor& cursor, std::uint64_t& out) { return wire == kFixed64 && (cursor.fixed(out), true); }

}  // namespace

Bytes encode_work(const Work& work) {
  Bytes out;
  append_proto_fixed64(out, 1, work.id);
  append_proto_bytes(out, 2, work.tenant);
  append_proto_varint(out, 3, work.left_ms);
  append_proto_bytes(out, 4, work.subquery);
  append_proto_varint(out, kEndField, 1);
  return out;
}

Result<Work> decode_work(ByteView message) {
  Work work;
  bool ended = false;
  SKALD_TRY_VOID(walk(message, "work", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    switch (field) {
      case 1: return read_fixed(wire, cursor, work.id);
      case 2: return read_text(wire, cursor, work.tenant);
      case 3: return read_number(wire, cursor, work.left_ms);
      case 4: return read_text(wire, cursor, work.subquery);
      case kEndField: return read_number(wire, cursor, ended);
      default: return false;
    }
  }));
  if (!ended) return malformed("work", "it was cut off");
  return work;
}

Bytes encode_word(const WorkerWord& word) {
  Bytes out, ids;
  append_proto_bytes(out, 1, word.worker);
  for (const std::uint64_t id : word.ids) append_le(ids, id);
  append_proto_bytes(out, 2, ids);
  append_proto_varint(out, kEndField, 1);
  return out;
}

Result<WorkerWord> decode_word(ByteView message) {
  WorkerWord word;
  std::string_view ids;
  bool ended = false;
  SKALD_TRY_VOID(walk(message, "word of a worker", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    switch (field) {
      case 1: return read_text(wire, cursor, word.worker);
      case 2: return read_view(wire, cursor, ids);
      case kEndField: return read_number(wire, cursor, ended);
      default: return false;
    }
  }));
  if (!ended) return malformed("word of a worker", "it was cut off");
  if (ids.size() % sizeof(std::uint64_t) != 0 || ids.size() / sizeof(std::uint64_t) > kWorkIdsMax) return malformed("word of a worker", "ids");
  for (std::size_t at = 0; at < ids.size(); at += sizeof(std::uint64_t)) word.ids.push_back(load_le<std::uint64_t>(ids.data() + at));
  return word;
}

Bytes encode_done(const WorkDone& done) {
  Bytes out;
  out.reserve(done.result.size() + 32);
  append_proto_fixed64(out, 1, done.id);
  append_proto_bytes(out, 2, done.result);
  append_proto_varint(out, kEndField, 1);
  return out;
}

Result<WorkDone> decode_done(ByteView message) {
  WorkDone done;
  bool ended = false;
  SKALD_TRY_VOID(walk(message, "finished work", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    switch (field) {
      case 1: return read_fixed(wire, cursor, done.id);
      case 2: return read_text(wire, cursor, done.result);
      case kEndField: return read_number(wire, cursor, ended);
      default: return false;
    }
  }));
  if (!ended) return malformed("finished work", "it was cut off");
  return done;
}

}  // namespace skald::frontend
