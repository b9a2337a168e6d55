#include "skald/api/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skald/http/client.h"
#include "skald/objstore/stores.h"

namespace skald::api {
namespace {

using ::testing::HasSubstr;

class FakeStates final : public ruler::RuleStates {
 public:
  Result<std::vector<ruler::GroupStatus>> status(const CallContext& ctx) const override {
    if (!trouble.empty()) return Error(ErrorCode::kUnavailable, trouble);
    ruler::RuleStatus rule;
    rule.rule.alert = "A", rule.rule.expr = "vector(1)", rule.health = "ok", rule.state = ruler::AlertState::kFiring;
    rule.alerts.push_back({.labels = model::Labels::from_pairs({{"alertname", "A"}}), .annotations = {}, .state = ruler::AlertState::kFiring, .value = 1});
    return std::vector<ruler::GroupStatus>{{.name_space = ctx.tenant, .name = "g", .interval_ns = kNanosPerMinute, .limit = 0, .rules = {rule}}};
  }
  void changed(const std::string& tenant) override { told.push_back(tenant); }
  std::string trouble;
  std::vector<std::string> told;
};

class RuleApi : public ::testing::Test {
 protected:
  void SetUp() override {
    add_rule_routes(server_, rules_, {true, ""}, &states_);
    ASSERT_TRUE(server_.start().ok());
  }
  void TearDown() override { server_.stop(1000); }
  http::ClientResponse call(const std::string& method, const std::string& path, const std::string& body = "") {
    const http::ClientRequest request{.method = method, .url = "http://127.0.0.1:" + std::to_string(server_.port()) + path,
                                      .headers = {{"X-Scope-OrgID", "t"}, {"Content-Type", "application/yaml"}}, .body = body};
    auto response = client_->call(request, {});
    EXPECT_TRUE(response.ok());
    return response.ok() ? *std::move(response) : http::ClientResponse{};
  }

  FakeStates states_;
  std::unique_ptr<objstore::ObjectStore> objects_ = objstore::make_memory_store();
  ruler::RuleStore rules_{*objects_};
  obs::Registry registry_;
  exec::Pool pool_{"test", 2};
  http::Server server_{http::ServerOptions{.listen_address = "127.0.0.1", .port = 0, .io_threads = 1}, pool_, registry_};
  std::unique_ptr<http::Client> client_ = http::Client::create({.proxy = "none"}).value();
};

TEST_F(RuleApi, ShowsTheStatesOfTheTenant) {
  const auto rules = call("GET", "/prometheus/api/v1/rules");
  EXPECT_EQ(rules.status, 200);
  EXPECT_THAT(rules.body, HasSubstr(R"("file":"t")"));
  EXPECT_THAT(call("GET", "/prometheus/api/v1/alerts").body, HasSubstr(R"("state":"firing")"));
}

TEST_F(RuleApi, ARulerThatDoesNotAnswerIsAnErrorInTheFormOfThisApi) {
  states_.trouble = "unable to retrieve rules from ruler \"r2\"";
  for (const char* path : {"/prometheus/api/v1/rules", "/prometheus/api/v1/alerts"}) {
    const auto response = call("GET", path);
    EXPECT_EQ(response.status, 500);
    EXPECT_EQ(response.body, R"({"status":"error","data":null,"errorType":"server_error","error":"unable to retrieve rules from ruler \"r2\""})");
    EXPECT_THAT(*response.header("Content-Type"), HasSubstr("application/json"));
  }
}

TEST_F(RuleApi, ChangesAreTold) {
  EXPECT_EQ(call("POST", "/loki/api/v1/rules/ns", "name: g\nrules:\n  - alert: A\n    expr: vector(1)\n").status, 202);
  EXPECT_EQ(call("DELETE", "/loki/api/v1/rules/ns/g").status, 202);
  EXPECT_EQ(call("DELETE", "/loki/api/v1/rules/ns/g").status, 404);
  EXPECT_EQ(states_.told, (std::vector<std::string>{"t", "t"}));
}

}  // namespace
}  // namespace skald::api
