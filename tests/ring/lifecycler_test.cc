#include "skald/ring/lifecycler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <set>
#include <thread>

#include "ring/stepping_clock.h"
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
  static Instance planted(const std::string& id, std::int64_t heartbeat_s) {
    Instance out;
    out.id = id, out.heartbeat_s = heartbeat_s;
    return out;
  }
  void plant(const Instance& one) {
    ASSERT_TRUE(kv_->update("collectors/ring", [&](Desc& d) -> Result<bool> { d.instances[one.id] = one; return true; }, {}).ok());
  }
  void plant(const std::string& id, std::int64_t heartbeat_s) { plant(planted(id, heartbeat_s)); }

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
  plant("dead", now_s - 1000);
  plant("alive", now_s + 1000);
  LifecyclerOptions forgetful = options("a");
  forgetful.auto_forget_after_ns = 300 * kNanosPerMilli;
  Lifecycler one(*kv_, {}, forgetful, *fs_);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  std::int64_t beat_s = now_s;
  wait_for([&] {
    plant("alive", ++beat_s);
    return !desc().instances.contains("dead");
  });
  EXPECT_TRUE(desc().instances.contains("alive"));
  plant("also dead", now_s - 1000);
  plant("alive", now_s - 1000);
  for (int i = 0; i < 100; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));   // beyond the time after which silence counts
  EXPECT_EQ(desc().instances.size(), 3U);   // all others silent at once: our trouble, not theirs
  one.stop();
}

// A store that can be out of reach, and slow to say so.
class FlakyKv final : public KvStore {
 public:
  explicit FlakyKv(KvStore& inner) : inner_(inner) {}
  std::atomic<bool> down{false}, hangs{false};
  std::atomic<int> refused{0};

