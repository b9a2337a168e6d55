#include <gtest/gtest.h>

#include <set>

#include "ring/gossip_socket.h"
#include "ring/gossip_wire.h"
#include "ring/lzw.h"
#include "ring/msgpack.h"
#include "skald/base/random.h"
#include "skald/ring/desc.h"

namespace skald::ring::gossip {
namespace {

Bytes from_hex(std::string_view hex) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return out;
}
std::string to_hex(ByteView bytes) {
  std::string out;
  for (const char c : bytes) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned char>(c));
    out += two;
  }
  return out;
}

Endpoint at(const char* ip, std::uint16_t port) {
  Endpoint out{.ip = {}, .port = port};
  EXPECT_TRUE(parse_ip(ip, out.ip));
  return out;
}

std::vector<Bytes> all_kinds() {
  return {
      encode(Message(Ping{.seq = 300, .node = "a", .source = at("10.1.2.3", 7946), .source_node = "b"})),
      encode(Message(IndirectPing{.seq = 70000, .target = at("::1", 9), .node = "c", .nack = true, .source = at("10.1.2.3", 7946), .source_node = "b"})),
      encode(Message(Ack{.seq = 5})),
      encode(Message(Nack{.seq = 6})),
      encode(Message(Suspect{.incarnation = 9, .node = "d", .from = "e"})),
      encode(Message(Dead{.incarnation = 10, .node = "f", .from = "f"})),
      encode(Message(Alive{.incarnation = 1, .node = "n0", .at = at("127.0.0.1", 7946), .meta = "zone", .versions = kOurVersions})),
      encode(Message(User{"payload"})),
  };
}

