#include "skald/api/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "skald/base/random.h"

namespace skald::api {
namespace {

std::string text(std::string_view in) {
  std::string out;
  append_json_string(out, in);
  return out;
}
std::string decimal(double v) {
  std::string out;
  append_decimal(out, v);
  return out;
}
std::string seconds(std::int64_t ms) {
  std::string out;
  append_seconds(out, ms);
  return out;
}

TEST(JsonText, Escapes) {
  EXPECT_EQ(text("plain"), "\"plain\"");
  EXPECT_EQ(text("a\"b\\c\n\r\t\x01\x1f"), R"("a\"b\\c\n\r\t\u0001\u001f")");
  EXPECT_EQ(text("<b>&\xe2\x80\xa8\xe2\x80\xa9"), R"("\u003cb\u003e\u0026\u2028\u2029")");
  EXPECT_EQ(text("h\xc3\xa9 \xe4\xb8\x96 \xf0\x9f\x98\x80"), "\"h\xc3\xa9 \xe4\xb8\x96 \xf0\x9f\x98\x80\"");
  EXPECT_EQ(text("\xff\xc3(\xed\xa0\x80"), R"("\ufffd\ufffd(\ufffd\ufffd\ufffd")");
  EXPECT_EQ(text(std::string_view("\0", 1)), R"("\u0000")");
  EXPECT_EQ(text("cut \xe4\xb8"), R"("cut \ufffd\ufffd")");
}

TEST(JsonText, DecimalsHaveNoExponent) {
  EXPECT_EQ(decimal(0), "0");
  EXPECT_EQ(decimal(-0.0), "-0");
  EXPECT_EQ(decimal(5), "5");
  EXPECT_EQ(decimal(-122), "-122");
  EXPECT_EQ(decimal(0.125), "0.125");
  EXPECT_EQ(decimal(41.666666666666664), "41.666666666666664");
  EXPECT_EQ(decimal(1e21), "1000000000000000000000");
  EXPECT_EQ(decimal(1e-7), "0.0000001");
  EXPECT_EQ(decimal(1.5e-5), "0.000015");
  EXPECT_EQ(decimal(4.3667350287920675e59), "436673502879206750000000000000000000000000000000000000000000");
  EXPECT_EQ(decimal(NAN), "NaN");
  EXPECT_EQ(decimal(INFINITY), "+Inf");
  EXPECT_EQ(decimal(-INFINITY), "-Inf");
}

TEST(JsonText, DecimalsReadBack) {
  SeededRandom random(3);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t bits = random.next_u64();
    double v;
    std::memcpy(&v, &bits, sizeof v);
    if (!std::isfinite(v)) continue;
    const std::string out = decimal(v);
    ASSERT_EQ(std::strtod(out.c_str(), nullptr), v) << out;
    ASSERT_EQ(out.find('e'), std::string::npos);
  }
}

TEST(JsonText, Seconds) {
  EXPECT_EQ(seconds(1700000000000), "1700000000");
  EXPECT_EQ(seconds(1700000000500), "1700000000.5");
  EXPECT_EQ(seconds(1700000000010), "1700000000.01");
  EXPECT_EQ(seconds(1700000000001), "1700000000.001");
  EXPECT_EQ(seconds(-1500), "-1.5");
}

}  // namespace
}  // namespace skald::api
