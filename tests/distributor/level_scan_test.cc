#include "distributor/level_scan.h"

#include <gtest/gtest.h>

#include "skald/base/random.h"
#include "skald/config/limits.h"

namespace skald::distributor {
namespace {

std::string level_of(std::string_view line, std::int64_t depth = 2) {
  static const LevelFields fields{config::Limits().log_level_fields};
  return std::string(model::level_text(detect_line_level(line, fields, depth)));
}

TEST(LineLevel, FollowsTheRules) {
  const std::pair<const char*, const char*> cases[] = {
      {"error: x", "error"}, {"mis:error", "unknown"}, {"[ERROR] x", "error"}, {"level=weird", "unknown"},
      {"severity=crit", "unknown"}, {R"({"level":30})", "unknown"}, {"trace=1 info", "trace"},
      {R"({"a":{"level":"warn"}})", "warn"}, {"lvl=dbg", "debug"}, {R"({"a":{"b":{"level":"warn"}}})", "warn"},
      // JSON: the first member in document order, exact name, string value
      {R"({"LVL":"err","level":"info"})", "error"}, {R"({"LEvel":"x","msg":"debug"})", "debug"},
      {R"( {"x":[{"level":"info"}],"level":"fatal"} )", "fatal"}, {R"({"a":{"x":1},"lvl":"wrn"})", "warn"},
      {R"({"level":"weird","m":"a critical thing"})", "critical"}, {R"({"level":5,"lvl":"trc"})", "trace"},
      {R"({"msg":"level=error"})", "error"}, {R"({"a":{},"b":[],"level":"information"})", "info"},
      // logfmt: the earliest field of the list, any case
      {"lvl=debug Level=err", "error"}, {"msg=\"a level=info b\" severity=WARNING", "warn"}, {"a=b c SEVERITYTEXT=inf", "info"},
      {"ts=1 level=\"fatal\" x", "fatal"}, {"level= error", "error"}, {"level=info level=error", "info"},
      // keywords
      {"an err, then info", "error"}, {"warning! x", "warn"}, {"the informer", "unknown"}, {"terror", "unknown"},
      {"x|fatal|y", "fatal"}, {"a:warn", "unknown"}, {"(debug)", "debug"}, {"'info'", "info"}, {"errors", "unknown"},
      {"ends with TRACE", "trace"}, {"", "unknown"}, {"\tInfo\n", "info"}, {"Warn.", "unknown"}};
  for (const auto& [line, level] : cases) EXPECT_EQ(level_of(line), level) << line;
}

TEST(LineLevel, JsonDepthIsALimitOfTheTenant) {
  const char* const line = R"({"a":{"b":{"level":"warn"}},"x":"an info word","lvl":"fatal"})";
  EXPECT_EQ(level_of(line, 1), "fatal");
  EXPECT_EQ(level_of(line, 2), "fatal");
  EXPECT_EQ(level_of(line, 3), "warn");
  EXPECT_EQ(level_of(line, 0), "warn");
}

TEST(LineLevel, EveryTruncationIsAnAnswer) {
  for (const std::string line : {R"({"a":{"b\"":[1,{"c":"d"}]},"level":"warn"})", "a=b msg=\"x \\\" y\" level=err z"})
    for (std::size_t keep = 0; keep <= line.size(); ++keep) EXPECT_NE(level_of(line.substr(0, keep)), "");
}

TEST(KeywordScan, BothWaysAgree) {
  SeededRandom random(11);
  static constexpr std::string_view kParts[] = {"error", "ERR", "warn", "Warning", "info", "trace", "debug", "fatal", "critical",
                                                " ", "=", "[", "]", ":", "\"", "x", "\xC3\xA9", "longer filler text", "|", "\t", "-"};
  for (int i = 0; i < 20000; ++i) {
    std::string line;
    for (std::uint64_t n = random.next_u64() % 12; n > 0; --n) line += kParts[random.next_u64() % std::size(kParts)];
    ASSERT_EQ(scan_keywords(line), scan_keywords_plain(line)) << line;
  }
  for (int i = 0; i < 5000; ++i) {
    std::string line;
    for (std::uint64_t n = random.next_u64() % 80; n > 0; --n) line += static_cast<char>(random.next_u64());
    ASSERT_EQ(scan_keywords(line), scan_keywords_plain(line));
  }
}

TEST(SeverityNumber, Bands) {
  const std::pair<const char*, const char*> cases[] = {{"0", "unknown"}, {"1", "trace"}, {"4", "trace"}, {"5", "debug"},
      {"8", "debug"}, {"9", "info"}, {"12", "info"}, {"13", "warn"}, {"16", "warn"}, {"17", "error"}, {"20", "error"},
      {"21", "fatal"}, {"24", "fatal"}, {"25", "unknown"}, {"x", "info"}, {"", "info"}};
  for (const auto& [text, level] : cases) EXPECT_EQ(model::level_text(level_from_severity_number(text)), level) << text;
}

}  // namespace
}  // namespace skald::distributor
