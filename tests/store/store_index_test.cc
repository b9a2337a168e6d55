// Index objects: opened when needed, kept within a budget, replaced under a query's feet.
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "skald/cache/cache.h"
#include "skald/index/day_index.h"
#include "store/bucket.h"

namespace skald::store::testing {
namespace {

constexpr std::int64_t kDays = 5;

std::vector<StreamOf> streams_of_day(std::int64_t day) {
  std::vector<StreamOf> made;
  for (int i = 0; i < 3; ++i) made.push_back({labels({{"app", "a"}, {"n", std::to_string(i)}}), make_rows("day " + std::to_string(day), 10, day * kNanosPerDay)});
  return made;
}

class StoreIndexTest : public StoreTest {
 protected:
  // Two index objects for each of kDays days.
  void fill() {
    const auto writer = make_store();
    for (std::int64_t day = 0; day < kDays; ++day) {
      for (int part = 0; part < 2; ++part) {
        std::vector<StreamOf> streams = streams_of_day(day);
        if (part == 1) streams = {{labels({{"app", "b"}}), make_rows("b", 5, day * kNanosPerDay)}};
        const auto entries = write_object(*memory_, "t", streams, {}, kStart + day * kNanosPerDay);
        all_entries_.insert(all_entries_.end(), entries.begin(), entries.end());
        writer->add_pending("t", entries);
        EXPECT_TRUE(writer->ship_pending(CallContext()).ok());
      }
    }
    recording_.take_gets();
  }
  static rpc::SelectRequest day(std::int64_t number) {
    return {.matchers = {}, .start_ns = kStart + number * kNanosPerDay, .end_ns = kStart + number * kNanosPerDay + kNanosPerHour};
  }
  std::size_t index_gets() {
    std::size_t count = 0;
    for (const Got& got : recording_.take_gets()) count += got.key.find("/index/") != std::string::npos;
    return count;
  }
  // One index object in place of the day's, over `entries`; the ones it replaces stay.
  void merge_day(std::int64_t day, const std::vector<index::IndexEntry>& entries) {
    const std::int64_t number = index::day_of(kStart) + day;
    index::DayIndexBuilder merged("t", number, Ulid::make(kStart + kDays * kNanosPerDay, system_random()));
    for (const index::IndexEntry& entry : entries) ASSERT_TRUE(merged.add(entry.labels, entry.chunk).ok());
    for (const std::string& key : day_keys(day)) merged.add_input(index::parse_day_index_key(key)->id);
    const auto built = merged.finish();
    ASSERT_TRUE(built.ok());
    ASSERT_TRUE(memory_->put(index::day_index_key("t", number, built->header.id), built->bytes, CallContext()).ok());
  }
  std::vector<std::string> day_keys(std::int64_t day) { return keys("t/index/index_" + std::to_string(index::day_of(kStart) + day) + "/"); }
  std::vector<index::IndexEntry> entries_of(std::int64_t day) {
    std::vector<index::IndexEntry> found;
    for (const auto& entry : all_entries_)
      if (index::day_of(entry.chunk.min_ts_ns) == index::day_of(kStart) + day) found.push_back(entry);
    return found;
  }
  void remove_all(const std::vector<std::string>& doomed) {
    for (const std::string& key : doomed) ASSERT_TRUE(memory_->remove(key, CallContext()).ok());
  }
  std::vector<index::IndexEntry> all_entries_;
};

TEST_F(StoreIndexTest, OnlyTheDaysAskedForAreReadAndEachOnce) {
  fill();
  const auto store = make_store();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_EQ(index_gets(), 0U);
  const int lists = recording_.lists();
  EXPECT_EQ(store->series(context(), day(2))->size(), 4U);
  EXPECT_EQ(index_gets(), 2U);
  EXPECT_EQ(store->series(context(), day(2))->size(), 4U);
  EXPECT_TRUE(store->label_names(context(), day(2)).ok());
  EXPECT_TRUE(store->volumes(context(), day(2)).ok());
  EXPECT_EQ(index_gets(), 0U);
  EXPECT_EQ(store->label_values(context(), "app", everything())->size(), 2U);
  EXPECT_EQ(index_gets(), 2U * (kDays - 1));
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_EQ(store->series(context(), everything())->size(), 4U);
  EXPECT_EQ(index_gets(), 0U);
  EXPECT_EQ(recording_.lists() - lists, 2) << "the refresh: tenants, and one tenant's index";
}

TEST_F(StoreIndexTest, MemoryIsBoundedAndASmallOneOnlyCostsRequests) {
  fill();
  StoreOptions options;
  options.index_memory_bytes = 1;
  const auto store = make_store(options);
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(store->series(context(), everything())->size(), 4U);
    EXPECT_EQ(index_gets(), 2U * kDays);
  }
  EXPECT_NE(registries_.back()->expose_text().find("loki_embeddedcache_memory_bytes{cache=\"index-pages\"} 0\n"), std::string::npos);
}

TEST_F(StoreIndexTest, ARestartReadsThroughTheCacheAndAWrongCachedObjectIsReadAnew) {
  fill();
  io::FileSystem& files = io::posix_file_system();
  config::CacheBlockConfig config;
  config.embedded_enabled = true;
  obs::Registry registry;
  const std::shared_ptr<cache::Cache> cache = *cache::open(config, {.name = "index"}, files, registry);
  StoreOptions options;
  options.index_cache = cache;
  for (int round = 0; round < 2; ++round) {
    const auto store = make_store(options);
    ASSERT_TRUE(store->refresh(CallContext()).ok());
    EXPECT_EQ(store->series(context(), everything())->size(), 4U);
    EXPECT_EQ(index_gets(), round == 0 ? 2U * kDays : 0U);
  }
  for (const std::string& key : keys("t/index/")) cache->store({{.key = "i/" + key, .value = std::make_shared<const Bytes>("rubbish")}});
  const auto store = make_store(options);
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_EQ(store->series(context(), everything())->size(), 4U);
}

TEST_F(StoreIndexTest, ManyFirstQueriesReadEachObjectOnce) {
  fill();
  const auto store = make_store();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] { EXPECT_EQ(store->series(context(), everything())->size(), 4U); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(index_gets(), 2U * kDays);
}

TEST_F(StoreIndexTest, TheLastDaysAreOpenedAhead) {
  fill();
  StoreOptions options;
  options.query_ready_num_days = 1;
  const auto store = make_store(options);
  FakeClock clock(kStart + (kDays - 1) * kNanosPerDay);
  CallContext ctx;
  ctx.clock = &clock;
  ASSERT_TRUE(store->refresh(ctx).ok());
  EXPECT_EQ(index_gets(), 4U) << "today and the day before";
  EXPECT_EQ(store->series(context(), day(kDays - 1))->size(), 4U);
  EXPECT_EQ(index_gets(), 0U);
}

TEST_F(StoreIndexTest, AMergedObjectsInputsAreReadOnceAtMost) {
  fill();
  merge_day(0, entries_of(0));
  const auto store = make_store();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_EQ(select(*store, day(0)).size(), 4U);
  EXPECT_EQ(index_gets(), 3U);
  StoreOptions no_memory;
  no_memory.index_memory_bytes = 1;
  const auto small = make_store(no_memory);
  ASSERT_TRUE(small->refresh(CallContext()).ok());
  EXPECT_EQ(select(*small, day(0)).size(), 4U);
  index_gets();
  EXPECT_EQ(select(*small, day(0)).size(), 4U);
  EXPECT_EQ(index_gets(), 1U) << "what is replaced is known";
}

TEST_F(StoreIndexTest, ADamagedInputOfAMergedObjectHarmsNobody) {
  fill();
  const std::vector<std::string> inputs = day_keys(0);
  merge_day(0, entries_of(0));
  ASSERT_TRUE(memory_->put(inputs.front(), "rubbish", CallContext()).ok());
  const auto store = make_store();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_EQ(select(*store, day(0)).size(), 4U);
}

TEST_F(StoreIndexTest, AnIndexReplacedSinceTheListingIsLookedForOnce) {
  fill();
  const auto store = make_store();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  const std::vector<std::string> inputs = day_keys(1);
  merge_day(1, entries_of(1));
  remove_all(inputs);
  const int lists = recording_.lists();
  EXPECT_EQ(select(*store, day(1)).size(), 4U);
  EXPECT_EQ(recording_.lists() - lists, 1);
  EXPECT_EQ(select(*store, day(1)).size(), 4U);
  EXPECT_EQ(select(*store, day(2)).size(), 4U);
  EXPECT_EQ(recording_.lists() - lists, 1);
  // Retention took the whole day.
  remove_all(day_keys(3));
  EXPECT_TRUE(select(*store, day(3)).empty());
  EXPECT_EQ(select(*store, everything()).size(), 4U);
}

TEST_F(StoreIndexTest, AnIndexThatIsListedAndCannotBeFoundIsDamage) {
  fill();
  const auto store = make_store();
  recording_.missing_key = day_keys(1).front();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  const auto result = store->select(context(), day(1));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::kCorruption);
}

