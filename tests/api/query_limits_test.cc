// Limits of queries and their texts, which operators search for and dashboards show.
#include "api/query_limits.h"

#include <gtest/gtest.h>

#include "api/limited_source.h"
#include "api/query_log.h"
#include "api/request_limits.h"
#include "engine/eval_fixture.h"

namespace skald::api {
namespace {

using config::Limits;

std::string refusal(const Limits& limits, const std::string& text, std::int64_t length_ns = kNanosPerHour, std::string_view tags = "") {
  const auto query = logql::parse(text);
  EXPECT_TRUE(query.ok()) << text;
  const auto checked = check_query(limits, *query, text, tags, {0, length_ns});
  return checked.ok() ? "" : checked.error().message();
}

TEST(QueryLimits, Length) {
  Limits limits;
  limits.max_query_length = 721 * kNanosPerHour;
  EXPECT_EQ(refusal(limits, R"({a="b"})", 721 * kNanosPerHour), "");
  EXPECT_EQ(refusal(limits, R"({a="b"})", 2160 * kNanosPerHour + 5 * kNanosPerMinute), "the query time range exceeds the limit (query length: 2160h5m0s, limit: 30d1h)");
  EXPECT_EQ(refusal(limits, R"(rate({a="b"}[1d] offset 2d))", 700 * kNanosPerHour), "the query time range exceeds the limit (query length: 772h0m0s, limit: 30d1h)")
      << "range and offset count";
  EXPECT_NE(refusal(limits, R"(rate({a="b"}[292y] offset 292y))", std::int64_t{1} << 62), "") << "and do not overflow";
  limits.max_query_length = 0;
  EXPECT_EQ(refusal(limits, R"({a="b"})", 9000 * kNanosPerHour), "");
}

TEST(QueryLimits, Range) {
  Limits limits;
  limits.max_query_range = kNanosPerMinute;
  EXPECT_EQ(refusal(limits, R"(sum(rate({a="b"}[1m])) / sum(rate({a="b"}[5m])))"), "[interval] value exceeds limit: [5m] > [1m]");
  EXPECT_EQ(refusal(limits, R"(sum(rate({a="b"}[1m])))"), "");
}

TEST(QueryLimits, Matchers) {
  Limits limits;
  limits.max_streams_matchers_per_query = 2;
  EXPECT_EQ(refusal(limits, R"({a="b", c="d", e="f"})"), "max streams matchers per query exceeded, matchers-count > limit (3 > 2)");
  limits = Limits();
  limits.required_labels = {"app", "team"};
  EXPECT_EQ(refusal(limits, R"({c="d", e="f"})"), "stream selector is missing required matchers [app, team], labels present in the query were [c, e]");
  EXPECT_EQ(refusal(limits, R"(sum(rate({app="a", team=~"t.*"}[1m])))"), "");
  limits = Limits();
  limits.minimum_labels_number = 2;
  EXPECT_EQ(refusal(limits, R"({a="b"})"), "stream selector has less label matchers than required: (present: [a], number_present: 1, required_number_label_matchers: 2)");
  EXPECT_EQ(refusal(limits, R"({a="b", c="d"})"), "");
  EXPECT_EQ(refusal(limits, "1 + 1"), "");
}

TEST(QueryLimits, Entries) {
  Limits limits;
  limits.max_entries_limit_per_query = 5000;
  EXPECT_TRUE(check_entries(limits, 5000).ok());
  EXPECT_EQ(check_entries(limits, 6000).error().message(), "max entries limit per query exceeded, limit > max_entries_limit_per_query (6000 > 5000)");
  limits.max_entries_limit_per_query = 0;
  EXPECT_TRUE(check_entries(limits, 4'000'000'000).ok());
}

TEST(QueryLimits, QueryingSwitchedOff) {
  Limits limits;
  limits.tsdb_max_query_parallelism = 0;
  const auto query = logql::parse(R"({a="b"})");
  const auto checked = check_query(limits, *query, R"({a="b"})", "", {0, 1});
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error(), Error(ErrorCode::kResourceExhausted, "querying is disabled, please contact your Loki operator"));
}

TEST(QueryLimits, BlockedQueries) {
  const std::string plain = R"({a="b"})", filter = R"({a="b"} |= "x")", metric = R"(rate({a="b"}[1m]))";
  const auto blocked = [](config::BlockedQuery rule, const std::string& text, std::string_view tags = "") {
    Limits limits;
    limits.blocked_queries = {std::move(rule)};
    return refusal(limits, text, 1, tags) == "query blocked by policy";
  };
  EXPECT_TRUE(blocked({.pattern = plain}, plain));
  EXPECT_TRUE(blocked({.pattern = " " + plain + "\n"}, plain)) << "white space around does not matter";
  EXPECT_FALSE(blocked({.pattern = plain}, filter));
  EXPECT_TRUE(blocked({.pattern = "rate\\(", .regex = true}, metric));
  EXPECT_FALSE(blocked({.pattern = "rate\\("}, metric));
  EXPECT_FALSE(blocked({.pattern = "rate(", .regex = true}, metric)) << "a bad expression blocks nothing";
  EXPECT_TRUE(blocked({.types = "metric"}, metric));
  EXPECT_FALSE(blocked({.types = "metric,filter"}, plain));
  EXPECT_TRUE(blocked({.types = "limited"}, plain));
  EXPECT_TRUE(blocked({.types = "filter"}, filter));
  EXPECT_TRUE(blocked({.hash = query_hash(plain)}, plain));
  EXPECT_FALSE(blocked({.hash = query_hash(plain)}, filter));
  EXPECT_TRUE(blocked({.query_tags = "source=Grafana,team=a"}, plain, "Source=grafana, team=A,x=y"));
  EXPECT_FALSE(blocked({.query_tags = "source=grafana,team=a"}, plain, "source=grafana"));
  EXPECT_FALSE(blocked({.pattern = metric, .query_tags = "source=grafana"}, plain, "source=grafana"));
}

TEST(QueryLimits, Lookback) {
  Limits limits;
  std::int64_t start = 100;
  EXPECT_TRUE(clamp_to_lookback(limits, 1'000'000, start, 200));
  EXPECT_EQ(start, 100);
  limits.max_query_lookback = 7 * kNanosPerDay;
  const std::int64_t now = 30 * kNanosPerDay;
  start = 0;
  EXPECT_TRUE(clamp_to_lookback(limits, now, start, now));
  EXPECT_EQ(start, 23 * kNanosPerDay);
  start = 0;
  EXPECT_FALSE(clamp_to_lookback(limits, now, start, 22 * kNanosPerDay));
  EXPECT_EQ(past_lookback(limits).message(), "this data is no longer available, it is past now - max_query_lookback (1w)");
}

class SourceLimits : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 4; ++i)
      source_.add("{app=\"a\", n=\"" + std::to_string(i) + "\"}", {{i * kNanosPerHour, std::string(1000, 'x')}, {i * kNanosPerHour + 1, std::string(1000, 'y')}}, 1 + i % 2, 1);
  }
  std::string refusal(bool splits_apart = true) {
    LimitedSource limited(source_, limits_, splits_apart);
    const auto selected = limited.select(CallContext{}, {*logql::parse_selector(R"({app="a"})"), 0, 100 * kNanosPerHour});
    bytes_ = limited.bytes();
    return selected.ok() ? "" : selected.error().message();
  }
  Limits limits_;
  engine::testing::MemorySource source_;
  std::uint64_t bytes_ = 0;
};

