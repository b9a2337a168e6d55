// Whole gossip nodes in one process, over real sockets on 127.0.0.1.
#include <gtest/gtest.h>

#include <thread>

#include "http/client_test_server.h"
#include "ring/gossip_node.h"

namespace skald::ring::gossip {
namespace {

// Which connections are lost, by port; from both ends.
class Cuts {
 public:
  void isolate(std::uint16_t port) { change([&] { isolated_.insert(port); }); }
  void heal() { change([&] { isolated_.clear(); }); }
  bool cut(std::uint16_t from, std::uint16_t to) const {
    const std::lock_guard lock(mutex_);
    return isolated_.contains(from) != isolated_.contains(to);
  }

 private:
  void change(const std::function<void()>& edit) {
    const std::lock_guard lock(mutex_);
    edit();
  }
  mutable std::mutex mutex_;
  std::set<std::uint16_t> isolated_;
};

struct Node {
  Node(const std::string& name, std::vector<std::string> join, Cuts* cuts = nullptr, const std::function<void(config::MemberlistConfig&, Tuning&)>& change = {}) {
    config::MemberlistConfig config;
    config.node_name = name;
    config.randomize_node_name = false;
    config.bind_addr = {"127.0.0.1"};
    config.bind_port = 0;
    config.gossip_interval = 20 * kNanosPerMilli;
    config.pull_push_interval = 500 * kNanosPerMilli;
    config.min_join_backoff = 50 * kNanosPerMilli;
    config.max_join_backoff = 200 * kNanosPerMilli;
    config.rejoin_interval = 300 * kNanosPerMilli;
    config.stream_timeout = 10 * kNanosPerSecond;         // the machine may be busy
    config.acquire_writer_timeout = 5 * kNanosPerSecond;
    config.join_members = std::move(join);
    Tuning tuning{.probe_interval_ns = 400 * kNanosPerMilli, .probe_timeout_ns = 150 * kNanosPerMilli};
    if (cuts != nullptr) tuning.cut = [this, cuts](const Endpoint& to) { return cuts->cut(port, to.port); };
    if (change) change(config, tuning);
    node = std::move(GossipNode::open(config, registry, tuning)).value();
    address = node->members().at(0).address;
    port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }
  std::map<std::string, std::string> states() const {
    std::map<std::string, std::string> out;
    for (const auto& member : node->members()) out[member.name] = member.state;
    return out;
  }
  Result<void> put(const std::string& id, std::int64_t heartbeat_s) const {
    return node->kv().update("collectors/ring", [&](Desc& desc) -> Result<bool> {
      desc.instances[id] = {.id = id, .address = id + ":1", .zone = {}, .heartbeat_s = heartbeat_s, .tokens = {}, .versions = {}};
      return true;
    }, {});
  }
  std::set<std::string> ids() const {
    std::set<std::string> out;
    const Desc desc = node->kv().get("collectors/ring", {}).value();
    for (const auto& [id, instance] : desc.instances) out.insert(id);
    return out;
  }

