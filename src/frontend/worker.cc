#include "skald/frontend/worker.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <thread>

#include "frontend/scheduler_wire.h"
#include "rpc/call.h"
#include "skald/base/random.h"
#include "skald/obs/log.h"

namespace skald::frontend {

namespace {

constexpr std::int64_t kPollTimeoutNs = 40 * kNanosPerSecond;    // twice what a scheduler lets a poll wait
constexpr std::int64_t kPollSliceNs = 250 * kNanosPerMilli;      // a poll that is to be cut off is, within
constexpr std::int64_t kCallTimeoutNs = 10 * kNanosPerSecond;
constexpr int kDeliveriesMax = 3;                                // of one result

}  // namespace

struct Worker::State {
  State(http::Client& client_in, std::function<std::vector<std::string>()> schedulers_in, Evaluate evaluate_in, obs::Registry& registry, const Clock& clock_in,
        WorkerOptions options_in)
      : client(client_in), schedulers(std::move(schedulers_in)), evaluate(std::move(evaluate_in)), clock(clock_in), options(std::move(options_in)),
        id(options.id.empty() ? Ulid::make(clock.now_ns(), system_random()).to_string() : options.id),
        concurrency(registry.gauge("loki_querier_worker_concurrency", "Number of concurrent querier workers")),
        running(registry.gauge("loki_querier_worker_inflight_queries", "Number of queries being processed by the querier workers")),
        connected(registry.gauge("loki_querier_query_frontend_clients", "The current number of clients connected to query-frontend.")) {
    call_ctx.clock = &clock;
  }

  // A scheduler and the threads that work for it.
  struct Peer {
    std::string url;
    std::size_t wanted = 0;        // threads
    std::size_t threads = 0;
    std::shared_ptr<CancelToken> polling = std::make_shared<CancelToken>();   // ends its waiting polls
    std::int64_t alive_ns = 0;     // when it last heard of what runs
  };
  struct Task {
    std::shared_ptr<CancelToken> cancel;
    std::int64_t since_ns = 0;
    bool given_back = false;       // the worker stops before it is done
  };
  struct Loop {
    std::thread thread;
    bool over = false;
  };

  CallContext context(std::int64_t timeout_ns, std::shared_ptr<const CancelToken> cancel = nullptr) const {
    CallContext ctx = call_ctx;
    ctx.deadline_monotonic_ns = clock.monotonic_ns() + timeout_ns;
    ctx.cancel = std::move(cancel);
    return ctx;
  }
  Result<Bytes> call(const std::string& url, std::string_view method, ByteView body, const CallContext& ctx) {
    http::ClientRequest request = rpc::call_request(url, method, ctx);
    request.body = body;
    return rpc::read_answer(client.call(request, ctx), url);
  }

  Result<Bytes> poll(const Peer& peer, ByteView word);
  void manage();
  void refresh();
  void tell_alive();
  void work_for(std::shared_ptr<Peer> peer, Loop& loop);
  void execute(const std::string& url, Work work);
  void pause(std::int64_t pause_ns) {
    std::unique_lock lock(mutex);
    wake.wait_for(lock, std::chrono::nanoseconds(pause_ns), [this] { return stopping; });
  }

  http::Client& client;
  const std::function<std::vector<std::string>()> schedulers;
  const Evaluate evaluate;
  const Clock& clock;
  const WorkerOptions options;
  const std::string id;
  obs::Gauge& concurrency;
  obs::Gauge& running;
  obs::Gauge& connected;
  CallContext call_ctx;

