// etcd and Consul: against small servers of the tests' own that speak just enough, and against a real etcd when
// SKALD_TEST_ETCD names one (http://127.0.0.1:2379).
#include "ring/remote_kv.h"

#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <map>

#include "http/client_test_server.h"
#include "skald/ring/stores.h"

namespace skald::ring {
namespace {

using http::testing_server::Answer;
using http::testing_server::Received;
using http::testing_server::reply;
using http::testing_server::SelfSigned;
using http::testing_server::TestServer;

Instance instance(const std::string& id, std::uint32_t token) { return {.id = id, .address = id + ":1", .zone = {}, .heartbeat_s = 1'700'000'000, .tokens = {token}, .versions = {}}; }

Result<void> add(KvStore& store, const std::string& id, std::uint32_t token, const CallContext& ctx = {}) {
  return store.update("collectors/ring", [&](Desc& desc) -> Result<bool> {
    desc.instances[id] = instance(id, token);
    return true;
  }, ctx);
}

std::set<std::string> ids(const Desc& desc) {
  std::set<std::string> out;
  for (const auto& [id, one] : desc.instances) out.insert(id);
  return out;
}

// A key-value store with a revision, behind either protocol.
struct Data {
  std::mutex mutex;                                  // guards all below
  std::condition_variable changed;
  std::map<std::string, std::pair<Bytes, std::uint64_t>> values;
  std::uint64_t revision = 10;
  int lose_races = 0;                                // the next writes find that somebody else was first
  int fail = 0;                                      // the next requests get 503
  std::vector<std::string> targets;
  std::string token;                                 // wanted; empty: none
  std::function<bool()> stopping = [] { return false; };

  bool write(const std::string& key, const Bytes& value, std::uint64_t version) {
    const bool lost = lose_races > 0 && lose_races-- > 0;
    if (lost) values[key].second = ++revision;
    const auto found = values.find(key);
    if ((found == values.end() ? 0 : found->second.second) != version) return false;
    values[key] = {value, ++revision};
    changed.notify_all();
    return true;
  }
};

Answer etcd_answer(Data& data, const Received& request) {
  const std::lock_guard lock(data.mutex);
  data.targets.push_back(request.target);
  if (data.fail > 0 && data.fail-- > 0) return reply(503, R"({"error":"etcdserver: no leader"})");
  rapidjson::Document body;
  body.Parse(request.body.c_str());
  if (request.target == "/v3/auth/authenticate") {
    if (data.token.empty()) return reply(400, R"({"error":"etcdserver: authentication is not enabled"})");
    if (std::string(body["name"].GetString()) != "us\"er" || std::string(body["password"].GetString()) != "pass\\word") return reply(400, R"({"error":"authentication failed"})");
    return reply(200, "{\"token\":\"" + data.token + "\"}");
  }
  if (!data.token.empty() && (!request.headers.contains("authorization") || request.headers.at("authorization") != data.token))
    return reply(401, R"({"error":"etcdserver: invalid auth token"})");
  if (request.target == "/v3/kv/range") {
    const auto found = data.values.find(base64_decode(body["key"].GetString()).value());
    if (found == data.values.end()) return reply(200, R"({"header":{"revision":"10"}})");
    return reply(200, R"({"header":{},"kvs":[{"key":"x","mod_revision":")" + std::to_string(found->second.second) + R"(","version":"1","value":")" + base64_encode(found->second.first) + R"("}],"count":"1"})");
  }
  const auto& compare = body["compare"][0];
  EXPECT_STREQ(compare["target"].GetString(), "MOD");
  const auto& put = body["success"][0]["request_put"];
  EXPECT_STREQ(put["key"].GetString(), compare["key"].GetString());
  const bool done = data.write(base64_decode(put["key"].GetString()).value(), base64_decode(put["value"].GetString()).value(), std::strtoull(compare["mod_revision"].GetString(), nullptr, 10));
  return reply(200, done ? R"({"header":{},"succeeded":true})" : R"({"header":{}})");
}

Answer consul_answer(Data& data, const Received& request) {
  std::unique_lock lock(data.mutex);
  data.targets.push_back(request.target);
  if (data.fail > 0 && data.fail-- > 0) return reply(500, "No cluster leader");
  if (!data.token.empty() && (!request.headers.contains("x-consul-token") || request.headers.at("x-consul-token") != data.token)) return reply(403, "ACL not found");
  const std::string key = request.target.substr(7, request.target.find('?') - 7);
  if (const std::size_t cas = request.target.find("?cas="); request.method == "PUT" && cas != std::string::npos)
    return reply(200, data.write(key, request.body, std::stoull(request.target.substr(cas + 5))) ? "true" : "false");
  if (const std::size_t index = request.target.find("index="); index != std::string::npos) {
    EXPECT_NE(request.target.find("wait=10s"), std::string::npos);
    const std::uint64_t seen = std::stoull(request.target.substr(index + 6));
    for (int i = 0; i < 100 && data.revision <= seen && !data.stopping(); ++i) data.changed.wait_for(lock, std::chrono::milliseconds(20));
  }
  const std::string index = std::to_string(data.revision);
  const auto found = data.values.find(key);
  if (found == data.values.end()) return reply(404, "", {{"X-Consul-Index", index}});
  return reply(200, R"([{"LockIndex":0,"Key":")" + key + R"(","Flags":0,"Value":")" + base64_encode(found->second.first) + R"(","CreateIndex":1,"ModifyIndex":)" + std::to_string(found->second.second) + "}]",
               {{"X-Consul-Index", index}});
}

// Either store with its double.
struct Bed {
  explicit Bed(const std::string& kind, const std::function<void(config::EtcdConfig&, config::ConsulConfig&)>& change = {})
      : server([this, kind](const Received& request) { return kind == "etcd" ? etcd_answer(data, request) : consul_answer(data, request); }) {
    data.stopping = [this] { return server.stopping(); };
    config::EtcdConfig etcd;
    etcd.endpoints = {server.authority()};
    config::ConsulConfig consul;
    consul.host = server.authority();
    consul.cas_retry_delay = 2 * kNanosPerMilli;
    consul.watch_rate_limit = 1000;
    if (change) change(etcd, consul);
    store = std::move(kind == "etcd" ? open_etcd_kv(etcd, registry) : open_consul_kv(consul, registry)).value();
  }
  Data data;
  TestServer server;
  obs::Registry registry;
  std::unique_ptr<KvStore> store;
};

class RemoteStores : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Kinds, RemoteStores, testing::Values("etcd", "consul"), [](const auto& kind) { return std::string(kind.param); });

TEST_P(RemoteStores, ReadAndChange) {
  Bed at(GetParam());
  EXPECT_TRUE(at.store->get("collectors/ring", {}).value().instances.empty());
  ASSERT_TRUE(add(*at.store, "a", 1).ok());
  ASSERT_TRUE(add(*at.store, "b", 2).ok());
  EXPECT_EQ(at.store->get("collectors/ring", {}).value().instances.at("b"), instance("b", 2));
  EXPECT_TRUE(at.store->update("collectors/ring", [](Desc&) -> Result<bool> { return false; }, {}).ok());
  EXPECT_EQ(at.store->update("collectors/ring", [](Desc&) -> Result<bool> { return Error(ErrorCode::kInternal, "no"); }, {}).error().message(), "no");
  // What is stored are dskit's bytes.
  EXPECT_EQ(ids(decode(at.data.values.at("collectors/ring").first).value()), (std::set<std::string>{"a", "b"}));
  ASSERT_TRUE(at.store->update("collectors/ring", [](Desc& desc) -> Result<bool> { return desc.instances.erase("a") > 0; }, {}).ok());
  EXPECT_EQ(ids(at.store->get("collectors/ring", {}).value()), (std::set<std::string>{"b"}));
}

TEST_P(RemoteStores, ALostRaceBeginsAnew) {
  Bed at(GetParam());
  ASSERT_TRUE(add(*at.store, "a", 1).ok());
  at.data.lose_races = 3;
  int runs = 0;
  ASSERT_TRUE(at.store->update("collectors/ring", [&](Desc& desc) -> Result<bool> {
    ++runs;
    desc.instances["b"] = instance("b", 2);
    return true;
  }, {}).ok());
  EXPECT_EQ(runs, 4);
  at.data.lose_races = 1000;
  EXPECT_EQ(add(*at.store, "c", 3).error().code(), ErrorCode::kUnavailable);
}

TEST_P(RemoteStores, ConcurrentChangesAreAllKept) {
  Bed at(GetParam());
  std::vector<std::thread> threads;
  std::atomic<int> refused{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        int tries = 0;
        while (!add(*at.store, id, static_cast<std::uint32_t>(t * 100 + i)).ok() && ++tries < 20) ++refused;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(at.store->get("collectors/ring", {}).value().instances.size(), 20U) << refused;
}

TEST_P(RemoteStores, ABriefOutageIsRiddenOutALongOneIsAnError) {
  Bed at(GetParam());
  at.data.fail = 3;
  EXPECT_TRUE(add(*at.store, "a", 1).ok());
  at.data.fail = 1;
  EXPECT_EQ(at.store->get("collectors/ring", {}).error().code(), ErrorCode::kUnavailable);
  at.data.fail = 1000;
  const auto failed = add(*at.store, "b", 2);
  EXPECT_EQ(failed.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(failed.error().message().find(GetParam()), std::string::npos) << failed.error().message();
}

TEST_P(RemoteStores, DeadlinesHold) {
  Bed at(GetParam());
  at.data.lose_races = 1'000'000;
  CallContext ctx;
  ctx.deadline_monotonic_ns = system_clock().monotonic_ns() - 1;
  EXPECT_EQ(add(*at.store, "a", 1, ctx).error().code(), ErrorCode::kDeadlineExceeded);
}

TEST_P(RemoteStores, WatchesSeeThePresentAndThenChanges) {
  Bed at(GetParam());
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::set<std::string>> seen;
  auto watch = at.store->watch("collectors/ring", [&](const Desc& desc) {
    const std::lock_guard lock(mutex);
    seen.push_back(ids(desc));
    wake.notify_all();
  });
  const auto sees = [&](const std::set<std::string>& wanted) {
    std::unique_lock lock(mutex);
    return wake.wait_for(lock, std::chrono::seconds(30), [&] { return !seen.empty() && seen.back() == wanted; });
  };
  EXPECT_TRUE(sees({}));
  ASSERT_TRUE(add(*at.store, "a", 1).ok());
  EXPECT_TRUE(sees({"a"}));
  {
    // The store's state was restored from a backup: numbers are smaller.
    const std::lock_guard lock(at.data.mutex);
    Desc restored;
    restored.instances["old"] = instance("old", 9);
    at.data.revision = 5;
    at.data.values["collectors/ring"] = {encode(restored), 5};
    at.data.fail = 1;
    at.data.changed.notify_all();
  }
  EXPECT_TRUE(sees({"old"}));
  watch.reset();
  const std::size_t calls = seen.size();
  ASSERT_TRUE(add(*at.store, "b", 2).ok());
  EXPECT_EQ(seen.size(), calls);
}

TEST_P(RemoteStores, NonsenseIsAnError) {
  for (const std::string body : {"", "<html>", "[]", "{\"kvs\":[{}]}", "[{\"ModifyIndex\":\"x\"}]", "[{\"ModifyIndex\":1,\"Value\":\"%%%%\"}]",
                                 "{\"kvs\":[{\"mod_revision\":\"3\",\"value\":\"AAAA\"}]}"}) {
    TestServer server([&](const Received&) { return reply(200, body); });
    obs::Registry registry;
    config::EtcdConfig etcd;
    etcd.endpoints = {server.url("/")};
    config::ConsulConfig consul;
    consul.host = server.authority();
    const auto store = std::move(std::string(GetParam()) == "etcd" ? open_etcd_kv(etcd, registry) : open_consul_kv(consul, registry)).value();
    EXPECT_FALSE(store->get("collectors/ring", {}).ok()) << body;
  }
}

TEST(Etcd, LogsInAndAgainWhenTheTokenIsNoLongerGood) {
  Bed at("etcd", [](config::EtcdConfig& etcd, config::ConsulConfig&) { etcd.username = "us\"er", etcd.password = "pass\\word"; });
  at.data.token = "one";
  ASSERT_TRUE(add(*at.store, "a", 1).ok());
  at.data.token = "two";
  ASSERT_TRUE(add(*at.store, "b", 2).ok());
  EXPECT_EQ(std::count(at.data.targets.begin(), at.data.targets.end(), "/v3/auth/authenticate"), 2);
  Bed off("etcd", [](config::EtcdConfig& etcd, config::ConsulConfig&) { etcd.username = "us\"er", etcd.password = "pass\\word"; });
  ASSERT_TRUE(add(*off.store, "a", 1).ok());   // etcd without authentication
  ASSERT_TRUE(add(*off.store, "b", 1).ok());
  EXPECT_EQ(std::count(off.data.targets.begin(), off.data.targets.end(), "/v3/auth/authenticate"), 1);
  off.data.token = "on now";
  ASSERT_TRUE(add(*off.store, "c", 1).ok());
  Bed wrong("etcd", [](config::EtcdConfig& etcd, config::ConsulConfig&) { etcd.username = "x"; });
  wrong.data.token = "one";
  EXPECT_EQ(add(*wrong.store, "a", 1).error().code(), ErrorCode::kPermissionDenied);
}

TEST(Etcd, GoesToAnotherEndpointAndStaysThere) {
  Bed at("etcd", [](config::EtcdConfig& etcd, config::ConsulConfig&) { etcd.endpoints.insert(etcd.endpoints.begin(), "http://127.0.0.1:1"); });
  ASSERT_TRUE(add(*at.store, "a", 1).ok());
  ASSERT_TRUE(at.store->get("collectors/ring", {}).ok());
  const std::string metrics = at.registry.expose_text();
  EXPECT_NE(metrics.find(R"(skald_ring_store_requests_total{store="etcd",result="failure"} 1)"), std::string::npos) << metrics;
}

TEST(Etcd, Tls) {
  const SelfSigned certificate;
  Data data;
  TestServer server([&](const Received& request) { return etcd_answer(data, request); }, &certificate);
  obs::Registry registry;
  config::EtcdConfig config;
  config.endpoints = {server.authority()};
  config.tls = {.enabled = true, .cert_path = {}, .key_path = {}, .ca_path = certificate.cert_file(), .server_name = {}};
  EXPECT_TRUE(add(*open_etcd_kv(config, registry).value(), "a", 1).ok());
  config.tls.ca_path.clear();
  EXPECT_FALSE(open_etcd_kv(config, registry).value()->get("collectors/ring", {}).ok());
}

TEST(Etcd, BadEndpointsAreRefused) {
  obs::Registry registry;
  EXPECT_EQ(open_etcd_kv({}, registry).error().code(), ErrorCode::kInvalidArgument);
  config::EtcdConfig config;
  config.endpoints = {"unix:///x"};
  EXPECT_EQ(open_etcd_kv(config, registry).error().code(), ErrorCode::kInvalidArgument);
}

TEST(Consul, SendsItsTokenAndAsksAsConfigured) {
  Bed at("consul", [](config::EtcdConfig&, config::ConsulConfig& consul) { consul.acl_token = "secret", consul.consistent_reads = true; });
  at.data.token = "secret";
  ASSERT_TRUE(add(*at.store, "a", 1).ok());
  EXPECT_EQ(at.data.targets, (std::vector<std::string>{"/v1/kv/collectors/ring?consistent=", "/v1/kv/collectors/ring?cas=0"}));
  at.data.token = "other";
  EXPECT_EQ(add(*at.store, "b", 1).error().code(), ErrorCode::kPermissionDenied);
}

TEST(Base64, RoundTripsAndRefuses) {
  for (std::size_t size = 0; size < 20; ++size) {
    Bytes bytes;
    for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 37 + 200));
    EXPECT_EQ(base64_decode(base64_encode(bytes)).value(), bytes);
  }
  EXPECT_FALSE(base64_decode("abc").ok());
  EXPECT_FALSE(base64_decode("a%cd").ok());
}

// What a real store, or a stand-in that others use as well, has to do.
void exercise(KvStore& store) {
  const std::string key = "collectors/test-" + std::to_string(system_clock().now_ns());
  EXPECT_TRUE(store.get(key, {}).value().instances.empty());
  std::atomic<std::size_t> watched{1000};
  const auto watch = store.watch(key, [&](const Desc& desc) { watched = desc.instances.size(); });
  const auto sees = [&](std::size_t wanted) {
    for (int i = 0; i < 600 && watched != wanted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return watched == wanted;
  };
  EXPECT_TRUE(sees(0));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        int tries = 0;
        while (!store.update(key, [&](Desc& desc) -> Result<bool> {
          desc.instances[id] = instance(id, static_cast<std::uint32_t>(t * 100 + i));
          return true;
        }, {}).ok() && ++tries < 20) {
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store.get(key, {}).value().instances.size(), 40U);
  EXPECT_TRUE(sees(40));
}

TEST(EtcdLive, ChangesRacesAndWatches) {
  const char* address = std::getenv("SKALD_TEST_ETCD");
  if (address == nullptr) GTEST_SKIP() << "SKALD_TEST_ETCD is not set";
  config::EtcdConfig config;
  config.endpoints = {address};
  if (const char* user = std::getenv("SKALD_TEST_ETCD_USER")) config.username = user, config.password = std::getenv("SKALD_TEST_ETCD_PASSWORD");
  obs::Registry registry;
  exercise(*open_etcd_kv(config, registry).value());
}

TEST(ConsulLive, ChangesRacesAndWatches) {
  const char* address = std::getenv("SKALD_TEST_CONSUL");
  if (address == nullptr) GTEST_SKIP() << "SKALD_TEST_CONSUL is not set";
  config::ConsulConfig config;
  config.host = address;
  config.cas_retry_delay = 20 * kNanosPerMilli;
  if (const char* token = std::getenv("SKALD_TEST_CONSUL_TOKEN")) config.acl_token = token;
  obs::Registry registry;
  exercise(*open_consul_kv(config, registry).value());
}

}  // namespace
}  // namespace skald::ring
