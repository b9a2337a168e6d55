#include <gtest/gtest.h>

#include <thread>

#include "distributor/fakes.h"

namespace skald::distributor::testing {
namespace {

class CountingIngester final : public rpc::IngesterClient {
 public:
  void push(const CallContext&, std::shared_ptr<const model::PushBatch> batch,
            std::function<void(Result<model::PushOutcome>)> done) override {
    rows += batch->entries.size();
    done(model::PushOutcome{});
  }
  Result<chunk::SelectResult> select(const CallContext&, const rpc::SelectRequest&) override { return unused(); }
  Result<std::vector<model::LabelsPtr>> series(const CallContext&, const rpc::SelectRequest&) override { return unused(); }
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext&, const rpc::SelectRequest&) override { return unused(); }
  Result<std::shared_ptr<void>> tail(const CallContext&, std::vector<model::Matcher>, rpc::TailSink) override { return unused(); }
  std::atomic<std::uint64_t> rows{0};

 private:
  static Error unused() { return Error(ErrorCode::kUnimplemented, "not part of this test"); }
};

TEST(Threads, PushesShareTheCacheAndTheCounters) {
  constexpr int kThreads = 4, kPushes = 300;
  CountingIngester ingester;
  FakeLimits limits;
  limits.change([](config::Limits& l) { l.ingestion_rate_mb = l.ingestion_burst_size_mb = 1000; });
  obs::Registry registry;
  FakeClock clock(kNow);
  DistributorOptions options;
  options.label_cache_bytes = 64 << 10;  // small: evictions happen
  Distributor distributor(ingester, limits, registry, clock, options);
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPushes; ++i) {
        CallContext ctx;
        ctx.tenant = "t" + std::to_string(i % 3);
        const std::string labels = "{app=\"" + std::to_string((i * 7 + t) % 97) + "\"}";
        auto body = std::make_shared<const std::string>(snappy(proto_stream(labels, {{kNow, "a"}, {kNow + 1, "b"}})));
        distributor.push(ctx, {PushFormat::kLokiProtobuf, body, "", ""}, [&](Result<void> r) { if (!r.ok()) ++failures; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(ingester.rows, 2u * kThreads * kPushes);
  std::uint64_t counted = 0;
  for (const char* tenant : {"t0", "t1", "t2"})
    counted += static_cast<std::uint64_t>(
        registry.counter_family("loki_distributor_lines_received_total", "Lines received per tenant.",
                                {"tenant", "is_internal_stream", "policy", "format"})
            .with({tenant, "false", "", "loki"}).value());
  EXPECT_EQ(counted, ingester.rows);
}

}  // namespace
}  // namespace skald::distributor::testing
