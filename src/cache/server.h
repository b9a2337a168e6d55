// One cache server: its idle connections and whether it is worth asking at present.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cache/socket.h"
#include "skald/base/context.h"

namespace skald::cache {

// Opens after `failures` in a row and refuses for `open_ns`; then one call is let through and decides. While closed the
// count starts again every `interval_ns`. Thread-safe.
struct BreakerOptions {
  std::int64_t failures = 10;   // 0: never opens
  std::int64_t open_ns = 10 * kNanosPerSecond;
  std::int64_t interval_ns = 10 * kNanosPerSecond;
};
class CircuitBreaker {
 public:
  CircuitBreaker(const BreakerOptions& options, const Clock& clock = system_clock()) : options_(options), clock_(clock) {}
  bool allows();   // true takes part in half-open: report the outcome
  void report(bool success);

 private:
  const BreakerOptions options_;
  const Clock& clock_;
  std::mutex mutex_;   // guards all below
  std::int64_t failures_ = 0, counted_since_ns_ = 0, open_until_ns_ = 0;
  bool trial_ = false;
};

struct ServerOptions {
  std::size_t idle_max = 16;
  std::size_t open_max = 0;                     // 0: no limit; else callers wait for a connection until their deadline
  std::shared_ptr<const TlsClient> tls;         // null: plain
  std::string tls_server_name;                  // empty: the host's
  BreakerOptions breaker;
  // Called once for a new connection, e.g. to authenticate.
  std::function<Result<void>(Socket&, std::int64_t deadline_ns)> greet;
};

// Thread-safe.
class Server {
 public:
  // `name` is host:port: what the ring hashes and messages say.
  Server(std::string name, std::string host, SocketAddress address, const ServerOptions& options)
      : name_(std::move(name)), host_(std::move(host)), options_(options), address_(address), breaker_(options.breaker) {}

  const std::string& name() const { return name_; }
  void set_address(const SocketAddress& address);

  // Runs `talk` on a connection. When it fails on one that had been idle before a single byte came back (the server
  // was restarted, or closed what was idle), it runs once more on a fresh connection: `talk` must start over when called again.
  // `talk` returns kCorruption when the answers make no sense. kUnavailable at once while the breaker is open.
  Result<void> exchange(std::int64_t deadline_ns, const std::function<Result<void>(Socket&)>& talk);

 private:
  Result<std::unique_ptr<Socket>> take(std::int64_t deadline_ns, bool fresh, bool& reused);
  void give_back(std::unique_ptr<Socket> socket);
  void close_one();
  Result<void> try_once(std::int64_t deadline_ns, bool fresh, const std::function<Result<void>(Socket&)>& talk, bool& worth_another);

  const std::string name_, host_;
  const ServerOptions options_;
  std::mutex mutex_;   // guards all below
  std::condition_variable returned_;
  SocketAddress address_;
  std::vector<std::unique_ptr<Socket>> idle_;
  std::size_t open_ = 0;
  CircuitBreaker breaker_;
};

// Until when a call may take: the level's timeout, or the context's deadline if that is sooner.
std::int64_t deadline_of(const CallContext& ctx, std::int64_t timeout_ns);

}  // namespace skald::cache
