#include "ring/remote_kv.h"

#include <openssl/evp.h>

#include <algorithm>
#include <chrono>

#include "skald/base/random.h"
#include "skald/obs/log.h"

namespace skald::ring {
namespace {

std::int64_t with_jitter(std::int64_t pause_ns) {
  if (pause_ns <= 0) return 0;
  return pause_ns / 2 + static_cast<std::int64_t>(system_random().next_u64() % static_cast<std::uint64_t>(pause_ns));
}

// Sleeps, unless the call is cancelled or its deadline comes first.
Result<void> pause(std::int64_t for_ns, const CallContext& ctx) {
  const std::int64_t until_ns = system_clock().monotonic_ns() + for_ns;
  while (system_clock().monotonic_ns() < until_ns) {
    SKALD_TRY_VOID(ctx.check());
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min<std::int64_t>(until_ns - system_clock().monotonic_ns(), 20 * kNanosPerMilli)));
  }
  return ctx.check();
}

}  // namespace

Bytes base64_encode(ByteView bytes) {
  Bytes out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

Result<Bytes> base64_decode(ByteView text) {
  const auto malformed = [] { return Error(ErrorCode::kCorruption, "ring value: not base64"); };
  if (text.size() % 4 != 0) return malformed();
  Bytes out(text.size() / 4 * 3 + 1, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return malformed();
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

// One thread that fetches until it is told to stop.
class RemoteKv::Poll final : public KvStore::Watch {
 public:
  Poll(RemoteKv& store, std::string key, std::function<void(const Desc&)> on_change)
      : store_(store), thread_([this, key = std::move(key), on_change = std::move(on_change)] { run(key, on_change); }) {}
  ~Poll() override {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    cancel_->cancel();
    wake_.notify_all();
    thread_.join();
  }

 private:
  bool stopped_within(std::int64_t pause_ns) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, std::chrono::nanoseconds(pause_ns), [&] { return stopped_; });
  }
  void run(const std::string& key, const std::function<void(const Desc&)>& on_change) {
    Versioned seen;
    bool told = false;
    std::int64_t failure_pause_ns = store_.options_.failure_pause_ns;
    while (!stopped_within(0)) {
      CallContext ctx;
      ctx.cancel = cancel_;
      auto now = store_.fetch_newer(key, seen, ctx);
      if (!now.ok()) {
        if (now.error().code() == ErrorCode::kCancelled) continue;
        log::warn("ring store cannot be watched, goes on trying", {{"store", store_.options_.name}, {"key", key}, {"err", now.error().message()}});
        if (stopped_within(with_jitter(failure_pause_ns))) return;
        failure_pause_ns = std::min(failure_pause_ns * 2, store_.options_.failure_pause_max_ns);
        seen.index = 0;                          // the next fetch does not wait
        continue;
      }
      failure_pause_ns = store_.options_.failure_pause_ns;
      const bool news = !told || now->version != seen.version;
      seen = std::move(*now);
      if (news) on_change(visible(seen.desc));
      told = true;
      if (stopped_within(store_.options_.poll_pause_ns)) return;
    }
  }

  RemoteKv& store_;                              // outlives its watches
  const std::shared_ptr<CancelToken> cancel_ = std::make_shared<CancelToken>();
  std::mutex mutex_;                             // guards stopped_
  std::condition_variable wake_;
  bool stopped_ = false;
  std::thread thread_;
};

Result<Desc> RemoteKv::get(const std::string& key, const CallContext& ctx) {
  SKALD_TRY(const Versioned now, times_.measure("GET", key, [&] { return fetch(key, ctx); }));
  return visible(now.desc);
}

Result<void> RemoteKv::update(const std::string& key, const Change& wanted, const CallContext& ctx) {
  return times_.measure("CAS", key, [&] { return change(key, wanted, ctx); });
}

Result<void> RemoteKv::change(const std::string& key, const Change& change, const CallContext& ctx) {
  std::string why = "too many others write";
  for (std::int64_t attempt = 0; attempt < std::max<std::int64_t>(1, options_.tries); ++attempt) {
    if (attempt > 0) SKALD_TRY_VOID(pause(with_jitter(options_.retry_pause_ns), ctx));
    // A store that is down for a moment, too, is asked again.
    auto now = fetch(key, ctx);
    if (!now.ok()) {
      if (now.error().code() != ErrorCode::kUnavailable && now.error().code() != ErrorCode::kDeadlineExceeded) return now.error();
      SKALD_TRY_VOID(ctx.check());
      why = now.error().message();
      continue;
    }
    Desc edited = visible(now->desc);
    SKALD_TRY(const bool wanted, change(edited));
    if (!wanted) return {};
    auto stored = store(key, encode(edited), now->version, ctx);
    if (stored.ok() && *stored) return {};
    if (!stored.ok()) {
      if (stored.error().code() != ErrorCode::kUnavailable && stored.error().code() != ErrorCode::kDeadlineExceeded) return stored.error();
      SKALD_TRY_VOID(ctx.check());
    }
    why = stored.ok() ? "too many others write" : stored.error().message();
  }
  return Error(ErrorCode::kUnavailable, options_.name + ": " + key + " not changed: " + why);
}

std::unique_ptr<KvStore::Watch> RemoteKv::watch(const std::string& key, std::function<void(const Desc&)> on_change) {
  return std::make_unique<Poll>(*this, key, std::move(on_change));
}

}  // namespace skald::ring
