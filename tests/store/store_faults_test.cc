// What happens when the bucket misbehaves, and while things change under queries.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "skald/index/day_index.h"
#include "store/bucket.h"

namespace skald::store::testing {
namespace {

std::vector<StreamOf> streams(const std::string& app, int count) {
  std::vector<StreamOf> made;
  for (int i = 0; i < count; ++i) made.push_back({labels({{"app", app}, {"n", std::to_string(i)}}), make_rows(app + std::to_string(i), 20)});
  return made;
}

// A store whose every index and chunk read goes to the bucket.
const StoreOptions kNoCache{.chunk_cache_bytes = 0, .coalesce_gap_bytes = 0};

TEST_F(StoreTest, AMissingObjectIsAnErrorThatNamesKeyAndOffset) {
  const auto store = make_store();
  const auto entries = write_object(*memory_, "t", streams("a", 2));
  store->add_pending("t", entries);
  const std::string key = chunk::object_key("t", kStart, entries[0].chunk.object.id);
  ASSERT_TRUE(memory_->remove(key, CallContext()).ok());
  const auto result = store->select(context(), everything());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::kCorruption) << "not 404: the query is fine, the bucket is not";
  EXPECT_NE(result.error().message().find(key), std::string::npos) << result.error().message();
  EXPECT_NE(result.error().message().find("offset " + std::to_string(entries[0].chunk.offset)), std::string::npos) << result.error().message();
}

TEST_F(StoreTest, ADamagedChunkIsAnErrorThatNamesKeyAndOffset) {
  const auto entries = write_object(*memory_, "t", streams("a", 3));
  const index::ChunkRef& ref = entries[1].chunk;
  const std::string key = chunk::object_key("t", kStart, ref.object.id);
  const auto intact = memory_->get(key, {}, CallContext());
  std::uint64_t found_by_select = 0, found_by_load = 0;
  for (std::uint64_t at = ref.offset; at < ref.offset + ref.length; at += 7) {
    Bytes damaged = *intact;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    ASSERT_TRUE(memory_->put(key, damaged, CallContext()).ok());
    const auto store = make_store(kNoCache);
    store->add_pending("t", entries);
    const auto result = store->select(context(), everything());
    std::string message;
    if (!result.ok()) {
      ++found_by_select;
      message = result.error().message();
    } else {
      for (const chunk::StreamData& stream : result->streams) {
        const auto columns = stream.blocks.at(0).block->load(chunk::kAllColumns, CallContext());
        if (columns.ok()) continue;
        ++found_by_load;
        message = columns.error().message();
        EXPECT_EQ(stream.labels->text, entries[1].labels->text);
      }
    }
    if (message.empty()) {   // bytes of the footer serve copies and salvage, queries do not read them
      EXPECT_GE(at, ref.offset + ref.length - 32) << "byte " << at - ref.offset << " of the chunk";
      continue;
    }
    EXPECT_NE(message.find(key), std::string::npos) << message;
    EXPECT_NE(message.find("offset " + std::to_string(ref.offset)), std::string::npos) << message;
  }
  EXPECT_GT(found_by_select, 0U);
  EXPECT_GT(found_by_load, 0U);
}

TEST_F(StoreTest, AReferenceToAnotherChunkIsRefused) {
  const auto entries = write_object(*memory_, "t", streams("a", 2), streams("g", 3));
  const auto fails = [&](std::size_t i, auto change) {
    const auto store = make_store();
    index::IndexEntry entry = entries[i];
    change(entry);
    store->add_pending("t", {entry});
    const auto result = store->select(context(), everything());
    return !result.ok() && result.error().code() == ErrorCode::kCorruption;
  };
  EXPECT_FALSE(fails(0, [](index::IndexEntry&) {}));
  EXPECT_FALSE(fails(2, [](index::IndexEntry&) {}));
  EXPECT_TRUE(fails(0, [&](index::IndexEntry& e) { e.labels = entries[1].labels; }));
  EXPECT_TRUE(fails(0, [](index::IndexEntry& e) { e.chunk.rows += 1; }));
  EXPECT_TRUE(fails(0, [](index::IndexEntry& e) { e.chunk.group = true; }));
  EXPECT_TRUE(fails(0, [](index::IndexEntry& e) { e.chunk.hot_length -= 1; }));
  EXPECT_TRUE(fails(0, [](index::IndexEntry& e) { e.chunk.offset += 64; }));
  EXPECT_TRUE(fails(2, [&](index::IndexEntry& e) { e.labels = entries[0].labels; }));
  EXPECT_TRUE(fails(2, [](index::IndexEntry& e) { e.chunk.first_row += 1; }));
  EXPECT_TRUE(fails(2, [](index::IndexEntry& e) { e.chunk.group = false; }));
}

TEST_F(StoreTest, AFailedReadIsAnErrorAndTheNextQueryWorks) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", streams("a", 2)));
  faults_->fail_nth(objstore::Operation::kGet, 1);
  const auto failed = store->select(context(), everything());
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code(), ErrorCode::kUnavailable);
  faults_->fail_nth(objstore::Operation::kGet, 1, {.torn_bytes = 10});
  EXPECT_FALSE(store->select(context(), everything()).ok()) << "short answers are not empty answers";
  EXPECT_EQ(select(*store, everything()), lines_of(streams("a", 2)));
}

