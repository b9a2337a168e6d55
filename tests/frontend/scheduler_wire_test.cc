#include "frontend/scheduler_wire.h"

#include <gtest/gtest.h>

#include "frontend/fair_queue.h"
#include "frontend/inflight_summary.h"

namespace skald::frontend {
namespace {

TEST(SchedulerWire, MessagesRoundTrip) {
  const Work work = decode_work(encode_work({UINT64_MAX, "a|b", 30'000, std::string("\0\xff", 2)})).value();
  EXPECT_EQ(work.id, UINT64_MAX);
  EXPECT_EQ(work.tenant, "a|b");
  EXPECT_EQ(work.left_ms, 30'000U);
  EXPECT_EQ(work.subquery, std::string("\0\xff", 2));
  EXPECT_EQ(decode_work(encode_work({}))->id, 0U);
  const WorkerWord word = decode_word(encode_word({"reader-1", {7, 0, UINT64_MAX}})).value();
  EXPECT_EQ(word.worker, "reader-1");
  EXPECT_EQ(word.ids, (std::vector<std::uint64_t>{7, 0, UINT64_MAX}));
  const WorkDone done = decode_done(encode_done({9, "result"})).value();
  EXPECT_EQ(done.id, 9U);
  EXPECT_EQ(done.result, "result");
  EXPECT_FALSE(decode_word(encode_word({"w", std::vector<std::uint64_t>(kWorkIdsMax + 1)})).ok());
}

TEST(SchedulerWire, DamagedMessagesAreNoticedOrHarmless) {
  const std::vector<Bytes> messages{encode_work({5, "tenant", 3, "subquery"}), encode_word({"reader-1", {7, 8}}), encode_done({9, "result"})};
  for (const Bytes& good : messages) {
    for (std::size_t keep = 0; keep < good.size(); ++keep) {
      const ByteView cut = ByteView(good).substr(0, keep);
      EXPECT_FALSE(decode_work(cut).ok());
      EXPECT_FALSE(decode_word(cut).ok());
      EXPECT_FALSE(decode_done(cut).ok());
    }
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      Bytes bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      (void)decode_work(bad);
      (void)decode_word(bad);
      (void)decode_done(bad);
    }
  }
}

TEST(FairQueue, TenantsTakeTurns) {
  FairQueue<int> queue;
  for (const int item : {1, 2, 3, 4}) queue.push_back("busy", item);
  queue.push_back("calm", 10);
  queue.push_back("zen", 20);
  queue.push_back("zen", 21);
  queue.remove("busy", 3);
  queue.push_front("busy", 0);
  EXPECT_EQ(queue.size(), 7U);
  EXPECT_EQ(queue.size_of("busy"), 4U);
  std::vector<int> order;
  while (const std::optional<int> item = queue.pop()) order.push_back(*item);
  EXPECT_EQ(order, (std::vector<int>{0, 10, 20, 1, 21, 2, 4}));
  EXPECT_EQ(queue.size(), 0U);
  EXPECT_EQ(queue.size_of("busy"), 0U);
  queue.remove("busy", 4);
}

TEST(InflightSummary, QuantilesAreOfTheLastMinute) {
  obs::Registry registry;
  InflightSummary summary(registry);
  for (std::size_t i = 0; i < 1000; ++i) summary.sample(1'000'000);
  for (std::size_t i = 0; i < InflightSummary::kSamples; ++i) summary.sample(i < 180 ? 4 : 40);
  const std::string text = registry.expose_text();
  EXPECT_NE(text.find("loki_query_scheduler_inflight_requests{quantile=\"0.5\"} 4\n"), std::string::npos) << text;
  EXPECT_NE(text.find("loki_query_scheduler_inflight_requests{quantile=\"0.75\"} 40\n"), std::string::npos);
  EXPECT_NE(text.find("loki_query_scheduler_inflight_requests{quantile=\"0.99\"} 40\n"), std::string::npos);
}

}  // namespace
}  // namespace skald::frontend
