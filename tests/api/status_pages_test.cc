#include "skald/api/status_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/ring_page.h"
#include "skald/obs/log.h"

namespace skald::api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class FixedLimits final : public config::LimitsProvider {
 public:
  config::LimitsPtr for_tenant(const std::string& tenant) const override {
    auto limits = std::make_shared<config::Limits>();
    if (tenant == "big") limits->max_entries_limit_per_query = 99;
    return limits;
  }
};

class Pages : public ::testing::Test {
 protected:
  Pages() { config_.auth_enabled = true; }
  StatusPages pages() {
    return StatusPages(StatusSources{config_, limits_, registry_, clock_, {"0.1.0", "3.7.0", "abc", "main", "", "", "gcc12"}, {"node-1", "127.0.0.1:9095", "", clock_.now_ns()},
                                     [this] { return reason_; }, [] { return std::vector<ServiceState>{{"server", "Running"}, {"ring", "Running"}}; }});
  }
  static http::Request request(const std::string& method, const std::string& path, const std::string& query = "", std::vector<http::Header> headers = {}) {
    http::Request out;
    out.method = method;
    out.path = path;
    out.raw_query = query;
    out.query = http::Params::parse(query);
    out.form = out.query;
    out.headers = std::move(headers);
    return out;
  }

  config::Config config_ = config::default_config();
  FixedLimits limits_;
  obs::Registry registry_;
  FakeClock clock_;
  std::string reason_;
};

TEST_F(Pages, ReadyGivesTheReasonUntilThereIsNone) {
  EXPECT_EQ(pages().ready().status, 200);
  EXPECT_EQ(pages().ready().body, "ready\n");
  reason_ = "Ingester not ready: starting";
  EXPECT_EQ(pages().ready().status, 503);
  EXPECT_EQ(pages().ready().body, "Ingester not ready: starting\n");
}

TEST_F(Pages, ServicesAreLines) { EXPECT_EQ(pages().services().body, "server => Running\nring => Running\n"); }

TEST_F(Pages, MetricsAreTheRegistryAsText) {
  registry_.counter("loki_x_total", "x").add(3);
  const http::Response response = pages().metrics();
  EXPECT_THAT(response.content_type, HasSubstr("version=0.0.4"));
  EXPECT_THAT(response.body, HasSubstr("loki_x_total 3"));
}

TEST_F(Pages, ConfigModes) {
  config_.ingester.max_chunk_age = 3 * kNanosPerHour;
  const http::Response all = pages().config(request("GET", "/config"));
  for (const char* block : {"limits_config:", "schema_config:", "auth_enabled: true", "max_chunk_age: 3h0m0s"}) EXPECT_THAT(all.body, HasSubstr(block));
  const http::Response diff = pages().config(request("GET", "/config", "mode=diff"));
  EXPECT_THAT(diff.body, HasSubstr("max_chunk_age: 3h0m0s"));
  EXPECT_THAT(diff.body, Not(HasSubstr("http_listen_port")));
  EXPECT_THAT(pages().config(request("GET", "/config", "mode=defaults")).body, HasSubstr("max_chunk_age: 2h0m0s"));
  EXPECT_EQ(pages().config(request("GET", "/config", "mode=x")).status, 400);
}

TEST_F(Pages, TenantLimitsAreThoseOfTheCaller) {
  EXPECT_EQ(pages().tenant_limits(request("GET", "/config/tenant/v1/limits")).status, 401);
  const http::Response big = pages().tenant_limits(request("GET", "/config/tenant/v1/limits", "", {{"X-Scope-OrgID", "big"}}));
  EXPECT_THAT(big.body, HasSubstr("max_entries_limit_per_query: 99\n"));
  EXPECT_THAT(big.body, HasSubstr("discover_log_levels: true\n"));
  EXPECT_THAT(big.body, Not(HasSubstr("ingestion_rate_mb")));
}

TEST_F(Pages, DrilldownLimitsAreJsonAndNeedATenantAlways) {
  config_.auth_enabled = false;
  EXPECT_EQ(pages().drilldown_limits(request("GET", "/")).status, 401);
  const http::Response response = pages().drilldown_limits(request("GET", "/", "", {{"X-Scope-OrgID", "big"}}));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr("{\"limits\":{"));
  EXPECT_THAT(response.body, HasSubstr("\"max_query_length\":\"30d1h\""));
  EXPECT_THAT(response.body, HasSubstr(",\"pattern_ingester_enabled\":false,\"version\":\"3.7.0\"}"));
}

TEST_F(Pages, BuildInfoNamesTheApiVersion) {
  EXPECT_EQ(pages().build_info().body,
            R"({"version":"3.7.0","revision":"abc","branch":"main","buildUser":"","buildDate":"","goVersion":"gcc12","skaldVersion":"0.1.0"})");
}

TEST_F(Pages, LogLevelIsReadAndSet) {
  const log::Level before = log::level();
  http::Response set = pages().log_level(request("POST", "/log_level", "log_level=warn"));
  EXPECT_EQ(set.body, R"({"status":"success","message":"Log level set to warn"})");
  EXPECT_EQ(pages().log_level(request("GET", "/log_level")).body, R"({"message":"Current log level is warn"})");
  set = pages().log_level(request("POST", "/log_level", "log_level=zz"));
  EXPECT_EQ(set.status, 400);
  EXPECT_EQ(set.body, R"({"status":"failed","message":"unrecognized log level \"zz\""})");
  log::set_level(before);
}

TEST_F(Pages, RingsAreHtmlOrJsonByAccept) {
  const http::Response html = pages().ring(request("GET", "/ring"), "Ingester Ring", 4);
  EXPECT_THAT(html.content_type, HasSubstr("text/html"));
  EXPECT_THAT(html.body, HasSubstr("node-1"));
  const http::Response json = pages().ring(request("GET", "/ring", "", {{"Accept", "application/json"}}), "Ingester Ring", 4);
  EXPECT_THAT(json.body, HasSubstr("{\"shards\":[{\"id\":\"node-1\",\"state\":\"ACTIVE\",\"address\":\"127.0.0.1:9095\""));
  const http::Response forget = pages().ring(request("POST", "/compactor/ring", "forget=node-1"), "Compactor Ring", 1);
  EXPECT_EQ(forget.status, 302);
}

}  // namespace
}  // namespace skald::api