TEST_F(StoreTest, ACancelledQueryEnds) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", streams("a", 2)));
  CallContext ctx = context();
  auto token = std::make_shared<CancelToken>();
  token->cancel();
  ctx.cancel = token;
  const auto result = store->select(ctx, everything());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::kCancelled);
}

TEST_F(StoreTest, WhatCouldNotShipStaysPendingAndVisible) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", streams("a", 3)));
  store->add_pending("u", write_object(*memory_, "u", streams("b", 3)));
  faults_->fail_nth(objstore::Operation::kPut, 1);
  const auto result = store->ship_pending(CallContext());
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message().find("tenant t"), std::string::npos);
  EXPECT_EQ(store->pending_count(), 3U) << "the other tenant shipped";
  store->add_pending("t", write_object(*memory_, "t", streams("c", 2)));
  EXPECT_EQ(store->pending_count(), 5U);
  EXPECT_EQ(select(*store, everything()).size(), 5U);
  EXPECT_EQ(select(*store, everything(), "u"), lines_of(streams("b", 3)));
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  EXPECT_EQ(store->pending_count(), 0U);
  EXPECT_EQ(select(*store, everything()).size(), 5U);
  EXPECT_EQ(keys("t/index/").size(), 1U);
}

TEST_F(StoreTest, AnIndexObjectWhosePutIsUnknownIsHarmless) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", streams("a", 3)));
  faults_->fail_nth(objstore::Operation::kPut, 1, {.after_effect = true, .torn_bytes = {}});
  ASSERT_FALSE(store->ship_pending(CallContext()).ok());
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_EQ(keys("t/index/").size(), 2U);
  EXPECT_EQ(select(*store, everything()), lines_of(streams("a", 3)));
}

TEST_F(StoreTest, ADamagedIndexObjectFailsItsDayAndNothingElse) {
  {
    const auto writer = make_store();
    writer->add_pending("t", write_object(*memory_, "t", streams("a", 3)));
    ASSERT_TRUE(writer->ship_pending(CallContext()).ok());
  }
  const std::string key = keys("t/index/").at(0);
  const auto intact = memory_->get(key, {}, CallContext());
  Bytes damaged = *intact;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  ASSERT_TRUE(memory_->put(key, damaged, CallContext()).ok());

  const auto store = make_store();
  store->add_pending("u", write_object(*memory_, "u", streams("b", 1)));
  ASSERT_TRUE(store->refresh(CallContext()).ok()) << "nothing has been opened yet";
  const auto answer = store->select(context(), everything());
  ASSERT_FALSE(answer.ok()) << "an incomplete answer must not look complete";
  EXPECT_EQ(answer.error().code(), ErrorCode::kCorruption);
  EXPECT_NE(answer.error().message().find(key), std::string::npos);
  EXPECT_FALSE(store->label_names(context(), everything()).ok());
  EXPECT_FALSE(store->series(context(), everything()).ok());
  EXPECT_FALSE(store->volumes(context(), everything()).ok());
  EXPECT_TRUE(store->select(context(), {.matchers = {}, .start_ns = 0, .end_ns = kNanosPerDay}).ok()) << "other days";
  EXPECT_EQ(select(*store, everything(), "u"), lines_of(streams("b", 1))) << "other tenants";
  recording_.take_gets();
  EXPECT_FALSE(store->select(context(), everything()).ok());
  EXPECT_TRUE(recording_.take_gets().empty()) << "not read again before the next refresh";

  StoreOptions ready;
  ready.query_ready_num_days = 365;
  FakeClock clock(kStart + kNanosPerDay);
  CallContext ctx;
  ctx.clock = &clock;
  const auto refreshed = make_store(ready)->refresh(ctx);
  ASSERT_FALSE(refreshed.ok()) << "opened ahead";
  EXPECT_EQ(refreshed.error().code(), ErrorCode::kCorruption);
  EXPECT_NE(refreshed.error().message().find(key), std::string::npos) << refreshed.error().message();

  ASSERT_TRUE(memory_->put(key, *intact, CallContext()).ok());
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_EQ(select(*store, everything()), lines_of(streams("a", 3)));
}

