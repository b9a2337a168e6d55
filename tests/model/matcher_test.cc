#include "skald/model/matcher.h"

#include <gtest/gtest.h>

namespace skald::model {
namespace {

Matcher regex(const std::string& pattern) { return Matcher::make(MatchType::kRegex, "a", pattern).value(); }

TEST(Matcher, RegexIsAnchoredAndDotMatchesNewline) {
  EXPECT_TRUE(regex("a.b").matches("a\nb"));
  EXPECT_FALSE(regex("a.b").matches("xa b"));
  EXPECT_FALSE(regex("b+").matches("bbc"));
  EXPECT_TRUE(regex(".*").matches_empty());
  EXPECT_TRUE(regex("(?i)ab").matches("AB"));
}

TEST(Matcher, NegationsAndMissingLabels) {
  const Matcher not_equal = Matcher::make(MatchType::kNotEqual, "a", "x").value();
  EXPECT_TRUE(not_equal.matches(""));
  EXPECT_FALSE(not_equal.matches("x"));
  const Matcher not_regex = Matcher::make(MatchType::kNotRegex, "a", "x|y").value();
  EXPECT_TRUE(not_regex.matches("z"));
  EXPECT_FALSE(not_regex.matches("y"));
  EXPECT_EQ(not_regex.to_string(), R"(a!~"x|y")");
}

TEST(Matcher, LiteralsOfPlainAlternatives) {
  using Set = std::vector<std::string>;
  EXPECT_EQ(regex("a|b|c").literals(), (Set{"a", "b", "c"}));
  EXPECT_EQ(regex("web-(1|2)").literals(), (Set{"web-1", "web-2"}));
  EXPECT_EQ(regex("(?:x|y)z|w").literals(), (Set{"w", "xz", "yz"}));
  EXPECT_EQ(regex("a\\.b").literals(), (Set{"a.b"}));
  for (const char* pattern : {"a.b", "a*", "a|", "(a|b)?", "[ab]", "^a$", "(?i)a", "\\d", "", "a{2}"})
    EXPECT_TRUE(regex(pattern).literals().empty()) << pattern;
}

TEST(Matcher, LiteralsAgreeWithTheRegexOnWhatTheyMatch) {
  const Matcher matcher = regex("p(a|b(c|d))q|r");
  for (const char* text : {"paq", "pbcq", "pbdq", "r", "pq", "pbq", "", "rr"}) {
    const auto& set = matcher.literals();
    EXPECT_EQ(matcher.matches(text), std::find(set.begin(), set.end(), text) != set.end()) << text;
  }
}

TEST(Matcher, GoNamedGroupsCompile) { EXPECT_TRUE(regex("(?<x>a)[(?<]").matches("a(")); }

TEST(Matcher, ErrorsInGoWording) {
  const auto error = [](const char* pattern) {
    const auto made = Matcher::make(MatchType::kRegex, "a", pattern);
    return made.ok() ? std::string("ok") : made.error().message();
  };
  EXPECT_EQ(error("("), "error parsing regexp: missing closing ): `(`");
  EXPECT_EQ(error("a)"), "error parsing regexp: unexpected ): `a)`");
  EXPECT_EQ(error("[a"), "error parsing regexp: missing closing ]: `[a`");
  EXPECT_EQ(error("*"), "error parsing regexp: missing argument to repetition operator: `*`");
}

}  // namespace
}  // namespace skald::model