  Result<Desc> get(const std::string& key, const CallContext& ctx) override { return inner_.get(key, ctx); }
  Result<void> update(const std::string& key, const Change& change, const CallContext& ctx) override {
    while (hangs) {
      SKALD_TRY_VOID(ctx.check());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (down) {
      ++refused;
      return Error(ErrorCode::kUnavailable, "connection refused");
    }
    return inner_.update(key, change, ctx);
  }
  std::unique_ptr<Watch> watch(const std::string& key, std::function<void(const Desc&)> on_change) override { return inner_.watch(key, std::move(on_change)); }

 private:
  KvStore& inner_;
};

TEST_F(Lifecyclers, AStoreThatIsNotThereYetIsWaitedFor) {
  FlakyKv flaky(*kv_);
  flaky.down = true;
  Lifecycler one(flaky, {}, options("a"), *fs_);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  wait_for([&] { return flaky.refused >= 2; });
  EXPECT_EQ(one.not_ready(), "ring store: connection refused");
  flaky.down = false;
  wait_for([&] { return one.not_ready().empty(); });
  EXPECT_EQ(desc().instances.at("a").state, InstanceState::kActive);
  one.stop();
}

TEST_F(Lifecyclers, AStoreThatIsGoneDoesNotChangeWhatWeAre) {
  FlakyKv flaky(*kv_);
  Lifecycler one(flaky, {}, options("a"), *fs_);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  wait_for([&] { return one.not_ready().empty(); });
  const auto tokens = desc().instances.at("a").tokens;
  flaky.down = true;
  wait_for([&] { return flaky.refused >= 2; });
  // The store lost everything while it was away.
  ASSERT_TRUE(kv_->update("collectors/ring", [](Desc& d) -> Result<bool> { d.instances.clear(); return true; }, {}).ok());
  flaky.down = false;
  wait_for([&] { return desc().instances.contains("a"); });
  EXPECT_EQ(desc().instances.at("a").tokens, tokens);
  EXPECT_EQ(desc().instances.at("a").state, InstanceState::kActive);
  one.stop();
}

TEST_F(Lifecyclers, StoppingDoesNotWaitForACallThatHangs) {
  FlakyKv flaky(*kv_);
  flaky.hangs = true;
  {
    Lifecycler one(flaky, {}, options("a"), *fs_);
    ASSERT_TRUE(one.start().ok());
  }   // would take the whole time of a call, ten seconds, and the test's patience
  EXPECT_FALSE(desc().instances.contains("a"));
}

TEST_F(Lifecyclers, WhatACrashLeftBehindWhileLeavingIsTakenUpAgain) {
  Instance left = planted("a", system_clock().now_ns() / kNanosPerSecond - 300);
  left.state = InstanceState::kLeaving;
  left.registered_s = 1'600'000'000;
  for (std::uint32_t t = 1; t <= 16; ++t) left.tokens.push_back(t * 1000);
  plant(left);
  Lifecycler one(*kv_, {}, options("a"), *fs_);
  ASSERT_TRUE(one.start().ok());
  wait_for([&] { return desc().instances.at("a").state == InstanceState::kJoining; });   // until its data is read back
  one.activate();
  wait_for([&] { return one.not_ready().empty(); });
  EXPECT_EQ(desc().instances.at("a").tokens, left.tokens);
  EXPECT_EQ(desc().instances.at("a").registered_s, left.registered_s);
  EXPECT_GT(desc().instances.at("a").heartbeat_s, left.heartbeat_s + 200);
  one.stop();
}

TEST_F(Lifecyclers, OneThatHadNotJoinedStartsAnew) {
  Instance left = planted("a", 1'600'000'000);
  left.state = InstanceState::kJoining;
  left.tokens = {1, 2, 3};
  plant(left);
  LifecyclerOptions slow = options("a");
  slow.join_after_ns = kNanosPerHour;
  Lifecycler one(*kv_, {}, slow, *fs_);
  ASSERT_TRUE(one.start().ok());
  wait_for([&] { return desc().instances.at("a").state == InstanceState::kPending; });
  EXPECT_TRUE(desc().instances.at("a").tokens.empty());
}

TEST_F(Lifecyclers, ForgottenWhileLeavingItStillLeaves) {
  Lifecycler one(*kv_, {}, options("a"), *fs_);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  wait_for([&] { return one.not_ready().empty(); });
  one.leave();
  wait_for([&] { return desc().instances.at("a").state == InstanceState::kLeaving; });
  ASSERT_TRUE(kv_->update("collectors/ring", [](Desc& d) -> Result<bool> { return d.instances.erase("a") != 0; }, {}).ok());
  wait_for([&] { return desc().instances.contains("a"); });
  EXPECT_EQ(desc().instances.at("a").state, InstanceState::kLeaving);
  one.set_unregister_on_shutdown(false);
  one.stop();
  EXPECT_EQ(desc().instances.at("a").state, InstanceState::kLeaving);
}

TEST_F(Lifecyclers, CountsWhatItDoes) {
  obs::Registry registry;
  LifecyclerOptions counted = options("a");
  counted.registry = &registry;
  counted.auto_forget_after_ns = 50 * kNanosPerMilli;
  const std::int64_t now_s = system_clock().now_ns() / kNanosPerSecond;
  plant("dead", now_s - 1000);
  Lifecycler one(*kv_, {}, counted, *fs_);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  std::int64_t beat_s = now_s;
  wait_for([&] {
    plant("alive", ++beat_s);
    return !desc().instances.contains("dead");
  });
  wait_for([&] { return registry.expose_text().find("loki_ingester_autoforget_unhealthy_ingesters_total 1") != std::string::npos; });
  EXPECT_NE(registry.expose_text().find("loki_ring_member_tokens_owned{name=\"ingester\"} 16"), std::string::npos);
  EXPECT_EQ(registry.expose_text().find("loki_ring_member_heartbeats_total{name=\"ingester\"} 0"), std::string::npos);
  one.stop();
}

TEST_F(Lifecyclers, HeartbeatsGoOnWhenTheClockStepsBack) {
  SteppingClock clock;
  Lifecycler one(*kv_, {}, options("a"), *fs_, clock);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  wait_for([&] { return one.not_ready().empty(); });
  const auto beat_s = [&] { return desc().instances.at("a").heartbeat_s; };
  const std::int64_t before_s = beat_s();
  clock.step_ns(-kNanosPerHour);
  clock.pass_ns(10 * kNanosPerSecond);
  wait_for([&] { return beat_s() == before_s + 10; });
  clock.pass_ns(10 * kNanosPerSecond);
  wait_for([&] { return beat_s() == before_s + 20; });
  clock.step_ns(kNanosPerHour);   // and right again
  clock.pass_ns(5 * kNanosPerSecond);
  wait_for([&] { return beat_s() == before_s + 25; });
  clock.step_ns(kNanosPerHour);   // ahead now: nobody can tell from inside
  wait_for([&] { return beat_s() == before_s + 25 + 3600; });
  clock.step_ns(-kNanosPerHour);
  clock.pass_ns(5 * kNanosPerSecond);
  wait_for([&] { return beat_s() == before_s + 30 + 3600; });
  one.stop();
}

TEST_F(Lifecyclers, AnEntryFromTheFutureIsTakenUpAndGoesOn) {
  SteppingClock clock;
  const std::int64_t now_s = clock.now_ns() / kNanosPerSecond;
  plant("a", now_s + 3600);
  Lifecycler one(*kv_, {}, options("a"), *fs_, clock);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  wait_for([&] { return one.not_ready().empty(); });
  clock.pass_ns(7 * kNanosPerSecond);
  wait_for([&] { return desc().instances.at("a").heartbeat_s == now_s + 3607; });
  one.stop();
}

TEST_F(Lifecyclers, AStepOfOurClockForgetsNobodyWhoIsAlive) {
  SteppingClock clock;
  LifecyclerOptions forgetful = options("a");
  forgetful.heartbeat_period_ns = kNanosPerMilli;
  forgetful.auto_forget_after_ns = kNanosPerMinute;
  Lifecycler one(*kv_, {}, forgetful, *fs_, clock);
  std::int64_t others_s = clock.now_ns() / kNanosPerSecond;
  plant("b", others_s), plant("c", others_s), plant("corpse", others_s - 7200);
  ASSERT_TRUE(one.start().ok());
  one.activate();
  wait_for([&] { return one.not_ready().empty(); });
  clock.step_ns(kNanosPerHour);
  const auto beat = [&] { return desc().instances.at("a").heartbeat_s; };
  for (int i = 0; i < 100; ++i) {   // seconds: more than what counts as silence
    const std::int64_t before_s = beat();
    others_s += 1;
    plant("b", others_s), plant("c", others_s);
    clock.pass_ns(kNanosPerSecond);
    wait_for([&] { return beat() > before_s; });
  }
  EXPECT_TRUE(desc().instances.contains("b"));
  EXPECT_TRUE(desc().instances.contains("c"));
  EXPECT_FALSE(desc().instances.contains("corpse"));
  one.stop();
}

}  // namespace
}  // namespace skald::ring
