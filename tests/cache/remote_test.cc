// memcached and Redis clients against servers that misbehave. Real servers: live_test.cc and tests/integration.
#include <gtest/gtest.h>

#include "cache/fake_server.h"
#include "cache/levels.h"
#include "cache/resp.h"

namespace skald::cache {
namespace {

using testing::FakeServer;
using testing::get;
using testing::get_all;
using testing::item;
using testing::Peer;

// Enough of memcached to keep values.
struct FakeMemcached {
  std::mutex mutex;
  std::map<std::string, std::string> items;
  std::vector<std::string> gets, sets;
  FakeServer::Handler handler() {
    return [this](Peer& peer) {
      for (std::string line = peer.read_line(); !line.empty(); line = peer.read_line()) serve(peer, line);
    };
  }
  void serve(Peer& peer, const std::string& line) {
    std::vector<std::string> words;
    std::istringstream in(line);
    for (std::string word; in >> word;) words.push_back(word);
    if (words[0] == "get") {
      std::string out;
      const std::lock_guard lock(mutex);
      gets.push_back(line);
      for (std::size_t i = 1; i < words.size(); ++i)
        if (const auto found = items.find(words[i]); found != items.end())
          out += "VALUE " + words[i] + " 0 " + std::to_string(found->second.size()) + "\r\n" + found->second + "\r\n";
      peer.send(out + "END\r\n");
    } else {
      const std::string body = peer.read_bytes(std::stoul(words[4]) + 2);
      const std::lock_guard lock(mutex);
      sets.push_back(line);
      items[words[1]] = body.substr(0, body.size() - 2);
      peer.send("STORED\r\n");
    }
  }
};

std::shared_ptr<Cache> memcached(const std::string& addresses, obs::Registry& registry, std::int64_t timeout_ns = kNanosPerSecond, int failures = 10) {
  config::MemcachedConfig config;
  config.addresses = addresses;
  config.timeout = timeout_ns;
  config.circuit_breaker_consecutive_failures = failures;
  auto opened = open_memcached(config, kNanosPerHour, "m", registry);
  EXPECT_TRUE(opened.ok()) << opened.error().message();
  return *opened;
}

TEST(Memcached, KeysAreSpreadAndComeBackInOrder) {
  FakeMemcached stores[3];
  FakeServer servers[3] = {FakeServer(stores[0].handler()), FakeServer(stores[1].handler()), FakeServer(stores[2].handler())};
  obs::Registry registry;
  const auto cache = memcached(servers[0].address() + "," + servers[1].address() + "," + servers[2].address(), registry);
  std::vector<std::string> keys, expected;
  for (int i = 0; i < 60; ++i) {
    keys.push_back("key" + std::to_string(i));
    expected.push_back(i % 3 == 0 ? "<miss>" : "value" + std::to_string(i));
    if (i % 3 != 0) cache->store({item(keys.back(), expected.back())});
  }
  EXPECT_EQ(get_all(*cache, keys), expected);
  std::size_t kept = 0;
  for (FakeMemcached& store : stores) {
    EXPECT_GT(store.items.size(), 0U);
    kept += store.items.size();
    for (const std::string& line : store.gets) EXPECT_LE(std::count(line.begin(), line.end(), ' '), 4) << "batch_size";
  }
  EXPECT_EQ(kept, 40U);
  EXPECT_TRUE(stores[0].sets.front().find(" 0 3600 ") != std::string::npos) << stores[0].sets.front();
}

TEST(Memcached, KeysTheProtocolCannotCarryAreHashed) {
  FakeMemcached store;
  FakeServer server(store.handler());
  obs::Registry registry;
  const auto cache = memcached(server.address(), registry);
  const std::vector<std::string> keys = {std::string(251, 'k'), "with space", "line\r\nfeed", std::string("nul\0", 4), "", "\xC3\xA4", "plain"};
  std::vector<std::string> values;
  for (const std::string& key : keys) {
    values.push_back("value of " + key);
    cache->store({item(key, values.back())});
  }
  EXPECT_EQ(get_all(*cache, keys), values);
  for (const auto& [key, value] : store.items) EXPECT_TRUE(key == "plain" || (key.starts_with("h:") && key.size() == 34)) << key;
  EXPECT_EQ(get_all(*cache, {"plain", "plain"}), (std::vector<std::string>{"value of plain", "value of plain"}));
}

TEST(Memcached, AForeignValueIsAMiss) {
  FakeMemcached store;
  FakeServer server(store.handler());
  obs::Registry registry;
  const auto cache = memcached(server.address(), registry);
  cache->store({item("a", "1"), item("b", "2")});
  store.items["a"] = store.items["b"];
  store.items["c"] = "somebody else's";
  EXPECT_EQ(get_all(*cache, {"a", "b", "c"}), (std::vector<std::string>{"<miss>", "2", "<miss>"}));
  EXPECT_EQ(testing::counter(registry, "skald_cache_foreign_values_total{name=\"m\"}"), 2);
}

TEST(Memcached, AnythingButAnAnswerIsAMiss) {
  const std::vector<std::string> answers = {
      "", "\r\n", "ERROR\r\n", "SERVER_ERROR out of memory\r\n", "VALUE\r\n", "VALUE k 0\r\n", "VALUE k 0 -1\r\n", "VALUE k 0 99999999999999999999\r\nx",
      "VALUE k 0 999999999\r\nx", "VALUE k 0 5\r\nab", "VALUE k 0 2\r\nabcdef\r\nEND\r\n", "VALUE other 0 2\r\nab\r\nEND\r\n", "VALUE k 0 x\r\n",
      std::string(100'000, 'x'), std::string("\0\1\2\3\r\n", 6), "VALUE k 0 2 3 4 5\r\nab\r\nEND\r\n"};
  for (const std::string& answer : answers) {
    FakeServer server([&](Peer& peer) {
      if (!peer.read_line().empty()) peer.send(answer);
    });
    obs::Registry registry;
    const auto cache = memcached(server.address(), registry);
    EXPECT_EQ(get(*cache, "k"), "<miss>") << answer.substr(0, 40);
    cache->store({item("k", "v")});   // does not hang either
  }
}

TEST(Memcached, WhatCameBeforeACutIsKept) {
  FakeMemcached store;
  FakeServer server([&](Peer& peer) {
    std::string line = peer.read_line();
    while (line.starts_with("set")) {
      store.serve(peer, line);
      line = peer.read_line();
    }
    if (line.empty()) return;
    const std::string value = store.items["a"];
    peer.send("VALUE a 0 " + std::to_string(value.size()) + "\r\n" + value + "\r\nVALUE b 0 100\r\nxxx");
  });
  obs::Registry registry;
  const auto cache = memcached(server.address(), registry);
  cache->store({item("a", "1"), item("b", "2")});
  EXPECT_EQ(get_all(*cache, {"a", "b"}), (std::vector<std::string>{"1", "<miss>"}));
}

TEST(Memcached, ASilentServerCostsItsTimeoutAndThenNothing) {
  FakeServer server([](Peer& peer) { peer.wait_until_closed(); });
  obs::Registry registry;
  const auto cache = memcached(server.address(), registry, 20 * kNanosPerMilli, 3);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(get(*cache, "k"), "<miss>");
  EXPECT_EQ(server.connections(), 3) << "the breaker is open";
}

TEST(Memcached, TheQuerysDeadlineCountsToo) {
  FakeServer server([](Peer& peer) { peer.wait_until_closed(); });
  obs::Registry registry;
  const auto cache = memcached(server.address(), registry, 600 * kNanosPerSecond);
  CallContext ctx;
  ctx.deadline_monotonic_ns = system_clock().monotonic_ns() + 30 * kNanosPerMilli;
  EXPECT_EQ(cache->fetch_one(ctx, "k"), nullptr);
}

TEST(Memcached, ARestartedServerIsReachedThroughAFreshConnection) {
  FakeMemcached store;
  auto server = std::make_unique<FakeServer>(store.handler());
  const std::uint16_t port = server->port();
  obs::Registry registry;
  const auto cache = memcached(server->address(), registry);
  cache->store({item("a", "1")});
  server = nullptr;
  server = std::make_unique<FakeServer>(store.handler(), port);
  EXPECT_EQ(get(*cache, "a"), "1");
}

TEST(Memcached, NobodyThere) {
  std::uint16_t port = 0;
  { port = FakeServer([](Peer&) {}).port(); }
  obs::Registry registry;
  const auto cache = memcached("127.0.0.1:" + std::to_string(port), registry);
  EXPECT_EQ(get(*cache, "a"), "<miss>");
  cache->store({item("a", "1")});
  EXPECT_GT(testing::counter(registry, "loki_memcache_request_duration_seconds_count{method=\"Memcache.GetMulti\",status_code=\"500\",name=\"m\"}"), 0);
}

TEST(Memcached, LargeValuesAreNotSent) {
  FakeMemcached store;
  FakeServer server(store.handler());
  obs::Registry registry;
  config::MemcachedConfig config;
  config.addresses = server.address();
  config.max_item_size = 1000;
  const auto cache = *open_memcached(config, kNanosPerHour, "m", registry);
  cache->store({item("large", std::string(2000, 'x')), item("small", "x")});
  EXPECT_EQ(get_all(*cache, {"large", "small"}), (std::vector<std::string>{"<miss>", "x"}));
  EXPECT_EQ(store.sets.size(), 1U);
}

// Enough of Redis for the client.
struct FakeRedis {
  std::mutex mutex;
  std::map<std::string, std::string> items;
  std::vector<std::vector<std::string>> commands;
  std::string password;
  FakeServer::Handler handler() {
    return [this](Peer& peer) {
      bool in = password.empty();
      for (std::string line = peer.read_line(); line.starts_with('*'); line = peer.read_line()) {
        std::vector<std::string> words;
        for (int count = std::stoi(line.substr(1)); count > 0; --count) {
          const std::string size = peer.read_line();
          if (!size.starts_with('$')) return;
          std::string word = peer.read_bytes(std::stoul(size.substr(1)) + 2);
          words.push_back(word.substr(0, word.size() - 2));
        }
        const std::lock_guard lock(mutex);
        commands.push_back(words);
        if (words[0] == "AUTH") {
          in = words.back() == password;
          peer.send(in ? "+OK\r\n" : "-WRONGPASS invalid\r\n");
        } else if (!in) {
          peer.send("-NOAUTH Authentication required.\r\n");
        } else if (words[0] == "MGET") {
          std::string out = "*" + std::to_string(words.size() - 1) + "\r\n";
          for (std::size_t i = 1; i < words.size(); ++i) {
            const auto found = items.find(words[i]);
            out += found == items.end() ? "$-1\r\n" : "$" + std::to_string(found->second.size()) + "\r\n" + found->second + "\r\n";
          }
          peer.send(out);
        } else {
          if (words[0] == "SET") items[words[1]] = words[2];
          peer.send("+OK\r\n");
        }
      }
    };
  }
};

config::RedisConfig redis_config(const FakeServer& server) {
  config::RedisConfig config;
  config.endpoint = server.address();
  config.timeout = kNanosPerSecond;
  return config;
}

TEST(Redis, AuthenticatesSelectsAndExpires) {
  FakeRedis store;
  store.password = "secret";
  FakeServer server(store.handler());
  obs::Registry registry;
  config::RedisConfig config = redis_config(server);
  config.username = "user";
  config.password = "secret";
  config.db = 3;
  config.expiration = 5 * kNanosPerSecond;
  const auto cache = *open_redis(config, kNanosPerHour, "r", registry);
  cache->store({item("a", "1"), item(std::string("b\r\n\0", 4), "2")});
  EXPECT_EQ(get_all(*cache, {"a", "none", std::string("b\r\n\0", 4)}), (std::vector<std::string>{"1", "<miss>", "2"}));
  ASSERT_GE(store.commands.size(), 3U);
  EXPECT_EQ(store.commands[0], (std::vector<std::string>{"AUTH", "user", "secret"}));
  EXPECT_EQ(store.commands[1], (std::vector<std::string>{"SELECT", "3"}));
  EXPECT_EQ(store.commands[2][3], "PX");
  EXPECT_EQ(store.commands[2][4], "5000");
  EXPECT_EQ(server.connections(), 1);
}

TEST(Redis, AWrongPasswordIsAMiss) {
  FakeRedis store;
  store.password = "secret";
  FakeServer server(store.handler());
  obs::Registry registry;
  config::RedisConfig config = redis_config(server);
  config.password = "guess";
  const auto cache = *open_redis(config, kNanosPerHour, "r", registry);
  cache->store({item("a", "1")});
  EXPECT_EQ(get(*cache, "a"), "<miss>");
  EXPECT_TRUE(store.items.empty());
}

TEST(Redis, AnythingButAnAnswerIsAMiss) {
  for (const std::string& answer : std::vector<std::string>{
           "", "\r\n", "+OK\r\n", "-ERR\r\n", ":1\r\n", "*2\r\n$-1\r\n$-1\r\n", "*0\r\n", "*-1\r\n", "*1\r\n*1\r\n$-1\r\n", "*1\r\n$5\r\nab", "*1\r\n$2\r\nabcd",
           "*1\r\n$99999999999999999999\r\n", "*99999999\r\n", "*1\r\n$-2\r\n", "*1\r\n$x\r\n", std::string(100'000, 'x'), "HTTP/1.1 400 Bad Request\r\n\r\n",
           "*1\r\n$3\r\nabc\r\n"}) {
    FakeServer server([&](Peer& peer) {
      if (!peer.read_line().empty()) peer.send(answer);
    });
    obs::Registry registry;
    const auto cache = *open_redis(redis_config(server), kNanosPerHour, "r", registry);
    EXPECT_EQ(get(*cache, "k"), "<miss>") << answer.substr(0, 40);
    cache->store({item("k", "v")});
  }
}

TEST(Redis, ConnectionsAreBounded) {
  FakeRedis store;
  FakeServer server(store.handler());
  obs::Registry registry;
  config::RedisConfig config = redis_config(server);
  config.pool_size = 2;
  const auto cache = *open_redis(config, kNanosPerHour, "r", registry);
  cache->store({item("a", "1")});
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) EXPECT_EQ(get(*cache, "a"), "1");
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(server.connections(), 2);
}

}  // namespace
}  // namespace skald::cache
