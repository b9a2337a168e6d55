#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "ingester/process.h"
#include "skald/io/fault_file_system.h"

namespace skald::ingester {
namespace {

using namespace testing;

const std::vector<model::Label> kApp{{"app", "web"}};

TEST(Ingester, WhatWasPushedCanBeReadAtOnceSortedByTime) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  Process process(fs, *bucket);
  ASSERT_TRUE(process.start().ok());
  auto batch = make_batch("fake", {{kApp, {{kT0 + 5, "b"}, {kT0, "a", model::Level::kError, {{"pod", "x"}}}, {kT0 + 5, "c"}, {kT0 + 5, "b"}}}});
  const auto outcome = process.push(batch);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->accepted, 4u);
  const auto rows = read_all(process);
  ASSERT_EQ(rows.size(), 3u);  // the repeated "b" is one entry
  EXPECT_EQ(rows[0], "{app=\"web\"} " + std::to_string(kT0) + " a 6 pod=x");
  EXPECT_TRUE(read_all(process, "other").empty());
  EXPECT_EQ(process.ingester.stream_count("fake"), 1u);
  EXPECT_EQ(process.registry.gauge_family("loki_ingester_memory_streams", "", {"tenant"}).with({"fake"}).value(), 1);
}

TEST(Ingester, SelectsByMatcherAndTime) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  Process process(fs, *bucket);
  ASSERT_TRUE(process.start().ok());
  ASSERT_TRUE(process.push(make_batch("fake", {{{{"app", "a"}}, {{kT0, "1"}, {kT0 + 10, "2"}}}, {{{"app", "b"}}, {{kT0 + 100, "3"}}}})).ok());
  rpc::SelectRequest request{{model::Matcher::make(model::MatchType::kEqual, "app", "a").value()}, kT0 + 10, kT0 + 50};
  EXPECT_EQ(read_all(process, "fake", request).size(), 1u);
  const auto ctx = Process::context();
  EXPECT_EQ(process.ingester.series(ctx, request)->size(), 1u);
  request.matchers.clear();
  EXPECT_EQ(process.ingester.series(ctx, request)->size(), 1u);  // b has nothing in the range
  request.end_ns = kT0 + 100;
  EXPECT_EQ(process.ingester.series(ctx, request)->size(), 2u);
  const auto volumes = process.ingester.volumes(ctx, kEverything);
  ASSERT_EQ(volumes->size(), 2u);
  EXPECT_EQ((*volumes)[0].entries + (*volumes)[1].entries, 3u);
  EXPECT_EQ((*volumes)[0].bytes + (*volumes)[1].bytes, 3u);
}

TEST(Ingester, RefusesWhatIsTooFarBehindInLokisWords) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  Process process(fs, *bucket);
  ASSERT_TRUE(process.start().ok());
  const std::int64_t base = 1'767'229'200LL * kNanosPerSecond;  // 2026-01-01T01:00:00Z
  ASSERT_TRUE(process.push(make_batch("fake", {{kApp, {{base + kNanosPerHour, "new"}}}})).ok());
  const auto outcome = process.push(make_batch("fake", {{kApp, {{base - kNanosPerHour, "old"}, {base, "edge"}}}}));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->accepted, 1u);
  EXPECT_EQ(outcome->refused, 1u);
  ASSERT_TRUE(outcome->error.has_value());
  EXPECT_EQ(outcome->error->code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(outcome->error->message(),
            "entry with timestamp 2026-01-01 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2026-01-01T00:00:00Z, "
            "oldest acceptable timestamp is: 2026-01-01T01:00:00Z',\nuser 'fake', total ignored: 1 out of 2 for stream: {app=\"web\"}");
  EXPECT_EQ(read_all(process).size(), 2u);
}

