#include "skald/ring/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "ring/stepping_clock.h"
#include "skald/base/random.h"

namespace skald::ring {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;

Desc ring_of(int members, int zones = 0, int tokens = 64) {
  SeededRandom random(42);
  Desc out;
  for (int i = 0; i < members; ++i) {
    Instance one;
    one.id = "i" + std::to_string(i);
    one.address = one.id + ":3100";
    if (zones > 0) one.zone = "z" + std::to_string(i % zones);
    one.heartbeat_s = kNow;
    for (int t = 0; t < tokens; ++t) one.tokens.push_back(static_cast<std::uint32_t>(random.next_u64()));
    std::sort(one.tokens.begin(), one.tokens.end());
    out.instances.emplace(one.id, one);
  }
  return out;
}

std::vector<std::string> ids(const std::vector<const Instance*>& members) {
  std::vector<std::string> out;
  for (const Instance* one : members) out.push_back(one->id);
  return out;
}

TEST(Tokens, AreFnvOfTenantAndLabels) {
  EXPECT_EQ(stream_token("", ""), 2'166'136'261U);
  EXPECT_EQ(stream_token("a", ""), 0x050c5d7eU);   // FNV-1 of "a"
  EXPECT_EQ(fnv1a_token("a"), 0xe40c292cU);        // FNV-1a of "a"
  EXPECT_EQ(stream_token("foo", "bar"), 0x31f0b262U);   // FNV-1 of "foobar"
}

TEST(Picture, FindsDistinctMembersClockwise) {
  Desc desc;
  for (const auto& [id, token] : std::map<std::string, std::uint32_t>{{"a", 100}, {"b", 200}, {"c", 300}, {"d", 400}}) {
    Instance one;
    one.id = id, one.tokens = {token}, one.heartbeat_s = kNow;
    desc.instances.emplace(id, one);
  }
  const Picture picture(desc, {});
  using Ids = std::vector<std::string>;
  EXPECT_EQ(ids(picture.members_for(99, Operation::kWrite, kNow)->members), (Ids{"a", "b", "c"}));
  EXPECT_EQ(ids(picture.members_for(100, Operation::kWrite, kNow)->members), (Ids{"b", "c", "d"}));   // greater than the key
  EXPECT_EQ(ids(picture.members_for(400, Operation::kWrite, kNow)->members), (Ids{"a", "b", "c"}));
  EXPECT_EQ(picture.members_for(0, Operation::kWrite, kNow)->min_success, 2U);
  EXPECT_EQ(picture.members_for(0, Operation::kWrite, kNow)->max_failures(), 1U);
}

TEST(Picture, WritesGoAroundMembersThatAreNotThere) {
  Desc desc = ring_of(4);
  desc.instances["i1"].heartbeat_s = kNow - 61;
  const Picture picture(desc, {});
  for (std::uint32_t token = 0; token < 4'000'000'000; token += 77'777'777) {
    const auto extended = picture.members_for(token, Operation::kWrite, kNow);
    ASSERT_TRUE(extended.ok());
    EXPECT_EQ(extended->members.size(), 3U);
    for (const Instance* one : extended->members) EXPECT_NE(one->id, "i1");
    const auto plain = picture.members_for(token, Operation::kWriteNoExtend, kNow);
    ASSERT_TRUE(plain.ok());
    EXPECT_GE(plain->members.size(), 2U);
  }
}

TEST(Picture, SaysWhoIsMissing) {
  Desc desc = ring_of(3);
  desc.instances["i1"].heartbeat_s = desc.instances["i2"].heartbeat_s = kNow - 3600;
  const Picture picture(desc, {});
  EXPECT_EQ(picture.members_for(1, Operation::kWrite, kNow).error().message(),
            "at least 2 live replicas required, could only find 1 - unhealthy instances: i1,i2");
  EXPECT_EQ(Picture(Desc{}, {}).members_for(1, Operation::kWrite, kNow).error().message(), "empty ring");
  RingOptions never{.heartbeat_timeout_ns = 0};
  EXPECT_TRUE(Picture(desc, never).members_for(1, Operation::kWrite, kNow).ok());
}

TEST(Picture, ZonesEachHoldOneCopy) {
  const Picture picture(ring_of(6, 3), {.zone_awareness = true});
  for (std::uint32_t token = 0; token < 4'000'000'000; token += 77'777'777) {
    std::set<std::string> zones;
    const auto set = picture.members_for(token, Operation::kWrite, kNow);
    for (const Instance* one : set->members) zones.insert(one->zone);
    EXPECT_EQ(zones.size(), 3U);
  }
}

TEST(Picture, ReadsTolerateHalfTheReplicas) {
  Desc desc = ring_of(5);
  EXPECT_EQ(Picture(desc, {}).members_for_all(Operation::kRead, kNow)->max_failures, 1U);
  desc.instances["i0"].state = InstanceState::kLeaving;
  EXPECT_EQ(Picture(desc, {}).members_for_all(Operation::kRead, kNow)->members.size(), 5U);
  desc.instances["i0"].heartbeat_s = kNow - 100;
  const Picture without(desc, {});
  const auto one_gone = without.members_for_all(Operation::kRead, kNow);
  EXPECT_EQ(one_gone->members.size(), 4U);
  EXPECT_EQ(one_gone->max_failures, 0U);
  desc.instances["i1"].heartbeat_s = kNow - 100;
  EXPECT_EQ(Picture(desc, {}).members_for_all(Operation::kRead, kNow).error().message(), "too many unhealthy instances in the ring");
}

TEST(Picture, ReadsCountMembersThatAreNotKnownYetAsMissing) {
  EXPECT_EQ(Picture(ring_of(3), {}).members_for_all(Operation::kRead, kNow)->max_failures, 1U);
  EXPECT_EQ(Picture(ring_of(2), {}).members_for_all(Operation::kRead, kNow)->max_failures, 0U);
  EXPECT_EQ(Picture(ring_of(1), {}).members_for_all(Operation::kRead, kNow).error().message(), "too many unhealthy instances in the ring");
  EXPECT_EQ(Picture(ring_of(1), {.replication_factor = 1}).members_for_all(Operation::kRead, kNow)->max_failures, 0U);
}

TEST(Picture, ReadsLeaveOutAFailingZone) {
  Desc desc = ring_of(6, 3);
  desc.instances["i0"].heartbeat_s = kNow - 100;   // zone z0: i0 and i3
  const Picture picture(desc, {.zone_awareness = true});   // outlives what it hands out
  const auto set = picture.members_for_all(Operation::kRead, kNow);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(ids(set->members), (std::vector<std::string>{"i1", "i2", "i4", "i5"}));
  EXPECT_EQ(set->max_failing_zones, 0U);
  desc.instances["i1"].heartbeat_s = kNow - 100;
  EXPECT_FALSE(Picture(desc, {.zone_awareness = true}).members_for_all(Operation::kRead, kNow).ok());
}

// Any quorum of writes meets any read set with the tolerated number missing.
TEST(Picture, ReadsMeetWrites) {
  SeededRandom random(3);
  for (int round = 0; round < 300; ++round) {
    const int members = 3 + static_cast<int>(random.next_u64() % 4);
    Desc desc = ring_of(members);
    std::map<std::string, bool> down;
    if (random.next_u64() % 2 == 0) desc.instances["i" + std::to_string(random.next_u64() % static_cast<std::uint64_t>(members))].heartbeat_s = kNow - 100;
    const Picture at_write(desc, {});
    const auto token = static_cast<std::uint32_t>(random.next_u64());
    const auto write = at_write.members_for(token, Operation::kWrite, kNow);
    ASSERT_TRUE(write.ok());
    // The slowest acknowledgement that counts: just min_success of the members have it.
    std::set<std::string> have;
    for (std::size_t i = 0; i < write->min_success; ++i) have.insert(write->members[(round + i) % write->members.size()]->id);
    const auto read = at_write.members_for_all(Operation::kRead, kNow);
    ASSERT_TRUE(read.ok());
    std::size_t answering = 0;
    for (const Instance* one : read->members) answering += have.contains(one->id) ? 1 : 0;
    EXPECT_GT(answering, read->max_failures);
  }
}

TEST(Picture, OwnershipSumsToOne) {
  double sum = 0;
  for (const auto& [id, share] : Picture(ring_of(3), {}).ownership()) {
    EXPECT_GT(share, 0.15);
    sum += share;
  }
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_EQ(Picture(ring_of(1, 0, 1), {}).ownership().front().second, 1.0);
}

TEST(Picture, ShuffleShardsAreStable) {
  const Picture before(ring_of(10), {}), after(ring_of(11), {});
  int moved = 0;
  for (int tenant = 0; tenant < 100; ++tenant) {
    const std::string name = "tenant-" + std::to_string(tenant);
    const auto a = ids(before.shuffle_shard(name, 3)), b = ids(after.shuffle_shard(name, 3));
    EXPECT_EQ(a.size(), 3U);
    EXPECT_EQ(a, ids(before.shuffle_shard(name, 3)));
    std::set<std::string> both(a.begin(), a.end());
    both.insert(b.begin(), b.end());
    EXPECT_LE(both.size(), 4U);   // at most one place moved
    moved += both.size() == 4 ? 1 : 0;
  }
  EXPECT_GT(moved, 5);
  EXPECT_EQ(before.shuffle_shard("x", 0).size(), 10U);
  EXPECT_EQ(Picture(ring_of(6, 3), {.zone_awareness = true}).shuffle_shard("x", 3).size(), 3U);
}

TEST(Ring, FollowsTheStore) {
  obs::Registry registry;
  const auto kv = make_memory_kv();
  Ring ring(*kv, {}, registry);
  ASSERT_TRUE(ring.wait_until_known({}).ok());
  EXPECT_TRUE(ring.picture()->desc().instances.empty());
  ASSERT_TRUE(kv->update("collectors/ring", [](Desc& desc) -> Result<bool> {
                  desc = ring_of(3);
                  desc.instances["i2"].state = InstanceState::kLeft;
                  return true;
                }, {}).ok());
  while (ring.picture()->desc().instances.size() != 2) std::this_thread::yield();
  ASSERT_TRUE(ring.forget("i0", {}).ok());
  while (ring.picture()->desc().instances.size() != 1) std::this_thread::yield();
}

// What a ring makes of heartbeats whose clocks disagree with ours.
class Steps : public ::testing::Test {
 protected:
  void SetUp() override { ring_ = std::make_unique<Ring>(*kv_, RingOptions{}, registry_, clock_); }
  // All members of `beats` say that; waits until the ring has heard it.
  void tell(const std::map<std::string, std::int64_t>& beats) {
    ASSERT_TRUE(kv_->update("collectors/ring", [&](Desc& desc) -> Result<bool> {
                    for (const auto& [id, beat_s] : beats) {
                      Instance& one = desc.instances[id];
                      one.id = id, one.heartbeat_s = beat_s;
                    }
                    return true;
                  }, {}).ok());
    const auto heard = [&] {
      const auto picture = ring_->picture();
      return std::all_of(beats.begin(), beats.end(), [&](const auto& beat) {
        const auto at = picture->desc().instances.find(beat.first);
        return at != picture->desc().instances.end() && at->second.heartbeat_s == beat.second;
      });
    };
    for (int i = 0; i < 5'000 && !heard(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_TRUE(heard());
  }
  bool healthy(const std::string& id) {
    const auto picture = ring_->picture();
    return picture->heard_of(picture->desc().instances.at(id), ring_->now_s());
  }
  std::int64_t now_s() { return clock_.now_ns() / kNanosPerSecond; }
  // Time passes, and somebody else speaks: where all are silent it would not count.
  void pass_s(std::int64_t seconds) {
    for (; seconds > 0; seconds -= 10) {
      clock_.pass_ns(std::min<std::int64_t>(seconds, 10) * kNanosPerSecond);
      tell({{"keeper", ++keeper_s_}});
    }
  }
  void pass_in_silence_s(std::int64_t seconds) { clock_.pass_ns(seconds * kNanosPerSecond); }

  SteppingClock clock_;
  obs::Registry registry_;
  std::unique_ptr<KvStore> kv_ = make_memory_kv();
  std::unique_ptr<Ring> ring_;
  std::int64_t keeper_s_ = kNow;
};

// The store is away, and takes everybody's heartbeats along.
TEST_F(Steps, OfSilenceOnAllSidesBuryNobody) {
  tell({{"a", now_s()}, {"b", now_s()}});
  pass_s(40);
  tell({{"a", now_s()}});
  pass_in_silence_s(600);
  EXPECT_FALSE(healthy("b"));    // silent while the others spoke: 40 s, and half a timeout more
  EXPECT_TRUE(healthy("a"));
  tell({{"a", now_s()}});
  EXPECT_TRUE(healthy("a"));
  EXPECT_TRUE(healthy("b"));     // 40 s of the time that counts
  pass_s(10);
  EXPECT_TRUE(healthy("b"));
  pass_s(20);
  EXPECT_FALSE(healthy("b"));
  EXPECT_TRUE(healthy("a"));
}

TEST_F(Steps, OfOurClockChangeNothing) {
  for (const std::int64_t step_ns : {kNanosPerHour, -2 * kNanosPerHour, kNanosPerHour}) {
    const std::int64_t beat_s = ring_->now_s();
    tell({{"b", beat_s}});
    clock_.step_ns(step_ns);
    EXPECT_TRUE(healthy("b"));
    pass_s(60);
    EXPECT_TRUE(healthy("b"));
    pass_s(1);
    EXPECT_FALSE(healthy("b"));   // it fell silent
    tell({{"b", beat_s + 61}});
    EXPECT_TRUE(healthy("b"));
  }
}

TEST_F(Steps, OneWhoseClockIsLateIsAliveOnceItWasSeenToBeat) {
  std::int64_t late_s = now_s() - 3600;
  tell({{"late", late_s}, {"dead", late_s}});
  EXPECT_FALSE(healthy("late"));
  pass_s(5);
  tell({{"late", late_s += 5}});
  EXPECT_FALSE(healthy("late"));   // may be old news
  pass_s(5);
  tell({{"late", late_s += 5}});
  EXPECT_TRUE(healthy("late"));
  EXPECT_FALSE(healthy("dead"));
  pass_s(60);
  EXPECT_TRUE(healthy("late"));
  pass_s(1);
  EXPECT_FALSE(healthy("late"));
}

TEST_F(Steps, OneWhoseClockIsAheadIsNotAliveForAnHourAfterItsDeath) {
  tell({{"ahead", now_s() + 3600}});
  EXPECT_TRUE(healthy("ahead"));
  pass_s(30);
  tell({{"ahead", now_s() + 3600}});
  pass_s(30);
  tell({{"ahead", now_s() + 3600}});
  pass_s(60);
  EXPECT_TRUE(healthy("ahead"));
  pass_s(1);
  EXPECT_FALSE(healthy("ahead"));
}

TEST_F(Steps, AHeartbeatThatGoesBackIsAStepOfItsClock) {
  tell({{"b", now_s()}});
  tell({{"b", now_s() - 3600}});
  EXPECT_FALSE(healthy("b"));
  tell({{"b", now_s() - 3595}});
  tell({{"b", now_s() - 3590}});
  EXPECT_TRUE(healthy("b"));
}

TEST_F(Steps, WhoFellSilentIsCounted) {
  tell({{"b", now_s()}, {"c", now_s()}});
  const auto has = [&](const std::string& text) { return registry_.expose_text().find(text) != std::string::npos; };
  EXPECT_TRUE(has("loki_ring_members{name=\"ingester\",state=\"ACTIVE\"} 2"));
  EXPECT_TRUE(has("loki_ring_oldest_member_timestamp{name=\"ingester\",state=\"ACTIVE\"} 1.7e+09") || has("state=\"ACTIVE\"} 1700000000"));
  EXPECT_TRUE(has("loki_ring_tokens_total{name=\"ingester\"} 0"));
  pass_s(60);
  pass_in_silence_s(10);
  ring_->picture();
  EXPECT_TRUE(has("loki_ring_members{name=\"ingester\",state=\"ACTIVE\"} 1"));
  EXPECT_TRUE(has("loki_ring_members{name=\"ingester\",state=\"Unhealthy\"} 2"));
  EXPECT_TRUE(has("loki_ring_member_ownership_percent{member=\"b\",name=\"ingester\"}"));
  ASSERT_TRUE(ring_->forget("b", {}).ok());
  for (int i = 0; i < 5'000 && ring_->picture()->desc().instances.contains("b"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (int i = 0; i < 5'000 && has("member=\"b\""); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_FALSE(has("member=\"b\""));
}

TEST_F(Steps, OneThatIsForgottenAndComesBackIsNew) {
  tell({{"b", now_s() + 3600}, {"c", now_s()}});
  pass_s(61);
  EXPECT_FALSE(healthy("b"));
  ASSERT_TRUE(ring_->forget("b", {}).ok());
  for (int i = 0; i < 5'000 && ring_->picture()->desc().instances.contains("b"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  tell({{"b", now_s()}});
  EXPECT_TRUE(healthy("b"));
}

}  // namespace
}  // namespace skald::ring
