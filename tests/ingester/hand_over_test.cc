// An ingester that leaves: its rows go to successors or to the bucket, whatever fails on the way.
#include <gtest/gtest.h>

#include <thread>

#include "ingester/process.h"
#include "skald/io/fault_file_system.h"
#include "skald/rpc/ingester_service.h"
#include "skald/rpc/wire.h"

namespace skald::ingester {
namespace {

using namespace testing;

const std::vector<model::Label> kApp{{"app", "web"}};

// What stands between two processes: every push is encoded and decoded, and one may fail.
class Wire final : public rpc::IngesterClient {
 public:
  enum class Fault { kNone, kError, kPartly, kAckLost, kSilent };
  explicit Wire(Ingester& to) : to_(to) {}

  void push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) override {
    const std::uint64_t n = ++pushes;
    if (before_push) before_push(n);
    const bool fails = fail_at != 0 && (sticky ? n >= fail_at : n == fail_at);
    fired |= fails;
    if (fails && fault == Fault::kError) return done(Error(ErrorCode::kUnavailable, "injected"));
    if (fails && fault == Fault::kSilent) return;
    const auto message = rpc::encode_push(*batch);
    ASSERT_TRUE(message.ok());
    largest_bytes = std::max<std::uint64_t>(largest_bytes, batch->line_bytes);
    auto decoded = rpc::decode_push(ctx.tenant, *message, [this](std::string_view text) { return texts_.intern(text); });
    ASSERT_TRUE(decoded.ok()) << decoded.error().message();
    to_.push(ctx, *decoded, [this, fails, done = std::move(done)](Result<model::PushOutcome> outcome) {
      if (fails && fault == Fault::kAckLost) return done(Error(ErrorCode::kDeadlineExceeded, "injected"));
      if (fails && fault == Fault::kPartly && outcome.ok()) --outcome->accepted, ++outcome->refused;
      done(std::move(outcome));
    });
  }
  Result<chunk::SelectResult> select(const CallContext&, const rpc::SelectRequest&) override { return Error(ErrorCode::kUnimplemented, ""); }
  Result<std::vector<model::LabelsPtr>> series(const CallContext&, const rpc::SelectRequest&) override { return Error(ErrorCode::kUnimplemented, ""); }
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext&, const rpc::SelectRequest&) override { return Error(ErrorCode::kUnimplemented, ""); }
  Result<std::shared_ptr<void>> tail(const CallContext&, std::vector<model::Matcher>, rpc::TailSink) override { return Error(ErrorCode::kUnimplemented, ""); }

  std::function<void(std::uint64_t)> before_push;
  std::uint64_t fail_at = 0;
  bool sticky = false, fired = false;
  Fault fault = Fault::kNone;
  std::uint64_t pushes = 0, largest_bytes = 0;

 private:
  Ingester& to_;
  rpc::LabelTexts texts_;
};

Successor all_to(rpc::IngesterClient& client) {
  return [&client](const std::string&, const model::InternedLabels&) { return &client; };
}