  obs::Registry registry;
  std::atomic<std::uint16_t> port{0};
  std::string address;
  std::unique_ptr<GossipNode> node;
};

template <class Condition>
bool soon(const Condition& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::int64_t now_s() { return system_clock().now_ns() / kNanosPerSecond; }

using States = std::map<std::string, std::string>;

TEST(GossipCluster, MembersFindEachOtherAndValuesConverge) {
  Node a("a", {});
  Node b("b", {a.address});
  Node c("c", {b.address});
  Node d("d", {a.address, c.address}, nullptr, [](auto& config, auto&) { config.compression_enabled = false; });
  const States all{{"a", "alive"}, {"b", "alive"}, {"c", "alive"}, {"d", "alive"}};
  for (Node* node : {&a, &b, &c, &d}) {
    ASSERT_TRUE(soon([&] { return node->states() == all; }));
    EXPECT_EQ(node->node->members().at(0).address, node->address);
  }
  EXPECT_TRUE(soon([&] { return a.node->joined() && b.node->joined() && c.node->joined() && d.node->joined(); }));
  std::atomic<std::size_t> watched{0};
  const auto watch = d.node->kv().watch("collectors/ring", [&](const Desc& desc) { watched = desc.instances.size(); });
  std::set<std::string> ids;
  for (const Node* node : {&a, &b, &c, &d})
    for (int i = 0; i < 5; ++i) {
      ids.insert(node->address + "/" + std::to_string(i));
      ASSERT_TRUE(node->put(node->address + "/" + std::to_string(i), now_s()).ok());
    }
  for (Node* node : {&a, &b, &c, &d}) ASSERT_TRUE(soon([&] { return node->ids() == ids; }));
  EXPECT_TRUE(soon([&] { return watched == ids.size(); }));
  EXPECT_EQ(a.node->values().at(0).key, "collectors/ring");
}

TEST(GossipCluster, OneThatLeavesIsGoneAtOnce) {
  Node a("a", {});
  Node b("b", {a.address});
  auto c = std::make_unique<Node>("c", std::vector<std::string>{a.address});
  ASSERT_TRUE(soon([&] { return a.states().size() == 3 && b.states().size() == 3; }));
  ASSERT_TRUE(c->put("left-behind", now_s()).ok());
  c.reset();
  ASSERT_TRUE(soon([&] { return a.states()["c"] == "left" && b.states()["c"] == "left"; }));
  EXPECT_TRUE(a.ids().contains("left-behind"));   // its last words were spread before
}

TEST(GossipCluster, OneThatVanishesIsSuspectedThenDead) {
  Node a("a", {});
  Node b("b", {a.address});
  auto c = std::make_unique<Node>("c", std::vector<std::string>{a.address}, nullptr, [](auto&, Tuning& tuning) { tuning.vanish = true; });
  ASSERT_TRUE(soon([&] { return a.states().size() == 3 && b.states().size() == 3; }));
  c.reset();
  EXPECT_TRUE(soon([&] { return a.states()["c"] == "suspect" || b.states()["c"] == "suspect"; }));
  ASSERT_TRUE(soon([&] { return a.states()["c"] == "dead" && b.states()["c"] == "dead"; }));
  EXPECT_EQ(a.states()["b"], "alive");
}

TEST(GossipCluster, PartsThatWereCutAgreeAgain) {
  Cuts cuts;
  Node a("a", {}, &cuts);
  Node b("b", {a.address}, &cuts);
  Node c("c", {a.address}, &cuts);
  const States all{{"a", "alive"}, {"b", "alive"}, {"c", "alive"}};
  for (Node* node : {&a, &b, &c}) ASSERT_TRUE(soon([&] { return node->states() == all; }));
  ASSERT_TRUE(a.put("shared", now_s() - 100).ok());
  for (Node* node : {&a, &b, &c}) ASSERT_TRUE(soon([&] { return node->ids().contains("shared"); }));
  cuts.isolate(c.port);
  ASSERT_TRUE(soon([&] { return a.states()["c"] == "dead" && c.states()["a"] == "dead"; }));
  ASSERT_TRUE(a.put("of-a", now_s()).ok());
  ASSERT_TRUE(c.put("of-c", now_s()).ok());
  ASSERT_TRUE(b.node->kv().update("collectors/ring", [](Desc& desc) -> Result<bool> { return desc.instances.erase("shared") > 0; }, {}).ok());
  ASSERT_TRUE(soon([&] { return b.ids() == std::set<std::string>{"of-a"}; }));
  EXPECT_EQ(c.ids(), (std::set<std::string>{"of-c", "shared"}));
  cuts.heal();
  for (Node* node : {&a, &b, &c}) {
    ASSERT_TRUE(soon([&] { return node->states() == all; }));
    ASSERT_TRUE(soon([&] { return node->ids() == std::set<std::string>{"of-a", "of-c"}; }));
  }
}

TEST(GossipCluster, PartsThatForgotEachOtherFindEachOther) {
  Cuts cuts;
  const auto forgetful = [](auto& config, Tuning& tuning) {
    config.rejoin_interval = 0;
    config.gossip_to_dead_nodes_time = 100 * kNanosPerMilli;
    tuning.rejoin_ns = 200 * kNanosPerMilli;
  };
  Node a("a", {}, &cuts, forgetful);
  Node b("b", {a.address}, &cuts, forgetful);
  Node c("c", {a.address}, &cuts, forgetful);
  Node d("d", {a.address, c.address}, &cuts, forgetful);
  const States all{{"a", "alive"}, {"b", "alive"}, {"c", "alive"}, {"d", "alive"}};
  for (Node* node : {&a, &b, &c, &d}) ASSERT_TRUE(soon([&] { return node->states() == all; }));
  cuts.isolate(c.port);
  cuts.isolate(d.port);
  for (Node* node : {&a, &b}) ASSERT_TRUE(soon([&] { return node->states() == States{{"a", "alive"}, {"b", "alive"}}; }));
  for (Node* node : {&c, &d}) ASSERT_TRUE(soon([&] { return node->states() == States{{"c", "alive"}, {"d", "alive"}}; }));
  cuts.heal();
  for (Node* node : {&a, &b, &c, &d}) ASSERT_TRUE(soon([&] { return node->states() == all; }));
}

TEST(GossipCluster, AnotherLabelIsRefused) {
  Node a("a", {}, nullptr, [](auto& config, auto&) { config.cluster_label = "one"; });
  Node b("b", {a.address}, nullptr, [](auto& config, auto&) { config.cluster_label = "two"; });
  Node plain("plain", {a.address});
  Node same("same", {a.address}, nullptr, [](auto& config, auto&) { config.cluster_label = "one"; });
  ASSERT_TRUE(soon([&] { return a.states().size() == 2; }));
  EXPECT_TRUE(soon([&] { return b.registry.expose_text().find("loki_memberlist_tcp_transport_outgoing_stream_errors_total 0") == std::string::npos; }));
  EXPECT_TRUE(soon([&] { return plain.registry.expose_text().find("loki_memberlist_tcp_transport_outgoing_stream_errors_total 0") == std::string::npos; }));
  EXPECT_FALSE(b.node->joined());
  EXPECT_EQ(b.states().size(), 1U);
  EXPECT_EQ(plain.states().size(), 1U);
  EXPECT_EQ(a.states(), (States{{"a", "alive"}, {"same", "alive"}}));
}

TEST(GossipCluster, TheFirstOneWaitsForOthersAndFindsThem) {
  Node probe("probe", {});
  const std::string free_address = probe.address;
  const std::uint16_t port = probe.port;
  probe.node.reset();
  Node a("a", {free_address});
  EXPECT_TRUE(soon([&] { return a.registry.expose_text().find("outgoing_stream_errors_total 0") == std::string::npos; }));
  EXPECT_FALSE(a.node->joined());
  Node late("late", {}, nullptr, [&](auto& config, auto&) { config.bind_port = port; });
  EXPECT_TRUE(soon([&] { return a.node->joined() && late.states().size() == 2; }));
}

TEST(GossipCluster, WhoHasOnlyItselfToJoinIsTheFirst) {
  Node a("a", {"127.0.0.1:1"}, nullptr, [](auto& config, auto&) { config.join_members = {}; });
  EXPECT_TRUE(soon([&] { return a.node->joined(); }));
  const std::uint16_t port = a.port;
  a.node.reset();
  Node self("self", {"127.0.0.1:" + std::to_string(port)}, nullptr, [&](auto& config, auto&) { config.bind_port = port; });
  EXPECT_TRUE(soon([&] { return self.node->joined(); }));
}

TEST(GossipCluster, JoiningCanBeRequired) {
  config::MemberlistConfig config;
  config.bind_addr = {"127.0.0.1"};
  config.bind_port = 0;
  config.join_members = {"127.0.0.1:1"};
  config.max_join_retries = 1;
  config.abort_if_cluster_join_fails = true;
  obs::Registry registry;
  EXPECT_EQ(Memberlist::open(config, registry).error().code(), ErrorCode::kUnavailable);
}

TEST(GossipCluster, TlsBothWaysOrNotAtAll) {
  const http::testing_server::SelfSigned certificate;
  const auto with_tls = [&](auto& config, auto&) {
    config.tls = {.enabled = true, .cert_path = certificate.cert_file(), .key_path = certificate.key_file(), .ca_path = certificate.cert_file(), .server_name = {}};
  };
  Node a("a", {}, nullptr, with_tls);
  Node b("b", {a.address}, nullptr, with_tls);
  Node plain("plain", {a.address});
  ASSERT_TRUE(soon([&] { return a.states().size() == 2 && b.states().size() == 2; }));
  ASSERT_TRUE(b.put("x", now_s()).ok());
  EXPECT_TRUE(soon([&] { return a.ids().contains("x"); }));
  EXPECT_FALSE(plain.node->joined());
  EXPECT_EQ(plain.states().size(), 1U);
}

TEST(GossipCluster, PortsThatAreTakenAndBadAddressesAreErrors) {
  Node a("a", {});
  config::MemberlistConfig config;
  obs::Registry registry;
  config.bind_addr = {"127.0.0.1"};
  config.bind_port = a.port;
  EXPECT_EQ(Memberlist::open(config, registry).error().code(), ErrorCode::kUnavailable);
  config.bind_addr = {"localhost"};
  EXPECT_EQ(Memberlist::open(config, registry).error().code(), ErrorCode::kInvalidArgument);
  config.bind_addr = {"127.0.0.1"};
  config.bind_port = 0;
  config.tls.enabled = true;
  EXPECT_EQ(Memberlist::open(config, registry).error().code(), ErrorCode::kInvalidArgument);
}

TEST(GossipCluster, NonsenseOnThePortIsHarmless) {
  Node a("a", {});
  const auto say = [&](const Bytes& bytes) {
    IpBytes ip;
    parse_ip("127.0.0.1", ip);
    auto connection = Connection::dial({.ip = ip, .port = a.port}, nullptr, system_clock().monotonic_ns() + 10 * kNanosPerSecond).value();
    ASSERT_TRUE(connection->write(bytes, system_clock().monotonic_ns() + 10 * kNanosPerSecond).ok());
    connection->finish_writing();
  };
  say("GET / HTTP/1.1\r\n\r\n");
  say(Bytes(1, '\1') + Bytes(200, '\7'));
  say(Bytes(1, '\2') + "\x06\xff");
  say("");
  Node b("b", {a.address});
  EXPECT_TRUE(soon([&] { return a.states().size() == 2; }));
  EXPECT_TRUE(soon([&] { return a.registry.expose_text().find("loki_memberlist_tcp_transport_unknown_connections_total 1") != std::string::npos; }));
}

}  // namespace
}  // namespace skald::ring::gossip
