#include "skald/http/server.h"

#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <algorithm>
#include <chrono>

#include "core.h"
#include "skald/obs/log.h"

namespace skald::http {
namespace {

using asio::ip::tcp;
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

std::vector<double> byte_buckets() {
  std::vector<double> edges;
  for (double edge = 4; edge <= 1073741824.0; edge *= 4) edges.push_back(edge);
  return edges;
}

}  // namespace

Metrics::Metrics(obs::Registry& registry)
    : duration(registry.histogram_family("loki_request_duration_seconds", "Time (in seconds) spent serving HTTP requests.",
                                         {"method", "route", "status_code", "ws"},
                                         {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100})),
      request_bytes(registry.histogram_family("loki_request_message_bytes", "Size (in bytes) of messages received in the request.",
                                              {"method", "route"}, byte_buckets())),
      response_bytes(registry.histogram_family("loki_response_message_bytes", "Size (in bytes) of messages sent in response.",
                                               {"method", "route"}, byte_buckets())),
      inflight(registry.gauge_family("loki_inflight_requests", "Current number of inflight requests.", {"method", "route"})),
      connections(registry.gauge_family("loki_tcp_connections", "Current number of accepted TCP connections.", {"protocol"}).with({"http"})),
      panics(registry.counter("loki_panic_total", "Requests whose handler failed by an exception.")) {}

void Metrics::observe(const std::string& method, const std::string& route, int status, bool websocket, double seconds,
                      std::uint64_t request_size, std::uint64_t response_size) {
  duration.with({method, route, std::to_string(status), websocket ? "true" : "false"}).observe(seconds);
  request_bytes.with({method, route}).observe(static_cast<double>(request_size));
  response_bytes.with({method, route}).observe(static_cast<double>(response_size));
}

struct Server::State {
  State(ServerOptions options, exec::Pool& pool, obs::Registry& registry) : core(std::move(options), pool, registry) {}

  Core core;
  std::vector<std::unique_ptr<IoThread>> threads;
  std::uint16_t port = 0;
  bool started = false;

  Result<void> listen(IoThread& thread, std::uint16_t on_port) {
    const std::string where = (core.options.listen_address.empty() ? std::string("*") : core.options.listen_address) + ":" + std::to_string(on_port);
    boost::system::error_code error;
    auto failed = [&](const char* what) {
      return Error(ErrorCode::kUnavailable, "cannot listen on " + where + ": " + what + ": " + error.message());
    };
    tcp::endpoint endpoint(tcp::v6(), on_port);
    bool dual_stack = core.options.listen_address.empty();
    if (!dual_stack) {
      const std::string& text = core.options.listen_address == "localhost" ? "127.0.0.1" : core.options.listen_address;
      const auto address = asio::ip::make_address(text, error);
      if (error) return failed("address");
      endpoint = tcp::endpoint(address, on_port);
    }
    thread.acceptor.open(endpoint.protocol(), error);
    if (error && dual_stack) {   // a kernel without IPv6
      dual_stack = false;
      endpoint = tcp::endpoint(tcp::v4(), on_port);
      thread.acceptor.open(endpoint.protocol(), error);
    }
    if (error) return failed("socket");
    if (dual_stack) thread.acceptor.set_option(asio::ip::v6_only(false), error);
    thread.acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (&thread == threads.front().get() && on_port != 0) {
      // With SO_REUSEPORT a second server on the same port would start without a word; find it with a socket without.
      tcp::acceptor probe(thread.io);
      probe.open(endpoint.protocol(), error);
      if (dual_stack) probe.set_option(asio::ip::v6_only(false), error);
      probe.set_option(tcp::acceptor::reuse_address(true), error);
      probe.bind(endpoint, error);
      if (!error) probe.listen(1, error);
      if (error) return failed("bind");
    }
    thread.acceptor.set_option(ReusePort(true), error);
    thread.acceptor.bind(endpoint, error);
    if (error) return failed("bind");
    thread.acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) return failed("listen");
    return {};
  }

