#include "engine/pipeline_fixture.h"

namespace skald::engine::test {
namespace {

using JsonStage = PipelineTest;

const std::string kObjectError = "Value looks like object, but can't find closing '}' symbol";

LabelMap json_error(const std::string& details, LabelMap labels = {}) {
  labels["__error__"] = "JSONParserErr";
  labels["__error_details__"] = details;
  return labels;
}

TEST_F(JsonStage, Scalars) {
  EXPECT_EQ(parse("| json", R"({"a":1,"b":"two","c":true,"d":false,"e":null,"f":1.50,"g":-0.0,"h":1e3})"),
            (LabelMap{{"a", "1"}, {"b", "two"}, {"c", "true"}, {"d", "false"}, {"f", "1.50"}, {"g", "-0.0"}, {"h", "1e3"}}));
  EXPECT_EQ(parse("| json", R"({"emptystr":"","space":" ","zero":0})"), (LabelMap{{"emptystr", ""}, {"space", " "}, {"zero", "0"}}));
  EXPECT_EQ(parse("| json", "{}"), LabelMap());
}

TEST_F(JsonStage, NestingAndArrays) {
  EXPECT_EQ(parse("| json", R"({"nested":{"a":{"b":{"c":"deep"}},"list":[1,2,{"x":"y"}],"empty":{},"emptylist":[]},"z":1})"),
            (LabelMap{{"nested_a_b_c", "deep"}, {"z", "1"}}));
  EXPECT_EQ(parse("| json", R"({"n":{"o":{"1k":"v"}}})"), (LabelMap{{"n_o_1k", "v"}}));
  EXPECT_EQ(parse("| json", R"({"a_b":"flat","a":{"b":"nested"},"a.b":"dotted"})"), (LabelMap{{"a_b", "flat"}}));
  EXPECT_EQ(parse("| json", R"({"r":{"h":{"User-Agent":"go"}}})"), (LabelMap{{"r_h_User_Agent", "go"}}));
}

TEST_F(JsonStage, Names) {
  EXPECT_EQ(parse("| json", R"({"1digit":"v1","2.5":"v2","_ok":"v3","k-e y":"v4"," sp ":"v5"})"),
            (LabelMap{{"_1digit", "v1"}, {"_2_5", "v2"}, {"_ok", "v3"}, {"k_e_y", "v4"}, {"sp", "v5"}}));
  EXPECT_EQ(parse("| json", "{\"cl\xC3\xA9\":\"accent\",\"\xE9\x94\xAE\":\"cjk\",\"\xF0\x9F\x98\x80\":\"emoji\"}"), (LabelMap{{"cl_", "accent"}, {"_", "cjk"}}));
  EXPECT_EQ(parse("| json", R"({"":"empty key","ok":"v"})"), (LabelMap{{"ok", "v"}}));
  EXPECT_EQ(parse("| json", R"({"esc\u0041":"v"})"), (LabelMap{{"escA", "v"}}));
}

TEST_F(JsonStage, BlankKeysAddNothingToTheName) {
  EXPECT_EQ(parse("| json", R"({"":"top"," ":"x","n":{" ":"inner","":"later","a":1},"":{"b":2}})"), (LabelMap{{"n", "inner"}, {"n_a", "1"}, {"b", "2"}}));
  options.needed_labels = std::vector<std::string>{"n"};
  grouping = logql::Grouping{false, {"n"}};
  EXPECT_EQ(run("| json", {R"({"n":{" ":"inner"}})"})[0].labels, (LabelMap{{"n", "inner"}}));
}

TEST_F(JsonStage, Strings) {
  EXPECT_EQ(parse("| json", R"({"esc":"line1\nline2\ttab\\slash \"q\" \/ \b\f\r","u":"\u00e9\u4e2d","surr":"\ud83d\ude00","lone":"\ud83d x"})"),
            (LabelMap{{"esc", "line1\nline2\ttab\\slash \"q\" / \b\f\r"}, {"u", "\xC3\xA9\xE4\xB8\xAD"}, {"surr", "\xF0\x9F\x98\x80"}, {"lone", ""}}));
  EXPECT_EQ(parse("| json", "{\"bad\":\"a\xFF\xFE" "b\",\"fffd\":\"x\xEF\xBF\xBDy\",\"good\":\"caf\xC3\xA9\"}"),
            (LabelMap{{"bad", "a  b"}, {"fffd", "x y"}, {"good", "caf\xC3\xA9"}}));
  EXPECT_EQ(parse("| json", "{\"tab\":\"a\tb\"}"), (LabelMap{{"tab", "a\tb"}}));
}

TEST_F(JsonStage, ToleratedAndMalformed) {
  EXPECT_EQ(parse("| json", R"({"trail":"garbage"} and more)"), (LabelMap{{"trail", "garbage"}}));
  EXPECT_EQ(parse("| json", R"({"comma":"trailing",})"), (LabelMap{{"comma", "trailing"}}));
  EXPECT_EQ(parse("| json", R"(   {"lead":"space"}   )"), (LabelMap{{"lead", "space"}}));
  for (const char* const line : {R"(["top","level","array"])", R"("just a string")", "12345", "true", "null", "", R"({'single':'quotes'})",
                                 "\xEF\xBB\xBF{\"bom\":\"yes\"}", R"({"unterminated":{"obj":"a")", "{", R"({"a":1,)"}) {
    LabelMap found = parse("| json", line);
    EXPECT_EQ(found["__error__"], "JSONParserErr") << line;
    EXPECT_EQ(found["__error_details__"], kObjectError) << line;
  }
  EXPECT_EQ(parse("| json", R"({"level":"info","msg":"cut off mid-wr)"),
            json_error("Value is string, but can't find closing '\"' symbol", {{"level", "info"}}));
  EXPECT_EQ(parse("| json", R"({"bad" "colon"})"), json_error("Malformed JSON error"));
  EXPECT_EQ(parse("| json", R"({"a":1)"), json_error("Value is array, but can't find closing ']' symbol", {{"a", "1"}}));
  EXPECT_EQ(parse("| json", R"({"a":[1,2)"), json_error("Value is array, but can't find closing ']' symbol"));
  EXPECT_EQ(parse("| json", R"({"a":nope})"), json_error("Unknown value type"));
}

TEST_F(JsonStage, CollisionsAndDuplicates) {
  EXPECT_EQ(parse("| json", R"({"dup":"first","dup":"second","dup":"third"})"), (LabelMap{{"dup", "first"}}));
  EXPECT_EQ(parse("| json", R"({"app":"collides","env":"dev","new":"yes"})"),
            (LabelMap{{"app_extracted", "collides"}, {"env_extracted", "dev"}, {"new", "yes"}}));
  EXPECT_EQ(parse("| json", R"({"app_extracted":"pre-suffixed","app":"again"})"), (LabelMap{{"app_extracted", "pre-suffixed"}}));
  const auto out = run("| json", {Row(R"({"user":"u","x":"1"})", {{"user", "meta"}}), Row(R"({"user":"u2"})")});
  EXPECT_EQ(out[0].labels, (LabelMap{{"app", "web"}, {"env", "prod"}, {"user", "meta"}, {"user_extracted", "u"}, {"x", "1"}}));
  EXPECT_EQ(out[1].labels, (LabelMap{{"app", "web"}, {"env", "prod"}, {"user", "u2"}}));
}

TEST_F(JsonStage, MetadataCollidesUntilItIsReplaced) {
  const std::vector<Row> rows = {{R"({"trace":"line"})", {{"trace", "meta"}}}};
  EXPECT_EQ(run("| json", rows)[0].labels["trace_extracted"], "line");
  EXPECT_EQ(run("| drop trace | json", rows)[0].labels["trace"], "line");
  EXPECT_EQ(run("| label_format trace=\"new\" | json", rows)[0].parsed, (LabelMap{{"trace", "new"}})) << "set already, and no metadata any more";
}

TEST_F(JsonStage, FirstParserWins) {
  EXPECT_EQ(parse("| json | logfmt", R"({"a":1} a=2 b=3)"), (LabelMap{{"a", "1"}, {"b", "3"}}));
  EXPECT_EQ(parse("| json | drop a | json", R"({"a":1,"b":2})"), (LabelMap{{"b", "2"}}));
  EXPECT_EQ(parse("| drop app | json", R"({"app":"x"})"), (LabelMap{{"app_extracted", "x"}}));
}

TEST_F(JsonStage, KeysInManyOrders) {
  std::vector<Row> rows;
  for (int i = 0; i < 300; ++i) {
    const std::string n = std::to_string(i);
    rows.emplace_back(i % 3 == 0 ? "{\"a\":\"" + n + "\",\"b\":\"x\"}" : i % 3 == 1 ? "{\"b\":\"x\",\"a\":\"" + n + "\"}"
                                                                                   : "{\"k" + n + "\":1,\"a\":\"" + n + "\"}");
  }
  const auto out = run("| json", rows);
  ASSERT_EQ(out.size(), rows.size());
  for (int i = 0; i < 300; ++i) {
    const std::string n = std::to_string(i);
    LabelMap expected = {{"a", n}};
    if (i % 3 == 2) expected["k" + n] = "1";
    else expected["b"] = "x";
    EXPECT_EQ(out[static_cast<std::size_t>(i)].parsed, expected);
  }
}

TEST_F(JsonStage, Paths) {
  const std::string line = R"({"a":1,"n":{"b":{"c":"deep"},"l":[1,{"x":"y"}]},"k-e y":"v","s":"q\"uote","z":null,"e":""})";
  EXPECT_EQ(parse(R"(| json v="n.b.c", w="n.l[1].x", q="[\"k-e y\"]", miss="n.b.nope")", line),
            (LabelMap{{"v", "deep"}, {"w", "y"}, {"q", "v"}, {"miss", ""}}));
  EXPECT_EQ(parse(R"(| json o="n.b", l="n.l", s, z, e)", line),
            (LabelMap{{"o", R"({"c":"deep"})"}, {"l", R"([1,{"x":"y"}])"}, {"s", "q\"uote"}, {"z", ""}, {"e", ""}}));
  EXPECT_EQ(parse(R"(| json v="a", w="a")", line), (LabelMap{{"v", "1"}, {"w", "1"}}));
  EXPECT_EQ(parse(R"(| json v="n", w="n.b.c")", R"({"n":{"b":{"c":"d"}}})"), (LabelMap{{"v", R"({"b":{"c":"d"}})"}, {"w", "d"}}));
  EXPECT_EQ(parse(R"(| json v="[0]")", R"(["top"])"), (LabelMap{{"v", "top"}}));
  EXPECT_EQ(parse(R"(| json app="app")", R"({"app":"again"})"), (LabelMap{{"app_extracted", "again"}}));
  EXPECT_EQ(parse(R"(| json app="app")", R"({"b":"again"})"), LabelMap());
  EXPECT_EQ(parse("| json a", ""), LabelMap());
  for (const char* const line_error : {"12345", "true", R"(  {"a":"space"})"}) {
    EXPECT_EQ(parse("| json a", line_error), (LabelMap{{"__error__", "JSONParserErr"}}));
  }
  for (const char* const tolerated : {R"("a string")", R"({"bad" "colon"})", R"({'x':1})", "[", "{"}) {
    EXPECT_EQ(parse("| json a", tolerated), (LabelMap{{"a", ""}})) << tolerated;
  }
}

