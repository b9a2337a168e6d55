// Tenants, limits and ends of requests as clients of the routes see them.
#include <future>
#include <thread>

#include "read_fixture.h"

namespace skald::api::testing {
namespace {

constexpr char kUpgrade[] = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

class BoundsTest : public ReadTest {
 protected:
  void SetUp() override {
    ReadTest::SetUp();
    ingester_.data.add(R"({app="web"})", {{kBase, "one"}, {kBase + kSecond, "two"}, {kBase + 2 * kSecond, "three"}});
  }
  Answer range(const std::string& query, const std::string& headers = "", std::vector<std::pair<std::string, std::string>> more = {}) {
    more.insert(more.begin(), {{"query", query}, {"start", "2026-01-15T10:00:00Z"}, {"end", "2026-01-15T11:00:00Z"}});
    return get("/loki/api/v1/query_range", more, headers);
  }
};

class SmallMemory : public BoundsTest {
 protected:
  void SetUp() override {
    options_.query_memory_bytes_max = 1 << 16;
    BoundsTest::SetUp();
    std::vector<skald::testing::Entry> entries;
    for (int i = 0; i < 100; ++i) entries.push_back({kBase + i, std::string(2000, 'x')});
    ingester_.data.add(R"({app="big"})", std::move(entries));
  }
};

TEST_F(SmallMemory, IsABadRequest) {
  const Answer answer = range(R"({app="big"})");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body, "query needs more than its memory budget of 65536 bytes; narrow the time range or the selector");
  EXPECT_EQ(range(R"({app="web"})").status, 200);
}

TEST_F(BoundsTest, SeriesLimitIsPartialForLogsDrilldown) {
  limits_.limits->max_query_series = 2;
  const std::string query = R"(count_over_time({app="web"} | label_format n=`{{__line__}}` [1m]))";
  const Answer refused = range(query);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.body, "maximum number of series (2) reached for a single query; consider reducing query cardinality by adding more specific stream selectors, "
                          "reducing the time range, or aggregating results with functions like sum(), count() or topk()");
  const Answer partial = range(query, "X-Query-Tags: Source=grafana-lokiexplore-app\r\n");
  EXPECT_EQ(partial.status, 200);
  EXPECT_NE(partial.body.find(R"(,"warnings":["maximum number of series (2) reached for a single query; returning partial results"])"), std::string::npos);
}

TEST_F(BoundsTest, VolumeSeriesLimit) {
  ingester_.data.add(R"({app="api"})", {{kBase, "x"}}, 2);
  limits_.limits->volume_max_series = 1;
  const std::vector<std::pair<std::string, std::string>> params = {{"query", R"({app=~".+"})"}, {"start", "2026-01-15T10:00:00Z"}, {"end", "2026-01-15T11:00:00Z"}};
  EXPECT_EQ(get("/loki/api/v1/index/volume", params).body, "the query hit the max number of series limit (limit: 1 series)");
  limits_.limits->volume_enabled = false;
  const Answer off = get("/loki/api/v1/index/volume", params);
  EXPECT_EQ(off.status, 404);
  EXPECT_EQ(off.body, "not found");
}

TEST_F(BoundsTest, Lookback) {
  limits_.limits->max_query_lookback = 1800 * kSecond;   // now is 11:00
  EXPECT_NE(range(R"({app="web"})").body.find(R"("result":[])"), std::string::npos) << "cut off without an error";
  EXPECT_NE(get("/loki/api/v1/query_range", {{"query", R"({app="web"})"}, {"start", "2026-01-15T09:00:00Z"}, {"end", "2026-01-15T10:10:00Z"}}).body.find(R"("result":[])"), std::string::npos);
  const Answer labels = get("/loki/api/v1/labels", {{"start", "2026-01-15T09:00:00Z"}, {"end", "2026-01-15T10:10:00Z"}});
  EXPECT_EQ(labels.status, 400);
  EXPECT_EQ(labels.body, "this data is no longer available, it is past now - max_query_lookback (30m)");
  EXPECT_EQ(get("/loki/api/v1/series", {{"start", "2026-01-15T09:00:00Z"}, {"end", "2026-01-15T10:10:00Z"}}).body, "{\"status\":\"success\",\"data\":[]}\n");
}

TEST_F(BoundsTest, QueryingSwitchedOffIs429) {
  limits_.limits->max_query_parallelism = 0;
  const Answer answer = range(R"({app="web"})");
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.body, "querying is disabled, please contact your Loki operator");
}