std::vector<std::string> in_memory(Process& process, const std::string& tenant = "fake") {
  std::vector<std::string> rows;
  const auto held = process.ingester.select(Process::context(tenant), kEverything);
  EXPECT_TRUE(held.ok());
  if (held.ok()) add_rows(*held, Process::context(tenant), kEverything, rows);
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::vector<std::string> in_bucket(objstore::ObjectStore& bucket, const std::string& tenant = "fake") {
  exec::Pool pool("test", 2);
  obs::Registry registry;
  store::Store store(bucket, pool, registry, {});
  EXPECT_TRUE(store.refresh(CallContext()).ok());
  const CallContext ctx = Process::context(tenant);
  const auto stored = store.select(ctx, kEverything);
  EXPECT_TRUE(stored.ok());
  std::vector<std::string> rows;
  if (stored.ok()) add_rows(*stored, ctx, kEverything, rows);
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::set<std::string> together(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::set<std::string> all(a.begin(), a.end());
  all.insert(b.begin(), b.end());
  return all;
}

HandOverOptions small_batches() {
  HandOverOptions options;
  options.batch_bytes = 600;
  options.retries = 0;
  options.push_timeout_ns = 20 * kNanosPerSecond;
  return options;
}

class HandOverTest : public ::testing::Test {
 protected:
  // Rows of several shards, some flushed already, some cut and waiting, some in open heads.
  void fill(Process& process, std::uint64_t seed, int pushes = 14) {
    SeededRandom random(seed);
    for (int i = 0; i < pushes; ++i) {
      std::shared_ptr<model::PushBatch> batch = random_batch(random);
      if (i % 4 == 3) {   // two time shards
        const std::string number = std::to_string(random.next_u64());
        batch = make_batch("fake", {{{{"app", "old" + std::to_string(i % 3)}},
                                     {{kT0 + i, "new " + number}, {kT0 - 900 * kNanosPerSecond, "old " + number, model::Level::kWarn, {{"trace", "t"}}}}}});
      }
      const auto outcome = process.push(batch);
      ASSERT_TRUE(outcome.ok());
      ASSERT_EQ(outcome->refused, 0U);
      expect_rows(*batch, expected_);
      if (i == 4) ASSERT_TRUE(process.ingester.flush_all(Process::context()).ok());
      if (i == 9) {   // cut, and the bucket does not answer
        process.objects.fail_at = process.objects.puts + 1;
        process.objects.sticky = true;
        EXPECT_FALSE(process.ingester.flush_all(Process::context()).ok());
        process.objects.fail_at = 0;
      }
    }
  }

  std::unique_ptr<objstore::ObjectStore> bucket_ = objstore::make_memory_store();
  io::MemoryFileSystem leaver_fs_, successor_fs_;
  std::set<std::string> expected_;
};

TEST_F(HandOverTest, EveryRowIsAtTheSuccessorOrInTheBucketOnceAndTheLogIsEmpty) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    bucket_ = objstore::make_memory_store();
    io::MemoryFileSystem leaver_fs, successor_fs;
    expected_.clear();
    Process successor(successor_fs, *bucket_);
    ASSERT_TRUE(successor.start().ok());
    {
      Process leaver(leaver_fs, *bucket_);
      ASSERT_TRUE(leaver.start().ok());
      ASSERT_NO_FATAL_FAILURE(fill(leaver, seed));
      Wire wire(successor.ingester);
      const auto done = leaver.ingester.hand_over(CallContext(), all_to(wire), small_batches());
      ASSERT_TRUE(done.ok()) << done.error().message();
      EXPECT_GT(done->rows, 10U);
      EXPECT_EQ(done->chunks_flushed, 0U);
      EXPECT_EQ(done->pushes, wire.pushes);
      EXPECT_LT(wire.largest_bytes, 800U);
      EXPECT_EQ(leaver.push(make_batch("fake", {{kApp, {{kT0, "late"}}}})).error().code(), ErrorCode::kUnavailable);
      // Still readable here, for queries that asked the successor too early.
      EXPECT_EQ(together(in_memory(leaver), in_bucket(*bucket_)), expected_);
      leaver.ingester.stop();
      EXPECT_EQ(together(in_memory(leaver), in_bucket(*bucket_)), expected_);
      EXPECT_EQ(done->rows, in_memory(successor).size());
    }
    EXPECT_TRUE(leaver_fs.list("/wal")->empty());
    std::vector<std::string> all = in_memory(successor);
    const std::vector<std::string> stored = in_bucket(*bucket_);
    all.insert(all.end(), stored.begin(), stored.end());
    std::sort(all.begin(), all.end());
    EXPECT_EQ(as_set(all), expected_) << seed;
    // And durable there.
    successor.ingester.stop();
    successor_fs.crash(seed);
    Process again(successor_fs, *bucket_);
    ASSERT_TRUE(again.start().ok());
    EXPECT_EQ(as_set(read_all(again)), expected_);
    ASSERT_TRUE(again.ingester.flush_all(Process::context()).ok());
    EXPECT_EQ(as_set(read_all(again)), expected_);
  }
}

