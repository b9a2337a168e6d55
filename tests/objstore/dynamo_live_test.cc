// Against a real DynamoDB or dynalite: SKALD_TEST_DYNAMO=http://host:port. Keys from the environment, else any.
#include <gtest/gtest.h>

#include <cstdlib>

#include "objstore/store_contract.h"
#include "skald/objstore/stores.h"
#include "skald/objstore/table_store.h"

namespace skald::objstore {
namespace {

class DynamoLive : public testing::Test {
 protected:
  void SetUp() override {
    const char* endpoint = std::getenv("SKALD_TEST_DYNAMO");
    if (endpoint == nullptr) GTEST_SKIP() << "SKALD_TEST_DYNAMO is not set";
    config_.endpoint = endpoint;
    config_.table = "skald-test-" + std::to_string(system_random().next_u64() % 1'000'000);
    if (std::getenv("AWS_ACCESS_KEY_ID") == nullptr) {
      config_.access_key_id = "test";
      config_.secret_access_key = "test";
    }
  }
  std::unique_ptr<ObjectStore> open() {
    return with_table_index(make_memory_store(), open_dynamo_table(config_, {.registry = registry_, .hedging = {}}).value());
  }
  config::DynamoConfig config_;
  obs::Registry registry_;
  CallContext ctx_;
};

TEST_F(DynamoLive, KeepsTheContract) {
  auto store = with_prefix(open(), "tenant/index/");
  StoreContract(*store, large_bytes(3 << 20)).run();
}

TEST_F(DynamoLive, TenantsAreSeenByAnotherProcess) {
  const auto writer = open();
  ASSERT_TRUE(writer->put("anna/index/index_1/A", Bytes(1'000'000, 'x'), ctx_).ok());
  ASSERT_TRUE(writer->put("bob/index/index_1/B", "b", ctx_).ok());
  const auto reader = open();
  EXPECT_EQ(list_folders(*reader, "", ctx_).value(), (std::vector<std::string>{"anna/", "bob/"}));
  EXPECT_EQ(reader->get("anna/index/index_1/A", {700'000, 700'010}, ctx_).value(), Bytes(10, 'x'));
  ASSERT_TRUE(reader->remove("bob/index/index_1/B", ctx_).ok());
  EXPECT_EQ(list_folders(*reader, "", ctx_).value(), std::vector<std::string>{"anna/"});
}

TEST_F(DynamoLive, SeveralProcessesMakeTheTable) {
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] { failed += open()->put("t/index/x/" + std::to_string(i), "v", CallContext{}).ok() ? 0 : 1; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
}

}  // namespace
}  // namespace skald::objstore