TEST_F(SourceLimits, BytesOfAQuery) {
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(bytes_, 8000U);
  limits_.max_query_bytes_read = 7999;
  EXPECT_EQ(refusal(), "the query would read too many bytes (query: 8.0kB, limit: 8.0kB); consider adding more specific stream selectors or reduce the time range of the query");
  limits_.max_query_bytes_read = 8000;
  EXPECT_EQ(refusal(), "");
}

TEST_F(SourceLimits, BytesOfOnePart) {
  limits_.max_querier_bytes_read = 2000;
  limits_.split_queries_by_interval = kNanosPerHour;
  EXPECT_EQ(refusal(), "") << "each hour holds 2000";
  EXPECT_EQ(refusal(false), "query too large to execute on a single querier: (query: 8.0kB, limit: 2.0kB); consider adding more specific stream selectors, reduce "
                            "the time range of the query, or adjust parallelization settings");
  limits_.split_queries_by_interval = 2 * kNanosPerHour;
  EXPECT_NE(refusal(), "");
}

TEST_F(SourceLimits, StreamsAndChunks) {
  limits_.cardinality_limit = 3;
  EXPECT_EQ(refusal(), R"(cardinality limit exceeded for {app="a"}; 4 entries, more than limit of 3)");
  limits_.cardinality_limit = 4;
  EXPECT_EQ(refusal(), "");
  limits_.max_chunks_per_query = 3;
  EXPECT_EQ(refusal(), "the query hit the max number of chunks limit (limit: 3 chunks)");
  limits_.max_chunks_per_query = 4;
  EXPECT_EQ(refusal(), "");
}

TEST_F(SourceLimits, ChunksAndBytesAddUpOverTheSelectorsOfAQuery) {
  limits_.max_chunks_per_query = 7;
  LimitedSource limited(source_, limits_, true);
  const rpc::SelectRequest request{*logql::parse_selector(R"({app="a"})"), 0, 100 * kNanosPerHour};
  EXPECT_TRUE(limited.select(CallContext{}, request).ok());
  EXPECT_FALSE(limited.select(CallContext{}, request).ok());
}

class Tenants final : public config::LimitsProvider {
 public:
  std::map<std::string, std::shared_ptr<Limits>> limits;
  config::LimitsPtr for_tenant(const std::string& tenant) const override { return limits.at(tenant); }
};

