// What ends a query early: its memory budget, its deadline, its client.
#include <thread>

#include "engine/charge.h"
#include "eval_fixture.h"

namespace skald::engine::testing {
namespace {

class Bounds : public EvalTest {
 protected:
  Result<QueryResult> run_in(const CallContext& ctx, const std::string& text, std::uint32_t limit = 5000) {
    QueryParams params;
    params.end_ns = 100'000 * kSecond;
    params.step_ns = 100 * kSecond;
    params.limit = limit;
    Engine engine(source_, pool_);
    return engine.run(ctx, *logql::parse(text), params, limits_);
  }
  static CallContext with_budget(std::int64_t bytes) {
    CallContext ctx;
    ctx.memory = std::make_shared<MemoryBudget>(bytes);
    return ctx;
  }
  void add_rows(int count, std::size_t line_bytes) {
    std::vector<Entry> entries;
    for (int i = 0; i < count; ++i) entries.push_back({i * kSecond, "id=" + std::to_string(i) + " " + std::string(line_bytes, 'x')});
    source_.add(R"({app="a"})", std::move(entries), 1, 500);
  }
};

TEST_F(Bounds, LinesOfALogQueryCount) {
  add_rows(4000, 1000);   // 4 MB
  const CallContext small = with_budget(1 << 20), large = with_budget(64 << 20);
  const auto refused = run_in(small, R"({app="a"})");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused.error().message(), "query needs more than its memory budget of 1048576 bytes; narrow the time range or the selector");
  ASSERT_TRUE(run_in(large, R"({app="a"})").ok());
  EXPECT_TRUE(run_in(small, R"({app="a"})", 100).ok()) << "what is not returned is not held";
  EXPECT_EQ(small.memory->used_bytes(), 0);
  EXPECT_EQ(large.memory->used_bytes(), 0);
}

TEST_F(Bounds, SeriesAndTheirLabelsCount) {
  limits_.max_series = 1'000'000;
  add_rows(6'000, 10);
  const CallContext small = with_budget(1 << 18), large = with_budget(256 << 20);
  for (const char* query : {R"(sum by (id) (count_over_time({app="a"} | logfmt [1m])))", R"(count_over_time({app="a"} | logfmt [1m]))",
                            R"(max by (app) (max_over_time({app="a"} | logfmt | label_format n=`{{.id}}` | unwrap id [10m])))"}) {
    EXPECT_FALSE(run_in(small, query).ok()) << query;
    EXPECT_TRUE(run_in(large, query).ok()) << query;
    EXPECT_EQ(small.memory->used_bytes(), 0) << query;
    EXPECT_EQ(large.memory->used_bytes(), 0) << query;
  }
}

TEST_F(Bounds, SamplesOfAQuantileCount) {
  add_rows(100'000, 1);
  const CallContext small = with_budget(1 << 20), large = with_budget(64 << 20);
  const char* const query = R"(quantile_over_time(0.5, {app="a"} | logfmt | unwrap id [10m]) by (app))";
  EXPECT_FALSE(run_in(small, query).ok());
  EXPECT_TRUE(run_in(large, query).ok());
  EXPECT_EQ(small.memory->used_bytes(), 0);
}

TEST_F(Bounds, WideWindowsAtManyStepsCanBeCutOff) {
  // Counts how often it is asked, and cancels once all blocks are read.
  class CancellingClock final : public Clock {
   public:
    explicit CancellingClock(CancelToken& token) : token_(token) {}
    std::int64_t now_ns() const override { return 0; }
    std::int64_t monotonic_ns() const override {
      if (++asked == 300) token_.cancel();
      return 0;
    }
    mutable std::atomic<int> asked{0};

   private:
    CancelToken& token_;
  };
  add_rows(100'000, 1);   // 200 blocks; 1,000 steps of up to 86,400 samples
  const auto token = std::make_shared<CancelToken>();
  const CancellingClock clock(*token);
  CallContext ctx;
  ctx.cancel = token;
  ctx.clock = &clock;
  EXPECT_EQ(run_in(ctx, R"(quantile_over_time(0.5, {app="a"} | logfmt | unwrap id [1d]) by (app))").error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(clock.asked, 300) << "and looked no further";
}

TEST_F(Bounds, FewSeriesNeedLittle) {
  add_rows(20'000, 100);   // 2 MB of lines, none of them kept
  EXPECT_TRUE(run_in(with_budget(1 << 20), R"(sum(count_over_time({app="a"} |= "x" [1m])))").ok());
}

TEST(ChargeTest, GivesBackWhatItHolds) {
  CallContext ctx;
  ctx.memory = std::make_shared<MemoryBudget>(1 << 20);
  {
    Charge one(ctx), other(ctx);
    ASSERT_TRUE(one.hold(500 << 10).ok());
    ASSERT_TRUE(other.hold(400 << 10).ok());
    EXPECT_FALSE(other.hold(600 << 10).ok());
    EXPECT_EQ(ctx.memory->used_bytes(), (512 + 448) << 10) << "a refusal changes nothing";
    ASSERT_TRUE(one.hold(10).ok());
    EXPECT_TRUE(other.hold(600 << 10).ok());
    Charge moved(std::move(other));
    one = std::move(moved);
    EXPECT_EQ(ctx.memory->used_bytes(), 640 << 10);
  }
  EXPECT_EQ(ctx.memory->used_bytes(), 0);
  EXPECT_TRUE(Charge().hold(1ULL << 60).ok());
}

// A block that takes as long as somebody waits for it: until the query is cut off.
class SlowBlock final : public chunk::Block {
 public:
  explicit SlowBlock(std::atomic<int>& started) : started_(started) {}
  Result<std::shared_ptr<const chunk::Columns>> load(chunk::ColumnMask, const CallContext& ctx) const override {
    ++started_;
    while (true) {
      SKALD_TRY_VOID(ctx.check());
      std::this_thread::yield();
    }
  }

 private:
  std::atomic<int>& started_;
};

class SlowSource final : public Source {
 public:
  Result<chunk::SelectResult> select(const CallContext&, const rpc::SelectRequest&) override {
    chunk::SelectResult result;
    chunk::StreamData stream;
    stream.labels = model::intern(model::Labels::from_pairs({{"app", "a"}}));
    for (int i = 0; i < 1000; ++i) {
      chunk::BlockSlice slice;
      slice.block = std::make_shared<SlowBlock>(started);
      slice.rows = 1000;
      slice.min_ts_ns = i * 1'000'000'000LL;
      slice.max_ts_ns = slice.min_ts_ns + 999'999'999;
      slice.source_id = 1;
      stream.blocks.push_back(std::move(slice));
    }
    result.streams.push_back(std::move(stream));
    return result;
  }
  std::atomic<int> started{0};
};

class CutOff : public ::testing::TestWithParam<const char*> {
 protected:
  SlowSource source_;
  exec::Pool pool_{"test", 3};
  Result<QueryResult> run(const CallContext& ctx) {
    QueryParams params;
    params.end_ns = 1000'000'000'000;
    params.step_ns = 10'000'000'000;
    Engine engine(source_, pool_);
    return engine.run(ctx, *logql::parse(GetParam()), params, {});
  }
};

TEST_P(CutOff, AClientThatGoesAwayFreesTheWorkers) {
  const auto cancel = std::make_shared<CancelToken>();
  CallContext ctx;
  ctx.cancel = cancel;
  std::thread client([&] {
    while (source_.started == 0) std::this_thread::yield();
    cancel->cancel();
  });
  const auto result = run(ctx);
  client.join();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::kCancelled);
  EXPECT_LE(source_.started, 4) << "nobody starts another block";
}

TEST_P(CutOff, ADeadlineFreesTheWorkers) {
  FakeClock clock(0);
  CallContext ctx;
  ctx.clock = &clock;
  ctx.deadline_monotonic_ns = clock.monotonic_ns() + 1000;
  std::thread time([&] {
    while (source_.started == 0) std::this_thread::yield();
    clock.advance_ns(2000);
  });
  const auto result = run(ctx);
  time.join();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_LE(source_.started, 4);
}

INSTANTIATE_TEST_SUITE_P(Queries, CutOff,
                         ::testing::Values(R"({app="a"} |= "x")", R"(count_over_time({app="a"} |= "x" [10s]))", R"(sum(rate({app="a"}[7s])))",
                                           R"(sum(count_over_time({app="a"} |= "x" [10s])) / sum(count_over_time({app="a"}[10s])))"));

}  // namespace
}  // namespace skald::engine::testing
