#include "compactor/retention.h"

#include <gtest/gtest.h>

#include "compactor/world.h"

namespace skald::compactor {
namespace {

using namespace testing;

constexpr std::int64_t kDayNs = kNanosPerDay;

std::int64_t period(const config::Limits& limits, const std::string& app) {
  return RetentionRules::make("t", limits).period_ns(stream(app)->labels);
}

TEST(RetentionRules, HighestPriorityWinsThenTheShortestPeriodThenTheDefault) {
  config::Limits limits;
  EXPECT_TRUE(RetentionRules::make("t", limits).keeps_everything());
  limits.retention_period = 30 * kDayNs;
  limits.retention_stream = {{.selector = R"({env="prod"})", .priority = 1, .period = 20 * kDayNs},
                             {.selector = R"({app=~"web.*"})", .priority = 2, .period = 40 * kDayNs},
                             {.selector = R"({app="web-2"})", .priority = 2, .period = 3 * kDayNs},
                             {.selector = R"({app="other", env!="prod"})", .priority = 9, .period = 1 * kDayNs}};
  EXPECT_EQ(period(limits, "x"), 20 * kDayNs);
  EXPECT_EQ(period(limits, "web-1"), 40 * kDayNs);
  EXPECT_EQ(period(limits, "web-2"), 3 * kDayNs);
  EXPECT_EQ(period(limits, "other"), 20 * kDayNs);
  EXPECT_EQ(RetentionRules::make("t", limits).period_ns(stream("x", "dev")->labels), 30 * kDayNs);
  EXPECT_EQ(RetentionRules::make("t", limits).longest_ns(), 40 * kDayNs);
  limits.retention_period = 0;
  EXPECT_EQ(RetentionRules::make("t", limits).longest_ns(), 0) << "some streams are kept for ever";
  EXPECT_EQ(RetentionRules::make("t", limits).period_ns(stream("x", "dev")->labels), 0);
}

TEST(RetentionRules, ASelectorThatIsNotUnderstoodDeletesNothing) {
  config::Limits limits;
  limits.retention_period = kDayNs;
  limits.retention_stream = {{.selector = "{broken", .priority = 1, .period = kDayNs}};
  EXPECT_TRUE(RetentionRules::make("t", limits).keeps_everything());
}

class Retention : public ::testing::Test {
 protected:
  Retention() { world.options.retention_enabled = true; }
  // Requests for chunk objects since the last call.
  std::uint64_t chunk_gets() { return std::exchange(gets, 0); }

  class Counting final : public objstore::ObjectStore {
   public:
    Counting(objstore::ObjectStore& inner, std::uint64_t& gets) : inner_(inner), gets_(gets) {}
    Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return inner_.put(key, body, ctx); }
    Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return inner_.create(key, body, ctx); }
    Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override {
      gets_ += key.find("/chunks/") != std::string_view::npos;
      return inner_.get(key, range, ctx);
    }
    Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override { return inner_.list(prefix, next, depth, ctx); }
    Result<void> remove(std::string_view key, const CallContext& ctx) override { return inner_.remove(key, ctx); }

   private:
    objstore::ObjectStore& inner_;
    std::uint64_t& gets_;
  };
  RunReport run() {
    Counting counting(*world.bucket, gets);
    const RunReport report = world.run(counting);
    EXPECT_TRUE(report.errors.empty()) << report.errors.front();
    return report;
  }
  World world;
  std::uint64_t gets = 0;
};

