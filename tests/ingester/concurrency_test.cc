// Pushes, flushes, queries and tails at once. Run under ThreadSanitizer it also proves the locking.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "skald/ingester/ingester.h"
#include "skald/io/memory_file_system.h"
#include "skald/objstore/stores.h"
#include "wal/wal_fixture.h"

namespace skald::ingester {
namespace {

constexpr std::int64_t kT0 = 1'700'000'000LL * kNanosPerSecond;
const rpc::SelectRequest kEverything{{}, INT64_MIN / 2, INT64_MAX / 2};

void add_lines(const chunk::SelectResult& result, const CallContext& ctx, std::set<std::string>& out) {
  for (const auto& stream : result.streams) {
    for (const auto& slice : stream.blocks) {
      const auto columns = slice.block->load(chunk::kAllColumns, ctx);
      ASSERT_TRUE(columns.ok()) << columns.error().message();
      for (std::uint32_t row = slice.first_row; row < slice.first_row + slice.rows; ++row) out.emplace((*columns)->line(row));
    }
  }
}

TEST(IngesterConcurrency, AReaderSeesEveryEntryAcknowledgedBeforeItAsked) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  exec::Pool pool("test", 2);
  obs::Registry registry;
  FakeClock clock(kT0);
  store::Store store(*bucket, pool, registry, {});
  IngesterOptions options;
  options.wal_directory = "/wal";
  options.durability = Durability::kAlways;
  options.flush_check_ns = kNanosPerHour;
  options.memory_soft_bytes = 1ULL << 30;
  options.chunk_block_bytes = 8 << 10;
  options.chunk_target_bytes = 32 << 10;
  options.wal_segment_bytes = 64 << 10;
  CallContext ctx;
  ctx.tenant = "fake";
  std::set<std::string> acknowledged_at_the_end;
  {
    Ingester ingester(options, fs, *bucket, store, pool, registry, clock);
    ASSERT_TRUE(ingester.start().ok());
    constexpr int kWriters = 3, kPushes = 60, kLines = 40;
    std::atomic<int> acknowledged[kWriters] = {};  // pushes of each writer, in order
    std::atomic<bool> done{false};
    std::atomic<std::uint64_t> heard{0};
    auto tail = ingester.tail(ctx, {}, [&](const model::LabelsPtr&, const std::vector<rpc::TailEntry>& entries) { heard += entries.size(); });
    std::vector<std::thread> threads;
    for (int w = 0; w < kWriters; ++w) {
      threads.emplace_back([&, w] {
        for (int p = 0; p < kPushes; ++p) {
          // Each push goes to a stream of its writer and to one that all share.
          std::vector<test::StreamOfRows> parts{{{{"writer", std::to_string(w)}}, {}}, {{{"writer", "all"}}, {}}};
          for (int l = 0; l < kLines; ++l)
            parts[static_cast<std::size_t>(l % 2)].rows.push_back(
                {kT0 + (p * kLines + l) * kNanosPerMilli, std::to_string(w) + "/" + std::to_string(p) + "/" + std::to_string(l) + std::string(60, 'x')});
          std::atomic<bool> answered{false};
          ingester.push(ctx, test::make_batch("fake", parts), [&](Result<model::PushOutcome> outcome) {
            EXPECT_TRUE(outcome.ok() && outcome->refused == 0);
            acknowledged[w].store(p + 1);
            answered.store(true);
            answered.notify_one();
          });
          answered.wait(false);
        }
      });
    }
    std::thread flusher([&] {
      while (!done.load()) {
        EXPECT_TRUE(ingester.flush_all(ctx).ok());
      }
    });
    std::thread reader([&] {
      while (!done.load()) {
        int before[kWriters];
        for (int w = 0; w < kWriters; ++w) before[w] = acknowledged[w].load();
        std::set<std::string> seen;
        const auto recent = ingester.select(ctx, kEverything);
        const auto stored = store.select(ctx, kEverything);
        ASSERT_TRUE(recent.ok() && stored.ok());
        add_lines(*recent, ctx, seen);
        add_lines(*stored, ctx, seen);
        for (int w = 0; w < kWriters; ++w)
          for (int p = 0; p < before[w]; ++p)
            for (int l = 0; l < kLines; ++l)
              ASSERT_TRUE(seen.contains(std::to_string(w) + "/" + std::to_string(p) + "/" + std::to_string(l) + std::string(60, 'x')));
        (void)ingester.series(ctx, kEverything);
        (void)ingester.volumes(ctx, kEverything);
      }
    });
    for (auto& thread : threads) thread.join();
    done = true;
    flusher.join();
    reader.join();
    EXPECT_EQ(heard.load(), static_cast<std::uint64_t>(kWriters * kPushes * kLines));
    tail->reset();
    add_lines(*ingester.select(ctx, kEverything), ctx, acknowledged_at_the_end);
    add_lines(*store.select(ctx, kEverything), ctx, acknowledged_at_the_end);
    EXPECT_EQ(acknowledged_at_the_end.size(), static_cast<std::size_t>(kWriters * kPushes * kLines));
    fs.crash(0);
  }
  store::Store store_after(*bucket, pool, registry, {});
  ASSERT_TRUE(store_after.refresh(ctx).ok());
  Ingester after(options, fs, *bucket, store_after, pool, registry, clock);
  ASSERT_TRUE(after.start().ok());
  std::set<std::string> seen;
  add_lines(*after.select(ctx, kEverything), ctx, seen);
  add_lines(*store_after.select(ctx, kEverything), ctx, seen);
  EXPECT_EQ(seen, acknowledged_at_the_end);
}

}  // namespace
}  // namespace skald::ingester
