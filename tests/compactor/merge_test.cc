// Index merging and chunk merging: what was there before is there afterwards, once, and in fewer pieces.
#include <gtest/gtest.h>

#include "compactor/world.h"

namespace skald::compactor {
namespace {

using namespace testing;
using chunk::testing_rows::random_rows;

TEST(IndexMerge, ManyIndexObjectsBecomeOneAndTheOldOnesGoAfterTheDelay) {
  World world;
  for (int i = 0; i < 5; ++i) world.put({{stream("a" + std::to_string(i)), rows_at(kShard + i, 10, "x")}});
  world.clock.set_ns(kShard + 3 * kNanosPerHour);   // the shard is not settled: chunks stay as they are
  const Snapshot before = read_all(*world.bucket, "t");
  EXPECT_EQ(before.indexes, 5U);
  const RunReport report = world.run_clean();
  EXPECT_EQ(report.commits, 1U);
  EXPECT_EQ(report.indexes_merged, 5U);
  EXPECT_EQ(report.objects_in, 0U);
  const Snapshot after = read_all(*world.bucket, "t");
  EXPECT_EQ(after.indexes, 1U);
  EXPECT_EQ(after.contents, before.contents);
  EXPECT_EQ(list_keys(*world.bucket, "t/index/").size(), 6U) << "readers may still open the old ones";
  world.clock.advance_ns(30 * kNanosPerMinute);
  world.run_clean();
  EXPECT_EQ(list_keys(*world.bucket, "t/index/").size(), 6U);
  world.clock.advance_ns(31 * kNanosPerMinute);
  const RunReport later = world.run_clean();
  EXPECT_EQ(later.indexes_deleted, 5U);
  EXPECT_EQ(later.commits, 0U) << "deleting replaced indexes alone is no reason for yet another index";
  EXPECT_EQ(list_keys(*world.bucket, "t/index/").size(), 1U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, before.contents);
}

TEST(IndexMerge, AFewIndexObjectsOfTodayAreLeftAlone) {
  World world;
  world.clock.set_ns(kShard + 3 * kNanosPerHour);
  for (int i = 0; i < 3; ++i) world.put({{stream("a" + std::to_string(i)), rows_at(kShard, 10, "x")}});
  EXPECT_EQ(world.run_clean().commits, 0U);
  world.put({{stream("b"), rows_at(kShard, 10, "x")}});
  EXPECT_EQ(world.run_clean().commits, 1U);
}

TEST(IndexMerge, DaysWithoutNewsAreNotOpened) {
  World world;
  for (int i = 0; i < 5; ++i) world.put({{stream("a"), rows_at(kShard + i * kNanosPerMinute, 10, "x")}});
  const auto compactor = world.make(*world.bucket);
  EXPECT_EQ(compactor->run_once(world.ctx)->days_opened, 1U);
  EXPECT_EQ(compactor->run_once(world.ctx)->days_opened, 0U);
  world.clock.advance_ns(kNanosPerHour + 1);   // now the replaced ones may go
  const auto sweeping = compactor->run_once(world.ctx);
  EXPECT_EQ(sweeping->days_opened, 1U);
  EXPECT_EQ(sweeping->objects_deleted, 5U);
  EXPECT_EQ(compactor->run_once(world.ctx)->days_opened, 0U);
  world.put({{stream("z"), rows_at(kShard, 10, "new")}});
  EXPECT_EQ(compactor->run_once(world.ctx)->days_opened, 1U);
}

TEST(ChunkMerge, FourChunksOfAMegabyteBecomeOneOfLess) {
  World world;
  world.options.memory_bytes = 256 << 20;
  std::uint64_t stored = 0;
  for (int i = 0; i < 4; ++i) {
    std::vector<Row> rows;
    for (int k = 0; k < 60'000; ++k) {
      const std::uint64_t r = world.random.next_u64();
      rows.push_back({.ts_ns = kShard + (i * 60'000 + k) * 25 * kNanosPerMilli,
                      .line = "level=info component=checkout method=" + std::string(r % 3 == 0 ? "GET" : "POST") + " path=/api/v1/customers/" +
                              std::to_string((r >> 8) % 4000) + "/orders status=" + (r % 97 == 0 ? "503" : "200") + " bytes=" + std::to_string((r >> 20) % 3000) +
                              " duration=" + std::to_string((r >> 32) % 977) + "ms request=" + std::to_string(world.random.next_u64() % 10'000'000'000) + " msg=\"request finished\"",
                      .level = 4,
                      .metadata = {}});
    }
    const auto entries = write_object(*world.bucket, world.random, "t", {{stream("shop"), std::move(rows)}});
    stored += entries.front().chunk.length;
    ship(*world.bucket, world.random, "t", entries);
  }
  EXPECT_GT(stored, 3'600'000U);
  EXPECT_LT(stored, 4'400'000U);
  const Snapshot before = read_all(*world.bucket, "t");
  const RunReport report = world.run_clean();
  EXPECT_EQ(report.objects_in, 4U);
  EXPECT_EQ(report.objects_out, 1U);
  EXPECT_EQ(report.chunks_out, 1U);
  EXPECT_LT(report.bytes_out, stored);
  const Snapshot after = read_all(*world.bucket, "t");
  EXPECT_EQ(after.contents, before.contents);
  EXPECT_EQ(after.object_keys.size(), 1U);
  verify_objects(*world.bucket, "t");
  const std::string key = *after.object_keys.begin();
  const Bytes object = world.bucket->get(key, {}, world.ctx).value();
  EXPECT_EQ(chunk::read_object_header(object)->level, 1U);
  EXPECT_EQ(chunk::open_object_tail(object, object.size())->inputs.size(), 4U);
  // Nothing is left to do, and the inputs go after the delay.
  EXPECT_EQ(world.run_clean().commits, 0U);
  world.clock.advance_ns(2 * kNanosPerHour);
  EXPECT_EQ(world.run_clean().objects_deleted, 4U);
  EXPECT_EQ(list_keys(*world.bucket, "t/chunks/"), after.object_keys);
}

TEST(ChunkMerge, CopiesOfReplicasAreStoredOnce) {
  World world;
  SeededRandom random(5);
  std::vector<StreamOf> streams;
  for (int i = 0; i < 6; ++i) streams.push_back({stream("s" + std::to_string(i)), random_rows(random, 300)});
  for (int replica = 0; replica < 3; ++replica) world.put(streams);
  // A replica that cut its chunks elsewhere.
  std::vector<StreamOf> first, second;
  for (const StreamOf& one : streams) {
    first.push_back({one.labels, {one.rows.begin(), one.rows.begin() + 100}});
    second.push_back({one.labels, {one.rows.begin() + 100, one.rows.end()}});
  }
  world.put(first);
  world.put(second);
  const Snapshot before = read_all(*world.bucket, "t");
  EXPECT_EQ(before.rows_stored, 4U * 6 * 300);
  const RunReport report = world.run_clean();
  const Snapshot after = read_all(*world.bucket, "t");
  EXPECT_EQ(after.contents, before.contents);
  EXPECT_EQ(after.rows_stored, 6U * 300);
  EXPECT_EQ(report.rows_duplicate, 3U * 6 * 300);
  EXPECT_EQ(report.rows_in, 4U * 6 * 300);
  EXPECT_EQ(report.rows_out, 6U * 300);
}

TEST(ChunkMerge, TinyStreamsShareAChunkAndGrownOnesGetTheirOwn) {
  World world;
  for (int round = 0; round < 12; ++round) {
    std::vector<StreamOf> group;
    for (int i = 0; i < 20; ++i) group.push_back({stream("tiny" + std::to_string(i)), rows_at(kShard + round * kNanosPerMinute, 5, "t")});
    group.push_back({stream("grows"), rows_at(kShard + round * kNanosPerMinute, 50, std::string(200, 'g'))});
    world.put({}, group);
  }
  const Snapshot before = read_all(*world.bucket, "t");
  world.run_clean();
  const Snapshot after = read_all(*world.bucket, "t");
  EXPECT_EQ(after.contents, before.contents);
  EXPECT_EQ(after.object_keys.size(), 1U);
  EXPECT_EQ(after.groups, 20U);
  EXPECT_EQ(after.chunks, 21U);
  verify_objects(*world.bucket, "t");
}

TEST(ChunkMerge, LargeChunksAreCopiedByteForByte) {
  World world;
  world.options.chunk_raw_bytes_target = 64 << 10;
  for (int i = 0; i < 3; ++i) world.put({{stream("big"), rows_at(kShard + i * 10 * kNanosPerMinute, 400, std::string(150, 'x'))}, {stream("o" + std::to_string(i)), rows_at(kShard, 9, "o")}});
  const RunReport report = world.run_clean();
  EXPECT_EQ(report.chunks_copied, 3U);
  EXPECT_EQ(read_all(*world.bucket, "t").object_keys.size(), 1U);
}

TEST(ChunkMerge, LateNewcomersDoNotCauseTheBigObjectToBeRewritten) {
  World world;
  for (int i = 0; i < 4; ++i) world.put({{stream("s"), rows_at(kShard + i * 10 * kNanosPerMinute, 400, std::string(500, static_cast<char>('a' + i)) + std::to_string(i * 7919))}});
  SeededRandom random(3);
  for (int i = 0; i < 3; ++i) {
    std::vector<Row> rows;
    for (int k = 0; k < 300; ++k) rows.push_back({.ts_ns = kShard + k * kNanosPerSecond, .line = chunk::testing_rows::random_hex(random, 800), .level = 0, .metadata = {}});
    world.put({{stream("noise" + std::to_string(i)), std::move(rows)}});
  }
  EXPECT_EQ(world.run_clean().objects_out, 1U);
  const auto big = read_all(*world.bucket, "t").object_keys;
  world.put({{stream("late"), rows_at(kShard, 3, "late")}});
  EXPECT_EQ(world.run_clean().objects_in, 0U) << "one small object more is no reason";
  for (int i = 0; i < 3; ++i) world.put({{stream("late"), rows_at(kShard + i * kNanosPerHour / 4, 3, "later")}});
  const RunReport report = world.run_clean();
  EXPECT_EQ(report.objects_in, 4U) << "the four small ones, not the big one";
  EXPECT_TRUE(read_all(*world.bucket, "t").object_keys.contains(*big.begin()));
}

TEST(ChunkMerge, WaitsUntilTheShardIsSettled) {
  World world;
  for (int i = 0; i < 2; ++i) world.put({{stream("s"), rows_at(kShard + i * kNanosPerHour, 10, "x")}});
  world.clock.set_ns(kShard + 2 * kNanosPerHour + world.options.shard_settle_ns - 1);
  EXPECT_EQ(world.run_clean().objects_in, 0U);
  world.clock.advance_ns(1);
  EXPECT_EQ(world.run_clean().objects_in, 2U);
}

// Random buckets: every shape of rows, replicas, groups, several days and shards, small limits so that everything splits.
TEST(ChunkMerge, RowsBeforeAreRowsAfterwards) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    World world(seed + 100);
    world.options.chunk_raw_bytes_target = 20 << 10;
    world.options.object_bytes_target = 60 << 10;
    world.options.memory_bytes = 1 << 20;
    world.options.codec = seed % 3 == 0 ? chunk::Codec::kSnappy : chunk::Codec::kZstd;
    SeededRandom random(seed);
    const auto below = [&](std::uint64_t limit) { return random.next_u64() % limit; };
    const std::uint64_t apps = 1 + below(6);
    std::vector<StreamOf> previous;
    for (std::uint64_t object = 2 + below(8); object > 0; --object) {
      std::vector<StreamOf> singles, group;
      const std::int64_t shard = kShard + static_cast<std::int64_t>(below(3)) * chunk::kTimeShardNs;
      std::set<std::uint64_t> used;
      for (std::uint64_t i = 1 + below(4); i > 0; --i) {
        const std::uint64_t app = below(apps);
        if (!used.insert(app).second) continue;
        auto rows = random_rows(random, 1 + below(120), shard + static_cast<std::int64_t>(below(50)) * kNanosPerMinute, 1 + static_cast<std::int64_t>(below(60 * kNanosPerMinute)));
        (below(2) == 0 ? singles : group).push_back({stream("app" + std::to_string(app)), std::move(rows)});
      }
      if (below(3) == 0 && !previous.empty() && chunk::time_shard_start(previous.front().rows.front().ts_ns) == shard) {   // a replica's copy
        group.clear();
        singles = previous;
      }
      previous = singles;
      if (!singles.empty() || !group.empty()) world.put(singles, group);
    }
    const Snapshot before = read_all(*world.bucket, "t");
    world.clock.set_ns(kShard + 2 * kNanosPerDay);
    world.run_clean();
    const Snapshot after = read_all(*world.bucket, "t");
    ASSERT_EQ(after.contents, before.contents) << "seed " << seed;
    std::uint64_t rows = 0;
    for (const auto& [text, of_stream] : after.contents) rows += of_stream.size();
    ASSERT_EQ(after.rows_stored, rows) << "each entry once, seed " << seed;
    ASSERT_EQ(after.indexes, 1U);
    verify_objects(*world.bucket, "t");
    world.clock.advance_ns(2 * kNanosPerHour);
    world.run_clean();
    ASSERT_EQ(list_keys(*world.bucket, "t/chunks/"), after.object_keys) << "nothing else is left, seed " << seed;
    ASSERT_EQ(read_all(*world.bucket, "t").contents, before.contents);
    if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
}

TEST(Run, WorksOnSeveralDaysAtOnce) {
  World world;
  world.options.max_compaction_parallelism = 3;
  for (int day = 0; day < 7; ++day)
    for (int i = 0; i < 3; ++i) world.put({{stream("a"), rows_at(kShard + day * kNanosPerDay + i * kNanosPerMinute, 20, "x")}});
  world.clock.set_ns(kShard + 9 * kNanosPerDay);
  const Contents before = read_all(*world.bucket, "t").contents;
  Compactor compactor(*world.bucket, nullptr, world.limits, world.pool, world.registry, world.clock, system_random(), world.options);
  const auto report = compactor.run_once(world.ctx);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->errors.empty());
  EXPECT_EQ(report->commits, 7U);
  EXPECT_EQ(report->objects_out, 7U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, before);
}

TEST(Run, LeavesTheDaysAloneThatItIsToldTo) {
  World world;
  for (int day = 0; day < 6; ++day)
    for (int i = 0; i < 2; ++i) world.put({{stream("a"), rows_at(kShard + day * kNanosPerDay + i * kNanosPerMinute, 20, "x")}});
  world.clock.set_ns(kShard + 9 * kNanosPerDay);
  world.options.skip_latest_n_tables = 2;
  world.options.tables_to_compact = 3;
  EXPECT_EQ(world.run_clean().commits, 3U);
  EXPECT_EQ(list_keys(*world.bucket, "t/index/index_" + std::to_string(kDay) + "/").size(), 2U) << "older than the three";
  EXPECT_EQ(list_keys(*world.bucket, "t/index/index_" + std::to_string(kDay + 1) + "/").size(), 3U);
  EXPECT_EQ(list_keys(*world.bucket, "t/index/index_" + std::to_string(kDay + 4) + "/").size(), 2U);
}

// Told to stop at any request: nothing of what was begun stays.
TEST(Run, EndsWhenCancelledAndLeavesNothingBehind) {
  class Cancelling final : public objstore::ObjectStore {
   public:
    Cancelling(objstore::ObjectStore& inner, std::uint64_t at, CancelToken& token) : inner_(inner), left_(at), token_(token) {}
    Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return count(), inner_.put(key, body, ctx); }
    Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return count(), inner_.create(key, body, ctx); }
    Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override { return count(), inner_.get(key, range, ctx); }
    Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override { return count(), inner_.list(prefix, next, depth, ctx); }
    Result<void> remove(std::string_view key, const CallContext& ctx) override { return inner_.remove(key, ctx); }

