// Interruptions at every operation of the store, compactors beside each other, and what they leave behind.
#include <gtest/gtest.h>

#include <thread>

#include "compactor/day.h"
#include "compactor/lease.h"
#include "compactor/world.h"

namespace skald::compactor {
namespace {

using namespace testing;
using chunk::testing_rows::random_rows;
using objstore::Operation;

// A few objects of two days and two shards, with copies.
void fill(World& world, std::uint64_t seed) {
  SeededRandom random(seed);
  for (int i = 0; i < 3; ++i) {
    const std::vector<StreamOf> singles = {{stream("a"), random_rows(random, 30, kShard, kNanosPerHour)}, {stream("b" + std::to_string(i)), random_rows(random, 10)}};
    const std::vector<StreamOf> group = {{stream("g1"), random_rows(random, 4)}, {stream("g2"), random_rows(random, 4)}};
    world.put(singles, group);
    if (i == 0) world.put(singles, group);
  }
  for (int i = 0; i < 2; ++i) world.put({{stream("a"), random_rows(random, 20, kShard + kNanosPerDay, kNanosPerHour)}});
}

// Runs, with the clock moving on, until nothing is left to do; then checks that only what is listed exists.
void settle_and_check(World& world, const Contents& expected, const std::string& what) {
  for (int i = 0; i < 6; ++i) {
    world.clock.advance_ns(8 * kNanosPerHour);
    world.run_clean();
  }
  const Snapshot after = read_all(*world.bucket, "t");
  ASSERT_EQ(after.contents, expected) << what;
  std::uint64_t rows = 0;
  for (const auto& [text, of_stream] : after.contents) rows += of_stream.size();
  ASSERT_EQ(after.rows_stored, rows) << what << ": stored once";
  ASSERT_EQ(list_keys(*world.bucket, "t/chunks/"), after.object_keys) << what << ": nothing that no index lists";
  ASSERT_EQ(list_keys(*world.bucket, "t/index/").size(), after.indexes) << what;
  verify_objects(*world.bucket, "t");
}

TEST(Crash, AtAnyOperationNothingIsLostOrDoubledAndNothingStays) {
  for (const Operation operation : {Operation::kPut, Operation::kGet, Operation::kList, Operation::kRemove}) {
    for (const bool after_effect : {false, true}) {
      if (after_effect && (operation == Operation::kGet || operation == Operation::kList)) continue;
      bool failed = true;
      for (std::uint64_t n = 1; failed; ++n) {
        World world(11);
        fill(world, 4);
        world.clock.set_ns(kShard + 3 * kNanosPerDay);
        const Contents before = read_all(*world.bucket, "t").contents;
        auto plan = std::make_shared<objstore::FaultPlan>();
        struct Borrowed final : objstore::ObjectStore {   // the decorator owns what it decorates
          explicit Borrowed(objstore::ObjectStore& store) : inner(store) {}
          Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return inner.put(key, body, ctx); }
          Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return inner.create(key, body, ctx); }
          Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override { return inner.get(key, range, ctx); }
          Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override { return inner.list(prefix, next, depth, ctx); }
          Result<void> remove(std::string_view key, const CallContext& ctx) override { return inner.remove(key, ctx); }
          objstore::ObjectStore& inner;
        };
        const auto faulty = objstore::with_faults(std::make_unique<Borrowed>(*world.bucket), plan);
        // From the n-th call on nothing works any more, as after a crash. The first run merges, the second deletes.
        std::uint64_t calls = 0;
        failed = false;
        plan->set_hook([&](Operation one, std::string_view) {
          if (one != operation || ++calls != n) return;
          failed = true;
        });
        plan->fail_nth(operation, n, {.code = ErrorCode::kUnavailable, .message = "crash", .after_effect = after_effect, .torn_bytes = std::nullopt});
        for (std::uint64_t later = 1; later < 60; ++later) plan->fail_nth(operation, n + later, {});
        (void)world.make(*faulty, 50)->run_once(world.ctx);
        if (!failed) {
          world.clock.advance_ns(2 * kNanosPerHour);
          (void)world.make(*faulty, 51)->run_once(world.ctx);
        }
        ASSERT_EQ(read_all(*world.bucket, "t").contents, before) << "operation " << static_cast<int>(operation) << ", call " << n;
        settle_and_check(world, before, "operation " + std::to_string(static_cast<int>(operation)) + ", call " + std::to_string(n) + (after_effect ? ", answer lost" : ""));
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(TwoCompactors, WorkOnOneBucketAtOnceWithoutHarm) {
  std::uint64_t lost = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    World world(seed);
    fill(world, seed);
    world.clock.set_ns(kShard + 3 * kNanosPerDay);
    const Contents before = read_all(*world.bucket, "t").contents;
    std::vector<std::thread> threads;
    std::vector<RunReport> reports(2);
    std::vector<std::unique_ptr<Compactor>> compactors;
    for (std::uint64_t i = 0; i < 2; ++i) compactors.push_back(world.make(*world.bucket, seed * 2 + i + 1));
    for (std::size_t i = 0; i < 2; ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < 2; ++round) {
          auto report = compactors[i]->run_once(world.ctx);
          if (report.ok()) reports[i].commits_lost += report->commits_lost;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    lost += reports[0].commits_lost + reports[1].commits_lost;
    ASSERT_EQ(read_all(*world.bucket, "t").contents, before) << seed;
    settle_and_check(world, before, "seed " + std::to_string(seed));
    if (::testing::Test::HasFailure()) return;
  }
  RecordProperty("commits_lost", static_cast<int>(lost));
}

// One compactor stands still before its commit; another commits, sweeps and deletes everything the first one wrote.
TEST(TwoCompactors, APausedOneWhoseOutputsWereSweptCannotCommit) {
  World world;
  fill(world, 9);
  world.clock.set_ns(kShard + 3 * kNanosPerDay);
  const Contents before = read_all(*world.bucket, "t").contents;

  class PausingStore final : public objstore::ObjectStore {
   public:
    PausingStore(objstore::ObjectStore& inner, std::function<void()> meanwhile) : inner_(inner), meanwhile_(std::move(meanwhile)) {}
    Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return inner_.put(key, body, ctx); }
    Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override {
      if (meanwhile_) std::exchange(meanwhile_, nullptr)();
      return inner_.create(key, body, ctx);
    }
    Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override { return inner_.get(key, range, ctx); }
    Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override { return inner_.list(prefix, next, depth, ctx); }
    Result<void> remove(std::string_view key, const CallContext& ctx) override { return inner_.remove(key, ctx); }

   private:
    objstore::ObjectStore& inner_;
    std::function<void()> meanwhile_;
  };
  std::uint64_t swept = 0;
  PausingStore pausing(*world.bucket, [&] {
    world.clock.advance_ns(7 * kNanosPerHour);   // the outputs are older than the grace period now
    const RunReport report = world.run_clean();
    swept = report.orphans_deleted;
  });
  const auto paused = world.make(pausing, 99);
  const auto report = paused->run_once(world.ctx);
  ASSERT_TRUE(report.ok());
  EXPECT_GT(swept, 0U) << "what the paused one wrote was an orphan";
  EXPECT_GT(report->commits_lost, 0U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, before);
  settle_and_check(world, before, "after the pause");
}

TEST(Orphans, OfACompactorAreDeletedAfterTheGracePeriodOnly) {
  World world;
  fill(world, 5);
  world.clock.set_ns(kShard + 3 * kNanosPerDay);
  const Contents before = read_all(*world.bucket, "t").contents;
  chunk::ObjectBuilder builder("t", kShard, Ulid::make(world.clock.now_ns(), world.random));
  builder.set_level(1);
  const std::vector<std::shared_ptr<const chunk::Columns>> blocks = {to_columns(rows_at(kShard, 5, "orphan"))};
  builder.add(chunk::build_chunk(*stream("orphan"), blocks, {}).value(), std::vector{stream("orphan")});
  const auto orphan = builder.finish().value();
  ASSERT_TRUE(world.bucket->put(orphan.key, orphan.bytes, world.ctx).ok());
  world.run_clean();
  EXPECT_TRUE(list_keys(*world.bucket, "t/chunks/").contains(orphan.key)) << "its writer may still be at work";
  world.clock.advance_ns(7 * kNanosPerHour);
  EXPECT_EQ(world.run_clean().orphans_deleted, 1U);
  settle_and_check(world, before, "orphan");
}

TEST(Orphans, TooYoungToBeJudgedAreLookedAtAgainWhenTheyAreNot) {
  World world;
  world.clock.set_ns(kShard + 3 * kNanosPerDay);
  const auto compactor = world.make(*world.bucket, 1);
  write_object(*world.bucket, world.random, "t", {{stream("lost"), rows_at(kShard, 5, "x")}}, {}, world.clock.now_ns());
  EXPECT_EQ(compactor->run_once(world.ctx)->objects_adopted, 0U);
  world.clock.advance_ns(world.options.adopt_grace_ns - kNanosPerSecond);
  EXPECT_EQ(compactor->run_once(world.ctx)->objects_adopted, 0U);
  world.clock.advance_ns(kNanosPerSecond);
  EXPECT_EQ(compactor->run_once(world.ctx)->objects_adopted, 1U) << "not only at the next regular look";
}

TEST(Orphans, ObjectsOfAnIngesterThatNeverShippedAreListedAgain) {
  World world;
  world.clock.set_ns(kShard + 3 * kNanosPerDay);
  SeededRandom random(4);
  const std::vector<StreamOf> singles = {{stream("lost"), random_rows(random, 40)}};
  const std::vector<StreamOf> group = {{stream("l1"), random_rows(random, 5)}, {stream("l2"), random_rows(random, 6)}};
  const auto entries = write_object(*world.bucket, world.random, "t", singles, group, world.clock.now_ns());
  EXPECT_EQ(world.run_clean().objects_adopted, 0U) << "its index may be on its way";
  world.clock.advance_ns(4 * kNanosPerHour);
  const RunReport report = world.run_clean();
  EXPECT_EQ(report.objects_adopted, 1U);
  Contents expected;
  for (const auto* list : {&singles, &group})
    for (const StreamOf& one : *list) {
      expected[one.labels->text] = one.rows;
      std::sort(expected[one.labels->text].begin(), expected[one.labels->text].end());
    }
  EXPECT_EQ(read_all(*world.bucket, "t").contents, expected);
  // The ingester comes back, knows its object from its log and ships: the chunks are listed once all the same.
  ship(*world.bucket, world.random, "t", entries);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, expected);
  settle_and_check(world, expected, "adopted");
}

// An ingester whose shipping failed half-way lists chunks again that were merged and deleted meanwhile.
TEST(Orphans, ChunksListedAgainAfterTheyMovedDoNotComeBack) {
  World world;
  const auto entries = write_object(*world.bucket, world.random, "t", {{stream("s"), rows_at(kShard, 20, "x")}});
  ship(*world.bucket, world.random, "t", entries);
  world.put({{stream("s"), rows_at(kShard + kNanosPerHour, 20, "x")}});
  const Contents before = read_all(*world.bucket, "t").contents;
  EXPECT_EQ(world.run_clean().objects_in, 2U);
  world.clock.advance_ns(2 * kNanosPerHour);
  EXPECT_EQ(world.run_clean().objects_deleted, 2U);
  for (int i = 0; i < 4; ++i) ship(*world.bucket, world.random, "t", entries);
  EXPECT_EQ(world.run_clean().commits, 1U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, before);
  EXPECT_EQ(read_all(*world.bucket, "t").rows_stored, 40U);
}

TEST(Damage, OfOneIndexObjectKeepsNobodyElseFromBeingCompacted) {
  World world;
  fill(world, 3);
  world.clock.set_ns(kShard + 3 * kNanosPerDay);
  const std::string key = index::day_index_key("t", kDay, Ulid::make(kShard, world.random));
  ASSERT_TRUE(world.bucket->put(key, "not an index", world.ctx).ok());
  const RunReport report = world.run_clean();
  EXPECT_GT(report.objects_out, 0U);
  EXPECT_TRUE(world.bucket->get(key, {}, world.ctx).ok()) << "left for somebody to look at";
}

TEST(Damage, OfAChunkLeavesItsShardAlone) {
  World world;
  fill(world, 3);
  world.clock.set_ns(kShard + 3 * kNanosPerDay);
  const std::string key = *list_keys(*world.bucket, "t/chunks/").begin();
  Bytes bytes = world.bucket->get(key, {}, world.ctx).value();
  bytes[64 + 130] = static_cast<char>(bytes[64 + 130] ^ 1);
  ASSERT_TRUE(world.bucket->put(key, bytes, world.ctx).ok());
  const RunReport report = world.run();
  ASSERT_EQ(report.errors.size(), 1U);
  EXPECT_NE(report.errors.front().find("20261120T06"), std::string::npos) << report.errors.front();
  EXPECT_TRUE(world.bucket->get(key, {}, world.ctx).ok());
  EXPECT_EQ(report.objects_in, 2U) << "the other day's";
}

TEST(Lease, IsHeldByOneAndTakenOverFromTheSilent) {
  const auto bucket = objstore::make_memory_store();
  FakeClock clock;
  CallContext ctx;
  ctx.clock = &clock;
  Leases first(*bucket, "first", kNanosPerMinute), second(*bucket, "second", kNanosPerMinute);
  EXPECT_TRUE(*first.hold(ctx, "t"));
  EXPECT_FALSE(*second.hold(ctx, "t"));
  for (int i = 0; i < 5; ++i) {   // renewed in time, it stays
    clock.advance_ns(40 * kNanosPerSecond);
    EXPECT_TRUE(*first.keep(ctx, "t"));
    EXPECT_FALSE(*second.hold(ctx, "t"));
  }
  clock.advance_ns(59 * kNanosPerSecond);
  EXPECT_FALSE(*second.hold(ctx, "t"));
  clock.advance_ns(2 * kNanosPerSecond);
  EXPECT_TRUE(*second.hold(ctx, "t"));
  EXPECT_FALSE(*first.keep(ctx, "t")) << "who slept has lost it";
  EXPECT_FALSE(*first.hold(ctx, "t"));
  second.release_all(ctx);
  EXPECT_TRUE(list_keys(*bucket, "").empty());
  EXPECT_TRUE(*first.hold(ctx, "t"));
}

TEST(Lease, KeepsASecondCompactorFromTheTenant) {
  World world;
  world.options.lease_ns = 5 * kNanosPerMinute;
  fill(world, 3);
  const auto first = world.make(*world.bucket, 1), second = world.make(*world.bucket, 2);
  EXPECT_EQ(first->run_once(world.ctx)->tenants_locked, 0U);
  EXPECT_EQ(second->run_once(world.ctx)->tenants_locked, 1U);
  EXPECT_NE(world.registry.expose_text().find("loki_boltdb_shipper_compactor_running 0"), std::string::npos);
  first->stop();
  EXPECT_EQ(second->run_once(world.ctx)->tenants_locked, 0U);
  EXPECT_NE(world.registry.expose_text().find("loki_boltdb_shipper_compactor_running 1"), std::string::npos);
}

// A store without conditional creation: one compactor with a lease works all the same.
TEST(Store, WithoutConditionalCreationIsCompactedUnderTheLease) {
  class Plain final : public objstore::ObjectStore {
   public:
    explicit Plain(objstore::ObjectStore& inner) : inner_(inner) {}
    Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return inner_.put(key, body, ctx); }
    Result<void> create(std::string_view, ByteView, const CallContext&) override { return Error(ErrorCode::kUnimplemented, "no such thing"); }
    Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override { return inner_.get(key, range, ctx); }
    Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override { return inner_.list(prefix, next, depth, ctx); }
    Result<void> remove(std::string_view key, const CallContext& ctx) override { return inner_.remove(key, ctx); }

   private:
    objstore::ObjectStore& inner_;
  };
  World world;
  world.options.lease_ns = 5 * kNanosPerMinute;
  fill(world, 3);
  world.clock.set_ns(kShard + 3 * kNanosPerDay);
  const Contents before = read_all(*world.bucket, "t").contents;
  Plain plain(*world.bucket);
  const auto report = world.make(plain, 1)->run_once(world.ctx);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->errors.empty()) << report->errors.front();
  EXPECT_EQ(report->commits, 2U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, before);
  settle_and_check(world, before, "plain store");
}

TEST(Service, RunsByItselfAndStopsAtOnce) {
  World world;
  world.options.compaction_interval_ns = kNanosPerSecond;
  world.options.lease_ns = 5 * kNanosPerMinute;
  fill(world, 3);
  std::atomic<int> commits{0};
  world.options.committed = [&] { ++commits; };
  const auto compactor = world.make(*world.bucket, 1);
  compactor->start();
  for (int i = 0; i < 500 && commits == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  compactor->stop();
  EXPECT_GT(commits.load(), 0);
  EXPECT_TRUE(list_keys(*world.bucket, "t/compactor/").empty()) << "the lease was given back";
}

}  // namespace
}  // namespace skald::compactor
