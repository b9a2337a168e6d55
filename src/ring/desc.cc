#include "skald/ring/desc.h"

#include <snappy.h>

#include <algorithm>
#include <set>

#include "skald/codec/varint.h"
#include "skald/model/proto_cursor.h"

namespace skald::ring {
namespace {

// Field numbers of dskit's InstanceDesc; 4 and 5 are gone there.
enum Field : std::uint32_t {
  kAddr = 1, kTimestamp = 2, kState = 3, kTokens = 6, kZone = 7, kRegistered = 8, kId = 9, kReadOnlyUpdated = 10, kReadOnly = 11, kVersions = 12
};
constexpr std::uint32_t kVarintWire = 0, kBytesWire = 2;

void append_number(Bytes& out, std::uint32_t field, std::uint64_t value) {
  if (value == 0) return;   // proto3: absent is zero
  codec::append_varint(out, field << 3 | kVarintWire);
  codec::append_varint(out, value);
}

void append_text(Bytes& out, std::uint32_t field, std::string_view text) {
  codec::append_varint(out, field << 3 | kBytesWire);
  codec::append_varint(out, text.size());
  out.append(text);
}

Bytes encode_instance(const Instance& instance) {
  Bytes out;
  if (!instance.address.empty()) append_text(out, kAddr, instance.address);
  append_number(out, kTimestamp, static_cast<std::uint64_t>(instance.heartbeat_s));
  append_number(out, kState, static_cast<std::uint64_t>(instance.state));
  if (!instance.tokens.empty()) {
    Bytes packed;
    for (const std::uint32_t token : instance.tokens) codec::append_varint(packed, token);
    append_text(out, kTokens, packed);
  }
  if (!instance.zone.empty()) append_text(out, kZone, instance.zone);
  append_number(out, kRegistered, static_cast<std::uint64_t>(instance.registered_s));
  if (!instance.id.empty()) append_text(out, kId, instance.id);
  append_number(out, kReadOnlyUpdated, static_cast<std::uint64_t>(instance.read_only_updated_s));
  append_number(out, kReadOnly, instance.read_only ? 1 : 0);
  for (const auto& [key, value] : instance.versions) {
    Bytes pair;
    append_number(pair, 1, key);
    append_number(pair, 2, value);
    append_text(out, kVersions, pair);
  }
  return out;
}

Error malformed(const char* what) { return Error(ErrorCode::kCorruption, std::string("ring value: ") + what); }

// The value of a map entry whose key and value are both numbers.
bool read_pair(std::string_view message, std::uint64_t& key, std::uint64_t& value) {
  model::ProtoCursor cursor(message);
  std::uint32_t field = 0, wire = 0;
  while (cursor.tag(field, wire)) {
    if (field == 1 && wire == kVarintWire) cursor.varint(key);
    else if (field == 2 && wire == kVarintWire) cursor.varint(value);
    else cursor.skip(wire);
  }
  return cursor.error == nullptr;
}

Result<Instance> decode_instance(std::string_view message) {
  Instance out;
  model::ProtoCursor cursor(message);
  std::uint32_t field = 0, wire = 0;
  while (cursor.tag(field, wire)) {
    std::uint64_t number = 0;
    std::string_view text;
    if (wire == kVarintWire) {
      if (!cursor.varint(number)) break;
      switch (field) {
        case kTimestamp: out.heartbeat_s = static_cast<std::int64_t>(number); break;
        case kState:
          if (number > static_cast<std::uint64_t>(InstanceState::kLeft)) return malformed("unknown state of an instance");
          out.state = static_cast<InstanceState>(number);
          break;
        case kTokens: out.tokens.push_back(static_cast<std::uint32_t>(number)); break;   // not packed: allowed as well
        case kRegistered: out.registered_s = static_cast<std::int64_t>(number); break;
        case kReadOnlyUpdated: out.read_only_updated_s = static_cast<std::int64_t>(number); break;
        case kReadOnly: out.read_only = number != 0; break;
        default: break;
      }
      continue;
    }
    if (wire != kBytesWire) {
      cursor.skip(wire);
      continue;
    }
    if (!cursor.bytes(text)) break;
    switch (field) {
      case kAddr: out.address = text; break;
      case kZone: out.zone = text; break;
      case kId: out.id = text; break;
      case kTokens: {
        model::ProtoCursor packed(text);
        std::uint64_t token = 0;
        while (packed.at < packed.end && packed.varint(token)) out.tokens.push_back(static_cast<std::uint32_t>(token));
        if (packed.error != nullptr) return malformed("tokens of an instance");
        break;
      }
      case kVersions: {
        std::uint64_t key = 0, value = 0;
        if (!read_pair(text, key, value)) return malformed("versions of an instance");
        out.versions[key] = value;
        break;
      }
      default: break;
    }
  }
  if (cursor.error != nullptr) return malformed(cursor.error);
  std::sort(out.tokens.begin(), out.tokens.end());
  out.tokens.erase(std::unique(out.tokens.begin(), out.tokens.end()), out.tokens.end());
  return out;
}

// Which of two entries of one instance is the later news.
bool supersedes(const Instance& news, const Instance& known) {
  if (news.heartbeat_s != known.heartbeat_s) return news.heartbeat_s > known.heartbeat_s;
  if ((news.state == InstanceState::kLeft) != (known.state == InstanceState::kLeft)) return news.state == InstanceState::kLeft;
  return false;
}

bool leaving(const Instance& instance) { return instance.state == InstanceState::kLeaving || instance.state == InstanceState::kLeft; }

// Does `a` keep a token that `b` claims as well?
bool keeps(const Instance& a, const Instance& b) {
  if (leaving(a) != leaving(b)) return leaving(b);
  return a.id < b.id;
}

// Takes contested tokens from the losers. The ids of those that lost some are added to `changed`.
void resolve_conflicts(Desc& desc, std::set<std::string>& changed) {
  std::vector<std::pair<std::uint32_t, Instance*>> owners;
  for (auto& [id, instance] : desc.instances)
    for (const std::uint32_t token : instance.tokens) owners.emplace_back(token, &instance);
  std::sort(owners.begin(), owners.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t i = 0; i < owners.size();) {
    std::size_t end = i + 1;
    while (end < owners.size() && owners[end].first == owners[i].first) ++end;
    if (end - i > 1) {
      Instance* winner = owners[i].second;
      for (std::size_t k = i + 1; k < end; ++k)
        if (keeps(*owners[k].second, *winner)) winner = owners[k].second;
      for (std::size_t k = i; k < end; ++k) {
        if (owners[k].second == winner) continue;
        std::erase(owners[k].second->tokens, owners[k].first);
        changed.insert(owners[k].second->id);
      }
    }
    i = end;
  }
}

Desc take(const Desc& desc, const std::set<std::string>& ids) {
  Desc out;
  for (const std::string& id : ids) out.instances.emplace(id, desc.instances.at(id));
  return out;
}

}  // namespace

const char* state_name(InstanceState state) {
  switch (state) {
    case InstanceState::kActive: return "ACTIVE";
    case InstanceState::kLeaving: return "LEAVING";
    case InstanceState::kPending: return "PENDING";
    case InstanceState::kJoining: return "JOINING";
    case InstanceState::kLeft: return "LEFT";
  }
  return "?";
}

Bytes encode(const Desc& desc) {
  Bytes plain;
  for (const auto& [id, instance] : desc.instances) {
    Bytes entry;
    append_text(entry, 1, id);
    append_text(entry, 2, encode_instance(instance));
    append_text(plain, 1, entry);
  }
  Bytes out;
  snappy::Compress(plain.data(), plain.size(), &out);
  return out;
}

Result<Desc> decode(ByteView bytes) {
  std::size_t size = 0;
  if (!snappy::GetUncompressedLength(bytes.data(), bytes.size(), &size)) return malformed("not snappy");
  if (size > kDescBytesMax) return malformed("too large");
  Bytes plain;
  if (!snappy::Uncompress(bytes.data(), bytes.size(), &plain)) return malformed("not snappy");
  Desc out;
  model::ProtoCursor cursor(plain);
  std::uint32_t field = 0, wire = 0;
  while (cursor.tag(field, wire)) {
    if (field != 1 || wire != kBytesWire) {
      cursor.skip(wire);
      continue;
    }
    std::string_view entry, id, value;
    if (!cursor.bytes(entry)) break;
    model::ProtoCursor pair(entry);
    std::uint32_t part = 0, part_wire = 0;
    while (pair.tag(part, part_wire)) {
      if ((part == 1 || part == 2) && part_wire == kBytesWire) pair.bytes(part == 1 ? id : value);
      else pair.skip(part_wire);
    }
    if (pair.error != nullptr) return malformed(pair.error);
    SKALD_TRY(Instance instance, decode_instance(value));
    instance.id = id;   // older writers left the field empty
    out.instances.insert_or_assign(std::string(id), std::move(instance));
  }
  if (cursor.error != nullptr) return malformed(cursor.error);
  return out;
}

Desc merge(Desc& ours, const Desc& theirs) {
  std::set<std::string> changed;
  for (const auto& [id, news] : theirs.instances) {
    const auto known = ours.instances.find(id);
    if (known != ours.instances.end() && !supersedes(news, known->second)) continue;
    Instance& entry = ours.instances[id];
    entry = news;
    entry.id = id;
    if (entry.state == InstanceState::kLeft) entry.tokens.clear();
    changed.insert(id);
  }
  if (changed.empty()) return {};
  resolve_conflicts(ours, changed);
  return take(ours, changed);
}

Desc merge_local(Desc& ours, const Desc& changed_copy, std::int64_t now_s) {
  std::set<std::string> changed;
  for (auto& [id, entry] : ours.instances) {
    if (changed_copy.instances.contains(id) || entry.state == InstanceState::kLeft) continue;
    entry.state = InstanceState::kLeft;
    entry.tokens.clear();
    entry.heartbeat_s = std::max(now_s, entry.heartbeat_s);   // must win against the entry it buries
    changed.insert(id);
  }
  for (const auto& [id, news] : changed_copy.instances) {
    const auto known = ours.instances.find(id);
    if (known != ours.instances.end() && known->second == news) continue;
    Instance& entry = ours.instances[id];
    // Peers keep what has the newer heartbeat: an edit without one would be lost there.
    const std::int64_t before_s = known == ours.instances.end() ? 0 : entry.heartbeat_s;
    entry = news;
    entry.id = id;
    if (entry.heartbeat_s <= before_s) entry.heartbeat_s = before_s + 1;
    changed.insert(id);
  }
  if (changed.empty()) return {};
  resolve_conflicts(ours, changed);
  return take(ours, changed);
}

void remove_tombstones(Desc& desc, std::int64_t before_s) {
  std::erase_if(desc.instances, [&](const auto& entry) { return entry.second.state == InstanceState::kLeft && entry.second.heartbeat_s < before_s; });
}

Desc visible(const Desc& desc) {
  Desc out;
  for (const auto& [id, instance] : desc.instances)
    if (instance.state != InstanceState::kLeft) out.instances.emplace(id, instance);
  return out;
}

}  // namespace skald::ring
