#include "ring/gossip_wire.h"

#include <arpa/inet.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>

#include "ring/lzw.h"
#include "ring/msgpack.h"
#include "skald/base/check.h"

namespace skald::ring::gossip {
namespace {

enum Type : std::uint8_t {
  kPing = 0, kIndirectPing = 1, kAck = 2, kSuspect = 3, kAlive = 4, kDead = 5, kPushPull = 6, kCompound = 7,
  kUser = 8, kCompressed = 9, kEncrypted = 10, kNack = 11, kCrc = 12, kError = 13, kLabel = 244
};
constexpr int kNestingMax = 4;
constexpr std::size_t kPartsMax = 255, kPartBytesMax = 65535, kMessagesMax = 1 << 16;

Error malformed(const char* what) { return Error(ErrorCode::kCorruption, std::string("gossip: ") + what); }

std::uint32_t load_be(ByteView bytes, std::size_t at, int count) {
  std::uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}
void append_be(Bytes& out, std::uint32_t value, int count) {
  for (int shift = (count - 1) * 8; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

// IEEE, as in zlib; packets are small and rare, so a table of bytes does.
std::uint32_t crc32(ByteView bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> out{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
      out[i] = value;
    }
    return out;
  }();
  std::uint32_t crc = ~0U;
  for (const char c : bytes) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xFF] ^ crc >> 8;
  return ~crc;
}

std::array<char, kDigestBytes> md5(ByteView bytes) {
  std::array<char, kDigestBytes> out{};
  SKALD_CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr, EVP_md5(), nullptr) == 1);
  return out;
}

ByteView view(const Endpoint& at) {
  const ByteView all(reinterpret_cast<const char*>(at.ip.data()), at.ip.size());
  return at.brief ? all.substr(12) : all;
}
ByteView view(const Versions& versions) { return {reinterpret_cast<const char*>(versions.data()), versions.size()}; }

// Fields of the structs. Each returns true: the key was known (errors are the reader's).
bool read_text(MsgpackReader& reader, std::string& out) {
  ByteView bytes;
  if (reader.raw(bytes)) out = bytes;
  return true;
}
bool read_u32(MsgpackReader& reader, std::uint32_t& out) {
  std::uint64_t value = 0;
  if (reader.uint(value)) out = static_cast<std::uint32_t>(value);
  return true;
}
bool read_port(MsgpackReader& reader, Endpoint& out) {
  std::uint64_t value = 0;
  if (reader.uint(value)) out.port = static_cast<std::uint16_t>(value);
  return true;
}
bool read_ip(MsgpackReader& reader, Endpoint& out) {
  ByteView bytes;
  if (!reader.raw(bytes)) return true;
  out.ip = {};
  out.brief = bytes.size() == 4;
  if (out.brief) {
    out.ip[10] = out.ip[11] = 0xFF;
    std::memcpy(out.ip.data() + 12, bytes.data(), 4);
  } else if (bytes.size() == 16) {
    std::memcpy(out.ip.data(), bytes.data(), 16);
  }
  return true;
}
bool read_versions(MsgpackReader& reader, Versions& out) {
  ByteView bytes;
  if (reader.raw(bytes)) std::memcpy(out.data(), bytes.data(), std::min(bytes.size(), out.size()));
  return true;
}
bool read_meta(MsgpackReader& reader, Bytes& out) {
  ByteView bytes;
  if (reader.raw(bytes)) out = bytes.substr(0, kMetaBytesMax);
  return true;
}
void write_meta(MsgpackWriter& writer, const Bytes& meta) {
  if (meta.empty()) writer.nil();
  else writer.raw(meta);
}

