#include "skald/ruler/notifier.h"

#include <gtest/gtest.h>

#include <atomic>

#include "ruler/base64.h"
#include "ruler/links.h"
#include "skald/exec/pool.h"
#include "skald/http/server.h"

namespace skald::ruler {
namespace {

// An Alertmanager that remembers what it is told.
class FakeAlertmanager {
 public:
  FakeAlertmanager() : server_(options(), pool_, registry_) {
    for (const char* path : {"/api/v2/alerts", "/api/v1/alerts", "/prefix/api/v2/alerts"}) {
      http::Route route;
      route.methods = {"POST"};
      route.pattern = path;
      route.name = "alerts";
      route.handler = [this](std::shared_ptr<http::Request> request, http::Responder respond) {
        {
          const std::scoped_lock lock(mutex_);
          requests_.push_back(*request);
        }
        changed_.notify_all();
        respond(http::Response::text(status, "answer"));
      };
      server_.add(std::move(route));
    }
    EXPECT_TRUE(server_.start().ok());
  }
  ~FakeAlertmanager() { server_.stop(0); }

  std::string host() const { return "127.0.0.1:" + std::to_string(server_.port()); }
  std::vector<http::Request> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return requests_.size() >= count; });
    return requests_;
  }
  std::atomic<int> status{200};

 private:
  static http::ServerOptions options() {
    http::ServerOptions out;
    out.listen_address = "127.0.0.1";
    out.port = 0;
    out.io_threads = 1;
    return out;
  }
  std::mutex mutex_;                       // guards requests_
  std::condition_variable changed_;
  std::vector<http::Request> requests_;
  obs::Registry registry_;
  exec::Pool pool_{"test", 2};             // ends before what its handlers use
  http::Server server_;
};

Notification alert_named(const std::string& name) {
  Notification alert;
  alert.labels = model::Labels::from_pairs({{"alertname", name}, {"quote", "a\"b"}});
  alert.annotations = model::Labels::from_pairs({{"summary", "two\nlines"}});
  alert.starts_at_ns = 1'700'000'000 * kNanosPerSecond;
  alert.ends_at_ns = 1'700'000'000 * kNanosPerSecond + 500 * kNanosPerMilli;
  alert.generator_url = "https://g/explore";
  return alert;
}

class NotifierTest : public testing::Test {
 protected:
  Notifier& notifier() {
    if (!notifier_) {
      auto made = Notifier::create(options_, *files_, registry_);
      EXPECT_TRUE(made.ok()) << made.error().message();
      notifier_ = std::move(made).value();
    }
    return *notifier_;
  }
  double counted(const std::string& name, const std::vector<std::string>& labels) {
    const bool two = labels.size() == 2;
    return registry_.counter_family(name, "", two ? std::vector<std::string>{"user", "alertmanager"} : std::vector<std::string>{"user"}).with(labels).value();
  }
  AlertmanagerOptions options_;
  obs::Registry registry_;
  std::unique_ptr<io::FileSystem> files_ = io::make_memory_file_system();
  std::unique_ptr<Notifier> notifier_;
};

TEST_F(NotifierTest, EveryAlertmanagerIsToldInItsOwnForm) {
  FakeAlertmanager a, b;
  options_.urls = {"http://" + a.host(), "http://user:p%40ss@" + b.host() + "/prefix/"};
  notifier().send("t1", {alert_named("Down")});
  const http::Request at_a = a.wait_for(1).at(0), at_b = b.wait_for(1).at(0);
  EXPECT_EQ(at_a.path, "/api/v2/alerts");
  EXPECT_EQ(at_b.path, "/prefix/api/v2/alerts");
  EXPECT_EQ(*at_a.header("X-Scope-OrgID"), "t1");
  EXPECT_EQ(*at_a.header("Content-Type"), "application/json");
  EXPECT_EQ(at_a.header("Authorization"), nullptr);
  EXPECT_EQ(*at_b.header("Authorization"), "Basic " + base64("user:p@ss"));
  EXPECT_EQ(*at_a.body, R"([{"labels":{"alertname":"Down","quote":"a\"b"},"annotations":{"summary":"two\nlines"},)"
                        R"("startsAt":"2023-11-14T22:13:20Z","endsAt":"2023-11-14T22:13:20.5Z","generatorURL":"https://g/explore"}])");
}

