#include "compactor/size_limit.h"

#include <gtest/gtest.h>

#include <set>

#include "compactor/day.h"
#include "skald/compactor/compactor.h"

#include "skald/index/day_index.h"
#include "skald/objstore/stores.h"
#include "store/bucket.h"

namespace skald::compactor {
namespace {

using store::testing::kStart;
using store::testing::labels;
using store::testing::make_rows;
using store::testing::write_object;

constexpr std::int64_t kShard = chunk::kTimeShardNs;
constexpr std::int64_t kLater = kStart + 30 * kNanosPerDay;

class SizeLimit : public testing::Test {
 protected:
  SizeLimit() { ctx_.clock = &clock_; }

  // An object of a shard, listed by an index object of its own.
  std::vector<index::IndexEntry> write(const std::string& tenant, std::int64_t shard) {
    auto entries = write_object(*bucket_, tenant, {{labels({{"app", "a"}}), make_rows("a", 100, shard - kStart)}}, {}, shard);
    index::DayIndexBuilder builder(tenant, index::day_of(shard), Ulid::make(shard, random_));
    for (const auto& entry : entries) EXPECT_TRUE(builder.add(entry.labels, entry.chunk).ok());
    auto built = builder.finish();
    EXPECT_TRUE(bucket_->put(index::day_index_key(tenant, index::day_of(shard), built->header.id), built->bytes, ctx_).ok());
    return entries;
  }
  std::uint64_t total() {
    std::uint64_t bytes = 0;
    const auto objects = objstore::list_objects(*bucket_, "", ctx_).value();
    for (const auto& object : objects) bytes += object.size;
    return bytes;
  }
  std::vector<std::string> chosen(std::uint64_t max_bytes, std::int64_t now_ns = kLater) {
    std::vector<std::string> out;
    const auto shards = shards_over_size(*bucket_, max_bytes, now_ns, ctx_).value();
    for (const ShardToDrop& shard : shards) out.push_back(shard.tenant + " " + std::to_string((shard.shard_start_ns - kStart) / kShard));
    return out;
  }
  // What the indexes of the first day still list, in shards after kStart.
  std::set<std::int64_t> live_shards(const std::string& tenant) {
    DayListing listing{.day = index::day_of(kStart), .ids = {}};
    const auto objects = objstore::list_objects(*bucket_, tenant + "/index/index_" + std::to_string(listing.day) + "/", ctx_).value();
    for (const auto& object : objects) listing.ids.push_back(index::parse_day_index_key(object.key)->id);
    std::set<std::int64_t> shards;
    const DayState state = DayState::load(*bucket_, ctx_, tenant, listing).value();
    for (const auto& [id, object] : state.objects()) shards.insert((object.shard_start_ns - kStart) / kShard);
    return shards;
  }
  std::size_t count(const std::string& prefix) { return objstore::list_objects(*bucket_, prefix, ctx_)->size(); }

  std::unique_ptr<objstore::ObjectStore> bucket_ = objstore::make_memory_store();
  SeededRandom random_{1};
  FakeClock clock_{kLater};
  CallContext ctx_;
};

using Names = std::vector<std::string>;

TEST_F(SizeLimit, ChoosesTheOldestShardsOfAllTenants) {
  write("bob", kStart);
  write("anna", kStart + kShard);
  write("bob", kStart + kShard);
  write("bob", kStart + kShard);   // two objects of one shard
  write("anna", kStart + 13 * kShard);
  const std::uint64_t all = total();
  EXPECT_EQ(chosen(all), Names{});
  EXPECT_EQ(chosen(all - 1), Names{"bob 0"});
  const auto first = shards_over_size(*bucket_, all - 1, kLater, ctx_).value();
  EXPECT_EQ(chosen(all - first[0].bytes), Names{"bob 0"});
  EXPECT_EQ(chosen(all - first[0].bytes - 1), (Names{"bob 0", "anna 1"}));
  EXPECT_EQ(chosen(0), (Names{"bob 0", "anna 1", "bob 1", "anna 13"}));
  // What is still being written stays.
  EXPECT_EQ(chosen(0, kStart + 2 * kShard), (Names{"bob 0", "anna 1", "bob 1"}));
  EXPECT_EQ(chosen(0, kStart + 2 * kShard - 1), Names{"bob 0"});
}

TEST_F(SizeLimit, DropsThemFromIndexAndBucketAtOnce) {
  write("anna", kStart);
  write("anna", kStart + kShard);
  write("anna", kStart + 13 * kShard);
  write("bob", kStart);
  const auto shards = shards_over_size(*bucket_, total() - 1, kLater, ctx_).value();
  ASSERT_EQ(shards.size(), 1U);
  int committed = 0;
  DropOptions options;
  options.committed = [&] {
    ++committed;
    EXPECT_EQ(count("anna/chunks/"), 3U);   // not deleted before readers were told
  };
  const DropReport report = drop_shards(*bucket_, shards, options, ctx_).value();
  EXPECT_EQ(committed, 1);
  EXPECT_EQ(report.shards, 1U);
  EXPECT_EQ(report.chunks, 1U);
  EXPECT_EQ(report.objects_deleted, 1U);
  EXPECT_EQ(report.bytes_deleted, shards[0].bytes);
  EXPECT_EQ(count("anna/chunks/"), 2U);
  EXPECT_EQ(count("bob/chunks/"), 1U);
  EXPECT_EQ(live_shards("anna"), (std::set<std::int64_t>{1}));
  EXPECT_EQ(live_shards("bob"), (std::set<std::int64_t>{0}));
}

// Interrupted between the change of the index and the deletion: the next look chooses the same shard and deletes it.
TEST_F(SizeLimit, GoesOnWhereItWasInterrupted) {
  write("anna", kStart);
  write("anna", kStart + kShard);
  auto plan = std::make_shared<objstore::FaultPlan>();
  bucket_ = objstore::with_faults(std::move(bucket_), plan);
  const auto shards = shards_over_size(*bucket_, total() - 1, kLater, ctx_).value();
  plan->fail_nth(objstore::Operation::kRemove, 1);
  EXPECT_FALSE(drop_shards(*bucket_, shards, {}, ctx_).ok());
  EXPECT_EQ(count("anna/chunks/"), 2U);
  const auto again = shards_over_size(*bucket_, total() - 1, kLater, ctx_).value();
  EXPECT_EQ(again, shards);
  ASSERT_TRUE(drop_shards(*bucket_, again, {}, ctx_).ok());
  EXPECT_EQ(count("anna/chunks/"), 1U);
}

TEST_F(SizeLimit, ARunOfTheCompactorKeepsTheSize) {
  for (int shard = 0; shard < 5; ++shard) write("anna", kStart + shard * kShard);
  CompactorOptions options;
  options.bucket_bytes_max = total() - 1;
  options.shard_settle_ns = 100 * kNanosPerDay;   // nothing else happens
  exec::Pool pool("test", 1);
  obs::Registry registry;
  struct : config::LimitsProvider {
    config::LimitsPtr for_tenant(const std::string&) const override { return std::make_shared<const config::Limits>(); }
  } limits;
  Compactor compactor(*bucket_, nullptr, limits, pool, registry, clock_, random_, options);
  const RunReport report = compactor.run_once(ctx_).value();
  EXPECT_TRUE(report.errors.empty());
  EXPECT_EQ(report.shards_dropped, 1U);
  EXPECT_EQ(live_shards("anna"), (std::set<std::int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(count("anna/chunks/"), 4U);
}

}  // namespace
}  // namespace skald::compactor
