#include "skald/frontend/scheduler.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "frontend/fair_queue.h"
#include "frontend/inflight_summary.h"
#include "frontend/scheduler_wire.h"
#include "skald/base/random.h"
#include "skald/frontend/subquery.h"
#include "skald/obs/log.h"
#include "skald/rpc/ingester_service.h"

namespace skald::frontend {

namespace {

constexpr std::int64_t kSampleNs = 250 * kNanosPerMilli;
constexpr std::int64_t kFrontendSeenNs = kNanosPerMinute;   // a frontend counts as connected for so long after a subquery
constexpr std::chrono::milliseconds kBusyTick{20}, kIdleTick{250};

Error stopping_error() { return Error(ErrorCode::kUnavailable, "the scheduler is stopping"); }

std::vector<double> wait_edges() { return {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100}; }

}  // namespace

struct Scheduler::State : std::enable_shared_from_this<Scheduler::State> {
  State(obs::Registry& registry, const Clock& clock_in, SchedulerOptions options_in)
      : clock(clock_in), options(options_in),
        length(registry.gauge_family("loki_query_scheduler_queue_length", "Number of queries in the queue.", {"user"})),
        wait_seconds(registry.histogram("loki_query_scheduler_queue_duration_seconds", "Time spent by queries in the queue.", wait_edges())),
        discarded(registry.counter_family("loki_query_scheduler_discarded_requests_total", "Total number of query requests discarded.", {"user"})),
        enqueued(registry.counter_family("loki_query_scheduler_enqueue_count", "Total number of enqueued (sub-)queries.", {"user", "level"})),
        queriers(registry.gauge("loki_query_scheduler_connected_querier_clients", "Number of querier worker clients currently connected to the query-scheduler.")),
        frontends(registry.gauge("loki_query_scheduler_connected_frontend_clients", "Number of query-frontend worker clients currently connected to the query-scheduler.")),
        running(registry.gauge("loki_query_scheduler_running", "Value will be 1 if the scheduler is in the ReplicationSet and actively receiving/processing requests")),
        vanished(registry.counter("skald_query_scheduler_vanished_queriers_total", "Subqueries taken back from queriers that fell silent.")), inflight(registry) {
    running.set(1);
  }

  struct Item {
    std::string tenant;
    SharedBytes message;
    std::int64_t deadline_ns = 0;
    http::Responder respond;
    std::shared_ptr<CancelToken> cancel;
    std::int64_t since_ns = 0;
    std::int64_t tries = 0;
    std::string worker;            // "": waits
    std::int64_t alive_ns = 0;     // when the worker was last heard of
  };
  struct Poll {
    std::string worker;
    http::Responder respond;
    std::shared_ptr<CancelToken> cancel;
    std::int64_t since_ns = 0;
  };
  // Answers are sent without the lock.
  using Answers = std::vector<std::pair<http::Responder, http::Response>>;
  static void send(Answers answers) {
    for (auto& [respond, response] : answers) respond(std::move(response));
  }

  void run(const http::Request& request, http::Responder respond);
  void next(const http::Request& request, http::Responder respond);
  http::Response alive(const http::Request& request);
  http::Response done(const http::Request& request);
  http::Response leave(const http::Request& request);
  void stop();
  void sweep();

  // With the lock.
  void hand_out(Answers& answers);
  void forget(std::map<std::uint64_t, Item>::iterator item);
  void look_at_items(std::int64_t now_ns, Answers& answers);
  void look_at_polls(std::int64_t now_ns, Answers& answers);
  void count(std::int64_t now_ns);
  std::size_t busy_with(const std::string& worker) const {
    const auto found = busy.find(worker);
    return found == busy.end() ? 0 : found->second;
  }
  void not_busy(const std::string& worker) {
    if (const auto found = busy.find(worker); found != busy.end() && --found->second == 0) busy.erase(found);
  }
  void set_length(const std::string& tenant) { length.with({tenant}).set(static_cast<double>(queue.size_of(tenant))); }

  const Clock& clock;
  const SchedulerOptions options;
  obs::GaugeFamily& length;
  obs::Histogram& wait_seconds;
  obs::CounterFamily& discarded;
  obs::CounterFamily& enqueued;
  obs::Gauge& queriers;
  obs::Gauge& frontends;
  obs::Gauge& running;
  obs::Counter& vanished;

