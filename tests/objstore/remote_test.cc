#include "objstore/remote.h"

#include <gtest/gtest.h>

#include <deque>
#include <future>

#include "http/client_test_server.h"

namespace skald::objstore {
namespace {

using http::testing_server::Answer;
using http::testing_server::Received;
using http::testing_server::reply;
using http::testing_server::TestServer;

constexpr const char* kMetric = "loki_s3_request_duration_seconds";

// Answers from a script, at once.
class ScriptedClient final : public http::Client {
 public:
  using Step = Result<http::ClientResponse>;
  std::deque<Step> script;
  std::function<void()> on_call;
  int calls = 0;
  Result<http::ClientResponse> call(const http::ClientRequest&, const CallContext&) override {
    ++calls;
    if (on_call) on_call();
    if (script.empty()) return http::ClientResponse{.status = 200, .headers = {}, .body = "default"};
    Step step = script.front();
    if (script.size() > 1 || !sticky) script.pop_front();
    return step;
  }
  std::unique_ptr<Running> start(const http::ClientRequest&, const CallContext&) override { std::abort(); }
  void call_then(http::ClientRequest, SharedBytes, const CallContext&, std::function<void(Result<http::ClientResponse>)>) override { std::abort(); }
  void wait_any(std::span<Running* const>, std::int64_t) override { std::abort(); }
  bool sticky = false;   // the last step for ever
};

class RemoteTest : public testing::Test {
 protected:
  void open(std::function<void(RemoteOptions&)> change = {}) {
    RemoteOptions options;
    options.metric = kMetric;
    options.subject = "s3 bucket logs at minio:9000";
    options.retry = {100 * kNanosPerMilli, 3 * kNanosPerSecond, 3};
    if (change) change(options);
    auto owned = std::make_unique<ScriptedClient>();
    client = owned.get();
    RemoteSeams seams;
    seams.client = std::move(owned);
    seams.sleep = [this](std::int64_t wait_ns, const CallContext& sleeping) {
      waits.push_back(wait_ns);
      clock.advance_ns(wait_ns);
      return sleeping.check();
    };
    remote = Remote::create(options, registry, clock, random, std::move(seams)).value();
    ctx.clock = &clock;
  }
  static ScriptedClient::Step status(int code, std::string body = "", std::vector<http::Header> headers = {}) {
    return http::ClientResponse{.status = code, .headers = std::move(headers), .body = std::move(body)};
  }
  static ScriptedClient::Step failure(ErrorCode code, const char* what = "reset") { return Error(code, what); }
  Result<http::ClientResponse> run(RemoteOperation operation = {.name = "S3.GetObject"}) {
    return remote->run(operation, [this]() -> Result<http::ClientRequest> {
      ++built;
      return http::ClientRequest{.method = "GET", .url = "http://x/"};
    }, ctx, &tries);
  }
  std::uint64_t observed(const char* operation, const char* code) {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : registry.histogram_family(kMetric, "", {"operation", "status_code"}, {}).with({operation, code}).bucket_counts()) sum += count;
    return sum;
  }