  std::mutex mutex;   // guards all below
  std::condition_variable wake;
  bool started = false, stopping = false, ended = false;
  std::map<std::string, std::shared_ptr<Peer>> peers;       // by URL
  std::map<std::pair<std::string, std::uint64_t>, std::shared_ptr<Task>> tasks;
  std::size_t threads = 0;
  std::list<Loop> loops;
  std::thread manager;
};

// Asks for schedulers now and then, starts threads for them and tells them what runs.
void Worker::State::manage() {
  std::int64_t refreshed_ns = std::numeric_limits<std::int64_t>::min();
  while (true) {
    const std::int64_t now_ns = clock.monotonic_ns();
    {
      std::unique_lock lock(mutex);
      if (ended) return;
      if (!stopping && (refreshed_ns == std::numeric_limits<std::int64_t>::min() || now_ns - refreshed_ns >= options.refresh_ns)) {
        refreshed_ns = now_ns;
        lock.unlock();
        refresh();
      }
    }
    tell_alive();
    std::unique_lock lock(mutex);
    wake.wait_for(lock, std::chrono::nanoseconds(std::min(options.alive_ns / 2, options.refresh_ns)), [this] { return ended; });
  }
}

void Worker::State::refresh() {
  std::vector<std::string> urls = schedulers();
  std::sort(urls.begin(), urls.end());
  urls.erase(std::unique(urls.begin(), urls.end()), urls.end());
  const std::lock_guard lock(mutex);
  if (stopping) return;
  for (auto peer = peers.begin(); peer != peers.end();) {
    if (std::binary_search(urls.begin(), urls.end(), peer->first)) {
      ++peer;
      continue;
    }
    peer->second->wanted = 0;
    peer->second->polling->cancel();
    peer = peers.erase(peer);
  }
  connected.set(static_cast<double>(urls.size()));
  for (std::size_t i = 0; i < urls.size(); ++i) {
    std::shared_ptr<Peer>& peer = peers[urls[i]];
    if (!peer) {
      peer = std::make_shared<Peer>();
      peer->url = urls[i];
    }
    // Threads are shared out, at least one for each: a scheduler that nobody asks could hand out nothing.
    peer->wanted = std::max<std::size_t>(1, options.concurrency / urls.size() + (i < options.concurrency % urls.size() ? 1 : 0));
    for (; peer->threads < peer->wanted; ++peer->threads) {
      ++threads;
      Loop& loop = loops.emplace_back();
      loop.thread = std::thread([this, peer, &loop] { work_for(peer, loop); });
    }
  }
  concurrency.set(static_cast<double>(threads));
  for (auto loop = loops.begin(); loop != loops.end();) {
    if (!loop->over) {
      ++loop;
      continue;
    }
    loop->thread.join();   // it is past its last look at the lock
    loop = loops.erase(loop);
  }
}

void Worker::State::tell_alive() {
  std::map<std::string, WorkerWord> words;
  {
    const std::lock_guard lock(mutex);
    const std::int64_t now_ns = clock.monotonic_ns();
    for (const auto& [key, task] : tasks) {
      if (now_ns - task->since_ns < options.alive_ns) continue;   // most are done by then
      words[key.first].ids.push_back(key.second);
    }
    for (auto word = words.begin(); word != words.end();) {
      const auto peer = peers.find(word->first);
      const bool due = peer == peers.end() || now_ns - peer->second->alive_ns >= options.alive_ns;
      if (due && peer != peers.end()) peer->second->alive_ns = now_ns;
      word = due ? std::next(word) : words.erase(word);
    }
  }
  for (auto& [url, word] : words) {
    word.worker = id;
    word.ids.resize(std::min(word.ids.size(), kWorkIdsMax));
    const CallContext ctx = context(options.alive_ns * 2);
    // The answer comes on the client's thread; the worker may be gone by then, its tasks not.
    std::map<std::uint64_t, std::shared_ptr<CancelToken>> tokens;
    {
      const std::lock_guard lock(mutex);
      for (const std::uint64_t one : word.ids)
        if (const auto task = tasks.find({url, one}); task != tasks.end()) tokens[one] = task->second->cancel;
    }
    client.call_then(rpc::call_request(url, "scheduler/alive", ctx), std::make_shared<const Bytes>(encode_word(word)), ctx,
                     [tokens = std::move(tokens), url = url](Result<http::ClientResponse> response) {
                       const Result<Bytes> answer = rpc::read_answer(std::move(response), url);
                       if (!answer.ok()) return;
                       const Result<WorkerWord> given_up = decode_word(*answer);
                       if (!given_up.ok()) return;
                       for (const std::uint64_t one : given_up->ids)
                         if (const auto token = tokens.find(one); token != tokens.end()) token->second->cancel();
                     });
  }
}

// Without a cancel token: for each call that has one the client would look around fifty times a second, and polls wait all day.
Result<Bytes> Worker::State::poll(const Peer& peer, ByteView word) {
  const CallContext ctx = context(kPollTimeoutNs);
  http::ClientRequest request = rpc::call_request(peer.url, "scheduler/next", ctx);
  request.body = word;
  const std::unique_ptr<http::Client::Running> running_call = client.start(request, ctx);
  http::Client::Running* const one[] = {running_call.get()};
  while (!running_call->done()) {
    if (peer.polling->cancelled()) return Error(ErrorCode::kCancelled, "the poll is cut off");
    client.wait_any(one, clock.monotonic_ns() + kPollSliceNs);
  }
  return rpc::read_answer(running_call->take(), peer.url);
}

void Worker::State::work_for(std::shared_ptr<Peer> peer, Loop& loop) {
  const Bytes word = encode_word({id, {}});
  bool reached = true;
  while (true) {
    {
      const std::lock_guard lock(mutex);
      if (stopping || peer->threads > peer->wanted) {
        --peer->threads;
        --threads;
        loop.over = true;
        concurrency.set(static_cast<double>(threads));
        wake.notify_all();
        return;
      }
    }
    const Result<Bytes> answer = poll(*peer, word);
    Result<Work> work = answer.ok() ? decode_work(*answer) : Result<Work>(answer.error());
    if (!work.ok()) {
      if (peer->polling->cancelled()) continue;
      if (std::exchange(reached, false)) log::debug("a scheduler cannot be reached", {{"scheduler", peer->url}, {"err", work.error().message()}});
      pause(options.retry_ns);
      continue;
    }
    reached = true;
    if (work->id != 0) execute(peer->url, std::move(work).value());
  }
}

void Worker::State::execute(const std::string& url, Work work) {
  const auto task = std::make_shared<Task>();
  task->cancel = std::make_shared<CancelToken>();
  task->since_ns = clock.monotonic_ns();
  const auto key = std::make_pair(url, work.id);
  {
    const std::lock_guard lock(mutex);
    tasks[key] = task;
  }
  running.add(1);
  CallContext ctx = call_ctx;
  ctx.tenant = work.tenant;
  ctx.cancel = task->cancel;
  if (work.left_ms != 0 && work.left_ms < static_cast<std::uint64_t>(INT64_MAX / kNanosPerMilli - task->since_ns / kNanosPerMilli))
    ctx.deadline_monotonic_ns = task->since_ns + static_cast<std::int64_t>(work.left_ms) * kNanosPerMilli;
  const auto run = [&]() -> Result<engine::QueryResult> {
    SKALD_TRY(const Subquery subquery, decode_subquery(work.tenant, work.subquery));
    return evaluate(ctx, subquery);
  };
  Bytes result = encode_result(run());
  if (result.size() > rpc::kMessageBytesMax - 1024)
    result = encode_result(Error(ErrorCode::kResourceExhausted, "the answer of a part of the query is larger than " + std::to_string(rpc::kMessageBytesMax >> 20) +
                                                                    " MB; reduce the time range or add more label matchers"));
  bool given_back = false;
  {
    const std::lock_guard lock(mutex);
    given_back = task->given_back;
  }
  if (given_back) result = encode_result(Error(ErrorCode::kUnavailable, "the querier stops"));   // to be evaluated elsewhere
  if (given_back || !task->cancel->cancelled()) {
    const Bytes message = encode_done({work.id, std::move(result)});
    // A result that is lost costs its evaluation once more, elsewhere.
    for (int tried = 1; tried <= kDeliveriesMax; ++tried) {
      const CallContext call_to = given_back ? context(kNanosPerSecond) : context(kCallTimeoutNs, task->cancel);
      const Result<Bytes> delivered = call(url, "scheduler/done", message, call_to);
      if (delivered.ok() || delivered.error().code() != ErrorCode::kUnavailable || task->cancel->cancelled()) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20 * tried));
    }
  }
  running.add(-1);
  const std::lock_guard lock(mutex);
  tasks.erase(key);
  wake.notify_all();
}

