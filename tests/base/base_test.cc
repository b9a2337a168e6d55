#include <gtest/gtest.h>

#include <memory>

#include "skald/base/context.h"
#include "skald/base/random.h"
#include "skald/base/result.h"

namespace skald {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error(ErrorCode::kInvalidArgument, "odd");
  return n / 2;
}
Result<int> quarter(int n) {
  SKALD_TRY(const int h, half(n));
  return half(h);
}

TEST(Result, TryReturnsTheErrorUpwards) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().message(), "odd");
}

TEST(Result, HoldsMoveOnlyValues) {
  Result<std::unique_ptr<int>> r = std::make_unique<int>(7);
  EXPECT_EQ(*std::move(r).value(), 7);
}

TEST(Ulid, TextRoundTripsAndSortsByTime) {
  SeededRandom random(1);
  const Ulid a = Ulid::make(1'700'000'000'000'000'000, random);
  const Ulid b = Ulid::make(1'700'000'000'001'000'000, random);
  EXPECT_EQ(*Ulid::parse(a.to_string()), a);
  EXPECT_LT(a.to_string(), b.to_string());
  EXPECT_LT(a, b);
  EXPECT_FALSE(Ulid::parse("8ZZZZZZZZZZZZZZZZZZZZZZZZZ").ok());
  EXPECT_FALSE(Ulid::parse("0123456789ABCDEFGHJKMNPQRU").ok());
}

TEST(CallContext, ReportsCancellationAndDeadline) {
  FakeClock clock(0);
  CallContext ctx;
  ctx.clock = &clock;
  ctx.deadline_monotonic_ns = 10;
  EXPECT_TRUE(ctx.check().ok());
  clock.advance_ns(11);
  EXPECT_EQ(ctx.check().error().code(), ErrorCode::kDeadlineExceeded);
  auto token = std::make_shared<CancelToken>();
  ctx.cancel = token;
  token->cancel();
  EXPECT_EQ(ctx.check().error().code(), ErrorCode::kCancelled);
}

TEST(MemoryBudget, RefusesWhatWouldPassTheCeilingAndTakesNothing) {
  MemoryBudget budget(100);
  EXPECT_TRUE(budget.take(60).ok());
  EXPECT_FALSE(budget.take(41).ok());
  EXPECT_EQ(budget.used_bytes(), 60);
  budget.give_back(60);
  EXPECT_TRUE(budget.take(100).ok());
}

}  // namespace
}  // namespace skald
