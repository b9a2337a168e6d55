#include "api/query_queue.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>

namespace skald::api {
namespace {

class QueryQueueTest : public ::testing::Test {
 protected:
  // Occupies one thread of the queue until release().
  void block(QueryQueue& queue, const std::string& tenant) {
    std::promise<void> running;
    ASSERT_TRUE(queue.submit(tenant, [this, &running](std::int64_t) {
      running.set_value();
      released_.wait();
    }));
    running.get_future().wait();
  }
  void release() { release_.set_value(); }

  FakeClock clock_;
  obs::Registry registry_;
  std::promise<void> release_;
  std::shared_future<void> released_{release_.get_future()};
  std::mutex mutex_;
  std::vector<std::string> order_;
};

TEST_F(QueryQueueTest, TenantsTakeTurns) {
  {
    QueryQueue queue(1, 100, clock_, registry_);
    block(queue, "m");
    for (const char* const name : {"a1", "a2", "a3", "b1", "z1", "z2"}) {
      const std::string text = name;
      ASSERT_TRUE(queue.submit(text.substr(0, 1), [this, text](std::int64_t) {
        const std::lock_guard lock(mutex_);
        order_.push_back(text);
      }));
    }
    release();
  }
  EXPECT_EQ(order_, (std::vector<std::string>{"z1", "a1", "b1", "z2", "a2", "a3"}));
}

TEST_F(QueryQueueTest, MoreThanAllowedWaitAndOnlyAQueueOutOfHandIsRefused) {
  std::atomic<int> ran{0};
  std::int64_t waited_ns = 0;
  {
    QueryQueue queue(1, 3, clock_, registry_);
    block(queue, "a");
    for (int i = 0; i < 3; ++i)
      EXPECT_TRUE(queue.submit("a", [&](std::int64_t queued_ns) {
        ++ran;
        waited_ns = queued_ns;
      }));
    EXPECT_FALSE(queue.submit("a", [&](std::int64_t) { ++ran; }));
    EXPECT_TRUE(queue.submit("b", [&](std::int64_t) { ++ran; })) << "another tenant's queue is another";
    EXPECT_NE(registry_.expose_text().find("loki_query_scheduler_queue_length{user=\"a\"} 3"), std::string::npos);
    EXPECT_NE(registry_.expose_text().find("loki_query_scheduler_discarded_requests_total{user=\"a\"} 1"), std::string::npos);
    clock_.advance_ns(5'000);
    release();
  }
  EXPECT_EQ(ran, 4) << "the destructor runs what waits";
  EXPECT_EQ(waited_ns, 5'000);
}

TEST_F(QueryQueueTest, SoManyRunAtOnce) {
  std::atomic<bool> fourth{false};
  QueryQueue queue(3, 100, clock_, registry_);
  block(queue, "a");
  block(queue, "a");
  block(queue, "b");   // returns only because three run at once
  ASSERT_TRUE(queue.submit("b", [&](std::int64_t) { fourth = true; }));
  EXPECT_FALSE(fourth);
  release();
}

}  // namespace
}  // namespace skald::api