template <class T>
bool read_verdict(MsgpackReader& reader, T& out) {   // suspect and dead look the same
  return reader.structure([&](std::string_view key, MsgpackReader& r) {
    return key == "From" ? read_text(r, out.from) : key == "Incarnation" ? read_u32(r, out.incarnation) : key == "Node" ? read_text(r, out.node) : false;
  });
}
template <class T>
bool read_seq(MsgpackReader& reader, T& out) {
  return reader.structure([&](std::string_view key, MsgpackReader& r) { return key == "SeqNo" && read_u32(r, out.seq); });
}
bool read_ping(MsgpackReader& reader, Ping& out) {
  return reader.structure([&](std::string_view key, MsgpackReader& r) {
    return key == "Node" ? read_text(r, out.node) : key == "SeqNo" ? read_u32(r, out.seq) : key == "SourceAddr" ? read_ip(r, out.source)
           : key == "SourceNode" ? read_text(r, out.source_node) : key == "SourcePort" ? read_port(r, out.source) : false;
  });
}
bool read_indirect(MsgpackReader& reader, IndirectPing& out) {
  return reader.structure([&](std::string_view key, MsgpackReader& r) {
    if (key == "Nack") return r.boolean(out.nack), true;
    return key == "Node" ? read_text(r, out.node) : key == "Port" ? read_port(r, out.target) : key == "SeqNo" ? read_u32(r, out.seq)
           : key == "SourceAddr" ? read_ip(r, out.source) : key == "SourceNode" ? read_text(r, out.source_node)
           : key == "SourcePort" ? read_port(r, out.source) : key == "Target" ? read_ip(r, out.target) : false;
  });
}
bool read_alive(MsgpackReader& reader, Alive& out) {
  return reader.structure([&](std::string_view key, MsgpackReader& r) {
    return key == "Addr" ? read_ip(r, out.at) : key == "Incarnation" ? read_u32(r, out.incarnation) : key == "Meta" ? read_meta(r, out.meta)
           : key == "Node" ? read_text(r, out.node) : key == "Port" ? read_port(r, out.at) : key == "Vsn" ? read_versions(r, out.versions) : false;
  });
}

template <class T>
bool add(MsgpackReader& reader, T message, bool (*read)(MsgpackReader&, T&), ParsedPacket& out) {
  if (!read(reader, message)) return false;
  out.messages.push_back(std::move(message));
  return true;
}

struct Packed {
  std::uint64_t algorithm = 0;
  ByteView bytes;
};
bool read_packed(MsgpackReader& reader, Packed& out) {
  return reader.structure([&](std::string_view key, MsgpackReader& r) {
    if (key == "Algo") return r.uint(out.algorithm), true;
    return key == "Buf" && (r.raw(out.bytes), true);
  });
}
Result<Bytes> unpack(const Packed& packed) {
  if (packed.algorithm != 0) return malformed("compressed otherwise than with LZW (set compression_algorithm to lzw on the peers)");
  return lzw_decompress(packed.bytes, kUnpackedBytesMax);
}
Bytes pack(Bytes message) {
  Bytes out(1, static_cast<char>(kCompressed));
  MsgpackWriter writer(out);
  writer.map(2);
  writer.key("Algo"), writer.uint(0);
  writer.key("Buf"), writer.raw(lzw_compress(message));
  return out.size() < message.size() ? out : message;
}

// Adds what `bytes`, one message or a wrapper of some, holds. A malformed one counts as ignored: its neighbours may be fine.
Result<void> parse_message(ByteView bytes, int depth, ParsedPacket& out) {
  if (bytes.empty() || depth > kNestingMax || out.messages.size() >= kMessagesMax) {
    ++out.ignored;
    return {};
  }
  const auto type = static_cast<unsigned char>(bytes[0]);
  const ByteView rest = bytes.substr(1);
  MsgpackReader reader(rest);
  bool fine = false;
  switch (type) {
    case kPing: fine = add<Ping>(reader, {}, read_ping, out); break;
    case kIndirectPing: fine = add<IndirectPing>(reader, {}, read_indirect, out); break;
    case kAck: fine = add<Ack>(reader, {}, read_seq, out); break;
    case kNack: fine = add<Nack>(reader, {}, read_seq, out); break;
    case kSuspect: fine = add<Suspect>(reader, {}, read_verdict, out); break;
    case kDead: fine = add<Dead>(reader, {}, read_verdict, out); break;
    case kAlive: fine = add<Alive>(reader, {}, read_alive, out); break;
    case kUser:
      out.messages.push_back(User{Bytes(rest)});
      fine = true;
      break;
    case kCompressed: {
      Packed packed;
      if (!read_packed(reader, packed)) break;
      SKALD_TRY(const Bytes plain, unpack(packed));
      return parse_message(plain, depth + 1, out);
    }
    case kCompound: {
      if (rest.empty()) return malformed("compound: truncated");
      const std::size_t parts = static_cast<unsigned char>(rest[0]);
      std::size_t at = 1 + 2 * parts;
      if (rest.size() < at) return malformed("compound: truncated");
      for (std::size_t i = 0; i < parts; ++i) {
        const std::size_t size = load_be(rest, 1 + 2 * i, 2);
        if (rest.size() - at < size) return malformed("compound: a part ends outside");
        SKALD_TRY_VOID(parse_message(rest.substr(at, size), depth + 1, out));
        at += size;
      }
      return {};
    }
    default: break;
  }
  if (!fine) ++out.ignored;
  return {};
}