TEST_F(StoreTest, AnIndexObjectUnderAnotherNameIsRefused) {
  const auto writer = make_store();
  writer->add_pending("t", write_object(*memory_, "t", streams("a", 1)));
  ASSERT_TRUE(writer->ship_pending(CallContext()).ok());
  const std::string key = keys("t/index/").at(0);
  const auto bytes = memory_->get(key, {}, CallContext());
  ASSERT_TRUE(memory_->put(index::day_index_key("t", 7, index::parse_day_index_key(key)->id), *bytes, CallContext()).ok());
  const auto store = make_store();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_TRUE(store->select(context(), {.matchers = {}, .start_ns = kStart, .end_ns = kStart + kNanosPerHour}).ok());
  EXPECT_FALSE(store->select(context(), everything()).ok());
}

TEST_F(StoreTest, RefreshFindsEveryTenantWhateverTheirNames) {
  const std::vector<std::string> tenants = {"a", "a-b", "a.b", "a0", "aa", "!x", "z_(1)", "fake"};
  {
    const auto writer = make_store();
    for (const std::string& tenant : tenants) writer->add_pending(tenant, write_object(*memory_, tenant, streams(tenant, 1)));
    ASSERT_TRUE(writer->ship_pending(CallContext()).ok());
  }
  ASSERT_TRUE(memory_->put("cluster_seed.json", "{}", CallContext()).ok());
  for (int i = 0; i < 1500; ++i) ASSERT_TRUE(memory_->put("a/chunks/20261120T06/" + std::to_string(100'000 + i), "x", CallContext()).ok());
  const auto store = make_store();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  for (const std::string& tenant : tenants) EXPECT_EQ(select(*store, everything(), tenant), lines_of(streams(tenant, 1))) << tenant;
}

TEST_F(StoreTest, RefreshForgetsWhatIsGoneAndOpensNothingTwice) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", streams("a", 1)));
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  recording_.take_gets();
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_TRUE(recording_.take_gets().empty());
  ASSERT_TRUE(memory_->remove(keys("t/index/").at(0), CallContext()).ok());
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_TRUE(select(*store, everything()).empty());
}

TEST_F(StoreTest, AnObjectShippedDuringAListingIsKept) {
  const auto store = make_store();
  store->add_pending("t", write_object(*memory_, "t", streams("a", 1)));
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  store->add_pending("t", write_object(*memory_, "t", streams("b", 1)));
  // Ships between the listing of the tenant's index and the end of the refresh: the pages already answered lack the object.
  bool shipped = false;
  recording_.after_list = [&](std::string_view prefix) {
    if (prefix != "t/index/" || std::exchange(shipped, true)) return;
    EXPECT_TRUE(store->ship_pending(CallContext()).ok());
  };
  EXPECT_TRUE(store->refresh(CallContext()).ok());
  recording_.after_list = nullptr;
  EXPECT_TRUE(shipped);
  const auto result = store->select(context(), {.matchers = {}, .start_ns = kStart, .end_ns = kStart + kNanosPerHour});
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->streams.size(), 2U);
}

TEST_F(StoreTest, AMergedIndexStandsForItsInputs) {
  const auto store = make_store();
  const auto first = write_object(*memory_, "t", streams("a", 2)), second = write_object(*memory_, "t", streams("b", 2));
  store->add_pending("t", first);
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  store->add_pending("t", second);
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  // The merged object leaves out stream b/1, as a deletion would; its inputs are still there, as in the grace period.
  const std::int64_t day = index::day_of(kStart);
  index::DayIndexBuilder merged("t", day, Ulid::make(kStart + kNanosPerHour, system_random()));
  for (const auto& entry : {first[0], first[1], second[0]}) ASSERT_TRUE(merged.add(entry.labels, entry.chunk).ok());
  for (const std::string& key : keys("t/index/")) merged.add_input(index::parse_day_index_key(key)->id);
  const auto built = merged.finish();
  ASSERT_TRUE(memory_->put(index::day_index_key("t", day, built->header.id), built->bytes, CallContext()).ok());
  ASSERT_TRUE(store->refresh(CallContext()).ok());
  EXPECT_EQ(select(*store, everything()).size(), 3U);
}

// An ingester that crashed between shipping an entry and noting that it had lists it again after its restart, however long that
// took: by then compaction may have replaced the object, and deleted it.
TEST_F(StoreTest, AnObjectThatCompactionLetGoOfIsNotAskedFor) {
  const auto before = make_store();
  const auto first = write_object(*memory_, "t", streams("a", 2)), second = write_object(*memory_, "t", streams("b", 2));
  before->add_pending("t", first);
  before->add_pending("t", second);
  ASSERT_TRUE(before->ship_pending(CallContext()).ok());
  const std::int64_t day = index::day_of(kStart);
  index::DayIndexBuilder merged("t", day, Ulid::make(kStart + kNanosPerHour, system_random()));
  for (const auto& entry : second) ASSERT_TRUE(merged.add(entry.labels, entry.chunk).ok());   // `first` expired, say
  merged.set_upkeep({.retired_objects = {{first[0].chunk.object.id, first[0].chunk.object.shard_start_ns, 1}}, .retired_indexes = {}, .compacted = {}, .deletes = {}});
  for (const std::string& key : keys("t/index/")) merged.add_input(index::parse_day_index_key(key)->id);
  const auto built = merged.finish();
  ASSERT_TRUE(memory_->put(index::day_index_key("t", day, built->header.id), built->bytes, CallContext()).ok());
  for (const std::string& key : keys("t/chunks/")) {
    if (!key.ends_with(first[0].chunk.object.id.to_string())) continue;
    ASSERT_TRUE(memory_->remove(key, CallContext()).ok());
  }
  const auto after = make_store();
  ASSERT_TRUE(after->refresh(CallContext()).ok());
  after->add_pending("t", first);   // from the write-ahead log
  EXPECT_EQ(select(*after, everything()).size(), 2U);
  const auto volumes = after->volumes(context(), everything());
  ASSERT_TRUE(volumes.ok());
  EXPECT_EQ(volumes->size(), 2U);
}

TEST_F(StoreTest, QueriesSeeEveryEntryWhileItShips) {
  const auto store = make_store();
  constexpr int kRounds = 25;
  std::vector<std::vector<index::IndexEntry>> batches;
  for (int i = 0; i < kRounds; ++i) batches.push_back(write_object(*memory_, "t", streams("r" + std::to_string(i), 2)));
  std::atomic<int> added{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!done.load()) {
        const int at_least = added.load();
        const auto result = store->select(context(), everything());
        ASSERT_TRUE(result.ok()) << result.error().message();
        ASSERT_GE(result->streams.size(), static_cast<std::size_t>(2 * at_least));
        ASSERT_LE(result->streams.size(), static_cast<std::size_t>(2 * kRounds));
        for (const chunk::StreamData& stream : result->streams) ASSERT_EQ(stream.blocks.size(), 1U) << "once, pending or shipped";
      }
    });
  }
  std::thread refresher([&] {
    while (!done.load()) ASSERT_TRUE(store->refresh(CallContext()).ok());
  });
  for (int i = 0; i < kRounds; ++i) {
    store->add_pending("t", batches[static_cast<std::size_t>(i)]);
    added.store(i + 1);
    if (i % 2 == 0) {
      ASSERT_TRUE(store->ship_pending(CallContext()).ok());
    }
  }
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  refresher.join();
  EXPECT_EQ(select(*store, everything()).size(), 2U * kRounds);
}

