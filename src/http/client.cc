#include "skald/http/client.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <mutex>
#include <thread>

#include "http/client_transfer.h"

namespace skald::http {
namespace {

constexpr std::int64_t kCancelPollNs = 20 * kNanosPerMilli;
constexpr std::int64_t kScanNs = 5 * kNanosPerMilli;        // deadlines and cancellation are looked at no more often
constexpr std::int64_t kIdlePollNs = kNanosPerMinute;
constexpr std::size_t kSpareHandlesMax = 64;                // a used handle keeps its TLS session for the next request

// Everything the background thread and the callers share. Kept alive by both the client and its running requests.
class Core {
 public:
  explicit Core(ClientOptions options) : options_(std::move(options)), multi_(::curl_multi_init()) {}
  ~Core() {
    spare_.clear();
    if (multi_ != nullptr) ::curl_multi_cleanup(multi_);
  }
  Core(const Core&) = delete;

  Result<void> set_up() {
    if (multi_ == nullptr) return Error(ErrorCode::kResourceExhausted, "HTTP client: out of memory");
    ::curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(std::max<std::size_t>(1, options_.idle_connections_max)));
    ::curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(options_.connections_per_host_max));
    return {};
  }

  Result<std::shared_ptr<Transfer>> prepare(const ClientRequest& request, const CallContext& ctx) {
    return Transfer::prepare(spare_handle(), options_, request, ctx);
  }

  Result<void> submit(const std::shared_ptr<Transfer>& transfer) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return transfer->error(ErrorCode::kCancelled, "the client is shutting down");
      submitted_.push_back(transfer);
    }
    ::curl_multi_wakeup(multi_);
    return {};
  }

  Result<std::shared_ptr<Transfer>> submit(const ClientRequest& request, const CallContext& ctx) {
    SKALD_TRY(std::shared_ptr<Transfer> transfer, prepare(request, ctx));
    SKALD_TRY_VOID(submit(transfer));
    return transfer;
  }

  bool done(const Transfer& transfer) const {
    const std::lock_guard lock(mutex_);
    return transfer.done;
  }

  // Waits until one of them is done, or until then (max: for ever).
  void wait(std::span<Transfer* const> transfers, std::int64_t until_monotonic_ns) {
    TransferWaiter waiter;
    std::unique_lock lock(mutex_);
    for (Transfer* transfer : transfers) {
      if (transfer->done) return;
    }
    for (Transfer* transfer : transfers) transfer->waiter = &waiter;
    const auto signalled = [&] { return waiter.signalled; };
    if (until_monotonic_ns == std::numeric_limits<std::int64_t>::max()) {
      waiter.wake.wait(lock, signalled);
    } else {
      const std::int64_t left_ns = until_monotonic_ns - system_clock().monotonic_ns();
      if (left_ns > 0) waiter.wake.wait_for(lock, std::chrono::nanoseconds(left_ns), signalled);
    }
    for (Transfer* transfer : transfers) transfer->waiter = nullptr;
  }

  // Returns when the background thread has let go of it.
  void abandon(Transfer& transfer) {
    {
      const std::lock_guard lock(mutex_);
      if (transfer.done) return;
      transfer.abort = true;
      aborts_ = true;
    }
    ::curl_multi_wakeup(multi_);
    Transfer* const one[] = {&transfer};
    wait(one, std::numeric_limits<std::int64_t>::max());
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    ::curl_multi_wakeup(multi_);
  }

  void run();

 private:
  CurlEasy spare_handle() {
    {
      const std::lock_guard lock(mutex_);
      if (!spare_.empty()) {
        CurlEasy easy = std::move(spare_.back());
        spare_.pop_back();
        return easy;
      }
    }
    return CurlEasy(::curl_easy_init());
  }
  void add(std::shared_ptr<Transfer> transfer);
  void end(std::size_t at, Result<ClientResponse> outcome);
  void scan(std::int64_t now_ns, bool aborts);
  std::int64_t poll_ns(std::int64_t now_ns) const;

  const ClientOptions options_;
  CURLM* const multi_;

  mutable std::mutex mutex_;   // guards the next four, and the guarded part of every transfer
  std::vector<std::shared_ptr<Transfer>> submitted_;
  std::vector<CurlEasy> spare_;
  bool aborts_ = false;
  bool stopping_ = false;

  std::vector<std::shared_ptr<Transfer>> active_;   // background thread only
};

