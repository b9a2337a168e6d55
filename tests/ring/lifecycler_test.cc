#include "skald/ring/lifecycler.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "skald/io/memory_file_system.h"

namespace skald::ring {
namespace {

class Lifecyclers : public ::testing::Test {
 protected:
  LifecyclerOptions options(const std::string& id) {
    LifecyclerOptions out;
    out.id = id;
    out.address = id + ":3100";
    out.tokens = 16;
    out.heartbeat_period_ns = 10 * kNanosPerMilli;
    return out;
  }
  Desc desc() { return kv_->get("collectors/ring", {}).value(); }
  void wait_for(const std::function<bool()>& condition) {
    for (int i = 0; i < 5'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_TRUE(condition());
  }
  std::unique_ptr<KvStore> kv_ = make_memory_kv();
  std::unique_ptr<io::FileSystem> fs_ = io::make_memory_file_system();
};

TEST_F(Lifecyclers, JoinServeAndLeave) {
  Lifecycler one(*kv_, {}, options("a"), *fs_);
  EXPECT_NE(one.not_ready(), "");
  ASSERT_TRUE(one.start().ok());
  wait_for([&] { return desc().instances.contains("a") && desc().instances.at("a").state == InstanceState::kJoining; });
  one.activate();
  wait_for([&] { return one.not_ready().empty(); });
  EXPECT_EQ(desc().instances.at("a").tokens.size(), 16U);
  EXPECT_EQ(desc().instances.at("a").address, "a:3100");
  one.leave();
  wait_for([&] { return desc().instances.at("a").state == InstanceState::kLeaving; });
  one.stop();
  EXPECT_TRUE(desc().instances.empty());
}

TEST_F(Lifecyclers, ARestartFindsItsPlaceAgain) {
  std::vector<std::uint32_t> tokens;
  std::int64_t registered_s = 0;
  {
    Lifecycler one(*kv_, {}, options("a"), *fs_);
    ASSERT_TRUE(one.start().ok());
    one.activate();
    wait_for([&] { return one.not_ready().empty(); });
    tokens = desc().instances.at("a").tokens;
    registered_s = desc().instances.at("a").registered_s;
  }   // as a crash: the entry stays
  Lifecycler again(*kv_, {}, options("a"), *fs_);
  ASSERT_TRUE(again.start().ok());
  again.activate();
  wait_for([&] { return again.not_ready().empty(); });
  EXPECT_EQ(desc().instances.at("a").tokens, tokens);
  EXPECT_EQ(desc().instances.at("a").registered_s, registered_s);
}

TEST_F(Lifecyclers, TokensFileOutlivesTheEntry) {
  LifecyclerOptions with_file = options("a");
  with_file.tokens_file = "/data/ingester.tokens";
  ASSERT_TRUE(fs_->make_directories("/data").ok());
  std::vector<std::uint32_t> tokens;
  {
    Lifecycler one(*kv_, {}, with_file, *fs_);
    ASSERT_TRUE(one.start().ok());
    one.activate();
    wait_for([&] { return one.not_ready().empty(); });
    tokens = desc().instances.at("a").tokens;
    one.stop();
  }
  EXPECT_TRUE(desc().instances.empty());
  Lifecycler again(*kv_, {}, with_file, *fs_);
  ASSERT_TRUE(again.start().ok());
  again.activate();
  wait_for([&] { return again.not_ready().empty(); });
  EXPECT_EQ(desc().instances.at("a").tokens, tokens);
  again.stop();
  ASSERT_TRUE(io::replace_file(*fs_, "/data/ingester.tokens", "{\"tokens\":[1,x]}").ok());
  EXPECT_EQ(Lifecycler(*kv_, {}, with_file, *fs_).start().error().code(), ErrorCode::kCorruption);
}

TEST_F(Lifecyclers, AForgottenEntryComesBack) {
  Lifecycler one(*kv_, {}, options("a"), *fs_);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  wait_for([&] { return one.not_ready().empty(); });
  ASSERT_TRUE(kv_->update("collectors/ring", [](Desc& d) -> Result<bool> { return d.instances.erase("a") != 0; }, {}).ok());
  wait_for([&] { return desc().instances.contains("a"); });
  one.stop();
}

TEST_F(Lifecyclers, NoTwoHoldOneToken) {
  std::vector<std::unique_ptr<Lifecycler>> members;
  for (int i = 0; i < 8; ++i) {
    members.push_back(std::make_unique<Lifecycler>(*kv_, RingOptions{}, options("i" + std::to_string(i)), *fs_));
    ASSERT_TRUE(members.back()->start().ok());
    members.back()->activate();
  }
  for (const auto& one : members) wait_for([&] { return one->not_ready().empty(); });
  std::set<std::uint32_t> tokens;
  for (const auto& [id, instance] : desc().instances) tokens.insert(instance.tokens.begin(), instance.tokens.end());
  EXPECT_EQ(tokens.size(), 8U * 16);
  for (const auto& one : members) one->stop();
}

TEST_F(Lifecyclers, ForgetTheDeadButNeverEverybody) {
  const std::int64_t now_s = system_clock().now_ns() / kNanosPerSecond;
  const auto plant = [&](const std::string& id, std::int64_t heartbeat_s) {
    ASSERT_TRUE(kv_->update("collectors/ring", [&](Desc& d) -> Result<bool> {
                    Instance dead;
                    dead.id = id, dead.heartbeat_s = heartbeat_s;
                    d.instances[id] = dead;
                    return true;
                  }, {}).ok());
  };
  plant("dead", now_s - 1000);
  plant("alive", now_s + 1000);
  LifecyclerOptions forgetful = options("a");
  forgetful.auto_forget_after_ns = 60 * kNanosPerSecond;
  Lifecycler one(*kv_, {}, forgetful, *fs_);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  wait_for([&] { return !desc().instances.contains("dead"); });
  EXPECT_TRUE(desc().instances.contains("alive"));
  plant("alive", now_s - 1000);
  plant("also dead", now_s - 1000);
  const std::int64_t before = desc().instances.at("a").heartbeat_s;
  (void)before;
  for (int i = 0; i < 20; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));   // several heartbeats
  EXPECT_EQ(desc().instances.size(), 3U);   // all others silent at once: our trouble, not theirs
  one.stop();
}

}  // namespace
}  // namespace skald::ring