Bytes label_frame(std::string_view label) {
  if (label.empty()) return {};
  Bytes out(1, static_cast<char>(kLabel));
  out.push_back(static_cast<char>(label.size()));
  return out.append(label);
}

bool read_peer(MsgpackReader& reader, PeerState& out) {
  std::uint64_t state = 0;
  const bool fine = reader.structure([&](std::string_view key, MsgpackReader& r) {
    if (key == "State") return r.uint(state), true;
    return key == "Addr" ? read_ip(r, out.at) : key == "Incarnation" ? read_u32(r, out.incarnation) : key == "Meta" ? read_meta(r, out.meta)
           : key == "Name" ? read_text(r, out.name) : key == "Port" ? read_port(r, out.at) : key == "Vsn" ? read_versions(r, out.versions) : false;
  });
  out.state = static_cast<NodeState>(std::min<std::uint64_t>(state, 3));
  return fine;
}

// How much is missing, or that it is malformed.
Result<StreamProgress> incomplete(const MsgpackReader& reader, std::size_t before) {
  if (!reader.truncated()) return malformed("stream: not a message");
  return StreamProgress{.needed = before + reader.needed(), .message = {}};
}

Result<StreamProgress> parse_push_pull(MsgpackReader& reader) {
  PushPull out;
  std::uint64_t nodes = 0, state_bytes = 0;
  const bool header = reader.structure([&](std::string_view key, MsgpackReader& r) {
    if (key == "Join") return r.boolean(out.join), true;
    if (key == "Nodes") return r.uint(nodes), true;
    return key == "UserStateLen" && (r.uint(state_bytes), true);
  });
  if (!header) return incomplete(reader, 1);
  if (nodes > kNodesMax) return Error(ErrorCode::kTooLarge, "gossip: a state of " + std::to_string(nodes) + " nodes");
  if (state_bytes > kStateBytesMax) return Error(ErrorCode::kTooLarge, "gossip: a state of " + std::to_string(state_bytes) + " bytes");
  for (std::uint64_t i = 0; i < nodes; ++i) {
    PeerState peer;
    if (!read_peer(reader, peer)) return incomplete(reader, 1);
    out.nodes.push_back(std::move(peer));
  }
  ByteView state;
  if (!reader.take(state_bytes, state)) return incomplete(reader, 1);
  out.state = state;
  return StreamProgress{.needed = 0, .message = std::move(out)};
}

Result<StreamProgress> parse_stream_nested(ByteView bytes, bool packed_allowed) {
  if (bytes.empty()) return StreamProgress{.needed = 1, .message = {}};
  MsgpackReader reader(bytes.substr(1));
  switch (static_cast<unsigned char>(bytes[0])) {
    case kPushPull: return parse_push_pull(reader);
    case kPing: {
      Ping out;
      if (!read_ping(reader, out)) return incomplete(reader, 1);
      return StreamProgress{.needed = 0, .message = std::move(out)};
    }
    case kUser: {
      std::uint64_t size = 0;
      if (!reader.structure([&](std::string_view key, MsgpackReader& r) { return key == "UserMsgLen" && (r.uint(size), true); })) return incomplete(reader, 1);
      if (size > kStateBytesMax) return Error(ErrorCode::kTooLarge, "gossip: a user message of " + std::to_string(size) + " bytes");
      ByteView payload;
      if (!reader.take(size, payload)) return incomplete(reader, 1);
      return StreamProgress{.needed = 0, .message = User{Bytes(payload)}};
    }
    case kError: {
      StreamError out;
      if (!reader.structure([&](std::string_view key, MsgpackReader& r) { return key == "Error" && read_text(r, out.text); })) return incomplete(reader, 1);
      return StreamProgress{.needed = 0, .message = std::move(out)};
    }
    case kCompressed: {
      if (!packed_allowed) return malformed("stream: compressed twice");
      Packed packed;
      if (!read_packed(reader, packed)) return incomplete(reader, 1);
      SKALD_TRY(const Bytes plain, unpack(packed));
      SKALD_TRY(StreamProgress inside, parse_stream_nested(plain, false));
      if (inside.needed != 0) return malformed("stream: a compressed message ends early");
      return inside;
    }
    case kEncrypted: return malformed("stream: encrypted; peers and we use TLS instead");
    default: return malformed("stream: unknown message type");
  }
}

}  // namespace

