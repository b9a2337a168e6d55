#include "skald/obs/metrics.h"

#include <gtest/gtest.h>

namespace skald::obs {
namespace {

TEST(Metrics, ExposesFamiliesSortedByNameWithEscapedLabels) {
  Registry registry;
  registry.gauge("b_gauge", "a gauge").set(2.5);
  registry.counter_family("a_total", "a counter", {"tenant"}).with({"x\"\\\n"}).add(3);
  EXPECT_EQ(registry.expose_text(),
            "# HELP a_total a counter\n# TYPE a_total counter\na_total{tenant=\"x\\\"\\\\\\n\"} 3\n"
            "# HELP b_gauge a gauge\n# TYPE b_gauge gauge\nb_gauge 2.5\n");
}

TEST(Metrics, HistogramBucketsAreCumulativeAndEdgesPrintedAsGoDoes) {
  Registry registry;
  Histogram& histogram = registry.histogram("h", "help", {0.005, 2.5, 1280000});
  histogram.observe(0.005);
  histogram.observe(1);
  histogram.observe(1e9);
  EXPECT_EQ(registry.expose_text(),
            "# HELP h help\n# TYPE h histogram\nh_bucket{le=\"0.005\"} 1\nh_bucket{le=\"2.5\"} 2\n"
            "h_bucket{le=\"1.28e+06\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 1.000000001005e+09\nh_count 3\n");
}

TEST(Metrics, FunctionsHaveTheTypeTheyWereGiven) {
  Registry registry;
  registry.counter_function("a_total", "A total.", [] { return 1e300; });
  registry.gauge_function("b", "A level.", [] { return 0.25; });
  const std::string text = registry.expose_text();
  EXPECT_NE(text.find("# TYPE a_total counter\na_total 1e+300\n"), std::string::npos) << text;
  EXPECT_NE(text.find("# TYPE b gauge\nb 0.25\n"), std::string::npos) << text;
}

TEST(Metrics, LabelledFamilyAppearsWithItsFirstSample) {
  Registry registry;
  auto& family = registry.counter_family("x_total", "help", {"reason"});
  EXPECT_EQ(registry.expose_text(), "");
  family.with({"full"}).add();
  EXPECT_NE(registry.expose_text().find("x_total{reason=\"full\"} 1"), std::string::npos);
}

TEST(Metrics, AskingTwiceGivesTheSameMetric) {
  Registry registry;
  registry.counter("c", "help").add(1);
  registry.counter("c", "help").add(1);
  EXPECT_EQ(registry.counter("c", "help").value(), 2);
}

}  // namespace
}  // namespace skald::obs
