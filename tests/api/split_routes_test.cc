// Queries that run in parts answer as whole ones do, errors included.
#include <atomic>

#include "frontend/shuffling_runner.h"
#include "read_fixture.h"
#include "skald/cache/cache.h"
#include "skald/api/subqueries.h"
#include "skald/frontend/runner.h"

namespace skald::api::testing {
namespace {

class SplitRoutes : public ReadTest {
 protected:
  void SetUp() override {
    // Parts are evaluated as queriers do, which see nothing of the request.
    const frontend::Evaluate evaluate = make_evaluate(querier_, pool_, options_.query_memory_bytes_max);
    runner_ = std::make_shared<frontend::testing::ShufflingRunner>([this, evaluate](const CallContext& ctx, const frontend::Subquery& subquery) {
      CallContext own;
      own.tenant = subquery.tenant;
      own.deadline_monotonic_ns = ctx.deadline_monotonic_ns;
      ++evaluated_;
      return evaluate(own, subquery);
    }, 7);
    options_.runner = runner_;
    options_.whole_bytes = whole_bytes_;
    ReadTest::SetUp();
    for (const char* app : {"web", "api", "db"}) {
      std::vector<skald::testing::Entry> entries;
      for (int i = 0; i < 240; ++i)
        entries.push_back({kBase + i * 15 * kSecond, "level=" + std::string(i % 5 == 0 ? "error" : "info") + " n=" + std::to_string(i % 17) + " app=" + app, {{"trace", std::to_string(i % 3)}}});
      ingester_.data.add("{app=\"" + std::string(app) + "\"}", entries, 1, 25);
    }
    limits_.limits->max_query_bytes_read = 0;
  }
  Answer range(const std::string& query, std::vector<std::pair<std::string, std::string>> more = {}, const std::string& headers = "") {
    more.insert(more.begin(), {{"query", query}, {"start", "2026-01-15T10:03:00Z"}, {"end", "2026-01-15T11:00:00Z"}});
    return get("/loki/api/v1/query_range", more, headers);
  }
  Answer instant(const std::string& query) { return get("/loki/api/v1/query", {{"query", query}, {"time", "2026-01-15T11:00:00Z"}}); }
  static std::string result_of(const Answer& answer) { return std::to_string(answer.status) + " " + answer.body.substr(0, answer.body.find(",\"stats\":")); }
  // The answer in parts of ten minutes equals that of the whole; how many parts were evaluated.
  template <class Ask>
  int same(const Ask& ask) {
    in_parts(false);
    const std::string whole = result_of(ask());
    in_parts(true);
    evaluated_ = 0;
    const std::string parts = result_of(ask());
    EXPECT_EQ(parts, whole);
    last_ = parts;
    return evaluated_;
  }
  void in_parts(bool parts) {
    limits_.limits->split_queries_by_interval = limits_.limits->split_instant_metric_queries_by_interval = 10 * 60 * kSecond;
    limits_.limits->max_query_parallelism = parts ? 8 : 1;
  }
  std::uint64_t whole_bytes_ = 0;
  std::shared_ptr<frontend::testing::ShufflingRunner> runner_;
  std::atomic<int> evaluated_{0};
  std::string last_;
};

TEST_F(SplitRoutes, MetricsAreTheSame) {
  for (const char* query : {R"(sum by (app) (rate({app=~".+"} | logfmt | level="error" [5m])))", R"(topk(2, count_over_time({app=~".+"} | logfmt [1m])))",
                            R"(quantile_over_time(0.9, {app="web"} | logfmt | unwrap n [2m]) by (level))", R"(absent_over_time({app="web"} |= "n=3 " [30s]))",
                            R"(sum(rate({app="web"}[1m])) / sum(rate({app=~"web|api"}[1m])) > bool 0.1)"})
    EXPECT_GE(same([&] { return range(query, {{"step", "30"}}); }), 5) << query;
}

TEST_F(SplitRoutes, LogsAreTheSame) {
  EXPECT_GE(same([&] { return range(R"({app=~".+"} |= "n=4 ")", {{"limit", "1000"}}); }), 5);
  EXPECT_GE(same([&] { return range(R"({app=~".+"} | logfmt | n > 3)", {{"limit", "700"}, {"direction", "forward"}}, "X-Loki-Response-Encoding-Flags: categorize-labels\r\n"); }), 3);
  EXPECT_GE(same([&] { return range(R"({app=~".+"})", {{"limit", "777"}, {"interval", "40"}}); }), 3);
  EXPECT_EQ(same([&] { return range(R"({app=~".+"})", {{"limit", "20"}}); }), 0);   // the newest part, evaluated here
}

TEST_F(SplitRoutes, InstantResultsAreTheSame) {
  for (const char* query : {R"(sum by (app) (rate({app=~".+"} |= "error" [57m])))", R"(max by (app) (max_over_time({app=~".+"} | logfmt | unwrap n [57m])))", R"(bytes_over_time({app=~".+"}[3000s]))"})
    EXPECT_GE(same([&] { return instant(query); }), 5) << query;
}

TEST_F(SplitRoutes, ErrorsAreTheSame) {
  limits_.limits->max_query_series = 12;
  same([&] { return range(R"(count_over_time({app=~".+"} | logfmt | keep n, app [1m]))", {{"step", "60"}}); });
  EXPECT_TRUE(last_.starts_with("400 maximum number of series (12)")) << last_;
  limits_.limits->max_query_series = 500;
  limits_.limits->max_query_bytes_read = 2000;
  same([&] { return range(R"(sum(rate({app="web"}[10m])))", {{"step", "60"}}); });
  EXPECT_TRUE(last_.starts_with("400 the query would read too many bytes")) << last_;
  same([&] { return range(R"({app="web"} |= "x")"); });
  EXPECT_TRUE(last_.starts_with("400 the query would read too many bytes")) << last_;
  limits_.limits->max_query_bytes_read = 0;
  limits_.limits->cardinality_limit = 2;
  same([&] { return range(R"({app=~".+"} |= "x")"); });
  EXPECT_TRUE(last_.starts_with("400 cardinality limit exceeded")) << last_;
  limits_.limits->cardinality_limit = 0;
  limits_.limits->max_chunks_per_query = 2;
  same([&] { return range(R"({app=~".+"} |= "x")"); });
  EXPECT_TRUE(last_.starts_with("400 the query hit the max number of chunks")) << last_;
}

TEST_F(SplitRoutes, OverlappingPartsDoNotPassALimitTheWholeKeeps) {
  limits_.limits->max_query_bytes_read = 240 * 60;   // a bit more than the stream has; windows of ten minutes read much twice
  EXPECT_GE(same([&] { return range(R"(sum(rate({app="web"} |= "e" [10m])))", {{"step", "240"}}); }), 2);
  EXPECT_TRUE(last_.starts_with("200 ")) << last_;
}

class SplitLittle : public SplitRoutes {
 protected:
  SplitLittle() { whole_bytes_ = 1 << 20; }
};

TEST_F(SplitLittle, WhatReadsLittleIsNotWorthTheWay) {
  EXPECT_EQ(same([&] { return range(R"(sum(rate({app="web"} |= "e" [1m])))", {{"step", "30"}}); }), 0);
  EXPECT_EQ(same([&] { return range(R"({app="web"} |= "n=3 ")"); }), 0);
}

TEST_F(SplitRoutes, StatisticsAddUp) {
  in_parts(true);
  const Answer answer = range(R"({app=~".+"} |= "n=4 ")", {{"limit", "1000"}});
  EXPECT_NE(answer.body.find("\"totalLinesProcessed\":684,"), std::string::npos) << answer.body.substr(answer.body.find("\"stats\""));
}

class SplitCached : public SplitRoutes {
 protected:
  class MapCache final : public cache::Cache {
   public:
    std::vector<SharedBytes> fetch(const CallContext&, std::span<const std::string> keys) override {
      const std::lock_guard lock(mutex_);
      std::vector<SharedBytes> values;
      for (const std::string& key : keys) values.push_back(items_.contains(key) ? items_[key] : nullptr);
      return values;
    }
    void store(std::vector<cache::Item> stored) override {
      const std::lock_guard lock(mutex_);
      for (cache::Item& item : stored) items_[item.key] = item.value;
    }