  void accept(IoThread& thread) {
    thread.acceptor.async_accept([this, &thread](boost::system::error_code error, tcp::socket socket) {
      if (core.stopping.load() || error == asio::error::operation_aborted) return;
      if (error) {
        // Out of descriptors, most likely: wait instead of spinning.
        auto timer = std::make_shared<asio::steady_timer>(thread.io, std::chrono::milliseconds(50));
        timer->async_wait([this, &thread, timer](boost::system::error_code) { accept(thread); });
        return;
      }
      const std::size_t limit = core.options.connections_max;
      if (limit == 0 || core.open_connections.load() < limit) {
        boost::system::error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        if (core.tls) start_tls_session(core, thread, std::move(socket));
        else start_plain_session(core, thread, std::move(socket));
      }
      accept(thread);
    });
  }
};

Server::Server(ServerOptions options, exec::Pool& pool, obs::Registry& registry)
    : state_(std::make_shared<State>(std::move(options), pool, registry)) {
  state_->core.owner = state_;
}

Server::~Server() { stop(0); }

void Server::add(Route route) { state_->core.router.add(std::move(route)); }
void Server::set_gate(Gate gate) { state_->core.gate = std::move(gate); }
std::uint16_t Server::port() const { return state_->port; }

Result<void> Server::start() {
  State& state = *state_;
  const ServerOptions& options = state.core.options;
  if (!options.tls_certificate_file.empty()) {
    try {
      asio::ssl::context context(asio::ssl::context::tls_server);
      context.set_options(asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
      context.use_certificate_chain_file(options.tls_certificate_file);
      context.use_private_key_file(options.tls_key_file, asio::ssl::context::pem);
      if (!options.tls_client_ca_file.empty()) {
        context.load_verify_file(options.tls_client_ca_file);
        context.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
      }
      state.core.tls.emplace(std::move(context));
    } catch (const std::exception& error) {
      return Error(ErrorCode::kInvalidArgument, std::string("server TLS: ") + error.what());
    }
  }
  std::size_t count = options.io_threads != 0 ? options.io_threads : std::thread::hardware_concurrency();
  if (count == 0) count = 1;
  for (std::size_t i = 0; i < count; ++i) state.threads.push_back(std::make_unique<IoThread>());
  state.port = options.port;
  for (const auto& thread : state.threads) {
    SKALD_TRY_VOID(state.listen(*thread, state.port));
    if (state.port == 0) state.port = thread->acceptor.local_endpoint().port();
  }
  for (const auto& thread : state.threads) {
    state.accept(*thread);
    thread->thread = std::thread([io = &thread->io] {
      pthread_setname_np(pthread_self(), "http-io");
      io->run();
    });
  }
  state.started = true;
  return {};
}

void Server::stop(std::int64_t grace_ms) {
  State& state = *state_;
  if (!state.started) return;
  state.started = false;
  state.core.stopping = true;
  for (const auto& thread : state.threads) {
    asio::post(thread->io, [&thread = *thread] {
      boost::system::error_code ignored;
      thread.acceptor.close(ignored);
      const std::vector<Connection*> now(thread.connections.begin(), thread.connections.end());
      for (Connection* connection : now) connection->close_if_idle();
    });
  }
  const std::int64_t now_ns = system_clock().monotonic_ns();
  const std::int64_t deadline = now_ns + grace_ms * kNanosPerMilli;
  const std::int64_t goodbye_deadline = std::min(deadline, now_ns + kNanosPerSecond);   // for close frames to be written and answered
  while (state.core.open_websockets.load() > 0 && system_clock().monotonic_ns() < goodbye_deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  while (state.core.running_requests.load() > 0 && system_clock().monotonic_ns() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (const auto& thread : state.threads) {
    asio::post(thread->io, [&thread = *thread] {
      const std::vector<Connection*> now(thread.connections.begin(), thread.connections.end());
      for (Connection* connection : now) connection->close_now();
      // The closed connections' coroutines end within this turn or the next; nothing else keeps the loop running but
      // handlers that still owe an answer, and those post to a stopped loop harmlessly.
      asio::post(thread.io, [&thread] { asio::post(thread.io, [&thread] { thread.io.stop(); }); });
    });
  }
  for (const auto& thread : state.threads) thread->thread.join();
}

}  // namespace skald::http