TEST_F(HandOverTest, ASuccessorThatHeldTheRowsBeforeKeepsThemOnce) {
  Process leaver(leaver_fs_, *bucket_), successor(successor_fs_, *bucket_);
  ASSERT_TRUE(leaver.start().ok());
  ASSERT_TRUE(successor.start().ok());
  SeededRandom random(3);
  std::set<std::string> expected;
  for (int i = 0; i < 30; ++i) {
    const auto batch = random_batch(random);
    ASSERT_TRUE(leaver.push(batch).ok());
    if (i % 3 != 0) ASSERT_TRUE(successor.push(batch).ok());
    expect_rows(*batch, expected);
    if (i == 12) ASSERT_FALSE(([&] {   // cut but not flushed
      successor.objects.fail_at = 1, successor.objects.sticky = true;
      return successor.ingester.flush_all(Process::context()).ok();
    })());
  }
  const std::size_t before = in_memory(successor).size();
  Wire wire(successor.ingester);
  const auto done = leaver.ingester.hand_over(CallContext(), all_to(wire), small_batches());
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->rows, expected.size());
  EXPECT_EQ(as_set(in_memory(successor)), expected);
  EXPECT_EQ(successor.registry.counter("skald_ingester_rows_taken_over_total", "").value(), static_cast<double>(expected.size() - before));
  successor.ingester.stop();
  successor_fs_.crash(1);
  Process again(successor_fs_, *bucket_);
  ASSERT_TRUE(again.start().ok());
  EXPECT_EQ(together(read_all(again), {}), expected);
}

TEST_F(HandOverTest, NoLimitOfTheSuccessorApplies) {
  auto strict = test_options();
  strict.limits = [](const std::string&) { return TenantLimits{1, 10, 10, false}; };
  Process leaver(leaver_fs_, *bucket_), successor(successor_fs_, *bucket_, strict);
  ASSERT_TRUE(leaver.start().ok());
  ASSERT_TRUE(successor.start().ok());
  ASSERT_TRUE(successor.push(make_batch("fake", {{kApp, {{kT0 + 5 * kNanosPerHour, "new"}}}})).ok());
  ASSERT_TRUE(leaver.push(make_batch("fake", {{kApp, {{kT0, std::string(500, 'x')}}}, {{{"app", "b"}}, {{kT0, std::string(500, 'y')}}}})).ok());
  std::vector<std::string> heard;
  const auto tail = successor.ingester.tail(Process::context(), {}, [&](const model::LabelsPtr& labels, const std::vector<rpc::TailEntry>&) { heard.push_back(labels->text); });
  Wire wire(successor.ingester);
  const auto done = leaver.ingester.hand_over(CallContext(), all_to(wire));
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->rows, 2U);
  EXPECT_EQ(done->chunks, 2U);
  EXPECT_EQ(in_memory(successor).size(), 3U);
  EXPECT_TRUE(heard.empty()) << "they were heard when they came first";
}

TEST_F(HandOverTest, StreamsGoWhereTheyBelongAndWhatBelongsNowhereIsFlushed) {
  io::MemoryFileSystem other_fs;
  Process leaver(leaver_fs_, *bucket_), a(successor_fs_, *bucket_), b(other_fs, *bucket_);
  ASSERT_TRUE(leaver.start().ok() && a.start().ok() && b.start().ok());
  for (const char* tenant : {"t1", "t2"})
    for (const char* app : {"a", "b", "c"}) ASSERT_TRUE(leaver.push(make_batch(tenant, {{{{"app", app}}, {{kT0, "line"}}}})).ok());
  Wire to_a(a.ingester), to_b(b.ingester);
  const auto done = leaver.ingester.hand_over(CallContext(), [&](const std::string&, const model::InternedLabels& labels) -> rpc::IngesterClient* {
    if (labels.labels.get("app") == "a") return &to_a;
    return labels.labels.get("app") == "b" ? &to_b : nullptr;
  });
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->chunks, 4U);
  EXPECT_EQ(done->pushes, 4U) << "one per tenant and successor";
  EXPECT_EQ(done->chunks_flushed, 2U);
  for (const char* tenant : {"t1", "t2"}) {
    ASSERT_EQ(in_memory(a, tenant).size(), 1U);
    EXPECT_EQ(in_memory(a, tenant)[0].find("{app=\"a\"}"), 0U);
    ASSERT_EQ(in_memory(b, tenant).size(), 1U);
    EXPECT_EQ(in_memory(b, tenant)[0].find("{app=\"b\"}"), 0U);
    ASSERT_EQ(in_bucket(*bucket_, tenant).size(), 1U);
    EXPECT_EQ(in_bucket(*bucket_, tenant)[0].find("{app=\"c\"}"), 0U);
  }
}

