#include "skald/model/labels.h"

#include <gtest/gtest.h>

namespace skald::model {
namespace {

std::string quoted(std::string_view text) {
  std::string out;
  append_go_quoted(out, text);
  return out;
}

TEST(Labels, SortsDropsEmptyAndLetsTheLastDuplicateWin) {
  const Labels labels = Labels::from_pairs({{"z", "1"}, {"a", "x"}, {"empty", ""}, {"a", "y"}});
  EXPECT_EQ(labels.to_string(), R"({a="y", z="1"})");
  EXPECT_EQ(labels.get("a"), "y");
  EXPECT_EQ(labels.get("nope"), "");
  EXPECT_FALSE(labels.has("empty"));
}

TEST(Labels, HashSeparatesNamesFromValues) {
  EXPECT_NE(Labels::from_pairs({{"a", "bc"}}).compute_hash(), Labels::from_pairs({{"ab", "c"}}).compute_hash());
  const std::string large(5000, 'v');
  EXPECT_EQ(Labels::from_pairs({{"a", large}}).compute_hash(), Labels::from_pairs({{"a", large}}).compute_hash());
}

TEST(GoQuote, FollowsStrconv) {
  EXPECT_EQ(quoted("plain"), "\"plain\"");
  EXPECT_EQ(quoted("a\"b\\c\n\t\x01\x7f"), R"("a\"b\\c\n\t\x01\x7f")");
  EXPECT_EQ(quoted("h\xC3\xA9\xFF"), "\"h\xC3\xA9\\xff\"");
  EXPECT_EQ(quoted("\xC2\xA0\xE2\x80\x8B"), R"("\u00a0\u200b")");
  EXPECT_EQ(quoted("\xF0\x9F\x98\x80"), "\"\xF0\x9F\x98\x80\"");
}

struct BadCase {
  const char* text;
  const char* error;
};

TEST(LabelText, NamesWhatIsWrongAndWhere) {
  const BadCase cases[] = {
      {R"({a="b")", "1:7: parse error: unexpected end of input inside braces"},
      {R"({a-b="c"})", "1:3: parse error: unexpected character inside braces: '-'"},
      {R"({a="b" c="d"})", R"(1:8: parse error: unexpected identifier "c" in label set, expected "," or "}")"},
      {R"({a=~"b"})", R"(1:3: parse error: unexpected <op:=~> in label set, expected "=")"},
      {R"({a:b="c"})", "1:3: parse error: unexpected character inside braces: ':'"},
      {R"({a="\q"})", "1:4: parse error: unknown escape sequence U+0071 'q'"},
      {"{a=\"\xFF\"}", "1:4: parse error: invalid UTF-8 rune"},
      {"{a=\"\xEF\xBF\xBD\"}", "1:4: parse error: invalid UTF-8 rune"},
      {"{\na=b}", R"(2:3: parse error: unexpected identifier "b" in label set, expected string)"},
      {"{,}", R"(1:2: parse error: unexpected "," in label set, expected identifier or "}")"},
      {"{a=\"b", "1:4: parse error: unterminated quoted string"},
  };
  for (const BadCase& one : cases) {
    const auto parsed = parse_label_text(one.text);
    ASSERT_FALSE(parsed.ok()) << one.text;
    EXPECT_EQ(parsed.error().message(), one.error) << one.text;
  }
}

std::string canonical(std::string_view text) {
  auto parsed = parse_label_text(text);
  return parsed.ok() ? Labels::from_pairs(std::move(*parsed)).to_string() : "error: " + parsed.error().message();
}

TEST(LabelText, AcceptsEverySpelling) {
  EXPECT_EQ(canonical(""), "{}");
  EXPECT_EQ(canonical("{}"), "{}");
  EXPECT_EQ(canonical(" { a = \"b\" , } "), R"({a="b"})");
  EXPECT_EQ(canonical("{a='it\\'s', b=`raw\\n`}"), R"({a="it's", b="raw\\n"})");
  EXPECT_EQ(canonical(R"(foo{a="b"})"), R"({__name__="foo", a="b"})");
  EXPECT_EQ(canonical(R"({"foo",a="b"})"), R"({__name__="foo", a="b"})");
  EXPECT_EQ(canonical(R"({"my.label"="x"})"), R"({my.label="x"})");
  EXPECT_EQ(canonical(R"({a="\x41\101\u00e9"})"), "{a=\"AA\xC3\xA9\"}");
}

TEST(LabelText, KeepsDuplicateNamesForTheCallerToName) {
  const auto parsed = parse_label_text(R"({a="b", a="c"})");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->size(), 2u);
}

TEST(LabelText, EveryTruncationIsAnAnswer) {
  const std::string text = R"(foo{a="b\x41", "q.n"='c', d=`e` , } )";
  for (std::size_t keep = 0; keep <= text.size(); ++keep) {
    const auto parsed = parse_label_text(std::string_view(text).substr(0, keep));
    const bool complete = keep <= 3 || keep >= text.size() - 1;
    EXPECT_EQ(parsed.ok(), complete) << keep;
  }
}

}  // namespace
}  // namespace skald::model
