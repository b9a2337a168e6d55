// Properties over random queries: what is printed parses back, cut and damaged text never breaks the parser.
#include <gtest/gtest.h>

#include "logql/query_generator.h"
#include "skald/logql/format.h"
#include "skald/logql/parser.h"
#include "skald/logql/template.h"

namespace skald::logql {
namespace {

TEST(RoundTrip, LineFormParsesToTheSameTree) {
  QueryGenerator generator(20260115);
  for (int i = 0; i < 4000; ++i) {
    const std::string query = generator.query();
    const auto parsed = parse(query);
    ASSERT_TRUE(parsed.ok()) << query << "\n" << parsed.error().message();
    const std::string line = format_line(*parsed);
    const auto again = parse(line);
    ASSERT_TRUE(again.ok()) << query << "\n" << line << "\n" << again.error().message();
    ASSERT_EQ(format_line(*again), line) << query;
    ASSERT_EQ(format_pretty(*again), format_pretty(*parsed)) << query;
    ASSERT_EQ(selectors_of(*again).size(), selectors_of(*parsed).size());
  }
}

// Two rounds, since the first one turns `!= "a" or "b"` into two filters and rounds sizes.
TEST(RoundTrip, PrettyFormIsStable) {
  QueryGenerator generator(7);
  for (int i = 0; i < 4000; ++i) {
    const std::string query = generator.query();
    const auto parsed = parse(query);
    ASSERT_TRUE(parsed.ok()) << query;
    const std::string pretty = format_pretty(*parsed);
    const auto again = parse(pretty);
    ASSERT_TRUE(again.ok()) << query << "\n" << pretty << "\n" << again.error().message();
    const std::string second = format_pretty(*again);
    const auto third = parse(second);
    ASSERT_TRUE(third.ok()) << second;
    ASSERT_EQ(format_pretty(*third), second) << query;
  }
}

TEST(RoundTrip, CutAndDamagedQueriesAreRefusedOrParsed) {
  QueryGenerator generator(11);
  SeededRandom random(12);
  std::size_t refused = 0;
  for (int i = 0; i < 60; ++i) {
    const std::string query = generator.query();
    for (std::size_t keep = 0; keep < query.size(); ++keep) {
      const auto parsed = parse(std::string_view(query).substr(0, keep));
      if (!parsed.ok()) {
        ++refused;
        ASSERT_EQ(parsed.error().message().substr(0, 12), "parse error ") << query.substr(0, keep);
      }
    }
    for (int j = 0; j < 100; ++j) {
      std::string damaged = query;
      damaged[random.next_u64() % damaged.size()] = static_cast<char>(random.next_u64());
      const auto parsed = parse(damaged);
      if (!parsed.ok()) continue;
      ASSERT_TRUE(parse(format_line(*parsed)).ok()) << damaged << "\n" << format_line(*parsed);
    }
  }
  EXPECT_GT(refused, 100u);
}

}  // namespace
}  // namespace skald::logql
