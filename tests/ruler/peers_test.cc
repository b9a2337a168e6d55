#include "skald/ruler/peers.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "doubles.h"
#include "ruler/states_wire.h"
#include "skald/objstore/stores.h"

namespace skald::ruler {
namespace {

std::vector<GroupStatus> some_states() {
  GroupStatus group{.name_space = "ns", .name = "g", .interval_ns = kNanosPerMinute, .limit = 7, .rules = {}, .last_evaluation_ns = 123, .evaluation_ns = 45};
  RuleStatus alerting;
  alerting.rule.alert = "A", alerting.rule.expr = "vector(1) > 0", alerting.rule.for_ns = 5, alerting.rule.keep_firing_for_ns = 6;
  alerting.rule.labels = {{"severity", "page"}, {"empty", ""}}, alerting.rule.annotations = {{"summary", "a \xff byte"}};
  alerting.health = "err", alerting.last_error = "why", alerting.state = AlertState::kFiring, alerting.last_evaluation_ns = 99, alerting.evaluation_ns = 1;
  for (const double value : {1.5, -0.0, std::numeric_limits<double>::infinity()}) {
    ActiveAlert alert;
    alert.labels = labels({{"alertname", "A"}, {"value", std::to_string(value)}});
    alert.annotations = labels({{"summary", "x"}});
    alert.state = AlertState::kFiring;
    alert.value = value;
    alert.active_at_ns = -1, alert.fired_at_ns = 2, alert.resolved_at_ns = 3, alert.keep_firing_since_ns = 4, alert.last_sent_ns = 5, alert.valid_until_ns = INT64_MAX;
    alerting.alerts.push_back(alert);
  }
  RuleStatus recording;
  recording.rule.record = "r", recording.rule.expr = "vector(2)";
  group.rules = {alerting, recording};
  return {group, GroupStatus{}};
}

TEST(StatesWire, RoundTrips) {
  const Bytes bytes = encode_states(some_states());
  const auto back = decode_states(bytes);
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(encode_states(*back), bytes);
  ASSERT_EQ(back->size(), 2U);
  const RuleStatus& rule = back->at(0).rules.at(0);
  EXPECT_EQ(rule.rule.labels.at("severity"), "page");
  EXPECT_EQ(rule.alerts.at(0).labels, labels({{"alertname", "A"}, {"value", "1.500000"}}));
  EXPECT_EQ(rule.alerts.at(0).valid_until_ns, INT64_MAX);
  EXPECT_EQ(rule.last_error, "why");
  EXPECT_EQ(back->at(0).rules.at(1).rule.record, "r");
  EXPECT_EQ(back->at(0).rules.at(1).health, "unknown");
}

TEST(StatesWire, WhatIsCutOffIsNotReadAsMore) {
  const Bytes bytes = encode_states(some_states());
  std::size_t read = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto cut = decode_states(ByteView(bytes).substr(0, size));
    if (!cut.ok()) continue;
    ++read;
    EXPECT_LE(cut->size(), 1U) << size;   // whole groups only
  }
  EXPECT_EQ(read, 2U);   // nothing, and the first group
}

TEST(StatesWire, DamageIsRefusedOrHarmless) {
  const Bytes whole = encode_states(some_states());
  std::mt19937 random(7);
  int refused = 0;
  for (int i = 0; i < 3'000; ++i) {
    Bytes bytes = whole;
    for (int k = 0; k < 3; ++k) bytes[random() % bytes.size()] ^= static_cast<char>(1U << random() % 8);
    const auto read = decode_states(bytes);
    if (!read.ok()) ++refused;
    else EXPECT_LE(encode_states(*read).size(), 4 * whole.size());
  }
  EXPECT_GT(refused, 100);
}

// Rulers of one installation: a ring in memory, a rule store they share, a server each.
class PeersTest : public testing::Test {
 protected:
  struct Node {
    Node(PeersTest& test, const std::string& name) : id(name), ring(*test.kv_, ring::RingOptions{.key = "rulers", .name = "ruler", .replication_factor = 1}, registry, test.clock_) {
      server = std::make_unique<http::Server>(http::ServerOptions{.listen_address = "127.0.0.1", .port = 0, .io_threads = 1}, pool, registry);
      peers = std::make_unique<Peers>(ring, *client, PeersOptions{.own_id = id, .timeout_ns = 5 * kNanosPerSecond}, registry);
      RulerDeps deps{test.store_, *test.files_, queries, alerts, nullptr, registry, test.clock_};
      peers->share(deps);
      ruler = std::make_unique<Ruler>(std::move(deps), RulerOptions{});
      peers->set_local(*ruler);
      peers->add_routes(*server);
      EXPECT_TRUE(server->start().ok());
      address = "127.0.0.1:" + std::to_string(server->port());
    }
    ~Node() { server->stop(1000); }
    std::set<std::string> groups(const std::string& tenant) const {
      std::set<std::string> out;
      for (const GroupStatus& group : ruler->status(tenant)) out.insert(group.name);
      return out;
    }

