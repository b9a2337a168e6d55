// Against a real bucket or an emulator: SKALD_TEST_GCS=http://host:port/bucket. Credentials as the process finds them.
#include <gtest/gtest.h>

#include <cstdlib>

#include "objstore/store_contract.h"
#include "skald/objstore/remote_stores.h"

namespace skald::objstore {
namespace {

class GcsLive : public testing::Test {
 protected:
  void SetUp() override {
    const char* text = std::getenv("SKALD_TEST_GCS");
    if (text == nullptr) GTEST_SKIP() << "SKALD_TEST_GCS is not set";
    config_.endpoint = text;
    const std::size_t at = config_.endpoint.rfind('/');
    config_.bucket_name = config_.endpoint.substr(at + 1);
    config_.endpoint.resize(at);
  }
  std::unique_ptr<ObjectStore> open(const config::GcsConfig& config) { return open_gcs_store(config, {.registry = registry_, .hedging = {}}).value(); }
  config::GcsConfig config_;
  obs::Registry registry_;
};

TEST_F(GcsLive, KeepsTheContract) {
  const auto store = open(config_);
  StoreContract(*store, large_bytes(70 << 20)).run();
}

TEST_F(GcsLive, KeepsTheContractWithSmallPieces) {
  config_.chunk_buffer_size = 300'000;   // sessions for all but small objects
  const auto store = open(config_);
  StoreContract(*store, large_bytes(3'000'000)).run();
}

TEST_F(GcsLive, SaysThatTheBucketIsAbsent) {
  config_.bucket_name = "no-such-bucket";
  const auto store = open(config_);
  for (const Error& error : {store->put("k", "v", {}).error(), store->list("", "", ListDepth::kAll, {}).error()}) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.message();
    EXPECT_NE(error.message().find("'no-such-bucket'"), std::string::npos) << error.message();
  }
}

TEST_F(GcsLive, KeepsTheContractOverTheXmlApi) {
  const char* key = std::getenv("SKALD_TEST_GCS_HMAC");   // access id:secret
  if (key == nullptr) GTEST_SKIP() << "SKALD_TEST_GCS_HMAC is not set";
  const std::string text = key;
  config_.hmac_access_key = text.substr(0, text.find(':'));
  config_.hmac_secret = text.substr(text.find(':') + 1);
  const auto store = open(config_);
  StoreContract(*store, large_bytes(20 << 20)).run();
  config_.hmac_secret += "x";
  const auto wrong = open(config_)->put("k", "v", {});
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code(), ErrorCode::kPermissionDenied) << wrong.error().message();
}

}  // namespace
}  // namespace skald::objstore
