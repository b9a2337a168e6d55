#include <rapidjson/document.h>

#include "read_fixture.h"

namespace skald::api::testing {
namespace {

class RoutesTest : public ReadTest {
 protected:
  void SetUp() override {
    ReadTest::SetUp();
    ingester_.data.add(R"({app="web", env="prod"})", {{kBase, "level=info <a>", {{"trace", "t1"}}, model::Level::kInfo},
                                                      {kBase + kSecond, "level=warn b", {}, model::Level::kWarn},
                                                      {kBase + 2 * kSecond, "level=info c", {}, model::Level::kInfo}});
    ingester_.data.add(R"({app="api", env="dev"})", {{kBase, "{\"user\":{\"id\":5},\"ok\":true}"}}, 2);
  }
  const std::string start_ = "2026-01-15T10:00:00Z", end_ = "2026-01-15T11:00:00Z";
  Answer range(const std::string& query, const std::string& headers = "", std::vector<std::pair<std::string, std::string>> more = {}) {
    more.insert(more.begin(), {{"query", query}, {"start", start_}, {"end", end_}});
    return get("/loki/api/v1/query_range", more, headers);
  }
  static std::string result_of(const std::string& body) {   // up to the statistics, which vary
    return body.substr(0, body.find(",\"stats\":"));
  }
};

TEST_F(RoutesTest, Streams) {
  const Answer answer = range(R"({app="web"})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.head.find("Content-Type: application/json; charset=UTF-8"), std::string::npos);
  EXPECT_EQ(result_of(answer.body),
            R"({"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"web","detected_level":"info","env":"prod"},"values":[["1768471202000000000","level=info c"]]},)"
            R"({"stream":{"app":"web","detected_level":"info","env":"prod","trace":"t1"},"values":[["1768471200000000000","level=info \u003ca\u003e"]]},)"
            R"({"stream":{"app":"web","detected_level":"warn","env":"prod"},"values":[["1768471201000000000","level=warn b"]]}])");
  rapidjson::Document json;
  ASSERT_FALSE(json.Parse(answer.body.c_str()).HasParseError());
  const auto& stats = json["data"]["stats"];
  for (const char* key : {"summary", "querier", "ingester", "cache", "index"}) EXPECT_TRUE(stats.HasMember(key)) << key;
  EXPECT_EQ(stats["summary"]["totalEntriesReturned"].GetInt(), 3);
  EXPECT_EQ(stats["summary"]["totalLinesProcessed"].GetInt(), 3);
}

TEST_F(RoutesTest, CategorizedStreams) {
  const Answer answer = range(R"({app="web"} | logfmt)", "X-Loki-Response-Encoding-Flags: categorize-labels\r\n", {{"direction", "forward"}});
  EXPECT_EQ(result_of(answer.body),
            R"({"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"web","env":"prod"},"values":[)"
            R"(["1768471200000000000","level=info \u003ca\u003e",{"structuredMetadata":{"detected_level":"info","trace":"t1"},"parsed":{"level":"info"}}],)"
            R"(["1768471201000000000","level=warn b",{"structuredMetadata":{"detected_level":"warn"},"parsed":{"level":"warn"}}],)"
            R"(["1768471202000000000","level=info c",{"structuredMetadata":{"detected_level":"info"},"parsed":{"level":"info"}}]]}])");
  EXPECT_NE(answer.body.find(R"(,"encodingFlags":["categorize-labels"]}})"), std::string::npos);
}

TEST_F(RoutesTest, MatrixIsAlignedToTheStep) {
  const Answer answer = get("/loki/api/v1/query_range", {{"query", R"(sum by (app) (count_over_time({app="web"}[1m])))"}, {"start", "1768471213"}, {"end", "1768471260"}, {"step", "30"}});
  EXPECT_EQ(result_of(answer.body),
            R"({"status":"success","data":{"resultType":"matrix","result":[{"metric":{"app":"web"},"values":[[1768471200,"1"],[1768471230,"3"],[1768471260,"2"]]}])");
}

