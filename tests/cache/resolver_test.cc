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
  const ServerWatch watch(*io::parse_names("dns+m:1", 0), kNanosPerMilli, names, [&](std::vector<ResolvedServer> servers) {
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