TEST_F(BoundsTest, ADeadlineIs504) {
  limits_.limits->query_timeout = 1;
  ingester_.on_select = [this](const CallContext&) { clock_.advance_ns(2); };
  const Answer answer = range(R"({app="web"})");
  EXPECT_EQ(answer.status, 504);
  EXPECT_EQ(answer.body, "request timed out, decrease the duration of the request or add more label matchers (prefer exact match over regex match) to reduce the amount of data processed");
}

TEST_F(BoundsTest, AClientThatGoesAwayEndsItsQuery) {
  std::promise<void> asked;
  std::promise<ErrorCode> ended;
  bool first = true;
  ingester_.on_select = [&](const CallContext& ctx) {
    if (!std::exchange(first, false)) return;
    asked.set_value();
    Result<void> alive;
    while ((alive = ctx.check()).ok()) std::this_thread::yield();
    ended.set_value(alive.error().code());
  };
  {
    Connection connection(server_->port());
    connection.send("GET /loki/api/v1/query_range?query=" + encode(R"({app="web"})") + " HTTP/1.1\r\nHost: x\r\n\r\n");
    asked.get_future().wait();
  }
  EXPECT_EQ(ended.get_future().get(), ErrorCode::kCancelled);
  EXPECT_EQ(range(R"({app="web"})").status, 200);
}

TEST_F(BoundsTest, BlockedQueriesAreCounted) {
  limits_.limits->blocked_queries = {{.query_tags = "source=bad"}};
  EXPECT_EQ(range(R"({app="web"})", "X-Query-Tags: Source=bad\r\n").body, "query blocked by policy");
  EXPECT_EQ(range(R"({app="web"})", "X-Query-Tags: Source=good\r\n").status, 200);
  EXPECT_NE(registry_.expose_text().find("loki_blocked_queries{user=\"fake\"} 1"), std::string::npos);
}

TEST_F(BoundsTest, ParquetIsRefused) {
  const Answer answer = range(R"({app="web"})", "Accept: application/vnd.apache.parquet\r\n");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body, "support for Parquet encoded responses is disabled. Enable with -frontend.support-parquet-encoding=true");
}

TEST_F(BoundsTest, LimitsOfARequestNeedLeave) {
  EXPECT_EQ(range(R"({app="web"})", "X-Loki-Query-Limits: {\"maxEntriesLimitPerQuery\":10}\r\n").status, 200);
}

TEST_F(BoundsTest, IndexShards) {
  const auto shards = [&](const std::string& target) {
    return get("/loki/api/v1/index/shards", {{"query", R"(sum(rate({app="web"} |= "x" [1m])))"}, {"start", "2026-01-15T10:00:00Z"}, {"end", "2026-01-15T11:00:00Z"}, {"targetBytesPerShard", target}});
  };
  EXPECT_NE(shards("600MB").body.find(R"({"shards":[{"bounds":{"min":0,"max":18446744073709551615},"stats":{"streams":1,"chunks":1,"bytes":0,"entries":3}}],"statistics":{"summary":)"), std::string::npos);
  EXPECT_EQ(shards("").body, "targetBytesPerShard must be a positive value");
  EXPECT_EQ(shards("0").body, "targetBytesPerShard must be a positive value");
}

class PerRequestLimits : public BoundsTest {
 protected:
  void SetUp() override {
    options_.per_request_limits = true;
    BoundsTest::SetUp();
  }
};