TEST(RequestLimits, OfSeveralTenantsTheStrictest) {
  Tenants provider;
  const auto a = provider.limits["a"] = std::make_shared<Limits>(), b = provider.limits["b"] = std::make_shared<Limits>();
  a->max_query_series = 100;
  b->max_query_series = 0;
  a->max_query_lookback = 0;
  b->max_query_lookback = 5;
  a->required_labels = {"x"};
  b->required_labels = {"x", "y"};
  b->tsdb_max_query_parallelism = 0;
  a->blocked_queries = {{.pattern = "p"}};
  const config::LimitsPtr both = limits_of(provider, {"a", "b"});
  EXPECT_EQ(both->max_query_series, 100);
  EXPECT_EQ(both->max_query_lookback, 5);
  EXPECT_EQ(both->required_labels, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(both->tsdb_max_query_parallelism, 0);
  EXPECT_EQ(both->blocked_queries.size(), 1U);
  EXPECT_EQ(limits_of(provider, {"a"}), a);
}

TEST(RequestLimits, HeadersTightenOnly) {
  auto limits = std::make_shared<Limits>();
  limits->query_timeout = kNanosPerMinute;
  limits->max_entries_limit_per_query = 5000;
  limits->max_query_bytes_read = 0;
  limits->required_labels = {"app"};
  const auto tight = tightened(limits, R"({"maxQueryLength":"1h","maxQueryInterval":"5m","maxQueryLookback":"7d","maxEntriesLimitPerQuery":100,"maxQueryTime":"10s",
                                          "requiredLabels":["app","team"],"minimumLabelsNumber":2,"maxQueryBytesRead":"1GB","somethingNew":true})");
  ASSERT_TRUE(tight.ok());
  EXPECT_EQ((*tight)->max_query_length, kNanosPerHour);
  EXPECT_EQ((*tight)->max_query_range, 5 * kNanosPerMinute);
  EXPECT_EQ((*tight)->max_query_lookback, 7 * kNanosPerDay);
  EXPECT_EQ((*tight)->max_entries_limit_per_query, 100);
  EXPECT_EQ((*tight)->query_timeout, 10 * kNanosPerSecond);
  EXPECT_EQ((*tight)->required_labels, (std::vector<std::string>{"app", "team"}));
  EXPECT_EQ((*tight)->minimum_labels_number, 2);
  EXPECT_EQ((*tight)->max_query_bytes_read, 1LL << 30);
  const auto loose = tightened(limits, R"({"maxEntriesLimitPerQuery":9000,"maxQueryTime":"1h","minimumLabelsNumber":0,"maxQueryLength":"0s"})");
  ASSERT_TRUE(loose.ok());
  EXPECT_EQ(**loose, *limits);
  for (const char* const bad : {"", "[]", "{", R"({"maxQueryLength":5})", R"({"maxQueryTime":"soon"})", R"({"maxEntriesLimitPerQuery":-1})", R"({"requiredLabels":"app"})",
                                R"({"maxQueryBytesRead":"lots"})", R"({"requiredLabels":[1]})"})
    EXPECT_EQ(tightened(limits, bad).error().code(), ErrorCode::kInvalidArgument) << bad;
  EXPECT_FALSE(tightened(limits, std::string(100'000, '[')).ok());
}

TEST(RequestLimits, BytesAsText) {
  for (const auto& [bytes, text] : std::vector<std::pair<std::uint64_t, std::string>>{{0, "0B"}, {9, "9B"}, {999, "999B"}, {1000, "1.0kB"}, {1'250'000'000, "1.3GB"}, {161'061'273'600, "161GB"}})
    EXPECT_EQ(bytes_text(bytes), text);
  for (const auto& [text, bytes] : std::vector<std::pair<std::string, std::int64_t>>{{"600MB", 600 << 20}, {"1.5GiB", 3LL << 29}, {"7", 7}, {"2 kb", 2048}, {"1T", 1LL << 40}})
    EXPECT_EQ(parse_bytes_text(text).value(), bytes) << text;
  for (const char* const bad : {"", "MB", "-1", "1XB", "1e300", "nan"}) EXPECT_FALSE(parse_bytes_text(bad).ok()) << bad;
}

TEST(QueryTags, OnlyHarmlessCharactersAreKept) {
  http::Request request;
  EXPECT_EQ(query_tags(request), "");
  request.headers = {{"X-Query-Tags", "Source=a b,x=\"{y}\"\n,mail=me@x.org"}};
  EXPECT_EQ(query_tags(request), "Source=a b,x=__y___,mail=me@x.org");
  EXPECT_TRUE(has_tags("Source=logvolhist", "source=LOGVOLHIST"));
  EXPECT_TRUE(has_tags("", ""));
  EXPECT_FALSE(has_tags("", "a=b"));
}

}  // namespace
}  // namespace skald::api
