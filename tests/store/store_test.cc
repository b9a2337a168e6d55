#include "skald/store/store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "store/bucket.h"

namespace skald::store::testing {
namespace {

using model::MatchType;

std::vector<StreamOf> web_streams() {
  return {{labels({{"app", "web"}, {"env", "prod"}}), make_rows("web prod", 200)},
          {labels({{"app", "web"}, {"env", "dev"}}), make_rows("web dev", 100, 50 * kNanosPerSecond)},
          {labels({{"app", "db"}, {"env", "prod"}}), make_rows("db prod", 300, kNanosPerMinute)}};
}

std::vector<StreamOf> small_streams(int count) {
  std::vector<StreamOf> streams;
  for (int i = 0; i < count; ++i)
    streams.push_back({labels({{"app", "job"}, {"instance", "i-" + std::to_string(i)}}), make_rows("job " + std::to_string(i), 5 + i % 7, i * kNanosPerSecond)});
  return streams;
}

std::vector<StreamOf> both(std::vector<StreamOf> a, const std::vector<StreamOf>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_F(StoreTest, PendingEntriesAreVisibleAtOnce) {
  const auto store = make_store();
  EXPECT_TRUE(select(*store, everything()).empty()) << "an unknown tenant has nothing";
  store->add_pending("t", write_object(*memory_, "t", web_streams(), small_streams(40)));
  EXPECT_EQ(store->pending_count(), 43U);
  EXPECT_EQ(select(*store, everything()), lines_of(both(web_streams(), small_streams(40))));
  EXPECT_TRUE(select(*store, everything(), "other").empty());
  EXPECT_EQ(recording_.lists(), 0) << "queries never list";
}

TEST_F(StoreTest, MatchersChooseStreams) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", web_streams(), small_streams(40)));
  EXPECT_EQ(select(*store, everything({matcher(MatchType::kEqual, "app", "web")})).size(), 2U);
  EXPECT_EQ(select(*store, everything({matcher(MatchType::kEqual, "app", "job"), matcher(MatchType::kRegex, "instance", "i-3.")})).size(), 10U);
  EXPECT_EQ(select(*store, everything({matcher(MatchType::kEqual, "env", "")})).size(), 40U);
  EXPECT_TRUE(select(*store, everything({matcher(MatchType::kEqual, "app", "none")})).empty());
}

TEST_F(StoreTest, RangesAreInclusiveAtBothEnds) {
  const auto store = make_store();
  const auto streams = both(web_streams(), small_streams(40));
  store->add_pending("t", write_object(*memory_, "t", web_streams(), small_streams(40)));
  for (const auto& [start_s, end_s] : std::vector<std::pair<int, int>>{{0, 0}, {10, 20}, {199, 199}, {199, 400}, {359, 359}, {360, 1000}, {-5, -1}, {20, 10}}) {
    rpc::SelectRequest request{.matchers = {}, .start_ns = kStart + start_s * kNanosPerSecond, .end_ns = kStart + end_s * kNanosPerSecond};
    EXPECT_EQ(select(*store, request), lines_of(streams, request.start_ns, request.end_ns)) << start_s << " to " << end_s;
  }
}

TEST_F(StoreTest, ShippingChangesNothingForQueriesAndLeavesNothingPending) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", web_streams(), small_streams(40)));
  store->add_pending("u", write_object(*memory_, "u", web_streams()));
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  EXPECT_EQ(store->pending_count(), 0U);
  const auto shipped = keys("t/index/");
  ASSERT_EQ(shipped.size(), 1U);
  EXPECT_EQ(shipped[0].substr(0, shipped[0].rfind('/')), "t/index/index_" + std::to_string(index::day_of(kStart)));
  EXPECT_EQ(keys("u/index/").size(), 1U);
  EXPECT_EQ(select(*store, everything()), lines_of(both(web_streams(), small_streams(40))));
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  EXPECT_EQ(keys("t/index/").size(), 1U) << "nothing new, nothing written";
  const std::string metrics = registries_.back()->expose_text();
  for (const char* sample : {"loki_index_request_duration_seconds_count{operation=\"index_chunk\",status_code=\"200\",component=\"store\"} 2",
                             "loki_index_request_duration_seconds_count{operation=\"chunk_refs\",status_code=\"200\",component=\"store\"} 1",
                             "loki_tsdb_shipper_tables_upload_operation_total{component=\"store\",status=\"success\"} 2"}) {
    EXPECT_NE(metrics.find(sample), std::string::npos) << sample;
  }

