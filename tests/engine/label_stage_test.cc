#include "engine/pipeline_fixture.h"

namespace skald::engine::test {
namespace {

using LabelStages = PipelineTest;
using Kept = std::vector<std::string>;

TEST_F(LabelStages, StringFilters) {
  const std::vector<Row> rows = {"a=1 c=x", "a=2", "b=3 c=y"};
  EXPECT_EQ(lines("| logfmt | a=\"1\"", rows), (Kept{"a=1 c=x"}));
  EXPECT_EQ(lines("| logfmt | a!=\"1\"", rows), (Kept{"a=2", "b=3 c=y"}));
  EXPECT_EQ(lines("| logfmt | a=\"\"", rows), (Kept{"b=3 c=y"}));
  EXPECT_EQ(lines("| logfmt | a=~\"1|2\"", rows), (Kept{"a=1 c=x", "a=2"}));
  EXPECT_EQ(lines("| logfmt | c=~\"x\" or a=\"2\"", rows), (Kept{"a=1 c=x", "a=2"}));
  EXPECT_EQ(lines("| logfmt | a=~\"1\" and c=\"x\"", rows), (Kept{"a=1 c=x"}));
  EXPECT_EQ(lines("| logfmt | (a=\"1\" or a=\"2\") and c=\"\"", rows), (Kept{"a=2"}));
  EXPECT_EQ(lines("| logfmt | a=~\"\"", rows).size(), 3U) << "an empty regex holds for any value";
  EXPECT_EQ(lines("| logfmt | a!~\"\"", rows), Kept());
  EXPECT_EQ(lines("| logfmt | a!~\"1.*\"", rows), (Kept{"a=2", "b=3 c=y"}));
}

TEST_F(LabelStages, StreamLabelsDecideTheStream) {
  run("| app=\"other\"", {"x"});
  EXPECT_FALSE(stream_passes);
  run("| logfmt | app=\"other\"", {"x"});
  EXPECT_FALSE(stream_passes) << "a parsed app would be app_extracted";
  EXPECT_EQ(lines("| label_format app=\"other\" | app=\"other\"", {"x"}).size(), 1U);
  EXPECT_EQ(lines("| app=\"other\" or x=\"1\"", {"x"}).size(), 0U);
  EXPECT_TRUE(stream_passes);
  EXPECT_EQ(lines("| app=\"web\" | nope=\"\"", {"x"}).size(), 1U);
}

TEST_F(LabelStages, NumbersDurationsBytes) {
  const std::vector<Row> rows = {"n=5 d=1m30s b=12KiB", "n=abc d=1d b=xx", "o=1"};
  EXPECT_EQ(lines("| logfmt | n>3 and n<=5 | __error__=\"\"", rows), (Kept{"n=5 d=1m30s b=12KiB"}));
  EXPECT_EQ(lines("| logfmt | n>3", rows), (Kept{"n=5 d=1m30s b=12KiB", "n=abc d=1d b=xx"})) << "missing drops, bad value keeps";
  EXPECT_EQ(lines("| logfmt | d>=90s", rows).size(), 2U);
  EXPECT_EQ(lines("| logfmt | b>10KB", rows).size(), 2U);
  EXPECT_EQ(lines("| logfmt | n!=5", rows), (Kept{"n=abc d=1d b=xx"}));
  auto out = run("| logfmt | n>3 | d>1s | b>1", rows);
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[1].labels["__error__"], "LabelFilterErr");
  EXPECT_EQ(out[1].labels["__error_details__"], "strconv.ParseFloat: parsing \"abc\": invalid syntax") << "the first error is kept";
  EXPECT_EQ(run("| logfmt | d>1s", rows)[1].labels["__error_details__"], "time: unknown unit \"d\" in duration \"1d\"");
  EXPECT_EQ(lines("| logfmt | n>3 and o=1", rows), Kept()) << "a row with an error is judged like any other";
  EXPECT_EQ(lines("| json | n>3", {"no json"}), Kept()) << "missing drops, error or not";
  EXPECT_EQ(lines("| logfmt | n>100 or n=~\".*c\"", rows), (Kept{"n=abc d=1d b=xx"}));
}

TEST_F(LabelStages, IpFilters) {
  const std::vector<Row> rows = {"src=10.0.0.1", "src=10.1.2", "x=1", "src=192.168.0.1"};
  EXPECT_EQ(lines("| logfmt | src=ip(\"10.0.0.0/8\")", rows), (Kept{"src=10.0.0.1"}));
  EXPECT_EQ(lines("| logfmt | src!=ip(\"10.0.0.0/8\")", rows), (Kept{"src=10.1.2", "src=192.168.0.1"}));
}

TEST_F(LabelStages, MetadataAndLevel) {
  const std::vector<Row> rows = {Row("one", {{"trace", "t1"}, {"env", "shadow"}}, model::Level::kError), Row("two", {{"trace", "t2"}}, model::Level::kUnknown),
                                 Row("three", {{"detected_level", "notice"}})};
  EXPECT_EQ(lines("| trace=\"t2\"", rows), (Kept{"two"}));
  EXPECT_EQ(lines("| detected_level=\"error\"", rows), (Kept{"one"}));
  EXPECT_EQ(lines("| detected_level=\"unknown\"", rows), (Kept{"two"}));
  EXPECT_EQ(lines("| detected_level=\"notice\"", rows), (Kept{"three"}));
  EXPECT_EQ(lines("| env=\"shadow\"", rows), Kept());
  EXPECT_EQ(lines("| env_extracted=\"shadow\"", rows), (Kept{"one"}));
  const auto out = run("", rows);
  EXPECT_EQ(out[0].labels, (LabelMap{{"app", "web"}, {"detected_level", "error"}, {"env", "prod"}, {"env_extracted", "shadow"}, {"trace", "t1"}}));
  EXPECT_EQ(out[0].parsed, LabelMap());
}

TEST_F(LabelStages, ErrorFilters) {
  const std::vector<Row> rows = {R"({"a":1})", "bad"};
  EXPECT_EQ(lines("| json | __error__=\"\"", rows), (Kept{R"({"a":1})"}));
  EXPECT_EQ(lines("| json | __error__=\"JSONParserErr\"", rows), (Kept{"bad"}));
  EXPECT_EQ(lines("| json | __error__=~\".+\"", rows), (Kept{"bad"}));
  EXPECT_EQ(lines("| json | __error_details__=~\".+\"", rows), Kept()) << "details are always seen as empty";
  auto out = run("| json | drop __error__", rows);
  EXPECT_EQ(out[1].labels.count("__error__"), 0U);
  EXPECT_EQ(out[1].labels.count("__error_details__"), 1U);
  out = run("| json | drop __error__, __error_details__", rows);
  EXPECT_EQ(out[1].labels, (LabelMap{{"app", "web"}, {"env", "prod"}}));
  out = run("| json | drop __error__=\"Other\" | keep app", rows);
  EXPECT_EQ(out[1].labels.count("__error__"), 1U);
  EXPECT_EQ(out[1].labels.count("env"), 0U);
}

TEST_F(LabelStages, DropAndKeep) {
  const std::vector<Row> rows = {Row("a=1 b=2", {{"m", "x"}}), Row("a=3 c=4", {{"m", "y"}})};
  auto out = run("| logfmt | drop a, m=\"x\", env", rows);
  EXPECT_EQ(out[0].labels, (LabelMap{{"app", "web"}, {"b", "2"}}));
  EXPECT_EQ(out[1].labels, (LabelMap{{"app", "web"}, {"c", "4"}, {"m", "y"}}));
  out = run("| logfmt | keep a=\"1\", m, c", rows);
  EXPECT_EQ(out[0].labels, (LabelMap{{"a", "1"}, {"m", "x"}}));
  EXPECT_EQ(out[1].labels, (LabelMap{{"c", "4"}, {"m", "y"}}));
  out = run("| logfmt | drop app=~\"w.*\", nope", rows);
  EXPECT_EQ(out[0].labels, (LabelMap{{"a", "1"}, {"b", "2"}, {"env", "prod"}, {"m", "x"}}));
  EXPECT_EQ(run("| keep nope", rows)[0].labels, LabelMap());
}

TEST_F(LabelStages, Formats) {
  auto out = run("| logfmt | line_format \"{{.a}}-{{.app}}-{{.none}}\"", {"a=1"});
  EXPECT_EQ(out[0].line, "1-web-");
  out = run("| logfmt | line_format \"{{.a}}\" |= \"x\"", {"a=x b=y", "a=y b=x"});
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].line, "x");
  out = run("| logfmt | label_format a=\"n\", b=\"{{.a}}\"", {"a=old"});
  EXPECT_EQ(out[0].parsed, (LabelMap{{"a", "n"}, {"b", "old"}})) << "templates see the labels from before";
  out = run("| logfmt | label_format c=a, b=\"{{.c}}\"", {"a=old"});
  EXPECT_EQ(out[0].parsed, (LabelMap{{"b", "old"}, {"c", "old"}})) << "renames in front are seen";
  out = run("| label_format application=app, x=\"\"", {"line"});
  EXPECT_EQ(out[0].labels, (LabelMap{{"application", "web"}, {"env", "prod"}, {"x", ""}}));
  out = run("| label_format y=nope", {"line"});
  EXPECT_EQ(out[0].labels, (LabelMap{{"app", "web"}, {"env", "prod"}}));
  out = run("| logfmt | line_format \"{{.json}}\" | json", {R"(json="{\"inner\":\"v\"}" after=1)"});
  EXPECT_EQ(out[0].parsed.at("inner"), "v");
}

TEST_F(LabelStages, RegexpAndPattern) {
  EXPECT_EQ(parse("| regexp `(?P<m>GET|POST) (?P<p>\\S+)(?: \\((?P<s>\\d+)\\))?`", "POST /api"), (LabelMap{{"m", "POST"}, {"p", "/api"}, {"s", ""}}));
  EXPECT_EQ(parse("| regexp `(?<name>GET) (?P<app>\\S+)`", "GET /m"), (LabelMap{{"name", "GET"}, {"app_extracted", "/m"}}));
  EXPECT_EQ(parse("| regexp `(?P<x>zz+)`", "abc"), LabelMap());
  EXPECT_EQ(parse("| pattern \"<ip> - <_> [<ts>] <rest>\"", "1.2.3.4 - bob [now] GET / 200"),
            (LabelMap{{"ip", "1.2.3.4"}, {"ts", "now"}, {"rest", "GET / 200"}}));
  EXPECT_EQ(parse("| pattern \"level=<l> msg\"", "xlevel=a msg"), LabelMap()) << "a leading literal starts the line";
  EXPECT_EQ(parse("| pattern \"<a> foo <b>\"", "bar baz"), (LabelMap{{"a", "bar baz"}})) << "takes the rest when the literal is missing";
  EXPECT_EQ(parse("| pattern \"<_name> <rest>\"", "  x"), (LabelMap{{"_name", ""}, {"rest", " x"}}));
}

TEST_F(LabelStages, Unwrap) {
  logql::Unwrap unwrap;
  unwrap.label = "v";
  options.unwrap = unwrap;
  options.needed_labels = std::nullopt;
  const std::vector<Row> rows = {"v=1.5 k=a", "k=b", "v=abc k=c", "v=1_000 k=d"};
  auto out = run("| logfmt", rows);
  ASSERT_EQ(out.size(), 3U) << "a row without the label yields no sample";
  EXPECT_EQ(out[0].value, 1.5);
  EXPECT_EQ(out[0].labels, (LabelMap{{"app", "web"}, {"env", "prod"}, {"k", "a"}}));
  EXPECT_TRUE(out[1].fails);
  EXPECT_EQ(out[1].labels.at("v"), "abc") << "error rows keep all their labels";
  EXPECT_EQ(out[1].labels.at("__error_details__"), "strconv.ParseFloat: parsing \"abc\": invalid syntax");
  EXPECT_EQ(out[2].value, 1000);
  grouping = logql::Grouping{false, {"v", "k"}};
  EXPECT_EQ(run("| logfmt", rows)[0].labels, (LabelMap{{"k", "a"}, {"v", "1.5"}}));
  grouping = logql::Grouping{true, {"app"}};
  EXPECT_EQ(run("| logfmt", rows)[0].labels, (LabelMap{{"env", "prod"}, {"k", "a"}}));
  options.unwrap->post_filters.push_back(std::get<logql::LabelFilterStage>(parse_stages("| __error__=\"\"")[0]).filter);
  options.unwrap->post_filters.push_back(std::get<logql::LabelFilterStage>(parse_stages("| v>1000 or k=\"a\"")[0]).filter);
  out = run("| logfmt", rows);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].value, 1.5);
  options.unwrap = logql::Unwrap{"d", logql::UnwrapConversion::kDuration, "duration", {}};
  EXPECT_EQ(run("| logfmt", {"d=1m30s"})[0].value, 90);
  options.unwrap = logql::Unwrap{"b", logql::UnwrapConversion::kBytes, "bytes", {}};
  EXPECT_EQ(run("| logfmt", {"b=2KiB"})[0].value, 2048);
}

TEST_F(LabelStages, ManySparseLabels) {
  std::vector<Row> rows;
  for (int i = 0; i < 2000; ++i) rows.emplace_back("id" + std::to_string(i) + "=1 id" + std::to_string(i / 2) + "=2");
  const auto out = run("| logfmt | drop id7", rows);
  ASSERT_EQ(out.size(), rows.size());
  for (int i = 1; i < 2000; ++i) {
    LabelMap expected = {{"id" + std::to_string(i), "1"}, {"id" + std::to_string(i / 2), "2"}};
    expected.erase("id7");
    ASSERT_EQ(out[static_cast<std::size_t>(i)].parsed, expected);
  }
}

}  // namespace
}  // namespace skald::engine::test