TEST_F(StoreTest, AHundredThousandPendingStreamsAnswerFromMaps) {
  const auto store = make_store();
  std::vector<index::IndexEntry> entries;
  const index::ObjectRef object{.id = Ulid::make(kStart, system_random()), .shard_start_ns = kStart, .length = 0, .tail_offset = 0};
  for (int i = 0; i < 100'000; ++i) {
    index::ChunkRef ref;
    ref.object = object;
    ref.offset = static_cast<std::uint64_t>(i) * 64;
    ref.length = 64;
    ref.min_ts_ns = kStart + i;
    ref.max_ts_ns = kStart + i + kNanosPerSecond;
    ref.rows = 1;
    entries.push_back({labels({{"app", "a" + std::to_string(i % 100)}, {"pod", "p" + std::to_string(i)}}), ref});
  }
  store->add_pending("t", std::move(entries));
  EXPECT_EQ(store->refs(context(), everything({matcher(model::MatchType::kEqual, "pod", "p77777")}))->size(), 1U);
  EXPECT_EQ(store->refs(context(), everything({matcher(model::MatchType::kEqual, "app", "a7"), matcher(model::MatchType::kNotEqual, "pod", "p7")}))->size(), 999U);
  EXPECT_EQ(store->label_values(context(), "pod", everything())->size(), 100'000U);
  ASSERT_TRUE(store->ship_pending(CallContext()).ok());
  EXPECT_EQ(store->refs(context(), everything({matcher(model::MatchType::kEqual, "pod", "p77777")}))->size(), 1U);
  EXPECT_EQ(store->series(context(), everything())->size(), 100'000U);
}

}  // namespace
}  // namespace skald::store::testing