    const std::string id;
    obs::Registry registry;
    exec::Pool pool{"http", 2};
    std::unique_ptr<http::Client> client = http::Client::create({.proxy = "none"}).value();
    ring::Ring ring;
    FakeQueries queries;
    FakeAlerts alerts;
    std::unique_ptr<http::Server> server;
    std::unique_ptr<Peers> peers;
    std::unique_ptr<Ruler> ruler;
    std::string address;
  };

  void SetUp() override {
    for (const char* id : {"r0", "r1", "r2"}) nodes_.push_back(std::make_unique<Node>(*this, id));
    for (const auto& node : nodes_) set(*node, ring::InstanceState::kActive);
  }
  // Writes a node's entry and waits until all have heard of it.
  void set(const Node& node, ring::InstanceState state) {
    ++beat_s_;
    ASSERT_TRUE(kv_->update("rulers", [&](ring::Desc& desc) -> Result<bool> {
                    ring::Instance& one = desc.instances[node.id];
                    one.id = node.id, one.address = node.address, one.state = state, one.heartbeat_s = beat_s_;
                    std::mt19937 random(static_cast<unsigned>(node.id.back()));
                    one.tokens.clear();
                    for (int i = 0; i < 64; ++i) one.tokens.push_back(random());
                    std::sort(one.tokens.begin(), one.tokens.end());
                    return true;
                  }, {}).ok());
    for (const auto& other : nodes_)
      wait_for([&] {
        const auto picture = other->ring.picture();
        const auto at = picture->desc().instances.find(node.id);
        return at != picture->desc().instances.end() && at->second.heartbeat_s == beat_s_;
      });
  }
  static void wait_for(const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_TRUE(condition());
  }
  void put(const std::string& tenant, const std::string& name, const std::string& expr = "vector(1)", std::int64_t for_ns = 0) {
    Rule rule;
    rule.alert = "A", rule.expr = expr, rule.for_ns = for_ns;
    RuleGroup group;
    group.name = name, group.rules = {rule};
    CallContext ctx;
    ctx.tenant = tenant;
    ASSERT_TRUE(store_.set(ctx, "ns", group).ok());
  }
  void sync() {
    for (const auto& node : nodes_) ASSERT_TRUE(node->ruler->sync().ok());
  }
  void pass_minute() {
    clock_.advance_ns(kNanosPerMinute);
    beat_s_ += 60;
    for (const auto& node : nodes_) node->ruler->run_due();
  }
  Node& owner(const std::string& tenant, const std::string& group) {
    Node* found = nullptr;
    for (const auto& node : nodes_)
      if (node->peers->owns(tenant, "ns", group)) {
        EXPECT_EQ(found, nullptr);
        found = node.get();
      }
    EXPECT_NE(found, nullptr);
    return *found;
  }
  static CallContext of(const std::string& tenant) {
    CallContext ctx;
    ctx.tenant = tenant;
    return ctx;
  }