  const auto other = make_store();
  ASSERT_TRUE(other->refresh(CallContext()).ok());
  EXPECT_EQ(select(*other, everything()), lines_of(both(web_streams(), small_streams(40))));
  EXPECT_EQ(select(*other, everything(), "u"), lines_of(web_streams()));
}

TEST_F(StoreTest, AChunkThatSeveralIndexesListAppearsOnce) {
  const auto store = make_store();
  const auto entries = write_object(*memory_, "t", web_streams(), small_streams(10));
  const auto expected = lines_of(both(web_streams(), small_streams(10)));
  store->add_pending("t", entries);
  store->add_pending("t", entries);
  EXPECT_EQ(store->pending_count(), 13U);
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  store->add_pending("t", entries);   // replayed from the WAL after a crash between shipping and forgetting
  EXPECT_EQ(select(*store, everything()), expected);
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  EXPECT_EQ(keys("t/index/").size(), 2U);
  EXPECT_EQ(select(*store, everything()), expected);
  const auto volumes = store->volumes(context(), everything());
  ASSERT_TRUE(volumes.ok());
  for (const rpc::SeriesVolume& volume : *volumes) EXPECT_EQ(volume.chunks, 1U);
}

TEST_F(StoreTest, ReplicasOfTheSameRowsAreReadOnce) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", web_streams(), small_streams(10)));
  store->add_pending("t", write_object(*memory_, "t", web_streams(), small_streams(10)));
  EXPECT_EQ(select(*store, everything()), lines_of(both(web_streams(), small_streams(10))));
  const auto more = StreamOf{web_streams()[0].labels, make_rows("web prod", 199)};
  store->add_pending("t", write_object(*memory_, "t", {more}));
  EXPECT_EQ(select(*store, everything()).at(more.labels->text).size(), 399U) << "other rows, another chunk: the engine deduplicates entries";
}

TEST_F(StoreTest, AChunkAcrossMidnightIsInBothDaysAndReadOnce) {
  const std::int64_t midnight = (index::day_of(kStart) + 1) * kNanosPerDay;
  const StreamOf late{labels({{"app", "late"}}), make_rows("late", 20, midnight - kStart - 10 * kNanosPerSecond)};
  const auto store = make_store();
  // A chunk never crosses a time shard in production; the index does not rely on it.
  auto entries = write_object(*memory_, "t", {{late.labels, std::vector<Row>(late.rows.begin(), late.rows.begin() + 10)}}, {}, midnight - chunk::kTimeShardNs);
  entries[0].chunk.max_ts_ns = midnight + 5;
  store->add_pending("t", entries);
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  EXPECT_EQ(keys("t/index/").size(), 2U);
  EXPECT_EQ(select(*store, everything()).at(late.labels->text).size(), 10U);
  for (const auto& [start, end] : {std::pair{midnight - kNanosPerSecond, midnight - 1}, std::pair{midnight, midnight + kNanosPerHour}}) {
    const auto series = store->series(context(), {.matchers = {}, .start_ns = start, .end_ns = end});
    ASSERT_TRUE(series.ok());
    EXPECT_EQ(series->size(), 1U);
  }
}