   private:
    void count() {
      if (left_-- == 0) token_.cancel();
    }
    objstore::ObjectStore& inner_;
    std::uint64_t left_;
    CancelToken& token_;
  };
  bool cancelled = true;
  for (std::uint64_t at = 0; cancelled; ++at) {
    World world;
    for (int i = 0; i < 4; ++i) world.put({{stream("a"), rows_at(kShard + i * kNanosPerMinute, 50, "x")}, {stream("b"), rows_at(kShard, 5, "y")}});
    const Contents before = read_all(*world.bucket, "t").contents;
    const auto token = std::make_shared<CancelToken>();
    Cancelling store(*world.bucket, at, *token);
    world.ctx.cancel = token;
    const auto compactor = world.make(store);
    const auto report = compactor->run_once(world.ctx);
    cancelled = token->cancelled();
    if (cancelled) { ASSERT_FALSE(report.ok()); EXPECT_EQ(report.error().code(), ErrorCode::kCancelled); }
    world.ctx.cancel = nullptr;
    ASSERT_EQ(read_all(*world.bucket, "t").contents, before) << at;
    const std::size_t objects = list_keys(*world.bucket, "t/chunks/").size();
    ASSERT_TRUE(objects == 4 || objects == 5) << at;
    ASSERT_EQ(objects == 5, read_all(*world.bucket, "t").object_keys.size() == 1) << "outputs stay only if they are listed; " << at;
    world.run_clean();
    ASSERT_EQ(read_all(*world.bucket, "t").contents, before);
  }
}

}  // namespace
}  // namespace skald::compactor
