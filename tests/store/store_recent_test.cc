// What a write process shows its peers: all that they may not have listed.
#include <gtest/gtest.h>

#include <set>

#include "skald/index/day_index.h"
#include "store/bucket.h"

namespace skald::store::testing {
namespace {

constexpr std::int64_t kKeep = 12 * kNanosPerMinute;
using Lines = std::map<std::string, std::vector<std::string>>;

class RecentTest : public StoreTest {
 protected:
  RecentTest() {
    ctx_.tenant = "t";
    ctx_.clock = &clock_;
  }
  std::unique_ptr<Store> make_writer() {
    StoreOptions options;
    options.recent_keep_ns = kKeep;
    return make_store(options);
  }
  Lines recent(Store& store) {
    const auto result = store.recent().select(ctx_, everything());
    EXPECT_TRUE(result.ok()) << result.error().message();
    return result.ok() ? read_lines(*result, INT64_MIN, INT64_MAX) : Lines();
  }
  static StreamOf stream(const std::string& app, std::int64_t offset_ns = 0) { return {labels({{"app", app}}), make_rows(app, 5, offset_ns)}; }
  // As a compactor commits it: `entries` instead of all of the day's index objects, `retired` let go of.
  void merge(std::uint64_t generation, const std::vector<index::IndexEntry>& entries, const std::vector<index::IndexEntry>& retired) {
    const std::int64_t day = index::day_of(kStart);
    index::DayIndexBuilder merged("t", day, index::merged_index_id(day, generation));
    for (const index::IndexEntry& entry : entries) ASSERT_TRUE(merged.add(entry.labels, entry.chunk).ok());
    for (const std::string& key : keys("t/index/")) merged.add_input(index::parse_day_index_key(key)->id);
    index::Upkeep upkeep;
    std::map<Ulid, index::ObjectRef> objects;
    for (const index::IndexEntry& entry : retired) objects.emplace(entry.chunk.object.id, entry.chunk.object);
    for (const auto& [id, object] : objects) upkeep.retired_objects.push_back({.id = id, .shard_start_ns = object.shard_start_ns, .retired_at_ms = 1});
    merged.set_upkeep(upkeep);
    const auto built = merged.finish();
    ASSERT_TRUE(built.ok());
    ASSERT_TRUE(memory_->put(index::day_index_key("t", day, built->header.id), built->bytes, CallContext()).ok());
  }
  void remove_objects(const std::vector<index::IndexEntry>& entries) {
    std::set<std::string> doomed;
    for (const index::IndexEntry& entry : entries) doomed.insert(chunk::object_key("t", entry.chunk.object.shard_start_ns, entry.chunk.object.id));
    for (const std::string& key : doomed) ASSERT_TRUE(memory_->remove(key, CallContext()).ok());
  }
  FakeClock clock_{kStart + kNanosPerHour};
  CallContext ctx_;
};

TEST_F(RecentTest, WhatShippedStaysForItsTime) {
  const auto store = make_writer();
  ASSERT_TRUE(store->refresh(ctx_).ok());
  store->add_pending("t", write_object(*memory_, "t", {stream("a")}));
  EXPECT_EQ(recent(*store), lines_of({stream("a")}));
  clock_.advance_ns(kNanosPerHour);   // pending is recent however old
  ASSERT_TRUE(store->ship_pending(ctx_).ok());
  clock_.advance_ns(kKeep / 2);
  store->add_pending("t", write_object(*memory_, "t", {stream("b")}));
  ASSERT_TRUE(store->ship_pending(ctx_).ok());
  EXPECT_EQ(recent(*store), lines_of({stream("a"), stream("b")}));
  EXPECT_EQ(store->recent().series(ctx_, everything())->size(), 2U);
  EXPECT_EQ(store->recent().label_values(ctx_, "app", everything()).value(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(store->recent().label_names(ctx_, everything())->size(), 1U);
  EXPECT_EQ(store->recent().volumes(ctx_, everything())->size(), 2U);
  clock_.advance_ns(kKeep / 2);
  EXPECT_EQ(recent(*store), lines_of({stream("b")}));
  clock_.advance_ns(kKeep / 2);
  EXPECT_TRUE(recent(*store).empty());
  EXPECT_EQ(select(*store, everything()).size(), 2U) << "the store knows more";
  EXPECT_TRUE(store->recent().select(context("u"), everything())->streams.empty());
}

TEST_F(RecentTest, ARestartedProcessLearnsWhatItShippedOrSaysThatItDoesNotKnow) {
  {
    const auto store = make_writer();
    store->add_pending("t", write_object(*memory_, "t", {stream("old")}));
    ASSERT_TRUE(store->ship_pending(ctx_).ok());
    clock_.advance_ns(kKeep);
    store->add_pending("t", write_object(*memory_, "t", {stream("young")}));
    ASSERT_TRUE(store->ship_pending(ctx_).ok());
    clock_.advance_ns(6 * kNanosPerMinute);
  }
  const auto store = make_writer();
  EXPECT_EQ(store->recent().select(ctx_, everything()).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(store->recent().series(ctx_, everything()).error().code(), ErrorCode::kUnavailable);
  store->add_pending("t", write_object(*memory_, "t", {stream("now")}));
  ASSERT_TRUE(store->ship_pending(ctx_).ok());
  EXPECT_EQ(store->recent().volumes(ctx_, everything()).error().code(), ErrorCode::kUnavailable);
  // One of the objects cannot be read yet.
  const std::vector<std::string> all = keys("t/index/");
  recording_.missing_key = all[1];
  EXPECT_FALSE(store->refresh(ctx_).ok());
  EXPECT_EQ(store->recent().select(ctx_, everything()).error().code(), ErrorCode::kUnavailable);
  recording_.missing_key.clear();
  ASSERT_TRUE(store->refresh(ctx_).ok());
  EXPECT_EQ(recent(*store), lines_of({stream("young"), stream("now")}));
  clock_.advance_ns(kKeep);
  EXPECT_TRUE(recent(*store).empty());
}

TEST_F(RecentTest, WhatACompactorReplacedMeanwhileIsShownByItsSuccessor) {
  const auto store = make_writer();
  ASSERT_TRUE(store->refresh(ctx_).ok());
  const auto before = write_object(*memory_, "t", {stream("a", kNanosPerMinute)});
  store->add_pending("t", before);
  ASSERT_TRUE(store->ship_pending(ctx_).ok());
  clock_.advance_ns(kKeep);
  const auto mine = write_object(*memory_, "t", {stream("a"), stream("gone")});
  store->add_pending("t", mine);
  ASSERT_TRUE(store->ship_pending(ctx_).ok());
  // "gone" was deleted on purpose, "a" has another object.
  const auto theirs = write_object(*memory_, "t", {stream("a")});
  merge(1, {theirs[0], before[0]}, mine);
  EXPECT_EQ(recent(*store), lines_of({stream("a"), stream("gone")})) << "not listed yet";
  ASSERT_TRUE(store->refresh(ctx_).ok());
  EXPECT_EQ(recent(*store), lines_of({stream("a")})) << "its peers may have listed neither";
  const auto select = store->recent().select(ctx_, everything());
  EXPECT_EQ(select->streams[0].blocks.size(), 1U) << "not what shipped long ago";
  remove_objects(mine);
  EXPECT_EQ(recent(*store), lines_of({stream("a")}));
}

TEST_F(RecentTest, AnObjectThatIsGoneIsLookedForByAListing) {
  const auto store = make_writer();
  ASSERT_TRUE(store->refresh(ctx_).ok());
  const auto mine = write_object(*memory_, "t", {stream("a"), stream("b")});
  store->add_pending("t", mine);
  ASSERT_TRUE(store->ship_pending(ctx_).ok());
  merge(1, write_object(*memory_, "t", {stream("a"), stream("b")}), mine);
  remove_objects(mine);
  EXPECT_EQ(recent(*store), lines_of({stream("a"), stream("b")}));
}

TEST_F(RecentTest, AnOldListingIsRenewedBeforeItAnswers) {
  StoreOptions options;
  options.listing_age_max_ns = 10 * kNanosPerMinute;
  const auto reader = make_store(options);
  const auto writer = make_writer();
  const auto read = [&] { return read_lines(*reader->select(ctx_, everything()), INT64_MIN, INT64_MAX); };
  ASSERT_TRUE(reader->refresh(ctx_).ok());
  writer->add_pending("t", write_object(*memory_, "t", {stream("a")}));
  ASSERT_TRUE(writer->ship_pending(ctx_).ok());
  EXPECT_TRUE(read().empty()) << "a tenant it has not heard of, a listing that is young";
  clock_.advance_ns(10 * kNanosPerMinute + 1);
  EXPECT_EQ(read(), lines_of({stream("a")}));
  const int lists = recording_.lists();
  writer->add_pending("t", write_object(*memory_, "t", {stream("b")}));
  ASSERT_TRUE(writer->ship_pending(ctx_).ok());
  EXPECT_EQ(read(), lines_of({stream("a")}));
  EXPECT_EQ(recording_.lists(), lists);
  clock_.advance_ns(10 * kNanosPerMinute + 1);
  EXPECT_EQ(read(), lines_of({stream("a"), stream("b")}));
  EXPECT_GT(recording_.lists(), lists);
}

}  // namespace
}  // namespace skald::store::testing