TEST_F(JsonStage, OnlyWhatIsNeeded) {
  options.needed_labels = std::vector<std::string>{"status"};
  grouping = logql::Grouping{false, {"status"}};
  EXPECT_EQ(run("| json", {R"({"a":{"b":1},"status":200,"c":"cut)"})[0].labels, (LabelMap{{"status", "200"}})) << "stops when found";
  EXPECT_TRUE(run("| json", {R"({"a":{"b":1},"c":"cut)"})[0].fails);
  options.needed_labels = std::vector<std::string>{"a_b_c"};
  grouping = logql::Grouping{false, {"a_b_c"}};
  EXPECT_EQ(run("| json", {R"({"x":{"b":{"c":5}},"a":{"z":1,"b":{"c":7}}})"})[0].labels, (LabelMap{{"a_b_c", "7"}}));
  options.needed_labels = std::vector<std::string>{};
  grouping = logql::Grouping{false, {}};
  EXPECT_FALSE(run("| json", {"no json"})[0].fails) << "nothing is read: the parser does not run";
  options.needed_labels = std::vector<std::string>{"__error__"};
  grouping = logql::Grouping{false, {"__error__", "__preserve_error__"}};
  const auto out = run("| json", {"no json"});
  EXPECT_FALSE(out[0].fails) << "named in `by`, so it does not fail the query";
  EXPECT_EQ(out[0].labels, (LabelMap{{"__error__", "JSONParserErr"}, {"__preserve_error__", "true"}}));
}

TEST_F(JsonStage, ErrorRowsAreNotGrouped) {
  options.needed_labels = std::vector<std::string>{"a"};
  grouping = logql::Grouping{false, {"a"}};
  const auto out = run("| json", {R"({"a":1})", "bad"});
  EXPECT_EQ(out[0].labels, (LabelMap{{"a", "1"}}));
  EXPECT_EQ(out[1].labels, (LabelMap{{"__error__", "JSONParserErr"}, {"__error_details__", kObjectError}, {"app", "web"}, {"env", "prod"}}));
}

TEST_F(JsonStage, DeepNestingIsBounded) {
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "{\"a\":";
  deep += "1" + std::string(5000, '}');
  EXPECT_EQ(run("| json", {deep}).size(), 1U);
  EXPECT_EQ(run("| json x=\"a.b\"", {deep}).size(), 1U);
}

TEST_F(JsonStage, Unpack) {
  auto out = run("| unpack", {R"({"container":"c1","n":5,"app":"x","_entry":"original line"})", R"({"container":"c3"})", "not json", "",
                              R"({"u":"x","_entry":"y")", R"({"bad key":"v","1x":"y","_entry":"odd"})"});
  ASSERT_EQ(out.size(), 6U);
  EXPECT_EQ(out[0].line, "original line");
  EXPECT_EQ(out[0].parsed, (LabelMap{{"container", "c1"}, {"app_extracted", "x"}}));
  EXPECT_EQ(out[1].parsed, LabelMap());
  EXPECT_EQ(out[1].line, R"({"container":"c3"})");
  EXPECT_EQ(out[2].parsed, json_error("expecting json object(6), but it is not"));
  EXPECT_EQ(out[3].parsed, LabelMap());
  EXPECT_EQ(out[4].parsed, json_error("Value is array, but can't find closing ']' symbol"));
  EXPECT_EQ(out[5].parsed, (LabelMap{{"bad_key", "v"}, {"_1x", "y"}}));
  out = run("| unpack", {R"({"dup":"one","dup":"two","_entry":"first","_entry":"second"})"});
  EXPECT_EQ(out[0].line, "second");
  EXPECT_EQ(out[0].parsed, (LabelMap{{"dup", "two"}}));
  EXPECT_EQ(lines("| unpack |= \"odd\"", {R"({"k":"odd","_entry":"even"})", R"({"_entry":"odd"})"}), (std::vector<std::string>{"odd"}));
}

}  // namespace
}  // namespace skald::engine::test
