// Sends parts to schedulers and collects what comes back. One thread waits per query: the one that asked.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>

#include "rpc/call.h"
#include "skald/frontend/runner.h"
#include "skald/obs/log.h"

namespace skald::frontend {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::chrono::milliseconds kTick{20};   // cancellation, pauses and stragglers are looked at so often
constexpr std::int64_t kPauseNsMax = kNanosPerSecond;

// Which schedulers are worth asking. Thread-safe.
class Schedulers {
 public:
  Schedulers(std::function<std::vector<std::string>()> urls, std::int64_t unreachable_ns, obs::Gauge& connected)
      : urls_(std::move(urls)), unreachable_(std::chrono::nanoseconds(unreachable_ns)), connected_(connected) {}

  // The next in turn that is neither marked nor among `tried`; "" when there is none.
  std::string choose(const std::vector<std::string>& tried) {
    const std::vector<std::string> urls = urls_();
    const SteadyTime now = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex_);
    std::erase_if(marked_, [&](const auto& entry) { return std::find(urls.begin(), urls.end(), entry.first) == urls.end(); });
    const auto left_alone = [&](const std::string& url) {
      const auto found = marked_.find(url);
      return found != marked_.end() && found->second.until > now;
    };
    std::size_t reachable = 0;
    for (const std::string& url : urls) reachable += !left_alone(url);
    connected_.set(static_cast<double>(reachable));
    for (std::size_t i = 0; i < urls.size(); ++i) {
      const std::string& url = urls[turn_++ % urls.size()];
      if (!left_alone(url) && std::find(tried.begin(), tried.end(), url) == tried.end()) return url;
    }
    return "";
  }
  // Left alone for twice as long each time in a row: a host that swallows packets costs a part its patience.
  void mark(const std::string& url) {
    const SteadyTime now = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex_);
    Mark& mark = marked_[url];
    if (mark.until > now) return;   // by another part
    mark.until = now + unreachable_ * (1 << mark.times);
    mark.times = std::min(mark.times + 1, kDoublingsMax);
  }
  void answered(const std::string& url) {
    const std::lock_guard lock(mutex_);
    marked_.erase(url);
  }

 private:
  const std::function<std::vector<std::string>()> urls_;
  const std::chrono::nanoseconds unreachable_;
  obs::Gauge& connected_;
  std::mutex mutex_;   // guards the two below
  struct Mark {
    SteadyTime until;
    int times = 0;
  };
  static constexpr int kDoublingsMax = 4;
  std::map<std::string, Mark> marked_;
  std::size_t turn_ = 0;
};

struct Answer {
  std::size_t part = 0;
  std::string scheduler;
  Result<Bytes> message;
};

// Where the client's thread leaves answers; outlives the query when some are still owed.
struct Inbox {
  std::mutex mutex;   // guards answers
  std::condition_variable wake;
  std::deque<Answer> answers;
};

struct Metrics {
  obs::Histogram& retries;
  obs::Histogram& partitions;
  obs::Gauge& in_progress;
  obs::Counter& local;
  obs::Counter& hedged;
};

// The parts of one query.
class Flight {
 public:
  Flight(http::Client& client, Schedulers& schedulers, const Evaluate& evaluate, Metrics& metrics, const RemoteRunnerOptions& options, const CallContext& ctx,
         const Parts& parts)
      : client_(client), schedulers_(schedulers), evaluate_(evaluate), metrics_(metrics), options_(options), ctx_(ctx), parts_(parts) {}
  ~Flight() {
    for (auto& [part, active] : active_) cancel(active);
  }
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  Result<void> run() {
    std::size_t window = std::max<std::size_t>(1, parts_.window), next = 0;
    while (window != 0 && (next < parts_.count || !active_.empty())) {
      SKALD_TRY_VOID(ctx_.check());
      while (next < parts_.count && active_.size() < window) {
        Active& active = active_[next];
        active.subquery = parts_.make(next);
        active.message = std::make_shared<const Bytes>(encode_subquery(active.subquery));
        active.begun = std::chrono::steady_clock::now();
        send(next, active);
        ++next;
      }
      if (const std::optional<std::size_t> here = part_for_here()) {
        metrics_.local.add(1);
        const Subquery& subquery = active_[*here].subquery;
        window = settle(*here, with_retries(ctx_, options_.max_retries, options_.retry_min_ns, [&] { return evaluate_(ctx_, subquery); }));
        continue;
      }
      std::deque<Answer> answers;
      {
        std::unique_lock lock(inbox_->mutex);
        if (inbox_->answers.empty()) inbox_->wake.wait_for(lock, kTick);
        answers.swap(inbox_->answers);
      }
      for (Answer& answer : answers)
        if (window != 0) window = take(std::move(answer), window);
      if (window != 0) look_after();
    }
    return {};
  }

 private:
  struct Active {
    Subquery subquery;
    SharedBytes message;
    SteadyTime begun;
    std::vector<std::string> tried;                       // schedulers that did not take it
    std::vector<std::shared_ptr<CancelToken>> sent;
    std::size_t owed = 0;                                 // answers still to come
    std::int64_t retries = 0;
    std::int64_t pause_ns = 0;
    std::optional<SteadyTime> due;                        // when it is sent again
    bool here = false;                                    // nobody takes it
    bool hedged = false;
  };

  static void cancel(Active& active) {
    for (const auto& token : active.sent) token->cancel();
  }

