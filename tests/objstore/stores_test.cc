#include "skald/objstore/encryption.h"
#include "skald/objstore/stores.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include <cstdlib>
#include <filesystem>
#include <map>

namespace skald::objstore {
namespace {

// Every store must pass the same tests: in memory, on the in-memory file system and on a real one.
struct Fixture {
  std::unique_ptr<io::FileSystem> fs;
  std::unique_ptr<ObjectStore> store;
  std::string root;
  ~Fixture() {
    store.reset();
    if (!root.empty()) std::filesystem::remove_all(root);
  }
};

class Stores : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "encrypted") {
      fixture_.store = with_encryption(make_memory_store(), KeyRing::parse("k:" + std::string(64, '7'), "test").value());
    } else if (GetParam() == "memory") {
      fixture_.store = make_memory_store();
    } else if (GetParam() == "memory_fs") {
      fixture_.fs = io::make_memory_file_system();
      fixture_.store = open_filesystem_store(*fixture_.fs, "/data/bucket").value();
    } else {
      char pattern[] = "/tmp/skald-objstore-XXXXXX";
      fixture_.root = ::mkdtemp(pattern);
      fixture_.store = open_filesystem_store(io::posix_file_system(), fixture_.root + "/bucket/").value();
    }
  }
  std::vector<std::string> list_all(std::string_view prefix) {
    std::vector<std::string> keys;
    const std::vector<ObjectInfo> objects = list_objects(store(), prefix, ctx_).value();
    for (const ObjectInfo& object : objects) keys.push_back(object.key);
    return keys;
  }
  ObjectStore& store() { return *fixture_.store; }
  Fixture fixture_;
  CallContext ctx_;
};