   private:
    std::mutex mutex_;
    std::map<std::string, SharedBytes> items_;
  };
  void SetUp() override {
    options_.results_cache = std::make_shared<MapCache>();
    SplitRoutes::SetUp();
    limits_.limits->max_cache_freshness_per_query = 0;
  }
};

TEST_F(SplitCached, WhatTheCacheComputesRunsInParts) {
  in_parts(true);
  const auto ask = [&] { return result_of(range(R"(sum by (app) (rate({app=~".+"}[2m])))", {{"step", "15"}})); };
  const std::string first = ask();
  EXPECT_GE(evaluated_, 5);
  evaluated_ = 0;
  EXPECT_EQ(ask(), first);
  EXPECT_EQ(evaluated_, 0);
}

class SplitTenants : public SplitRoutes {
 protected:
  SplitTenants() {
    tenants_ = true;
    options_.multi_tenant_queries = true;
  }
};

TEST_F(SplitTenants, SeveralTenantsAreReadTogether) {
  const std::string headers = "X-Scope-OrgID: a|b\r\n";
  EXPECT_GE(same([&] { return range(R"(sum by (__tenant_id__, app) (rate({app="web"}[1m])))", {{"step", "60"}}, headers); }), 5);
  EXPECT_NE(last_.find(R"("__tenant_id__":"b")"), std::string::npos) << last_;
}

// An ingester that is away for the first calls.
class Restarting final : public rpc::IngesterClient {
 public:
  skald::testing::FakeIngester behind;
  std::atomic<int> away_for{0}, calls{0};
  void push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) override { behind.push(ctx, std::move(batch), std::move(done)); }
  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override {
    if (++calls <= away_for) return Error(ErrorCode::kUnavailable, "connection refused");
    return behind.select(ctx, request);
  }
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override { return behind.series(ctx, request); }
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override { return behind.volumes(ctx, request); }
  Result<std::shared_ptr<void>> tail(const CallContext& ctx, std::vector<model::Matcher> matchers, rpc::TailSink sink) override { return behind.tail(ctx, std::move(matchers), std::move(sink)); }
};

TEST(InProcessRetries, AnIngesterThatRestartsFailsNoQuery) {
  Restarting ingester;
  ingester.behind.data.add(R"({app="web"})", {{1'768'471'200'000'000'000, "line"}});
  querier::Querier querier(ingester, nullptr);
  FixedLimits limits;
  obs::Registry registry;
  exec::Pool pool("query", 1), http_pool("http", 1);
  http::ServerOptions server_options;
  server_options.listen_address = "127.0.0.1";
  server_options.port = 0;
  server_options.compress_responses = false;
  http::Server server(server_options, http_pool, registry);
  ReadOptions options;
  options.tenants = false;
  options.max_retries = 2;
  auto routes = add_read_routes(server, ReadDeps{querier, limits, pool, registry, system_clock(), options});
  ASSERT_TRUE(server.start().ok());
  const auto ask = [&] {
    Connection connection(server.port());
    connection.send("GET /loki/api/v1/query_range?query=%7Bapp%3D%22web%22%7D&start=1768471200&end=1768471260 HTTP/1.1\r\nHost: x\r\n\r\n");
    return connection.receive();
  };
  ingester.away_for = 2;
  EXPECT_EQ(ask().status, 200);
  EXPECT_EQ(ingester.calls, 3);
  ingester.calls = 0;
  ingester.away_for = 100;
  EXPECT_EQ(ask().status, 503);
  EXPECT_EQ(ingester.calls, 3);
  server.stop(1000);
  routes.reset();
}

TEST(MakeEvaluate, LimitsOfTheSubqueryHold) {
  skald::testing::FakeIngester ingester;
  ingester.data.add(R"({app="web"})", {{10, std::string(5000, 'x')}});
  querier::Querier querier(ingester, nullptr);
  exec::Pool pool("query", 1);
  const frontend::Evaluate evaluate = make_evaluate(querier, pool, 1000);
  frontend::Subquery subquery;
  subquery.tenant = "t";
  subquery.query = R"({app="web"})";
  subquery.params.end_ns = 100;
  EXPECT_TRUE(evaluate({}, subquery).error().message().starts_with("query needs more than its memory budget of 1000 bytes"));
  EXPECT_TRUE(make_evaluate(querier, pool, 0)({}, subquery).ok());
  subquery.read.max_query_bytes_read = 100;
  EXPECT_TRUE(make_evaluate(querier, pool, 0)({}, subquery).error().message().starts_with("the query would read too many bytes"));
  subquery.query = "{";
  EXPECT_EQ(evaluate({}, subquery).error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skald::api::testing
