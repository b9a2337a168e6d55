// A cache below the store's memory: what is asked of the bucket, and what bad cached bytes do.
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "skald/cache/cache.h"
#include "store/bucket.h"

namespace skald::store::testing {
namespace {

class MapCache final : public cache::Cache {
 public:
  std::vector<SharedBytes> fetch(const CallContext&, std::span<const std::string> keys) override {
    const std::lock_guard lock(mutex);
    std::vector<SharedBytes> values;
    for (const std::string& key : keys) {
      const auto found = items.find(key);
      values.push_back(found == items.end() ? nullptr : found->second);
    }
    ++fetches;
    return values;
  }
  void store(std::vector<cache::Item> stored) override {
    const std::lock_guard lock(mutex);
    for (cache::Item& item : stored) items[item.key] = item.value;
  }
  std::mutex mutex;   // guards all below
  std::map<std::string, SharedBytes> items;
  int fetches = 0;
};

// Large enough for several units of the gap, small chunks, and a group.
struct Bucket {
  std::vector<StreamOf> singles, group;
  Bucket() {
    SeededRandom random(5);
    for (int s = 0; s < 3; ++s) {
      StreamOf stream{labels({{"app", "big"}, {"n", std::to_string(s)}}), make_rows("x", 1000, 0, kNanosPerMilli)};
      for (Row& row : stream.rows) row.line = chunk::testing_rows::random_hex(random, 400);
      singles.push_back(std::move(stream));
    }
    singles.push_back({labels({{"app", "small"}}), make_rows("small", 20)});
    for (int i = 0; i < 20; ++i) group.push_back({labels({{"app", "job"}, {"n", std::to_string(i)}}), make_rows("job " + std::to_string(i), 10)});
  }
  std::map<std::string, std::vector<std::string>> lines() const {
    std::vector<StreamOf> all = singles;
    all.insert(all.end(), group.begin(), group.end());
    return lines_of(all);
  }
};

StoreOptions with_cache(const std::shared_ptr<cache::Cache>& cache) {
  StoreOptions options;
  options.coalesce_gap_bytes = 16 << 10;
  options.chunk_cache = cache;
  return options;
}

TEST_F(StoreTest, ARestartedStoreReadsChunksFromTheCacheAlone) {
  const Bucket bucket;
  const auto cache = std::make_shared<MapCache>();
  const auto entries = write_object(*memory_, "t", bucket.singles, bucket.group);
  for (int round = 0; round < 2; ++round) {
    const auto store = make_store(with_cache(cache));
    store->add_pending("t", entries);
    recording_.take_gets();
    EXPECT_EQ(select(*store, everything()), bucket.lines());
    const std::size_t gets = recording_.take_gets().size();
    if (round == 0) EXPECT_GT(gets, 3U);
    else EXPECT_EQ(gets, 0U);
  }
  for (const auto& [key, value] : cache->items) EXPECT_TRUE(key.starts_with("c/t/chunks/")) << key;
}

TEST_F(StoreTest, CachedBytesThatAreNotTheChunkCostARequestAndNothingElse) {
  const Bucket bucket;
  const auto cache = std::make_shared<MapCache>();
  const auto entries = write_object(*memory_, "t", bucket.singles, bucket.group);
  {
    const auto store = make_store(with_cache(cache));
    store->add_pending("t", entries);
    select(*store, everything());
  }
  // Heads and small chunks replaced by rubbish of the same size, all else by bytes of another size.
  std::size_t heads = 0;
  for (auto& [key, value] : cache->items) {
    const bool head = std::any_of(entries.begin(), entries.end(), [&](const index::IndexEntry& entry) {
      return key.find(":" + std::to_string(entry.chunk.offset) + "-") != std::string::npos;
    });
    heads += head;
    value = std::make_shared<const Bytes>(head ? value->size() : value->size() / 2, 'x');
  }
  ASSERT_GT(heads, 3U);
  const auto store = make_store(with_cache(cache));
  store->add_pending("t", entries);
  EXPECT_EQ(select(*store, everything()), bucket.lines());
  const std::string metrics = registries_.back()->expose_text();
  const std::size_t at = metrics.find("\nloki_cache_corrupt_chunks_total ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_GE(std::stod(metrics.substr(at + 33)), static_cast<double>(heads));
  recording_.take_gets();
  const auto again = make_store(with_cache(cache));
  again->add_pending("t", entries);
  EXPECT_EQ(select(*again, everything()), bucket.lines());
  EXPECT_TRUE(recording_.take_gets().empty()) << "what was wrong has been replaced";
}

TEST_F(StoreTest, OldChunksAreNotPutBackOrGoToTheSecondCache) {
  const Bucket bucket;
  FakeClock clock(kStart + kNanosPerDay);
  CallContext ctx = context();
  ctx.clock = &clock;
  const auto entries = write_object(*memory_, "t", bucket.singles, bucket.group);
  const auto read_all = [&](const StoreOptions& options) {
    const auto store = make_store(options);
    store->add_pending("t", entries);
    const auto result = store->select(ctx, everything());
    ASSERT_TRUE(result.ok());
    for (const auto& stream : result->streams)
      for (const auto& slice : stream.blocks) ASSERT_TRUE(slice.block->load(chunk::kAllColumns, ctx).ok());
  };
  const auto near = std::make_shared<MapCache>(), far = std::make_shared<MapCache>();
  StoreOptions options = with_cache(near);
  options.skip_writeback_older_than_ns = kNanosPerHour;
  read_all(options);
  EXPECT_TRUE(near->items.empty());
  options.skip_writeback_older_than_ns = 2 * kNanosPerDay;
  options.chunk_cache_l2 = far;
  options.l2_handoff_ns = kNanosPerHour;
  read_all(options);
  EXPECT_TRUE(near->items.empty());
  EXPECT_FALSE(far->items.empty());
  far->items.clear();
  options.l2_handoff_ns = 2 * kNanosPerDay;
  read_all(options);
  EXPECT_FALSE(near->items.empty());
  EXPECT_TRUE(far->items.empty());
}

}  // namespace
}  // namespace skald::store::testing
