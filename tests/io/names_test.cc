#include "skald/io/names.h"

#include <gtest/gtest.h>

#include "skald/base/random.h"

namespace skald::io {
namespace {

TEST(Addresses, AreReadAsWritten) {
  EXPECT_EQ(*parse_host_port("host:11211", 0), (HostPort{"host", 11211}));
  EXPECT_EQ(*parse_host_port("host", 6379), (HostPort{"host", 6379}));
  EXPECT_EQ(*parse_host_port("[::1]:5", 0), (HostPort{"::1", 5}));
  EXPECT_EQ(*parse_host_port("[::1]", 7), (HostPort{"::1", 7}));
  EXPECT_EQ(*parse_host_port("fd00::1", 7), (HostPort{"fd00::1", 7}));
  EXPECT_EQ(to_text({"::1", 5}), "[::1]:5");
  for (const char* bad : {"", ":1", "host:", "host:x", "host:65536", "host:0", "[::1", "[::1]x", "a:b:c", "::1", "host"})
    EXPECT_FALSE(parse_host_port(bad, 0).ok()) << bad;
  const auto list = parse_names("dns+a:1, dnssrv+_memcached._tcp.b,dnssrvnoa+_m._tcp.c,127.0.0.1:2,,d", 11211);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 5U);
  EXPECT_EQ((*list)[0].kind, NameSpec::Kind::kDns);
  EXPECT_EQ((*list)[1].kind, NameSpec::Kind::kSrv);
  EXPECT_EQ((*list)[1].name, "_memcached._tcp.b");
  EXPECT_EQ((*list)[2].kind, NameSpec::Kind::kSrvNoLookup);
  EXPECT_TRUE((*list)[3].is_literal());
  EXPECT_EQ((*list)[4].port, 11211);
  EXPECT_FALSE(parse_names("dnssrv+", 1).ok());
}

// An answer with two SRV records and one A record; names compressed as servers do.
Bytes srv_packet() {
  Bytes p("\x12\x34\x81\x80\x00\x01\x00\x03\x00\x00\x00\x00", 12);
  p += Bytes("\x0a_memcached\x04_tcp\x05" "cache\x00", 23);
  p += Bytes("\x00\x21\x00\x01", 4);
  const auto record = [&](const Bytes& data, char type) {
    p += Bytes("\xc0\x0c\x00", 3) + type + Bytes("\x00\x01\x00\x00\x00\x1e\x00", 7) + static_cast<char>(data.size()) + data;
  };
  record(Bytes("\x00\x00\x00\x0a\x2b\xcb\x02m0\xc0\x1c", 11), 33);
  record(Bytes("\x7f\x00\x00\x01", 4), 1);
  record(Bytes("\x00\x00\x00\x0a\x2b\xcc\x02m1\x05other\x00", 16), 33);
  return p;
}

TEST(Srv, AnswersAreReadAndDamagedOnesRefused) {
  const Bytes packet = srv_packet();
  const auto answer = parse_srv_answer(packet);
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  EXPECT_EQ(*answer, (std::vector<HostPort>{{"m0.cache", 11211}, {"m1.other", 11212}}));
  for (std::size_t keep = 0; keep < packet.size(); ++keep) EXPECT_FALSE(parse_srv_answer(ByteView(packet).substr(0, keep)).ok()) << keep;
  SeededRandom random(7);
  for (int round = 0; round < 20'000; ++round) {
    Bytes damaged = packet;
    for (int i = 0; i < 3; ++i) damaged[random.next_u64() % damaged.size()] = static_cast<char>(random.next_u64());
    (void)parse_srv_answer(damaged);   // ends, and reads nothing outside (sanitizers)
  }
  Bytes self("\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x21\x00\x01", 18);   // a name that is itself
  EXPECT_FALSE(parse_srv_answer(self).ok());
}

TEST(Resolve, EachKindOfName) {
  NameService names;
  names.addresses = [](const std::string& host, std::uint16_t port) -> Result<std::vector<SocketAddress>> {
    if (host == "gone" || host == "m0.cache") return Error(ErrorCode::kUnavailable, "gone");
    return std::vector{literal_address("10.0.0.1", port), literal_address("fd00::2", port)};
  };
  names.srv_answer = [](const std::string& name) -> Result<Bytes> {
    if (name == "nothing") return srv_packet().substr(0, 4) + Bytes("\x00\x00\x00\x00\x00\x00\x00\x00", 8);
    return srv_packet();
  };
  obs::Registry registry;
  const NameService counted = names.counted(registry, "test");
  const auto resolved = [&](const std::string& text, bool expect_failure = false) {
    std::vector<ResolvedName> found;
    EXPECT_EQ(resolve_name(*parse_name(text, 11211), counted, found).ok(), !expect_failure) << text;
    std::vector<std::string> out;
    for (const ResolvedName& one : found) out.push_back(one.name + "=" + ip_text(one.address));
    return out;
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(resolved("one:5"), (Texts{"one:5=10.0.0.1"}));
  EXPECT_EQ(resolved("10.9.9.9:5"), (Texts{"10.9.9.9:5=10.9.9.9"}));
  EXPECT_EQ(resolved("dns+one:5"), (Texts{"10.0.0.1:5=10.0.0.1", "[fd00::2]:5=fd00::2"}));
  // One target of the service is not found: the other is, and the failure is told.
  EXPECT_EQ(resolved("dnssrvnoa+x", true), (Texts{"m1.other:11212=10.0.0.1"}));
  EXPECT_EQ(resolved("dnssrv+x", true), (Texts{"10.0.0.1:11212=10.0.0.1", "[fd00::2]:11212=fd00::2"}));
  EXPECT_EQ(resolved("gone:1", true), Texts{});
  EXPECT_EQ(resolved("dnssrv+nothing", true), Texts{});
  EXPECT_NE(registry.expose_text().find("loki_dns_lookups_total{name=\"test\"} 10"), std::string::npos) << registry.expose_text();
  EXPECT_NE(registry.expose_text().find("loki_dns_failures_total{name=\"test\"} 3"), std::string::npos);
}

}  // namespace
}  // namespace skald::io
