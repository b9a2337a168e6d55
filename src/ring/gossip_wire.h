// The bytes of the gossip protocol: hashicorp/memberlist, protocol version 2, over Grafana's TCP transport.
//
// A packet is one TCP connection: 1, the sender's address as text behind its length, the packet, MD5 of the packet.
// A stream is one too: 2, an optional label, a push/pull exchange or a user message; the answer comes back without the 2.
// Inside a packet, outside in: label, CRC, compressed, compound, messages.
//
// All readers take bytes of strangers: sizes are checked against what is there before anything is reserved.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::ring::gossip {

inline constexpr char kPacketConnection = 1, kStreamConnection = 2;
inline constexpr std::size_t kPacketBytesMax = 10 << 20;         // what the peers' libraries are configured with
inline constexpr std::size_t kUnpackedBytesMax = 21 << 20;
inline constexpr std::size_t kStateBytesMax = 20 << 20;
inline constexpr std::size_t kNodesMax = 1 << 16;
inline constexpr std::size_t kMetaBytesMax = 512;
inline constexpr std::size_t kLabelBytesMax = 255;
inline constexpr std::size_t kDigestBytes = 16;

using Versions = std::array<std::uint8_t, 6>;                    // protocol min, max, current; delegate min, max, current
inline constexpr Versions kOurVersions{1, 5, 2, 0, 0, 0};
inline constexpr std::uint8_t kCrcProtocol = 5;                  // who speaks this takes packets with a CRC

// 16 bytes, IPv4 mapped.
using IpBytes = std::array<std::uint8_t, 16>;
struct Endpoint {
  IpBytes ip{};
  std::uint16_t port = 0;
  // An IPv4 address came as 4 bytes. Passed on as it came: Go peers compare the bytes and take the other form for a conflict.
  bool brief = false;
  bool operator==(const Endpoint& other) const { return ip == other.ip && port == other.port; }
  auto operator<=>(const Endpoint& other) const { return std::tie(ip, port) <=> std::tie(other.ip, other.port); }
};
std::string to_text(const Endpoint& at);                         // "10.0.0.1:7946", "[::1]:7946"
bool parse_ip(const std::string& text, IpBytes& ip);             // a literal

struct Ping { std::uint32_t seq = 0; std::string node; Endpoint source; std::string source_node; };
struct IndirectPing { std::uint32_t seq = 0; Endpoint target; std::string node; bool nack = false; Endpoint source; std::string source_node; };
struct Ack { std::uint32_t seq = 0; };
struct Nack { std::uint32_t seq = 0; };
struct Suspect { std::uint32_t incarnation = 0; std::string node, from; };
struct Dead { std::uint32_t incarnation = 0; std::string node, from; };   // left by itself when node is from
struct Alive { std::uint32_t incarnation = 0; std::string node; Endpoint at; Bytes meta; Versions versions{}; };
struct User { Bytes payload; };
using Message = std::variant<Ping, IndirectPing, Ack, Nack, Suspect, Dead, Alive, User>;

Bytes encode(const Message& message);                            // with its type byte

struct ParsedPacket {
  std::vector<Message> messages;
  std::size_t ignored = 0;                                       // parts of unknown types or malformed
};
// What lies between the sender's address and the digest. `label_any`: labels are not compared. kCorruption: CRC,
// framing; kPermissionDenied: another cluster's label, or none.
Result<ParsedPacket> parse_packet(ByteView packet, std::string_view label, bool label_any);
// Packets that carry the messages (each an encode()d one): usually one.
std::vector<Bytes> make_packets(const std::vector<Bytes>& messages, std::string_view label, bool crc, bool compress);

// A whole packet connection.
Bytes frame_packet(ByteView packet, std::string_view sender);
// The packet inside. kCorruption: too short, or the digest is another's.
Result<ByteView> unframe_packet(ByteView connection_bytes);

enum class NodeState : std::uint8_t { kAlive = 0, kSuspect = 1, kDead = 2, kLeft = 3 };
struct PeerState {
  std::string name;
  Endpoint at;
  Bytes meta;
  std::uint32_t incarnation = 0;
  NodeState state = NodeState::kAlive;
  Versions versions{};
};
struct PushPull {
  bool join = false;
  std::vector<PeerState> nodes;
  Bytes state;
};
struct StreamError { std::string text; };
using StreamMessage = std::variant<PushPull, Ping, User, StreamError>;

// Without leading 2 and label.
Bytes encode_stream(const StreamMessage& message, bool compress);
Bytes stream_prefix(std::string_view label);                     // 2 and the label

struct StreamProgress {
  std::size_t needed = 0;                                        // not 0: incomplete, at least that many bytes are due
  StreamMessage message;                                         // when complete
};
// What a stream holds so far, behind the 2 and the label.
Result<StreamProgress> parse_stream(ByteView bytes);
struct LabelProgress {
  std::size_t needed = 0;                                        // as above
  std::size_t bytes = 0;                                         // of the label frame; 0: there is none
  std::string_view label;                                        // into the input
};
LabelProgress parse_label(ByteView bytes);

// One value on its way: a protobuf KeyValuePair.
struct KeyValue {
  std::string key;
  Bytes value;
  std::string codec;
  bool deleted = false;
  std::int64_t updated_ms = 0;
};
Bytes encode(const KeyValue& pair);
Result<KeyValue> decode_key_value(ByteView bytes);
// A push/pull's state: each pair behind its length.
void append_state(Bytes& state, const KeyValue& pair);
Result<std::vector<KeyValue>> split_state(ByteView state);

}  // namespace skald::ring::gossip