TEST_F(RoutesTest, InstantResults) {
  const auto instant = [&](const std::string& query) { return get("/loki/api/v1/query", {{"query", query}, {"time", "1768471201500000000"}}); };
  EXPECT_EQ(result_of(instant(R"(sum(rate({app="web"}[1m])))").body),
            R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1768471201.5,"0.03333333333333333"]}])");
  EXPECT_EQ(result_of(instant("1 + 2").body), R"({"status":"success","data":{"resultType":"scalar","result":[1768471201500,"3"])");
  EXPECT_EQ(result_of(instant("vector(1e21)").body),
            R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1768471201.5,"1000000000000000000000"]}])");
  const Answer log = instant(R"({app="web"})");
  EXPECT_EQ(log.status, 400);
  EXPECT_EQ(log.body, "log queries are not supported as an instant query type, please change your query to a range query type");
}

TEST_F(RoutesTest, ErrorsArePlainText) {
  const Answer answer = range(R"({app=)");
  EXPECT_EQ(answer.status, 400);
  EXPECT_NE(answer.head.find("Content-Type: text/plain; charset=utf-8"), std::string::npos);
  EXPECT_EQ(answer.body, "parse error at line 1, col 6: syntax error: unexpected $end, expecting STRING");
  EXPECT_EQ(range("").body, "parse error : syntax error: unexpected $end");
  EXPECT_EQ(range(R"({app="web"})", "", {{"limit", "5001"}}).body,
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)");
  EXPECT_EQ(get("/loki/api/v1/query_range", {{"query", R"({app="web"})"}, {"start", "2025-12-15T10:00:00Z"}, {"end", start_}}).body,
            "the query time range exceeds the limit (query length: 744h0m0s, limit: 30d1h)");
  const Answer matching = get("/loki/api/v1/query", {{"query", R"(count_over_time({app=~".+"}[5m]) / on () count_over_time({app=~".+"}[5m]))"}, {"time", "1768471260"}});
  EXPECT_EQ(matching.status, 500);
}

TEST_F(RoutesTest, LimitsOfTheTenant) {
  limits_.limits->max_query_range = 60 * kSecond;
  EXPECT_EQ(range(R"(rate({app="web"}[5m]))").body, "[interval] value exceeds limit: [5m] > [1m]");
  limits_.limits->max_query_range = 0;
  limits_.limits->required_labels = {"app", "team"};
  EXPECT_EQ(range(R"({app="web"})").body, "stream selector is missing required matchers [team], labels present in the query were [app]");
  limits_.limits->required_labels.clear();
  limits_.limits->max_query_bytes_read = 20;
  EXPECT_EQ(range(R"({app="web"})").body,
            "the query would read too many bytes (query: 38B, limit: 20B); consider adding more specific stream selectors or reduce the time range of the query");
  limits_.limits->max_query_bytes_read = 0;
  config::BlockedQuery rule;
  rule.pattern = ".*web.*";
  rule.regex = true;
  limits_.limits->blocked_queries = {rule};
  EXPECT_EQ(range(R"({app="web"})").body, "query blocked by policy");
  EXPECT_EQ(range(R"({app="api"})").status, 200);
}

TEST_F(RoutesTest, LabelsAndSeries) {
  EXPECT_EQ(get("/loki/api/v1/labels", {{"start", start_}, {"end", end_}}).body, "{\"status\":\"success\",\"data\":[\"app\",\"env\"]}\n");
  EXPECT_EQ(get("/loki/api/v1/label/env/values", {{"start", start_}, {"end", end_}}).body, "{\"status\":\"success\",\"data\":[\"dev\",\"prod\"]}\n");
  EXPECT_EQ(get("/loki/api/v1/label/env/values", {{"start", start_}, {"end", end_}, {"query", R"({app="web"})"}}).body, "{\"status\":\"success\",\"data\":[\"prod\"]}\n");
  EXPECT_EQ(get("/loki/api/v1/label/nope/values", {{"start", start_}, {"end", end_}}).body, "{\"status\":\"success\"}\n");
  EXPECT_EQ(get("/loki/api/v1/labels", {{"query", R"({app="web"} |= "x")"}}).body, "only label matchers are supported");
  EXPECT_EQ(get("/loki/api/v1/series", {{"start", start_}, {"end", end_}, {"match[]", R"({app="web"})"}, {"match[]", R"({env="prod"})"}}).body,
            "{\"status\":\"success\",\"data\":[{\"app\":\"web\",\"env\":\"prod\"}]}\n");
  EXPECT_EQ(get("/loki/api/v1/series", {{"start", start_}, {"end", end_}, {"match[]", R"({app="nope"})"}}).body, "{\"status\":\"success\",\"data\":[]}\n");
  EXPECT_EQ(get("/api/prom/label", {{"start", start_}, {"end", end_}}).body, "{\"status\":\"success\",\"data\":[\"app\",\"env\"]}\n");
}