  std::mutex mutex;   // guards all below
  std::condition_variable wake;
  bool stopping = false;
  bool ended = false;                                // the sweeping thread
  std::map<std::uint64_t, Item> items;               // waiting and running
  FairQueue<std::uint64_t> queue;                    // of those that wait
  std::deque<Poll> polls;                            // queriers that wait, the longest first
  std::map<std::string, std::size_t> busy;           // pieces of work by worker; none is 0
  std::map<std::string, std::int64_t> workers_seen;  // by id: when
  std::map<std::string, std::int64_t> frontends_seen;   // by address
  InflightSummary inflight;
  std::int64_t sampled_ns = 0;
  std::thread sweeper;
};

void Scheduler::State::run(const http::Request& request, http::Responder respond) {
  const CallContext ctx = rpc::context_of(request, clock);
  if (ctx.tenant.empty()) return respond(rpc::answer(Error(ErrorCode::kInvalidArgument, "call from a peer: a subquery has a tenant")));
  const std::int64_t now_ns = clock.monotonic_ns();
  Answers answers;
  {
    const std::lock_guard lock(mutex);
    frontends_seen[request.remote.substr(0, request.remote.rfind(':'))] = now_ns;
    if (stopping) {
      answers.emplace_back(std::move(respond), rpc::answer(stopping_error()));
    } else if (queue.size_of(ctx.tenant) >= options.waiting_max) {
      discarded.with({ctx.tenant}).add(1);
      answers.emplace_back(std::move(respond), rpc::answer(Error(ErrorCode::kResourceExhausted, "too many outstanding requests")));
    } else {
      std::uint64_t id = 0;
      while (id == 0 || items.contains(id)) id = system_random().next_u64();
      Item& item = items[id];
      item.tenant = ctx.tenant;
      item.message = request.body;
      item.deadline_ns = ctx.deadline_monotonic_ns;
      item.respond = std::move(respond);
      item.cancel = request.cancel;
      item.since_ns = now_ns;
      queue.push_back(ctx.tenant, id);
      enqueued.with({ctx.tenant, "0"}).add(1);
      set_length(ctx.tenant);
      hand_out(answers);
      wake.notify_all();
    }
  }
  send(std::move(answers));
}

void Scheduler::State::hand_out(Answers& answers) {
  const std::int64_t now_ns = clock.monotonic_ns();
  while (queue.size() != 0) {
    std::erase_if(polls, [](const Poll& poll) { return poll.cancel && poll.cancel->cancelled(); });
    if (polls.empty()) return;
    const std::uint64_t id = *queue.pop();
    const auto found = items.find(id);
    if (found == items.end()) continue;
    Item& item = found->second;
    set_length(item.tenant);
    if (item.cancel && item.cancel->cancelled()) {
      answers.emplace_back(std::move(item.respond), rpc::answer(Error(ErrorCode::kCancelled, "the frontend went away")));
      items.erase(found);
      continue;
    }
    Work work{id, item.tenant, 0, *item.message};
    if (item.deadline_ns != std::numeric_limits<std::int64_t>::max())
      work.left_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(1, (item.deadline_ns - now_ns) / kNanosPerMilli));
    // Whoever has least to do: the parts of one query are to be spread over queriers, not over the threads of one.
    const auto least_busy = std::min_element(polls.begin(), polls.end(), [this](const Poll& a, const Poll& b) { return busy_with(a.worker) < busy_with(b.worker); });
    item.worker = least_busy->worker;
    item.alive_ns = now_ns;
    ++busy[item.worker];
    wait_seconds.observe(static_cast<double>(now_ns - item.since_ns) / 1e9);
    answers.emplace_back(std::move(least_busy->respond), rpc::answer(encode_work(work)));
    polls.erase(least_busy);
  }
}

