#include "skald/exec/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

namespace skald::exec {
namespace {

TEST(Pool, RunsEverythingThatWasSubmittedBeforeItIsDestroyed) {
  std::atomic<int> ran{0};
  {
    Pool pool("test", 3);
    for (int i = 0; i < 1000; ++i) pool.submit([&] { ran.fetch_add(1); });
  }
  EXPECT_EQ(ran.load(), 1000);
}

TEST(Pool, ParallelForVisitsEachIndexOnce) {
  Pool pool("test", 4);
  std::vector<std::atomic<int>> visits(997);
  pool.parallel_for(visits.size(), [&](std::size_t i) { visits[i].fetch_add(1); });
  for (const auto& v : visits) ASSERT_EQ(v.load(), 1);
}

TEST(Pool, ParallelForInsideParallelForDoesNotWaitForFreeThreads) {
  Pool pool("test", 1);
  std::atomic<int> total{0};
  pool.parallel_for(8, [&](std::size_t) { pool.parallel_for(8, [&](std::size_t) { total.fetch_add(1); }); });
  EXPECT_EQ(total.load(), 64);
}

TEST(Pool, StartsNoThreadBeforeTheFirstSubmission) {
  Pool pool("test", 8);
  EXPECT_EQ(pool.queued(), 0U);
}

}  // namespace
}  // namespace skald::exec
