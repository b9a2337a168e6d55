// The contract of IngesterClient, in process and over HTTP.
#include "skald/rpc/remote_ingester.h"
#include "skald/rpc/merge.h"

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

class Contract : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ctx_.tenant = "t1";
    if (remote()) open_remote({});
  }
  void open_remote(IngesterServiceOptions options) {
    client_.reset();
    server_.reset();
    service_ = std::make_unique<IngesterService>(fake_, registry_, system_clock(), options);
    server_ = std::make_unique<http::Server>(http::ServerOptions{.listen_address = "127.0.0.1", .port = 0, .io_threads = 1}, pool_, registry_);
    service_->add_routes(*server_);
    ASSERT_TRUE(server_->start().ok());
    if (!http_) http_ = http::Client::create({.proxy = "none"}).value();   // outlives the rows it fetches
    client_ = make_remote_ingester(*http_, "http://127.0.0.1:" + std::to_string(server_->port()), texts_, {.call_timeout_ns = 10 * kNanosPerSecond, .fetch_bytes = 4096});
  }
  void TearDown() override {
    client_.reset();
    if (server_) server_->stop(1000);
    service_.reset();
    server_.reset();
    http_.reset();
  }
  bool remote() const { return std::string(GetParam()) == "remote"; }
  IngesterClient& client() { return remote() ? *client_ : static_cast<IngesterClient&>(fake_); }
  Result<model::PushOutcome> push(std::shared_ptr<const model::PushBatch> batch) {
    std::promise<Result<model::PushOutcome>> answer;
    client().push(ctx_, std::move(batch), [&](Result<model::PushOutcome> outcome) { answer.set_value(std::move(outcome)); });
    return answer.get_future().get();
  }
  std::vector<Row> many(int count, std::size_t bytes = 20) {
    std::vector<Row> rows;
    for (int i = 0; i < count; ++i) rows.push_back({1000 + i, std::string(bytes, static_cast<char>('a' + i % 26)) + std::to_string(i), {{"n", std::to_string(i)}}, model::Level::kInfo});
    return rows;
  }
  const SelectRequest all_{{}, 0, INT64_MAX};
  const model::LabelsPtr web_ = labels({{"app", "web"}}), db_ = labels({{"app", "db"}});
  obs::Registry registry_;
  exec::Pool pool_{"test", 4};
  FakeIngester fake_;
  std::unique_ptr<IngesterService> service_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<http::Client> http_;
  LabelTexts texts_;
  std::shared_ptr<IngesterClient> client_;
  CallContext ctx_;
};

TEST_P(Contract, PushedRowsAreThere) {
  const auto outcome = push(batch_of("t1", {{web_, many(10)}, {db_, many(3)}}));
  ASSERT_TRUE(outcome.ok()) << outcome.error().message();
  EXPECT_EQ(outcome->accepted, 13U);
  EXPECT_EQ(fake_.rows_of("t1", web_->text), many(10));
  const auto found = client().select(ctx_, all_);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->streams.size(), 2U);
  EXPECT_EQ(rows_in(*found, web_->text), many(10));
  EXPECT_EQ(rows_in(*found, db_->text), many(3));
  EXPECT_EQ(found->stats.ingester_chunks_matched, 2U);
}

TEST_P(Contract, MatchersRangesAndTenantsHold) {
  ASSERT_TRUE(push(batch_of("t1", {{web_, many(10)}, {db_, many(3)}})).ok());
  const SelectRequest request{{model::Matcher::make(model::MatchType::kRegex, "app", "w.+").value()}, 1004, 1006};
  const auto found = client().select(ctx_, request);
  EXPECT_EQ(rows_in(*found, web_->text).size(), 3U);
  EXPECT_EQ(found->streams.size(), 1U);
  EXPECT_EQ(client().series(ctx_, request)->size(), 1U);
  EXPECT_EQ(client().volumes(ctx_, request)->front().entries, 3U);
  CallContext other;
  other.tenant = "t2";
  EXPECT_TRUE(client().select(other, all_)->streams.empty());
}

TEST_P(Contract, ManyLargeBlocks) {
  fake_.block_rows = 10;
  ASSERT_TRUE(push(batch_of("t1", {{web_, many(3000, 900)}, {db_, many(500, 2000)}})).ok());
  const auto found = client().select(ctx_, all_);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(rows_in(*found, db_->text), many(500, 2000));
  EXPECT_EQ(rows_in(*found, web_->text), many(3000, 900));
}