TEST_F(Retention, WholeDaysGoWithoutAChunkBeingRead) {
  for (int i = 0; i < 3; ++i) world.put({{stream("a"), rows_at(kShard + i * kNanosPerMinute, 10, "x")}});
  world.put({{stream("a"), rows_at(kShard + kDayNs, 10, "young")}});
  world.run_clean();
  const Contents before = read_all(*world.bucket, "t").contents;
  world.limits.limits->retention_period = 10 * kDayNs;
  world.clock.set_ns(kShard + 10 * kDayNs);
  chunk_gets();
  RunReport report = run();
  EXPECT_EQ(report.chunks_expired, 0U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, before);
  world.clock.set_ns(kShard + 10 * kDayNs + 3 * kNanosPerHour);
  report = run();
  EXPECT_GT(report.chunks_expired, 0U);
  EXPECT_EQ(chunk_gets(), 0U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents.begin()->second.size(), 10U) << "the younger day's";
  world.clock.advance_ns(kNanosPerHour + 1);
  EXPECT_GT(run().objects_deleted, 0U);
  EXPECT_EQ(list_keys(*world.bucket, "t/chunks/").size(), 1U);
  // The empty day itself goes once nobody can list its chunks again.
  world.clock.advance_ns(25 * kNanosPerHour);
  world.limits.limits->retention_period = 100 * kDayNs;
  run();
  world.clock.advance_ns(3 * kNanosPerHour);
  EXPECT_EQ(run().days_removed, 1U);
  EXPECT_TRUE(list_keys(*world.bucket, "t/index/index_" + std::to_string(kDay) + "/").empty());
  EXPECT_EQ(read_all(*world.bucket, "t").contents.begin()->second.size(), 10U);
}

TEST_F(Retention, GoesByStreamAndRewritesObjectsThatAreMostlyDead) {
  std::vector<StreamOf> streams;
  for (int i = 0; i < 4; ++i) streams.push_back({stream("debug" + std::to_string(i)), rows_at(kShard, 500, std::string(100, 'd') + std::to_string(i * 104'729))});
  streams.push_back({stream("audit"), rows_at(kShard, 300, "keep")});
  world.put(streams);
  world.limits.limits->retention_stream = {{.selector = R"({app=~"debug.*"})", .priority = 1, .period = 2 * kDayNs}};
  world.clock.set_ns(kShard + 2 * kDayNs + 2 * kNanosPerHour);
  Contents before = read_all(*world.bucket, "t").contents;
  const RunReport report = run();
  EXPECT_EQ(report.chunks_expired, 4U);
  const Snapshot after = read_all(*world.bucket, "t");
  EXPECT_EQ(after.contents.size(), 1U);
  EXPECT_EQ(after.contents.begin()->second, before.at(stream("audit")->text));
  world.clock.advance_ns(2 * kNanosPerHour);
  run();
  run();
  world.clock.advance_ns(2 * kNanosPerHour);
  run();
  const auto objects = list_keys(*world.bucket, "t/chunks/");
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_EQ(objects, read_all(*world.bucket, "t").object_keys);
  EXPECT_EQ(world.bucket->get(*objects.begin(), {}, world.ctx)->find("ddddd"), std::string::npos);
  EXPECT_EQ(chunk::open_object_tail(*world.bucket->get(*objects.begin(), {}, world.ctx), world.bucket->get(*objects.begin(), {}, world.ctx)->size())->labels.size(), 1U);
  verify_objects(*world.bucket, "t");
}

TEST_F(Retention, IsOffUnlessEnabled) {
  world.options.retention_enabled = false;
  world.limits.limits->retention_period = kDayNs;
  world.put({{stream("a"), rows_at(kShard, 10, "x")}});
  world.clock.set_ns(kShard + 100 * kDayNs);
  EXPECT_EQ(run().chunks_expired, 0U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents.size(), 1U);
}

TEST_F(Retention, ADayIsOpenedWhenItsOldestStreamExpiresOrTheRulesChange) {
  world.put({{stream("a"), rows_at(kShard, 10, "x")}});
  world.clock.set_ns(kShard + 2 * kDayNs);
  world.limits.limits->retention_period = 5 * kDayNs;
  const auto compactor = world.make(*world.bucket);
  EXPECT_EQ(compactor->run_once(world.ctx)->days_opened, 1U);
  world.clock.set_ns(kShard + 2 * kDayNs + kNanosPerHour);
  EXPECT_EQ(compactor->run_once(world.ctx)->days_opened, 0U);
  world.limits.limits->retention_period = 6 * kDayNs;
  EXPECT_EQ(compactor->run_once(world.ctx)->days_opened, 1U);
  EXPECT_EQ(compactor->run_once(world.ctx)->days_opened, 0U);
  world.clock.set_ns(kShard + 6 * kDayNs + 10 * kNanosPerSecond);
  EXPECT_EQ(compactor->run_once(world.ctx)->chunks_expired, 1U);
}

}  // namespace
}  // namespace skald::compactor
