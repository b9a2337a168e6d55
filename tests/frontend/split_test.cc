// Answers in parts are the answers of the whole.
#include "skald/frontend/split.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "differential/generator.h"
#include "differential/sources.h"
#include "engine/eval_fixture.h"
#include "frontend/results.h"
#include "frontend/shuffling_runner.h"
#include "skald/logql/format.h"

namespace skald::frontend {
namespace {

using engine::testing::Entry;
using engine::testing::MemorySource;
using testing::ShufflingRunner;
using testing::text_of;

constexpr std::int64_t kSecond = kNanosPerSecond, kMinute = 60 * kSecond, kHour = 60 * kMinute;

Evaluate evaluate_over(engine::Source& source, exec::Pool& pool) {
  return [&source, &pool](const CallContext& ctx, const Subquery& subquery) -> Result<engine::QueryResult> {
    SKALD_TRY(const logql::Query query, logql::parse(subquery.query));
    engine::Engine engine(source, pool);
    return engine.run(ctx, query, subquery.params, subquery.limits);
  };
}

bool may_name_another_series(const std::string& error) { return error.starts_with("pipeline error"); }

// The property: whole and split agree. One thread, so that the whole query agrees with itself.
TEST(Split, PartsGiveWhatTheWholeGives) {
  const char* const wanted = std::getenv("SKALD_SPLIT_PAIRS");
  const std::uint64_t pairs = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 1500;
  exec::Pool pool("split", 1);
  std::map<Plan::Kind, int> kinds;
  for (std::uint64_t seed = 1; seed <= pairs; ++seed) {
    differential::Generator generator(seed);
    SeededRandom random(seed * 7919);
    const std::vector<differential::Row> rows = generator.rows();
    differential::RowSource source(rows, static_cast<differential::Layout>(random.next_u64() % 6), 1 + random.next_u64() % 40, random);
    const std::string text = generator.query();
    const Result<logql::Query> query = logql::parse(text);
    ASSERT_TRUE(query.ok()) << text;
    Subquery whole;
    whole.tenant = "t";
    whole.query = logql::format_line(*query);
    whole.params = generator.params(query->is_log());
    whole.limits.max_series = random.next_u64() % 4 == 0 ? 5 : 500;
    SplitOptions options;
    options.interval_ns = 1 + static_cast<std::int64_t>(random.next_u64() % static_cast<std::uint64_t>(2 * kMinute));
    options.instant_interval_ns = 1 + static_cast<std::int64_t>(random.next_u64() % static_cast<std::uint64_t>(kMinute));
    options.parallelism = 2 + random.next_u64() % 8;
    if (random.next_u64() % 4 == 0) options.bytes = 100ULL << 20;
    const Evaluate here = evaluate_over(source, pool);
    ShufflingRunner runner(here, seed);
    ++kinds[make_plan(*query, whole, options).kind];
    CallContext ctx;
    ctx.tenant = "t";
    const auto one = here(ctx, whole), parts = run_split(ctx, *query, whole, options, runner, here);
    const std::string where = "seed " + std::to_string(seed) + ": " + whole.query + " every " + std::to_string(options.interval_ns) + " sent " + std::to_string(runner.sent);
    if (one.ok()) {
      ASSERT_TRUE(parts.ok()) << where << "\n" << parts.error().message();
      ASSERT_EQ(text_of(*parts), text_of(*one)) << where;
      ASSERT_EQ(parts->stats.entries_returned, one->stats.entries_returned) << where;
    } else if (parts.ok()) {
      // Operands that are too many as a whole may be few enough in each part.
      ASSERT_TRUE(one.error().message().starts_with("maximum number of series")) << where << "\n" << one.error().message();
    } else if (!may_name_another_series(one.error().message())) {
      ASSERT_EQ(parts.error(), one.error()) << where;
    }
  }
  for (const Plan::Kind kind : {Plan::Kind::kSteps, Plan::Kind::kLogs, Plan::Kind::kInstant}) EXPECT_GT(kinds[kind], static_cast<int>(pairs / 100)) << static_cast<int>(kind);
}

class SplitPlan : public ::testing::Test {
 protected:
  // Parts as "start+length" in minutes, and the text where it differs.
  std::string plan(const std::string& text, std::int64_t start_ns, std::int64_t end_ns, std::int64_t step_ns) {
    const logql::Query query = logql::parse(text).value();
    Subquery whole;
    whole.query = logql::format_line(query);
    whole.params = params_;
    whole.params.instant = step_ns == 0 && !query.is_log();
    whole.params.start_ns = start_ns;
    whole.params.end_ns = end_ns;
    whole.params.step_ns = step_ns;
    whole.limits.partial_results = partial_;
    std::string out;
    for (const Subquery& part : make_plan(query, whole, options_).parts) {
      out += std::to_string(part.params.start_ns / kMinute) + "-" + std::to_string(part.params.end_ns / kMinute);
      if (part.query != whole.query) out += " " + part.query;
      out += "\n";
    }
    return out;
  }
  bool cut(const std::string& text, std::int64_t step_ns = kMinute) { return !plan(text, 0, 10 * kHour, step_ns).empty(); }
  engine::QueryParams params_;
  bool partial_ = false;
  SplitOptions options_{.interval_ns = kHour, .instant_interval_ns = kHour};
};

TEST_F(SplitPlan, StepsAreCutAtMultiplesOfTheInterval) {
  EXPECT_EQ(plan("rate({a=\"b\"}[5m])", 30 * kMinute, 190 * kMinute, 5 * kMinute), "30-55\n60-115\n120-175\n180-190\n");
  EXPECT_EQ(plan("rate({a=\"b\"}[1m])", 7 * kMinute, 100 * kMinute, 25 * kMinute), "7-57\n82-82\n");
  EXPECT_EQ(plan("rate({a=\"b\"}[1m])", 7 * kMinute, 50 * kMinute, kMinute), "");
}

TEST_F(SplitPlan, WhatIsReadDecidesOnTheLengthOfParts) {
  options_.bytes = 1 << 20;
  EXPECT_EQ(plan("rate({a=\"b\"}[1m])", 0, 600 * kMinute, kMinute), "");
  options_.bytes = 100 << 20;
  EXPECT_EQ(plan("rate({a=\"b\"}[1m])", 0, 79 * kMinute, 10 * kMinute), "0-0\n10-10\n20-20\n30-30\n40-40\n50-50\n60-60\n70-70\n");
  EXPECT_EQ(plan("{a=\"b\"}", 0, 80 * kMinute, 0), "70-80\n60-70\n50-60\n40-50\n30-40\n20-30\n10-20\n0-10\n");
  EXPECT_NE(plan("count_over_time({a=\"b\"}[30m])", kHour, kHour, 0), "");
  options_.bytes = 1ULL << 40;
  const std::string parts = plan("{a=\"b\"}", 0, 10 * kMinute, 0);
  EXPECT_EQ(std::count(parts.begin(), parts.end(), '\n'), 10);
  options_.parallelism = 1;
  EXPECT_EQ(plan("{a=\"b\"}", 0, 80 * kMinute, 0), "");
}

TEST_F(SplitPlan, WideWindowsHaveLongParts) {
  EXPECT_EQ(plan("rate({a=\"b\"}[61m])", 0, 360 * kMinute, kMinute), "0-179\n180-359\n360-360\n");
}

TEST_F(SplitPlan, WhatIsNotPointwiseStaysWhole) {
  EXPECT_TRUE(cut("sum by (x) (count_over_time({a=\"b\"} | json [5m])) / ignoring (y) vector(2)"));
  EXPECT_TRUE(cut("topk(3, sum by (x) (rate({a=\"b\"}[1m] offset 1h)))"));
  EXPECT_TRUE(cut("sum_over_time({a=\"b\"} | unwrap x [1m])"));
  EXPECT_FALSE(cut("sum_over_time({a=\"b\"} | unwrap x [2m])"));
  EXPECT_FALSE(cut("max(avg_over_time({a=\"b\"} | unwrap x [2m]))"));
  EXPECT_TRUE(cut("max(max_over_time({a=\"b\"} | unwrap x [2m]))"));
  EXPECT_FALSE(cut("label_replace(rate({a=\"b\"}[1m]), \"x\", \"$1\", \"y\", \"(.*)\")"));
  EXPECT_TRUE(cut("sum by (x) (label_replace(rate({a=\"b\"}[1m]), \"x\", \"$1\", \"y\", \"(.*)\"))"));
  EXPECT_FALSE(cut("vector(1)"));
  options_.sums_may_round = true;
  EXPECT_TRUE(cut("sum_over_time({a=\"b\"} | unwrap x [2m])"));
  partial_ = true;
  EXPECT_FALSE(cut("rate({a=\"b\"}[1m])"));
  partial_ = false;
  options_.interval_ns = 0;
  EXPECT_FALSE(cut("rate({a=\"b\"}[1m])"));
}

TEST_F(SplitPlan, LogsAreCutInTheirDirection) {
  EXPECT_EQ(plan("{a=\"b\"}", 30 * kMinute, 150 * kMinute, 0), "120-150\n60-120\n30-60\n");
  params_.direction = engine::Direction::kForward;
  EXPECT_EQ(plan("{a=\"b\"}", 30 * kMinute, 150 * kMinute, 0), "30-60\n60-120\n120-150\n");
  EXPECT_EQ(plan("{a=\"b\"}", 30 * kMinute, 90 * kMinute, 0), "");
}

TEST_F(SplitPlan, LongRangesOfInstantQueriesAreCut) {
  EXPECT_EQ(plan("sum by (x) (rate({a=\"b\"} |= \"e\" [150m] offset 10m))", 600 * kMinute, 600 * kMinute, 0),
            "600-600 sum by (x)(count_over_time({a=\"b\"} |= \"e\"[1h] offset 10m0s))\n540-540 sum by (x)(count_over_time({a=\"b\"} |= \"e\"[1h] offset 10m0s))\n"
            "480-480 sum by (x)(count_over_time({a=\"b\"} |= \"e\"[30m] offset 10m0s))\n");
  EXPECT_EQ(plan("sum(sum_over_time({a=\"b\"} | unwrap x [3h]))", kHour, kHour, 0), "");
  EXPECT_EQ(plan("max(count_over_time({a=\"b\"}[3h]))", kHour, kHour, 0), "");
  EXPECT_NE(plan("max(max_over_time({a=\"b\"} | unwrap x [3h]))", kHour, kHour, 0), "");
  EXPECT_EQ(plan("count_over_time({a=\"b\"}[1h])", kHour, kHour, 0), "");
}

TEST_F(SplitPlan, VeryLongRangesHaveABoundedNumberOfParts) {
  const logql::Query query = logql::parse("{a=\"b\"}").value();
  Subquery whole;
  whole.params.end_ns = 40'000 * kHour;
  EXPECT_LE(make_plan(query, whole, options_).parts.size(), 1026U);
  whole.params.start_ns = INT64_MIN;
  whole.params.end_ns = INT64_MAX;
  EXPECT_TRUE(make_plan(query, whole, options_).parts.empty());
}

class SplitRun : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int hour = 0; hour < 20; ++hour) {
      std::vector<Entry> entries;
      for (int i = 0; i < 60; ++i) entries.push_back({hour * kHour + i * kMinute, "line " + std::to_string(hour) + (i == 30 && hour == 3 ? " needle" : "")});
      source_.add("{app=\"web\", hour=\"" + std::to_string(hour) + "\"}", entries);
    }
    ctx_.tenant = whole_.tenant = "t";
    whole_.params.end_ns = 20 * kHour;
    whole_.params.limit = 50;
  }
  Result<engine::QueryResult> run(const std::string& text) {
    const logql::Query query = logql::parse(text).value();
    whole_.query = logql::format_line(query);
    runner_ = std::make_unique<ShufflingRunner>(changed_ ? changed_ : here_, 1);
    return run_split(ctx_, query, whole_, options_, *runner_, here_);
  }
  MemorySource source_;
  exec::Pool pool_{"split", 2};
  Evaluate here_ = [this](const CallContext& ctx, const Subquery& subquery) {
    ++here_calls_;
    return evaluate_over(source_, pool_)(ctx, subquery);
  };
  Evaluate changed_;
  int here_calls_ = 0;
  std::unique_ptr<ShufflingRunner> runner_;
  CallContext ctx_;
  Subquery whole_;
  SplitOptions options_{.interval_ns = kHour, .instant_interval_ns = kHour, .parallelism = 8};
};

