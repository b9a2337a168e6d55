#include "cache/resolver.h"

#include <gtest/gtest.h>

#include <map>

#include "cache/ring.h"
#include "cache/server.h"
#include "skald/base/random.h"

namespace skald::cache {
namespace {

TEST(Ring, SharesAreEvenAndOnlyALostServersKeysMove) {
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) names.push_back("10.0.0." + std::to_string(i) + ":11211");
  const Ring ring(names, true), smaller(std::vector(names.begin(), names.end() - 1), true);
  std::map<std::string, int> shares;
  int moved = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = "key" + std::to_string(i);
    const std::string& before = ring.names()[ring.find(key)];
    const std::string& after = smaller.names()[smaller.find(key)];
    ++shares[before];
    if (before == names.back()) continue;
    moved += before != after;
  }
  EXPECT_EQ(moved, 0);
  for (const auto& [name, share] : shares) EXPECT_NEAR(share, 4000, 1000) << name;
  const Ring other_order({names[3], names[1], names[4], names[0], names[2], names[0]}, true);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(other_order.find(std::to_string(i)), ring.find(std::to_string(i)));
}

TEST(Ring, OneServerAndNoConsistency) {
  const Ring one({"a:1"}, true), modulo({"a:1", "b:1"}, false);
  EXPECT_EQ(one.find("x"), 0U);
  int second = 0;
  for (int i = 0; i < 1000; ++i) second += modulo.find(std::to_string(i)) == 1;
  EXPECT_NEAR(second, 500, 100);
}

TEST(Breaker, OpensAfterFailuresInARowAndTriesOnceAgain) {
  FakeClock clock;
  CircuitBreaker breaker({.failures = 3, .open_ns = 10 * kNanosPerSecond, .interval_ns = kNanosPerMinute}, clock);
  breaker.report(false);
  breaker.report(false);
  breaker.report(true);
  breaker.report(false);
  breaker.report(false);
  EXPECT_TRUE(breaker.allows());
  breaker.report(false);
  EXPECT_FALSE(breaker.allows());
  clock.advance_ns(11 * kNanosPerSecond);
  EXPECT_TRUE(breaker.allows());
  EXPECT_FALSE(breaker.allows()) << "one at a time";
  breaker.report(false);
  EXPECT_FALSE(breaker.allows());
  clock.advance_ns(11 * kNanosPerSecond);
  EXPECT_TRUE(breaker.allows());
  breaker.report(true);
  EXPECT_TRUE(breaker.allows());
  EXPECT_TRUE(breaker.allows());
}

TEST(Breaker, FailuresFarApartDoNotAddUpAndZeroIsOff) {
  FakeClock clock;
  CircuitBreaker breaker({.failures = 2, .open_ns = kNanosPerSecond, .interval_ns = kNanosPerSecond}, clock);
  for (int i = 0; i < 10; ++i) {
    breaker.report(false);
    clock.advance_ns(2 * kNanosPerSecond);
  }
  EXPECT_TRUE(breaker.allows());
  CircuitBreaker off({.failures = 0}, clock);
  for (int i = 0; i < 100; ++i) off.report(false);
  EXPECT_TRUE(off.allows());
}

TEST(Addresses, AreReadAsWritten) {
  EXPECT_EQ(*parse_host_port("host:11211", 0), (HostPort{"host", 11211}));
  EXPECT_EQ(*parse_host_port("host", 6379), (HostPort{"host", 6379}));
  EXPECT_EQ(*parse_host_port("[::1]:5", 0), (HostPort{"::1", 5}));
  EXPECT_EQ(*parse_host_port("[::1]", 7), (HostPort{"::1", 7}));
  EXPECT_EQ(to_text({"::1", 5}), "[::1]:5");
  for (const char* bad : {"", ":1", "host:", "host:x", "host:65536", "host:0", "[::1", "[::1]x", "a:b:c", "host"})
    EXPECT_FALSE(parse_host_port(bad, 0).ok()) << bad;
  const auto list = parse_server_list("dns+a:1, dnssrv+_memcached._tcp.b,dnssrvnoa+_m._tcp.c,127.0.0.1:2,,d", 11211);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 5U);
  EXPECT_EQ((*list)[0].kind, ServerSpec::Kind::kDns);
  EXPECT_EQ((*list)[1].kind, ServerSpec::Kind::kSrv);
  EXPECT_EQ((*list)[1].name, "_memcached._tcp.b");
  EXPECT_EQ((*list)[2].kind, ServerSpec::Kind::kSrvNoLookup);
  EXPECT_TRUE((*list)[3].is_literal());
  EXPECT_EQ((*list)[4].port, 11211);
  EXPECT_FALSE(parse_server_list("dnssrv+", 1).ok());
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
    if (host == "gone") return Error(ErrorCode::kUnavailable, "gone");
    return std::vector{literal_address("10.0.0.1", port), literal_address("10.0.0.2", port)};
  };
  names.srv_answer = [](const std::string&) -> Result<Bytes> { return srv_packet(); };
  const auto resolved = [&](const std::string& list, bool expect_failure = false) {
    bool failed = false;
    std::vector<std::string> out;
    for (const ResolvedServer& server : resolve(*parse_server_list(list, 11211), names, failed)) out.push_back(server.name);
    EXPECT_EQ(failed, expect_failure);
    return out;
  };
  EXPECT_EQ(resolved("one:5"), (std::vector<std::string>{"one:5"}));
  EXPECT_EQ(resolved("dns+one:5"), (std::vector<std::string>{"10.0.0.1:5", "10.0.0.2:5"}));
  EXPECT_EQ(resolved("dnssrvnoa+x"), (std::vector<std::string>{"m0.cache:11211", "m1.other:11212"}));
  EXPECT_EQ(resolved("dnssrv+x"), (std::vector<std::string>{"10.0.0.1:11211", "10.0.0.2:11211", "10.0.0.1:11212", "10.0.0.2:11212"}));
  EXPECT_EQ(resolved("gone:1,one:2", true), (std::vector<std::string>{"one:2"}));
}

TEST(Watch, AFailedRoundKeepsTheServersAndACompleteOneReplacesThem) {
  std::atomic<int> round{0};
  NameService names;
  names.addresses = [&](const std::string&, std::uint16_t port) -> Result<std::vector<SocketAddress>> {
    const int now = ++round;
    if (now == 1 || now == 3) return Error(ErrorCode::kUnavailable, "not now");
    return std::vector{literal_address("10.0.0." + std::to_string(now), port)};
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> seen;
  const ServerWatch watch(*parse_server_list("dns+m:1", 0), kNanosPerMilli, names, [&](std::vector<ResolvedServer> servers) {
    const std::lock_guard lock(mutex);
    seen.push_back(servers.empty() ? "none" : servers.front().name);
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return !seen.empty(); });
  EXPECT_EQ(seen.front(), "10.0.0.2:1");
}

}  // namespace
}  // namespace skald::cache