// Every push fails once, in every way, and stays failed or not: nothing is lost, and what one place holds it holds once.
TEST_F(HandOverTest, WhicheverPushFailsTheRestIsFlushed) {
  for (const auto fault : {Wire::Fault::kError, Wire::Fault::kPartly, Wire::Fault::kAckLost}) {
    for (const std::uint32_t retries : {0U, 2U}) {
      for (std::uint64_t n = 1;; ++n) {
        ASSERT_LT(n, 60U);
        bucket_ = objstore::make_memory_store();
        io::MemoryFileSystem leaver_fs, successor_fs;
        expected_.clear();
        Process leaver(leaver_fs, *bucket_), successor(successor_fs, *bucket_);
        ASSERT_TRUE(leaver.start().ok());
        ASSERT_TRUE(successor.start().ok());
        ASSERT_NO_FATAL_FAILURE(fill(leaver, n));
        Wire wire(successor.ingester);
        wire.fail_at = n;
        wire.fault = fault;
        auto options = small_batches();
        options.retries = retries;
        const auto done = leaver.ingester.hand_over(CallContext(), all_to(wire), options);
        ASSERT_TRUE(done.ok()) << done.error().message();
        const bool given_up = wire.fired && (retries == 0 || fault == Wire::Fault::kPartly);
        EXPECT_EQ(done->chunks_flushed > 0, given_up) << n;
        const auto held = in_memory(successor), stored = in_bucket(*bucket_);
        EXPECT_EQ(as_set(held).size(), held.size());
        EXPECT_EQ(as_set(stored).size(), stored.size());
        ASSERT_EQ(together(held, stored), expected_) << n;
        leaver.ingester.stop();
        EXPECT_TRUE(leaver_fs.list("/wal")->empty());
        if (!wire.fired) break;
        n += n / 5;   // not each of many
      }
    }
  }
}

TEST_F(HandOverTest, ASuccessorThatNeverAnswersIsGivenUp) {
  Process leaver(leaver_fs_, *bucket_), successor(successor_fs_, *bucket_);
  ASSERT_TRUE(leaver.start().ok());
  ASSERT_TRUE(successor.start().ok());
  ASSERT_TRUE(leaver.push(make_batch("fake", {{kApp, {{kT0, "x"}}}})).ok());
  Wire wire(successor.ingester);
  wire.fail_at = 1;
  wire.fault = Wire::Fault::kSilent;
  auto options = small_batches();
  options.push_timeout_ns = 20 * kNanosPerMilli;
  const auto done = leaver.ingester.hand_over(CallContext(), all_to(wire), options);
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->chunks_flushed, 1U);
  EXPECT_EQ(in_bucket(*bucket_).size(), 1U);
}

// The leaver dies before its nth push, with the bucket out of reach as well; started again it has what it had not given away.
TEST_F(HandOverTest, KilledInTheMiddleNothingIsLostAndWhatWasGivenAwayStaysAway) {
  bool some_given_away = false;
  for (std::uint64_t n = 1; n < 12; ++n) {
    bucket_ = objstore::make_memory_store();
    io::MemoryFileSystem memory, successor_fs;
    io::FaultFileSystem leaver_fs(memory);
    expected_.clear();
    Process successor(successor_fs, *bucket_);
    ASSERT_TRUE(successor.start().ok());
    {
      Process leaver(leaver_fs, *bucket_);
      ASSERT_TRUE(leaver.start().ok());
      ASSERT_NO_FATAL_FAILURE(fill(leaver, n));
      Wire wire(successor.ingester);
      wire.fail_at = n;
      wire.sticky = true;
      wire.fault = n % 2 == 0 ? Wire::Fault::kError : Wire::Fault::kAckLost;
      wire.before_push = [&](std::uint64_t push) {
        if (push != n) return;
        leaver.objects.fail_at = leaver.objects.puts + 1;
        leaver.objects.sticky = true;
      };
      (void)leaver.ingester.hand_over(CallContext(), all_to(wire), small_batches());
      memory.crash(n);
    }
    Process again(memory, *bucket_);
    ASSERT_TRUE(again.start().ok());
    const auto here = read_all(again), there = in_memory(successor);
    EXPECT_EQ(as_set(here).size(), here.size());
    EXPECT_EQ(as_set(there).size(), there.size());
    ASSERT_EQ(together(here, there), expected_) << n;
    // What both have is of chunks whose last batch was not acknowledged and logged.
    some_given_away |= here.size() < expected_.size();
    ASSERT_TRUE(again.ingester.flush_all(Process::context()).ok());
    EXPECT_EQ(together(in_bucket(*bucket_), there), expected_) << n;
  }
  EXPECT_TRUE(some_given_away);
}

