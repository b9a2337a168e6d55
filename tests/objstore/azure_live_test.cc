// Against a real account or Azurite: SKALD_TEST_AZURE=<connection string>;Container=<name>. With Azurite the container may
// be made by `az storage container create` or any SDK. Or SKALD_TEST_AZURE=https://host:port/account/container, opened with
// the identity that the environment describes; SKALD_TEST_CA is the certificate of that host.
#include <gtest/gtest.h>

#include <cstdlib>

#include "objstore/store_contract.h"
#include "skald/objstore/remote_stores.h"

namespace skald::objstore {
namespace {

class AzureLive : public testing::Test {
 protected:
  void SetUp() override {
    const char* text = std::getenv("SKALD_TEST_AZURE");
    if (text == nullptr) GTEST_SKIP() << "SKALD_TEST_AZURE is not set";
    if (const std::string url = text; url.starts_with("https://")) {
      const std::size_t container = url.rfind('/'), account = url.rfind('/', container - 1);
      config_.container_name = url.substr(container + 1);
      config_.account_name = url.substr(account + 1, container - account - 1);
      config_.endpoint_suffix = url.substr(0, account);
      if (const char* ca = std::getenv("SKALD_TEST_CA")) config_.http.ca_file = ca;
      return;
    }
    config_.connection_string = text;
    const std::size_t at = config_.connection_string.find(";Container=");
    ASSERT_NE(at, std::string::npos);
    config_.container_name = config_.connection_string.substr(at + 11);
    config_.connection_string.resize(at);
  }
  std::unique_ptr<ObjectStore> open(const config::AzureConfig& config) { return open_azure_store(config, {.registry = registry_, .hedging = {}}).value(); }
  config::AzureConfig config_;
  obs::Registry registry_;
};

TEST_F(AzureLive, KeepsTheContract) {
  const auto store = open(config_);
  StoreContract(*store, 70 << 20).run();
}

TEST_F(AzureLive, SaysThatTheKeyIsWrong) {
  config::AzureConfig config = config_;
  const std::size_t key = config.connection_string.find("AccountKey=");
  if (key == std::string::npos) GTEST_SKIP() << "no account key to falsify";
  config.connection_string[key + 12] = config.connection_string[key + 12] == 'A' ? 'B' : 'A';
  const auto store = open(config);
  for (const Error& error : {store->put("k", "v", {}).error(), store->get("k", {}, {}).error(), store->list("", "", ListDepth::kAll, {}).error(),
                             store->remove("k", {}).error()}) {
    EXPECT_EQ(error.code(), ErrorCode::kPermissionDenied);
    EXPECT_NE(error.message().find("403"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("shared key"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("clocks agree"), std::string::npos) << error.message();
  }
  std::printf("%s\n", store->put("k", "v", {}).error().message().c_str());
}

TEST_F(AzureLive, SaysThatTheContainerIsAbsent) {
  config::AzureConfig config = config_;
  config.container_name = "no-such-container";
  const auto store = open(config);
  for (const Error& error : {store->put("k", "v", {}).error(), store->get("k", {}, {}).error(), store->list("", "", ListDepth::kAll, {}).error(),
                             store->remove("k", {}).error()}) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(error.message().find("'no-such-container'"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace skald::objstore