TEST_F(NotifierTest, OldAlertmanagersAndCredentialsFromAFile) {
  FakeAlertmanager a;
  ASSERT_TRUE(files_->make_directories("/secret").ok());
  ASSERT_TRUE(io::replace_file(*files_, "/secret/token", "abc\n").ok());
  options_.urls = {"http://" + a.host()};
  options_.v2 = false;
  options_.credentials_file = "/secret/token";
  notifier().send("t1", {alert_named("Down")});
  const http::Request request = a.wait_for(1).at(0);
  EXPECT_EQ(request.path, "/api/v1/alerts");
  EXPECT_EQ(*request.header("Authorization"), "Bearer abc");
}

TEST_F(NotifierTest, OneThatTakesThemIsEnough) {
  FakeAlertmanager good, bad;
  bad.status = 503;
  options_.urls = {"http://" + bad.host(), "http://" + good.host()};
  notifier().send("t1", {alert_named("A"), alert_named("B")});
  good.wait_for(1);
  notifier().stop();
  EXPECT_EQ(counted("loki_prometheus_notifications_errors_total", {"t1", "http://" + bad.host() + "/api/v2/alerts"}), 2);
  EXPECT_EQ(counted("loki_prometheus_notifications_errors_total", {"t1", "http://" + good.host() + "/api/v2/alerts"}), 0);
  EXPECT_EQ(counted("loki_prometheus_notifications_sent_total", {"t1", "http://" + good.host() + "/api/v2/alerts"}), 2);
  EXPECT_EQ(counted("loki_prometheus_notifications_dropped_total", {"t1"}), 0);
}

TEST_F(NotifierTest, WhatNobodyTakesIsCountedAsDropped) {
  FakeAlertmanager bad;
  bad.status = 500;
  options_.urls = {"http://" + bad.host()};
  notifier().send("t1", {alert_named("A")});
  bad.wait_for(1);
  notifier().stop();
  EXPECT_EQ(counted("loki_prometheus_notifications_dropped_total", {"t1"}), 1);
}

TEST_F(NotifierTest, AFullQueueLosesTheOldest) {
  FakeAlertmanager a;
  options_.urls = {"http://" + a.host()};
  options_.queue_capacity = 2;
  notifier().send("t1", {alert_named("A"), alert_named("B"), alert_named("C")});
  const std::string body = *a.wait_for(1).at(0).body;
  EXPECT_EQ(body.find("\"A\""), std::string::npos);
  EXPECT_NE(body.find("\"B\""), std::string::npos);
  EXPECT_NE(body.find("\"C\""), std::string::npos);
  EXPECT_EQ(counted("loki_prometheus_notifications_dropped_total", {"t1"}), 1);
}

TEST_F(NotifierTest, ManyAlertsLeaveInSeveralRequestsBeforeStopping) {
  FakeAlertmanager a;
  options_.urls = {"http://" + a.host()};
  std::vector<Notification> alerts;
  for (int i = 0; i < 150; ++i) alerts.push_back(alert_named("N" + std::to_string(i)));
  notifier().send("t1", std::move(alerts));
  notifier().stop();
  EXPECT_EQ(a.wait_for(3).size(), 3U);
}

TEST_F(NotifierTest, WithoutAlertmanagersNothingIsKept) {
  notifier().send("t1", {alert_named("A")});
  notifier().stop();
  EXPECT_EQ(counted("loki_prometheus_notifications_dropped_total", {"t1"}), 0);
}

TEST(Base64, MatchesTheVectorsOfRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

TEST(ExploreLink, HoldsTheQuery) {
  EXPECT_EQ(explore_link("vector(1) > 0", "u"),
            "/explore?left={\"queries\":[%7B%22datasource%22%3A%7B%22type%22%3A%22loki%22%2C%22uid%22%3A%22u%22%7D%2C%22expr%22%3A%22vector%281%29+%3E+0%22%2C%22queryType%22%3A%22range%22%7D]}");
}

}  // namespace
}  // namespace skald::ruler