TEST_F(StoreTest, SeriesHonourChunkTimesAndLabelsHonourDays) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", web_streams(), small_streams(5)));
  for (int shipped = 0; shipped < 2; ++shipped) {
    rpc::SelectRequest early{.matchers = {}, .start_ns = kStart, .end_ns = kStart + 30 * kNanosPerSecond};
    const auto series = store->series(context(), early);
    ASSERT_TRUE(series.ok());
    EXPECT_EQ(series->size(), 6U) << "web dev starts at 50 s, db prod at 60 s";
    EXPECT_EQ(*store->label_names(context(), early), (std::vector<std::string>{"app", "env", "instance"}));
    EXPECT_EQ(*store->label_values(context(), "app", early), (std::vector<std::string>{"db", "job", "web"}));
    early.matchers = {matcher(MatchType::kEqual, "app", "web")};
    EXPECT_EQ(*store->label_names(context(), early), (std::vector<std::string>{"app", "env"}));
    EXPECT_EQ(*store->label_values(context(), "env", early), (std::vector<std::string>{"dev", "prod"}));
    EXPECT_TRUE(store->label_values(context(), "none", early)->empty());
    rpc::SelectRequest tomorrow{.matchers = {}, .start_ns = kStart + kNanosPerDay, .end_ns = kStart + 2 * kNanosPerDay};
    EXPECT_TRUE(store->label_names(context(), tomorrow)->empty());
    EXPECT_TRUE(store->label_values(context(), "app", tomorrow)->empty());
    EXPECT_TRUE(store->series(context(), tomorrow)->empty());
    ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  }
}

TEST_F(StoreTest, VolumesAreExactForWholeChunksAndBySketchForParts) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", web_streams()));
  for (int shipped = 0; shipped < 2; ++shipped) {
    const auto whole = store->volumes(context(), everything({matcher(MatchType::kEqual, "app", "db")}));
    ASSERT_TRUE(whole.ok());
    ASSERT_EQ(whole->size(), 1U);
    const StreamOf db = web_streams()[2];
    std::uint64_t bytes = 0;
    for (const Row& row : db.rows) bytes += row.line.size();
    EXPECT_EQ(whole->at(0).bytes, bytes);
    EXPECT_EQ(whole->at(0).entries, 300U);
    EXPECT_EQ(whole->at(0).chunks, 1U);
    rpc::SelectRequest part{.matchers = {matcher(MatchType::kEqual, "app", "db")}, .start_ns = kStart + kNanosPerMinute, .end_ns = kStart + 2 * kNanosPerMinute};
    const auto share = store->volumes(context(), part);
    ASSERT_TRUE(share.ok());
    EXPECT_NEAR(static_cast<double>(share->at(0).entries), 61.0, 2.0);
    ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  }
}

TEST_F(StoreTest, RefsComeWithSketchesOnRequest) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", web_streams()));
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  recording_.take_gets();
  const auto plain = store->refs(context(), everything());
  const auto with_sketches = store->refs(context(), everything(), index::WithSketches::kYes);
  ASSERT_TRUE(plain.ok() && with_sketches.ok());
  ASSERT_EQ(with_sketches->size(), 3U);
  for (const auto& stream : *with_sketches) {
    const chunk::Sketch& sketch = stream.chunks.at(0).sketch;
    ASSERT_NE(sketch.width_s, 0U);
    std::uint64_t rows = 0;
    for (const std::uint32_t in_bucket : sketch.rows) rows += in_bucket;
    EXPECT_EQ(rows, stream.chunks[0].rows);
  }
  for (const auto& stream : *plain) EXPECT_EQ(stream.chunks.at(0).sketch.width_s, 0U);
  EXPECT_TRUE(recording_.take_gets().empty()) << "no chunk is opened for references";
}

// Requests and cache.

TEST_F(StoreTest, NeighbouringHeadsComeWithOneRequestAndGroupsAreOpenedOnce) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", web_streams(), small_streams(200)));
  recording_.take_gets();
  const auto result = store->select(context(), everything());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->stats.store_chunk_refs, 203U);
  EXPECT_EQ(result->stats.store_chunks_matched, 4U);
  EXPECT_EQ(recording_.take_gets().size(), 1U);
  std::set<const chunk::Block*> blocks;
  for (const chunk::StreamData& stream : result->streams)
    for (const chunk::BlockSlice& slice : stream.blocks) blocks.insert(slice.block.get());
  EXPECT_EQ(blocks.size(), 4U) << "members of a group share their block";
  EXPECT_EQ(read_lines(*result, INT64_MIN, INT64_MAX), lines_of(both(web_streams(), small_streams(200))));
  EXPECT_TRUE(recording_.take_gets().empty()) << "small chunks came as a whole";
  EXPECT_EQ(select(*store, everything()).size(), 203U);
  EXPECT_TRUE(recording_.take_gets().empty()) << "the second query is served from memory";
}