TEST(Ingester, LimitsStreamsAndStreamRate) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  auto options = test_options();
  options.limits = [](const std::string&) { return TenantLimits{1, 1024, 1500, true}; };
  Process process(fs, *bucket, options);
  ASSERT_TRUE(process.start().ok());
  const auto outcome = process.push(make_batch("fake", {{kApp, {{kT0, std::string(1500, 'x')}, {kT0 + 1, std::string(1500, 'y')}}}, {{{"app", "b"}}, {{kT0, "l"}}}}));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->accepted, 1u);
  EXPECT_EQ(outcome->refused, 2u);
  EXPECT_EQ(outcome->error->code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(outcome->error->message().find("maximum active stream limit exceeded when trying to create stream {app=\"b\"}, reduce"), 0u);
  const auto slow = process.push(make_batch("fake", {{kApp, {{kT0 + 2, std::string(1500, 'z')}}}}));
  EXPECT_NE(slow->error->message().find("Per stream rate limit exceeded (limit: 1KB/sec) while attempting to ingest for stream '{app=\"web\"}' totaling 1500B,"),
            std::string::npos)
      << slow->error->message();
  process.clock.advance_ns(2 * kNanosPerSecond);
  EXPECT_EQ(process.push(make_batch("fake", {{kApp, {{kT0 + 2, std::string(1500, 'z')}}}}))->accepted, 1u);
}

TEST(Ingester, RestartAfterPowerLossFindsEveryAcknowledgedEntryOnce) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    io::MemoryFileSystem fs;
    const auto bucket = objstore::make_memory_store();
    SeededRandom random(seed + 100);
    std::set<std::string> expected;
    for (int life = 0; life < 3; ++life) {
      Process process(fs, *bucket);
      ASSERT_TRUE(process.start().ok());
      ASSERT_EQ(as_set(read_all(process)), expected) << "seed " << seed << " life " << life;
      for (std::uint64_t i = 0, n = random.next_u64() % 12; i < n; ++i) {
        const auto batch = random_batch(random);
        const auto outcome = process.push(batch);
        ASSERT_TRUE(outcome.ok() && outcome->refused == 0);
        expect_rows(*batch, expected);
        if (random.next_u64() % 6 == 0) {
          ASSERT_TRUE(process.ingester.flush_all(Process::context()).ok());
        }
      }
      fs.crash(seed);
    }
  }
}

TEST(Ingester, FlushMovesEntriesToTheStoreWithoutGapOrDouble) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  Process process(fs, *bucket);
  ASSERT_TRUE(process.start().ok());
  SeededRandom random(5);
  std::set<std::string> expected;
  for (int i = 0; i < 100; ++i) {
    const auto batch = random_batch(random, 30);
    ASSERT_TRUE(process.push(batch).ok());
    expect_rows(*batch, expected);
  }
  const auto before = read_all(process);
  ASSERT_EQ(as_set(before), expected);
  ASSERT_TRUE(process.ingester.flush_all(Process::context()).ok());
  EXPECT_TRUE(process.ingester.select(Process::context(), kEverything)->streams.empty());
  EXPECT_EQ(read_all(process), std::vector<std::string>(expected.begin(), expected.end()));
  EXPECT_EQ(process.store.pending_count(), 0u);
  EXPECT_EQ(process.registry.gauge("loki_ingester_memory_chunks", "").value(), 0);
  EXPECT_TRUE(fs.list("/wal")->empty());
}

TEST(Ingester, LargeStreamsAreCutIntoBlocksAndChunks) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  auto options = test_options();
  options.chunk_block_bytes = 20'000;
  options.chunk_target_bytes = 60'000;
  Process process(fs, *bucket, options);
  ASSERT_TRUE(process.start().ok());
  SeededRandom random(9);
  std::set<std::string> expected;
  std::int64_t ts = chunk::time_shard_start(kT0) + chunk::kTimeShardNs - 400 * kNanosPerSecond;  // crosses a shard edge
  for (int i = 0; i < 120; ++i) {
    StreamOfRows part{kApp, {}};
    for (int r = 0; r < 50; ++r) {
      ts += kNanosPerSecond / 10;
      const std::int64_t jitter = random.next_u64() % 10 == 0 ? static_cast<std::int64_t>(random.next_u64() % 60) * kNanosPerSecond : 0;
      part.rows.push_back({ts - jitter, "request " + std::to_string(random.next_u64()) + std::string(80, static_cast<char>('a' + r % 26)), model::Level::kInfo});
    }
    const auto batch = make_batch("fake", {part});
    ASSERT_EQ(process.push(batch)->refused, 0u);
    expect_rows(*batch, expected);
    if (i % 40 == 0) {
      ASSERT_EQ(as_set(read_all(process)), expected);
    }
  }
  ASSERT_EQ(as_set(read_all(process)), expected);
  ASSERT_TRUE(process.ingester.flush_all(Process::context()).ok());
  EXPECT_EQ(as_set(read_all(process)), expected);
  EXPECT_EQ(read_all(process).size(), expected.size());
}

