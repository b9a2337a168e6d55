// The contract of every store (stores_test.cc) against a real S3 service: SKALD_TEST_S3=s3://key:secret@host:port/bucket,
// key and secret percent-encoded; ?ca=<file> for https, ?virtual for virtual-hosted style,
// ?retries=n. The bucket exists. Skipped without it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "skald/http/message.h"
#include "skald/objstore/remote_stores.h"

namespace skald::objstore {
namespace {

class S3Live : public testing::Test {
 protected:
  void SetUp() override {
    const char* url = std::getenv("SKALD_TEST_S3");
    if (url == nullptr || *url == '\0') GTEST_SKIP() << "SKALD_TEST_S3 is not set";
    parse(url);
    // Objects of earlier runs do not matter: every test has a folder of its own.
    base_ = "live-" + Ulid::make(system_clock().now_ns(), system_random()).to_string() + "/";
    store_ = open(config_);
  }
  void TearDown() override {
    if (!store_) return;
    std::vector<std::string> keys;
    const std::vector<ObjectInfo> left = list_objects(*store_, "", ctx_).value();
    for (const ObjectInfo& object : left) keys.push_back(object.key);
    EXPECT_TRUE(store_->remove_all(keys, ctx_).ok());
  }
  static std::string decoded(std::string_view text) {
    return http::Params::parse("x=" + std::string(text)).all("x").front();
  }
  void parse(std::string_view url) {
    ASSERT_TRUE(url.starts_with("s3://")) << url;
    url.remove_prefix(5);
    const std::size_t at = url.rfind('@');
    const std::string_view user = url.substr(0, at);
    config_.access_key_id = decoded(user.substr(0, user.find(':')));
    config_.secret_access_key = decoded(user.substr(user.find(':') + 1));
    url.remove_prefix(at + 1);
    config_.insecure = true;
    if (const std::size_t query = url.find('?'); query != std::string_view::npos) {
      const http::Params params = http::Params::parse(url.substr(query + 1));
      if (const std::string* ca = params.get("ca")) {
        config_.insecure = false;
        config_.http.ca_file = *ca;
      }
      if (const std::string* retries = params.get("retries")) config_.retry = {kNanosPerMilli, 100 * kNanosPerMilli, std::stoi(*retries)};
      if (params.get("virtual") != nullptr) config_.lookup = config::S3Config::Lookup::kVirtualHosted;
      url = url.substr(0, query);
    }
    config_.endpoint = std::string(url.substr(0, url.find('/')));
    config_.buckets = {std::string(url.substr(url.find('/') + 1))};
    config_.region = "us-east-1";
    config_.retry.max_retries = 3;
  }
  std::unique_ptr<ObjectStore> open(const config::S3Config& config) {
    return with_prefix(open_s3_store(config, {.registry = registry_, .hedging = {}}).value(), base_);
  }
  std::vector<std::string> list_all(std::string_view prefix) {
    std::vector<std::string> keys;
    const Result<std::vector<ObjectInfo>> objects = list_objects(*store_, prefix, ctx_);
    EXPECT_TRUE(objects.ok()) << (objects.ok() ? "" : objects.error().message());
    if (!objects.ok()) return keys;
    for (const ObjectInfo& object : *objects) keys.push_back(object.key);
    return keys;
  }
  static testing::AssertionResult good(const Result<void>& result) {
    return result.ok() ? testing::AssertionSuccess() : testing::AssertionFailure() << result.error().message();
  }