std::string to_text(const Endpoint& at) {
  char text[INET6_ADDRSTRLEN] = "";
  static constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  if (std::memcmp(at.ip.data(), kMapped, sizeof kMapped) == 0) {
    inet_ntop(AF_INET, at.ip.data() + 12, text, sizeof text);
    return std::string(text) + ":" + std::to_string(at.port);
  }
  inet_ntop(AF_INET6, at.ip.data(), text, sizeof text);
  return "[" + std::string(text) + "]:" + std::to_string(at.port);
}

bool parse_ip(const std::string& text, IpBytes& ip) {
  ip = {};
  if (inet_pton(AF_INET, text.c_str(), ip.data() + 12) == 1) {
    ip[10] = ip[11] = 0xFF;
    return true;
  }
  return inet_pton(AF_INET6, text.c_str(), ip.data()) == 1;
}

Bytes encode(const Message& message) {
  Bytes out;
  MsgpackWriter writer(out);
  const auto begin = [&](Type type, std::size_t fields) {
    out.push_back(static_cast<char>(type));
    writer.map(fields);
  };
  const auto verdict = [&](Type type, const auto& m) {
    begin(type, 3);
    writer.key("From"), writer.raw(m.from);
    writer.key("Incarnation"), writer.uint(m.incarnation);
    writer.key("Node"), writer.raw(m.node);
  };
  const auto source = [&](const auto& m) {
    writer.key("SourceAddr"), writer.raw(view(m.source));
    writer.key("SourceNode"), writer.raw(m.source_node);
    writer.key("SourcePort"), writer.uint(m.source.port);
  };
  if (const auto* ping = std::get_if<Ping>(&message)) {
    begin(kPing, 5);
    writer.key("Node"), writer.raw(ping->node);
    writer.key("SeqNo"), writer.uint(ping->seq);
    source(*ping);
  } else if (const auto* indirect = std::get_if<IndirectPing>(&message)) {
    begin(kIndirectPing, 8);
    writer.key("Nack"), writer.boolean(indirect->nack);
    writer.key("Node"), writer.raw(indirect->node);
    writer.key("Port"), writer.uint(indirect->target.port);
    writer.key("SeqNo"), writer.uint(indirect->seq);
    source(*indirect);
    writer.key("Target"), writer.raw(view(indirect->target));
  } else if (const auto* ack = std::get_if<Ack>(&message)) {
    begin(kAck, 2);
    writer.key("Payload"), writer.nil();
    writer.key("SeqNo"), writer.uint(ack->seq);
  } else if (const auto* nack = std::get_if<Nack>(&message)) {
    begin(kNack, 1);
    writer.key("SeqNo"), writer.uint(nack->seq);
  } else if (const auto* suspect = std::get_if<Suspect>(&message)) {
    verdict(kSuspect, *suspect);
  } else if (const auto* dead = std::get_if<Dead>(&message)) {
    verdict(kDead, *dead);
  } else if (const auto* alive = std::get_if<Alive>(&message)) {
    begin(kAlive, 6);
    writer.key("Addr"), writer.raw(view(alive->at));
    writer.key("Incarnation"), writer.uint(alive->incarnation);
    writer.key("Meta"), write_meta(writer, alive->meta);
    writer.key("Node"), writer.raw(alive->node);
    writer.key("Port"), writer.uint(alive->at.port);
    writer.key("Vsn"), writer.raw(view(alive->versions));
  } else {
    out.push_back(static_cast<char>(kUser));
    out += std::get<User>(message).payload;
  }
  return out;
}

LabelProgress parse_label(ByteView bytes) {
  LabelProgress out;
  if (bytes.empty()) return out.needed = 1, out;
  if (static_cast<unsigned char>(bytes[0]) != kLabel) return out;
  const std::size_t needed = bytes.size() < 2 ? 2 : 2U + static_cast<unsigned char>(bytes[1]);
  if (bytes.size() < needed) return out.needed = needed, out;
  out.bytes = needed;
  out.label = bytes.substr(2, needed - 2);
  return out;
}

Result<ParsedPacket> parse_packet(ByteView packet, std::string_view label, bool label_any) {
  const LabelProgress found = parse_label(packet);
  if (found.needed != 0) return malformed("packet: truncated");
  if (!label_any && found.label != label)
    return Error(ErrorCode::kPermissionDenied, "gossip: a packet with the cluster label '" + std::string(found.label.substr(0, 64)) + "', ours is '" + std::string(label) + "'");
  packet.remove_prefix(found.bytes);
  if (packet.size() >= 5 && static_cast<unsigned char>(packet[0]) == kCrc) {
    if (crc32(packet.substr(5)) != load_be(packet, 1, 4)) return malformed("packet: CRC does not match");
    packet.remove_prefix(5);
  }
  ParsedPacket out;
  SKALD_TRY_VOID(parse_message(packet, 0, out));
  return out;
}

