// HTTP/1.1 server: one io_context and acceptor per core, keep-alive, pipelining, gzip, limits and timeouts, WebSocket.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"
#include "skald/exec/pool.h"
#include "skald/http/message.h"
#include "skald/obs/metrics.h"

namespace skald::http {

struct ServerOptions {
  std::string listen_address = "";             // empty: all interfaces, IPv4 and IPv6
  std::uint16_t port = 3100;                   // 0: any free port, see Server::port()
  std::size_t io_threads = 0;                  // 0: one per core
  std::string path_prefix;                     // server.http_path_prefix
  std::uint64_t header_bytes_max = 64 * 1024;
  std::uint64_t body_bytes_max = 100ULL << 20; // routes may lower or raise it
  std::int64_t read_timeout_ms = 30'000;       // whole request
  std::int64_t write_timeout_ms = 30'000;      // per progress of a response
  std::int64_t idle_timeout_ms = 120'000;      // between requests
  std::size_t connections_max = 0;             // 0: unlimited
  bool compress_responses = true;
  bool log_requests = false;                   // at info; else at debug (failures at warn)
  std::string tls_certificate_file, tls_key_file, tls_client_ca_file;  // TLS when the first is set
};

enum class RunOn { kIo /* quick, never blocks */, kPool };

using Handler = std::function<void(std::shared_ptr<Request>, Responder)>;
// Runs on the pool after the upgrade.
using WebSocketHandler = std::function<void(std::shared_ptr<Request>, std::shared_ptr<WebSocket>)>;
// Runs before the upgrade; a returned response refuses it.
using WebSocketGuard = std::function<std::optional<Response>(const Request&)>;
// Runs on an I/O thread for every request that has a route, before its body is read; a returned response refuses it.
using Gate = std::function<std::optional<Response>(const Request&)>;

struct Route {
  std::vector<std::string> methods;   // {"GET","POST"}; other methods: 405
  std::string pattern;                // "/loki/api/v1/label/{name}/values"; a trailing "/{name...}" takes the rest
  std::string name;                   // metric label `route`, e.g. "loki_api_v1_push"
  RunOn run_on = RunOn::kPool;
  Handler handler;
  std::uint64_t body_bytes_max = 0;   // 0: the server's
  WebSocketGuard websocket_guard;     // with websocket_handler: the route is a WebSocket endpoint
  WebSocketHandler websocket_handler;
};

class Server {
 public:
  Server(ServerOptions options, exec::Pool& pool, obs::Registry& registry);
  ~Server();
  void add(Route route);              // before start()
  void set_gate(Gate gate);           // before start(); thread-safe and quick, decides anew for each request
  Result<void> start();               // kUnavailable: cannot listen, says on what and why
  std::uint16_t port() const;         // after start()
  // Stops accepting, lets running requests finish for at most `grace_ms`, then closes everything.
  void stop(std::int64_t grace_ms);

 private:
  struct State;
  std::shared_ptr<State> state_;   // also held by answers that handlers still owe
};

}  // namespace skald::http
