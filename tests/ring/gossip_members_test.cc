#include <gtest/gtest.h>

#include "ring/broadcasts.h"
#include "ring/gossip_values.h"
#include "ring/members.h"

namespace skald::ring::gossip {
namespace {

constexpr std::int64_t kProbe = 5 * kNanosPerSecond;

Endpoint at(std::uint16_t port) {
  Endpoint out{.ip = {}, .port = port};
  parse_ip("10.0.0.1", out.ip);
  return out;
}

Members make(std::int64_t reclaim_ns = 0) {
  return Members(Member{.name = "me", .at = at(1), .meta = {}, .incarnation = 1, .suspicion = {}},
                 {.probe_interval_ns = kProbe, .dead_gossip_ns = 30 * kNanosPerSecond, .reclaim_ns = reclaim_ns}, 0);
}
Alive alive(const std::string& node, std::uint32_t incarnation, std::uint16_t port = 2) {
  return {.incarnation = incarnation, .node = node, .at = at(port), .meta = {}, .versions = kOurVersions};
}
std::size_t told(Members& members) {
  std::vector<Bytes> out;
  std::size_t room = 1 << 20;
  members.queue.take(2, room, 1, out);
  return out.size();
}

TEST(Members, OnlyNewsIsTakenAndToldOn) {
  Members members = make();
  EXPECT_EQ(told(members), 1U);   // itself
  members.hear(alive("a", 0), 0);
  EXPECT_EQ(members.find("a")->state, NodeState::kAlive);
  EXPECT_EQ(told(members), 1U);
  members.hear(alive("a", 0), 0);
  EXPECT_EQ(told(members), 0U);
  members.hear(alive("a", 1), 0);
  EXPECT_EQ(told(members), 1U);
  members.hear(Suspect{.incarnation = 0, .node = "a", .from = "b"}, 0);
  EXPECT_EQ(members.find("a")->state, NodeState::kAlive);
  members.hear(Suspect{.incarnation = 1, .node = "nobody", .from = "b"}, 0);
  EXPECT_EQ(members.all().size(), 2U);
}

TEST(Members, ASuspectDiesUnlessItObjects) {
  Members members = make();
  members.hear(alive("a", 1), 0);
  members.hear(Suspect{.incarnation = 1, .node = "a", .from = "me"}, 0);
  EXPECT_EQ(members.find("a")->state, NodeState::kSuspect);
  members.hear(alive("a", 2), 1);
  EXPECT_EQ(members.find("a")->state, NodeState::kAlive);
  members.hear(Suspect{.incarnation = 2, .node = "a", .from = "me"}, 0);
  members.pass_time(4 * kProbe - 1);   // two members: nobody could confirm
  EXPECT_EQ(members.find("a")->state, NodeState::kSuspect);
  members.pass_time(4 * kProbe);
  EXPECT_EQ(members.find("a")->state, NodeState::kDead);
  members.hear(alive("a", 2), 4 * kProbe);
  EXPECT_EQ(members.find("a")->state, NodeState::kDead);
  members.hear(alive("a", 3), 4 * kProbe);
  EXPECT_EQ(members.find("a")->state, NodeState::kAlive);
}

TEST(Members, ConfirmationsShortenSuspicion) {
  Members members = make();
  for (int i = 0; i < 6; ++i) members.hear(alive("n" + std::to_string(i), 1, static_cast<std::uint16_t>(10 + i)), 0);
  members.hear(Suspect{.incarnation = 1, .node = "n0", .from = "me"}, 0);
  const std::int64_t alone = members.find("n0")->suspicion->deadline_ns();
  EXPECT_EQ(alone, 24 * kProbe);
  members.hear(Suspect{.incarnation = 1, .node = "n0", .from = "me"}, 0);
  EXPECT_EQ(members.find("n0")->suspicion->deadline_ns(), alone);
  members.hear(Suspect{.incarnation = 1, .node = "n0", .from = "n1"}, 0);
  const std::int64_t two = members.find("n0")->suspicion->deadline_ns();
  EXPECT_LT(two, alone);
  members.hear(Suspect{.incarnation = 1, .node = "n0", .from = "n2"}, 0);
  EXPECT_EQ(members.find("n0")->suspicion->deadline_ns(), 4 * kProbe);
}

TEST(Members, WhatIsSaidOfThisOneIsRefuted) {
  Members members = make();
  members.hear(Suspect{.incarnation = 1, .node = "me", .from = "b"}, 0);
  EXPECT_EQ(members.self().state, NodeState::kAlive);
  EXPECT_EQ(members.self().incarnation, 2U);
  members.hear(Dead{.incarnation = 9, .node = "me", .from = "b"}, 0);
  EXPECT_EQ(members.self().incarnation, 10U);
  members.hear(Dead{.incarnation = 9, .node = "me", .from = "b"}, 0);   // old news
  EXPECT_EQ(members.self().incarnation, 10U);
  members.hear(alive("me", 12, 99), 0);
  EXPECT_EQ(members.self().incarnation, 13U);
  EXPECT_EQ(members.self().at, at(1));
  EXPECT_EQ(members.refuted, 3);
}

TEST(Members, LeavingIsNotDying) {
  Members members = make();
  members.hear(alive("a", 4), 0);
  members.hear(Dead{.incarnation = 4, .node = "a", .from = "a"}, 0);
  EXPECT_EQ(members.find("a")->state, NodeState::kLeft);
  EXPECT_FALSE(members.takes_gossip(*members.find("a"), 0));
  members.hear(alive("a", 1, 7), 0);   // the name may come back elsewhere, and begin anew
  EXPECT_EQ(members.find("a")->state, NodeState::kAlive);
  members.leave(0);
  EXPECT_EQ(members.self().state, NodeState::kLeft);
  members.hear(alive("me", 50), 0);
  EXPECT_EQ(members.self().state, NodeState::kLeft);
}

TEST(Members, ADeadNameStaysWhereItWasUntilReclaimed) {
  Members members = make(kNanosPerMinute);
  members.hear(alive("a", 4), 0);
  members.hear(Dead{.incarnation = 4, .node = "a", .from = "b"}, 0);
  members.hear(alive("a", 9, 7), kNanosPerSecond);
  EXPECT_EQ(members.find("a")->state, NodeState::kDead);
  members.hear(alive("a", 1, 7), kNanosPerMinute + 1);
  EXPECT_EQ(members.find("a")->at, at(7));
  EXPECT_EQ(members.find("a")->state, NodeState::kAlive);
}

TEST(Members, AStateOnlyMakesSuspects) {
  Members members = make();
  members.hear(alive("a", 1), 0);
  members.hear({PeerState{.name = "a", .at = at(2), .meta = {}, .incarnation = 1, .state = NodeState::kDead},
                PeerState{.name = "b", .at = at(3), .meta = {}, .incarnation = 5, .state = NodeState::kAlive},
                PeerState{.name = "c", .at = at(4), .meta = {}, .incarnation = 5, .state = NodeState::kLeft}},
               0);
  EXPECT_EQ(members.find("a")->state, NodeState::kSuspect);
  EXPECT_EQ(members.find("b")->state, NodeState::kAlive);
  EXPECT_EQ(members.find("c"), nullptr);
  EXPECT_EQ(members.living(), 3U);
}

TEST(Members, TheLongDeadAreForgotten) {
  Members members = make();
  members.hear(alive("a", 1), 0);
  members.hear(Dead{.incarnation = 1, .node = "a", .from = "b"}, 0);
  members.pass_time(30 * kNanosPerSecond);
  EXPECT_NE(members.find("a"), nullptr);
  members.pass_time(31 * kNanosPerSecond);
  EXPECT_EQ(members.find("a"), nullptr);
}

TEST(Broadcasts, TheLeastToldGoFirstAndTheNewReplaceTheOld) {
  Broadcasts queue;
  queue.push("k", {"a"}, "old a");
  queue.push("k", {"a", "b"}, "a and b");
  queue.push("k", {"b"}, "b");
  queue.push("j", {"a"}, "other topic");
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_EQ(queue.bytes(), 19U);
  std::vector<Bytes> out;
  std::size_t room = 13;
  queue.take(2, room, 2, out);
  EXPECT_EQ(out, (std::vector<Bytes>{"other topic"}));
  EXPECT_EQ(room, 0U);
  out.clear();
  room = 1000;
  queue.take(2, room, 2, out);
  EXPECT_EQ(out, (std::vector<Bytes>{"b", "a and b", "other topic"}));
  out.clear();
  queue.take(2, room, 2, out);
  EXPECT_EQ(out.size(), 2U);
  EXPECT_EQ(queue.size(), 0U);
  EXPECT_EQ(queue.bytes(), 0U);
}

TEST(Broadcasts, AFullQueueLosesTheMostTold) {
  Broadcasts queue;
  for (std::size_t i = 0; i < Broadcasts::kItemsMax; ++i) EXPECT_TRUE(queue.push("t" + std::to_string(i), {}, "m"));
  EXPECT_FALSE(queue.push("more", {}, "m"));
  EXPECT_EQ(queue.size(), Broadcasts::kItemsMax);
  EXPECT_EQ(tell_times(4, 1), 4);
  EXPECT_EQ(tell_times(4, 9), 4);
  EXPECT_EQ(tell_times(4, 10), 8);
}

struct ValuesFixture : testing::Test {
  FakeClock clock;
  obs::Registry registry, other_registry;
  ValuesOptions options{.tombstone_ns = 5 * kNanosPerMinute, .deleted_ns = 30 * kNanosPerSecond, .clock = &clock};
  GossipValues ours{options, registry}, theirs{options, other_registry};
  std::int64_t now_s() const { return clock.now_ns() / kNanosPerSecond; }
  void put(GossipValues& values, const std::string& id, std::vector<std::uint32_t> tokens) {
    ASSERT_TRUE(values.update("r", [&](Desc& desc) -> Result<bool> {
      desc.instances[id] = {.id = id, .address = id + ":1", .zone = {}, .heartbeat_s = now_s(), .tokens = tokens, .versions = {}};
      return true;
    }, {}).ok());
  }
  // Returns how many pieces went over.
  static int deliver(GossipValues& from, GossipValues& to) {
    std::vector<Bytes> out;
    std::size_t room = 1 << 20;
    from.take_broadcasts(2, room, 1, out);
    for (const Bytes& message : out) EXPECT_TRUE(to.hear(decode_key_value(ByteView(message).substr(1)).value()).ok());
    return static_cast<int>(out.size());
  }
};
using GossipValuesTest = ValuesFixture;

TEST_F(GossipValuesTest, OnlyChangedInstancesAreTold) {
  put(ours, "a", {1});
  EXPECT_EQ(deliver(ours, theirs), 1);
  EXPECT_EQ(deliver(theirs, ours), 1);   // told on
  EXPECT_EQ(deliver(ours, theirs), 0);   // nothing new in it
  put(ours, "b", {2});
  std::vector<Bytes> out;
  std::size_t room = 1 << 20;
  ours.take_broadcasts(2, room, 1, out);
  ASSERT_EQ(out.size(), 1U);
  const KeyValue news = decode_key_value(ByteView(out[0]).substr(1)).value();
  EXPECT_EQ(news.codec, "ringDesc");
  EXPECT_EQ(news.updated_ms, clock.now_ns() / kNanosPerMilli);
  const Desc change = decode(news.value).value();
  EXPECT_EQ(change.instances.size(), 1U);
  EXPECT_TRUE(change.instances.contains("b"));
  ASSERT_TRUE(theirs.hear(news).ok());
  EXPECT_EQ(theirs.get("r", {}).value(), ours.get("r", {}).value());
}

TEST_F(GossipValuesTest, WhoIsErasedLeavesATombstoneForAWhile) {
  put(ours, "a", {1});
  put(ours, "b", {2});
  deliver(ours, theirs);
  clock.advance_ns(kNanosPerSecond);
  ASSERT_TRUE(ours.update("r", [](Desc& desc) -> Result<bool> { return desc.instances.erase("a") > 0; }, {}).ok());
  deliver(ours, theirs);
  EXPECT_FALSE(theirs.get("r", {}).value().instances.contains("a"));
  EXPECT_EQ(theirs.values().at(0).desc.instances.at("a").state, InstanceState::kLeft);
  clock.advance_ns(6 * kNanosPerMinute);
  const auto late = split_state(theirs.state()).value();
  ours.pass_time();
  EXPECT_FALSE(ours.values().at(0).desc.instances.contains("a"));
  ASSERT_TRUE(ours.hear(late.at(0)).ok());   // a peer that did not forget yet does not bring it back
  EXPECT_FALSE(ours.values().at(0).desc.instances.contains("a"));
}

TEST_F(GossipValuesTest, AChangeThatMeetsNewsBeginsAnew) {
  put(ours, "a", {1});
  put(theirs, "b", {2});
  int runs = 0;
  ASSERT_TRUE(ours.update("r", [&](Desc& desc) -> Result<bool> {
    if (++runs == 1) deliver(theirs, ours);
    desc.instances["a"].tokens = {1, static_cast<std::uint32_t>(100 + desc.instances.size())};
    return true;
  }, {}).ok());
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(ours.get("r", {}).value().instances.at("a").tokens, (std::vector<std::uint32_t>{1, 102}));
  int endless = 0;
  const auto failed = ours.update("r", [&](Desc& desc) -> Result<bool> {
    put(ours, "c", {static_cast<std::uint32_t>(1000 + ++endless)});
    clock.advance_ns(kNanosPerSecond);
    desc.instances.erase("a");
    return true;
  }, {});
  EXPECT_EQ(failed.error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(endless, 10);
}

TEST_F(GossipValuesTest, WhatIsNotUnderstoodChangesNothing) {
  put(ours, "a", {1});
  const Bytes before = ours.state();
  EXPECT_EQ(ours.hear({.key = "r", .value = "x", .codec = "partitionRingDesc"}).error().code(), ErrorCode::kUnimplemented);
  EXPECT_EQ(ours.hear({.key = "r", .value = "\xff\xff\xff", .codec = "ringDesc"}).error().code(), ErrorCode::kCorruption);
  EXPECT_FALSE(ours.hear({.key = "", .value = {}, .codec = "ringDesc"}).ok());
  EXPECT_EQ(ours.state(), before);
}

TEST_F(GossipValuesTest, DeletedKeysStayAwayFromOldNews) {
  put(ours, "a", {1});
  const KeyValue old = split_state(ours.state()).value().at(0);
  ASSERT_TRUE(ours.hear({.key = "r", .value = {}, .codec = "ringDesc", .deleted = true, .updated_ms = old.updated_ms + 1}).ok());
  EXPECT_TRUE(ours.values().empty());
  ASSERT_TRUE(ours.hear(old).ok());
  EXPECT_TRUE(ours.get("r", {}).value().instances.empty());
  clock.advance_ns(kNanosPerSecond);
  put(ours, "b", {1});
  EXPECT_EQ(ours.values().size(), 1U);
}

TEST_F(GossipValuesTest, WatchesSeeThePresentAndThenChanges) {
  put(ours, "a", {1});
  std::mutex mutex;
  std::condition_variable wake;
  std::size_t seen = 0;
  const auto watch = ours.watch("r", [&](const Desc& desc) {
    const std::lock_guard lock(mutex);
    seen = desc.instances.size();
    wake.notify_all();
  });
  std::unique_lock lock(mutex);
  ASSERT_TRUE(wake.wait_for(lock, std::chrono::seconds(20), [&] { return seen == 1; }));
  lock.unlock();
  put(ours, "b", {2});
  lock.lock();
  ASSERT_TRUE(wake.wait_for(lock, std::chrono::seconds(20), [&] { return seen == 2; }));
}

}  // namespace
}  // namespace skald::ring::gossip