// Every object put fails once, at each position, then the process dies and restarts.
TEST(Ingester, WhicheverPutFailsNothingIsLostAndTheNextFlushSucceeds) {
  for (std::uint64_t n = 1;; ++n) {
    ASSERT_LT(n, 50u);
    io::MemoryFileSystem fs;
    const auto bucket = objstore::make_memory_store();
    std::set<std::string> expected;
    bool fired = false;
    {
      Process process(fs, *bucket);
      ASSERT_TRUE(process.start().ok());
      SeededRandom random(n);
      for (int i = 0; i < 10; ++i) {
        const auto batch = random_batch(random);
        ASSERT_TRUE(process.push(batch).ok());
        expect_rows(*batch, expected);
      }
      process.objects.fail_at = n;
      const auto flushed = process.ingester.flush_all(Process::context());
      fired = process.objects.fired.load();
      EXPECT_EQ(flushed.ok(), !fired);
      ASSERT_EQ(as_set(read_all(process)), expected);
      fs.crash(n);
    }
    Process process(fs, *bucket);
    ASSERT_TRUE(process.start().ok());
    ASSERT_EQ(as_set(read_all(process)), expected) << "put " << n;
    ASSERT_TRUE(process.ingester.flush_all(Process::context()).ok());
    ASSERT_EQ(as_set(read_all(process)), expected) << "put " << n;
    if (!fired) break;
  }
}

// Every file operation of push, flush, shipping and trimming fails once; power is lost; nothing acknowledged is missing.
TEST(Ingester, WhicheverFileOperationFailsNothingAcknowledgedIsLost) {
  for (const auto kind : {io::FaultKind::kIo, io::FaultKind::kNoSpace}) {
    for (std::uint64_t n = 1;; ++n) {
      ASSERT_LT(n, 400u);
      io::MemoryFileSystem memory;
      io::FaultFileSystem fs(memory);
      const auto bucket = objstore::make_memory_store();
      std::set<std::string> expected, possible;
      bool fired = false;
      auto options = test_options();
      options.wal_segment_bytes = 1200;
      {
        Process process(fs, *bucket, options);
        ASSERT_TRUE(process.start().ok());
        fs.set_plan({.fail_at = n, .kind = kind});
        SeededRandom random(n);
        for (int i = 0; i < 14; ++i) {
          const auto batch = random_batch(random);
          expect_rows(*batch, possible);
          if (process.push(batch).ok()) expect_rows(*batch, expected);
          if (i % 5 == 4) (void)process.ingester.flush_all(Process::context());
          const auto seen = as_set(read_all(process));
          ASSERT_TRUE(std::includes(seen.begin(), seen.end(), expected.begin(), expected.end())) << "operation " << n;
        }
        fired = fs.fired();
        fs.set_plan({});
        memory.crash(n);
      }
      Process process(memory, *bucket, options);
      ASSERT_TRUE(process.start().ok());
      auto seen = as_set(read_all(process));
      ASSERT_TRUE(std::includes(seen.begin(), seen.end(), expected.begin(), expected.end())) << "operation " << n;
      ASSERT_TRUE(std::includes(possible.begin(), possible.end(), seen.begin(), seen.end())) << "operation " << n;
      ASSERT_TRUE(process.ingester.flush_all(Process::context()).ok());
      ASSERT_EQ(as_set(read_all(process)), seen);
      if (!fired) break;
    }
  }
}

TEST(Ingester, SegmentsGoOnlyWhenTheirEntriesAreSafeElsewhere) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  auto options = test_options();
  options.wal_segment_bytes = 2000;
  Process process(fs, *bucket, options);
  ASSERT_TRUE(process.start().ok());
  SeededRandom random(2);
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(process.push(random_batch(random)).ok());
  const std::size_t before = fs.list("/wal")->size();
  EXPECT_GT(before, 3u);
  process.objects.fail_at = 1;
  process.objects.sticky = true;
  EXPECT_FALSE(process.ingester.flush_all(Process::context()).ok());
  EXPECT_GE(fs.list("/wal")->size(), before);
  process.objects.fail_at = 0;
  ASSERT_TRUE(process.ingester.flush_all(Process::context()).ok());
  EXPECT_TRUE(fs.list("/wal")->empty());
}

