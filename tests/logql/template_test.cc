#include "skald/logql/template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <new>
#include <string>

namespace {
thread_local std::size_t g_allocations = 0;
}
void* operator new(std::size_t size) {
  ++g_allocations;
  void* p = std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
// The sort algorithms take their scratch this way; all forms must come from one allocator.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++g_allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace skald::logql {
namespace {

class Row final : public TemplateInput {
 public:
  bool label(std::string_view name, std::string_view& value) const override {
    const auto it = labels.find(name);
    value = it == labels.end() ? std::string_view() : std::string_view(it->second);
    return it != labels.end();
  }
  std::string_view line() const override { return "the Line"; }
  std::int64_t timestamp_ns() const override { return 1'768'474'800'123'456'789; }  // 2026-01-15T11:00:00.123456789Z
  std::vector<std::string_view> label_names() const override {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : labels) names.push_back(name);
    return names;
  }
  std::map<std::string, std::string, std::less<>> labels{
      {"a", "A"}, {"b", "B"}, {"msg", "queue drained"}, {"n", "3"}, {"empty", ""}, {"dur", "1h17m"}};
};

std::string render(std::string_view text) {
  auto parsed = Template::parse(text);
  if (!parsed.ok()) return "parse: " + parsed.error().message();
  std::string out;
  const auto result = parsed->execute(Row(), out);
  return result.ok() ? out : "run: " + result.error().message();
}

struct Case { const char* text; const char* want; };

void check(std::initializer_list<Case> cases) {
  for (const Case& c : cases) EXPECT_EQ(render(c.text), c.want) << c.text;
}

TEST(Template, TextFieldsAndTrimming) {
  check({{"", ""}, {"plain", "plain"}, {"{{.a}} {{.b}}", "A B"}, {"[{{.nope}}]", "[]"}, {"{{ . }}", "map[a:A b:B dur:1h17m empty: msg:queue drained n:3]"},
         {"a {{- .a -}} b", "aAb"}, {"x\n {{- \"y\" }} z", "xy z"}, {"{{/* hidden */}}x", "x"}, {"a {{- /* c */ -}} b", "ab"},
         {"{{`raw \\n`}}{{\"\\t\\u00e9\\x41\"}}", "raw \\n\t\xC3\xA9" "A"}, {"{{'a'}} {{'\\n'}} {{0x1F}} {{1_000}}", "97 10 31 1000"},
         {"{{$}}", "map[a:A b:B dur:1h17m empty: msg:queue drained n:3]"}, {"{{$.a}}", "A"}, {"{{true}} {{false}}", "true false"},
         {"{{42}} {{1.5}} {{\"s\"}}", "42 1.5 s"}, {"{{1e6}} {{1e21}} {{0.000001}} {{100.0}}", "1e+06 1e+21 1e-06 100"},
         {"{{.a\n}}", "A"}});
}

TEST(Template, VariablesAndControl) {
  check({{"{{$x := .a}}{{$x}}-{{$x}}", "A-A"}, {"{{$x := 1}}{{$x = 2}}{{$x}}", "2"},
         {"{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"}, {"{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"},
         {"{{if .a}}yes{{else}}no{{end}}", "yes"}, {"{{if .empty}}yes{{else}}no{{end}}", "no"}, {"{{if .nope}}yes{{end}}", ""},
         {"{{if eq .n \"1\"}}one{{else if eq .n \"3\"}}three{{else}}many{{end}}", "three"},
         {"{{with .a}}<{{.}}>{{end}}", "<A>"}, {"{{with .empty}}x{{else}}none{{end}}", "none"}, {"{{with $v := .a}}{{$v}}{{.}}{{end}}", "AA"},
         {"{{range $i, $v := (fromJson \"[3,1,2]\")}}{{$i}}{{$v}},{{end}}", "03,11,22,"},
         {"{{range $k, $v := (fromJson \"{\\\"z\\\":1,\\\"a\\\":2}\")}}{{$k}}={{$v}} {{end}}", "a=2 z=1 "},
         {"{{range 3}}{{.}}{{end}}", "012"}, {"{{range $i := 3}}{{$i}}{{end}}", "012"}, {"{{range (fromJson \"[]\")}}x{{else}}none{{end}}", "none"},
         {"{{range 5}}{{if eq . 3}}{{break}}{{end}}{{if eq . 1}}{{continue}}{{end}}{{.}}{{end}}", "02"},
         {"{{range $k, $v := .}}{{$k}};{{end}}", "a;b;dur;empty;msg;n;"}, {"{{range .}}{{.}};{{end}}", "A;B;1h17m;;queue drained;3;"},
         {"{{define \"t\"}}[{{.}}]{{end}}{{template \"t\" .a}}{{template \"t\" .b}}", "[A][B]"},
         {"{{block \"t\" .a}}<{{.}}>{{end}}", "<A>"}, {"{{range 2}}{{range 2}}{{.}}{{end}};{{end}}", "01;01;"},
         {"{{if true}}{{range 2}}{{if true}}{{continue}}{{end}}x{{end}}y{{end}}", "y"}});
}

TEST(Template, LogicAndComparison) {
  check({{"{{eq \"a\" \"a\"}} {{eq \"a\" \"b\"}} {{eq 1 1}}", "true false true"}, {"{{eq \"a\" \"b\" \"a\"}}", "true"},
         {"{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 3 2}} {{ne 1 2}}", "true true false true true"}, {"{{lt \"a\" \"b\"}}", "true"},
         {"{{and 1 0}} {{and 1 2}} {{or 0 \"x\"}} {{or 0 \"\"}} {{not 0}}", "0 2 x  true"},
         {"{{and false (div 1 0)}} {{or true (div 1 0)}}", "false true"}, {"{{if and (contains \"ue\" .msg) (eq .a \"A\")}}y{{end}}", "y"},
         {"{{len \"\xE6\x97\xA5\xE6\x9C\xAC\"}} {{len (fromJson \"[1,2]\")}} {{len .}}", "6 2 6"},
         {"{{index . \"a\"}} {{index (fromJson \"[[1,2],3]\") 0 1}} {{index \"ab\" 1}}", "A 2 98"},
         {"{{slice .msg 0 3}} {{slice \"abcdef\" 2}} {{slice (fromJson \"[1,2,3]\") 1 2}}", "que cdef [2]"},
         {"{{$d := fromJson \"{\\\"req\\\":{\\\"m\\\":\\\"POST\\\",\\\"h\\\":{\\\"User-Agent\\\":\\\"go\\\"}}}\"}}{{$d.req.m}} {{index $d.req.h \"User-Agent\"}}", "POST go"},
         {"{{(fromJson \"{\\\"foo\\\": 55.5}\").foo}}", "55.5"}, {"[{{fromJson \"nope\"}}]", "[<no value>]"},
         {"{{fromJson \"{\\\"b\\\":1,\\\"a\\\":true}\"}}", "map[a:true b:1]"}, {"{{fromJson \"[null,\\\"\\\\u00e9\\\\ud83d\\\\ude00\\\"]\"}}", "[<nil> \xC3\xA9\xF0\x9F\x98\x80]"}});
}

TEST(Template, Strings) {
  check({{"{{lower \"HeLLo \xC3\x89\"}}", "hello \xC3\xA9"}, {"{{upper \"gr\xC3\xBC\xC3\x9F\"}}", "GR\xC3\x9C\xC3\x9F"}, {"{{title \"hello world of-logs\"}}", "Hello World Of-Logs"},
         {"[{{trim \"  a b  \"}}]", "[a b]"}, {"{{trimPrefix \"-\" \"--hello\"}} {{trimSuffix \"-\" \"hello--\"}}", "-hello hello-"},
         {"{{trimAll \"$-\" \"$-5-$\"}}", "5"}, {"{{Trim \"xxhixx\" \"x\"}} {{TrimLeft \"xxhixx\" \"x\"}} {{TrimRight \"xxhixx\" \"x\"}}", "hi hixx xxhi"},
         {"{{TrimPrefix \"hello\" \"he\"}} {{TrimSuffix \"hello\" \"lo\"}} [{{TrimSpace \" x \"}}]", "llo hel [x]"},
         {"{{ToLower \"ABC\"}} {{ToUpper \"abc\"}} {{Replace \"aaa\" \"a\" \"b\" 2}} {{Replace \"aaa\" \"a\" \"b\" -1}}", "abc ABC bba bbb"},
         {"{{trunc 5 \"hello world\"}} {{trunc -5 \"hello world\"}} {{trunc 50 \"hi\"}} {{trunc 3 \"\xE6\x97\xA5\xE6\x9C\xAC\"}}", "hello world hi \xE6\x97\xA5"},
         {"{{substr 6 11 \"hello world\"}} {{substr 6 -1 \"hello world\"}} {{substr 6 99 \"hello world\"}} {{substr -1 3 \"hello\"}}", "world world world hel"},
         {"{{replace \"\" \"-\" \"abc\"}} {{replace \"l\" \"L\" \"hello\"}}", "-a-b-c- heLLo"}, {"{{repeat 3 \"ab\"}}", "ababab"},
         {"{{contains \"x\" \"hello\"}} {{hasPrefix \"he\" \"hello\"}} {{hasSuffix \"lo\" \"hello\"}}", "false true true"},
         {"{{indent 4 \"a\\nb\"}}{{nindent 2 \"a\\nb\"}}", "    a\n    b\n  a\n  b"},
         {"[{{alignLeft 3 \"hello\"}}][{{alignRight 5 \"hi\"}}][{{alignLeft 4 \"\xE6\x97\xA5\xE6\x9C\xAC\"}}][{{alignRight 2 \"hello\"}}][{{alignLeft -1 \"abc\"}}]", "[hel][   hi][\xE6\x97\xA5\xE6\x9C\xAC  ][lo][abc]"},
         {"{{\"Hello World\" | replace \" \" \"_\" | trunc 8 | upper}}", "HELLO_WO"}, {"{{__line__ | lower}}", "the line"},
         {"{{urlencode \"a b&c=\xC3\xA9\"}} {{urldecode \"a+b%26c%3D%C3%A9\"}}", "a+b%26c%3D%C3%A9 a b&c=\xC3\xA9"},
         {"{{b64enc \"hello \xC3\xA9\"}} {{b64dec \"aGVsbG8\"}} {{b64dec \"aGVsbG8=\"}} {{b64dec \"***\"}}", "aGVsbG8gw6k= hello hello illegal base64 data at input byte 0"},
         {"{{default 5 0}} {{default 5 7}} {{default \"x\" .nope}} {{.nope | default \"y\"}}", "5 7 x y"},
         {"{{html \"<a b='c'>&\"}} {{js \"it's <b>\"}} {{urlquery .msg}}", "&lt;a b=&#39;c&#39;&gt;&amp; it\\'s \\u003Cb\\u003E queue+drained"}});
}

TEST(Template, Regexes) {
  check({{"{{count \"a\" \"banana\"}} {{count \"\" \"abc\"}} {{count \"x*\" \"axb\"}} {{.msg | count \"[aeiou]\"}}", "3 4 3 7"},
         {"{{regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" \"$1W\"}}", "---"}, {"{{regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" \"${1}W\"}}", "-W-xxW-"},
         {"{{regexReplaceAll \"(?P<f>\\\\w+) (\\\\w+)\" .msg \"$2 ${f}\"}}", "drained queue"}, {"{{regexReplaceAllLiteral \"a(x*)b\" \"-ab-axxb-\" \"${1}\"}}", "-${1}-${1}-"},
         {"{{regexReplaceAll \"x*\" \"abc\" \"-\"}}", "-a-b-c-"}, {"{{regexReplaceAll .a \"bAd\" \"$$\"}}", "b$d"}});
}

TEST(Template, Numbers) {
  check({{"{{add 3 2 5}} {{sub 5 2}} {{mul 2 3 4}} {{div 10 3}} {{div -7 2}} {{mod 10 3}} {{mod -7 3}}", "10 3 24 3 -3 1 -1"},
         {"{{add \"3.7\" 1}} {{add \"x\" 1}} {{mul .n 10}} {{mul 9223372036854775807 2}}", "4 1 30 -2"},
         {"{{int \"010\"}} {{int \"0x10\"}} {{int \"1.9\"}} {{int \"x\"}} {{int \"1e3\"}} {{int \" 5\"}} {{int true}} {{int 2.9}} {{int \"-3\"}}", "8 16 1 0 0 0 1 2 -3"},
         {"{{float64 \"3.5\"}} {{float64 \"x\"}} {{float64 \"1e3\"}}", "3.5 0 1000"},
         {"{{addf 3.5 2 5}} {{addf 1.1 2.2}} {{addf 0.1 0.2}} {{subf 1 0.9}} {{mulf 5.5 2 2.5}} {{divf 1 3}} {{divf 10 4}}", "10.5 3.3 0.3 0.1 27.5 0.3333333333333333 2.5"},
         {"{{mulf 1e10 1e11}} {{mulf 0.00001 0.1}} {{mulf 1e300 1e300}}", "1e+21 1e-06 +Inf"},
         {"{{max 1 3 2}} {{min 3 1 2}} {{maxf 1 2.5 3}} {{minf 1.5 2}}", "3 1 3 1.5"},
         {"{{ceil 123.001}} {{ceil -1.5}} {{floor 123.9999}} {{floor -1.5}}", "124 -1 123 -2"},
         {"{{round 123.555555 3}} {{round -2.3 0}} {{round 2.345 2}} {{round 123.88571428571 5 .2}} {{round -2.5 0}}", "123.556 -3 2.35 123.88572 -3"},
         {"{{bytes \"2KB\"}} {{bytes \"1.5MiB\"}} {{bytes \"82854982\"}} {{duration \"1h30m\"}} {{.dur | duration}} {{duration_seconds \"1.5s\"}}", "2000 1.572864e+06 8.2854982e+07 5400 4620 1.5"},
         {"{{if lt (int .n) 4}}low{{end}} {{if gt (float64 .n) 2.5}}hi{{end}}", "low hi"}});
}

TEST(Template, Printing) {
  check({{"{{printf \"%-8s|%5s|\" .a .n}}", "A       |    3|"}, {"{{print .a .n}} {{print 1 2 \"x\" 3}}", "A3 1 2x3"}, {"{{println .a .n}}", "A 3\n"},
         {"{{printf \"%s %s\" \"a\"}}", "a %!s(MISSING)"}, {"{{printf \"%d\" \"x\"}}", "%!d(string=x)"}, {"{{printf \"%d\" 1 2}}", "1%!(EXTRA int=2)"},
         {"{{printf \"%05d|%+d|%x|%X|%o|%b|%c|%q|%U\" 42 7 255 255 8 5 65 66 65}}", "00042|+7|ff|FF|10|101|A|'B'|U+0041"},
         {"{{printf \"%.2f|%8.3f|%e|%g|%v|%06.2f\" 3.14159 2.5 1500.0 1e6 2.5 -1.5}}", "3.14|   2.500|1.500000e+03|1e+06|2.5|-01.50"},
         {"{{printf \"%q %x %.2s %5.1s|%t %v %T %T\" \"a\\n\" \"hi\" \"hello\" \"xyz\" true nil 1 1.5}}", "\"a\\n\" 6869 he     x|true <nil> int float64"},
         {"{{printf \"%[2]s %[1]s %%\" \"a\" \"b\"}}", "b a %"}, {"{{printf \"%*d|%-*d|\" 5 1 4 2}}", "    1|2   |"}, {"{{printf \"x%\"}}", "x%!(NOVERB)"},
         {"{{printf \"%#v %#x\" \"a\" 255}}", "\"a\" 0xff"}, {"{{printf \"%v\" (fromJson \"[1,\\\"a\\\"]\")}}", "[1 a]"}});
}

TEST(Template, Times) {
  check({{"{{__timestamp__}}", "2026-01-15 11:00:00.123456789 +0000 UTC"}, {"{{unixEpoch __timestamp__}} {{__timestamp__ | unixEpochMillis}} {{unixEpochNanos __timestamp__}}", "1768474800 1768474800123 1768474800123456789"},
         {"{{date \"2006-01-02 15:04\" (unixToTime \"1768471200\")}}", "2026-01-15 10:00"}, {"{{date \"2006-01-02\" 0}}", "1970-01-01"},
         {"{{__timestamp__ | date \"Mon Jan _2 15:04:05.000000 MST 2006 PM 01/02/06\"}}", "Thu Jan 15 11:00:00.123456 UTC 2026 AM 01/15/26"},
         {"{{__timestamp__ | date \"Monday, January 2 3:04:5pm .999 -07:00 Z07:00 002\"}}", "Thursday, January 15 11:00:0am .123 +00:00 Z 015"},
         {"{{toDate \"2006-01-02\" \"x\"}}", "0001-01-01 00:00:00 +0000 UTC"}, {"{{toDate \"2006-01-02T15:04:05Z07:00\" \"2026-03-04T05:06:07+02:00\" | unixEpoch}}", "1772593567"},
         {"{{toDate \"2006-01-02T15:04:05Z07:00\" \"2026-03-04T05:06:07.5+02:00\"}}", "2026-03-04 05:06:07.5 +0200 +0200"},
         {"{{toDate \"Jan 2 2006\" \"feb 30 2024\" | unixEpoch}} {{toDate \"2/1/06 3:04PM\" \"29/2/24 12:30AM\" | unixEpoch}}", "-62135596800 1709166600"},
         {"{{toDateInZone \"2006-01-02 15:04\" \"No/Where\" \"2026-07-01 12:00\" | unixEpoch}}", "1782907200"},
         {"{{unixToTime \"1768471200\" | unixEpochNanos}} {{unixToTime \"1768471200123456\" | unixEpochNanos}} {{unixToTime \"20000\" | unixEpoch}}", "1768471200000000000 1768471200123456000 1728000000"},
         {"{{if gt (now | unixEpoch | int) 1768471200}}later{{end}}", "later"}});
}

TEST(Template, ZonesOfTheSystem) {
  if (render("{{toDateInZone \"2006\" \"Europe/Paris\" \"2026\"}}") != "2026-01-01 00:00:00 +0100 CET")
    GTEST_SKIP() << "no time zone database here";
  check({{"{{toDateInZone \"2006-01-02 15:04\" \"Europe/Paris\" \"2026-07-01 12:00\" | unixEpoch}}", "1782900000"},
         {"{{toDateInZone \"2006-01-02 15:04\" \"Europe/Paris\" \"2026-07-01 12:00\"}}", "2026-07-01 12:00:00 +0200 CEST"},
         {"{{toDateInZone \"2006-01-02 15:04\" \"America/New_York\" \"2026-03-08 03:30\" | unixEpoch}}", "1772955000"},
         {"{{toDateInZone \"2006-01-02 15:04 MST\" \"America/New_York\" \"2026-01-08 03:30 EST\"}}", "2026-01-08 03:30:00 -0500 EST"},
         {"{{toDateInZone \"2006-01-02\" \"../etc/passwd\" \"2026-01-08\"}}", "2026-01-08 00:00:00 +0000 UTC"}});
}

TEST(Template, ErrorsOfTheText) {
  check({{"{{.x", "parse: template: line:1: unclosed action"}, {"{{ nofunc .a }}", "parse: template: line:1: function \"nofunc\" not defined"},
         {"{{if .a}}x", "parse: template: line:1: unexpected EOF"}, {"{{ .a@b }}", "parse: template: line:1: bad character U+0040 '@'"},
         {"{{$x}}", "parse: template: line:1: undefined variable \"$x\""}, {"{{\"abc}}", "parse: template: line:1: unterminated quoted string"},
         {"a\n{{break}}", "parse: template: line:2: {{break}} outside {{range}}"}, {"{{end}}", "parse: template: line:1: unexpected {{end}}"},
         {"{{else}}", "parse: template: line:1: unexpected {{else}}"}, {"{{}}", "parse: template: line:1: missing value for command"},
         {"{{if}}{{end}}", "parse: template: line:1: missing value for if"}, {"{{(1}}", "parse: template: line:1: unclosed left paren"},
         {"{{1)}}", "parse: template: line:1: unexpected right paren"}, {"{{1 | 2}}", "parse: template: line:1: non executable command in pipeline stage 2"},
         {"{{/* x}}", "parse: template: line:1: unclosed comment"}, {"{{12x}}", "parse: template: line:1: bad number syntax: \"12x\""},
         {"{{if .a}}{{$y := 1}}{{end}}{{$y}}", "parse: template: line:1: undefined variable \"$y\""}});
  EXPECT_EQ(Template::parse("{{.b", "label").error().message(), "template: label:1: unclosed action");
}

TEST(Template, ErrorsOfARunLeaveTheOutputAlone) {
  check({{"x{{ repeat -1 \"ab\" }}", "run: template: line:1:4: executing \"line\" at <repeat -1 \"ab\">: error calling repeat: strings: negative Repeat count"},
         {"{{ .msg | int | div 0 }}", "run: template: line:1:16: executing \"line\" at <div 0>: error calling div: runtime error: integer divide by zero"},
         {"{{ urldecode \"%zz\" }}", "run: template: line:1:3: executing \"line\" at <urldecode \"%zz\">: error calling urldecode: invalid URL escape \"%zz\""},
         {"{{ bytes \"abc\" }}", "run: template: line:1:3: executing \"line\" at <bytes \"abc\">: error calling bytes: strconv.ParseFloat: parsing \"\": invalid syntax"},
         {"{{ duration \"abc\" }}", "run: template: line:1:3: executing \"line\" at <duration \"abc\">: error calling duration: time: invalid duration \"abc\""},
         {"{{ count \"(\" \"abc\" }}", "run: template: line:1:3: executing \"line\" at <count \"(\" \"abc\">: error calling count: error parsing regexp: missing closing ): `(`"},
         {"{{ divf 1 0 }}", "run: template: line:1:3: executing \"line\" at <divf 1 0>: error calling divf: decimal division by 0"},
         {"{{ unixToTime \"12\" }}", "run: template: line:1:3: executing \"line\" at <unixToTime \"12\">: error calling unixToTime: unable to parse time '12': %!w(<nil>)"},
         {"{{ gt .n 3 }}", "run: template: line:1:3: executing \"line\" at <gt .n 3>: error calling gt: incompatible types for comparison"},
         {"{{ .a.b }}", "run: template: line:1:3: executing \"line\" at <.a.b>: can't evaluate field b in type string"},
         {"{{nil}}", "run: template: line:1:2: executing \"line\" at <nil>: nil is not a command"},
         {"{{trunc \"a\" \"b\"}}", "run: template: line:1:8: executing \"line\" at <\"a\">: expected integer; found \"a\""},
         {"{{unixEpoch .a}}", "run: template: line:1:12: executing \"line\" at <.a>: wrong type for value; expected time.Time; got string"},
         {"{{lower .a .b}}", "run: template: line:1:2: executing \"line\" at <lower .a .b>: wrong number of args for lower: want 1 got 2"}});
  std::string out = "kept";
  EXPECT_FALSE(Template::parse("abc{{div 1 0}}").value().execute(Row(), out).ok());
  EXPECT_EQ(out, "kept");
}

TEST(Template, RunsAreBounded) {
  for (const char* text : {"{{repeat 1000000000 \"abcdefgh\"}}", "{{range 1000000000}}x{{end}}", "{{range 100000}}{{range 100000}}{{end}}{{end}}",
                           "{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}", "{{$x := \"0123456789\"}}{{range 40}}{{$x = print $x $x}}{{end}}{{$x}}",
                           "{{indent 2000000000 \"x\"}}", "{{alignLeft 2000000000 \"x\"}}"})
    EXPECT_EQ(render(text).substr(0, 5), "run: ") << text;
  EXPECT_LT(render("{{printf \"%999999999d\" 1}}").size(), 100u);
  EXPECT_EQ(render(std::string(5000, '(')).size(), 5000u);
  std::string deep = "{{";
  deep.append(5000, '(');
  EXPECT_EQ(render(deep).substr(0, 7), "parse: ");
  std::string nested;
  for (int i = 0; i < 5000; ++i) nested += "{{if 1}}";
  EXPECT_EQ(render(nested).substr(0, 7), "parse: ");
}

TEST(Template, KnowsTheLabelsItReads) {
  const Template t = Template::parse("{{.b}} {{if .a}}{{$.c}}{{end}} {{with .d}}{{.}}{{end}}").value();
  EXPECT_EQ(t.labels_read(), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_FALSE(t.uses_all_labels());
  EXPECT_TRUE(Template::parse("{{.}}").value().uses_all_labels());
  EXPECT_TRUE(Template::parse("{{range $k, $v := .}}{{end}}").value().uses_all_labels());
}

TEST(Template, PlainFieldsDoNotAllocate) {
  const Template t = Template::parse("{{.a}} {{.b}} and {{if .n}}{{.msg | trunc 3}}{{end}}").value();
  const Row row;
  std::string out;
  out.reserve(256);
  const std::size_t before = g_allocations;
  const bool ok = t.execute(row, out).ok();
  const std::size_t after = g_allocations;
  EXPECT_TRUE(ok);
  EXPECT_EQ(out, "A B and que");
  EXPECT_EQ(after, before);
}

}  // namespace
}  // namespace skald::logql