TEST_F(StoreTest, TheStreamsOfAGroupShareOneDecodedBlock) {
  for (const std::uint64_t cache_bytes : {std::uint64_t{0}, std::uint64_t{64 << 20}}) {
    const auto store = make_store({.chunk_cache_bytes = cache_bytes, .coalesce_gap_bytes = 512 << 10});
    store->add_pending("t", write_object(*memory_, "t", {}, small_streams(20)));
    const auto result = store->select(context(), everything());
    ASSERT_TRUE(result.ok());
    ASSERT_EQ(result->streams.size(), 20U);
    std::weak_ptr<const chunk::Columns> first;
    for (const chunk::StreamData& stream : result->streams) {
      const auto columns = stream.blocks.at(0).block->load(chunk::kLines, CallContext());   // dropped before the next
      ASSERT_TRUE(columns.ok());
      if (first.expired()) first = *columns;
      EXPECT_EQ(first.lock(), *columns);
    }
    EXPECT_FALSE(first.expired());
  }
}

TEST_F(StoreTest, LargeObjectsAreNotReadAsAWhole) {
  // Incompressible, so that stored sizes are about raw sizes.
  SeededRandom random(5);
  std::vector<StreamOf> streams;
  for (int s = 0; s < 4; ++s) {
    StreamOf stream{labels({{"app", "big"}, {"n", std::to_string(s)}}), make_rows("x", 4000, 0, kNanosPerMilli)};
    for (Row& row : stream.rows) row.line = chunk::testing_rows::random_hex(random, 400);
    streams.push_back(std::move(stream));
  }
  const auto store = make_store({.chunk_cache_bytes = 64 << 20, .coalesce_gap_bytes = 16 << 10});
  const auto entries = write_object(*memory_, "t", streams);
  store->add_pending("t", entries);
  const std::uint64_t object_bytes = entries[0].chunk.object.length;
  ASSERT_GT(object_bytes, 3'000'000U);
  recording_.take_gets();
  const auto result = store->select(context(), everything());
  ASSERT_TRUE(result.ok());
  std::uint64_t bytes = 0;
  for (const Got& got : recording_.take_gets()) bytes += got.bytes;
  EXPECT_LT(bytes, object_bytes / 10) << "heads only";
  EXPECT_EQ(read_lines(*result, INT64_MIN, INT64_MAX), lines_of(streams));
}

TEST_F(StoreTest, TheCacheKeepsToItsLimit) {
  std::vector<StreamOf> streams;
  for (int i = 0; i < 30; ++i) streams.push_back({labels({{"n", std::to_string(i)}}), make_rows(std::string(2000, 'a') + std::to_string(i), 200)});
  for (const std::uint64_t limit : {std::uint64_t{0}, std::uint64_t{20'000}}) {
    const auto store = make_store({.chunk_cache_bytes = limit, .coalesce_gap_bytes = 512 << 10});
    store->add_pending("t", write_object(*memory_, "t", streams));
    EXPECT_EQ(select(*store, everything()), lines_of(streams)) << "an evicted chunk still answers the query that opened it";
    const std::string metrics = registries_.back()->expose_text();
    const std::string name = "loki_embeddedcache_memory_bytes{cache=\"chunksembedded-cache\"} ";
    const std::size_t at = metrics.find(name);
    ASSERT_NE(at, std::string::npos);
    EXPECT_LE(std::stod(metrics.substr(at + name.size())), static_cast<double>(limit));
  }
}

}  // namespace
}  // namespace skald::store::testing