void Scheduler::State::next(const http::Request& request, http::Responder respond) {
  const Result<WorkerWord> word = decode_word(*request.body);
  if (!word.ok()) return respond(rpc::answer(word.error()));
  Answers answers;
  {
    const std::lock_guard lock(mutex);
    if (stopping) {
      answers.emplace_back(std::move(respond), rpc::answer(stopping_error()));
    } else {
      const std::int64_t now_ns = clock.monotonic_ns();
      workers_seen[word->worker] = now_ns;
      polls.push_back({word->worker, std::move(respond), request.cancel, now_ns});
      hand_out(answers);
      wake.notify_all();
    }
  }
  send(std::move(answers));
}

http::Response Scheduler::State::alive(const http::Request& request) {
  const Result<WorkerWord> word = decode_word(*request.body);
  if (!word.ok()) return rpc::answer(word.error());
  WorkerWord given_up;
  const std::lock_guard lock(mutex);
  const std::int64_t now_ns = clock.monotonic_ns();
  workers_seen[word->worker] = now_ns;
  for (const std::uint64_t id : word->ids) {
    const auto found = items.find(id);
    if (found == items.end()) given_up.ids.push_back(id);
    else if (found->second.worker == word->worker) found->second.alive_ns = now_ns;
  }
  return rpc::answer(encode_word(given_up));
}

http::Response Scheduler::State::done(const http::Request& request) {
  Result<WorkDone> finished = decode_done(*request.body);
  if (!finished.ok()) return rpc::answer(std::move(finished).error());
  http::Responder respond;
  {
    const std::lock_guard lock(mutex);
    const auto found = items.find(finished->id);
    // Whoever waited has gone, or another was faster.
    if (found == items.end()) return rpc::answer(Bytes());
    respond = std::move(found->second.respond);
    forget(found);
  }
  respond(rpc::answer(std::move(finished->result)));
  return rpc::answer(Bytes());
}

http::Response Scheduler::State::leave(const http::Request& request) {
  const Result<WorkerWord> word = decode_word(*request.body);
  if (!word.ok()) return rpc::answer(word.error());
  Answers answers;
  {
    const std::lock_guard lock(mutex);
    for (auto poll = polls.begin(); poll != polls.end();) {
      if (poll->worker != word->worker) {
        ++poll;
        continue;
      }
      answers.emplace_back(std::move(poll->respond), rpc::answer(encode_work({})));
      poll = polls.erase(poll);
    }
    workers_seen.erase(word->worker);
  }
  send(std::move(answers));
  return rpc::answer(Bytes());
}

void Scheduler::State::forget(std::map<std::uint64_t, Item>::iterator item) {
  if (item->second.worker.empty()) {
    queue.remove(item->second.tenant, item->first);
    set_length(item->second.tenant);
  } else {
    not_busy(item->second.worker);
  }
  items.erase(item);
}

void Scheduler::State::look_at_items(std::int64_t now_ns, Answers& answers) {
  bool querier_there = !polls.empty();
  for (const auto& [worker, seen_ns] : workers_seen) querier_there = querier_there || now_ns - seen_ns < options.lease_ns;
  for (auto at = items.begin(); at != items.end();) {
    const auto item = at++;
    Item& it = item->second;
    const auto end = [&](http::Response response) {
      answers.emplace_back(std::move(it.respond), std::move(response));
      forget(item);
    };
    if (it.cancel && it.cancel->cancelled()) {
      end(rpc::answer(Error(ErrorCode::kCancelled, "the frontend went away")));
    } else if (now_ns >= it.deadline_ns) {
      end(rpc::answer(Error(ErrorCode::kDeadlineExceeded, "the deadline has passed")));
    } else if (it.worker.empty()) {
      if (!querier_there && now_ns - it.since_ns >= options.no_querier_ns) end(rpc::answer(Error(ErrorCode::kUnavailable, "no querier asks for work")));
    } else if (now_ns - it.alive_ns >= options.lease_ns) {
      vanished.add(1);
      log::warn("a querier fell silent amid a subquery", {{"querier", it.worker}, {"org_id", it.tenant}, {"tries", it.tries + 1}});
      if (++it.tries >= options.max_tries) {
        // Not to be tried elsewhere: it may be what makes them vanish.
        end(rpc::answer(encode_result(Error(ErrorCode::kInternal, "the queriers that evaluated the query vanished"))));
        continue;
      }
      not_busy(std::exchange(it.worker, ""));
      queue.push_front(it.tenant, item->first);
      set_length(it.tenant);
    }
  }
}

