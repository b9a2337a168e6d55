// Frontends, schedulers and queriers over sockets of this machine.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "frontend/scheduler_wire.h"
#include "rpc/call.h"
#include "skald/frontend/runner.h"
#include "skald/frontend/scheduler.h"
#include "skald/frontend/worker.h"

namespace skald::frontend {
namespace {

using std::chrono::milliseconds;

// Waits for what happens on other threads; false after much longer than it can take.
template <class Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return false;
}

engine::QueryResult answer_to(const Subquery& subquery) {
  engine::QueryResult result;
  result.data = engine::ScalarResult{{subquery.params.start_ns, static_cast<double>(subquery.params.limit)}};
  result.warnings = {subquery.tenant + " " + subquery.query};
  return result;
}

class Transport : public ::testing::Test {
 protected:
  struct Backend {
    std::unique_ptr<Scheduler> scheduler;
    std::unique_ptr<http::Server> server;
    std::string url;
    obs::Registry registry;
    ~Backend() { stop(); }
    void stop() {
      if (!server) return;
      scheduler->stop();
      server->stop(100);
      server.reset();
      scheduler.reset();
    }
    double metric(const std::string& line) const {
      const std::string text = registry.expose_text();
      const std::size_t at = text.find("\n" + line + " ");
      return at == std::string::npos ? -1 : std::atof(text.c_str() + at + line.size() + 2);
    }
  };
  Backend& start_backend(std::uint16_t port = 0) {
    auto backend = std::make_unique<Backend>();
    backend->scheduler = std::make_unique<Scheduler>(backend->registry, system_clock(), scheduler_options_);
    http::ServerOptions options;
    options.listen_address = "127.0.0.1";
    options.port = port;
    options.io_threads = 1;
    backend->server = std::make_unique<http::Server>(options, pool_, backend->registry);
    backend->scheduler->add_routes(*backend->server);
    EXPECT_TRUE(backend->server->start().ok());
    backend->url = "http://127.0.0.1:" + std::to_string(backend->server->port());
    const std::lock_guard lock(mutex_);
    urls_.push_back(backend->url);
    backends_.push_back(std::move(backend));
    return *backends_.back();
  }
  std::function<std::vector<std::string>()> urls() {
    return [this] {
      const std::lock_guard lock(mutex_);
      return urls_;
    };
  }
  std::unique_ptr<Worker> start_worker(Evaluate evaluate, std::size_t concurrency = 2) {
    WorkerOptions options;
    options.concurrency = concurrency;
    options.refresh_ns = options.retry_ns = 20 * kNanosPerMilli;
    options.alive_ns = 30 * kNanosPerMilli;
    auto worker = std::make_unique<Worker>(*http_, urls(), std::move(evaluate), registry_, system_clock(), options);
    worker->start();
    return worker;
  }
  std::unique_ptr<Runner> make_runner() { return make_remote_runner(*http_, urls(), here_, registry_, runner_options_); }
  static Subquery part(std::size_t i) {
    Subquery subquery;
    subquery.tenant = "t1";
    subquery.query = "{a=\"b\"}";
    subquery.params.start_ns = static_cast<std::int64_t>(i);
    return subquery;
  }
  // Runs so many parts and returns how each ended.
  std::vector<std::string> run(Runner& runner, std::size_t count, std::size_t window = 4) {
    std::vector<std::string> ends(count, "nothing");
    Parts parts{count, window, part, [&](std::size_t i, Result<engine::QueryResult> result) {
                  if (!result.ok()) ends[i] = std::string(error_code_name(result.error().code())) + ": " + result.error().message();
                  else ends[i] = std::get<engine::ScalarResult>(result->data).sample.timestamp_ms == static_cast<std::int64_t>(i) ? "ok" : "another's answer";
                  return window;
                }};
    const Result<void> done = runner.run(ctx_, parts);
    if (!done.ok()) ends.push_back(error_code_name(done.error().code()));
    return ends;
  }
  static std::vector<std::string> all_ok(std::size_t count) { return std::vector<std::string>(count, "ok"); }
  Result<Bytes> call(const Backend& backend, const std::string& method, const Bytes& body) {
    CallContext ctx;
    ctx.deadline_monotonic_ns = ctx.clock->monotonic_ns() + 10 * kNanosPerSecond;
    http::ClientRequest request = rpc::call_request(backend.url, "scheduler/" + method, ctx);
    request.body = body;
    return rpc::read_answer(http_->call(request, ctx), backend.url);
  }
  // A querier that takes work and is never heard of again.
  Work take_and_vanish(const Backend& backend) {
    const Result<Bytes> answer = call(backend, "next", encode_word({"ghost", {}}));
    EXPECT_TRUE(answer.ok());
    return decode_work(answer.ok() ? *answer : encode_work({})).value();
  }

