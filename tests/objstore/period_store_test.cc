#include "skald/objstore/period_store.h"

#include <gtest/gtest.h>

#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

constexpr std::int64_t kDay = 20'777;   // 2026-11-20

std::vector<std::string> keys(ObjectStore& store, std::string_view prefix = "") {
  std::vector<std::string> out;
  const std::vector<ObjectInfo> objects = list_objects(store, prefix, {}).value();
  for (const ObjectInfo& object : objects) out.push_back(object.key);
  return out;
}

class Periods : public ::testing::Test {
 protected:
  std::shared_ptr<ObjectStore> old_ = make_memory_store(), recent_ = make_memory_store();
  std::unique_ptr<ObjectStore> store_ = with_periods({{.first_day = 0, .store = old_}, {.first_day = kDay, .store = recent_}});
};

TEST_F(Periods, EachDayHasItsStore) {
  ASSERT_TRUE(store_->put("t/index/index_20776/A", "1", {}).ok());
  ASSERT_TRUE(store_->put("t/index/index_20777/B", "2", {}).ok());
  ASSERT_TRUE(store_->put("t/chunks/20261119T22/C", "3", {}).ok());
  ASSERT_TRUE(store_->create("t/chunks/20261120T00/D", "4", {}).ok());
  ASSERT_TRUE(store_->put("t/deletes/0001", "5", {}).ok());
  ASSERT_TRUE(store_->put("t/index/index_-3/E", "6", {}).ok());
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys(*old_), (Keys{"t/chunks/20261119T22/C", "t/index/index_-3/E", "t/index/index_20776/A"}));
  EXPECT_EQ(keys(*recent_), (Keys{"t/chunks/20261120T00/D", "t/deletes/0001", "t/index/index_20777/B"}));
  for (const char* key : {"t/index/index_20776/A", "t/index/index_20777/B", "t/chunks/20261119T22/C", "t/chunks/20261120T00/D", "t/deletes/0001"})
    EXPECT_TRUE(store_->get(key, {}, {}).ok()) << key;
  EXPECT_EQ(keys(*store_, "t/index/").size(), 3U);
  EXPECT_EQ(keys(*store_, "t/chunks/20261119T22/"), Keys{"t/chunks/20261119T22/C"});
  EXPECT_EQ(keys(*store_, "t/deletes/"), Keys{"t/deletes/0001"});
  EXPECT_EQ(keys(*store_).size(), 6U);
  EXPECT_EQ(list_folders(*store_, "", {}).value(), Keys{"t/"});
  EXPECT_EQ(list_folders(*store_, "t/", {}).value(), (Keys{"t/chunks/", "t/deletes/", "t/index/"}));
  const Keys all = keys(*store_);
  ASSERT_TRUE(store_->remove_all(all, {}).ok());
  EXPECT_TRUE(keys(*old_).empty());
  EXPECT_TRUE(keys(*recent_).empty());
}

TEST_F(Periods, PagesOfSeveralStoresFollowEachOther) {
  for (int i = 0; i < 1'500; ++i) {
    ASSERT_TRUE(store_->put("t" + std::to_string(i) + "/index/index_20776/A", "1", {}).ok());
    ASSERT_TRUE(store_->put("t" + std::to_string(i) + "/index/index_20777/A", "1", {}).ok());
  }
  EXPECT_EQ(keys(*store_).size(), 3'000U);
  EXPECT_EQ(list_folders(*store_, "", {}).value().size(), 1'500U);
  EXPECT_EQ(store_->list("", "7:", ListDepth::kAll, {}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(store_->list("", "x", ListDepth::kAll, {}).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(Periods, DataOfAnotherPeriodInAStoreIsNotSeen) {
  ASSERT_TRUE(old_->put("t/index/index_20780/A", "stale", {}).ok());
  EXPECT_TRUE(keys(*store_).empty());
  EXPECT_EQ(store_->get("t/index/index_20780/A", {}, {}).error().code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace skald::objstore