Worker::Worker(http::Client& client, std::function<std::vector<std::string>()> schedulers, Evaluate evaluate, obs::Registry& registry, const Clock& clock,
               WorkerOptions options)
    : state_(std::make_unique<State>(client, std::move(schedulers), std::move(evaluate), registry, clock, std::move(options))) {}

Worker::~Worker() { stop(); }

void Worker::start() {
  const std::lock_guard lock(state_->mutex);
  if (std::exchange(state_->started, true)) return;
  state_->manager = std::thread([state = state_.get()] { state->manage(); });
}

void Worker::stop(std::int64_t grace_ns) {
  State& state = *state_;
  std::vector<std::shared_ptr<State::Peer>> peers;
  {
    const std::lock_guard lock(state.mutex);
    if (!state.started || std::exchange(state.stopping, true)) return;
    for (const auto& [url, peer] : state.peers) peers.push_back(peer);
  }
  state.wake.notify_all();
  // Schedulers answer the waiting polls: one that was just answered with work is not cut off. A scheduler that does not
  // take leave has its polls cut off.
  const Bytes word = encode_word({state.id, {}});
  std::vector<std::unique_ptr<http::Client::Running>> leaving;
  const CallContext ctx = state.context(2 * kNanosPerSecond);
  for (const auto& peer : peers) {
    http::ClientRequest request = rpc::call_request(peer->url, "scheduler/leave", ctx);
    request.body = word;
    leaving.push_back(state.client.start(request, ctx));
  }
  for (std::size_t i = 0; i < peers.size(); ++i)
    if (!rpc::read_answer(leaving[i]->take(), peers[i]->url).ok()) peers[i]->polling->cancel();
  {
    std::unique_lock lock(state.mutex);
    const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(grace_ns);
    // A poll may have left after the leave; it is answered with work, or with nothing, by and by.
    bool cut = false;
    while (state.threads != 0) {
      const auto now = std::chrono::steady_clock::now();
      if (state.tasks.empty() && !cut && now >= until - std::chrono::nanoseconds(grace_ns) + std::chrono::milliseconds(500)) {
        cut = true;
        for (const auto& peer : peers) peer->polling->cancel();
      }
      if (now >= until) {
        for (const auto& peer : peers) peer->polling->cancel();
        for (const auto& [key, task] : state.tasks) {
          task->given_back = true;
          task->cancel->cancel();
        }
      }
      state.wake.wait_for(lock, std::chrono::milliseconds(20));
    }
    state.ended = true;
  }
  state.wake.notify_all();
  state.manager.join();
  for (State::Loop& loop : state.loops) loop.thread.join();
  state.loops.clear();
}

}  // namespace skald::frontend