TEST_F(SplitRun, LogsWithoutAFilterReadNoFurtherThanTheLimit) {
  EXPECT_EQ(run("{app=\"web\"}")->stats.entries_returned, 50U);
  EXPECT_EQ(runner_->sent, 0U);
  EXPECT_EQ(here_calls_, 1);
  whole_.params.limit = 200;
  EXPECT_EQ(run("{app=\"web\"}")->stats.entries_returned, 200U);
  EXPECT_LE(runner_->sent, 6U);   // three would do
}

TEST_F(SplitRun, RareLinesAreLookedForInManyPartsAtOnce) {
  const auto result = run("{app=\"web\"} |= \"needle\"");
  EXPECT_EQ(result->stats.entries_returned, 1U);
  EXPECT_EQ(result->stats.lines_processed, 1200U);
  EXPECT_EQ(runner_->sent, 20U);
  EXPECT_EQ(runner_->widest, 8U);
}

TEST_F(SplitRun, TooManySeriesAreCountedOverAllParts) {
  whole_.params.step_ns = kMinute;
  whole_.params.start_ns = kHour / 2;
  whole_.limits.max_series = 7;   // each part has two or three
  const auto whole = here_(ctx_, [&] { Subquery s = whole_; s.query = "rate({app=\"web\"}[5m])"; return s; }());
  const auto parts = run("rate({app=\"web\"}[5m])");
  ASSERT_FALSE(parts.ok());
  EXPECT_EQ(parts.error(), whole.error());
}

