#include <re2/re2.h>

#include <random>

#include "engine/pipeline_fixture.h"

namespace skald::engine::test {
namespace {

using LineFilters = PipelineTest;
using Kept = std::vector<std::string>;

TEST_F(LineFilters, Contains) {
  const std::vector<Row> rows = {"first line\nsecond line", "ERROR error", "GET /x", ""};
  EXPECT_EQ(lines("|= \"error\"", rows), (Kept{"ERROR error"}));
  EXPECT_EQ(lines("|= \"line\\nsecond\"", rows), (Kept{"first line\nsecond line"}));
  EXPECT_EQ(lines("!= \"error\"", rows), (Kept{"first line\nsecond line", "GET /x", ""}));
  EXPECT_EQ(lines("|= \"\"", rows).size(), 4U);
  EXPECT_EQ(lines("!= \"\"", rows).size(), 0U);
  EXPECT_EQ(lines("|~ \"\"", rows).size(), 4U);
  EXPECT_EQ(lines("!~ \"\"", rows).size(), 0U);
}

TEST_F(LineFilters, HitsStayInsideOneLine) {
  const std::vector<Row> rows = {"abc", "def", "c\ndef", "xabcx"};
  EXPECT_EQ(lines("|= \"c\\nd\"", rows), (Kept{"c\ndef"})) << "not across two rows";
  EXPECT_EQ(lines("|= \"c\\n\"", rows), (Kept{"c\ndef"})) << "the row's own end is not text";
  EXPECT_EQ(lines("|~ \"c$\"", rows), (Kept{"abc"}));
}

TEST_F(LineFilters, OrChains) {
  const std::vector<Row> rows = {"a 1", "b 2", "c 3", "a b"};
  EXPECT_EQ(lines("|= \"a\" or \"b\"", rows), (Kept{"a 1", "b 2", "a b"}));
  EXPECT_EQ(lines("!= \"a\" or \"b\"", rows), (Kept{"c 3"})) << "neither";
  EXPECT_EQ(lines("|= \"c\" or \"\"", rows), (Kept{"c 3"}));
  EXPECT_EQ(lines("|= \"a\" |= \"b\"", rows), (Kept{"a b"}));
  EXPECT_EQ(lines("|= \"a\" != \"a\"", rows), Kept());
  EXPECT_EQ(lines("|~ \"^a\" or \"^b\"", rows), (Kept{"a 1", "b 2", "a b"}));
  EXPECT_EQ(lines("!~ \"[ab]\"", rows), (Kept{"c 3"}));
}

TEST_F(LineFilters, Regex) {
  const std::vector<Row> rows = {"GET (200)", "first line\nsecond", "ERROR Error", "foo", "\xE2\x84\xAAilo", "stra\xC3\x9F" "e"};
  EXPECT_EQ(lines("|~ `\\(\\d{3}\\)`", rows), (Kept{"GET (200)"}));
  EXPECT_EQ(lines("|~ \"line.second\"", rows), Kept()) << ". does not match LF";
  EXPECT_EQ(lines("|~ \"(?s)line.second\"", rows), (Kept{"first line\nsecond"}));
  EXPECT_EQ(lines("|~ \"^second\"", rows), Kept());
  EXPECT_EQ(lines("|~ \"(?m)^second\"", rows), (Kept{"first line\nsecond"}));
  EXPECT_EQ(lines("|~ \"(?i)error\"", rows), (Kept{"ERROR Error"}));
  EXPECT_EQ(lines("|~ \"foo|.*\"", rows), (Kept{"foo"})) << "as observed";
  EXPECT_EQ(lines("|~ \".*\"", rows).size(), rows.size());
  EXPECT_EQ(lines("|~ \"(?i)kilo\"", rows), (Kept{"\xE2\x84\xAAilo"})) << "the kelvin sign lowers to k";
  EXPECT_EQ(lines("|~ \"(?i)SS\"", rows), Kept());
}

TEST_F(LineFilters, Patterns) {
  const std::vector<Row> rows = {"GET /metrics (404)", "no match", "", "a||c|", "a|b|c|", "x foo"};
  EXPECT_EQ(lines("|> \"GET <_>\"", rows), (Kept{"GET /metrics (404)"}));
  EXPECT_EQ(lines("|> \"<_> /metrics <_>\"", rows), (Kept{"GET /metrics (404)"}));
  EXPECT_EQ(lines("|> \"match\"", rows), Kept());
  EXPECT_EQ(lines("|> \"no match\"", rows), (Kept{"no match"}));
  EXPECT_EQ(lines("|> \"\"", rows), (Kept{""}));
  EXPECT_EQ(lines("|> \"<_>\"", rows).size(), 5U);
  EXPECT_EQ(lines("|> \"a|<_>|c|\"", rows), (Kept{"a|b|c|"})) << "a capture takes at least one byte";
  EXPECT_EQ(lines("|> \"<_>foo\"", rows), (Kept{"x foo"}));
  EXPECT_EQ(lines("!> \"<_> <_>\"", rows), (Kept{"", "a||c|", "a|b|c|"}));
  EXPECT_EQ(lines("|> \"GET <_>\" or \"x <_>\"", rows), (Kept{"GET /metrics (404)", "x foo"}));
  EXPECT_EQ(lines("|> \"GET <_>\" or \"POST <_>\"", {"msg=\"POST /x\"", "POST "}), (Kept{"msg=\"POST /x\""})) << "as observed";
}

TEST_F(LineFilters, Ip) {
  const std::vector<Row> rows = {"src=10.0.0.1:8080", "src=192.168.1.7 x", "src=999.1.2.3", "v6 2001:db8::1 end", "none"};
  EXPECT_EQ(lines("|= ip(\"10.0.0.0/8\")", rows), (Kept{"src=10.0.0.1:8080"}));
  EXPECT_EQ(lines("|= ip(\"192.168.1.0-192.168.1.9\")", rows), (Kept{"src=192.168.1.7 x"}));
  EXPECT_EQ(lines("|= ip(\"2001:db8::/32\")", rows), (Kept{"v6 2001:db8::1 end"}));
  EXPECT_EQ(lines("!= ip(\"10.0.0.0/8\")", rows).size(), 4U);
  EXPECT_EQ(lines("|= \"none\" or ip(\"10.0.0.0/8\")", rows), (Kept{"src=10.0.0.1:8080", "none"}));
}

TEST_F(LineFilters, RunBeforeTheStagesOfTheirSegment) {
  const std::vector<Row> rows = {"\x1b[31mERROR\x1b[0m failed"};
  EXPECT_EQ(lines("| decolorize |= \"ERROR failed\"", rows), Kept()) << "looks at the coloured line";
  EXPECT_EQ(lines("| decolorize", rows), (Kept{"ERROR failed"}));
  EXPECT_EQ(lines("| decolorize", {"\x1b]0;a title\x07z", "\x1b]0;title\x07y", "b\x1b[ e \x1b[99999z", "\xC2\x9B" "1mx", "plain"}), (Kept{";a title\x07z", "y", "b\x1b[ e z", "x", "plain"}));
  EXPECT_EQ(lines("| decolorize | app=\"web\" |= \"ERROR failed\"", rows), (Kept{"ERROR failed"})) << "a label filter ends the segment";
  EXPECT_EQ(lines("| json |= \"b\"", {R"({"a":1})", R"({"b":1})"}), (Kept{R"({"b":1})"}));
}

TEST_F(LineFilters, TimeRangeAndSkippedRows) {
  auto pipeline = Pipeline::compile(parse_stages("|= \"x\""), options);
  ASSERT_TRUE(pipeline.ok());
  const chunk::Columns columns = make_columns({"x0", "x1", "y2", "x3", "x4", "x5"});
  auto runner = pipeline.value()->make_runner();
  runner->begin_stream(*stream);
  const std::vector<std::uint32_t> skip = {0, 3};
  auto frame = runner->run(columns, 1, 6, row_time_ns(0), row_time_ns(5), skip);
  ASSERT_TRUE(frame.ok());
  ASSERT_EQ((*frame)->size(), 2U) << "rows 1 to 4 without 2 and 3";
  EXPECT_EQ((*frame)->line(0), "x1");
  EXPECT_EQ((*frame)->timestamp_ns(1), row_time_ns(4));
  EXPECT_EQ((*frame)->block_row(1), 4U);
  EXPECT_EQ((*runner->run(columns, 0, 6, row_time_ns(7), row_time_ns(9), {}))->size(), 0U);
  EXPECT_FALSE(runner->run(columns, 0, 7, 0, INT64_MAX, {}).ok());
}

// The block-wide search, the few-lines path and the naive answer agree, whatever the text.
TEST_F(LineFilters, AgreeWithRowAtATime) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    const auto text = [&](std::size_t most) {
      std::string made(random() % (most + 1), ' ');
      for (char& c : made) c = "abk\n\"K."[random() % 7];
      return made;
    };
    std::vector<Row> rows;
    const std::size_t count = 1 + random() % 60;
    for (std::size_t i = 0; i < count; ++i) rows.emplace_back(text(round % 10 == 0 ? 80 : 8));
    std::vector<logql::Stage> stages;
    struct Check { bool regex; bool negative; std::vector<std::string> terms; };
    std::vector<Check> checks;
    for (unsigned n = 0; n <= random() % 3; ++n) {
      Check check{random() % 2 == 0, random() % 3 == 0, {}};
      logql::LineFilterStage stage;
      for (unsigned t = 0; t <= random() % 2; ++t) {
        std::string term = text(2) + "b";
        if (check.regex) {
          std::string quoted = re2::RE2::QuoteMeta(term);
          if (random() % 2 == 0) quoted = "(?i)" + quoted;
          else if (random() % 2 == 0) quoted += "|ka";
          else if (random() % 2 == 0) quoted += "[ab]";
          term = quoted;
        }
        check.terms.push_back(term);
        stage.terms.push_back({false, term});
      }
      using Op = logql::LineFilterOp;
      stage.op = check.regex ? (check.negative ? Op::kNotRegex : Op::kRegex) : (check.negative ? Op::kNotContains : Op::kContains);
      stages.emplace_back(stage);
      checks.push_back(check);
    }
    Kept expected;
    for (const Row& row : rows) {
      const bool keep = std::all_of(checks.begin(), checks.end(), [&](const Check& check) {
        const bool any = std::any_of(check.terms.begin(), check.terms.end(), [&](const std::string& term) {
          return check.regex ? re2::RE2::PartialMatch(row.line, term) : row.line.find(term) != std::string::npos;
        });
        return any != check.negative;
      });
      if (keep) expected.push_back(row.line);
    }
    Kept kept;
    for (const OutRow& row : run_stages(stages, rows)) kept.push_back(row.line);
    ASSERT_EQ(kept, expected) << "round " << round;
  }
}

