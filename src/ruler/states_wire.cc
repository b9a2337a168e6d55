#include "ruler/states_wire.h"

#include <bit>

#include "skald/codec/proto_writer.h"
#include "skald/codec/varint.h"
#include "skald/model/proto_cursor.h"

namespace skald::ruler {
namespace {

using codec::append_proto_bytes;
using codec::append_proto_fixed64;
using codec::append_proto_sint;
using codec::append_proto_varint;

void append_pair(Bytes& out, std::uint32_t field, std::string_view name, std::string_view value) {
  Bytes pair;
  append_proto_bytes(pair, 1, name);
  append_proto_bytes(pair, 2, value);
  append_proto_bytes(out, field, pair);
}

Bytes encode_alert(const ActiveAlert& alert) {
  Bytes out;
  for (const model::Label& label : alert.labels.pairs()) append_pair(out, 1, label.name, label.value);
  for (const model::Label& label : alert.annotations.pairs()) append_pair(out, 2, label.name, label.value);
  append_proto_varint(out, 3, static_cast<std::uint64_t>(alert.state));
  append_proto_fixed64(out, 4, std::bit_cast<std::uint64_t>(alert.value));
  append_proto_sint(out, 5, alert.active_at_ns);
  append_proto_sint(out, 6, alert.fired_at_ns);
  append_proto_sint(out, 7, alert.resolved_at_ns);
  append_proto_sint(out, 8, alert.keep_firing_since_ns);
  append_proto_sint(out, 9, alert.last_sent_ns);
  append_proto_sint(out, 10, alert.valid_until_ns);
  return out;
}

Bytes encode_rule(const RuleStatus& status) {
  Bytes out;
  append_proto_bytes(out, 1, status.rule.record);
  append_proto_bytes(out, 2, status.rule.alert);
  append_proto_bytes(out, 3, status.rule.expr);
  append_proto_sint(out, 4, status.rule.for_ns);
  append_proto_sint(out, 5, status.rule.keep_firing_for_ns);
  for (const auto& [name, value] : status.rule.labels) append_pair(out, 6, name, value);
  for (const auto& [name, value] : status.rule.annotations) append_pair(out, 7, name, value);
  append_proto_bytes(out, 8, status.health);
  append_proto_bytes(out, 9, status.last_error);
  append_proto_varint(out, 10, static_cast<std::uint64_t>(status.state));
  for (const ActiveAlert& alert : status.alerts) append_proto_bytes(out, 11, encode_alert(alert));
  append_proto_sint(out, 12, status.last_evaluation_ns);
  append_proto_sint(out, 13, status.evaluation_ns);
  return out;
}

// The fields of one message: `read` takes those it knows and says so.
template <class Read>
Result<void> walk(ByteView message, Read read) {
  model::ProtoCursor cursor(message);
  std::uint32_t field = 0, wire = 0;
  while (cursor.tag(field, wire)) {
    SKALD_TRY(const bool known, read(cursor, field, wire));
    if (!known) cursor.skip(wire);
  }
  if (cursor.error != nullptr) return Error(ErrorCode::kCorruption, std::string("rule states: ") + cursor.error);
  return {};
}

bool take(model::ProtoCursor& cursor, std::uint32_t wire, std::string& out) {
  std::string_view bytes;
  if (wire != 2) return false;
  if (cursor.bytes(bytes)) out = bytes;
  return true;
}

bool take(model::ProtoCursor& cursor, std::uint32_t wire, std::int64_t& out) {
  std::uint64_t value = 0;
  if (wire != 0) return false;
  if (cursor.varint(value)) out = codec::unzigzag(value);
  return true;
}

Result<bool> take(model::ProtoCursor& cursor, std::uint32_t wire, AlertState& out) {
  std::uint64_t value = 0;
  if (wire != 0) return false;
  if (!cursor.varint(value)) return true;
  if (value > static_cast<std::uint64_t>(AlertState::kFiring)) return Error(ErrorCode::kCorruption, "rule states: an unknown alert state");
  out = static_cast<AlertState>(value);
  return true;
}

Result<bool> take_pair(model::ProtoCursor& cursor, std::uint32_t wire, std::string& name, std::string& value) {
  std::string_view bytes;
  if (wire != 2) return false;
  if (!cursor.bytes(bytes)) return true;
  SKALD_TRY_VOID(walk(bytes, [&](model::ProtoCursor& pair, std::uint32_t field, std::uint32_t pair_wire) -> Result<bool> {
    if (field == 1) return take(pair, pair_wire, name);
    if (field == 2) return take(pair, pair_wire, value);
    return false;
  }));
  return true;
}

Result<bool> take(model::ProtoCursor& cursor, std::uint32_t wire, std::vector<model::Label>& out) {
  std::string name, value;
  SKALD_TRY(const bool taken, take_pair(cursor, wire, name, value));
  if (taken) out.push_back({std::move(name), std::move(value)});
  return taken;
}

Result<bool> take(model::ProtoCursor& cursor, std::uint32_t wire, std::map<std::string, std::string>& out) {
  std::string name, value;
  SKALD_TRY(const bool taken, take_pair(cursor, wire, name, value));
  if (taken) out[std::move(name)] = std::move(value);
  return taken;
}

Result<ActiveAlert> decode_alert(ByteView message) {
  ActiveAlert out;
  std::vector<model::Label> labels, annotations;
  SKALD_TRY_VOID(walk(message, [&](model::ProtoCursor& cursor, std::uint32_t field, std::uint32_t wire) -> Result<bool> {
    switch (field) {
      case 1: return take(cursor, wire, labels);
      case 2: return take(cursor, wire, annotations);
      case 3: return take(cursor, wire, out.state);
      case 4: {
        std::uint64_t bits = 0;
        if (wire != 1) return false;
        if (cursor.fixed(bits)) out.value = std::bit_cast<double>(bits);
        else cursor.fail("unexpected EOF");
        return true;
      }
      case 5: return take(cursor, wire, out.active_at_ns);
      case 6: return take(cursor, wire, out.fired_at_ns);
      case 7: return take(cursor, wire, out.resolved_at_ns);
      case 8: return take(cursor, wire, out.keep_firing_since_ns);
      case 9: return take(cursor, wire, out.last_sent_ns);
      case 10: return take(cursor, wire, out.valid_until_ns);
      default: return false;
    }
  }));
  out.labels = model::Labels::from_pairs(std::move(labels));
  out.annotations = model::Labels::from_pairs(std::move(annotations));
  return out;
}

Result<RuleStatus> decode_rule(ByteView message) {
  RuleStatus out;
  SKALD_TRY_VOID(walk(message, [&](model::ProtoCursor& cursor, std::uint32_t field, std::uint32_t wire) -> Result<bool> {
    switch (field) {
      case 1: return take(cursor, wire, out.rule.record);
      case 2: return take(cursor, wire, out.rule.alert);
      case 3: return take(cursor, wire, out.rule.expr);
      case 4: return take(cursor, wire, out.rule.for_ns);
      case 5: return take(cursor, wire, out.rule.keep_firing_for_ns);
      case 6: return take(cursor, wire, out.rule.labels);
      case 7: return take(cursor, wire, out.rule.annotations);
      case 8: return take(cursor, wire, out.health);
      case 9: return take(cursor, wire, out.last_error);
      case 10: return take(cursor, wire, out.state);
      case 11: {
        std::string_view bytes;
        if (wire != 2) return false;
        if (!cursor.bytes(bytes)) return true;
        SKALD_TRY(ActiveAlert alert, decode_alert(bytes));
        out.alerts.push_back(std::move(alert));
        return true;
      }
      case 12: return take(cursor, wire, out.last_evaluation_ns);
      case 13: return take(cursor, wire, out.evaluation_ns);
      default: return false;
    }
  }));
  return out;
}

Result<GroupStatus> decode_group(ByteView message) {
  GroupStatus out;
  SKALD_TRY_VOID(walk(message, [&](model::ProtoCursor& cursor, std::uint32_t field, std::uint32_t wire) -> Result<bool> {
    switch (field) {
      case 1: return take(cursor, wire, out.name_space);
      case 2: return take(cursor, wire, out.name);
      case 3: return take(cursor, wire, out.interval_ns);
      case 4: return take(cursor, wire, out.limit);
      case 5: {
        std::string_view bytes;
        if (wire != 2) return false;
        if (!cursor.bytes(bytes)) return true;
        SKALD_TRY(RuleStatus rule, decode_rule(bytes));
        out.rules.push_back(std::move(rule));
        return true;
      }
      case 6: return take(cursor, wire, out.last_evaluation_ns);
      case 7: return take(cursor, wire, out.evaluation_ns);
      default: return false;
    }
  }));
  return out;
}

}  // namespace

Bytes encode_states(const std::vector<GroupStatus>& groups) {
  Bytes out;
  for (const GroupStatus& group : groups) {
    Bytes one;
    append_proto_bytes(one, 1, group.name_space);
    append_proto_bytes(one, 2, group.name);
    append_proto_sint(one, 3, group.interval_ns);
    append_proto_sint(one, 4, group.limit);
    for (const RuleStatus& rule : group.rules) append_proto_bytes(one, 5, encode_rule(rule));
    append_proto_sint(one, 6, group.last_evaluation_ns);
    append_proto_sint(one, 7, group.evaluation_ns);
    append_proto_bytes(out, 1, one);
  }
  return out;
}

Result<std::vector<GroupStatus>> decode_states(ByteView message) {
  std::vector<GroupStatus> out;
  SKALD_TRY_VOID(walk(message, [&](model::ProtoCursor& cursor, std::uint32_t field, std::uint32_t wire) -> Result<bool> {
    std::string_view bytes;
    if (field != 1 || wire != 2) return false;
    if (!cursor.bytes(bytes)) return true;
    SKALD_TRY(GroupStatus group, decode_group(bytes));
    out.push_back(std::move(group));
    return true;
  }));
  return out;
}

}  // namespace skald::ruler