  void send(std::size_t part, Active& active) {
    active.due.reset();
    const std::string scheduler = schedulers_.choose(active.tried);
    if (scheduler.empty()) {
      if (active.owed == 0) active.here = true;
      return;
    }
    const auto token = std::make_shared<CancelToken>();
    active.sent.push_back(token);
    ++active.owed;
    CallContext call = ctx_;
    call.cancel = token;
    client_.call_then(rpc::call_request(scheduler, "scheduler/run", call), active.message, call,
                      [inbox = inbox_, part, scheduler](Result<http::ClientResponse> response) {
                        Answer answer{part, scheduler, rpc::read_answer(std::move(response), scheduler)};
                        const std::lock_guard lock(inbox->mutex);
                        inbox->answers.push_back(std::move(answer));
                        inbox->wake.notify_one();
                      });
  }

  std::optional<std::size_t> part_for_here() const {
    for (const auto& [part, active] : active_)
      if (active.here) return part;
    return std::nullopt;
  }

  std::size_t settle(std::size_t part, Result<engine::QueryResult> result) {
    const auto found = active_.find(part);
    cancel(found->second);
    metrics_.retries.observe(static_cast<double>(found->second.retries));
    slowest_ = std::max(slowest_, std::chrono::steady_clock::now() - found->second.begun);
    active_.erase(found);
    return parts_.take(part, std::move(result));
  }

  std::size_t take(Answer answer, std::size_t window) {
    const auto found = active_.find(answer.part);
    if (found == active_.end()) return window;   // its twin was faster
    Active& active = found->second;
    --active.owed;
    if (!answer.message.ok()) {
      const ErrorCode code = answer.message.error().code();
      if (code != ErrorCode::kUnavailable) {
        if (active.owed != 0) return window;   // the twin may fare better
        return settle(answer.part, std::move(answer.message).error());
      }
      log::debug("a scheduler does not take a part of a query", {{"scheduler", answer.scheduler}, {"err", answer.message.error().message()}});
      schedulers_.mark(answer.scheduler);
      active.tried.push_back(answer.scheduler);
      if (active.owed == 0) send(answer.part, active);
      return window;
    }
    schedulers_.answered(answer.scheduler);
    Result<Result<engine::QueryResult>> decoded = decode_result(*answer.message);
    if (!decoded.ok()) return settle(answer.part, std::move(decoded).error());
    Result<engine::QueryResult> result = std::move(decoded).value();
    if (!result.ok() && result.error().code() == ErrorCode::kUnavailable && active.retries < options_.max_retries) {
      ++active.retries;
      active.tried.clear();
      active.pause_ns = std::clamp(active.pause_ns * 2, options_.retry_min_ns, kPauseNsMax);
      active.due = std::chrono::steady_clock::now() + std::chrono::nanoseconds(active.pause_ns);
      return window;
    }
    return settle(answer.part, std::move(result));
  }

  // What is due to be sent again, and stragglers.
  void look_after() {
    const SteadyTime now = std::chrono::steady_clock::now();
    for (auto& [part, active] : active_) {
      if (active.due && *active.due <= now) send(part, active);
      if (active.hedged || active.owed != 1 || options_.hedge_factor <= 0 || slowest_.count() == 0) continue;
      const auto running = now - active.begun;
      if (running < std::chrono::nanoseconds(options_.hedge_min_ns) ||
          std::chrono::duration<double>(running) < std::chrono::duration<double>(slowest_) * options_.hedge_factor)
        continue;
      active.hedged = true;
      metrics_.hedged.add(1);
      send(part, active);
    }
  }

  http::Client& client_;
  Schedulers& schedulers_;
  const Evaluate& evaluate_;
  Metrics& metrics_;
  const RemoteRunnerOptions& options_;
  const CallContext& ctx_;
  const Parts& parts_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::map<std::size_t, Active> active_;
  std::chrono::steady_clock::duration slowest_{};   // of the parts that ended
};

class RemoteRunner final : public Runner {
 public:
  RemoteRunner(http::Client& client, std::function<std::vector<std::string>()> schedulers, Evaluate evaluate, obs::Registry& registry, RemoteRunnerOptions options)
      : client_(client), evaluate_(std::move(evaluate)), options_(options),
        schedulers_(std::move(schedulers), options.unreachable_ns,
                    registry.gauge("loki_query_frontend_connected_schedulers", "Number of schedulers this frontend is connected to.")),
        metrics_{registry.histogram("loki_query_frontend_retries", "Number of times a request is retried.", {0, 1, 2, 3, 4, 5}),
                 registry.histogram("loki_query_frontend_partitions", "Number of time-based partitions (sub-requests) per request.", {1, 4, 16, 64, 256}),
                 registry.gauge("loki_query_frontend_queries_in_progress", "Number of queries in progress handled by this frontend."),
                 registry.counter("skald_query_frontend_local_parts_total", "Parts of queries that no scheduler took and that were evaluated by the frontend itself."),
                 registry.counter("skald_query_frontend_hedged_parts_total", "Parts of queries that were sent a second time because they took long.")} {}

  Result<void> run(const CallContext& ctx, const Parts& parts) override {
    metrics_.partitions.observe(static_cast<double>(parts.count));
    metrics_.in_progress.add(1);
    Result<void> done = Flight(client_, schedulers_, evaluate_, metrics_, options_, ctx, parts).run();
    metrics_.in_progress.add(-1);
    return done;
  }

 private:
  http::Client& client_;
  const Evaluate evaluate_;
  const RemoteRunnerOptions options_;
  Schedulers schedulers_;
  Metrics metrics_;
};

}  // namespace

std::unique_ptr<Runner> make_remote_runner(http::Client& client, std::function<std::vector<std::string>()> schedulers, Evaluate evaluate, obs::Registry& registry,
                                           RemoteRunnerOptions options) {
  return std::make_unique<RemoteRunner>(client, std::move(schedulers), std::move(evaluate), registry, options);
}

}  // namespace skald::frontend
