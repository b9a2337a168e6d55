// A gossip node that other programs talk to: tests/integration/test_memberlist_interop.py starts it. Without its
// environment the test is skipped.
//   SKALD_TEST_GOSSIP_NODE   instance and node name
//   SKALD_TEST_GOSSIP_JOIN   peers, comma separated; SKALD_TEST_GOSSIP_LABEL; SKALD_TEST_GOSSIP_CERT, _KEY: TLS
// Prints PORT n, then RING {json} and MEMBERS {json} whenever they change; leaves when standard input ends.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "skald/ring/stores.h"

namespace skald::ring {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void say(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

TEST(GossipLive, Node) {
  const std::string id = environment("SKALD_TEST_GOSSIP_NODE");
  if (id.empty()) GTEST_SKIP() << "SKALD_TEST_GOSSIP_NODE is not set";
  config::MemberlistConfig config;
  config.node_name = id;
  config.randomize_node_name = false;
  config.bind_addr = {"127.0.0.1"};
  config.bind_port = 0;
  config.cluster_label = environment("SKALD_TEST_GOSSIP_LABEL");
  config.stream_timeout = 10 * kNanosPerSecond;
  config.acquire_writer_timeout = 2 * kNanosPerSecond;
  config.leave_timeout = 5 * kNanosPerSecond;
  config.min_join_backoff = 100 * kNanosPerMilli;
  if (const std::string cert = environment("SKALD_TEST_GOSSIP_CERT"); !cert.empty())
    config.tls = {.enabled = true, .cert_path = cert, .key_path = environment("SKALD_TEST_GOSSIP_KEY"), .ca_path = cert, .server_name = {}};
  std::string join = environment("SKALD_TEST_GOSSIP_JOIN");
  for (std::size_t comma = 0; !join.empty(); join.erase(0, comma + 1)) {
    comma = std::min(join.find(','), join.size() - 1);
    config.join_members.push_back(join.substr(0, join[comma] == ',' ? comma : comma + 1));
  }
  obs::Registry registry;
  auto memberlist = Memberlist::open(config, registry).value();
  const std::string address = memberlist->members().at(0).address;
  say("PORT " + address.substr(address.rfind(':') + 1));
  const auto edit = [&](const std::function<void(Desc&)>& change) {
    ASSERT_TRUE(memberlist->kv().update("collectors/ring", [&](Desc& desc) -> Result<bool> {
      change(desc);
      return true;
    }, {}).ok());
  };
  edit([&](Desc& desc) {
    desc.instances[id] = {.id = id, .address = "10.1.2.3:3100", .zone = "zone-cc", .heartbeat_s = system_clock().now_ns() / kNanosPerSecond,
                          .state = InstanceState::kJoining, .tokens = {5, 70, 4'000'000'000U}, .versions = {}};
  });
  const auto watch = memberlist->kv().watch("collectors/ring", [](const Desc& desc) {
    std::string line = "RING {";
    for (const auto& [name, one] : desc.instances) {
      line += (line.back() == '{' ? "\"" : ",\"") + name + R"(":{"addr":")" + one.address + R"(","zone":")" + one.zone + R"(","state":")" + state_name(one.state) + R"(","tokens":[)";
      for (const std::uint32_t token : one.tokens) line += (line.back() == '[' ? "" : ",") + std::to_string(token);
      line += "]}";
    }
    say(line + "}");
  });
  std::string said;
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  char byte = 0;
  while (poll(&input, 1, 50) == 0 || ::read(STDIN_FILENO, &byte, 1) > 0) {
    std::string line = "MEMBERS {";
    for (const auto& member : memberlist->members()) line += (line.back() == '{' ? "\"" : ",\"") + member.name + "\":\"" + member.state + "\"";
    if (line + "}" != said) say(said = line + "}");
  }
  edit([&](Desc& desc) { desc.instances.erase(id); });
  memberlist.reset();
  say("LEFT");
}

}  // namespace
}  // namespace skald::ring