void Core::add(std::shared_ptr<Transfer> transfer) {
  active_.push_back(std::move(transfer));
  ::curl_easy_setopt(active_.back()->easy(), CURLOPT_PRIVATE, static_cast<void*>(active_.back().get()));
  if (::curl_multi_add_handle(multi_, active_.back()->easy()) != CURLM_OK) {
    end(active_.size() - 1, active_.back()->error(ErrorCode::kInternal, "libcurl refused the request"));
  }
}

void Core::end(std::size_t at, Result<ClientResponse> outcome) {
  const std::shared_ptr<Transfer> transfer = std::move(active_[at]);
  active_[at] = std::move(active_.back());
  active_.pop_back();
  ::curl_multi_remove_handle(multi_, transfer->easy());
  CurlEasy easy = transfer->release_easy();
  ::curl_easy_reset(easy.get());   // no pointer into the transfer may stay behind
  {
    const std::lock_guard lock(mutex_);
    if (spare_.size() < kSpareHandlesMax) spare_.push_back(std::move(easy));
    transfer->done = true;
    if (!transfer->then) transfer->outcome = std::move(outcome);
    if (transfer->waiter != nullptr) {
      transfer->waiter->signalled = true;
      transfer->waiter->wake.notify_one();   // under the lock: the waiter lives on the stack of who it wakes
    }
  }
  if (transfer->then) transfer->then(std::move(outcome));
}

void Core::scan(std::int64_t now_ns, bool aborts) {
  for (std::size_t i = active_.size(); i-- > 0;) {
    Transfer& transfer = *active_[i];
    bool abort = false;
    if (aborts) {
      const std::lock_guard lock(mutex_);
      abort = transfer.abort;
    }
    if (abort) {
      end(i, transfer.error(ErrorCode::kCancelled, "given up"));
    } else if (transfer.cancelled()) {
      end(i, transfer.error(ErrorCode::kCancelled, "cancelled"));
    } else if (std::optional<Error> late = transfer.overdue(now_ns)) {
      end(i, *std::move(late));
    }
  }
}

std::int64_t Core::poll_ns(std::int64_t now_ns) const {
  std::int64_t wait_ns = kIdlePollNs;
  for (const std::shared_ptr<Transfer>& transfer : active_) {
    if (transfer->cancellable()) wait_ns = std::min(wait_ns, kCancelPollNs);
    wait_ns = std::min(wait_ns, transfer->watch_ns());
    if (transfer->deadline_ns() != std::numeric_limits<std::int64_t>::max()) {
      wait_ns = std::min(wait_ns, std::max<std::int64_t>(0, transfer->deadline_ns() - now_ns) + kNanosPerMilli);
    }
  }
  return wait_ns;
}

void Core::run() {
  std::vector<std::shared_ptr<Transfer>> incoming;
  std::int64_t scanned_ns = 0;
  while (true) {
    bool aborts = false;
    bool stopping = false;
    {
      const std::lock_guard lock(mutex_);
      incoming.swap(submitted_);
      aborts = std::exchange(aborts_, false);
      stopping = stopping_;
    }
    for (std::shared_ptr<Transfer>& transfer : incoming) add(std::move(transfer));
    incoming.clear();
    if (stopping) {
      // A callback may submit another request; those are refused from here on.
      while (!active_.empty()) end(active_.size() - 1, active_.back()->error(ErrorCode::kCancelled, "the client is shutting down"));
      return;
    }
    int running = 0;
    ::curl_multi_perform(multi_, &running);
    int queued = 0;
    while (CURLMsg* message = ::curl_multi_info_read(multi_, &queued)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;   // the message is gone once the handle is removed
      char* owner = nullptr;
      ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
      const auto found = std::find_if(active_.begin(), active_.end(),
                                      [&](const auto& transfer) { return static_cast<void*>(transfer.get()) == static_cast<void*>(owner); });
      SKALD_CHECK(found != active_.end());
      Result<ClientResponse> outcome = (*found)->finish(code);
      end(static_cast<std::size_t>(found - active_.begin()), std::move(outcome));
    }
    const std::int64_t now_ns = system_clock().monotonic_ns();
    if (aborts || now_ns - scanned_ns >= kScanNs) {
      scan(now_ns, aborts);
      scanned_ns = now_ns;
    }
    const std::int64_t wait_ns = poll_ns(now_ns);
    ::curl_multi_poll(multi_, nullptr, 0, static_cast<int>(std::max<std::int64_t>(1, wait_ns / kNanosPerMilli)), nullptr);
  }
}