  SchedulerOptions scheduler_options_{.lease_ns = 400 * kNanosPerMilli, .poll_ns = 200 * kNanosPerMilli, .no_querier_ns = 100 * kNanosPerMilli};
  RemoteRunnerOptions runner_options_{.retry_min_ns = kNanosPerMilli, .unreachable_ns = 300 * kNanosPerMilli};
  std::atomic<int> here_calls_{0};
  Evaluate here_ = [this](const CallContext&, const Subquery& subquery) -> Result<engine::QueryResult> {
    ++here_calls_;
    return answer_to(subquery);
  };
  Evaluate at_once_ = [](const CallContext&, const Subquery& subquery) -> Result<engine::QueryResult> { return answer_to(subquery); };
  CallContext ctx_ = [] {
    CallContext ctx;
    ctx.tenant = "t1";
    ctx.deadline_monotonic_ns = ctx.clock->monotonic_ns() + kNanosPerMinute;
    return ctx;
  }();
  obs::Registry registry_;
  exec::Pool pool_{"test", 4};
  std::unique_ptr<http::Client> http_ = [] {
    http::ClientOptions options;
    options.proxy = "none";
    return http::Client::create(options).value();
  }();
  std::mutex mutex_;   // guards urls_
  std::vector<std::string> urls_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

TEST_F(Transport, PartsAreEvaluatedByWhoeverAsksForWork) {
  start_backend();
  start_backend();
  std::atomic<int> first{0}, second{0};
  const auto counting = [&](std::atomic<int>& counter) -> Evaluate {
    return [&](const CallContext& ctx, const Subquery& subquery) -> Result<engine::QueryResult> {
      EXPECT_EQ(ctx.tenant, "t1");
      EXPECT_LT(ctx.deadline_monotonic_ns, std::numeric_limits<std::int64_t>::max());
      ++counter;
      std::this_thread::sleep_for(milliseconds(2));
      return answer_to(subquery);
    };
  };
  auto one = start_worker(counting(first)), two = start_worker(counting(second));
  auto runner = make_runner();
  EXPECT_EQ(run(*runner, 60, 8), all_ok(60));
  EXPECT_EQ(first + second + here_calls_, 60);
  EXPECT_GT(first, 5);
  EXPECT_GT(second, 5);
  EXPECT_GE(backends_[0]->metric("loki_query_scheduler_queue_duration_seconds_count"), 10);
  EXPECT_TRUE(eventually([&] { return backends_[0]->metric("loki_query_scheduler_connected_querier_clients") == 2; }));
  EXPECT_TRUE(eventually([&] { return backends_[0]->metric("loki_query_scheduler_connected_frontend_clients") == 1; }));
}

TEST_F(Transport, PartsAreSpreadOverQueriers) {
  start_backend();
  std::atomic<int> first{0}, second{0};
  const auto waiting_for = [](std::atomic<int>& mine, std::atomic<int>& others) -> Evaluate {
    return [&](const CallContext&, const Subquery& subquery) -> Result<engine::QueryResult> {
      ++mine;
      for (int i = 0; i < 500 && others == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));   // has the other part
      return answer_to(subquery);
    };
  };
  auto one = start_worker(waiting_for(first, second), 4);
  EXPECT_TRUE(eventually([&] { return backends_[0]->metric("loki_query_scheduler_connected_querier_clients") == 1; }));
  auto two = start_worker(waiting_for(second, first), 4);
  EXPECT_TRUE(eventually([&] { return backends_[0]->metric("loki_query_scheduler_connected_querier_clients") == 2; }));
  auto runner = make_runner();
  // A querier counts as connected a moment before all its polls wait.
  for (int i = 0; i < 20 && (first == 0 || second == 0); ++i) EXPECT_EQ(run(*runner, 2), all_ok(2));
  EXPECT_GT(first, 0);
  EXPECT_GT(second, 0);
}

TEST_F(Transport, ErrorsComeBackAsTheyWere) {
  start_backend();
  auto worker = start_worker([](const CallContext&, const Subquery&) -> Result<engine::QueryResult> { return Error(ErrorCode::kInvalidArgument, "pipeline error: 'x'\nline two"); });
  auto runner = make_runner();
  EXPECT_EQ(run(*runner, 2), std::vector<std::string>(2, std::string(error_code_name(ErrorCode::kInvalidArgument)) + ": pipeline error: 'x'\nline two"));
}

TEST_F(Transport, WithoutSchedulersPartsRunHere) {
  auto runner = make_runner();
  EXPECT_EQ(run(*runner, 5), all_ok(5));
  EXPECT_EQ(here_calls_, 5);
  urls_ = {"http://127.0.0.1:1"};   // nobody listens
  EXPECT_EQ(run(*runner, 5), all_ok(5));
  EXPECT_EQ(here_calls_, 10);
}

TEST_F(Transport, WithoutQueriersPartsRunHere) {
  start_backend();
  auto runner = make_runner();
  EXPECT_EQ(run(*runner, 3), all_ok(3));
  EXPECT_EQ(here_calls_, 3);
}

TEST_F(Transport, WhatWasOutOfReachIsTriedAgain) {
  start_backend();
  std::atomic<int> calls{0};
  auto worker = start_worker([&](const CallContext&, const Subquery& subquery) -> Result<engine::QueryResult> {
    if (++calls <= 3) return Error(ErrorCode::kUnavailable, "an ingester restarts");
    return answer_to(subquery);
  });
  auto runner = make_runner();
  EXPECT_EQ(run(*runner, 1), all_ok(1));
  EXPECT_EQ(calls, 4);
  calls = -100;
  EXPECT_EQ(run(*runner, 1), (std::vector<std::string>{std::string(error_code_name(ErrorCode::kUnavailable)) + ": an ingester restarts"}));
  EXPECT_EQ(calls, -94);   // the first time and five more
}

TEST_F(Transport, TooManyWaitingAreRefused) {
  scheduler_options_.waiting_max = 2;
  scheduler_options_.no_querier_ns = kNanosPerMinute;
  Backend& backend = start_backend();
  auto runner = make_runner();
  const std::string refused = std::string(error_code_name(ErrorCode::kResourceExhausted)) + ": too many outstanding requests";
  std::vector<std::string> ends;
  Parts parts{3, 3, part, [&](std::size_t, Result<engine::QueryResult> result) -> std::size_t {
                ends.push_back(result.ok() ? "ok" : std::string(error_code_name(result.error().code())) + ": " + result.error().message());
                return 0;
              }};
  EXPECT_TRUE(runner->run(ctx_, parts).ok());
  EXPECT_EQ(ends, std::vector<std::string>{refused});
  EXPECT_EQ(backend.metric("loki_query_scheduler_discarded_requests_total{user=\"t1\"}"), 1);
  // Nobody wants the other two any more: they leave the queue.
  EXPECT_TRUE(eventually([&] { return backend.metric("loki_query_scheduler_queue_length{user=\"t1\"}") == 0; }));
}

TEST_F(Transport, WorkOfAQuerierThatVanishedGoesToAnother) {
  scheduler_options_.no_querier_ns = kNanosPerMinute;
  Backend& backend = start_backend();
  auto runner = make_runner();
  std::vector<std::string> ends;
  std::thread frontend([&] { ends = run(*runner, 1); });
  const Work taken = take_and_vanish(backend);
  EXPECT_NE(taken.id, 0U);
  EXPECT_EQ(taken.tenant, "t1");
  auto worker = start_worker(at_once_);
  frontend.join();
  EXPECT_EQ(ends, all_ok(1));
  EXPECT_EQ(here_calls_, 0);
  EXPECT_EQ(backend.metric("skald_query_scheduler_vanished_queriers_total"), 1);
  // Its answer comes too late to be anybody's.
  EXPECT_TRUE(call(backend, "done", encode_done({taken.id, encode_result(answer_to(part(0)))})).ok());
}

TEST_F(Transport, WhatMakesQueriersVanishIsNotTriedForEver) {
  scheduler_options_.no_querier_ns = kNanosPerMinute;
  scheduler_options_.lease_ns = 50 * kNanosPerMilli;
  scheduler_options_.max_tries = 2;
  Backend& backend = start_backend();
  auto runner = make_runner();
  std::vector<std::string> ends;
  std::thread frontend([&] { ends = run(*runner, 1); });
  const Work first = take_and_vanish(backend);
  Work second;
  EXPECT_TRUE(eventually([&] { return (second = take_and_vanish(backend)).id != 0; }));
  EXPECT_EQ(first.id, second.id);
  frontend.join();
  EXPECT_EQ(ends, (std::vector<std::string>{std::string(error_code_name(ErrorCode::kInternal)) + ": the queriers that evaluated the query vanished"}));
}

TEST_F(Transport, AQuerierThatWorksLongIsNotTakenForVanished) {
  Backend& backend = start_backend();
  auto worker = start_worker([&](const CallContext&, const Subquery& subquery) -> Result<engine::QueryResult> {
    std::this_thread::sleep_for(milliseconds(1200));   // three leases
    return answer_to(subquery);
  });
  auto runner = make_runner();
  EXPECT_EQ(run(*runner, 1), all_ok(1));
  EXPECT_EQ(backend.metric("skald_query_scheduler_vanished_queriers_total"), 0);
  EXPECT_EQ(here_calls_, 0);
}

TEST_F(Transport, CancellationReachesTheQuerier) {
  Backend& backend = start_backend();
  std::atomic<bool> begun{false}, cancelled{false};
  auto worker = start_worker([&](const CallContext& ctx, const Subquery&) -> Result<engine::QueryResult> {
    begun = true;
    cancelled = eventually([&] { return !ctx.check().ok(); });
    return Error(ErrorCode::kCancelled, "cancelled");
  });
  auto runner = make_runner();
  auto cancel = std::make_shared<CancelToken>();
  ctx_.cancel = cancel;
  std::vector<std::string> ends;
  std::thread frontend([&] { ends = run(*runner, 1); });
  EXPECT_TRUE(eventually([&] { return begun.load(); }));
  cancel->cancel();
  frontend.join();
  EXPECT_EQ(ends, (std::vector<std::string>{"nothing", error_code_name(ErrorCode::kCancelled)}));
  EXPECT_TRUE(eventually([&] { return cancelled.load(); }));
  EXPECT_TRUE(eventually([&] { return backend.metric("loki_query_scheduler_queue_length{user=\"t1\"}") == 0; }));
}

TEST_F(Transport, TheRestIsCancelledWhenEnoughIsKnown) {
  start_backend();
  std::atomic<int> begun{0};
  auto worker = start_worker([&](const CallContext&, const Subquery& subquery) -> Result<engine::QueryResult> {
    ++begun;
    std::this_thread::sleep_for(milliseconds(20));
    return answer_to(subquery);
  });
  auto runner = make_runner();
  std::size_t taken = 0;
  Parts parts{50, 6, part, [&](std::size_t, Result<engine::QueryResult>) -> std::size_t { return ++taken == 3 ? 0 : 6; }};
  EXPECT_TRUE(runner->run(ctx_, parts).ok());
  EXPECT_EQ(taken, 3U);
  worker.reset();
  EXPECT_LE(begun, 12);
}

TEST_F(Transport, ASchedulerThatStopsHandsItsPartsBack) {
  Backend& one = start_backend();
  start_backend();
  std::atomic<int> begun{0};
  std::atomic<bool> go{false};
  auto worker = start_worker([&](const CallContext& ctx, const Subquery& subquery) -> Result<engine::QueryResult> {
    ++begun;
    eventually([&] { return go.load() || !ctx.check().ok(); });
    SKALD_TRY_VOID(ctx.check());
    return answer_to(subquery);
  }, 4);
  auto runner = make_runner();
  std::vector<std::string> ends;
  std::thread frontend([&] { ends = run(*runner, 12, 6); });
  EXPECT_TRUE(eventually([&] { return begun.load() >= 4; }));
  {
    const std::lock_guard lock(mutex_);
    urls_.erase(urls_.begin());
  }
  one.stop();
  go = true;
  frontend.join();
  EXPECT_EQ(ends, all_ok(12));
}

TEST_F(Transport, AQuerierThatStopsFinishesWhatItTook) {
  start_backend();
  std::atomic<int> begun{0};
  const Evaluate slowly = [&](const CallContext& ctx, const Subquery& subquery) -> Result<engine::QueryResult> {
    ++begun;
    std::this_thread::sleep_for(milliseconds(30));
    SKALD_TRY_VOID(ctx.check());
    return answer_to(subquery);
  };
  auto one = start_worker(slowly), two = start_worker(slowly);
  auto runner = make_runner();
  std::vector<std::string> ends;
  std::thread frontend([&] { ends = run(*runner, 40, 8); });
  for (int restarts = 1; restarts <= 3; ++restarts) {
    EXPECT_TRUE(eventually([&] { return begun.load() >= restarts * 8; }));
    auto& worker = restarts % 2 ? one : two;
    worker->stop();
    worker = start_worker(slowly);
  }
  frontend.join();
  EXPECT_EQ(ends, all_ok(40));
  EXPECT_EQ(begun, 40);   // nothing was evaluated twice
  EXPECT_EQ(here_calls_, 0);
}

TEST_F(Transport, AQuerierThatMustStopGivesBackWhatItHas) {
  start_backend();
  std::atomic<bool> begun{false};
  auto worker = start_worker([&](const CallContext& ctx, const Subquery&) -> Result<engine::QueryResult> {
    begun = true;
    eventually([&] { return !ctx.check().ok(); });
    return Error(ErrorCode::kCancelled, "cancelled");
  });
  auto runner = make_runner();
  std::vector<std::string> ends;
  std::thread frontend([&] { ends = run(*runner, 1); });
  EXPECT_TRUE(eventually([&] { return begun.load(); }));
  worker->stop(10 * kNanosPerMilli);
  worker = start_worker(at_once_);
  frontend.join();
  EXPECT_EQ(ends, all_ok(1));
}

TEST_F(Transport, AStragglerIsSentASecondTime) {
  runner_options_.hedge_min_ns = 50 * kNanosPerMilli;
  start_backend();
  std::atomic<bool> first{true}, over{false};
  auto worker = start_worker([&](const CallContext& ctx, const Subquery& subquery) -> Result<engine::QueryResult> {
    if (subquery.params.start_ns == 2 && first.exchange(false)) {
      over = eventually([&] { return !ctx.check().ok(); });
      return Error(ErrorCode::kCancelled, "cancelled");
    }
    return answer_to(subquery);
  }, 4);
  auto runner = make_runner();
  EXPECT_EQ(run(*runner, 5), all_ok(5));
  EXPECT_TRUE(eventually([&] { return over.load(); }));   // the slow twin is told
}

TEST_F(Transport, WordsThatAreNoneAreRefused) {
  Backend& backend = start_backend();
  for (const char* method : {"next", "alive", "done", "leave"}) EXPECT_EQ(call(backend, method, "\xff").error().code(), ErrorCode::kInvalidArgument) << method;
  EXPECT_EQ(call(backend, "run", "x").error().code(), ErrorCode::kInvalidArgument);   // no tenant
  // A subquery that is none fails at the querier, not in its place.
  auto worker = start_worker(at_once_);
  CallContext ctx = ctx_;
  http::ClientRequest request = rpc::call_request(backend.url, "scheduler/run", ctx);
  request.body = "nonsense";
  const Result<Bytes> answer = rpc::read_answer(http_->call(request, ctx), "x");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(decode_result(*answer)->error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skald::frontend