TEST_F(PerRequestLimits, Hold) {
  EXPECT_EQ(range(R"({app="web"})", "X-Loki-Query-Limits: {\"maxEntriesLimitPerQuery\":10}\r\n").body,
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (100 > 10)");
  EXPECT_EQ(range(R"({app="web"})", "X-Loki-Query-Limits: {\"maxEntriesLimitPerQuery\":9999999}\r\n", {{"limit", "6000"}}).body,
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (6000 > 5000)");
  EXPECT_EQ(range(R"({app="web"})", "X-Loki-Query-Limits: nonsense\r\n").status, 400);
}

class TwoTenants : public BoundsTest {
 protected:
  void SetUp() override {
    tenants_ = true;
    options_.multi_tenant_queries = true;
    BoundsTest::SetUp();
    ingester_.tenants["a"].add(R"({app="x"})", {{kBase, "of a"}});
    ingester_.tenants["b"].add(R"({app="x"})", {{kBase + 1, "of b"}});
  }
};

TEST_F(TwoTenants, AreReadTogether) {
  const std::string both = "X-Scope-OrgID: b|a\r\n";
  const Answer answer = range(R"({app="x"})", both);
  EXPECT_NE(answer.body.find(R"({"stream":{"__tenant_id__":"a","app":"x"},"values":[["1768471200000000000","of a"]]},{"stream":{"__tenant_id__":"b","app":"x"})"), std::string::npos) << answer.body;
  EXPECT_NE(range(R"({app="x", __tenant_id__="b"})", both).body.find(R"("result":[{"stream":{"__tenant_id__":"b","app":"x"},)"), std::string::npos);
  EXPECT_EQ(get("/loki/api/v1/label/__tenant_id__/values", {}, both).body, "{\"status\":\"success\",\"data\":[\"a\",\"b\"]}\n");
  EXPECT_NE(get("/loki/api/v1/query", {{"query", R"(sum by (__tenant_id__) (count_over_time({app="x"}[1h])))"}, {"time", "1768471260"}}, both).body.find(
                R"("result":[{"metric":{"__tenant_id__":"a"},"value":[1768471260,"1"]},{"metric":{"__tenant_id__":"b"},"value":[1768471260,"1"]}])"), std::string::npos);
  EXPECT_NE(get("/loki/api/v1/detected_labels", {{"start", "2026-01-15T10:00:00Z"}, {"end", "2026-01-15T11:00:00Z"}}, both).body.find("__tenant_id__"), std::string::npos);
  const Answer volume = get("/loki/api/v1/index/volume", {{"query", R"({app="x"})"}, {"start", "2026-01-15T10:00:00Z"}, {"end", "2026-01-15T11:00:00Z"}}, both);
  EXPECT_NE(volume.body.find(R"({"metric":{"app":"x"},"value":[1768474800,"8"]})"), std::string::npos) << volume.body;
  EXPECT_EQ(range(R"({app="x"})", "X-Scope-OrgID: a\r\n").body.find("__tenant_id__"), std::string::npos) << "one tenant alone is not named";
  EXPECT_EQ(range(R"({app="x"})", "X-Scope-OrgID: a|b/c\r\n").status, 400);
  EXPECT_EQ(range(R"({app="x"})").status, 401);
}

class Tails : public BoundsTest {
 protected:
  void SetUp() override {
    options_.tail_duration_max_ns = 60 * kSecond;
    BoundsTest::SetUp();
    limits_.limits->max_concurrent_tail_requests = 1;
  }
  void upgrade(Connection& connection) {
    connection.send("GET /loki/api/v1/tail?query=" + encode(R"({app="web"})") + " HTTP/1.1\r\nHost: x\r\n" + kUpgrade + "\r\n");
  }
};

TEST_F(Tails, OneTooManyIsRefused) {
  Connection first(server_->port()), second(server_->port());
  upgrade(first);
  ASSERT_EQ(first.receive().status, 101);
  EXPECT_NE(first.receive_frame(), "") << "the history: the tail runs";
  EXPECT_NE(registry_.expose_text().find("loki_querier_tail_active 1"), std::string::npos);
  upgrade(second);
  const Answer refused = second.receive();
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.body, "max concurrent tail requests limit exceeded, count > limit (2 > 1)");
}

TEST_F(Tails, EndAfterTheirTime) {
  Connection connection(server_->port());
  upgrade(connection);
  ASSERT_EQ(connection.receive().status, 101);
  EXPECT_NE(connection.receive_frame(), "");
  clock_.advance_ns(61 * kSecond);
  EXPECT_NE(connection.receive_frame().find("reached tail max duration limit"), std::string::npos);
}

TEST_F(BoundsTest, StoppingEndsWhatRuns) {
  std::promise<void> asked;
  ingester_.on_select = [&](const CallContext& ctx) {
    asked.set_value();
    while (ctx.check().ok()) std::this_thread::yield();
  };
  Connection connection(server_->port());
  connection.send("GET /loki/api/v1/query_range?query=" + encode(R"({app="web"})") + " HTTP/1.1\r\nHost: x\r\n\r\n");
  asked.get_future().wait();
  server_->stop(0);
  routes_.reset();   // comes back because the query was cancelled
  EXPECT_EQ(connection.receive().status, 0);
}

class OneAtATime : public BoundsTest {
 protected:
  void SetUp() override {
    options_.concurrent_queries = 1;
    options_.waiting_queries_max = 1000;
    BoundsTest::SetUp();
  }
};

TEST_F(OneAtATime, ManyQueriesAreAllAnswered) {
  std::vector<std::future<int>> statuses;
  for (int i = 0; i < 40; ++i) statuses.push_back(std::async(std::launch::async, [this] { return range(R"({app="web"})").status; }));
  for (auto& status : statuses) EXPECT_EQ(status.get(), 200);
}

}  // namespace
}  // namespace skald::api::testing