std::vector<Bytes> make_packets(const std::vector<Bytes>& messages, std::string_view label, bool crc, bool compress) {
  std::vector<Bytes> out;
  const auto finish = [&](Bytes message) {
    if (compress) message = pack(std::move(message));
    Bytes packet = label_frame(label);
    if (crc) {
      packet.push_back(static_cast<char>(kCrc));
      append_be(packet, crc32(message), 4);
    }
    out.push_back(std::move(packet.append(message)));
  };
  std::vector<const Bytes*> parts;
  const auto finish_parts = [&] {
    if (parts.size() == 1) finish(*parts[0]);
    if (parts.size() > 1) {
      Bytes compound(1, static_cast<char>(kCompound));
      compound.push_back(static_cast<char>(parts.size()));
      for (const Bytes* part : parts) append_be(compound, static_cast<std::uint32_t>(part->size()), 2);
      for (const Bytes* part : parts) compound += *part;
      finish(std::move(compound));
    }
    parts.clear();
  };
  for (const Bytes& message : messages) {
    if (message.size() > kPartBytesMax) {
      finish(message);
      continue;
    }
    parts.push_back(&message);
    if (parts.size() == kPartsMax) finish_parts();
  }
  finish_parts();
  return out;
}

Bytes frame_packet(ByteView packet, std::string_view sender) {
  SKALD_CHECK(sender.size() <= 255);
  Bytes out(1, kPacketConnection);
  out.push_back(static_cast<char>(sender.size()));
  out.append(sender).append(packet);
  const auto digest = md5(packet);
  return out.append(digest.data(), digest.size());
}

Result<ByteView> unframe_packet(ByteView bytes) {
  if (bytes.size() < 2 || bytes[0] != kPacketConnection) return malformed("packet: truncated");
  const std::size_t head = 2U + static_cast<unsigned char>(bytes[1]);
  if (bytes.size() < head + kDigestBytes) return malformed("packet: truncated");
  const ByteView packet = bytes.substr(head, bytes.size() - head - kDigestBytes);
  const auto digest = md5(packet);
  if (std::memcmp(digest.data(), bytes.data() + bytes.size() - kDigestBytes, kDigestBytes) != 0) return malformed("packet: digest does not match");
  return packet;
}

Bytes stream_prefix(std::string_view label) { return Bytes(1, kStreamConnection) + label_frame(label); }

Bytes encode_stream(const StreamMessage& message, bool compress) {
  Bytes out;
  MsgpackWriter writer(out);
  if (const auto* ping = std::get_if<Ping>(&message)) return encode(Message(*ping));
  if (const auto* user = std::get_if<User>(&message)) {
    out.push_back(static_cast<char>(kUser));
    writer.map(1);
    writer.key("UserMsgLen"), writer.sint(static_cast<std::int64_t>(user->payload.size()));
    out += user->payload;
  } else if (const auto* error = std::get_if<StreamError>(&message)) {
    out.push_back(static_cast<char>(kError));
    writer.map(1);
    writer.key("Error"), writer.raw(error->text);
  } else {
    const auto& exchange = std::get<PushPull>(message);
    out.push_back(static_cast<char>(kPushPull));
    writer.map(3);
    writer.key("Join"), writer.boolean(exchange.join);
    writer.key("Nodes"), writer.sint(static_cast<std::int64_t>(exchange.nodes.size()));
    writer.key("UserStateLen"), writer.sint(static_cast<std::int64_t>(exchange.state.size()));
    for (const PeerState& node : exchange.nodes) {
      writer.map(7);
      writer.key("Addr"), writer.raw(view(node.at));
      writer.key("Incarnation"), writer.uint(node.incarnation);
      writer.key("Meta"), write_meta(writer, node.meta);
      writer.key("Name"), writer.raw(node.name);
      writer.key("Port"), writer.uint(node.at.port);
      writer.key("State"), writer.sint(static_cast<int>(node.state));
      writer.key("Vsn"), writer.raw(view(node.versions));
    }
    out += exchange.state;
  }
  return compress ? pack(std::move(out)) : out;
}

Result<StreamProgress> parse_stream(ByteView bytes) { return parse_stream_nested(bytes, true); }

}  // namespace skald::ring::gossip
