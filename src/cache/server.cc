#include "cache/server.h"

#include <algorithm>
#include <chrono>

namespace skald::cache {

bool CircuitBreaker::allows() {
  const std::lock_guard lock(mutex_);
  if (open_until_ns_ == 0) return true;
  if (trial_ || clock_.monotonic_ns() < open_until_ns_) return false;
  trial_ = true;
  return true;
}

void CircuitBreaker::report(bool success) {
  const std::lock_guard lock(mutex_);
  const std::int64_t now_ns = clock_.monotonic_ns();
  if (success) {
    failures_ = 0;
    open_until_ns_ = 0;
    trial_ = false;
    return;
  }
  if (options_.failures <= 0) return;
  if (open_until_ns_ != 0) {
    if (trial_) open_until_ns_ = now_ns + options_.open_ns;
    trial_ = false;
    return;
  }
  if (options_.interval_ns > 0 && now_ns - counted_since_ns_ > options_.interval_ns) {
    counted_since_ns_ = now_ns;
    failures_ = 0;
  }
  if (++failures_ < options_.failures) return;
  open_until_ns_ = now_ns + options_.open_ns;
  failures_ = 0;
}

void Server::set_address(const SocketAddress& address) {
  const std::lock_guard lock(mutex_);
  const bool same = address.length == address_.length && std::memcmp(&address.storage, &address_.storage, address.length) == 0;
  if (same) return;
  address_ = address;
  open_ -= idle_.size();   // they lead to the old one
  idle_.clear();
}

Result<std::unique_ptr<Socket>> Server::take(std::int64_t deadline_ns, bool fresh, bool& reused) {
  SocketAddress address;
  reused = false;
  {
    std::unique_lock lock(mutex_);
    while (true) {
      if (!fresh && !idle_.empty()) {
        std::unique_ptr<Socket> socket = std::move(idle_.back());
        idle_.pop_back();
        reused = true;
        return socket;
      }
      if (options_.open_max == 0 || open_ < options_.open_max) break;
      if (fresh && !idle_.empty()) {   // the others idled just as long
        idle_.pop_back();
        --open_;
        continue;
      }
      const std::int64_t left_ns = deadline_ns - system_clock().monotonic_ns();
      if (left_ns <= 0) return Error(ErrorCode::kDeadlineExceeded, name_ + ": all connections are in use");
      returned_.wait_for(lock, std::chrono::nanoseconds(std::min(left_ns, kNanosPerSecond)));
    }
    ++open_;
    address = address_;
  }
  const auto open = [&]() -> Result<std::unique_ptr<Socket>> {
    SKALD_TRY(std::unique_ptr<Socket> socket,
              Socket::connect(address, options_.tls.get(), options_.tls_server_name.empty() ? host_ : options_.tls_server_name, deadline_ns));
    if (options_.greet) SKALD_TRY_VOID(options_.greet(*socket, deadline_ns));
    return socket;
  };
  auto opened = open();
  if (!opened.ok()) close_one();
  return opened;
}

void Server::close_one() {
  {
    const std::lock_guard lock(mutex_);
    --open_;
  }
  returned_.notify_one();
}

void Server::give_back(std::unique_ptr<Socket> socket) {
  {
    const std::lock_guard lock(mutex_);
    if (!socket->has_unread() && idle_.size() < std::max<std::size_t>(1, options_.idle_max)) {
      idle_.push_back(std::move(socket));
    } else {
      --open_;
    }
  }
  returned_.notify_one();
}

Result<void> Server::try_once(std::int64_t deadline_ns, bool fresh, const std::function<Result<void>(Socket&)>& talk, bool& worth_another) {
  bool reused = false;
  SKALD_TRY(std::unique_ptr<Socket> socket, take(deadline_ns, fresh, reused));
  socket->forget_received();
  Result<void> outcome = talk(*socket);
  worth_another = reused && !outcome.ok() && outcome.error().code() == ErrorCode::kUnavailable && !socket->received_anything();
  if (outcome.ok()) {
    give_back(std::move(socket));
  } else {
    socket.reset();
    close_one();
  }
  return outcome;
}

Result<void> Server::exchange(std::int64_t deadline_ns, const std::function<Result<void>(Socket&)>& talk) {
  if (!breaker_.allows()) return Error(ErrorCode::kUnavailable, name_ + ": not asked, it failed too often");
  bool worth_another = false;
  Result<void> outcome = try_once(deadline_ns, false, talk, worth_another);
  if (worth_another) outcome = try_once(deadline_ns, true, talk, worth_another);
  breaker_.report(outcome.ok());
  if (!outcome.ok()) return outcome.error().with_prefix(name_);
  return {};
}

std::int64_t deadline_of(const CallContext& ctx, std::int64_t timeout_ns) {
  const std::int64_t own_ns = system_clock().monotonic_ns() + std::max<std::int64_t>(timeout_ns, kNanosPerMilli);
  return ctx.clock == &system_clock() ? std::min(own_ns, ctx.deadline_monotonic_ns) : own_ns;
}

}  // namespace skald::cache