TEST_P(Stores, GiveBackWhatWasPut) {
  Bytes body(100'000, 'x');
  body[5] = '\0';
  ASSERT_TRUE(store().put("fake/chunks/20261120T06/A", body, ctx_).ok());
  EXPECT_EQ(store().get("fake/chunks/20261120T06/A", {}, ctx_).value(), body);
  ASSERT_TRUE(store().put("fake/chunks/20261120T06/A", "shorter", ctx_).ok());
  EXPECT_EQ(store().get("fake/chunks/20261120T06/A", {}, ctx_).value(), "shorter");
  ASSERT_TRUE(store().put("empty", "", ctx_).ok());
  EXPECT_EQ(store().get("empty", {}, ctx_).value(), "");
}

TEST_P(Stores, ReadRangesClippedToTheObject) {
  ASSERT_TRUE(store().put("k", "0123456789", ctx_).ok());
  EXPECT_EQ(store().get("k", {2, 5}, ctx_).value(), "234");
  EXPECT_EQ(store().get("k", {7, 100}, ctx_).value(), "789");
  EXPECT_EQ(store().get("k", {10, 12}, ctx_).value(), "");
  EXPECT_EQ(store().get("k", {11, 12}, ctx_).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(store().get("k", {5, 4}, ctx_).error().code(), ErrorCode::kInvalidArgument);
}

TEST_P(Stores, SayNotFoundAndRemoveTwice) {
  EXPECT_EQ(store().get("a/b/c", {}, ctx_).error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(store().put("a/b/c", "1", ctx_).ok());
  EXPECT_TRUE(store().remove("a/b/c", ctx_).ok());
  EXPECT_TRUE(store().remove("a/b/c", ctx_).ok());
  EXPECT_EQ(store().get("a/b/c", {}, ctx_).error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE(list_all("").empty());
  ASSERT_TRUE(store().put("a/b/d", "1", ctx_).ok());   // the directories went and come again
  EXPECT_EQ(list_all("").size(), 1U);
}

TEST_P(Stores, ListInKeyOrderBelowAPrefix) {
  for (const char* key : {"t/a/x", "t/a-b", "t/a.c", "t/a0", "t/a/y/z", "t/b", "u/a", "t0"}) {
    ASSERT_TRUE(store().put(key, "v", ctx_).ok()) << key;
  }
  using Keys = std::vector<std::string>;
  EXPECT_EQ(list_all(""), (Keys{"t/a-b", "t/a.c", "t/a/x", "t/a/y/z", "t/a0", "t/b", "t0", "u/a"}));
  EXPECT_EQ(list_all("t/"), (Keys{"t/a-b", "t/a.c", "t/a/x", "t/a/y/z", "t/a0", "t/b"}));
  EXPECT_EQ(list_all("t/a/"), (Keys{"t/a/x", "t/a/y/z"}));
  EXPECT_EQ(list_all("t/a"), (Keys{"t/a-b", "t/a.c", "t/a/x", "t/a/y/z", "t/a0"}));
  EXPECT_EQ(list_all("t/a/y/zz"), Keys{});
  EXPECT_EQ(list_all("nothing/here"), Keys{});
  EXPECT_EQ(list_all("/"), Keys{});
  EXPECT_EQ(list_all("../"), Keys{});
}

TEST_P(Stores, ListOneLevelAsFoldersAndObjects) {
  for (const char* key : {"t/a/x", "t/a-b", "t/a.c", "t/a/y/z", "t/b", "u/a", "top"}) {
    ASSERT_TRUE(store().put(key, "v", ctx_).ok()) << key;
  }
  const auto level = [&](std::string_view prefix) {
    const ListPage page = store().list(prefix, "", ListDepth::kOneLevel, ctx_).value();
    EXPECT_EQ(page.next, "");
    std::vector<std::string> names = page.folders;
    for (const ObjectInfo& object : page.objects) names.push_back(object.key);
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(level(""), (Names{"t/", "u/", "top"}));
  EXPECT_EQ(level("t/"), (Names{"t/a/", "t/a-b", "t/a.c", "t/b"}));
  EXPECT_EQ(level("t/a"), (Names{"t/a/", "t/a-b", "t/a.c"}));
  EXPECT_EQ(level("t/a/"), (Names{"t/a/y/", "t/a/x"}));
  EXPECT_EQ(level("none/"), Names{});
  EXPECT_EQ(list_folders(store(), "", ctx_).value(), (Names{"t/", "u/"}));
}

TEST_P(Stores, PageThroughManyFolders) {
  const int count = GetParam() == "posix" ? 1'010 : 2'100;   // real syncs are slow
  for (int i = 0; i < count; ++i) ASSERT_TRUE(store().put("tenant-" + std::to_string(i) + "/index/x", "v", ctx_).ok());
  EXPECT_EQ(list_folders(store(), "", ctx_).value().size(), static_cast<std::size_t>(count));
  EXPECT_NE(store().list("", "", ListDepth::kOneLevel, ctx_).value().next, "");
}

TEST_P(Stores, CreateOnlyWhatIsNotThere) {
  ASSERT_TRUE(store().create("locks/a", "first", ctx_).ok());
  EXPECT_EQ(store().create("locks/a", "second", ctx_).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(store().get("locks/a", {}, ctx_).value(), "first");
  ASSERT_TRUE(store().remove("locks/a", ctx_).ok());
  EXPECT_TRUE(store().create("locks/a", "third", ctx_).ok());
  EXPECT_EQ(store().get("locks/a", {}, ctx_).value(), "third");
}

TEST_P(Stores, OneOfManyCreatorsWins) {
  std::atomic<int> winners{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] { winners += store().create("race", "v", CallContext{}).ok() ? 1 : 0; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(winners, 1);
}

TEST_P(Stores, RemoveSeveralAtOnce) {
  for (const char* key : {"a/1", "a/2", "b/1"}) ASSERT_TRUE(store().put(key, "v", ctx_).ok());
  const std::vector<std::string> gone{"a/1", "b/1", "never/there"};
  EXPECT_TRUE(store().remove_all(gone, ctx_).ok());
  EXPECT_EQ(list_all(""), std::vector<std::string>{"a/2"});
}

TEST_P(Stores, PageThroughLongLists) {
  std::vector<std::string> expected;
  for (int i = 0; i < 2'300; ++i) {
    char key[32];
    std::snprintf(key, sizeof key, "p/%02d/%05d", i / 100, i);
    expected.emplace_back(key);
    if (GetParam() == "posix" && i >= 1'050) {   // real syncs are slow; two pages are enough there
      expected.pop_back();
      break;
    }
    ASSERT_TRUE(store().put(key, "v", ctx_).ok());
  }
  EXPECT_EQ(list_all("p/"), expected);
  EXPECT_NE(store().list("p/", "", ListDepth::kAll, ctx_).value().next, "");
  EXPECT_EQ(store().list("p/", "", ListDepth::kAll, ctx_).value().objects.size(), kListPageObjects);
}

TEST_P(Stores, RefuseKeysThatCouldEscape) {
  const std::string long_segment(256, 'a');
  for (const std::string& key : {std::string(""), std::string("/a"), std::string("a/"), std::string("a//b"), std::string(".."),
                                 std::string("a/../b"), std::string("./a"), std::string("a\0b", 3), long_segment,
                                 std::string(200, 'a') + std::string(800, '/')}) {
    EXPECT_EQ(store().put(key, "x", ctx_).error().code(), ErrorCode::kInvalidArgument) << key;
    EXPECT_EQ(store().get(key, {}, ctx_).error().code(), ErrorCode::kInvalidArgument) << key;
    EXPECT_EQ(store().remove(key, ctx_).error().code(), ErrorCode::kInvalidArgument) << key;
  }
  EXPECT_TRUE(store().put("a..b/c", "x", ctx_).ok());
}

TEST_P(Stores, StopWhenCancelled) {
  auto cancel = std::make_shared<CancelToken>();
  cancel->cancel();
  CallContext ctx;
  ctx.cancel = cancel;
  EXPECT_EQ(store().put("k", "v", ctx).error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(store().get("k", {}, ctx_).error().code(), ErrorCode::kNotFound);
}

INSTANTIATE_TEST_SUITE_P(All, Stores, testing::Values("memory", "memory_fs", "posix", "encrypted"),
                         [](const auto& param_info) { return param_info.param; });

TEST(FilesystemStore, OpeningDeletesTemporaryFiles) {
  auto fs = io::make_memory_file_system();
  ASSERT_TRUE(fs->make_directories("/b/.skald-tmp").ok());
  ASSERT_TRUE(fs->create("/b/.skald-tmp/left").value()->append("torn").ok());
  auto store = open_filesystem_store(*fs, "/b").value();
  EXPECT_TRUE(fs->list("/b/.skald-tmp").value().empty());
  EXPECT_TRUE(store->list("", "", ListDepth::kAll, {}).value().objects.empty());
  EXPECT_FALSE(store->put(".skald-tmp/x", "v", {}).ok());
}

TEST(FilesystemStore, RefusesAKeyBelowAnObject) {
  auto fs = io::make_memory_file_system();
  auto store = open_filesystem_store(*fs, "/b").value();
  ASSERT_TRUE(store->put("x", "v", {}).ok());
  EXPECT_FALSE(store->put("x/y", "v", {}).ok());
  EXPECT_EQ(store->get("x", {}, {}).value(), "v");
  EXPECT_TRUE(fs->list("/b/.skald-tmp").value().empty());
}

TEST(Faults, FollowTheScript) {
  auto plan = std::make_shared<FaultPlan>();
  auto store = with_faults(make_memory_store(), plan);
  plan->fail_nth(Operation::kPut, 2);
  EXPECT_TRUE(store->put("a", "1", {}).ok());
  EXPECT_EQ(store->put("a", "2", {}).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(store->get("a", {}, {}).value(), "1");
  EXPECT_TRUE(store->put("a", "3", {}).ok());

  plan->fail_nth(Operation::kPut, 1, {.code = ErrorCode::kDeadlineExceeded, .message = "lost reply", .after_effect = true, .torn_bytes = {}});
  EXPECT_EQ(store->put("a", "4", {}).error().message(), "lost reply");
  EXPECT_EQ(store->get("a", {}, {}).value(), "4");

  plan->fail_nth(Operation::kPut, 1, {.code = ErrorCode::kIo, .message = "torn", .after_effect = false, .torn_bytes = 3});
  EXPECT_FALSE(store->put("b", "12345", {}).ok());
  EXPECT_EQ(store->get("b", {}, {}).value(), "123");
  plan->fail_nth(Operation::kGet, 1, {.code = ErrorCode::kIo, .message = "", .after_effect = false, .torn_bytes = 2});
  EXPECT_EQ(store->get("b", {}, {}).value(), "12");

  plan->fail_always(Operation::kList);
  EXPECT_FALSE(store->list("", "", ListDepth::kAll, {}).ok());
  EXPECT_FALSE(store->list("", "", ListDepth::kAll, {}).ok());
  plan->clear();
  EXPECT_TRUE(store->list("", "", ListDepth::kAll, {}).ok());
  EXPECT_EQ(plan->calls(Operation::kList), 3U);
}

TEST(Faults, HookSeesEveryCallAndMayCallTheStore) {
  auto plan = std::make_shared<FaultPlan>();
  auto store = with_faults(make_memory_store(), plan);
  std::vector<std::string> seen;
  plan->set_hook([&](Operation operation, std::string_view key) {
    seen.emplace_back(key);
    if (operation == Operation::kGet) {
      ASSERT_TRUE(store->remove("gone", {}).ok());
    }
  });
  ASSERT_TRUE(store->put("gone", "1", {}).ok());
  EXPECT_FALSE(store->get("gone", {}, {}).ok());
  EXPECT_EQ(seen, (std::vector<std::string>{"gone", "gone", "gone"}));
}

TEST(Metrics, CountOperationsAndFailures) {
  obs::Registry registry;
  auto plan = std::make_shared<FaultPlan>();
  auto store = with_metrics(with_faults(make_memory_store(), plan), "chunks", registry);
  plan->fail_nth(Operation::kPut, 1);
  EXPECT_FALSE(store->put("a", "12", {}).ok());
  EXPECT_TRUE(store->put("a", "12", {}).ok());
  EXPECT_TRUE(store->get("a", {}, {}).ok());
  EXPECT_FALSE(store->get("b", {}, {}).ok());
  const auto value = [&](const char* name, const char* operation) {
    return registry.counter_family(name, "", {"bucket", "operation"}).with({"chunks", operation}).value();
  };
  EXPECT_EQ(value("loki_objstore_bucket_operations_total", "upload"), 2);
  EXPECT_EQ(value("loki_objstore_bucket_operation_failures_total", "upload"), 1);
  EXPECT_EQ(value("loki_objstore_bucket_operations_total", "get"), 2);
  EXPECT_EQ(value("loki_objstore_bucket_operation_failures_total", "get"), 0);
  EXPECT_EQ(value("loki_objstore_bucket_operation_fetched_bytes_total", "get"), 2);
}

}  // namespace
}  // namespace skald::objstore
