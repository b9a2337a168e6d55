#include "skald/logql/parser.h"

#include <gtest/gtest.h>

#include <string>

#include "skald/logql/format.h"

namespace skald::logql {
namespace {

struct TextCase { const char* query; const char* want; };

std::string line_of(std::string_view query) {
  auto parsed = parse(query);
  return parsed.ok() ? format_line(*parsed) : "error: " + parsed.error().message();
}
std::string pretty_of(std::string_view query) {
  auto parsed = parse(query);
  return parsed.ok() ? format_pretty(*parsed) : "error: " + parsed.error().message();
}
std::string error_of(std::string_view query) {
  auto parsed = parse(query);
  return parsed.ok() ? "parsed: " + format_line(*parsed) : parsed.error().message();
}

TEST(Parser, ReadsLogQueries) {
  const TextCase cases[] = {
      {R"({app="x",env=~"a|b"})", R"({app="x", env=~"a|b"})"},
      {"{app=`x`} |~ `a\\d+`", R"({app="x"} |~ "a\\d+")"},
      {R"(({a="b"} |= "x"))", R"({a="b"} |= "x")"},
      {R"({a="b"}|="c"!="d"|~"e"!~"f"|>"<_>g"!>"h")", R"({a="b"} |= "c" != "d" |~ "e" !~ "f" |> "<_>g" !> "h")"},
      {R"({a="b"} != "x" or "y" or ip("10.0.0.0/8"))", R"({a="b"} != "x" or "y" or ip("10.0.0.0/8"))"},
      {R"({a="b"} | json | logfmt --strict --keep-empty x, y="z" | json p="a.b[0]", q)",
       R"({a="b"} | json | logfmt --strict --keep-empty x,y="z" | json p="a.b[0]",q)"},
      {R"~({a="b"} | regexp "(?P<x>\\w+)" | pattern "<x> <_>" | unpack | decolorize)~",
       R"~({a="b"} | regexp "(?P<x>\\w+)" | pattern "<x> <_>" | unpack | decolorize)~"},
      {R"({a="b"} | line_format "{{.a}}" | label_format x=y,z="{{.w}}" | drop x,y="1" | keep z)",
       R"({a="b"} | line_format "{{.a}}" | label_format x=y,z="{{.w}}" | drop x,y="1" | keep z)"},
      {R"({rate="x"} | duration > 5s | bytes>1MB | count=5 | sum="5")",
       R"({rate="x"} | duration>5s | bytes>1.0MB | count==5 | sum="5")"},
      {R"({a="b"} | x=ip("::1") | y!=ip("1.2.3.4-1.2.3.9"))", R"({a="b"} | x=ip("::1") | y!=ip("1.2.3.4-1.2.3.9"))"},
      {R"({a="b"} | x>-5 | y<=+.5 | z!=1e3 | w<-2s)", R"({a="b"} | x>-5 | y<=0.5 | z!=1000 | w<-2s)"},
      {R"({a="b"} | x>0KB | y>0B)", R"({a="b"} | x>0B | y>0B)"},
      {R"({a="b"} | x>1234B | y=5Ki | z<1h30m)", R"({a="b"} | x>1234B | y==5KiB | z<1h30m0s)"},
      {"{a=\"b\"} # note\n|= \"x\" // more\n/* and\n more */ != \"y\"", R"({a="b"} |= "x" != "y")"},
      {R"({A="b"} | JSON | LINE_FORMAT "x")", R"({A="b"} | json | line_format "x")"},
      {R"({a="\u65e5\x41\107\n\""})", "{a=\"日AG\\n\\\"\"}"},
  };
  for (const TextCase& c : cases) EXPECT_EQ(line_of(c.query), c.want) << c.query;
}

TEST(Parser, LabelFilterConjunctionsGroupDifferently) {
  const TextCase cases[] = {
      {"a=`1` and b=`1` or c=`1`", R"(( ( a="1" and b="1" ) or c="1" ))"},
      {"a=`1` or b=`1` and c=`1`", R"(( a="1" or ( b="1" and c="1" ) ))"},
      {"a=`1` , b=`1` or c=`1`", R"(( a="1" , ( b="1" or c="1" ) ))"},
      {"a=`1` b=`1` or c=`1`", R"(( a="1" , ( b="1" or c="1" ) ))"},
      {"a=`1` or b=`1` , c=`1`", R"(( a="1" or ( b="1" , c="1" ) ))"},
      {"a=`1` or b=`1` c=`1`", R"(( a="1" or ( b="1" , c="1" ) ))"},
      {"a=`1` , b=`1` , c=`1` d=`1`", R"(( a="1" , ( b="1" , ( c="1" , d="1" ) ) ))"},
      {"a=`1` or b=`1` or c=`1`", R"(( ( a="1" or b="1" ) or c="1" ))"},
      {"(a=`1` or b=`1`) and c=`1`", R"(( ( a="1" or b="1" ) and c="1" ))"},
      {"(a=`1` or b=`1`) , c=`1` or d=`1`", R"(( ( a="1" or b="1" ) , ( c="1" or d="1" ) ))"},
  };
  for (const TextCase& c : cases)
    EXPECT_EQ(line_of("{x=\"y\"} | " + std::string(c.query)), "{x=\"y\"} | " + std::string(c.want)) << c.query;
}

TEST(Parser, ReadsMetricQueries) {
  const TextCase cases[] = {
      {R"(Sum By (a) (Count_Over_Time({a="b"}[1h])))", R"(sum by (a)(count_over_time({a="b"}[1h])))"},
      {R"(sum(rate({a="b"}[1m])) by (a, b))", R"(sum by (a,b)(rate({a="b"}[1m])))"},
      {R"(topk(5,sum without () (rate({a="b"} | json | unwrap v [5m]))))",
       R"(topk(5,sum without ()(rate({a="b"} | json | unwrap v[5m]))))"},
      {R"(quantile_over_time(0.99, {a="b"} | unwrap duration_seconds(x) | __error__="" [5m] offset 1h) by (c))",
       R"(quantile_over_time(0.99,{a="b"} | unwrap duration_seconds(x) | __error__=""[5m] offset 1h0m0s) by (c))"},
      {R"(rate({a="b"}[5m] offset -1.5h | json | x="y"))", R"(rate({a="b"} | json | x="y"[5m] offset -1h30m0s))"},
      {R"(rate(({a="b"} |= "x")[5m]))", R"(rate({a="b"} |= "x"[5m]))"},
      {R"(rate((({a="b"}[5m])))  )", R"(rate({a="b"}[5m]))"},
      {R"(sum_over_time(({a="b"} | unwrap x)[5m]))", R"(sum_over_time({a="b"} | unwrap x[5m]))"},
      {R"(sum_over_time({a="b"}[5m] | unwrap bytes(x)))", R"(sum_over_time({a="b"} | unwrap bytes(x)[5m]))"},
      {R"(rate({a="b"}[90m]) >bool 5)", R"((rate({a="b"}[1h30m]) > bool 5))"},
      {R"(rate({a="b"}[1m]) / on (a,b) group_left(c) rate({a="c"}[1m]))",
       R"((rate({a="b"}[1m]) / on (a,b) group_left (c) rate({a="c"}[1m])))"},
      {R"~(label_replace(rate({a="b"}[1m]),"x","$1","y","(.*)"))~", R"~(label_replace(rate({a="b"}[1m]),"x","$1","y","(.*)"))~"},
      {"vector(5)", "vector(5.000000)"},
      {"1+2*3", "7"}, {"-2^2", "4"}, {"2^3^2", "512"}, {"10-2-3", "5"}, {"1_000", "1000"}, {".5", "0.5"},
      {"1 == 1", "1"}, {"7 % 4", "3"}, {"(1 + 2) * 3", "9"},
      {R"(rate({a="b"}[1m]) and rate({a="c"}[1m]) unless rate({a="d"}[1m]) or vector(1))",
       R"((((rate({a="b"}[1m]) and rate({a="c"}[1m])) unless rate({a="d"}[1m])) or vector(1.000000)))"},
      {R"(1 + rate({a="b"}[1m]) * 2 ^ 3)", R"((1 + (rate({a="b"}[1m]) * 8)))"},
      {R"(sort_desc(sum(vector(1))))", "sort_desc(sum(vector(1.000000)))"},
      {R"(topk(1, 1))", "topk(1,1)"},
      {R"(sum(1 + rate({a="b"}[1m])))", R"(sum((1 + rate({a="b"}[1m]))))"},
      {R"(avg_over_time({a="b"} | unwrap v [1d]) without (x))", R"(avg_over_time({a="b"} | unwrap v[1d]) without (x))"},
  };
  for (const TextCase& c : cases)
    EXPECT_EQ(line_of(c.query), c.want) << c.query;
}

TEST(Parser, FieldsOfTheTree) {
  const Query query = parse(R"(sum by (x) (bytes_rate({a="b",c!~"d"} |= "e" | json f="g.h" [90s] offset 2m)) > 1)").value();
  ASSERT_FALSE(query.is_log());
  const auto& binary = std::get<BinaryExpr>(query.metric().node);
  EXPECT_EQ(binary.op, BinaryOp::kGreater);
  EXPECT_FALSE(binary.matching.given);
  EXPECT_EQ(std::get<Literal>(binary.right->node).value, 1);
  const auto& sum = std::get<VectorAggregation>(binary.left->node);
  EXPECT_EQ(sum.op, VectorOp::kSum);
  EXPECT_EQ(sum.grouping->labels, std::vector<std::string>{"x"});
  const auto& rate = std::get<RangeAggregation>(sum.inner->node);
  EXPECT_EQ(rate.op, RangeOp::kBytesRate);
  EXPECT_EQ(rate.range.range_ns, 90'000'000'000);
  EXPECT_EQ(rate.range.offset_ns, 120'000'000'000);
  ASSERT_EQ(rate.range.selector.matchers.size(), 2u);
  EXPECT_EQ(rate.range.selector.matchers[1].type(), model::MatchType::kNotRegex);
  ASSERT_EQ(rate.range.selector.stages.size(), 2u);
  EXPECT_EQ(std::get<LineFilterStage>(rate.range.selector.stages[0]).terms[0].text, "e");
  EXPECT_EQ(std::get<JsonStage>(rate.range.selector.stages[1]).extractions[0].expression, "g.h");
  EXPECT_EQ(selectors_of(query).size(), 1u);
  EXPECT_EQ(selectors_of(query)[0], &rate.range.selector);

  const Query log = parse(R"({a="b"} | d > 1m30s and n = 5 and s = 5KB)").value();
  const auto& filter = *std::get<LabelFilterStage>(log.log().stages[0]).filter;
  EXPECT_EQ(filter.right->bytes, 5000u);
  EXPECT_EQ(filter.left->left->duration_ns, 90'000'000'000);
  EXPECT_EQ(filter.left->left->number, 90);
  EXPECT_EQ(filter.left->right->number, 5);
}

const TextCase kErrors[] = {
    {"", "parse error : syntax error: unexpected $end"},
    {"   ", "parse error at line 1, col 4: syntax error: unexpected $end"},
    {R"({a="b")", "parse error at line 1, col 7: syntax error: unexpected $end, expecting } or ,"},
    {R"({a="b",})", "parse error at line 1, col 8: syntax error: unexpected }, expecting IDENTIFIER"},
    {R"({a=b})", "parse error at line 1, col 4: syntax error: unexpected IDENTIFIER, expecting STRING"},
    {R"({1a="b"})", "parse error at line 1, col 2: syntax error: unexpected NUMBER, expecting IDENTIFIER or }"},
    {R"({a-b="c"})", "parse error at line 1, col 3: syntax error: unexpected -, expecting = or =~ or !~ or !="},
    {R"({by="b"})", "parse error at line 1, col 2: syntax error: unexpected by, expecting IDENTIFIER or }"},
    {R"({a="b"} |= foo)", "parse error at line 1, col 12: syntax error: unexpected IDENTIFIER, expecting STRING or ip"},
    {R"({a="b"} |= "a" or |= "b")", "parse error at line 0, col 19: syntax error: unexpected |=, expecting STRING or ip"},
    {R"({a="b"}[5m])", "parse error at line 0, col 8: syntax error: unexpected RANGE"},
    {R"(rate({a="b"}))", "parse error at line 1, col 13: syntax error: unexpected )"},
    {R"(rate({a="b"}[]))", "parse error at line 0, col 13: empty duration string"},
    {R"(rate({a="b"}[5x]))", "parse error at line 0, col 13: unknown unit \"x\" in duration \"5x\""},
    {R"(rate({a="b"}[5m))", "parse error at line 0, col 13: missing closing ']' in duration"},
    {R"(rate({a="b"}[1.5h]))", "parse error at line 0, col 13: unknown unit \".\" in duration \"1.5h\""},
    {R"(rate({a="b"}[5 m]))", "parse error at line 0, col 13: unknown unit \" m\" in duration \"5 m\""},
    {R"(rate({a="b"}[5m:1m]))", "parse error at line 0, col 13: unknown unit \"m:\" in duration \"5m:1m\""},
    {R"(rate({a="b"}[5m1h]))", "parse error at line 0, col 13: not a valid duration string: \"5m1h\""},
    {R"(foo({a="b"}[5m]))", "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER"},
    {"vector(-1)", "parse error at line 1, col 8: syntax error: unexpected -, expecting NUMBER"},
    {"vector(NaN)", "parse error at line 1, col 8: syntax error: unexpected IDENTIFIER, expecting NUMBER"},
    {"vector(-0)", "parse error at line 0, col 8: syntax error: unexpected DURATION, expecting NUMBER"},
    {R"(topk(-1, rate({a="b"}[1m])))", "parse error at line 1, col 8: syntax error: unexpected ,"},
    {R"({a=~"("})", "parse error : error parsing regexp: missing closing ): `(`"},
    {R"({a="b"} |~ "(")", "parse error : stage '|~ \"(\"' : error parsing regexp: missing closing ): `(`"},
    {R"({a="b"} |= ip("bad"))", "parse error : stage '|= ip(\"bad\")' : ip: invalid pattern: \"bad\""},
    {R"({a="b"} |~ ip("1.1.1.1"))", "parse error : stage '|~ ip(\"1.1.1.1\")' : ip: invalid operation"},
    {R"({a="b"} |> "<x>")", "parse error : stage '|> \"<x>\"' : named captures are not allowed: found '<x>'"},
    {R"({a="b"} | json x="a[")", "parse error : stage '| json x=\"a[\"' : cannot parse expression [a[]: syntax error: unexpected $end, expecting STRING or INDEX"},
    {R"({a="b"} | regexp "x")", "parse error : invalid regexp parser: at least one named capture must be supplied"},
    {R"({a="b"} | pattern "x")", "parse error : invalid pattern parser: at least one capture is required"},
    {R"({a="b"} | pattern "<a> <a>")", "parse error : invalid pattern parser: duplicate capture name (a): invalid expression"},
    {R"({a="b"} | a = ip("zz"))", "parse error : stage '| a=ip(\"zz\")' : ip: invalid pattern: \"zz\""},
    {R"({a="b"} | a > "x")", "parse error at line 1, col 15: syntax error: unexpected STRING"},
    {R"({a="b"} | a == "x")", "parse error at line 1, col 16: syntax error: unexpected STRING"},
    {R"({a="b"} | a > 5kb)", "parse error at line 1, col 18: syntax error: unexpected $end"},
    {R"({a="b"} | foo)", "parse error at line 1, col 14: syntax error: unexpected $end"},
    {R"({a="b"} | drop)", "parse error at line 1, col 15: syntax error: unexpected $end, expecting IDENTIFIER"},
    {R"({a="b"} | label_format a)", "parse error at line 1, col 25: syntax error: unexpected $end, expecting ="},
    {R"({a="b"} | unwrap x)", "parse error at line 1, col 11: syntax error: unexpected unwrap"},
    {R"({a="b"} | logfmt --bad)", "parse error at line 1, col 20: syntax error: unexpected IDENTIFIER, expecting NUMBER"},
    {R"(({a="b"}) |= "x")", "parse error at line 0, col 11: syntax error: unexpected |="},
    {R"({a="b"}})", "parse error at line 1, col 8: syntax error: unexpected }"},
    {R"(sum by (a,) (rate({a="b"}[1m])))", "parse error at line 1, col 11: syntax error: unexpected ), expecting IDENTIFIER"},
    {R"(sum by (a) (rate({a="b"}[1m])) by (b))", "parse error at line 1, col 32: syntax error: unexpected by"},
    {R"(rate({a="b"}[1m]) + group_left rate({a="b"}[1m]))", "parse error at line 1, col 21: syntax error: unexpected group_left"},
    {R"(rate({a="b"}[1m] | json offset 1m))", "parse error at line 1, col 25: syntax error: unexpected offset, expecting )"},
    {"-(5)", "parse error at line 1, col 2: syntax error: unexpected (, expecting NUMBER"},
    {R"({a="b"} |= "abc)", "parse error at line 1, col 12: literal not terminated"},
    {R"({a="b"} |= "a\q")", "parse error at line 1, col 12: invalid char escape"},
    {R"({app='foo'})", "parse error at line 1, col 6: invalid char literal"},
    {R"({a='b'})", "parse error at line 1, col 4: syntax error: unexpected IDENTIFIER, expecting STRING"},
    {R"({a="b"} | label_format a=b,a=c)", "parse error : stage '| label_format a=b,a=c' : multiple label name 'a' not allowed in a single format operation"},
    {R"({a="b"} | label_format __error__="x")", "parse error : stage '| label_format __error__=\"x\"' : __error__ cannot be formatted"},
    {R"({a="b"} + 1)", "parse error : unexpected type for left leg of binary operation (+): *syntax.MatchersExpr"},
    {R"(1 + ({a="b"} | json))", "parse error : unexpected type for right leg of binary operation (+): *syntax.PipelineExpr"},
    {R"(count_over_time({a="b"}[1m]) and 1)", "parse error : unexpected literal for right leg of logical/set binary operation (and): 1.000000"},
    {"1 unless 2", "parse error : unexpected literal for left leg of logical/set binary operation (unless): 1.000000"},
    {"0x1F", "parse error : unable to parse literal as a float: strconv.ParseFloat: parsing \"0x1F\": invalid syntax"},
    {"1EB", "parse error at line 1, col 1: exponent has no digits"},
    {R"(sum_over_time({a="b"}[1m]))", "parse error : invalid aggregation sum_over_time without unwrap"},
    {R"(count_over_time({a="b"} | unwrap x [1m]))", "parse error : invalid aggregation count_over_time with unwrap"},
    {R"(rate({a="b"}[1m]) by (a))", "parse error : grouping not allowed for rate aggregation"},
    {R"(quantile_over_time({a="b"} | unwrap x [1m]))", "parse error : parameter required for operation quantile_over_time"},
    {R"(rate(1,{a="b"}[1m]))", "parse error : parameter 1 not supported for operation rate"},
    {R"(sum(1,rate({a="b"}[1m])))", "parse error : unsupported parameter for operation sum(1,"},
    {R"(topk(1.5,rate({a="b"}[1m])))", "parse error : invalid parameter topk(1.5,"},
    {R"(topk(0,rate({a="b"}[1m])))", "parse error : invalid parameter (must be greater than 0) topk(0"},
    {R"(sort by (a) (rate({a="b"}[1m])))", "parse error : sort and sort_desc doesn't allow grouping by "},
    {R"(approx_topk by (a) (2, rate({a="b"}[1m])))", "parse error : grouping not allowed for approx_topk aggregation"},
    {R"(label_replace(rate({a="b"}[1m]),"a","b","c","("))", "parse error : invalid regex in label_replace: error parsing regexp: missing closing ): `^(?:()$`"},
    {R"(rate({a="b"}[1m]) > on (x) group_left (sum(rate({a="b"}[1m])) / 2))", "parse error at line 1, col 40: syntax error: unexpected SUM, expecting IDENTIFIER or )"},
    {R"(sum_over_time({a="b"} | unwrap v | logfmt [5m]))", "parse error at line 1, col 36: syntax error: unexpected logfmt, expecting IDENTIFIER or ("},
    {R"(sum_over_time({a="b"} | unwrap v |= "a" [5m]))", "parse error at line 0, col 34: syntax error: unexpected |=, expecting RANGE or |"},
    {R"({a="b"} | logfmt a --strict)", "parse error at line 0, col 20: syntax error: unexpected FUNCTION_FLAG"},
    {"sum by (a)\n(rate({a=\"b\"}\n[5m])\n", "parse error at line 4, col 1: syntax error: unexpected $end"},
    {"{a=\"b\"}\n|= \"x\"\n| foo bar", "parse error at line 3, col 7: syntax error: unexpected IDENTIFIER"},
    {"max by (x) (min by y (rate({a=\"b\"}[5m])))", "parse error at line 1, col 13: syntax error: unexpected IDENTIFIER"},
    {"{\xC3\xA4=\"x\"}", "parse error at line 1, col 2: syntax error: unexpected STRING, expecting IDENTIFIER or }"},
    {"{a=\"\xC3\xA4\"} |= x", "parse error at line 1, col 12: syntax error: unexpected IDENTIFIER, expecting STRING or ip"},
};

TEST(Parser, ErrorsReadAsLokiWritesThem) {
  for (const TextCase& c : kErrors) EXPECT_EQ(error_of(c.query), c.want) << c.query;
}

TEST(Parser, AtLeastOneMatcherMustRefuseTheEmptyString) {
  const std::string want = R"(parse error : queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will)";
  for (const char* query : {"{}", R"({a=""})", R"({a=~".*"})", R"({a!="b"})", "sum(1)", R"({app=~"a|"})", R"({a!~"x"})"})
    EXPECT_EQ(error_of(query), want) << query;
  for (const char* query : {R"({a=~".+"})", R"({a!="b",c="d"})"}) EXPECT_TRUE(parse(query).ok()) << query;
}

TEST(Parser, SelectorAlone) {
  EXPECT_EQ(parse_selector(R"({a="b",c=~"d"})").value().size(), 2u);
  EXPECT_EQ(parse_selector(R"({a="b"} |= "x")").error().message(), "only label matchers are supported");
  EXPECT_EQ(parse_selector("vector(1)").error().message(), "only label matchers are supported");
  EXPECT_EQ(parse_selector("{app=").error().message(),
            "parse error at line 1, col 6: syntax error: unexpected $end, expecting STRING");
  EXPECT_FALSE(parse_selector("{}").ok());
}

TEST(Parser, SizeAndDepthAreBounded) {
  EXPECT_EQ(error_of(std::string(131072, ' ')), "parse error : input size too long (131072 > 131072)");
  std::string deep(50'000, '(');
  EXPECT_NE(error_of(deep).find("nested too deeply"), std::string::npos);
  std::string power = "2";
  for (int i = 0; i < 20'000; ++i) power += "^2";
  EXPECT_NE(error_of(power).find("nested too deeply"), std::string::npos);
  std::string filters = R"({a="b"} | a="1")";
  for (int i = 0; i < 9'000; ++i) filters += " or a=\"1\"";
  EXPECT_NE(error_of(filters).find("too complex"), std::string::npos);
  std::string commas = R"({a="b"} | a="1")";
  for (int i = 0; i < 9'000; ++i) commas += ",a=\"1\"";
  EXPECT_FALSE(parse(commas).ok());
  std::string sums = "1";
  for (int i = 0; i < 20'000; ++i) sums += "+1";
  EXPECT_EQ(line_of(sums), "20001");
}

TEST(Formatter, PrintsAsFormatQueryDoes) {
  const TextCase cases[] = {
      {R"({a="b"} | x="1" and y>2 or z<3s, w=5KB)", R"({a="b"} | ( ( x="1" , y>2 ) or ( z<3s , w==5.0kB ) ))"},
      {R"({a="b"} | json x="a.b", y)", R"({a="b"} | json x="a.b",y="y")"},
      {R"({a="b"} != "y" or "z")", R"({a="b"} != "y" != "z")"},
      {R"({a="b"} |= "x" or "y")", R"({a="b"} |= "x" or "y")"},
      {R"(rate({a="b"}[1m] offset 5m))", R"(rate({a="b"}[1m] offset 5m0s))"},
      {R"(sum by (cluster, namespace, app) (rate({cluster="aaaaaaaaaaaaaaaaaaaa", namespace="bbbbbbbbbbbbbbbbbbbbbbbb"} |= "error message here" | json | line_format "{{.foo}}" [5m])) / sum(rate({cluster="aaaaaaaaaaaaaaaaaaaa"}[5m])))",
       "  sum by (cluster, namespace, app)(\n    rate(\n      {cluster=\"aaaaaaaaaaaaaaaaaaaa\", namespace=\"bbbbbbbbbbbbbbbbbbbbbbbb\"}\n        |= \"error message here\"\n        | json\n        | line_format \"{{.foo}}\" [5m]\n    )\n  )\n/\n  sum(rate({cluster=\"aaaaaaaaaaaaaaaaaaaa\"}[5m]))"},
  };
  for (const TextCase& c : cases) EXPECT_EQ(pretty_of(c.query), c.want) << c.query;
}

}  // namespace
}  // namespace skald::logql