  obs::Registry registry;
  FakeClock clock;
  SeededRandom random{7};
  ScriptedClient* client = nullptr;
  std::unique_ptr<Remote> remote;
  CallContext ctx;
  std::vector<std::int64_t> waits;
  int tries = 0;
  int built = 0;
};

TEST_F(RemoteTest, TriesAgainWhatMayPass) {
  open();
  client->script = {status(503), failure(ErrorCode::kUnavailable), status(429), status(200, "ok")};
  EXPECT_EQ(run().value().body, "ok");
  EXPECT_EQ(tries, 4);
  EXPECT_EQ(built, 4);   // each try has a signature of its own
  ASSERT_EQ(waits.size(), 3U);
  for (std::size_t i = 0; i < waits.size(); ++i) {
    EXPECT_GT(waits[i], 0);
    EXPECT_LE(waits[i], (100 * kNanosPerMilli) << i);
  }
  EXPECT_EQ(observed("S3.GetObject", "503"), 1U);
  EXPECT_EQ(observed("S3.GetObject", "429"), 1U);
  EXPECT_EQ(observed("S3.GetObject", "error"), 1U);
  EXPECT_EQ(observed("S3.GetObject", "200"), 1U);
  EXPECT_EQ(registry.counter_family("skald_objstore_retries_total", "", {"operation"}).with({"S3.GetObject"}).value(), 3);
}

TEST_F(RemoteTest, GivesOtherAnswersBackAtOnce) {
  open();
  for (const int code : {200, 204, 206, 301, 400, 403, 404, 409, 412, 416, 501}) {
    client->script = {status(code)};
    EXPECT_EQ(run().value().status, code);
    EXPECT_EQ(tries, 1);
  }
  EXPECT_TRUE(waits.empty());
}

TEST_F(RemoteTest, GivesUpAfterTheTriesAndSaysWhatTheStoreSaid) {
  open();
  client->script = {status(503, "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>Please\nreduce</Message></Error>")};
  client->sticky = true;
  const Result<http::ClientResponse> result = run();
  EXPECT_EQ(result.error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(result.error().message(), "S3.GetObject on s3 bucket logs at minio:9000: status 503: SlowDown: Please reduce (4 tries)");
  EXPECT_EQ(client->calls, 4);
}

TEST_F(RemoteTest, DoesNotRepeatErrorsThatStay) {
  open();
  for (const ErrorCode code : {ErrorCode::kInvalidArgument, ErrorCode::kTooLarge, ErrorCode::kCancelled}) {
    client->script = {failure(code)};
    EXPECT_EQ(run().error().code(), code);
    EXPECT_EQ(tries, 1);
  }
  client->script = {status(503)};
  EXPECT_FALSE(run({.name = "S3.GetObject", .retry = false}).ok());
  EXPECT_EQ(tries, 1);
  const Result<http::ClientResponse> unbuilt = remote->run({.name = "x"}, []() -> Result<http::ClientRequest> { return Error(ErrorCode::kPermissionDenied, "no credentials"); }, ctx);
  EXPECT_EQ(unbuilt.error(), Error(ErrorCode::kPermissionDenied, "no credentials"));
}

TEST_F(RemoteTest, AsksTheStoreForItsVerdict) {
  open();
  RemoteOperation operation{.name = "S3.PutObject"};
  operation.judge = [](const http::ClientResponse& response) { return response.status == 409 ? Verdict::kRetry : Verdict::kDone; };
  client->script = {status(409), status(200)};
  EXPECT_EQ(run(operation).value().status, 200);
  EXPECT_EQ(tries, 2);
  client->script = {status(409)};
  client->sticky = true;
  EXPECT_EQ(run(operation).value().status, 409);
  EXPECT_EQ(tries, 4);
}

TEST_F(RemoteTest, WaitsAsLongAsTheStoreWishes) {
  open();
  client->script = {status(503, "", {{"Retry-After", "2"}}), status(200)};
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(waits.back(), 2 * kNanosPerSecond);
  client->script = {status(429, "", {{"retry-after", "86400"}}), status(200)};
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(waits.back(), 30 * kNanosPerSecond);   // ten times the longest pause of our own
  clock.set_ns(1'763'640'000 * kNanosPerSecond);   // Thu, 20 Nov 2025 12:00:00
  client->script = {status(503, "", {{"Retry-After", "Thu, 20 Nov 2025 12:00:05 GMT"}}), status(200)};
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(waits.back(), 5 * kNanosPerSecond);
  for (const char* odd : {"-1", "soon", "", "Thu, 20 Nov 2025 11:00:00 GMT", "1.5"}) {
    client->script = {status(503, "", {{"Retry-After", odd}}), status(200)};
    ASSERT_TRUE(run().ok());
    EXPECT_LE(waits.back(), 100 * kNanosPerMilli) << odd;
  }
}

TEST_F(RemoteTest, StopsAtTheDeadlineAndWhenCancelled) {
  open();
  client->script = {status(503, "", {{"Retry-After", "2"}})};
  client->sticky = true;
  ctx.deadline_monotonic_ns = clock.monotonic_ns() + kNanosPerSecond;
  Result<http::ClientResponse> result = run();
  EXPECT_EQ(result.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(result.error().message().find("no time for another try"), std::string::npos) << result.error().message();
  EXPECT_TRUE(waits.empty());

  client->on_call = [this] { clock.advance_ns(2 * kNanosPerSecond); };
  EXPECT_EQ(run().error().code(), ErrorCode::kDeadlineExceeded);

  auto token = std::make_shared<CancelToken>();
  ctx = CallContext{};
  ctx.clock = &clock;
  ctx.cancel = token;
  client->on_call = [&] { token->cancel(); };
  EXPECT_EQ(run().error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(tries, 1);
}

TEST_F(RemoteTest, ATimeoutOfOneTryIsTriedAgain) {
  open();
  client->script = {failure(ErrorCode::kDeadlineExceeded, "slow"), status(200)};
  EXPECT_TRUE(run().ok());
  client->script = {failure(ErrorCode::kDeadlineExceeded, "slow")};
  client->sticky = true;
  EXPECT_EQ(run().error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(tries, 4);
}

TEST_F(RemoteTest, LimitsRetriesOfAllOperationsTogether) {
  open([](RemoteOptions& o) { o.retry = {1, 1, 3}; });   // waits of a nanosecond: time adds next to nothing
  client->script = {status(500)};
  client->sticky = true;
  int requests = 0;
  for (int i = 0; i < 200; ++i) {
    EXPECT_FALSE(run().ok());
    requests += tries;
  }
  EXPECT_GE(requests - 200, 10 + 15);
  EXPECT_LE(requests - 200, 10 + 30);   // ten for the second, a tenth of what was sent
  EXPECT_NE(run().error().message().find("too many requests"), std::string::npos);
  clock.advance_ns(kNanosPerSecond);
  EXPECT_FALSE(run().ok());
  EXPECT_EQ(tries, 4);
}

TEST(RemoteHedging, TakesTheSecondAnswerWhenTheFirstIsSlow) {
  std::promise<void> gate;
  std::shared_future<void> open_gate = gate.get_future().share();
  TestServer server([&](const Received& request) -> Answer {
    if (request.number == 0) open_gate.wait();
    return reply(200, std::to_string(request.number));
  });
  obs::Registry registry;
  RemoteOptions options;
  options.metric = kMetric;
  options.subject = "test";
  options.hedging = {.at = 5 * kNanosPerMilli, .up_to = 2, .max_per_second = 5};
  auto remote = Remote::create(options, registry).value();
  const auto build = [&]() -> Result<http::ClientRequest> { return http::ClientRequest{.method = "GET", .url = server.url()}; };
  int tries = 0;
  EXPECT_EQ(remote->run({.name = "get", .hedge = true}, build, {}, &tries).value().body, "1");
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(registry.counter_family("skald_objstore_hedged_requests_total", "", {"operation"}).with({"get"}).value(), 1);
  gate.set_value();
  EXPECT_TRUE(remote->run({.name = "get", .hedge = true}, build, {}, &tries).ok());
}

TEST(RemoteHedging, WaitsForTheOtherWhenOneFails) {
  std::promise<void> second_came;
  std::shared_future<void> second = second_came.get_future().share();
  TestServer server([&](const Received& request) -> Answer {
    if (request.number == 0) {
      second.wait();
      return reply(200, "slow but right");
    }
    if (request.number == 1) second_came.set_value();
    return reply(500);
  });
  obs::Registry registry;
  RemoteOptions options;
  options.metric = kMetric;
  options.hedging = {.at = 5 * kNanosPerMilli, .up_to = 2, .max_per_second = 5};
  auto remote = Remote::create(options, registry).value();
  const auto build = [&]() -> Result<http::ClientRequest> { return http::ClientRequest{.method = "GET", .url = server.url()}; };
  EXPECT_EQ(remote->run({.name = "get", .hedge = true}, build, {}).value().body, "slow but right");
  EXPECT_EQ(server.requests(), 2);
}

TEST(RemoteHedging, KeepsToItsRate) {
  std::promise<void> gate;
  std::shared_future<void> open_gate = gate.get_future().share();
  TestServer server([&](const Received&) -> Answer {
    open_gate.wait();
    return reply(200);
  });
  obs::Registry registry;
  FakeClock clock;
  RemoteOptions options;
  options.metric = kMetric;
  options.hedging = {.at = kNanosPerMilli, .up_to = 100, .max_per_second = 3};
  auto remote = Remote::create(options, registry, clock).value();
  const auto build = [&]() -> Result<http::ClientRequest> { return http::ClientRequest{.method = "GET", .url = server.url()}; };
  CallContext ctx;
  ctx.deadline_monotonic_ns = system_clock().monotonic_ns() + 60 * kNanosPerMilli;
  int tries = 0;
  EXPECT_EQ(remote->run({.name = "get", .hedge = true}, build, ctx, &tries).error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_LE(tries, 4);
  gate.set_value();
}

TEST(RemoteText, ReadsDatesAndSummarisesBodies) {
  EXPECT_EQ(parse_http_date_ns("Thu, 01 Jan 1970 00:00:01 GMT"), kNanosPerSecond);
  EXPECT_EQ(parse_http_date_ns("1970-01-01"), std::nullopt);
  const auto summary = [](std::string body) { return summarise_answer({.status = 500, .headers = {}, .body = std::move(body)}); };
  EXPECT_EQ(summary(""), "");
  EXPECT_EQ(summary("  two\r\n\tlines\n"), "two lines");
  EXPECT_EQ(summary("<Error><Code>A</Code></Error>"), "A");
  EXPECT_EQ(summary(std::string(5'000, 'x')).size(), 200U);
}

}  // namespace
}  // namespace skald::objstore
