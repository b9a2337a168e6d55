#include "skald/rpc/ingester_set.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "fake_ingester.h"
#include "skald/base/random.h"

namespace skald::rpc {
namespace {

using testing::batch_of;
using testing::FakeIngester;
using testing::labels;
using testing::Row;
using testing::rows_in;

class Set : public ::testing::Test {
 protected:
  void make(int members, std::size_t replicas = 3) {
    ASSERT_TRUE(kv_->update("collectors/ring", [&](ring::Desc& desc) -> Result<bool> {
                    SeededRandom random(5);
                    for (int i = 0; i < members; ++i) {
                      ring::Instance one;
                      one.id = "i" + std::to_string(i), one.address = one.id + ":3100";
                      one.heartbeat_s = system_clock().now_ns() / kNanosPerSecond;
                      for (int t = 0; t < 32; ++t) one.tokens.push_back(static_cast<std::uint32_t>(random.next_u64()));
                      std::sort(one.tokens.begin(), one.tokens.end());
                      desc.instances[one.id] = one;
                      fakes_[one.id] = std::make_shared<FakeIngester>();
                    }
                    return true;
                  }, {}).ok());
    ring_ = std::make_unique<ring::Ring>(*kv_, ring::RingOptions{.replication_factor = replicas}, registry_);
    while (ring_->picture()->desc().instances.size() != static_cast<std::size_t>(members)) std::this_thread::yield();
    set_ = std::make_unique<IngesterSet>(*ring_, [this](const ring::Instance& one) { return fakes_.at(one.id); }, pool_, registry_,
                                         IngesterSetOptions{.straggler_wait_ns = 20 * kNanosPerMilli});
    ctx_.tenant = "t";
  }
  Result<model::PushOutcome> push(std::shared_ptr<const model::PushBatch> batch) {
    std::promise<Result<model::PushOutcome>> answer;
    set_->push(ctx_, std::move(batch), [&](Result<model::PushOutcome> outcome) { answer.set_value(std::move(outcome)); });
    return answer.get_future().get();
  }
  std::vector<testing::StreamRows> streams(int count) {
    std::vector<testing::StreamRows> out;
    for (int i = 0; i < count; ++i) out.push_back({labels({{"app", "a" + std::to_string(i)}}), {{1, "x" + std::to_string(i), {}, {}}, {2, "y", {{"k", "v"}}, {}}}});
    return out;
  }
  const SelectRequest all_{{}, 0, 100};
  obs::Registry registry_;
  exec::Pool pool_{"peers", 8};
  std::unique_ptr<ring::KvStore> kv_ = ring::make_memory_kv();
  std::map<std::string, std::shared_ptr<FakeIngester>> fakes_;
  std::unique_ptr<ring::Ring> ring_;
  std::unique_ptr<IngesterSet> set_;
  CallContext ctx_;
};

TEST_F(Set, EveryStreamGoesToItsReplicas) {
  make(5);
  ASSERT_TRUE(push(batch_of("t", streams(50))).ok());
  for (const auto& stream : streams(50)) {
    int copies = 0;
    for (const auto& [id, fake] : fakes_) {
      const std::vector<Row> rows = fake->rows_of("t", stream.labels->text);
      if (rows.empty()) continue;
      EXPECT_EQ(rows, stream.rows);
      ++copies;
    }
    EXPECT_EQ(copies, 3);
  }
}

TEST_F(Set, OneFailureIsTolerated) {
  make(3);
  fakes_["i1"]->fail = Error(ErrorCode::kUnavailable, "down");
  EXPECT_TRUE(push(batch_of("t", streams(5))).ok());
  const auto found = set_->select(ctx_, all_);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->streams.size(), 5U);
  EXPECT_EQ(rows_in(*found, streams(1)[0].labels->text).size(), 4U);   // two replicas: the engine drops copies
}

TEST_F(Set, TwoFailuresAreNot) {
  make(3);
  fakes_["i0"]->fail = fakes_["i1"]->fail = Error(ErrorCode::kUnavailable, "down");
  EXPECT_EQ(push(batch_of("t", streams(5))).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(set_->select(ctx_, all_).error().message(), "down");
  EXPECT_FALSE(set_->series(ctx_, all_).ok());
}

TEST_F(Set, ClientErrorsAreToldAsSuch) {
  make(3);
  fakes_["i0"]->fail = Error(ErrorCode::kUnavailable, "down");
  fakes_["i1"]->fail = Error(ErrorCode::kResourceExhausted, "too fast");
  EXPECT_EQ(push(batch_of("t", streams(5))).error().message(), "too fast");
}

TEST_F(Set, WhatMostRefuseIsRefused) {
  make(3);
  fakes_["i0"]->refuse = Error(ErrorCode::kInvalidArgument, "too old");
  EXPECT_FALSE(push(batch_of("t", streams(1)))->error.has_value());   // the two others have it
  fakes_["i1"]->refuse = fakes_["i2"]->refuse = fakes_["i0"]->refuse;
  EXPECT_EQ(push(batch_of("t", streams(1)))->error->message(), "too old");
}

TEST_F(Set, ReplicasCountOnce) {
  make(3);
  ASSERT_TRUE(push(batch_of("t", streams(4))).ok());
  EXPECT_EQ(set_->series(ctx_, all_)->size(), 4U);
  const auto volumes = set_->volumes(ctx_, all_);
  ASSERT_EQ(volumes->size(), 4U);
  EXPECT_EQ(volumes->front().entries, 2U);
}

TEST_F(Set, AnUnheardOfMemberIsReplaced) {
  make(4);
  ASSERT_TRUE(kv_->update("collectors/ring", [](ring::Desc& desc) -> Result<bool> {
                  desc.instances["i2"].heartbeat_s -= 3600;
                  return true;
                }, {}).ok());
  while (ring_->picture()->heard_of(ring_->picture()->desc().instances.at("i2"), ring_->now_s())) std::this_thread::yield();
  ASSERT_TRUE(push(batch_of("t", streams(30))).ok());
  EXPECT_EQ(fakes_["i2"]->pushes, 0);
  for (const char* id : {"i0", "i1", "i3"}) EXPECT_EQ(fakes_[id]->pushes, 1) << id;
}

TEST_F(Set, AnEmptyRingSaysSo) {
  make(0);
  EXPECT_EQ(push(batch_of("t", streams(1))).error().message(), "empty ring");
  EXPECT_EQ(set_->select(ctx_, all_).error().message(), "empty ring");
}

TEST_F(Set, TailsDropTheReplicasCopies) {
  make(3);
  std::mutex mutex;
  std::multiset<std::string> lines;
  auto tail = set_->tail(ctx_, {}, [&](const model::LabelsPtr&, const std::vector<TailEntry>& entries) {
    const std::lock_guard lock(mutex);
    for (const TailEntry& entry : entries) lines.insert(entry.line);
  });
  ASSERT_TRUE(tail.ok());
  ASSERT_TRUE(push(batch_of("t", streams(3))).ok());
  EXPECT_EQ(lines, (std::multiset<std::string>{"x0", "x1", "x2", "y", "y", "y"}));
}

}  // namespace
}  // namespace skald::rpc
