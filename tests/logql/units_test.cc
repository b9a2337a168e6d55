#include "skald/logql/units.h"

#include <gtest/gtest.h>

#include <cmath>

namespace skald::logql {
namespace {

struct FloatCase { const char* text; FloatStatus status; double value; };

TEST(GoFloat, ReadsWhatGoReads) {
  const FloatCase cases[] = {
      {"1", FloatStatus::kOk, 1}, {"-1.5", FloatStatus::kOk, -1.5}, {"+2", FloatStatus::kOk, 2},
      {".5", FloatStatus::kOk, 0.5}, {"5.", FloatStatus::kOk, 5}, {"1e3", FloatStatus::kOk, 1000},
      {"1E-3", FloatStatus::kOk, 0.001}, {"1_000", FloatStatus::kOk, 1000}, {"0x1p4", FloatStatus::kOk, 16},
      {"Inf", FloatStatus::kOk, INFINITY}, {"-infinity", FloatStatus::kOk, -INFINITY}, {"1e-400", FloatStatus::kOk, 0},
      {"", FloatStatus::kSyntax, 0}, {"zz", FloatStatus::kSyntax, 0}, {"0x10", FloatStatus::kSyntax, 0},
      {"1e", FloatStatus::kSyntax, 0}, {".", FloatStatus::kSyntax, 0}, {"1__0", FloatStatus::kSyntax, 0},
      {"_1", FloatStatus::kSyntax, 0}, {"1_", FloatStatus::kSyntax, 0}, {" 1", FloatStatus::kSyntax, 0},
      {"1 ", FloatStatus::kSyntax, 0}, {"+nan", FloatStatus::kSyntax, 0}, {"1e309", FloatStatus::kRange, INFINITY},
      {"-1e309", FloatStatus::kRange, -INFINITY}, {"+-1", FloatStatus::kSyntax, 0}, {"1.2.3", FloatStatus::kSyntax, 0}};
  for (const FloatCase& c : cases) {
    double value = 7;
    EXPECT_EQ(parse_go_float(c.text, value), c.status) << c.text;
    EXPECT_EQ(value, c.value) << c.text;
  }
  double value = 0;
  EXPECT_EQ(parse_go_float("NaN", value), FloatStatus::kOk);
  EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(go_float_error("zz", FloatStatus::kSyntax), "strconv.ParseFloat: parsing \"zz\": invalid syntax");
}

TEST(GoDuration, ReadsUnitsAndNamesWhatIsWrong) {
  EXPECT_EQ(parse_go_duration_text("1h30m").value(), 5'400'000'000'000);
  EXPECT_EQ(parse_go_duration_text("1.5s").value(), 1'500'000'000);
  EXPECT_EQ(parse_go_duration_text("-2ms").value(), -2'000'000);
  EXPECT_EQ(parse_go_duration_text("0").value(), 0);
  EXPECT_EQ(parse_go_duration_text("5\xC2\xB5s").value(), 5'000);
  EXPECT_EQ(parse_go_duration_text("1s1h").value(), 3'601'000'000'000);
  EXPECT_EQ(parse_go_duration_text("xx").error().message(), "time: invalid duration \"xx\"");
  EXPECT_EQ(parse_go_duration_text("").error().message(), "time: invalid duration \"\"");
  EXPECT_EQ(parse_go_duration_text("5").error().message(), "time: missing unit in duration \"5\"");
  EXPECT_EQ(parse_go_duration_text("1d").error().message(), "time: unknown unit \"d\" in duration \"1d\"");
  EXPECT_FALSE(parse_go_duration_text("99999999999h").ok());
  EXPECT_FALSE(parse_go_duration_text("9223372036854775808ns").ok());
  EXPECT_EQ(parse_go_duration_text("-9223372036854775808ns").value(), INT64_MIN);
}

TEST(HumanizedBytes, AnyCaseInValuesExactCaseInQueries) {
  EXPECT_EQ(parse_humanized_bytes("10kb").value(), 10'000u);
  EXPECT_EQ(parse_humanized_bytes("1 KiB").value(), 1024u);
  EXPECT_EQ(parse_humanized_bytes("1,024B").value(), 1024u);
  EXPECT_EQ(parse_humanized_bytes("7").value(), 7u);
  EXPECT_EQ(parse_humanized_bytes("1.5MiB").value(), 1'572'864u);
  EXPECT_EQ(parse_humanized_bytes("abc").error().message(), "strconv.ParseFloat: parsing \"\": invalid syntax");
  EXPECT_EQ(parse_humanized_bytes("5QB").error().message(), "unhandled size name: qb");
  EXPECT_EQ(parse_query_bytes("5kB"), 5000u);
  EXPECT_EQ(parse_query_bytes("5KiB"), 5120u);
  EXPECT_EQ(parse_query_bytes("5Ki"), 5120u);
  EXPECT_EQ(parse_query_bytes("5kb"), std::nullopt);
  EXPECT_EQ(parse_query_bytes("5"), std::nullopt);
  EXPECT_EQ(format_humanized_bytes(5000), "5.0kB");
  EXPECT_EQ(format_humanized_bytes(7), "7B");
  EXPECT_EQ(format_humanized_bytes(82'854'982), "83MB");
}

TEST(GoFloatText, SwitchesToExponentsAsPercentVDoes) {
  EXPECT_EQ(format_go_float_g(1e6), "1e+06");
  EXPECT_EQ(format_go_float_g(1e21), "1e+21");
  EXPECT_EQ(format_go_float_g(0.000001), "1e-06");
  EXPECT_EQ(format_go_float_g(100.0), "100");
  EXPECT_EQ(format_go_float_g(82854982), "8.2854982e+07");
  EXPECT_EQ(format_go_float_g(123456.5), "123456.5");
  EXPECT_EQ(format_go_float_g(0.0001), "0.0001");
  EXPECT_EQ(format_go_float_f(1e21), "1000000000000000000000");
  EXPECT_EQ(format_go_float_f(0.0000001), "0.0000001");
}

}  // namespace
}  // namespace skald::logql
