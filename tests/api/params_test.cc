#include "skald/api/params.h"

#include <gtest/gtest.h>

#include "skald/base/clock.h"

namespace skald::api {
namespace {

constexpr std::int64_t kNow = 1'768'480'000 * kNanosPerSecond;

std::string message(const std::string& query) {
  const auto params = parse_range_params(http::Params::parse(query), kNow);
  return params.ok() ? "" : params.error().message();
}
RangeParams parsed(const std::string& query) {
  const auto params = parse_range_params(http::Params::parse(query), kNow);
  EXPECT_TRUE(params.ok()) << query;
  return params.ok() ? *params : RangeParams{};
}

TEST(ReadParams, Timestamps) {
  const auto time = [](std::string_view text) { return parse_timestamp(text, -1).value(); };
  EXPECT_EQ(time(""), -1);
  EXPECT_EQ(time("1768471200"), 1'768'471'200 * kNanosPerSecond);
  EXPECT_EQ(time("1768471200000000001"), 1'768'471'200'000'000'001);
  EXPECT_EQ(time("1768471200000"), 1'768'471'200'000);   // thirteen digits are nanoseconds
  EXPECT_EQ(time("1768471200.5"), 1'768'471'200'500'000'000);
  EXPECT_EQ(time("1768471200.0004"), 1'768'471'200 * kNanosPerSecond);
  EXPECT_EQ(time("2026-01-15T10:00:00Z"), 1'768'471'200 * kNanosPerSecond);
  EXPECT_EQ(time("2026-01-15T11:00:00.25+01:00"), 1'768'471'200'250'000'000);
  EXPECT_EQ(time("-1"), -kNanosPerSecond);
  EXPECT_EQ(parse_timestamp("abc", 0).error().message(), "strconv.ParseInt: parsing \"abc\": invalid syntax");
  EXPECT_EQ(parse_timestamp("2026-01-15", 0).error().message(), "strconv.ParseInt: parsing \"2026-01-15\": invalid syntax");
  EXPECT_EQ(parse_timestamp("99999999999999999999", 0).error().message(), "strconv.ParseInt: parsing \"99999999999999999999\": value out of range");
  EXPECT_TRUE(parse_timestamp("9999999999", 0).ok());
}

TEST(ReadParams, Defaults) {
  const RangeParams params = parsed("query=x");
  EXPECT_EQ(params.end_ns, kNow);
  EXPECT_EQ(params.start_ns, kNow - kNanosPerHour);
  EXPECT_EQ(params.step_ns, 14 * kNanosPerSecond);
  EXPECT_EQ(params.limit, 100U);
  EXPECT_EQ(params.direction, engine::Direction::kBackward);
  EXPECT_EQ(parsed("limit=&direction=").limit, 100U);
  EXPECT_EQ(parsed("direction=FORWARD").direction, engine::Direction::kForward);
  EXPECT_EQ(parsed("end=1768471200&since=5m").start_ns, (1'768'471'200 - 300) * kNanosPerSecond);
  EXPECT_EQ(parsed("end=4000000000&since=5m").start_ns, kNow - 300 * kNanosPerSecond);
  EXPECT_EQ(parsed("start=1768471200&end=1768471300").step_ns, kNanosPerSecond);
  EXPECT_EQ(parsed("step=1m").step_ns, kNanosPerMinute);
  EXPECT_EQ(parsed("step=0.5").step_ns, kNanosPerSecond / 2);
  EXPECT_EQ(parsed("interval=90").interval_ns, 90 * kNanosPerSecond);
}

TEST(ReadParams, Errors) {
  EXPECT_EQ(message("start=zz"), "could not parse 'start' parameter: strconv.ParseInt: parsing \"zz\": invalid syntax");
  EXPECT_EQ(message("end=zz"), "could not parse 'end' parameter: strconv.ParseInt: parsing \"zz\": invalid syntax");
  EXPECT_EQ(message("start=20&end=10"), "end timestamp must not be before or equal to start time");
  EXPECT_EQ(message("start=10&end=10"), "");
  EXPECT_EQ(message("limit=0"), "limit must be a positive value");
  EXPECT_EQ(message("limit=-3"), "limit must be a positive value");
  EXPECT_EQ(message("limit=1.5"), "strconv.Atoi: parsing \"1.5\": invalid syntax");
  EXPECT_EQ(message("direction=up"), "invalid direction 'up'");
  EXPECT_EQ(message("step=0"), "zero or negative query resolution step widths are not accepted. Try a positive integer");
  EXPECT_EQ(message("step=-60"), "zero or negative query resolution step widths are not accepted. Try a positive integer");
  EXPECT_EQ(message("step=abc"), "cannot parse \"abc\" to a valid duration");
  EXPECT_EQ(message("step=15.5s"), "cannot parse \"15.5s\" to a valid duration");
  EXPECT_EQ(message("step=0.1"), "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter");
  EXPECT_EQ(message("interval=-5"), "interval must be >= 0");
}

}  // namespace
}  // namespace skald::api