TEST_P(Contract, ManyThreadsReadOneSelect) {
  fake_.block_rows = 7;
  ASSERT_TRUE(push(batch_of("t1", {{web_, many(2000, 700)}})).ok());
  if (remote()) open_remote({.inline_bytes = 0});
  const auto found = client().select(ctx_, all_);
  ASSERT_TRUE(found.ok());
  std::atomic<std::size_t> rows{0};
  std::vector<std::thread> threads;
  const auto& blocks = found->streams[0].blocks;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < blocks.size(); i += 4) {
        const auto columns = blocks[i].block->load(i % 2 == 0 ? chunk::kTimestamps : chunk::kLines, {});
        ASSERT_TRUE(columns.ok()) << columns.error().message();
        rows += (*columns)->rows;
        ASSERT_TRUE(blocks[i].block->load(chunk::kAllColumns, {}).ok());
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(rows, 2000U);
}

TEST_P(Contract, ErrorsKeepTheirCodeAndText) {
  fake_.fail = Error(ErrorCode::kResourceExhausted, "per-stream limit\nsecond line");
  EXPECT_EQ(push(batch_of("t1", {{web_, many(1)}})).error(), *fake_.fail);
  const auto found = client().select(ctx_, all_);
  EXPECT_EQ(found.error(), *fake_.fail);
  fake_.fail.reset();
  fake_.refuse = Error(ErrorCode::kInvalidArgument, "entry too far behind");
  const auto outcome = push(batch_of("t1", {{web_, many(2)}}));
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->refused, 2U);
  EXPECT_EQ(outcome->error, fake_.refuse);
}

TEST_P(Contract, TailsSeeWhatIsPushed) {
  std::mutex mutex;
  std::vector<std::string> lines;
  auto tail = client().tail(ctx_, {}, [&](const model::LabelsPtr& stream, const std::vector<TailEntry>& entries) {
    const std::lock_guard lock(mutex);
    for (const TailEntry& entry : entries) lines.push_back(stream->text + entry.line);
  });
  ASSERT_TRUE(tail.ok());
  ASSERT_TRUE(push(batch_of("t1", {{web_, {{1, "hello", {}, {}}}}})).ok());
  ASSERT_TRUE(push(batch_of("t1", {{web_, {{2, "again", {}, {}}}}})).ok());
  for (int i = 0; i < 5000; ++i) {
    const std::lock_guard lock(mutex);
    if (lines.size() == 2) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(lines, (std::vector<std::string>{"{app=\"web\"}hello", "{app=\"web\"}again"}));
  }
  tail = std::shared_ptr<void>();
}

INSTANTIATE_TEST_SUITE_P(All, Contract, ::testing::Values("local", "remote"));

class Remote : public Contract {};

TEST_P(Remote, FetchesOnlyWhatIsLoaded) {
  fake_.block_rows = 100;
  ASSERT_TRUE(push(batch_of("t1", {{web_, many(1000, 2000)}})).ok());
  const auto found = client().select(ctx_, all_);
  ASSERT_TRUE(found->streams[0].blocks[4].block->load(chunk::kTimestamps, {}).ok());
  EXPECT_EQ(fake_.blocks[0]->loads, 0);
  EXPECT_EQ(fake_.blocks[4]->loads, 1);
}

TEST_P(Remote, EqualRowsAreKnownUnread) {
  fake_.block_rows = 100;
  fake_.first_content_id = 1;
  ASSERT_TRUE(push(batch_of("t1", {{web_, many(1000, 2000)}})).ok());
  auto one = client().select(ctx_, all_), other = client().select(ctx_, all_);
  const std::size_t blocks = one->streams[0].blocks.size();
  ASSERT_EQ(blocks, 10U);
  for (chunk::BlockSlice& slice : other->streams[0].blocks) slice.source_id += 1'000'000;   // as from another replica
  other->streams[0].blocks[3].content_id += 100;   // but for these rows
  chunk::SelectResult merged = *std::move(one);
  merge_into(merged, *std::move(other));
  EXPECT_EQ(merged.streams[0].blocks.size(), blocks + 1);
}

TEST_P(Remote, RowsNoLongerHeldAreAnErrorThatSaysSo) {
  ASSERT_TRUE(push(batch_of("t1", {{web_, many(1000, 2000)}})).ok());
  const auto found = client().select(ctx_, all_);
  service_.reset();
  open_remote({});
  const auto columns = found->streams[0].blocks[0].block->load(chunk::kLines, {});
  EXPECT_EQ(columns.error().code(), ErrorCode::kUnavailable);
}

TEST_P(Remote, TheDeadlineTravels) {
  CallContext ctx = ctx_;
  ctx.deadline_monotonic_ns = ctx.clock->monotonic_ns() - 1;
  EXPECT_EQ(client().select(ctx, all_).error().code(), ErrorCode::kDeadlineExceeded);
}

TEST_P(Remote, NobodyThereIsUnavailable) {
  server_->stop(0);
  EXPECT_EQ(push(batch_of("t1", {{web_, many(1)}})).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(client().select(ctx_, all_).error().code(), ErrorCode::kUnavailable);
}

INSTANTIATE_TEST_SUITE_P(All, Remote, ::testing::Values("remote"));

}  // namespace
}  // namespace skald::rpc