TEST_F(RoutesTest, IndexStatsAndVolume) {
  EXPECT_EQ(get("/loki/api/v1/index/stats", {{"query", R"({app="web"})"}, {"start", start_}, {"end", end_}}).body, "{\"streams\":1,\"chunks\":1,\"bytes\":0,\"entries\":3}\n");
  EXPECT_EQ(result_of(get("/loki/api/v1/index/volume", {{"query", R"({app=~".+"})"}, {"start", start_}, {"end", end_}}).body),
            R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{"app":"web"},"value":[1768474800,"38"]},{"metric":{"app":"api"},"value":[1768474800,"27"]}])");
  EXPECT_EQ(result_of(get("/loki/api/v1/index/volume", {{"query", R"({app="web"})"}, {"start", start_}, {"end", end_}, {"aggregateBy", "labels"}}).body),
            R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{"app":""},"value":[1768474800,"38"]},{"metric":{"env":""},"value":[1768474800,"38"]}])");
  EXPECT_EQ(result_of(get("/loki/api/v1/index/volume_range", {{"query", R"({app="web"})"}, {"start", "1768471200"}, {"end", "1768471203"}, {"step", "2"}}).body),
            R"({"status":"success","data":{"resultType":"matrix","result":[{"metric":{"app":"web"},"values":[[1768471201.999,"26"],[1768471203,"12"]]}])");
  EXPECT_EQ(get("/loki/api/v1/index/volume", {{"query", R"({app="web"})"}, {"aggregateBy", "nope"}}).body, "invalid aggregation option");
}

TEST_F(RoutesTest, Detected) {
  EXPECT_EQ(get("/loki/api/v1/detected_labels", {{"start", start_}, {"end", end_}}).body,
            "{\"detectedLabels\":[{\"label\":\"app\",\"cardinality\":2},{\"label\":\"env\",\"cardinality\":2}]}\n");
  EXPECT_EQ(get("/loki/api/v1/detected_labels", {{"start", start_}, {"end", end_}, {"query", R"({app="nope"})"}}).body, "{}\n");
  EXPECT_EQ(get("/loki/api/v1/detected_fields", {{"start", start_}, {"end", end_}, {"query", R"({app="api"})"}}).body,
            "{\"fields\":[{\"label\":\"user_id\",\"type\":\"int\",\"cardinality\":1,\"parsers\":[\"json\"],\"jsonPath\":[\"user\",\"id\"]},"
            "{\"label\":\"ok\",\"type\":\"boolean\",\"cardinality\":1,\"parsers\":[\"json\"],\"jsonPath\":[\"ok\"]}],\"limit\":1000}\n");
  EXPECT_EQ(get("/loki/api/v1/detected_field/level/values", {{"start", start_}, {"end", end_}, {"query", R"({app="web"})"}}).body,
            "{\"limit\":1000,\"values\":[\"info\",\"warn\"]}\n");
}

TEST_F(RoutesTest, FormatQuery) {
  EXPECT_EQ(get("/loki/api/v1/format_query", {{"query", R"({app="x"}|="y")"}}).body, R"({"status":"success","data":"{app=\"x\"} |= \"y\""})");
  const Answer bad = get("/loki/api/v1/format_query", {{"query", ""}});
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.body, R"({"status":"invalid-query","error":"parse error : syntax error: unexpected $end"})");
}