TEST_F(LineFilters, ColumnsNeeded) {
  const auto columns = [&](const std::string& stages) { return Pipeline::compile(parse_stages(stages), options).value()->columns(); };
  options.needed_labels = std::vector<std::string>{};
  options.needs_line = false;
  EXPECT_EQ(columns(""), chunk::kTimestamps);
  EXPECT_EQ(columns("|= \"\""), chunk::kTimestamps);
  EXPECT_EQ(columns("| json"), chunk::kTimestamps) << "a parser nobody reads from";
  EXPECT_EQ(columns("| line_format \"x\" | decolorize"), chunk::kTimestamps);
  EXPECT_EQ(columns("|= \"x\""), chunk::kTimestamps | chunk::kLines | chunk::kLineLengths);
  EXPECT_EQ(columns("| trace_id=\"x\""), chunk::kTimestamps | chunk::kMetadata | chunk::kLevels);
  options.needed_labels = std::vector<std::string>{"app"};
  auto runner = Pipeline::compile({}, options).value()->make_runner();
  runner->begin_stream(*stream);
  EXPECT_EQ(runner->stream_columns(), chunk::kTimestamps) << "a label of the stream";
  options = PipelineOptions();
  EXPECT_EQ(columns(""), chunk::kAllColumns);
}

}  // namespace
}  // namespace skald::engine::test