  config::S3Config config_;
  obs::Registry registry_;
  std::string base_;
  std::unique_ptr<ObjectStore> store_;
  CallContext ctx_;
};

TEST_F(S3Live, GivesBackWhatWasPut) {
  Bytes body(100'000, 'x');
  body[5] = '\0';
  ASSERT_TRUE(good(store_->put("fake/chunks/20261120T06/A", body, ctx_)));
  EXPECT_EQ(store_->get("fake/chunks/20261120T06/A", {}, ctx_).value(), body);
  ASSERT_TRUE(good(store_->put("fake/chunks/20261120T06/A", "shorter", ctx_)));
  EXPECT_EQ(store_->get("fake/chunks/20261120T06/A", {}, ctx_).value(), "shorter");
  ASSERT_TRUE(good(store_->put("empty", "", ctx_)));
  EXPECT_EQ(store_->get("empty", {}, ctx_).value(), "");
  EXPECT_EQ(store_->get("empty", {0, 10}, ctx_).value(), "");
}

TEST_F(S3Live, ReadsRangesClippedToTheObject) {
  ASSERT_TRUE(good(store_->put("k", "0123456789", ctx_)));
  EXPECT_EQ(store_->get("k", {2, 5}, ctx_).value(), "234");
  EXPECT_EQ(store_->get("k", {7, 100}, ctx_).value(), "789");
  EXPECT_EQ(store_->get("k", {3, ByteRange{}.end}, ctx_).value(), "3456789");
  EXPECT_EQ(store_->get("k", {10, 12}, ctx_).value(), "");
  EXPECT_EQ(store_->get("k", {4, 4}, ctx_).value(), "");
  EXPECT_EQ(store_->get("k", {11, 12}, ctx_).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(store_->get("k", {5, 4}, ctx_).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(S3Live, SaysNotFoundAndRemovesTwice) {
  EXPECT_EQ(store_->get("a/b/c", {}, ctx_).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(store_->get("a/b/c", {1, 2}, ctx_).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(store_->get("a/b/c", {1, 1}, ctx_).error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(good(store_->put("a/b/c", "1", ctx_)));
  EXPECT_TRUE(good(store_->remove("a/b/c", ctx_)));
  EXPECT_TRUE(good(store_->remove("a/b/c", ctx_)));
  EXPECT_EQ(store_->get("a/b/c", {}, ctx_).error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE(list_all("").empty());
}

TEST_F(S3Live, ListsInKeyOrderBelowAPrefix) {
  for (const char* key : {"t/a/x", "t/a-b", "t/a.c", "t/a0", "t/a/y/z", "t/b", "u/a", "t0"}) ASSERT_TRUE(good(store_->put(key, "v", ctx_))) << key;
  using Keys = std::vector<std::string>;
  EXPECT_EQ(list_all(""), (Keys{"t/a-b", "t/a.c", "t/a/x", "t/a/y/z", "t/a0", "t/b", "t0", "u/a"}));
  EXPECT_EQ(list_all("t/"), (Keys{"t/a-b", "t/a.c", "t/a/x", "t/a/y/z", "t/a0", "t/b"}));
  EXPECT_EQ(list_all("t/a"), (Keys{"t/a-b", "t/a.c", "t/a/x", "t/a/y/z", "t/a0"}));
  EXPECT_EQ(list_all("nothing/here"), Keys{});
  const ListPage page = store_->list("t/", "", ListDepth::kOneLevel, ctx_).value();
  EXPECT_EQ(page.folders, (Keys{"t/a/"}));
  ASSERT_EQ(page.objects.size(), 4U);
  EXPECT_EQ(page.objects[0].key, "t/a-b");
  EXPECT_EQ(page.objects[0].size, 1U);
  EXPECT_EQ(page.next, "");
  EXPECT_EQ(list_folders(*store_, "", ctx_).value(), (Keys{"t/", "u/"}));
}

TEST_F(S3Live, TakesKeysOfAnyCharacters) {
  const std::vector<std::string> keys = {"a b", "a+b", "a%20b", "a&b=c", "a;b,c", "a\"b'", "a<b>c", "a?b#c", "a@b:c", "a$b!c*", "(a)", "[a]{b}", "a\\b",
                                         "a^b`c|d", "~tilde", "fünf/äöü€", "日本/語", "a=b/c=d", "-._", "trailing."};
  for (const std::string& key : keys) ASSERT_TRUE(good(store_->put(key, key, ctx_))) << key;
  for (const std::string& key : keys) {
    const Result<Bytes> body = store_->get(key, {}, ctx_);
    ASSERT_TRUE(body.ok()) << key << ": " << body.error().message();
    EXPECT_EQ(*body, key);
  }
  std::vector<std::string> sorted = keys;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(list_all(""), sorted);
  EXPECT_TRUE(good(store_->remove_all(keys, ctx_)));
  EXPECT_EQ(list_all(""), std::vector<std::string>{});
}

TEST_F(S3Live, PagesThroughLongLists) {
  std::vector<std::string> expected;
  for (int i = 0; i < 1'050; ++i) {
    char key[32];
    std::snprintf(key, sizeof key, "p/%03d/%05d", i / 2, i);
    expected.emplace_back(key);
  }
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < expected.size(); i = next++) EXPECT_TRUE(good(store_->put(expected[i], "v", CallContext{})));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(list_all("p/"), expected);
  EXPECT_NE(store_->list("p/", "", ListDepth::kAll, ctx_).value().next, "");
  EXPECT_EQ(list_folders(*store_, "p/", ctx_).value().size(), 525U);
  expected.push_back("never/there");
  EXPECT_TRUE(good(store_->remove_all(expected, ctx_)));   // two batches
  EXPECT_EQ(list_all(""), std::vector<std::string>{});
}

TEST_F(S3Live, CreatesOnlyWhatIsNotThere) {
  const Result<void> first = store_->create("locks/a", "first", ctx_);
  if (!first.ok() && first.error().code() == ErrorCode::kUnimplemented) GTEST_SKIP() << first.error().message();
  ASSERT_TRUE(good(first));
  EXPECT_EQ(store_->create("locks/a", "second", ctx_).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(store_->get("locks/a", {}, ctx_).value(), "first");
  ASSERT_TRUE(good(store_->remove("locks/a", ctx_)));
  EXPECT_TRUE(good(store_->create("locks/a", "third", ctx_)));
  EXPECT_EQ(store_->get("locks/a", {}, ctx_).value(), "third");

  std::atomic<int> winners{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {   // bytes of its own each: a creator whose answer got lost knows its object by them
      const Result<void> mine = store_->create("race", "by " + std::to_string(i), CallContext{});
      winners += mine.ok() ? 1 : 0;
      if (!mine.ok()) {
        EXPECT_EQ(mine.error().code(), ErrorCode::kAlreadyExists) << mine.error().message();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(winners, 1);
}

TEST_F(S3Live, UploadsLargeObjectsInParts) {
  config_.part_size = 5 << 20;
  for (const auto checksum : {config::S3Config::Checksum::kAuto, config::S3Config::Checksum::kMd5, config::S3Config::Checksum::kSha256}) {
    config_.checksum = checksum;
    store_ = open(config_);
    Bytes body(12'345'678, '\0');
    SeededRandom random(static_cast<std::uint64_t>(checksum) + 1);
    for (std::size_t i = 0; i + 8 <= body.size(); i += 8) store_le(body.data() + i, random.next_u64());
    ASSERT_TRUE(good(store_->put("big", body, ctx_)));
    EXPECT_TRUE(store_->get("big", {}, ctx_).value() == body);
    EXPECT_TRUE(store_->get("big", {5'000'000, 5'500'000}, ctx_).value() == body.substr(5'000'000, 500'000));
    EXPECT_EQ(store_->list("big", "", ListDepth::kAll, ctx_).value().objects.at(0).size, body.size());
  }
}

TEST_F(S3Live, SendsChecksumsWhenAsked) {
  for (const auto checksum : {config::S3Config::Checksum::kNone, config::S3Config::Checksum::kMd5, config::S3Config::Checksum::kCrc32c, config::S3Config::Checksum::kSha256}) {
    config_.checksum = checksum;
    store_ = open(config_);
    EXPECT_TRUE(good(store_->put("k", "some bytes", ctx_))) << static_cast<int>(checksum);
    EXPECT_EQ(store_->get("k", {}, ctx_).value(), "some bytes");
  }
}

TEST_F(S3Live, EncryptsWithAKeyOfTheCustomer) {
  if (config_.insecure) GTEST_SKIP() << "SSE-C needs TLS";
  const std::unique_ptr<ObjectStore> plain = open(config_);
  config_.sse = config::S3Config::Sse::kCustomer;
  config_.sse_customer_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
  config_.part_size = 5 << 20;
  store_ = open(config_);
  ASSERT_TRUE(good(store_->put("k", "0123456789", ctx_)));
  EXPECT_EQ(store_->get("k", {}, ctx_).value(), "0123456789");
  EXPECT_EQ(store_->get("k", {2, 5}, ctx_).value(), "234");
  EXPECT_FALSE(plain->get("k", {}, ctx_).ok());
  const Bytes body(6 << 20, 'x');
  ASSERT_TRUE(good(store_->put("big", body, ctx_)));
  EXPECT_TRUE(store_->get("big", {}, ctx_).value() == body);
}

TEST_F(S3Live, SaysWhatIsWrongWithKeysAndBuckets) {
  config::S3Config wrong = config_;
  wrong.secret_access_key = "not the secret";
  Result<void> refused = open(wrong)->put("k", "v", ctx_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kPermissionDenied);
  for (const std::string& part : {std::string("SignatureDoesNotMatch"), config_.access_key_id, std::string("us-east-1"), config_.endpoint,
                                  std::string(config_.lookup == config::S3Config::Lookup::kAuto ? "path style" : "virtual-hosted style")}) {
    EXPECT_NE(refused.error().message().find(part), std::string::npos) << refused.error().message();
  }
  EXPECT_EQ(refused.error().message().find("not the secret"), std::string::npos);
  EXPECT_EQ(open(wrong)->get("k", {}, ctx_).error().code(), ErrorCode::kPermissionDenied);

  wrong = config_;
  wrong.access_key_id = "unknownkey";
  refused = open(wrong)->put("k", "v", ctx_);
  EXPECT_EQ(refused.error().code(), ErrorCode::kPermissionDenied) << refused.error().message();

  wrong = config_;
  wrong.buckets = {"no-such-bucket-here"};
  for (const Error& error : {open(wrong)->put("k", "v", ctx_).error(), open(wrong)->get("k", {}, ctx_).error(), open(wrong)->list("", "", ListDepth::kAll, ctx_).error()}) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.message();
    EXPECT_NE(error.message().find("no-such-bucket-here"), std::string::npos);
    EXPECT_NE(error.message().find("does not exist"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace skald::objstore
