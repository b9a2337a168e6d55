// What every object store must do, for stores of a real service or its emulator: everything happens below a fresh prefix.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "skald/base/random.h"
#include "skald/objstore/object_store.h"

namespace skald::objstore {

// `otherwise`, unless SKALD_TEST_LARGE_BYTES says how large an object of such a service may be.
inline std::size_t large_bytes(std::size_t otherwise) {
  const char* text = std::getenv("SKALD_TEST_LARGE_BYTES");
  return text == nullptr ? otherwise : std::stoul(text);
}

class StoreContract {
 public:
  explicit StoreContract(ObjectStore& store, std::size_t large_bytes)
      : store_(store), large_bytes_(large_bytes), root_("contract-" + std::to_string(system_random().next_u64()) + "/") {}

  void run() {
    for (const auto& check : {&StoreContract::objects_come_back, &StoreContract::ranges_are_clipped, &StoreContract::absent_objects,
                              &StoreContract::odd_keys, &StoreContract::listings, &StoreContract::folders, &StoreContract::pages,
                              &StoreContract::creation, &StoreContract::creators_race, &StoreContract::bad_keys, &StoreContract::cancelled,
                              &StoreContract::large_objects}) {
      (this->*check)();
      clear();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

 private:
  std::string key(const std::string& name) const { return root_ + name; }
  std::vector<std::string> keys_below(const std::string& prefix) {
    std::vector<std::string> keys;
    const auto objects = list_objects(store_, key(prefix), ctx_);
    EXPECT_TRUE(objects.ok()) << objects.error().message();
    if (objects.ok())
      for (const ObjectInfo& object : *objects) keys.push_back(object.key.substr(root_.size()));
    return keys;
  }
  void put(const std::string& name, std::string_view body) {
    const auto result = store_.put(key(name), body, ctx_);
    ASSERT_TRUE(result.ok()) << name << ": " << result.error().message();
  }
  void expect_body(const std::string& name, ByteRange range, const std::string& body) {
    const auto got = store_.get(key(name), range, ctx_);
    ASSERT_TRUE(got.ok()) << got.error().message();
    EXPECT_TRUE(*got == body) << name << " [" << range.begin << ", " << range.end << "): " << got->size() << " bytes";
  }
  ErrorCode get_error(const std::string& name, ByteRange range = {}) {
    const auto got = store_.get(key(name), range, ctx_);
    return got.ok() ? ErrorCode::kInternal : got.error().code();
  }
  void clear() {
    std::vector<std::string> keys;
    for (const std::string& name : keys_below("")) keys.push_back(key(name));
    const auto removed = store_.remove_all(keys, ctx_);
    EXPECT_TRUE(removed.ok()) << removed.error().message();
    EXPECT_TRUE(keys_below("").empty());
  }

  void objects_come_back() {
    Bytes body(100'000, 'x');
    body[5] = '\0';
    put("fake/chunks/20261120T06/A", body);
    expect_body("fake/chunks/20261120T06/A", {}, body);
    put("fake/chunks/20261120T06/A", "shorter");
    expect_body("fake/chunks/20261120T06/A", {}, "shorter");
    put("empty", "");
    expect_body("empty", {}, "");
    expect_body("empty", {0, 10}, "");
    expect_body("empty", {0, 0}, "");
    EXPECT_EQ(get_error("empty", {1, 2}), ErrorCode::kInvalidArgument);
  }

  void ranges_are_clipped() {
    put("k", "0123456789");
    expect_body("k", {2, 5}, "234");
    expect_body("k", {0, 1}, "0");
    expect_body("k", {7, 100}, "789");
    expect_body("k", {7, ByteRange{}.end}, "789");
    expect_body("k", {10, 12}, "");
    expect_body("k", {10, 11}, "");
    expect_body("k", {10, ByteRange{}.end}, "");
    expect_body("k", {4, 4}, "");
    EXPECT_EQ(get_error("k", {11, 12}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(get_error("k", {11, 11}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(get_error("k", {5, 4}), ErrorCode::kInvalidArgument);
  }

  void absent_objects() {
    EXPECT_EQ(get_error("a/b/c"), ErrorCode::kNotFound);
    EXPECT_EQ(get_error("a/b/c", {1, 2}), ErrorCode::kNotFound);
    EXPECT_EQ(get_error("a/b/c", {1, 1}), ErrorCode::kNotFound);
    put("a/b/c", "1");
    EXPECT_TRUE(store_.remove(key("a/b/c"), ctx_).ok());
    const auto again = store_.remove(key("a/b/c"), ctx_);
    EXPECT_TRUE(again.ok()) << again.error().message();
    EXPECT_EQ(get_error("a/b/c"), ErrorCode::kNotFound);
    EXPECT_TRUE(keys_below("").empty());
  }

  void odd_keys() {
    const std::vector<std::string> names{"a b", "a%20b", "a+b", "a&b=c", "a:b:c", "ü/€", "q?x#y", "semi;colon,at@(1)*!'~$", "x=1"};
    for (const std::string& name : names) put("odd/" + name, name);
    for (const std::string& name : names) expect_body("odd/" + name, {}, name);
    EXPECT_EQ(keys_below("odd/").size(), names.size());
    EXPECT_EQ(keys_below("odd/a b"), std::vector<std::string>{"odd/a b"});
    EXPECT_EQ(keys_below("odd/a+"), std::vector<std::string>{"odd/a+b"});
    EXPECT_EQ(keys_below("odd/a&b="), std::vector<std::string>{"odd/a&b=c"});
    for (const std::string& name : names) EXPECT_TRUE(store_.remove(key("odd/" + name), ctx_).ok()) << name;
    EXPECT_TRUE(keys_below("odd/").empty());
  }

  void listings() {
    for (const char* name : {"t/a/x", "t/a-b", "t/a.c", "t/a0", "t/a/y/z", "t/b", "u/a", "t0"}) put(name, "v");
    using Keys = std::vector<std::string>;
    EXPECT_EQ(keys_below(""), (Keys{"t/a-b", "t/a.c", "t/a/x", "t/a/y/z", "t/a0", "t/b", "t0", "u/a"}));
    EXPECT_EQ(keys_below("t/"), (Keys{"t/a-b", "t/a.c", "t/a/x", "t/a/y/z", "t/a0", "t/b"}));
    EXPECT_EQ(keys_below("t/a/"), (Keys{"t/a/x", "t/a/y/z"}));
    EXPECT_EQ(keys_below("t/a"), (Keys{"t/a-b", "t/a.c", "t/a/x", "t/a/y/z", "t/a0"}));
    EXPECT_EQ(keys_below("t/a/y/zz"), Keys{});
    EXPECT_EQ(keys_below("nothing/here"), Keys{});
    const auto objects = list_objects(store_, key("u/"), ctx_).value();
    ASSERT_EQ(objects.size(), 1U);
    EXPECT_EQ(objects[0].size, 1U);
  }

  void folders() {
    for (const char* name : {"t/a/x", "t/a-b", "t/a.c", "t/a/y/z", "t/b", "u/a", "top"}) put(name, "v");
    const auto level = [&](const std::string& prefix) {
      const ListPage page = store_.list(key(prefix), "", ListDepth::kOneLevel, ctx_).value();
      EXPECT_EQ(page.next, "");
      std::vector<std::string> names;
      for (const std::string& folder : page.folders) names.push_back(folder.substr(root_.size()));
      for (const ObjectInfo& object : page.objects) names.push_back(object.key.substr(root_.size()));
      return names;
    };
    using Names = std::vector<std::string>;
    EXPECT_EQ(level(""), (Names{"t/", "u/", "top"}));
    EXPECT_EQ(level("t/"), (Names{"t/a/", "t/a-b", "t/a.c", "t/b"}));
    EXPECT_EQ(level("t/a"), (Names{"t/a/", "t/a-b", "t/a.c"}));
    EXPECT_EQ(level("t/a/"), (Names{"t/a/y/", "t/a/x"}));
    EXPECT_EQ(level("none/"), Names{});
  }

  void pages() {
    constexpr int kCount = 1'050;
    std::atomic<int> next{0}, failed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = next++; i < kCount; i = next++) {
          char name[32];
          std::snprintf(name, sizeof name, "p/%05d/x", i);
          failed += store_.put(key(name), "v", CallContext{}).ok() ? 0 : 1;
        }
      });
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(failed, 0);
    const std::vector<std::string> keys = keys_below("p/");
    ASSERT_EQ(keys.size(), static_cast<std::size_t>(kCount));
    for (int i = 1; i < kCount; ++i) ASSERT_LT(keys[static_cast<std::size_t>(i) - 1], keys[static_cast<std::size_t>(i)]);
    const ListPage first = store_.list(key("p/"), "", ListDepth::kAll, ctx_).value();
    EXPECT_NE(first.next, "");
    EXPECT_EQ(first.objects.size(), 1'000U);
    EXPECT_EQ(list_folders(store_, key("p/"), ctx_).value().size(), static_cast<std::size_t>(kCount));
  }

  void creation() {
    const auto code = [](const Result<void>& result) { return result.ok() ? ErrorCode::kInternal : result.error().code(); };
    ASSERT_TRUE(store_.create(key("locks/a"), "first", ctx_).ok());
    EXPECT_EQ(code(store_.create(key("locks/a"), "second", ctx_)), ErrorCode::kAlreadyExists);
    EXPECT_EQ(code(store_.create(key("locks/a"), "first", ctx_)), ErrorCode::kAlreadyExists);
    expect_body("locks/a", {}, "first");
    ASSERT_TRUE(store_.remove(key("locks/a"), ctx_).ok());
    EXPECT_TRUE(store_.create(key("locks/a"), "third", ctx_).ok());
    expect_body("locks/a", {}, "third");
  }

  void creators_race() {
    for (int round = 0; round < 5; ++round) {
      std::atomic<int> winners{0}, losers{0};
      std::vector<std::thread> threads;
      for (int i = 0; i < 8; ++i)
        threads.emplace_back([&, i] {
          const auto result = store_.create(key("race/" + std::to_string(round)), std::to_string(i), CallContext{});
          if (result.ok()) ++winners;
          else if (result.error().code() == ErrorCode::kAlreadyExists) ++losers;
          else ADD_FAILURE() << result.error().message();
        });
      for (std::thread& thread : threads) thread.join();
      EXPECT_EQ(winners, 1);
      EXPECT_EQ(losers, 7);
    }
  }

  void bad_keys() {
    const std::string long_segment(256, 'a');
    for (const std::string& name : {std::string(""), std::string("/a"), std::string("a/"), std::string("a//b"), std::string(".."),
                                    std::string("a/../b"), std::string("a\0b", 3), long_segment}) {
      EXPECT_EQ(store_.put(name, "x", ctx_).error().code(), ErrorCode::kInvalidArgument) << name;
      EXPECT_EQ(store_.get(name, {}, ctx_).error().code(), ErrorCode::kInvalidArgument) << name;
      EXPECT_EQ(store_.remove(name, ctx_).error().code(), ErrorCode::kInvalidArgument) << name;
    }
  }

  void cancelled() {
    auto cancel = std::make_shared<CancelToken>();
    cancel->cancel();
    CallContext ctx;
    ctx.cancel = cancel;
    EXPECT_EQ(store_.put(key("k"), "v", ctx).error().code(), ErrorCode::kCancelled);
    EXPECT_EQ(get_error("k"), ErrorCode::kNotFound);
  }

  void large_objects() {
    Bytes body(large_bytes_, '\0');
    SeededRandom random(11);
    for (std::size_t i = 0; i + 8 <= body.size(); i += 512) store_le(body.data() + i, random.next_u64());
    put("large", body);
    expect_body("large", {}, body);
    expect_body("large", {large_bytes_ - 1000, large_bytes_}, body.substr(large_bytes_ - 1000));
    const auto again = store_.create(key("large"), body, ctx_);
    ASSERT_FALSE(again.ok());
    EXPECT_EQ(again.error().code(), ErrorCode::kAlreadyExists) << again.error().message();
    ASSERT_TRUE(store_.create(key("large-2"), body, ctx_).ok());
    expect_body("large-2", {}, body);
  }

  ObjectStore& store_;
  const std::size_t large_bytes_;
  const std::string root_;
  const CallContext ctx_;
};

}  // namespace skald::objstore