TEST(Ingester, BackpressureOfDiskMemoryAndStop) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  auto options = test_options();
  options.memory_soft_bytes = 30'000;
  Process process(fs, *bucket, options);
  EXPECT_EQ(process.push(make_batch("fake", {{kApp, {{kT0, "x"}}}})).error().code(), ErrorCode::kUnavailable);
  EXPECT_FALSE(process.ingester.ready());
  ASSERT_TRUE(process.start().ok());
  EXPECT_TRUE(process.ingester.ready());
  process.objects.fail_at = 1;  // so that flushing for memory does not help
  process.objects.sticky = true;
  ASSERT_TRUE(process.push(make_batch("fake", {{kApp, {{kT0, std::string(60'000, 'x')}}}})).ok());
  EXPECT_EQ(process.push(make_batch("fake", {{kApp, {{kT0, "y"}}}})).error().code(), ErrorCode::kResourceExhausted);
  process.ingester.stop();
  EXPECT_EQ(process.push(make_batch("fake", {{kApp, {{kT0, "z"}}}})).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(read_all(process).size(), 1u);
}

TEST(Ingester, BelowTheDiskReservePushesWaitAndGoOnByThemselves) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  auto options = test_options();
  options.flush_check_ns = kNanosPerMilli;
  Process process(fs, *bucket, options);
  fs.set_capacity(100 << 20);
  ASSERT_TRUE(process.start().ok());
  ASSERT_TRUE(process.push(make_batch("fake", {{kApp, {{kT0, "x"}}}})).ok());
  ASSERT_TRUE(fs.make_directories("/other").ok());
  auto hog = fs.create("/other/hog").value();
  ASSERT_TRUE(hog->append(std::string(80 << 20, 'h')).ok());
  const auto push_until = [&](bool wanted) {
    const std::int64_t deadline = system_clock().monotonic_ns() + 30 * kNanosPerSecond;
    std::int64_t ts = kT0;
    while (system_clock().monotonic_ns() < deadline) {
      const auto outcome = process.push(make_batch("fake", {{kApp, {{++ts, "y"}}}}));
      if (outcome.ok() == wanted) return wanted ? ErrorCode::kInternal : outcome.error().code();
      std::this_thread::yield();
    }
    return ErrorCode::kDeadlineExceeded;
  };
  EXPECT_EQ(push_until(false), ErrorCode::kUnavailable);
  EXPECT_EQ(read_all(process).empty(), false);  // queries go on
  ASSERT_TRUE(fs.remove("/other/hog").ok());
  EXPECT_EQ(push_until(true), ErrorCode::kInternal);
}

TEST(Ingester, FlushOnShutdownLeavesAnEmptyLog) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  std::set<std::string> expected;
  {
    Process process(fs, *bucket);
    ASSERT_TRUE(process.start().ok());
    const auto batch = make_batch("fake", {{kApp, {{kT0, "x"}}}});
    ASSERT_TRUE(process.push(batch).ok());
    expect_rows(*batch, expected);
    process.ingester.set_prepare_shutdown(true);
    process.ingester.stop();
  }
  Process process(fs, *bucket);
  const auto report = process.start();
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->entries, 0u);
  EXPECT_EQ(as_set(read_all(process)), expected);
}

TEST(Ingester, IntervalDurabilityAcknowledgesBeforeTheSyncAndKeepsWhatWasSynced) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  auto options = test_options();
  options.durability = Durability::kInterval;
  std::set<std::string> expected;
  {
    Process process(fs, *bucket, options);
    ASSERT_TRUE(process.start().ok());
    const auto batch = make_batch("fake", {{kApp, {{kT0, "x"}}}});
    ASSERT_TRUE(process.push(batch).ok());
    expect_rows(*batch, expected);
    process.ingester.stop();  // syncs
    fs.crash(0);
  }
  Process process(fs, *bucket, options);
  ASSERT_TRUE(process.start().ok());
  EXPECT_EQ(as_set(read_all(process)), expected);
}

TEST(Ingester, IdleStreamsAreFlushedAndForgotten) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  FakeClock clock(kT0);
  auto options = test_options();
  options.flush_check_ns = kNanosPerMilli;
  Process process(fs, *bucket, options, &clock);
  ASSERT_TRUE(process.start().ok());
  std::set<std::string> expected;
  const auto batch = make_batch("fake", {{kApp, {{kT0, "x"}}}});
  ASSERT_TRUE(process.push(batch).ok());
  expect_rows(*batch, expected);
  clock.advance_ns(options.chunk_idle_ns + kNanosPerMinute);
  const std::int64_t deadline = system_clock().monotonic_ns() + 30 * kNanosPerSecond;
  while (process.ingester.stream_count("fake") > 0 && system_clock().monotonic_ns() < deadline) {
    clock.advance_ns(kNanosPerSecond);
    std::this_thread::yield();
  }
  EXPECT_EQ(process.ingester.stream_count("fake"), 0u);
  EXPECT_EQ(as_set(read_all(process)), expected);
  EXPECT_EQ(process.registry.counter_family("loki_ingester_chunks_flushed_total", "", {"reason"}).with({"idle"}).value(), 1);
}

TEST(Ingester, ALogAtItsLimitMakesLaggardsFlush) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  FakeClock clock(kT0);
  auto options = test_options();
  options.flush_check_ns = kNanosPerMilli;
  options.wal_segment_bytes = 4000;
  options.wal_bytes_max = 20'000;
  Process process(fs, *bucket, options, &clock);
  ASSERT_TRUE(process.start().ok());
  SeededRandom random(4);
  std::set<std::string> expected;
  std::uint64_t logged = 0;
  for (int i = 0; i < 400; ++i) {
    const auto batch = random_batch(random);
    const std::int64_t deadline = system_clock().monotonic_ns() + 30 * kNanosPerSecond;
    auto outcome = process.push(batch);
    while (!outcome.ok() && system_clock().monotonic_ns() < deadline) {  // 503: the client comes again
      ASSERT_EQ(outcome.error().code(), ErrorCode::kUnavailable);
      clock.advance_ns(kNanosPerMilli * 2);
      std::this_thread::yield();
      outcome = process.push(batch);
    }
    ASSERT_TRUE(outcome.ok());
    expect_rows(*batch, expected);
    clock.advance_ns(kNanosPerMilli);
    logged += batch->line_bytes;
  }
  ASSERT_GT(logged, 2 * options.wal_bytes_max / 3);
  EXPECT_GT(process.objects.puts, 0u);
  // What is just moving to the store is seen twice, once.
  std::vector<std::string> rows = read_all(process);
  for (int i = 0; i < 5'000 && std::adjacent_find(rows.begin(), rows.end()) != rows.end(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    rows = read_all(process);
  }
  EXPECT_EQ(as_set(rows), expected);
}

TEST(Ingester, TailsHearMatchingEntriesUntilReleased) {
  io::MemoryFileSystem fs;
  const auto bucket = objstore::make_memory_store();
  Process process(fs, *bucket);
  ASSERT_TRUE(process.start().ok());
  std::vector<std::string> heard;
  auto handle = process.ingester.tail(Process::context(), {model::Matcher::make(model::MatchType::kEqual, "app", "web").value()},
                                      [&](const model::LabelsPtr& labels, const std::vector<rpc::TailEntry>& entries) {
                                        for (const auto& entry : entries) heard.push_back(labels->text + entry.line + std::to_string(entry.metadata.size()));
                                      });
  ASSERT_TRUE(handle.ok());
  ASSERT_TRUE(process.push(make_batch("fake", {{kApp, {{kT0, "a", model::Level::kInfo, {{"z", "1"}}}}}, {{{"app", "other"}}, {{kT0, "b"}}}})).ok());
  ASSERT_TRUE(process.push(make_batch("fake", {{kApp, {{kT0, "a", model::Level::kInfo, {{"z", "1"}}}}}})).ok());  // a retry is not news
  handle->reset();
  ASSERT_TRUE(process.push(make_batch("fake", {{kApp, {{kT0 + 1, "c"}}}})).ok());
  EXPECT_EQ(heard, std::vector<std::string>{"{app=\"web\"}a2"});
}

}  // namespace
}  // namespace skald::ingester