// Whoever asks the successor first and the leaver second sees every row, at each moment.
TEST_F(HandOverTest, ReadersMissNothingMeanwhile) {
  Process leaver(leaver_fs_, *bucket_), successor(successor_fs_, *bucket_);
  ASSERT_TRUE(leaver.start().ok());
  ASSERT_TRUE(successor.start().ok());
  ASSERT_NO_FATAL_FAILURE(fill(leaver, 5, 40));
  Wire wire(successor.ingester);
  std::uint64_t checks = 0;
  std::vector<std::string> early;
  wire.before_push = [&](std::uint64_t n) {
    if (n % 3 == 1) early = in_memory(successor);
    auto seen = together(early, in_memory(leaver));
    const auto stored = read_all(leaver);
    seen.insert(stored.begin(), stored.end());
    EXPECT_EQ(seen, expected_);
    ++checks;
  };
  std::atomic<bool> over{false};
  std::thread reader([&] {
    while (!over) {
      auto seen = together(in_memory(successor), read_all(leaver));
      EXPECT_EQ(seen, expected_);
    }
  });
  ASSERT_TRUE(leaver.ingester.hand_over(CallContext(), all_to(wire), small_batches()).ok());
  leaver.ingester.stop();
  over = true;
  reader.join();
  EXPECT_GT(checks, 3U);
  EXPECT_EQ(together(read_all(leaver), {}), expected_);
}

TEST_F(HandOverTest, OutOfTimeItFlushes) {
  Process leaver(leaver_fs_, *bucket_), successor(successor_fs_, *bucket_);
  ASSERT_TRUE(leaver.start().ok());
  ASSERT_TRUE(successor.start().ok());
  ASSERT_NO_FATAL_FAILURE(fill(leaver, 5));
  Wire wire(successor.ingester);
  CallContext late;
  late.deadline_monotonic_ns = 1;
  const auto done = leaver.ingester.hand_over(late, all_to(wire));
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(wire.pushes, 0U);
  const auto stored = in_bucket(*bucket_);
  EXPECT_EQ(as_set(stored), expected_);
}

TEST_F(HandOverTest, StoppedWithAFlushRowsStayReadableAndTheFlushGoesInPortions) {
  auto options = test_options();
  options.memory_soft_bytes = 128 << 20;   // portions are as small as they get
  options.flush_on_shutdown = true;
  Process process(leaver_fs_, *bucket_, options);
  ASSERT_TRUE(process.start().ok());
  SeededRandom random(6);
  for (int s = 0; s < 150; ++s) {
    StreamOfRows stream{{{"app", std::to_string(s)}}, {}};
    for (int i = 0; i < 15; ++i) stream.rows.push_back({kT0 + i, std::to_string(random.next_u64()) + std::string(4000, 'x')});
    ASSERT_EQ(process.push(make_batch("fake", {stream}))->refused, 0U);
  }
  const auto before = in_memory(process);
  ASSERT_EQ(before.size(), 150U * 15);
  process.ingester.stop();
  EXPECT_EQ(process.objects.puts, 3U) << "two objects of chunks, one index";
  EXPECT_EQ(in_memory(process), before);
  EXPECT_EQ(in_bucket(*bucket_), before);
  EXPECT_FALSE(process.ingester.ready());
  EXPECT_TRUE(leaver_fs_.list("/wal")->empty());
  process.ingester.stop();
}

}  // namespace
}  // namespace skald::ingester
