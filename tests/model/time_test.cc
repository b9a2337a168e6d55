#include "skald/model/time.h"

#include <gtest/gtest.h>

#include "skald/base/random.h"

namespace skald::model {
namespace {

TEST(Rfc3339, FormatsAsGoDoes) {
  EXPECT_EQ(format_rfc3339_nano(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_rfc3339_nano(1'700'000'000'120'000'000), "2023-11-14T22:13:20.12Z");
  EXPECT_EQ(format_rfc3339_nano(-1), "1969-12-31T23:59:59.999999999Z");
}

TEST(Rfc3339, RoundTripsAnyInstant) {
  SeededRandom random(1);
  for (int i = 0; i < 2000; ++i) {
    const auto ns = static_cast<std::int64_t>(random.next_u64());
    EXPECT_EQ(parse_rfc3339(format_rfc3339_nano(ns)), ns);
  }
}

TEST(Rfc3339, ZonesFractionsAndRefusals) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T01:00:00.5+01:00"), 500'000'000);
  for (const char* bad : {"", "1970-01-01", "1970-13-01T00:00:00Z", "1970-02-29T00:00:00Z", "1970-01-01T00:00:00",
                          "1970-01-01T00:00:00.Z", "1970-01-01T24:00:00Z", "1970-01-01T00:00:00Zx"})
    EXPECT_FALSE(parse_rfc3339(bad).has_value()) << bad;
}

TEST(GoDuration, BothWays) {
  const std::pair<const char*, std::int64_t> cases[] = {
      {"0s", 0}, {"1h0m0s", 3'600'000'000'000}, {"1.5s", 1'500'000'000}, {"300ms", 300'000'000}, {"1ns", 1},
      {"1.5\xC2\xB5s", 1500}, {"-2ms", -2'000'000}, {"1m0.000000001s", 60'000'000'001}};
  for (const auto& [text, ns] : cases) {
    EXPECT_EQ(format_go_duration(ns), text);
    EXPECT_EQ(parse_go_duration(text), ns) << text;
  }
  EXPECT_EQ(parse_go_duration("0"), 0);
  EXPECT_EQ(parse_go_duration("1h30m"), 5'400'000'000'000);
  for (const char* bad : {"", "1", "h", "1d", "1.h.", "9999999999999h", "-"}) EXPECT_FALSE(parse_go_duration(bad)) << bad;
}

TEST(PromDuration, BothWays) {
  const std::pair<const char*, std::int64_t> cases[] = {{"0s", 0},
                                                        {"1h", 3'600'000'000'000},
                                                        {"1h30m", 5'400'000'000'000},
                                                        {"1d", 86'400'000'000'000},
                                                        {"1w", 604'800'000'000'000},
                                                        {"1s500ms", 1'500'000'000},
                                                        {"1y", 31'536'000'000'000'000}};
  for (const auto& [text, ns] : cases) {
    EXPECT_EQ(format_prom_duration(ns), text);
    EXPECT_EQ(parse_prom_duration(text), ns) << text;
  }
  EXPECT_EQ(parse_prom_duration("0"), 0);
  for (const char* bad : {"", "1", "1.5h", "1m1h", "h", "1m1m", "99999999999y"})
    EXPECT_FALSE(parse_prom_duration(bad)) << bad;
}

}  // namespace
}  // namespace skald::model