TEST_F(StoreIndexTest, AChunkReplacedSinceTheListingIsLookedForOnce) {
  fill();
  const auto store = make_store();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  ASSERT_TRUE(store->series(context(), everything()).ok()) << "all indexes are open";
  // The same rows in another object; the old chunks and indexes are gone.
  std::vector<StreamOf> streams = streams_of_day(1);
  streams.push_back({labels({{"app", "b"}}), make_rows("b", 5, kNanosPerDay)});
  const auto rewritten = write_object(*memory_, "t", streams, {}, kStart + kNanosPerDay);
  const std::vector<std::string> inputs = day_keys(1);
  merge_day(1, rewritten);
  remove_all(inputs);
  std::set<std::string> objects;
  for (const auto& entry : entries_of(1)) objects.insert(chunk::object_key("t", entry.chunk.object.shard_start_ns, entry.chunk.object.id));
  remove_all({objects.begin(), objects.end()});
  const int lists = recording_.lists();
  EXPECT_EQ(select(*store, day(1)), lines_of(streams));
  EXPECT_EQ(recording_.lists() - lists, 1);
  EXPECT_EQ(select(*store, day(1)), lines_of(streams));
  EXPECT_EQ(recording_.lists() - lists, 1);
}

TEST_F(StoreIndexTest, QueriesWithoutTextReadNoChunk) {
  fill();
  const auto store = make_store();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_TRUE(store->label_names(context(), everything()).ok());
  EXPECT_TRUE(store->label_values(context(), "app", everything()).ok());
  EXPECT_TRUE(store->series(context(), everything()).ok());
  EXPECT_TRUE(store->volumes(context(), everything()).ok());
  EXPECT_TRUE(store->refs(context(), everything(), index::WithSketches::kYes).ok());
  EXPECT_EQ(recording_.take_chunk_gets(), 0U);
}

}  // namespace
}  // namespace skald::store::testing
