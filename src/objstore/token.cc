#include "objstore/token.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "skald/io/file_system.h"
#include "skald/obs/log.h"

namespace skald::objstore {
namespace {

constexpr std::int64_t kRenewBeforeNs = 5 * kNanosPerMinute;
constexpr std::int64_t kRetryAfterNs = 10 * kNanosPerSecond;   // after a failed renewal while the old token lives
constexpr std::int64_t kRejectAfterNs = 10 * kNanosPerSecond;
constexpr std::int64_t kRenewalNs = 5 * kNanosPerSecond;       // what a request waits for a renewal it does not need yet
constexpr std::uint64_t kCredentialBytesMax = 1 << 20;

}  // namespace

Environment process_environment() {
  return {.variable =
              [](const char* name) {
                const char* value = std::getenv(name);
                return std::string(value == nullptr ? "" : value);
              },
          .read_file = [](const std::string& path) { return io::posix_file_system().read_file(path, kCredentialBytesMax); }};
}

CachedToken::CachedToken(std::string what, Fetch fetch, const Clock& clock)
    : what_(std::move(what)), fetch_(std::move(fetch)), clock_(clock) {}

Result<Token> CachedToken::fetch(const CallContext& ctx, bool have_old) {
  if (!have_old) return fetch_(ctx);
  // The old token would do: a token service that hangs must not hold this request for long.
  CallContext renewal = ctx;
  renewal.deadline_monotonic_ns = std::min(ctx.deadline_monotonic_ns, ctx.clock->monotonic_ns() + kRenewalNs);
  return fetch_(renewal);
}

Result<std::string> CachedToken::get(const CallContext& ctx) {
  std::unique_lock lock(mutex_);
  const std::uint64_t failed_before = failed_flights_;
  while (true) {
    const std::int64_t now_ns = clock_.now_ns();
    const bool valid = token_.has_value() && now_ns < token_->expires_ns;
    if (valid && (now_ns < renew_ns_ || fetching_)) return token_->value;
    if (!fetching_) {
      fetching_ = true;
      lock.unlock();
      Result<Token> fetched = fetch(ctx, valid);
      lock.lock();
      fetching_ = false;
      ended_.notify_all();
      const std::int64_t then_ns = clock_.now_ns();
      if (fetched.ok() && fetched->expires_ns <= then_ns)
        fetched = Error(ErrorCode::kUnavailable, what_ + ": the token came with an expiry in the past; is this machine's clock right?");
      if (fetched.ok()) {
        token_ = std::move(fetched).value();
        fetched_ns_ = then_ns;
        renew_ns_ = token_->expires_ns - std::min(kRenewBeforeNs, (token_->expires_ns - then_ns) / 2);
        return token_->value;
      }
      if (token_.has_value() && then_ns < token_->expires_ns) {
        renew_ns_ = then_ns + kRetryAfterNs;
        log::warn("token could not be renewed, the old one serves on",
                  {{"token", what_}, {"seconds_left", (token_->expires_ns - then_ns) / kNanosPerSecond}, {"error", fetched.error().message()}});
        return token_->value;
      }
      if (ctx.check().ok()) {   // a caller who ran out of time or patience says nothing about the others' chances
        ++failed_flights_;
        last_error_ = fetched.error();
      }
      return fetched.error();
    }
    SKALD_TRY_VOID(ctx.check());
    // Cancellation has no condition variable: looked at now and then.
    ended_.wait_for(lock, std::chrono::milliseconds(20));
    if (failed_flights_ != failed_before && !fetching_) return *last_error_;
  }
}

void CachedToken::reject(std::string_view value) {
  const std::lock_guard lock(mutex_);
  if (token_.has_value() && token_->value == value && clock_.now_ns() - fetched_ns_ >= kRejectAfterNs) token_.reset();
}

}  // namespace skald::objstore
