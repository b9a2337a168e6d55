#include "skald/ruler/ruler.h"

#include <gtest/gtest.h>

#include <latch>

#include "doubles.h"
#include "skald/config/load.h"
#include "skald/objstore/stores.h"

namespace skald::ruler {
namespace {

constexpr std::int64_t kMinute = kNanosPerMinute;

RuleGroup group_of(const std::string& name, const std::string& expr = "vector(1)") {
  Rule rule;
  rule.alert = "A";
  rule.expr = expr;
  RuleGroup group;
  group.name = name;
  group.rules = {rule};
  return group;
}

class RulerTest : public testing::Test {
 protected:
  Ruler& ruler() {
    if (!ruler_) ruler_ = std::make_unique<Ruler>(RulerDeps{store_, *files_, queries_, alerts_, nullptr, registry_, clock_, owns_}, options_);
    return *ruler_;
  }
  void put(const std::string& tenant, const std::string& name_space, const RuleGroup& group) {
    CallContext ctx;
    ctx.tenant = tenant;
    ASSERT_TRUE(store_.set(ctx, name_space, group).ok());
  }
  std::vector<std::string> names(const std::string& tenant) {
    std::vector<std::string> out;
    for (const GroupStatus& group : ruler().status(tenant)) out.push_back(group.name_space + ";" + group.name);
    return out;
  }
  void write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(files_->make_directories(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(io::replace_file(*files_, path, text).ok());
  }

  std::unique_ptr<objstore::ObjectStore> objects_ = objstore::make_memory_store();
  RuleStore store_{*objects_};
  std::unique_ptr<io::FileSystem> files_ = io::make_memory_file_system();
  FakeQueries queries_;
  FakeAlerts alerts_;
  obs::Registry registry_;
  FakeClock clock_;
  RulerOptions options_;
  std::function<bool(const std::string&, const std::string&, const std::string&)> owns_;
  std::unique_ptr<Ruler> ruler_;
};

TEST_F(RulerTest, EvaluatesTheGroupsOfAllTenantsOncePerInterval) {
  put("a", "ns", group_of("g1"));
  put("b", "ns", group_of("g1"));
  put("b", "other", group_of("g2"));
  ASSERT_TRUE(ruler().sync().ok());
  EXPECT_EQ(names("a"), (std::vector<std::string>{"ns;g1"}));
  EXPECT_EQ(names("b"), (std::vector<std::string>{"ns;g1", "other;g2"}));
  EXPECT_TRUE(names("c").empty());
  std::size_t evaluated = 0;
  for (int second = 0; second < 120; ++second) {
    clock_.advance_ns(kNanosPerSecond);
    evaluated += ruler().run_due();
  }
  EXPECT_EQ(evaluated, 6U);
  std::map<std::string, int> tenants;
  for (const auto& asked : queries_.asked) ++tenants[asked.tenant];
  EXPECT_EQ(tenants, (std::map<std::string, int>{{"a", 2}, {"b", 4}}));
}

TEST_F(RulerTest, ASlowGroupMissesSlotsAndSaysSo) {
  put("a", "ns", group_of("g1"));
  ASSERT_TRUE(ruler().sync().ok());
  clock_.advance_ns(kMinute);
  // Each run ends three slots later, so the next is due at once.
  std::int64_t due = 0;
  queries_.on_run = [&] {
    if (++due <= 2) clock_.advance_ns(3 * kMinute);
  };
  EXPECT_EQ(ruler().run_due(), 3U);
  auto& missed = registry_.counter_family("loki_prometheus_rule_group_iterations_missed_total", "", {"user", "rule_group"});
  EXPECT_EQ(missed.with({"a", "/rules/a/ns;g1"}).value(), 4);
}

TEST_F(RulerTest, ChangesOfTheStoreAreFollowed) {
  put("a", "ns", group_of("g1"));
  put("a", "ns", group_of("g2"));
  ASSERT_TRUE(ruler().sync().ok());
  queries_.answers["vector(1)"] = {{{}, 1}};
  clock_.advance_ns(kMinute);
  EXPECT_EQ(ruler().run_due(), 2U);
  EXPECT_EQ(ruler().status("a").at(0).rules.at(0).state, AlertState::kFiring);
  put("a", "ns", group_of("g1", "vector(2)"));
  CallContext ctx;
  ctx.tenant = "a";
  ASSERT_TRUE(store_.remove_group(ctx, "ns", "g2").ok());
  ASSERT_TRUE(ruler().sync().ok());
  EXPECT_EQ(names("a"), (std::vector<std::string>{"ns;g1"}));
  EXPECT_EQ(ruler().status("a").at(0).rules.at(0).rule.expr, "vector(2)");
  EXPECT_EQ(ruler().status("a").at(0).rules.at(0).state, AlertState::kFiring) << "the alert stays";
  ASSERT_TRUE(store_.remove_group(ctx, "ns", "g1").ok());
  ASSERT_TRUE(ruler().sync().ok());
  EXPECT_TRUE(names("a").empty());
  EXPECT_EQ(registry_.expose_text().find("/rules/a/ns;g1"), std::string::npos);
}

TEST_F(RulerTest, ABrokenTenantKeepsItsRulesAndDoesNotStopOthers) {
  put("a", "ns", group_of("g1"));
  put("b", "ns", group_of("g1"));
  ASSERT_TRUE(ruler().sync().ok());
  ASSERT_TRUE(objects_->put("a/rules/" + encode_name("ns") + "/" + encode_name("bad"), "[", {}).ok());
  put("b", "ns", group_of("g2"));
  EXPECT_FALSE(ruler().sync().ok());
  EXPECT_EQ(names("a"), (std::vector<std::string>{"ns;g1"}));
  EXPECT_EQ(names("b"), (std::vector<std::string>{"ns;g1", "ns;g2"}));
  EXPECT_EQ(registry_.gauge_family("loki_ruler_config_last_reload_successful", "", {"user"}).with({"a"}).value(), 0);
  EXPECT_EQ(registry_.gauge_family("loki_ruler_config_last_reload_successful", "", {"user"}).with({"b"}).value(), 1);
}

TEST_F(RulerTest, RuleFilesOfOperatorsCount) {
  options_.local_directory = "/rules-dir";
  ASSERT_TRUE(ruler().sync().ok()) << "no directory yet";
  write("/rules-dir/a/one.yaml", "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: vector(1)\n");
  write("/rules-dir/a/..data", "junk");
  write("/rules-dir/a/two.yaml", "groups:\n  - name: h\n    interval: 5m\n    rules: []\n");
  put("a", "api", group_of("g1"));
  ASSERT_TRUE(ruler().sync().ok());
  EXPECT_EQ(names("a"), (std::vector<std::string>{"api;g1", "one.yaml;g", "two.yaml;h"}));
  write("/rules-dir/a/one.yaml", "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: sum(\n");
  ASSERT_TRUE(ruler().sync().ok());
  EXPECT_EQ(names("a").size(), 3U) << "a typing error silences nothing";
  EXPECT_EQ(registry_.gauge_family("loki_ruler_config_last_reload_successful", "", {"user"}).with({"a"}).value(), 0);
  ASSERT_TRUE(files_->remove("/rules-dir/a/one.yaml").ok());
  ASSERT_TRUE(ruler().sync().ok());
  EXPECT_EQ(names("a"), (std::vector<std::string>{"api;g1", "two.yaml;h"}));
}

TEST_F(RulerTest, OnlyTenantsAndGroupsThatAreOursAreEvaluated) {
  options_.enabled_tenants = {"a", "b"};
  options_.disabled_tenants = {"b"};
  owns_ = [](const std::string&, const std::string&, const std::string& group) { return group != "g2"; };
  for (const char* tenant : {"a", "b", "c"}) put(tenant, "ns", group_of("g1"));
  put("a", "ns", group_of("g2"));
  ASSERT_TRUE(ruler().sync().ok());
  EXPECT_EQ(names("a"), (std::vector<std::string>{"ns;g1"}));
  EXPECT_TRUE(names("b").empty());
  EXPECT_TRUE(names("c").empty());
}

TEST_F(RulerTest, AClockSetBackDoesNotStopEvaluation) {
  put("a", "ns", group_of("g1"));
  ASSERT_TRUE(ruler().sync().ok());
  clock_.advance_ns(kMinute);
  EXPECT_EQ(ruler().run_due(), 1U);
  clock_.advance_ns(-10 * kNanosPerHour);
  EXPECT_EQ(ruler().run_due(), 0U);
  clock_.advance_ns(kMinute);
  EXPECT_EQ(ruler().run_due(), 1U);
}

TEST_F(RulerTest, ThreadsEvaluateAndStopAtOnce) {
  // With the real clock and a short interval.
  std::latch twice(2);
  std::atomic<int> runs{0};
  queries_.on_run = [&] {
    if (++runs <= 2) twice.count_down();
  };
  RuleGroup group = group_of("g1");
  group.interval_ns = 20 * kNanosPerMilli;
  put("a", "ns", group);
  Ruler ruler({store_, *files_, queries_, alerts_, nullptr, registry_, system_clock(), nullptr}, options_);
  ruler.start();
  twice.wait();
  put("a", "ns", group_of("g2"));
  ruler.changed("a");
  while (ruler.status("a").size() < 2) std::this_thread::yield();
  ruler.stop();
}

TEST(RulerOptions, ComeFromTheConfiguration) {
  config::Config config;
  config.other = {{"ruler.evaluation_interval", "30s"}, {"ruler.poll_interval", "2m0s"}, {"ruler.alertmanager_url", "http://a:9093, https://b/x"},
                  {"ruler.external_url", "https://g/"}, {"ruler.enabled_tenants", "a,b"}, {"ruler.enable_alertmanager_v2", "false"},
                  {"ruler.notification_queue_capacity", "7"}, {"ruler.alertmanager_client.basic_auth_password", "s"}};
  config.ruler.local_directory = "/r";
  const auto options = ruler_options(config);
  ASSERT_TRUE(options.ok()) << options.error().message();
  EXPECT_EQ(options->evaluation_interval_ns, 30 * kNanosPerSecond);
  EXPECT_EQ(options->poll_interval_ns, 2 * kMinute);
  EXPECT_EQ(options->alertmanager.urls, (std::vector<std::string>{"http://a:9093", "https://b/x"}));
  EXPECT_EQ(options->external_url, "https://g");
  EXPECT_FALSE(options->alertmanager.v2);
  EXPECT_EQ(options->alertmanager.queue_capacity, 7U);
  EXPECT_EQ(options->alertmanager.basic_auth_password, "s");
  EXPECT_EQ(options->local_directory, "/r");
  EXPECT_FALSE(options->remote_write.enabled);
  EXPECT_TRUE(options->serves("a"));
  EXPECT_FALSE(options->serves("c"));
}

TEST(RulerOptions, WhatCannotBeDoneIsRefusedByName) {
  const auto reason = [](const std::string& key, const std::string& value) {
    config::Config config;
    config.other[key] = value;
    const auto options = ruler_options(config);
    return options.ok() ? std::string() : options.error().message();
  };
  EXPECT_NE(reason("ruler.enable_alertmanager_discovery", "true").find("ruler.enable_alertmanager_discovery"), std::string::npos);
  EXPECT_NE(reason("ruler.evaluation.mode", "remote").find("ruler.evaluation.mode"), std::string::npos);
  EXPECT_NE(reason("ruler.evaluation_interval", "0s").find("ruler.evaluation_interval"), std::string::npos);
  EXPECT_NE(reason("ruler.alertmanager_url", "alertmanager:9093").find("ruler.alertmanager_url"), std::string::npos);
  EXPECT_EQ(reason("ruler.evaluation.mode", "local"), "");
  EXPECT_NE(reason("ruler.remote_write.enabled", "true").find("ruler.remote_write.clients"), std::string::npos);
}

TEST(RulerOptions, ReceiversComeFromTheFile) {
  for (const char* yaml : {"ruler:\n  remote_write:\n    enabled: true\n    clients:\n      m: {url: 'https://m/push', headers: {X-A: \"it's\"}, basic_auth: {username: u, password: 007}}\n",
                           "ruler:\n  remote_write:\n    enabled: true\n    client: {url: 'https://m/push', headers: {X-A: \"it's\"}, basic_auth: {username: u, password: 007}}\n"}) {
    SCOPED_TRACE(yaml);
    const auto loaded = config::load_text(yaml, "test.yaml");
    ASSERT_TRUE(loaded.ok()) << loaded.error().message();
    EXPECT_TRUE(loaded->warnings.empty()) << loaded->warnings.front();
    const auto options = ruler_options(loaded->config);
    ASSERT_TRUE(options.ok()) << options.error().message();
    ASSERT_EQ(options->remote_write.clients.size(), 1U);
    EXPECT_EQ(options->remote_write.clients[0].url, "https://m/push");
    EXPECT_EQ(options->remote_write.clients[0].headers.at("X-A"), "it's");
    EXPECT_EQ(options->remote_write.clients[0].password, "007");
    EXPECT_TRUE(options->remote_write.wal_dir.ends_with("/ruler-wal")) << options->remote_write.wal_dir;
    EXPECT_EQ(config::print_config(loaded->config).find("007"), std::string::npos) << "secrets are not shown";
  }
}

}  // namespace
}  // namespace skald::ruler