TEST_F(SplitRun, ARefusalNamesWhatTheWholeWouldRead) {
  whole_.params.step_ns = kMinute;
  changed_ = [](const CallContext&, const Subquery&) -> Result<engine::QueryResult> {
    return Error(ErrorCode::kInvalidArgument, "the query would read too many bytes (query: 1B, limit: 0B)");
  };
  EXPECT_TRUE(run("rate({app=\"web\"}[5m])").ok());   // asked again as a whole, which knows no limit here
  EXPECT_EQ(here_calls_, 1);
  changed_ = [](const CallContext&, const Subquery&) -> Result<engine::QueryResult> { return Error(ErrorCode::kInternal, "disk on fire"); };
  EXPECT_EQ(run("rate({app=\"web\"}[5m])").error(), Error(ErrorCode::kInternal, "disk on fire"));
  EXPECT_EQ(here_calls_, 1);
}

TEST_F(SplitRun, WhatPartsHoldIsCharged) {
  whole_.params.limit = 5000;
  ctx_.memory = std::make_shared<MemoryBudget>(20'000);
  changed_ = [this](const CallContext&, const Subquery& s) { return evaluate_over(source_, pool_)(CallContext{}, s); };
  EXPECT_EQ(run("{app=\"web\"} |= \"line\"").error(),
            Error(ErrorCode::kInvalidArgument, "query needs more than its memory budget of 20000 bytes; narrow the time range or the selector"));
  EXPECT_EQ(ctx_.memory->used_bytes(), 0);
}

TEST_F(SplitRun, AnAnswerOfAnotherKindIsAnError) {
  whole_.params.step_ns = kMinute;
  changed_ = [](const CallContext&, const Subquery&) -> Result<engine::QueryResult> { return engine::QueryResult{}; };
  EXPECT_EQ(run("rate({app=\"web\"}[5m])").error().code(), ErrorCode::kInternal);
}

TEST(WithRetries, WhatIsOutOfReachIsTriedAgain) {
  int calls = 0;
  const auto third_time = [&]() -> Result<engine::QueryResult> {
    if (++calls < 3) return Error(ErrorCode::kUnavailable, "restarting");
    return engine::QueryResult{};
  };
  EXPECT_TRUE(with_retries({}, 5, 1000, third_time).ok());
  EXPECT_EQ(calls, 3);
  calls = -10;
  EXPECT_EQ(with_retries({}, 2, 1000, third_time).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(calls, -7);
  calls = 0;
  EXPECT_FALSE(with_retries({}, 5, 1000, [&]() -> Result<engine::QueryResult> { return ++calls, Error(ErrorCode::kInternal, "no"); }).ok());
  EXPECT_EQ(calls, 1);
  CallContext over;
  auto cancel = std::make_shared<CancelToken>();
  cancel->cancel();
  over.cancel = cancel;
  calls = -10;
  EXPECT_FALSE(with_retries(over, 5, 1000, third_time).ok());
  EXPECT_EQ(calls, -9);
}

}  // namespace
}  // namespace skald::frontend
