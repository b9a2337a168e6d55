#include "skald/compactor/delete_requests.h"

#include <gtest/gtest.h>

#include "skald/objstore/stores.h"

namespace skald::compactor {
namespace {

class DeleteStoreTest : public ::testing::Test {
 protected:
  DeleteStoreTest() { ctx.tenant = "t"; }
  std::unique_ptr<objstore::ObjectStore> objects = objstore::make_memory_store();
  FakeClock clock;
  SeededRandom random{1};
  CallContext ctx;
};

TEST_F(DeleteStoreTest, RequestsSurviveARestart) {
  DeleteStore store(*objects, clock, random, kNanosPerDay);
  const auto id = store.add(ctx, "{app=\"x\"} |= \"secret\nline\"", 100, 200);
  ASSERT_FALSE(id.ok());   // a quoted string may not hold a line break
  const auto good = store.add(ctx, "{app=\"x\"} |= `secret`", 100, 200);
  ASSERT_TRUE(good.ok()) << good.error().message();
  EXPECT_EQ(good->size(), 8U);
  DeleteStore again(*objects, clock, random, kNanosPerDay);
  ASSERT_TRUE(again.load(ctx, {"t", "other"}).ok());
  const auto requests = again.of("t");
  ASSERT_EQ(requests->size(), 1U);
  EXPECT_EQ(requests->at(0)->id, *good);
  EXPECT_EQ(requests->at(0)->query, "{app=\"x\"} |= `secret`");
  EXPECT_EQ(requests->at(0)->selector.stages.size(), 1U);
  EXPECT_TRUE(again.of("other")->empty());
}

TEST_F(DeleteStoreTest, CancelWorksUntilThePeriodIsOver) {
  DeleteStore store(*objects, clock, random, kNanosPerDay);
  const std::string first = *store.add(ctx, "{app=\"x\"}", 100, 200);
  const std::string second = *store.add(ctx, "{app=\"y\"}", 100, 200);
  EXPECT_TRUE(store.cancel(ctx, first, false).ok());
  EXPECT_EQ(store.cancel(ctx, first, false).error().code(), ErrorCode::kNotFound);
  clock.advance_ns(kNanosPerDay + 1);
  EXPECT_EQ(store.cancel(ctx, second, false).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(store.cancel(ctx, second, true).ok());
  EXPECT_TRUE(store.of("t")->empty());
}

TEST_F(DeleteStoreTest, MetricQueriesAndNonsenseAreRefused) {
  EXPECT_FALSE(parse_delete_query("rate({app=\"x\"}[5m])").ok());
  EXPECT_FALSE(parse_delete_query("{app=").ok());
  EXPECT_TRUE(parse_delete_query("{ }").ok());
}

TEST_F(DeleteStoreTest, UnreadableRequestIsAnErrorThatNamesItsKey) {
  ASSERT_TRUE(objects->put("t/deletes/0123abcd", "garbage", ctx).ok());
  DeleteStore store(*objects, clock, random, kNanosPerDay);
  const auto loaded = store.load(ctx, {"t"});
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.error().message().find("t/deletes/0123abcd"), std::string::npos);
}

}  // namespace
}  // namespace skald::compactor