void Scheduler::State::look_at_polls(std::int64_t now_ns, Answers& answers) {
  for (auto poll = polls.begin(); poll != polls.end();) {
    if (poll->cancel && poll->cancel->cancelled()) {
      poll = polls.erase(poll);
    } else if (now_ns - poll->since_ns >= options.poll_ns) {
      answers.emplace_back(std::move(poll->respond), rpc::answer(encode_work({})));
      poll = polls.erase(poll);
    } else {
      workers_seen[poll->worker] = now_ns;
      ++poll;
    }
  }
}

void Scheduler::State::count(std::int64_t now_ns) {
  if (now_ns - sampled_ns < kSampleNs) return;
  sampled_ns = now_ns;
  inflight.sample(items.size());
  // A worker that works on something long is heard of by its alive.
  std::erase_if(workers_seen, [&](const auto& entry) { return now_ns - entry.second >= options.lease_ns; });
  std::erase_if(frontends_seen, [&](const auto& entry) { return now_ns - entry.second >= kFrontendSeenNs; });
  queriers.set(static_cast<double>(workers_seen.size()));
  frontends.set(static_cast<double>(frontends_seen.size()));
}

void Scheduler::State::sweep() {
  std::unique_lock lock(mutex);
  while (!ended) {
    wake.wait_for(lock, items.empty() ? kIdleTick : kBusyTick, [this] { return ended; });
    if (ended) return;
    Answers answers;
    const std::int64_t now_ns = clock.monotonic_ns();
    look_at_polls(now_ns, answers);
    look_at_items(now_ns, answers);
    hand_out(answers);
    count(now_ns);
    lock.unlock();
    send(std::move(answers));
    lock.lock();
  }
}

void Scheduler::State::stop() {
  Answers answers;
  {
    const std::lock_guard lock(mutex);
    stopping = true;
    running.set(0);
    for (auto& [id, item] : items) answers.emplace_back(std::move(item.respond), rpc::answer(stopping_error()));
    while (!items.empty()) forget(items.begin());
    for (Poll& poll : polls) answers.emplace_back(std::move(poll.respond), rpc::answer(encode_work({})));
    polls.clear();
  }
  send(std::move(answers));
}

Scheduler::Scheduler(obs::Registry& registry, const Clock& clock, SchedulerOptions options) : state_(std::make_shared<State>(registry, clock, options)) {
  state_->sweeper = std::thread([state = state_.get()] { state->sweep(); });
}

Scheduler::~Scheduler() {
  stop();
  {
    const std::lock_guard lock(state_->mutex);
    state_->ended = true;
  }
  state_->wake.notify_all();
  state_->sweeper.join();
}

void Scheduler::stop() { state_->stop(); }

void Scheduler::add_routes(http::Server& server) {
  // On the pool for the sake of the server's watch over callers that go away; no handler waits there.
  const auto add = [&](const std::string& method, http::Handler handler) {
    http::Route route;
    route.methods = {"POST"};
    route.pattern = std::string(rpc::kPathPrefix) + "scheduler/" + method;
    route.name = "skald_rpc_scheduler_" + method;
    route.run_on = http::RunOn::kPool;
    route.body_bytes_max = rpc::kMessageBytesMax;
    route.handler = std::move(handler);
    server.add(std::move(route));
  };
  const std::shared_ptr<State> state = state_;
  add("run", [state](std::shared_ptr<http::Request> request, http::Responder respond) { state->run(*request, std::move(respond)); });
  add("next", [state](std::shared_ptr<http::Request> request, http::Responder respond) { state->next(*request, std::move(respond)); });
  add("alive", [state](std::shared_ptr<http::Request> request, http::Responder respond) { respond(state->alive(*request)); });
  add("done", [state](std::shared_ptr<http::Request> request, http::Responder respond) { respond(state->done(*request)); });
  add("leave", [state](std::shared_ptr<http::Request> request, http::Responder respond) { respond(state->leave(*request)); });
}

}  // namespace skald::frontend
