#include <cmath>

#include "eval_fixture.h"

namespace skald::engine::testing {
namespace {

class MetricTest : public EvalTest {
 protected:
  void SetUp() override {
    const std::int64_t base = 1000 * kSecond;
    std::vector<Entry> a, b, c;
    for (int i = 0; i < 10; ++i) {
      a.push_back({base + i * kSecond, "v=" + std::to_string(i) + " k=" + (i % 2 == 0 ? "even" : "odd")});
      if (i < 5) b.push_back({base + i * kSecond, "v=100"});
      if (i < 2) c.push_back({base + i * kSecond, "v=7"});
    }
    source_.add(R"({app="x", pod="a"})", a, 1, 3);
    source_.add(R"({app="x", pod="b"})", b, 1, 2);
    source_.add(R"({app="y", pod="c"})", c, 1, 9);
  }
  static constexpr std::int64_t kNow = 1009 * kSecond;   // of the last entry
};

using Values = std::map<std::string, double>;

TEST_F(MetricTest, WindowsExcludeTheirStartAndIncludeTheirEnd) {
  EXPECT_EQ(vector(R"(count_over_time({pod="a"}[3s]))", kNow), (Values{{R"({app="x", pod="a"})", 3}}));
  EXPECT_EQ(vector(R"(count_over_time({pod="a"}[3s]))", kNow - 1), (Values{{R"({app="x", pod="a"})", 3}}));
  EXPECT_EQ(vector(R"(count_over_time({pod="a"}[3s]))", kNow + 1), (Values{{R"({app="x", pod="a"})", 3}}));
  EXPECT_EQ(vector(R"(count_over_time({pod="a"}[1s]))", kNow + kSecond), Values{});
  EXPECT_EQ(vector(R"(count_over_time({pod="a"}[1s]))", kNow + kSecond - 1), (Values{{R"({app="x", pod="a"})", 1}}));
  EXPECT_EQ(vector(R"(count_over_time({pod="a"}[3s] offset 8s))", kNow), (Values{{R"({app="x", pod="a"})", 2}}));
  EXPECT_EQ(vector(R"(count_over_time({pod="a"}[3s] offset -1s))", kNow), (Values{{R"({app="x", pod="a"})", 2}}));
}

TEST_F(MetricTest, Functions) {
  const std::string u = R"({pod="a"} | logfmt | drop k | unwrap v [10s])";
  const std::string label = R"({app="x", pod="a"})";
  EXPECT_DOUBLE_EQ(vector("sum_over_time(" + u + ")", kNow)[label], 45);
  EXPECT_DOUBLE_EQ(vector("avg_over_time(" + u + ")", kNow)[label], 4.5);
  EXPECT_DOUBLE_EQ(vector("min_over_time(" + u + ")", kNow)[label], 0);
  EXPECT_DOUBLE_EQ(vector("max_over_time(" + u + ")", kNow)[label], 9);
  EXPECT_DOUBLE_EQ(vector("first_over_time(" + u + ")", kNow)[label], 0);
  EXPECT_DOUBLE_EQ(vector("last_over_time(" + u + ")", kNow)[label], 9);
  EXPECT_DOUBLE_EQ(vector("stdvar_over_time(" + u + ")", kNow)[label], 8.25);
  EXPECT_DOUBLE_EQ(vector("stddev_over_time(" + u + ")", kNow)[label], std::sqrt(8.25));
  EXPECT_DOUBLE_EQ(vector("quantile_over_time(0.9, " + u + ")", kNow)[label], 8.1);
  EXPECT_EQ(vector("quantile_over_time(1.5, " + u + ")", kNow)[label], INFINITY);
  EXPECT_DOUBLE_EQ(vector("rate(" + u + ")", kNow)[label], 4.5);
  EXPECT_DOUBLE_EQ(vector(R"(rate({pod="a"}[10s]))", kNow)[label], 1);
  EXPECT_DOUBLE_EQ(vector(R"(bytes_rate({pod="b"}[10s]))", kNow)[R"({app="x", pod="b"})"], 2.5);
  EXPECT_DOUBLE_EQ(vector(R"(bytes_over_time({pod="b"}[10s]))", kNow)[R"({app="x", pod="b"})"], 25);
  // 0..9 over nine seconds: one per second, extrapolated over ten seconds but not below zero.
  EXPECT_DOUBLE_EQ(vector("rate_counter(" + u + ")", kNow)[label], 0.9);
  EXPECT_DOUBLE_EQ(vector(R"(rate_counter({pod="a"} | logfmt | drop k | unwrap v [1s]))", kNow)[label], 0);
  EXPECT_EQ(vector(R"(avg_over_time({pod="a"} | logfmt | unwrap v [10s]) by (k))", kNow), (Values{{R"({k="even"})", 4}, {R"({k="odd"})", 5}}));
}

TEST_F(MetricTest, AbsentOverTime) {
  EXPECT_EQ(vector(R"(absent_over_time({app="nope", pod=~"a|b", env!="x"}[5m]))", kNow), (Values{{R"({app="nope"})", 1}}));
  EXPECT_EQ(vector(R"(absent_over_time({app="nope", m="a", m="b"}[5m]))", kNow), (Values{{R"({app="nope"})", 1}}));
  EXPECT_EQ(vector(R"(absent_over_time({app="x"}[5m]))", kNow), Values{});
  EXPECT_EQ(vector(R"(absent_over_time({app="x"} |= "zzz" [5m]))", kNow), (Values{{R"({app="x"})", 1}}));
}

TEST_F(MetricTest, VectorAggregations) {
  const std::string c = R"((count_over_time({app=~".+"}[10s])))";
  EXPECT_EQ(vector("sum" + c, kNow), (Values{{"{}", 17}}));
  EXPECT_EQ(vector("sum by (app)" + c, kNow), (Values{{R"({app="x"})", 15}, {R"({app="y"})", 2}}));
  EXPECT_EQ(vector("sum without (pod)" + c, kNow), (Values{{R"({app="x"})", 15}, {R"({app="y"})", 2}}));
  EXPECT_EQ(vector("sum by (nope)" + c, kNow), (Values{{"{}", 17}}));
  EXPECT_DOUBLE_EQ(vector("avg" + c, kNow).at("{}"), 17.0 / 3);
  EXPECT_EQ(vector("min by (app)" + c, kNow), (Values{{R"({app="x"})", 5}, {R"({app="y"})", 2}}));
  EXPECT_EQ(vector("max" + c, kNow), (Values{{"{}", 10}}));
  EXPECT_EQ(vector("count by (app)" + c, kNow), (Values{{R"({app="x"})", 2}, {R"({app="y"})", 1}}));
  EXPECT_DOUBLE_EQ(vector("stdvar by (app)" + c, kNow).at(R"({app="x"})"), 6.25);
  EXPECT_DOUBLE_EQ(vector("stddev by (app)" + c, kNow).at(R"({app="x"})"), 2.5);
  EXPECT_EQ(vector("topk(1, count_over_time({app=~\".+\"}[10s])) by (app)", kNow), (Values{{R"({app="x", pod="a"})", 10}, {R"({app="y", pod="c"})", 2}}));
  EXPECT_EQ(vector("bottomk(1, count_over_time({app=~\".+\"}[10s]))", kNow), (Values{{R"({app="y", pod="c"})", 2}}));
  EXPECT_EQ(vector("sum(count_over_time({app=\"nope\"}[1h]))", kNow), Values{});
  EXPECT_EQ(error("approx_topk(1, count_over_time({app=~\".+\"}[10s]))", kNow), "approx_topk is not enabled. See -limits.shard_aggregations");
  limits_.allow_approx_topk = true;
  EXPECT_EQ(vector("approx_topk(1, count_over_time({app=~\".+\"}[10s]))", kNow), (Values{{R"({app="x", pod="a"})", 10}}));
}

TEST_F(MetricTest, SortOrdersInstantResults) {
  const auto order = [&](const std::string& text) {
    std::vector<double> values;
    const auto result = instant(text, kNow);
    EXPECT_TRUE(result.ok());
    for (const Series& s : std::get<VectorResult>(result->data).series) values.push_back(s.samples[0].value);
    return values;
  };
  EXPECT_EQ(order("sort(count_over_time({app=~\".+\"}[10s]))"), (std::vector<double>{2, 5, 10}));
  EXPECT_EQ(order("sort_desc(count_over_time({app=~\".+\"}[10s]))"), (std::vector<double>{10, 5, 2}));
  EXPECT_EQ(order("count_over_time({app=~\".+\"}[10s])"), (std::vector<double>{10, 5, 2}));   // by labels
}

TEST_F(MetricTest, BinaryOperators) {
  const std::string by_pod = "sum by (pod) (count_over_time({app=~\".+\"}[10s]))";
  const std::string a = R"({pod="a"})", b = R"({pod="b"})", c = R"({pod="c"})";
  EXPECT_EQ(vector(by_pod + " * 2", kNow), (Values{{a, 20}, {b, 10}, {c, 4}}));
  EXPECT_EQ(vector("3 - " + by_pod, kNow), (Values{{a, -7}, {b, -2}, {c, 1}}));
  EXPECT_EQ(vector(by_pod + " > 4", kNow), (Values{{a, 10}, {b, 5}}));
  EXPECT_EQ(vector("4 < " + by_pod, kNow), (Values{{a, 10}, {b, 5}}));
  EXPECT_EQ(vector(by_pod + " > bool 4", kNow), (Values{{a, 1}, {b, 1}, {c, 0}}));
  EXPECT_EQ(vector(by_pod + " + " + by_pod, kNow), (Values{{a, 20}, {b, 10}, {c, 4}}));
  EXPECT_TRUE(std::isnan(vector(by_pod + " / 0", kNow).at(a)));
  EXPECT_TRUE(std::isnan(vector(by_pod + " % 0", kNow).at(a)));
  EXPECT_EQ(vector(by_pod + " and (" + by_pod + " > 4)", kNow), (Values{{a, 10}, {b, 5}}));
  EXPECT_EQ(vector(by_pod + " unless (" + by_pod + " > 4)", kNow), (Values{{c, 2}}));
  EXPECT_EQ(vector("(" + by_pod + " > 7) or (" + by_pod + " < 3)", kNow), (Values{{a, 10}, {c, 2}}));
  EXPECT_EQ(vector("count_over_time({app=\"nope\"}[1m]) or vector(1)", kNow), (Values{{"{}", 1}}));
  const auto scalar = instant("7 / 2", kNow);
  ASSERT_TRUE(scalar.ok());
  EXPECT_EQ(std::get<ScalarResult>(scalar->data).sample.value, 3.5);
}

TEST_F(MetricTest, VectorMatching) {
  const std::string both = "sum by (app, pod) (count_over_time({app=~\".+\"}[10s]))", app = "sum by (app) (count_over_time({app=~\".+\"}[10s]))";
  const std::string xa = R"({app="x", pod="a"})", xb = R"({app="x", pod="b"})", yc = R"({app="y", pod="c"})";
  EXPECT_EQ(vector(both + " / on (app) group_left () " + app, kNow), (Values{{xa, 10.0 / 15}, {xb, 5.0 / 15}, {yc, 1}}));
  EXPECT_EQ(vector(app + " / on (app) group_right () " + both, kNow), (Values{{xa, 1.5}, {xb, 3}, {yc, 1}}));
  EXPECT_EQ(vector(both + " and on (app) (" + app + " > 3)", kNow), (Values{{xa, 10}, {xb, 5}}));
  EXPECT_EQ(vector(both + " - ignoring (pod) group_left () " + app, kNow), (Values{{xa, -5}, {xb, -10}, {yc, 0}}));
  EXPECT_EQ(error(both + " / on (app) " + both, kNow),
            "found duplicate series on the right hand-side;many-to-many matching not allowed: matching labels must be unique on one side");
  EXPECT_EQ(error(both + " / on (app) " + app, kNow), "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)");
  const auto failed = instant(both + " / on (app) " + app, kNow);
  EXPECT_EQ(failed.error().code(), ErrorCode::kInternal);
}

TEST_F(MetricTest, LabelReplace) {
  const std::string v = "sum by (pod) (count_over_time({app=\"x\"}[10s]))";
  EXPECT_EQ(vector("label_replace(" + v + R"x(, "p", "<$1>", "pod", "(.*)"))x", kNow), (Values{{R"({p="<a>", pod="a"})", 10}, {R"({p="<b>", pod="b"})", 5}}));
  EXPECT_EQ(vector("label_replace(" + v + R"x(, "p", "${w}", "pod", "(?P<w>a)"))x", kNow), (Values{{R"({p="a", pod="a"})", 10}, {R"({pod="b"})", 5}}));
  EXPECT_EQ(vector("label_replace(" + v + R"x(, "pod", "", "pod", "a"))x", kNow), (Values{{"{}", 10}, {R"({pod="b"})", 5}}));
}

TEST_F(MetricTest, EmptyLabelsShowWhereTheyAreGroupedBy) {
  source_.add(R"({app="empty"})", {{1005 * kSecond, "a=1"}, {1006 * kSecond, "a=1 z=2"}});
  const std::string lines = R"({app="empty"} | logfmt z [10s])";
  EXPECT_EQ(vector("sum by (z, y) (count_over_time(" + lines + "))", kNow), (Values{{R"({z=""})", 1}, {R"({z="2"})", 1}}));
  EXPECT_EQ(vector("2 * sum by (z) (rate(" + lines + "))", kNow), (Values{{R"({z=""})", 0.2}, {R"({z="2"})", 0.2}}));
  EXPECT_EQ(vector("count_over_time(" + lines + ")", kNow), (Values{{R"({app="empty"})", 1}, {R"({app="empty", z="2"})", 1}}));
}

TEST_F(MetricTest, PipelineErrorsFailTheQuery) {
  source_.add(R"({app="bad"})", {{1005 * kSecond, "v=abc"}});
  EXPECT_EQ(error(R"(sum_over_time({app="bad"} | logfmt | unwrap v [10s]))", kNow).substr(0, 66),
            "pipeline error: 'SampleExtractionErr' for series: '{__error__=\"Sam");
  EXPECT_EQ(vector(R"(sum_over_time({app="bad"} | logfmt | unwrap v | __error__="" [10s]))", kNow), Values{});
  EXPECT_EQ(vector(R"(sum_over_time({app="bad"} | logfmt | unwrap v [2s]))", kNow), Values{});   // outside the window
  EXPECT_NE(error(R"(count_over_time({app="bad"} | json [10s]))", kNow).find("JSONParserErr"), std::string::npos);
  EXPECT_EQ(vector(R"(sum(count_over_time({app="bad"} | json [10s])))", kNow), (Values{{"{}", 1}}));   // nothing needs the parser
  EXPECT_EQ(vector(R"(sum by (__error__) (count_over_time({app="bad"} | json [10s])))", kNow), (Values{{R"({__error__="JSONParserErr"})", 1}}));
  EXPECT_EQ(vector(R"(sum(count_over_time({app="bad"} | json | __error__!="" [10s])))", kNow), (Values{{"{}", 1}}));
  EXPECT_TRUE(error(R"(sum without (x) (count_over_time({app="bad"} | json | __error__!="" [10s])))", kNow).starts_with("pipeline error: 'JSONParserErr'"));
}

TEST_F(MetricTest, SeriesLimit) {
  limits_.max_series = 2;
  EXPECT_NE(error("count_over_time({app=~\".+\"}[10s])", kNow).find("maximum number of series (2) reached"), std::string::npos);
  EXPECT_EQ(vector("sum(count_over_time({app=~\".+\"}[10s]))", kNow), (Values{{"{}", 17}}));
  EXPECT_NE(error("topk(1, count_over_time({app=~\".+\"}[10s]))", kNow).find("maximum number of series (2) reached"), std::string::npos);
  limits_.partial_results = true;
  const auto partial = instant("count_over_time({app=~\".+\"}[10s])", kNow);
  ASSERT_TRUE(partial.ok());
  EXPECT_EQ(std::get<VectorResult>(partial->data).series.size(), 2U);
  EXPECT_EQ(partial->warnings, std::vector<std::string>{"maximum number of series (2) reached for a single query; returning partial results"});
}

TEST_F(MetricTest, CountingOpensTimesOnly) {
  EXPECT_EQ(vector(R"(sum(count_over_time({app="x"}[10s])))", kNow + 5).at("{}"), 15);
  EXPECT_EQ(source_.asked & ~chunk::kTimestamps, 0);
  EXPECT_EQ(vector(R"(sum by (pod) (rate({app="x"}[100s])))", kNow).at(R"({pod="a"})"), 0.1);
  EXPECT_EQ(source_.asked & ~chunk::kTimestamps, 0);
}

TEST_F(MetricTest, BlocksInsideOneWindowAreNotOpened) {
  EXPECT_EQ(vector(R"(sum(count_over_time({app="x"}[1h])))", kNow).at("{}"), 15);
  EXPECT_EQ(source_.loads, 0U);
}

TEST_F(MetricTest, InstantScalarTimesAreMilliseconds) {
  const auto result = instant("1 + 2", 1'500'000'001);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(std::get<ScalarResult>(result->data).sample.timestamp_ms, 1500);
}

TEST_F(MetricTest, RangeOfScalarAndVector) {
  const auto result = range("1 + 2", 0, 2 * kSecond, kSecond);
  ASSERT_TRUE(result.ok());
  const auto& series = std::get<MatrixResult>(result->data).series;
  ASSERT_EQ(series.size(), 1U);
  EXPECT_EQ(series[0].samples.size(), 3U);
  EXPECT_EQ(series[0].samples[2].timestamp_ms, 2000);
}

}  // namespace
}  // namespace skald::engine::testing
