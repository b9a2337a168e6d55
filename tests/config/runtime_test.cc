#include "skald/config/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace skald::config {
namespace {

using ::testing::HasSubstr;

class RuntimeFile : public ::testing::Test {
 protected:
  RuntimeLimits make(const std::string& names) {
    Limits global;
    global.max_query_series = 77;
    global.ingestion_rate_strategy = "local";
    return RuntimeLimits(global, names, kNanosPerSecond, [this](const std::string& path) -> Result<std::string> {
      const auto at = files.find(path);
      if (at == files.end()) return Error(ErrorCode::kNotFound, path + ": no such file");
      return at->second;
    }, registry);
  }
  bool successful() { return registry.expose_text().find("loki_runtime_config_last_reload_successful{config=\"loki\"} 1") != std::string::npos; }

  std::map<std::string, std::string> files;
  obs::Registry registry;
};

TEST_F(RuntimeFile, OverridesStartFromTheGlobalLimits) {
  files["o"] = "overrides:\n  a: {ingestion_rate_mb: 20, retention_stream: [{selector: '{x=\"y\"}', priority: 1, period: 24h}]}\n  empty:\nconfigs: {a: {log_push_request: true}}\n";
  RuntimeLimits limits = make("o");
  ASSERT_TRUE(limits.reload().ok());
  EXPECT_EQ(limits.for_tenant("a")->ingestion_rate_mb, 20);
  EXPECT_EQ(limits.for_tenant("a")->max_query_series, 77);
  EXPECT_EQ(limits.for_tenant("a")->retention_stream.size(), 1u);
  EXPECT_EQ(limits.for_tenant("b")->ingestion_rate_mb, 4);
  EXPECT_EQ(limits.tenants(), std::vector<std::string>{"a"});
}

TEST_F(RuntimeFile, AnInvalidReloadKeepsTheLastGoodContent) {
  files["o"] = "overrides: {a: {max_query_series: 5}}\n";
  RuntimeLimits limits = make("o");
  ASSERT_TRUE(limits.reload().ok());
  const LimitsPtr held = limits.for_tenant("a");
  for (const char* content : {"overrides: {a: {max_query_serie: 6}}\n", "nonsense: 1\n", "overrides: {a: {max_query_series: x}}\n", "overrides: [", "overrides: 3\n",
                              "overrides: {a: {deletion_mode: perhaps}}\n"}) {
    files["o"] = content;
    EXPECT_FALSE(limits.reload().ok()) << content;
    EXPECT_FALSE(successful()) << content;
    EXPECT_EQ(limits.for_tenant("a")->max_query_series, 5) << content;
  }
  files["o"] = "overrides: {a: {max_query_series: 9}}\n";
  ASSERT_TRUE(limits.reload().ok());
  EXPECT_TRUE(successful());
  EXPECT_EQ(limits.for_tenant("a")->max_query_series, 9);
  EXPECT_EQ(held->max_query_series, 5);
}

TEST_F(RuntimeFile, ErrorsNameFileTenantLineAndNearestKey) {
  files["o"] = "overrides:\n  a:\n    max_query_serie: 6\n";
  RuntimeLimits limits = make("o");
  const Result<void> result = limits.reload();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message(),
            "failed to load runtime config o: tenant a: line 3: field max_query_serie not found in limits; did you mean \"max_query_series\"?");
}

TEST_F(RuntimeFile, FilesAreMergedLeftToRightAndListsReplaced) {
  files["1"] = "overrides: {a: {max_query_series: 1, required_labels: [x, y]}, b: {max_query_series: 2}}\n";
  files["2"] = "overrides: {a: {max_query_series: 3, required_labels: [z]}}\n";
  RuntimeLimits limits = make("1, 2");
  ASSERT_TRUE(limits.reload().ok());
  EXPECT_EQ(limits.for_tenant("a")->max_query_series, 3);
  EXPECT_EQ(limits.for_tenant("a")->required_labels, std::vector<std::string>{"z"});
  EXPECT_EQ(limits.for_tenant("b")->max_query_series, 2);
}

TEST_F(RuntimeFile, AMissingFileFailsAndAnEmptyOneIsFine) {
  RuntimeLimits missing = make("o");
  EXPECT_THAT(missing.reload().error().message(), HasSubstr("o: no such file"));
  files["o"] = "";
  RuntimeLimits empty = make("o");
  EXPECT_TRUE(empty.reload().ok());
  RuntimeLimits none = make("");
  EXPECT_TRUE(none.reload().ok());
  EXPECT_EQ(none.for_tenant("x"), none.global());
}

TEST_F(RuntimeFile, TheRateStrategyIsNeverPerTenant) {
  files["o"] = "overrides: {a: {ingestion_rate_strategy: global}}\n";
  RuntimeLimits limits = make("o");
  ASSERT_TRUE(limits.reload().ok());
  EXPECT_EQ(limits.for_tenant("a")->ingestion_rate_strategy, "local");
}

TEST_F(RuntimeFile, AStartedReloaderStopsAtOnce) {
  files["o"] = "overrides: {}\n";
  RuntimeLimits limits = make("o");
  ASSERT_TRUE(limits.reload().ok());
  limits.start();
  limits.stop();
}

}  // namespace
}  // namespace skald::config