PushPull sample_state() {
  PushPull out{.join = true, .nodes = {}, .state = Bytes(1697, 's')};
  out.nodes.push_back({.name = "n0", .at = at("127.0.0.1", 7946), .meta = {}, .incarnation = 3, .state = NodeState::kLeft, .versions = kOurVersions});
  out.nodes.push_back({.name = "n1", .at = at("::1", 80), .meta = "m", .incarnation = 70'000, .state = NodeState::kAlive, .versions = kOurVersions});
  return out;
}

TEST(GossipLzw, WritesWhatTheReferenceWrites) {
  EXPECT_EQ(to_hex(lzw_compress("TOBEORNOTTOBEORTOBEORNOT")), "00a93c1152e48914274fa80824687061c183090302");
  Bytes in;
  std::uint32_t x = 1;
  for (int i = 0; i < 200'000; ++i) {
    x = x * 1664525 + 1013904223;
    in.push_back("abcdefgh"[(x >> 24) % 8]);
  }
  const Bytes packed = lzw_compress(in);
  std::uint32_t hash = 2166136261;
  for (const char c : packed) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  EXPECT_EQ(packed.size(), 90628U);
  EXPECT_EQ(hash, 2590520765U);
  EXPECT_EQ(lzw_decompress(packed, in.size() + 1).value(), in);
  EXPECT_EQ(lzw_decompress(packed, in.size() - 1).error().code(), ErrorCode::kTooLarge);
}

TEST(GossipLzw, RoundTripsAnything) {
  SeededRandom random(4);
  for (int round = 0; round < 300; ++round) {
    Bytes in;
    const std::size_t size = random.next_u64() % (round < 290 ? 600 : 60'000);
    const std::uint64_t letters = 1 + random.next_u64() % 256;
    while (in.size() < size) in.push_back(static_cast<char>(random.next_u64() % letters));
    ASSERT_EQ(lzw_decompress(lzw_compress(in), size + 1).value(), in) << round;
  }
}

TEST(GossipLzw, TruncationsAreErrorsAndBitFlipsEnd) {
  const Bytes packed = lzw_compress("abababababcabcabcabcdabcd");
  for (std::size_t keep = 0; keep + 1 < packed.size(); ++keep) EXPECT_FALSE(lzw_decompress(packed.substr(0, keep), 1000).ok()) << keep;
  for (std::size_t bit = 0; bit < packed.size() * 8; ++bit) {
    Bytes flipped = packed;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const auto out = lzw_decompress(flipped, 1000);
    if (out.ok()) {
      EXPECT_LE(out->size(), 1000U);
    }
  }
}

TEST(GossipWire, AnAlivePacketHasTheBytesOfTheReference) {
  const Bytes alive = encode(Message(Alive{.incarnation = 1, .node = "n0", .at = at("127.0.0.1", 7946), .meta = {}, .versions = kOurVersions}));
  EXPECT_EQ(to_hex(alive), "0486a441646472b000000000000000000000ffff7f000001ab496e6361726e6174696f6e01a44d657461c0a44e6f6465a26e30"
                           "a4506f7274cd1f0aa356736ea6010502000000");
}

TEST(GossipWire, AddressesArePassedOnInTheFormTheyCameIn) {
  Bytes brief = encode(Message(Alive{.incarnation = 1, .node = "n0", .at = at("127.0.0.1", 7946), .meta = {}, .versions = kOurVersions}));
  brief.replace(7, 17, from_hex("a47f000001"));
  const ParsedPacket parsed = parse_packet(brief, "", false).value();
  EXPECT_EQ(std::get<Alive>(parsed.messages.at(0)).at, at("127.0.0.1", 7946));
  EXPECT_EQ(to_hex(encode(parsed.messages[0])), to_hex(brief));
}

TEST(GossipWire, AStreamHeaderHasTheBytesOfTheReference) {
  const Bytes stream = encode_stream(sample_state(), false);
  EXPECT_EQ(to_hex(stream.substr(0, 34)), "0683a44a6f696ec3a54e6f64657302ac5573657253746174654c656ed106a187a441");
}

TEST(GossipWire, PacketsRoundTripInEveryWrapping) {
  const std::vector<Bytes> messages = all_kinds();
  for (const bool crc : {false, true}) {
    for (const bool compress : {false, true}) {
      for (const std::string label : {"", "prod"}) {
        const std::vector<Bytes> packets = make_packets(messages, label, crc, compress);
        ASSERT_EQ(packets.size(), 1U);
        const Bytes framed = frame_packet(packets[0], "10.0.0.1:7946");
        const ByteView packet = unframe_packet(framed).value();
        EXPECT_EQ(packet, packets[0]);
        const ParsedPacket parsed = parse_packet(packet, label, false).value();
        EXPECT_EQ(parsed.ignored, 0U);
        ASSERT_EQ(parsed.messages.size(), messages.size());
        for (std::size_t i = 0; i < messages.size(); ++i) EXPECT_EQ(to_hex(encode(parsed.messages[i])), to_hex(messages[i])) << i;
        EXPECT_EQ(parse_packet(packet, "other", false).error().code(), ErrorCode::kPermissionDenied);
        EXPECT_TRUE(parse_packet(packet, "other", true).ok());
      }
    }
  }
}

TEST(GossipWire, LargeAndManyMessagesAreSpreadOverPackets) {
  std::vector<Bytes> messages(300, encode(Message(User{"x"})));
  messages.push_back(encode(Message(User{Bytes(70'000, 'y')})));
  std::size_t found = 0;
  for (const Bytes& packet : make_packets(messages, "", true, false)) found += parse_packet(packet, "", false).value().messages.size();
  EXPECT_EQ(found, messages.size());
}

TEST(GossipWire, DamagedPacketsAreRefusedOrHarmless) {
  const Bytes packet = make_packets(all_kinds(), "l", true, false)[0];
  const Bytes framed = frame_packet(packet, "10.0.0.1:7946");
  for (std::size_t keep = 0; keep < framed.size(); ++keep) EXPECT_FALSE(unframe_packet(ByteView(framed).substr(0, keep)).ok()) << keep;
  for (std::size_t bit = 8; bit < framed.size() * 8; ++bit) {
    Bytes flipped = framed;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const bool in_sender = bit / 8 >= 2 && bit / 8 < 15;
    EXPECT_EQ(unframe_packet(flipped).ok(), in_sender) << bit;
  }
  for (std::size_t bit = 32; bit < packet.size() * 8; ++bit) {   // behind the label and the type
    Bytes flipped = packet;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const auto parsed = parse_packet(flipped, "l", false);
    EXPECT_FALSE(parsed.ok()) << bit;
  }
  for (const Bytes& message : all_kinds()) {
    for (std::size_t keep = 0; keep < message.size(); ++keep) (void)parse_packet(message.substr(0, keep), "", false).ok();
    for (std::size_t bit = 0; bit < message.size() * 8; ++bit) {
      Bytes flipped = message;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      (void)parse_packet(flipped, "", false).ok();
    }
  }
}

TEST(GossipWire, NestingIsBounded) {
  Bytes packet = encode(Message(Ack{.seq = 1}));
  for (int i = 0; i < 50; ++i) {
    Bytes outer{'\x07', '\x01', static_cast<char>(packet.size() >> 8), static_cast<char>(packet.size())};
    packet = outer + packet;
  }
  const ParsedPacket parsed = parse_packet(packet, "", false).value();
  EXPECT_TRUE(parsed.messages.empty());
  EXPECT_EQ(parsed.ignored, 1U);
}

TEST(GossipWire, StreamsRoundTripAndAskForWhatIsMissing) {
  for (const bool compress : {false, true}) {
    const Bytes whole = encode_stream(sample_state(), compress);
    for (std::size_t keep = 0; keep < whole.size(); ++keep) {
      const auto part = parse_stream(ByteView(whole).substr(0, keep));
      ASSERT_TRUE(part.ok()) << keep << ": " << part.error().message();
      ASSERT_GT(part->needed, keep);
      ASSERT_LE(part->needed, whole.size());
    }
    const StreamProgress done = parse_stream(whole).value();
    ASSERT_EQ(done.needed, 0U);
    EXPECT_EQ(encode_stream(done.message, compress), whole);
    const auto& exchange = std::get<PushPull>(done.message);
    EXPECT_TRUE(exchange.join);
    EXPECT_EQ(exchange.state, Bytes(1697, 's'));
    EXPECT_EQ(to_text(exchange.nodes[1].at), "[::1]:80");
    for (std::size_t bit = 0; bit < std::min<std::size_t>(whole.size(), 250) * 8; ++bit) {
      Bytes flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      (void)parse_stream(flipped).ok();
    }
  }
  EXPECT_EQ(std::get<StreamError>(parse_stream(encode_stream(StreamError{"no"}, false)).value().message).text, "no");
  EXPECT_EQ(std::get<User>(parse_stream(encode_stream(User{"abc"}, true)).value().message).payload, "abc");
}

TEST(GossipWire, SizesThatPeersClaimAreChecked) {
  Bytes header{'\x06'};
  MsgpackWriter writer(header);
  writer.map(2);
  writer.key("Nodes"), writer.uint(0);
  writer.key("UserStateLen"), writer.uint(1ULL << 40);
  EXPECT_EQ(parse_stream(header).error().code(), ErrorCode::kTooLarge);
  Bytes nodes{'\x06'};
  MsgpackWriter more(nodes);
  more.map(1);
  more.key("Nodes"), more.uint(1ULL << 40);
  EXPECT_EQ(parse_stream(nodes).error().code(), ErrorCode::kTooLarge);
}

TEST(GossipWire, LabelsAreReadPieceByPiece) {
  const Bytes prefix = stream_prefix("prod").substr(1);
  EXPECT_EQ(parse_label(prefix.substr(0, 1)).needed, 2U);
  EXPECT_EQ(parse_label(prefix.substr(0, 3)).needed, 6U);
  EXPECT_EQ(parse_label(prefix).label, "prod");
  EXPECT_EQ(parse_label("\x06").bytes, 0U);
}

TEST(GossipWire, ValuesAndStatesRoundTrip) {
  const KeyValue pair{.key = "collectors/ring", .value = Bytes("\0\1", 2), .codec = "ringDesc", .deleted = true, .updated_ms = 1'700'000'000'000};
  Bytes state;
  append_state(state, pair);
  append_state(state, {.key = "k", .value = {}, .codec = "c"});
  const auto pairs = split_state(state).value();
  ASSERT_EQ(pairs.size(), 2U);
  EXPECT_EQ(encode(pairs[0]), encode(pair));
  EXPECT_EQ(pairs[1].key, "k");
  EXPECT_FALSE(pairs[1].deleted);
  for (std::size_t keep = 1; keep < state.size(); ++keep) {
    const auto part = split_state(ByteView(state).substr(0, keep));
    if (part.ok()) {
      EXPECT_EQ(part->size(), 1U) << keep;
    }
  }
}

TEST(GossipMsgpack, ReadsEveryFormOfANumberAndSkipsWhatItDoesNotKnow) {
  for (const char* hex : {"2a", "cc2a", "cd002a", "ce0000002a", "cf000000000000002a", "d02a", "d1002a", "d20000002a", "d3000000000000002a"}) {
    const Bytes bytes = from_hex(hex);
    MsgpackReader reader(bytes);
    std::uint64_t value = 0;
    EXPECT_TRUE(reader.uint(value)) << hex;
    EXPECT_EQ(value, 42U) << hex;
  }
  // {"x": [1, {"y": nil}, -1, 2.5, true], "SeqNo": 7}
  const Bytes ack = from_hex("0282a17895" "01" "81a179c0" "ff" "cb4004000000000000" "c3" "a55365714e6f07");
  const ParsedPacket parsed = parse_packet(ack, "", false).value();
  ASSERT_EQ(parsed.messages.size(), 1U);
  EXPECT_EQ(std::get<Ack>(parsed.messages[0]).seq, 7U);
  const Bytes deep(4000, '\x91');
  MsgpackReader reader(deep);
  EXPECT_FALSE(reader.skip());
}

TEST(GossipNames, AddressesAndPorts) {
  EXPECT_EQ(to_text(resolve_peers("127.0.0.1", 7946).value().at(0)), "127.0.0.1:7946");
  EXPECT_EQ(to_text(resolve_peers("dns+127.0.0.1:80", 7946).value().at(0)), "127.0.0.1:80");
  EXPECT_EQ(to_text(resolve_peers("[::1]:80", 7946).value().at(0)), "[::1]:80");
  EXPECT_EQ(to_text(resolve_peers("::1", 7946).value().at(0)), "[::1]:7946");
  for (const char* bad : {"", "h:", "h:0", "h:65536", "h:1x", "[::1", "[::1]x", "dns+"}) EXPECT_FALSE(resolve_peers(bad, 7946).ok()) << bad;
}

TEST(GossipNames, AServiceIsAllAddressesOfItsTargets) {
  // Header; question _g._tcp.x SRV IN; answer: 0 0 7946 n0.x, with compressed names.
  io::NameService names;
  names.srv_answer = [](const std::string& name) -> Result<Bytes> {
    if (name != "_g._tcp.x") return Error(ErrorCode::kUnavailable, "no");
    return from_hex("123481800001000100000000" "025f67" "045f746370" "0178" "00" "00210001" "c00c" "00210001" "0000003c" "000b" "000000001f0a" "026e30" "c014");
  };
  names.addresses = [](const std::string& host, std::uint16_t port) -> Result<std::vector<io::SocketAddress>> {
    if (host != "n0.x") return Error(ErrorCode::kUnavailable, "no");
    return std::vector{io::literal_address("10.0.0.2", port), io::literal_address("10.0.0.1", port), io::literal_address("fd00::1", port), io::literal_address("10.0.0.1", port)};
  };
  for (const char* text : {"dnssrv+_g._tcp.x", "dnssrvnoa+_g._tcp.x", "n0.x:7946", "n0.x", "dns+n0.x"}) {
    std::set<std::string> found;
    const std::vector<Endpoint> peers = resolve_peers(text, 7946, names).value();
    for (const Endpoint& peer : peers) found.insert(to_text(peer));
    EXPECT_EQ(found, (std::set<std::string>{"10.0.0.1:7946", "10.0.0.2:7946", "[fd00::1]:7946"})) << text;
  }
  EXPECT_EQ(resolve_peers("dnssrv+_other._tcp.x", 7946, names).error().code(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace skald::ring::gossip