TEST_F(RoutesTest, LegacyQuery) {
  const Answer answer = get("/api/prom/query", {{"query", R"({app="web"})"}, {"start", start_}, {"end", end_}, {"regexp", "level=warn.*"}});
  EXPECT_EQ(result_of(answer.body),
            R"({"streams":[{"labels":"{app=\"web\", detected_level=\"warn\", env=\"prod\"}","entries":[{"ts":"2026-01-15T10:00:01Z","line":"level=warn b"}]}])");
  EXPECT_EQ(get("/api/prom/query", {{"query", R"(rate({app="web"}[5m]))"}}).body, "rpc error: code = Code(400) desc = legacy endpoints only support streams result type");
}

constexpr char kUpgrade[] = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

TEST_F(RoutesTest, TailSendsHistoryThenLive) {
  Connection connection(server_->port());
  connection.send("GET /loki/api/v1/tail?query=" + encode(R"({app="web"})") + "&limit=2 HTTP/1.1\r\nHost: x\r\n" + kUpgrade + "\r\n");
  ASSERT_EQ(connection.receive().status, 101);
  EXPECT_EQ(connection.receive_frame(),
            R"({"streams":[{"stream":{"app":"web","detected_level":"warn","env":"prod"},"values":[["1768471201000000000","level=warn b"]]},)"
            R"({"stream":{"app":"web","detected_level":"info","env":"prod"},"values":[["1768471202000000000","level=info c"]]}]})");
  const auto labels = model::intern(model::Labels::from_pairs({{"app", "web"}, {"env", "prod"}}));
  ASSERT_TRUE(ingester_.emit(labels, {{kBase + 5 * kSecond, "live", {{"detected_level", "unknown"}}}}));
  // Without stages live entries carry the stream's labels only.
  EXPECT_EQ(connection.receive_frame(), R"({"streams":[{"stream":{"app":"web","env":"prod"},"values":[["1768471205000000000","live"]]}]})");
}

TEST_F(RoutesTest, TailRunsStagesOnLiveEntries) {
  Connection connection(server_->port());
  connection.send("GET /loki/api/v1/tail?query=" + encode(R"({app="t"} |= "yes")") + " HTTP/1.1\r\nHost: x\r\n" + kUpgrade + "\r\n");
  ASSERT_EQ(connection.receive().status, 101);
  const auto labels = model::intern(model::Labels::from_pairs({{"app", "t"}}));
  // The subscription exists some time after the upgrade.
  while (!ingester_.emit(labels, {{kBase, "no", {}}})) std::this_thread::yield();
  ASSERT_TRUE(ingester_.emit(labels, {{kBase, "yes please", {{"detected_level", "unknown"}}}}));
  EXPECT_EQ(connection.receive_frame(), R"({"streams":[{"stream":{"app":"t","detected_level":"unknown"},"values":[["1768471200000000000","yes please"]]}]})");
}

TEST_F(RoutesTest, TailRefusals) {
  const auto refuse = [&](const std::string& parameters) {
    Connection connection(server_->port());
    connection.send("GET /loki/api/v1/tail?" + parameters + " HTTP/1.1\r\nHost: x\r\n" + kUpgrade + "\r\n");
    const Answer answer = connection.receive();
    EXPECT_EQ(answer.status, 400);
    return answer.body;
  };
  EXPECT_EQ(refuse(""), "parse error : syntax error: unexpected $end");
  EXPECT_EQ(refuse("query=%7Bapp%3D%22x%22%7D&delay_for=6"), "delay_for can't be greater than 5");
  EXPECT_EQ(refuse("query=%7Bapp%3D%22x%22%7D&delay_for=abc"), "strconv.Atoi: parsing \"abc\": invalid syntax");
  EXPECT_EQ(refuse("query=%7Bapp%3D%22x%22%7D&start=zz"), "could not parse 'start' parameter: strconv.ParseInt: parsing \"zz\": invalid syntax");
}

}  // namespace
}  // namespace skald::api::testing
