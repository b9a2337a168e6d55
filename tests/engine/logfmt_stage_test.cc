#include "engine/pipeline_fixture.h"

namespace skald::engine::test {
namespace {

using LogfmtStage = PipelineTest;

LabelMap strict_error(const std::string& details, LabelMap labels = {}) {
  labels["__error__"] = "LogfmtParserErr";
  labels["__error_details__"] = "logfmt syntax error at pos " + details;
  return labels;
}

TEST_F(LogfmtStage, Pairs) {
  EXPECT_EQ(parse("| logfmt", R"(a=1 b=two c="three four" d= e="" f)"), (LabelMap{{"a", "1"}, {"b", "two"}, {"c", "three four"}}));
  EXPECT_EQ(parse("| logfmt --keep-empty", R"(a=1 d= e="" f)"), (LabelMap{{"a", "1"}, {"d", ""}, {"e", ""}, {"f", ""}}));
  EXPECT_EQ(parse("| logfmt", "tab\tsep=1\tb=2"), (LabelMap{{"sep", "1"}, {"b", "2"}}));
  EXPECT_EQ(parse("| logfmt", R"(a="x"b=2 c=3)"), (LabelMap{{"a", "x"}, {"b", "2"}, {"c", "3"}}));
  EXPECT_EQ(parse("| logfmt", "msg=\"multi\nline value\" k=v"), (LabelMap{{"msg", "multi\nline value"}, {"k", "v"}}));
  EXPECT_EQ(parse("| logfmt", R"(q="esc \"inner\" end" t="tab\tx" u="\u00e9" l="\ud83dx")"),
            (LabelMap{{"q", "esc \"inner\" end"}, {"t", "tab\tx"}, {"u", "\xC3\xA9"}, {"l", " x"}}));
  EXPECT_EQ(parse("| logfmt", "key.with.dots=1 key-with-dash=2 1digit=4 _under=5"),
            (LabelMap{{"key_with_dots", "1"}, {"key_with_dash", "2"}, {"_1digit", "4"}, {"_under", "5"}}));
  EXPECT_EQ(parse("| logfmt", "dup=first dup=second app=collides"), (LabelMap{{"dup", "first"}, {"app_extracted", "collides"}}));
  EXPECT_EQ(parse("| logfmt", "single='quoted value' v=\xFF\xFEx"), (LabelMap{{"single", "'quoted"}, {"v", "  x"}}));
}

TEST_F(LogfmtStage, LenientSkipsToTheNextSpace) {
  EXPECT_EQ(parse("| logfmt", "foo=bar=baz y=2"), (LabelMap{{"y", "2"}}));
  EXPECT_EQ(parse("| logfmt", "fo\"o=bar z=3"), (LabelMap{{"z", "3"}}));
  EXPECT_EQ(parse("| logfmt", "\"fully quoted\" a=b"), (LabelMap{{"a", "b"}}));
  EXPECT_EQ(parse("| logfmt", "k=\"v\" \"quoted key\"=x m=n"), (LabelMap{{"k", "v"}, {"m", "n"}}));
  EXPECT_EQ(parse("| logfmt", "q=\"unterminated z=4"), LabelMap());
  EXPECT_EQ(parse("| logfmt", "a = 1 b= 2 c =3"), LabelMap());
  EXPECT_EQ(parse("| logfmt", "bad=\"x\\q\" ok=1"), (LabelMap{{"ok", "1"}}));
}

TEST_F(LogfmtStage, StrictStops) {
  EXPECT_EQ(parse("| logfmt --strict", "=novalue k=v"), strict_error("1 : unexpected '='"));
  EXPECT_EQ(parse("| logfmt --strict", "\"fully quoted\" a=b"), strict_error("1 : unexpected '\"'"));
  EXPECT_EQ(parse("| logfmt --strict", "q=\"unterminated z=4"), strict_error("20 : unterminated quoted value"));
  EXPECT_EQ(parse("| logfmt --strict", "url=https://ex.org/p?a=1&b=2 path=/x"), strict_error("23 : unexpected '='"));
  EXPECT_EQ(parse("| logfmt --strict", "k==v x=1"), strict_error("3 : unexpected '='"));
  EXPECT_EQ(parse("| logfmt --strict", "a = 1"), strict_error("3 : unexpected '='"));
  EXPECT_EQ(parse("| logfmt --strict", "k=\"v\" \"quoted key\"=x m=n"), strict_error("7 : unexpected '\"'", {{"k", "v"}}));
  EXPECT_EQ(parse("| logfmt --strict", "a=1 b"), (LabelMap{{"a", "1"}}));
}

TEST_F(LogfmtStage, Expressions) {
  EXPECT_EQ(parse("| logfmt first=\"a\", b", "a=1 b=2 c=3"), (LabelMap{{"first", "1"}, {"b", "2"}}));
  EXPECT_EQ(parse("| logfmt v=\"dup\"", "dup=first dup=second dup=third"), (LabelMap{{"v", "third"}}));
  EXPECT_EQ(parse("| logfmt v=\"A\", x=\"aA\"", "x=1 A=2"), (LabelMap{{"v", "2"}, {"x", "1"}})) << "a target's own name fills it";
  EXPECT_EQ(parse("| logfmt v=\"f\", w=\"none\"", "a=1 f"), (LabelMap{{"v", ""}, {"w", ""}}));
  EXPECT_EQ(parse("| logfmt app=\"app\"", "app=collides"), (LabelMap{{"app_extracted", "collides"}}));
  EXPECT_EQ(parse("| logfmt app=\"app\"", "x=1"), LabelMap());
  EXPECT_EQ(parse("| logfmt k=\"k\"", "k=\xFF"), (LabelMap{{"k", ""}}));
  EXPECT_EQ(parse("| logfmt --strict v=\"k\"", "k=\"v\" \"quoted\"=x"), strict_error("7 : unexpected '\"'", {{"v", "v"}}));
}

TEST_F(LogfmtStage, ErrorLabelsAsFields) {
  EXPECT_EQ(parse("| logfmt", "__error__=fake x=1"), (LabelMap{{"__error__", "fake"}, {"x", "1"}}));
  EXPECT_FALSE(run("| logfmt | __error__=\"\"", {"__error__=fake x=1"}).empty()) << "the filter sees the state, not the field";
  EXPECT_TRUE(run("| logfmt", {"__error__=fake x=1"})[0].fails) << "visible in the row's labels";
  EXPECT_FALSE(run("| logfmt", {"x=1"})[0].fails);
  options.needed_labels = std::vector<std::string>{"x"};
  grouping = logql::Grouping{false, {"x"}};
  EXPECT_FALSE(run("| logfmt", {"__error__=fake x=1"})[0].fails) << "grouped away";
  grouping = logql::Grouping{false, {"__error__"}};
  options.needed_labels = std::vector<std::string>{"__error__"};
  const auto out = run("| logfmt", {"__error__=fake x=1"});
  EXPECT_TRUE(out[0].fails);
  EXPECT_EQ(out[0].labels, (LabelMap{{"__error__", "fake"}}));
}

}  // namespace
}  // namespace skald::engine::test
