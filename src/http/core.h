// What all connections of one server share. Private to http.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_set>

#include "router.h"
#include "skald/exec/pool.h"
#include "skald/http/server.h"
#include "skald/obs/metrics.h"

namespace skald::http {

namespace asio = boost::asio;

// A connection as its I/O thread keeps it.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual void close_if_idle() = 0;   // graceful stop: idle connections go at once, busy ones after their response
  virtual void close_now() = 0;
};

struct IoThread {
  // Declared first: sessions that the io_context still owns take themselves out of it when it is destroyed.
  std::unordered_set<Connection*> connections;   // touched only on this thread
  asio::io_context io{1};
  asio::ip::tcp::acceptor acceptor{io};
  std::thread thread;
};

struct Metrics {
  explicit Metrics(obs::Registry& registry);
  void observe(const std::string& method, const std::string& route, int status, bool websocket, double seconds,
               std::uint64_t request_bytes, std::uint64_t response_bytes);
  obs::HistogramFamily& duration;
  obs::HistogramFamily& request_bytes;
  obs::HistogramFamily& response_bytes;
  obs::GaugeFamily& inflight;
  obs::Gauge& connections;
  obs::Counter& panics;
};

struct Core {
  Core(ServerOptions o, exec::Pool& p, obs::Registry& registry) : options(std::move(o)), pool(p), metrics(registry) {}
  const ServerOptions options;
  exec::Pool& pool;
  Metrics metrics;
  Router router;
  Gate gate;                   // may be empty
  std::optional<asio::ssl::context> tls;
  std::weak_ptr<void> owner;   // keeps everything here alive while a handler still holds a Responder
  std::atomic<bool> stopping{false};
  std::atomic<std::size_t> open_connections{0};
  std::atomic<std::size_t> running_requests{0};
  std::atomic<std::size_t> open_websockets{0};
};

// Starts a session; it lives until its connection ends. Two files instantiate one template, to keep each compile short.
void start_plain_session(Core& core, IoThread& thread, asio::ip::tcp::socket socket);
void start_tls_session(Core& core, IoThread& thread, asio::ip::tcp::socket socket);

}  // namespace skald::http