  FakeClock clock_;
  std::int64_t beat_s_ = 1'700'000'000;
  std::unique_ptr<ring::KvStore> kv_ = ring::make_memory_kv();
  std::unique_ptr<objstore::ObjectStore> objects_ = objstore::make_memory_store();
  RuleStore store_{*objects_};
  std::unique_ptr<io::FileSystem> files_ = io::make_memory_file_system();
  std::vector<std::unique_ptr<Node>> nodes_;
};

TEST_F(PeersTest, EachGroupHasOneOwnerAndEachRulerKnowsAll) {
  std::set<std::string> all;
  for (int i = 0; i < 30; ++i) {
    all.insert("g" + std::to_string(i));
    put("t", "g" + std::to_string(i));
  }
  put("other", "secret");
  sync();
  std::set<std::string> seen;
  std::size_t total = 0;
  for (const auto& node : nodes_) {
    const auto mine = node->groups("t");
    EXPECT_GT(mine.size(), 2U) << node->id;
    total += mine.size();
    seen.insert(mine.begin(), mine.end());
    for (const std::string& name : mine) EXPECT_EQ(&owner("t", name), node.get());
  }
  EXPECT_EQ(total, 30U);
  EXPECT_EQ(seen, all);
  pass_minute();
  for (const auto& node : nodes_) {
    const auto status = node->peers->status(of("t"));
    ASSERT_TRUE(status.ok()) << status.error().message();
    ASSERT_EQ(status->size(), 30U);
    EXPECT_EQ(status->at(0).name, "g0");
    for (const GroupStatus& group : *status) EXPECT_EQ(group.rules.at(0).health, "ok") << group.name;
  }
}

TEST_F(PeersTest, ARulerThatDoesNotAnswerIsNamed) {
  put("t", "g");
  sync();
  nodes_[2]->server->stop(0);
  const auto status = nodes_[0]->peers->status(of("t"));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(status.error().message().find("unable to retrieve rules from ruler r2 (http://127.0.0.1:"), std::string::npos) << status.error().message();
  // Gone from the ring: the others have all there is.
  set(*nodes_[2], ring::InstanceState::kLeaving);
  sync();
  EXPECT_EQ(nodes_[0]->peers->status(of("t"))->size(), 1U);
}

TEST_F(PeersTest, AnAlertGoesOnWhenItsGroupMoves) {
  put("t", "g", "vector(1)", 2 * kNanosPerMinute);
  sync();
  Node& before = owner("t", "g");
  for (const auto& node : nodes_) node->queries.answers["vector(1)"] = {{labels({{"app", "x"}}), 1}};
  for (int i = 0; i < 4; ++i) pass_minute();
  ASSERT_EQ(before.ruler->status("t").at(0).rules.at(0).state, AlertState::kFiring);
  const ActiveAlert alert = before.ruler->status("t").at(0).rules.at(0).alerts.at(0);
  ASSERT_FALSE(before.alerts.sent.empty());
  for (const auto& node : nodes_) set(*node, ring::InstanceState::kActive);   // heartbeats
  const std::uint64_t version = before.peers->version();
  set(before, ring::InstanceState::kLeaving);
  EXPECT_NE(before.peers->version(), version);
  ASSERT_TRUE(before.ruler->sync().ok());   // it lets go first: a new owner must still learn of it
  EXPECT_TRUE(before.groups("t").empty());
  EXPECT_EQ(before.ruler->former("t").size(), 1U);
  Node& after = owner("t", "g");
  ASSERT_NE(&after, &before);
  sync();
  const auto moved = after.ruler->status("t").at(0).rules.at(0);
  ASSERT_EQ(moved.alerts.size(), 1U);
  EXPECT_EQ(moved.state, AlertState::kFiring);
  EXPECT_EQ(moved.alerts[0].active_at_ns, alert.active_at_ns);
  EXPECT_EQ(moved.alerts[0].fired_at_ns, alert.fired_at_ns);
  const auto asked = after.queries.asked.size();
  for (int i = 0; i < 2; ++i) pass_minute();
  EXPECT_EQ(after.queries.asked.size(), asked + 2);   // and no question about the past
  ASSERT_FALSE(after.alerts.sent.empty());
  EXPECT_EQ(after.alerts.sent.back().second.starts_at_ns, alert.fired_at_ns);
  clock_.advance_ns(10 * kNanosPerMinute);
  beat_s_ += 600;
  for (const auto& node : nodes_) set(*node, node.get() == &before ? ring::InstanceState::kLeaving : ring::InstanceState::kActive);
  sync();
  EXPECT_TRUE(before.ruler->former("t").empty());   // not kept for ever
}

TEST_F(PeersTest, AGroupOfARulerThatIsGoneAsksItsOwnQueryWhatWas) {
  put("t", "g", "vector(1)", kNanosPerHour);
  sync();
  Node& before = owner("t", "g");
  for (const auto& node : nodes_) node->queries.answers["vector(1)"] = {{labels({{"app", "x"}}), 1}};
  before.server->stop(0);   // killed: nobody answers for it
  ASSERT_TRUE(kv_->update("rulers", [&](ring::Desc& desc) -> Result<bool> { return desc.instances.erase(before.id) != 0; }, {}).ok());
  for (const auto& node : nodes_) wait_for([&] { return !node->ring.picture()->desc().instances.contains(before.id); });
  Node& after = owner("t", "g");
  ASSERT_NE(&after, &before);
  ASSERT_TRUE(after.ruler->sync().ok());
  clock_.advance_ns(kNanosPerMinute);
  after.ruler->run_due();
  ASSERT_EQ(after.queries.asked.size(), 2U);   // now, and an hour before
  EXPECT_EQ(after.queries.asked[0].time_ns - after.queries.asked[1].time_ns, kNanosPerHour);
}

TEST_F(PeersTest, ANewGroupHasNoPast) {
  sync();
  put("t", "g", "vector(1)", kNanosPerHour);
  for (const auto& node : nodes_) node->queries.answers["vector(1)"] = {{labels({}), 1}};
  sync();
  pass_minute();
  EXPECT_EQ(owner("t", "g").queries.asked.size(), 1U);
}

TEST_F(PeersTest, WithoutTheRingsStoreEveryoneKeepsWhatIsTheirs) {
  for (int i = 0; i < 10; ++i) put("t", "g" + std::to_string(i));
  sync();
  std::vector<std::set<std::string>> mine;
  for (const auto& node : nodes_) mine.push_back(node->groups("t"));
  const std::uint64_t version = nodes_[0]->peers->version();
  clock_.advance_ns(10 * kNanosPerMinute);   // no heartbeat came through
  EXPECT_EQ(nodes_[0]->peers->version(), version);
  sync();
  for (std::size_t i = 0; i < nodes_.size(); ++i) EXPECT_EQ(nodes_[i]->groups("t"), mine[i]);
}

TEST_F(PeersTest, AChangeAtOneIsSeenByAll) {
  for (const auto& node : nodes_) node->ruler->start();
  const auto initial = [](Node& node) { return node.registry.expose_text().find("loki_ruler_sync_rules_total{reason=\"initial\"} 1") != std::string::npos; };
  for (const auto& node : nodes_) wait_for([&] { return initial(*node); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));   // those syncs are over, or the next sees the change anyway
  for (int i = 0; i < 12; ++i) put("t", "g" + std::to_string(i));
  nodes_[0]->peers->changed("t");
  wait_for([&] {
    std::size_t total = 0;
    for (const auto& node : nodes_) total += node->groups("t").size();
    return total == 12;
  });
  // And a ring that changes is seen without a poll.
  set(*nodes_[0], ring::InstanceState::kLeaving);
  wait_for([&] { return nodes_[0]->groups("t").empty() && nodes_[1]->groups("t").size() + nodes_[2]->groups("t").size() == 12; });
  EXPECT_NE(nodes_[1]->registry.expose_text().find("reason=\"ring-change\""), std::string::npos);
  for (const auto& node : nodes_) node->ruler->stop();
}

}  // namespace
}  // namespace skald::ruler
