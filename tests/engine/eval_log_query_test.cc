#include "eval_fixture.h"

namespace skald::engine::testing {
namespace {

std::vector<std::string> lines(const Result<QueryResult>& result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.error().message();
    return {};
  }
  std::vector<std::pair<std::uint32_t, std::string>> found;
  for (const LogStream& stream : std::get<LogResult>(result->data).streams)
    for (const LogEntry& entry : stream.entries) found.emplace_back(entry.order, entry.line);
  std::sort(found.begin(), found.end());
  std::vector<std::string> out;
  for (auto& [order, line] : found) out.push_back(line);
  return out;
}

class LogQueryTest : public EvalTest {
 protected:
  QueryParams params(std::int64_t start_ns, std::int64_t end_ns, std::uint32_t limit, Direction direction) {
    QueryParams p;
    p.start_ns = start_ns;
    p.end_ns = end_ns;
    p.limit = limit;
    p.direction = direction;
    return p;
  }
};

TEST_F(LogQueryTest, StartIsIncludedAndEndIsNot) {
  source_.add(R"({app="a"})", {{10, "ten"}, {11, "eleven"}, {12, "twelve"}});
  EXPECT_EQ(lines(run(R"({app="a"})", params(10, 12, 100, Direction::kForward))), (std::vector<std::string>{"ten", "eleven"}));
  EXPECT_EQ(lines(run(R"({app="a"})", params(10, 10, 100, Direction::kForward))), std::vector<std::string>{});
}

TEST_F(LogQueryTest, DirectionAndLimitOverManyStreams) {
  for (int s = 0; s < 5; ++s) {
    std::vector<Entry> entries;
    for (int i = 0; i < 100; ++i) entries.push_back({i * 10 + s, std::to_string(i * 10 + s)});
    source_.add("{app=\"a\", s=\"" + std::to_string(s) + "\"}", entries, 1, 7);
  }
  EXPECT_EQ(lines(run(R"({app="a"})", params(0, 1000, 4, Direction::kForward))), (std::vector<std::string>{"0", "1", "2", "3"}));
  EXPECT_EQ(lines(run(R"({app="a"})", params(0, 1000, 4, Direction::kBackward))), (std::vector<std::string>{"994", "993", "992", "991"}));
  EXPECT_EQ(lines(run(R"({app="a"})", params(0, 1000, 10000, Direction::kBackward))).size(), 500U);
}

TEST_F(LogQueryTest, LimitReadsOnlyTheWantedEnd) {
  std::vector<Entry> entries;
  for (int i = 0; i < 10000; ++i) entries.push_back({i, std::to_string(i)});
  source_.add(R"({app="a"})", entries, 1, 100);
  EXPECT_EQ(lines(run(R"({app="a"})", params(0, 10000, 1, Direction::kBackward))), std::vector<std::string>{"9999"});
  EXPECT_LE(source_.loads, 3U);
}

TEST_F(LogQueryTest, EqualTimesKeepArrivalOrder) {
  source_.add(R"({app="a"})", {{5, "x"}, {5, "y"}, {5, "z"}, {6, "w"}}, 1, 2);
  EXPECT_EQ(lines(run(R"({app="a"})", params(0, 10, 100, Direction::kForward))), (std::vector<std::string>{"x", "y", "z", "w"}));
  EXPECT_EQ(lines(run(R"({app="a"})", params(0, 10, 100, Direction::kBackward))), (std::vector<std::string>{"w", "z", "y", "x"}));
}

TEST_F(LogQueryTest, IntervalThinsTheMergedResult) {
  source_.add(R"({app="a",s="1"})", {{0, "0"}, {10, "10"}, {20, "20"}, {30, "30"}, {40, "40"}}, 1, 2);
  source_.add(R"({app="a",s="2"})", {{5, "5"}, {15, "15"}, {25, "25"}, {35, "35"}}, 1, 1);
  QueryParams p = params(0, 100, 100, Direction::kForward);
  p.interval_ns = 15;
  EXPECT_EQ(lines(run(R"({app="a"})", p)), (std::vector<std::string>{"0", "15", "30"}));
  p.limit = 5;   // counts what is read: 0, 5, 10, 15, 20
  EXPECT_EQ(lines(run(R"({app="a"})", p)), (std::vector<std::string>{"0", "15"}));
  p.limit = 100;
  p.direction = Direction::kBackward;
  EXPECT_EQ(lines(run(R"({app="a"})", p)), (std::vector<std::string>{"40", "25", "10"}));
}

TEST_F(LogQueryTest, StagesFilterAndRelabel) {
  source_.add(R"({app="a"})", {{1, "level=info n=1"}, {2, "level=warn n=2"}, {3, "level=info n=3", {{"trace", "t"}}}});
  const auto result = run(R"({app="a"} | logfmt | level="info")", params(0, 10, 100, Direction::kForward));
  ASSERT_TRUE(result.ok()) << result.error().message();
  const auto& streams = std::get<LogResult>(result->data).streams;
  ASSERT_EQ(streams.size(), 2U);
  EXPECT_EQ(streams[0].labels.plain().to_string(), R"({app="a", level="info", n="1"})");
  EXPECT_EQ(streams[1].labels.plain().to_string(), R"({app="a", level="info", n="3", trace="t"})");
  EXPECT_EQ(result->stats.entries_returned, 2U);
  EXPECT_EQ(result->stats.lines_processed, 3U);
}

TEST_F(LogQueryTest, SameEntryOfTwoSourcesIsOneEntry) {
  source_.add(R"({app="a"})", {{1, "one"}, {2, "two"}, {2, "other"}, {3, "three", {{"k", "v"}}}}, 1, 2, false);
  source_.add(R"({app="a"})", {{2, "two"}, {3, "three"}, {3, "three", {{"k", "v"}}}, {4, "four"}}, 2, 3, true);
  EXPECT_EQ(lines(run(R"({app="a"})", params(0, 10, 100, Direction::kForward))).size(), 6U);
  EXPECT_EQ(vector(R"(sum(count_over_time({app="a"}[1m])))", kSecond).at("{}"), 6);
  EXPECT_EQ(vector(R"(sum(bytes_over_time({app="a"}[1m])))", kSecond).at("{}"), 3 + 3 + 5 + 5 + 5 + 4);
}

TEST_F(LogQueryTest, LevelIsPartOfAnEntry) {
  source_.add(R"({app="a"})", {{1, "x", {}, model::Level::kInfo}}, 1);
  source_.add(R"({app="a"})", {{1, "x", {}, model::Level::kWarn}, {1, "x", {}, model::Level::kInfo}}, 2);
  EXPECT_EQ(lines(run(R"({app="a"})", params(0, 10, 100, Direction::kForward))).size(), 2U);
}

TEST_F(LogQueryTest, DeletedEntriesAreHidden) {
  source_.add(R"({app="a"})", {{1, "one"}, {2, "two"}, {2, "secret"}, {3, "secret"}, {4, "four"}, {9, "secret"}}, 1, 4);
  source_.add(R"({app="b"})", {{1, "secret"}, {2, "x"}}, 2);
  const auto hide = [&](const std::string& query, std::int64_t start_ns, std::int64_t end_ns) {
    auto list = source_.hidden ? std::make_shared<std::vector<Deletion>>(*source_.hidden) : std::make_shared<std::vector<Deletion>>();
    list->push_back({start_ns, end_ns, logql::parse(query)->log()});
    source_.hidden = list;
  };
  hide(R"({app="a"} |= "secret")", 0, 3);
  EXPECT_EQ(lines(run(R"({app="a"})", params(0, 10, 100, Direction::kForward))), (std::vector<std::string>{"one", "two", "four", "secret"}));
  EXPECT_EQ(vector(R"(sum(count_over_time({app=~"a|b"}[1h])))", kSecond).at("{}"), 6);
  hide(R"({app="b"})", 2, 2);
  EXPECT_EQ(vector(R"(sum by (app) (count_over_time({app=~"a|b"}[1h])))", kSecond), (std::map<std::string, double>{{R"({app="a"})", 4}, {R"({app="b"})", 1}}));
}

// Any cut into blocks, sources and streams gives what sorting all entries gives.
TEST_F(LogQueryTest, RandomBlocksAgainstSorting) {
  SeededRandom random(7);
  for (int round = 0; round < 30; ++round) {
    source_ = MemorySource();
    std::vector<std::pair<std::int64_t, std::string>> all;
    const int streams = 1 + static_cast<int>(random.next_u64() % 4);
    for (int s = 0; s < streams; ++s) {
      std::vector<Entry> entries;
      const std::size_t rows = 1 + random.next_u64() % 300;
      for (std::size_t i = 0; i < rows; ++i) {
        // Distinct times: the order among equal ones of different streams is not promised.
        const std::int64_t ts = static_cast<std::int64_t>(random.next_u64() % 5000) * 4 + s;
        const std::string line = "s" + std::to_string(s) + "t" + std::to_string(ts);
        if (std::any_of(entries.begin(), entries.end(), [&](const Entry& e) { return e.ts == ts; })) continue;
        entries.push_back({ts, line});
        all.emplace_back(ts, line);
      }
      const std::string labels = "{app=\"a\", s=\"" + std::to_string(s) + "\"}";
      std::vector<Entry> copy;
      for (const Entry& e : entries)
        if (random.next_u64() % 3 == 0) copy.push_back(e);
      source_.add(labels, entries, 1, 1 + random.next_u64() % 50);
      if (!copy.empty()) source_.add(labels, copy, 2, 1 + random.next_u64() % 50);
    }
    std::sort(all.begin(), all.end());
    const std::int64_t start = static_cast<std::int64_t>(random.next_u64() % 10000), end = start + static_cast<std::int64_t>(random.next_u64() % 15000);
    const std::uint32_t limit = 1 + static_cast<std::uint32_t>(random.next_u64() % 200);
    const Direction direction = random.next_u64() % 2 == 0 ? Direction::kForward : Direction::kBackward;
    std::vector<std::string> expected;
    for (const auto& [ts, line] : all)
      if (ts >= start && ts < end) expected.push_back(line);
    if (direction == Direction::kBackward) std::reverse(expected.begin(), expected.end());
    if (expected.size() > limit) expected.resize(limit);
    EXPECT_EQ(lines(run(R"({app="a"})", params(start, end, limit, direction))), expected) << "round " << round;
  }
}

}  // namespace
}  // namespace skald::engine::testing