class RunningTransfer final : public Client::Running {
 public:
  RunningTransfer(std::shared_ptr<Core> core, std::shared_ptr<Transfer> transfer) : core_(std::move(core)), transfer_(std::move(transfer)) {}
  explicit RunningTransfer(Error error) : refused_(std::move(error)) {}
  ~RunningTransfer() override {
    if (transfer_) core_->abandon(*transfer_);
  }
  bool done() const override { return !transfer_ || core_->done(*transfer_); }
  Result<ClientResponse> take() override {
    if (!transfer_) return *refused_;
    Transfer* const one[] = {transfer_.get()};
    core_->wait(one, std::numeric_limits<std::int64_t>::max());
    SKALD_CHECK(transfer_->outcome.has_value());   // done: the background thread has let go of it
    Result<ClientResponse> outcome = *std::move(transfer_->outcome);
    transfer_->outcome.reset();
    return outcome;
  }
  Transfer* transfer() const { return transfer_.get(); }

 private:
  std::shared_ptr<Core> core_;
  std::shared_ptr<Transfer> transfer_;
  std::optional<Error> refused_;
};

class CurlClient final : public Client {
 public:
  explicit CurlClient(std::shared_ptr<Core> core) : core_(std::move(core)), thread_([shared = core_] {
    ::pthread_setname_np(::pthread_self(), "http-client");
    // OpenSSL writes without MSG_NOSIGNAL, and CURLOPT_NOSIGNAL keeps curl from shielding us.
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    shared->run();
  }) {}
  ~CurlClient() override {
    core_->stop();
    thread_.join();
  }

  Result<ClientResponse> call(const ClientRequest& request, const CallContext& ctx) override {
    SKALD_TRY(std::shared_ptr<Transfer> transfer, core_->submit(request, ctx));
    return RunningTransfer(core_, std::move(transfer)).take();
  }

  std::unique_ptr<Running> start(const ClientRequest& request, const CallContext& ctx) override {
    Result<std::shared_ptr<Transfer>> transfer = core_->submit(request, ctx);
    if (!transfer.ok()) return std::make_unique<RunningTransfer>(std::move(transfer).error());
    return std::make_unique<RunningTransfer>(core_, std::move(transfer).value());
  }

  void call_then(ClientRequest request, SharedBytes body, const CallContext& ctx, std::function<void(Result<ClientResponse>)> done) override {
    request.body = *body;
    Result<std::shared_ptr<Transfer>> transfer = core_->prepare(request, ctx);
    if (!transfer.ok()) return done(std::move(transfer).error());
    (*transfer)->owned_body = std::move(body);
    (*transfer)->then = done;
    if (Result<void> submitted = core_->submit(*transfer); !submitted.ok()) done(std::move(submitted).error());
  }

  void wait_any(std::span<Running* const> running, std::int64_t until_monotonic_ns) override {
    std::vector<Transfer*> transfers;
    for (Running* one : running) {
      Transfer* transfer = static_cast<RunningTransfer*>(one)->transfer();
      if (transfer == nullptr) return;   // refused at once, so done
      transfers.push_back(transfer);
    }
    if (!transfers.empty()) core_->wait(transfers, until_monotonic_ns);
  }

 private:
  const std::shared_ptr<Core> core_;
  std::thread thread_;
};

Result<void> check_readable(const std::string& path, const char* what) {
  if (path.empty() || std::ifstream(path).good()) return {};
  return Error(ErrorCode::kInvalidArgument, std::string("HTTP client: ") + what + " '" + path + "' cannot be read");
}

}  // namespace

Result<std::unique_ptr<Client>> Client::create(ClientOptions options) {
  static std::once_flag once;
  static CURLcode ready = CURLE_OK;
  std::call_once(once, [] { ready = ::curl_global_init(CURL_GLOBAL_DEFAULT); });
  if (ready != CURLE_OK) return Error(ErrorCode::kInternal, std::string("libcurl: ") + ::curl_easy_strerror(ready));
  SKALD_TRY_VOID(check_readable(options.tls.ca_file, "the CA file"));
  SKALD_TRY_VOID(check_readable(options.tls.cert_file, "the client certificate"));
  SKALD_TRY_VOID(check_readable(options.tls.key_file, "the client key"));
  auto core = std::make_shared<Core>(std::move(options));
  SKALD_TRY_VOID(core->set_up());
  return std::unique_ptr<Client>(std::make_unique<CurlClient>(std::move(core)));
}

}  // namespace skald::http
