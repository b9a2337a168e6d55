// Noise, and half-broken JSON and logfmt, through every stage. The lines and rows must survive; sanitizers do the rest.
#include <gtest/gtest.h>

#include <random>

#include "engine/stage_fuzz.h"
#include "skald/logql/parser.h"

namespace skald::engine::test {
namespace {

std::string noise(std::mt19937& random, const std::vector<std::string>& pieces) {
  std::string text;
  const std::size_t count = random() % 30;
  for (std::size_t i = 0; i < count; ++i) {
    if (random() % 5 == 0) text.push_back(static_cast<char>(random()));
    else text += pieces[random() % pieces.size()];
  }
  return text;
}

TEST(RandomBytes, EveryStageSurvives) {
  const std::vector<std::string> pieces = {
      "{", "}", "[", "]", "\"", ":", ",", "\\", "\\u", "d83d", "\\ude00", "null", "true", "1.5", " ", "\n", "\t", "=", "a=", "b=\"", "key",
      "\"a\":", "\"a\":{\"b\":", "\xFE", "\xFE{", "\xC3", "\xA9", "\xEF\xBF\xBD", "\x1b[31m", "\x1b", "10.0.0.1", "::1", "_entry", "<_>",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "0", "k", "\xE2\x84\xAA"};
  std::mt19937 random(3);
  for (const char* const stages :
       {"| json", "| json a, b=\"a.b\", c=\"[1].x\"", "| logfmt", "| logfmt --strict --keep-empty", "| logfmt a, k=\"key\"", "| unpack",
        "| json | logfmt | unpack | json", "| decolorize", "| pattern \"<a>=<b> <_>\"", "| regexp \"(?P<x>a+)(?P<y>.)?\"",
        "| logfmt | a > 5 or key=~\"1.*\" | drop a | keep b, key=\"x\"", "| json | a = ip(\"10.0.0.0/8\") or a > 5s or a < 1KB"}) {
    auto query = logql::parse("{app=\"web\"} " + std::string(stages));
    ASSERT_TRUE(query.ok()) << stages;
    Fuzzed fuzzed(query.value().log().stages);
    for (int round = 0; round < 1500; ++round) fuzzed.run(noise(random, pieces));
  }
  for (const char* const filter : {"|= \"a\"", "!~ \"(?i)k\"", "|> \"<_>a<_>\"", "|= ip(\"10.0.0.0/8\")", "|~ \"a.*1\"", "!= \"{\" or \"k\""}) {
    auto query = logql::parse("{app=\"web\"} " + std::string(filter));
    ASSERT_TRUE(query.ok()) << filter;
    Fuzzed fuzzed(query.value().log().stages);
    for (int round = 0; round < 1500; ++round) fuzzed.run(noise(random, pieces));
  }
}

TEST(RandomBytes, ParsersKeepEveryRow) {
  Fuzzed json({logql::JsonStage{}});
  EXPECT_EQ(json.run("{\xFE{\"a\":1}\xFE\xFE]"), 4U);
  EXPECT_GT(json.last_bytes_out, 0U);
}

}  // namespace
}  // namespace skald::engine::test
