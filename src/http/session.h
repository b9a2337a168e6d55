// One connection: read a request, run its handler, write the response, again. All state is touched on the connection's
// I/O thread only; handlers answer from any thread through a Responder that posts back here.
#pragma once

#include <sys/socket.h>
#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/websocket/rfc6455.hpp>

#include <chrono>
#include <exception>

#include "core.h"
#include "gzip.h"
#include "response_text.h"
#include "skald/obs/log.h"
#include "websocket_session.h"

namespace skald::http {

namespace beast = boost::beast;
inline constexpr auto kTupleAwaitable = asio::as_tuple(asio::use_awaitable);
inline constexpr std::size_t kReadPieceBytes = 64 * 1024;
inline constexpr std::size_t kCompressFromBytes = 1400;   // smaller bodies fit a packet anyway
inline constexpr std::uint64_t kLingerBytesMax = 32ULL << 20;
inline constexpr std::chrono::seconds kLingerTime{1};

// Delivers exactly one response; a handler that drops it unanswered still gets the client an answer.
class PendingResponse {
 public:
  PendingResponse(std::function<void(Response)> deliver, bool gzip_accepted) : deliver_(std::move(deliver)), gzip_accepted_(gzip_accepted) {}
  ~PendingResponse() {
    if (!done_.exchange(true)) deliver_(Response::text(500, "internal error: the request was dropped\n"));
  }
  void answer(Response response) {
    if (done_.exchange(true)) return;
    if (gzip_accepted_ && response.compressible && response.body.size() >= kCompressFromBytes) {
      response.body = gzip(response.body);   // on the handler's thread, not the I/O thread
      response.headers.push_back({"Content-Encoding", "gzip"});
    }
    deliver_(std::move(response));
  }

 private:
  const std::function<void(Response)> deliver_;
  const bool gzip_accepted_;
  std::atomic<bool> done_{false};
};

template <class Stream>
class Session final : public Connection, public std::enable_shared_from_this<Session<Stream>> {
 public:
  Session(Core& core, IoThread& thread, Stream stream)
      : core_(core), thread_(thread), stream_(std::move(stream)), response_event_(thread.io) {
    core_.metrics.connections.set(static_cast<double>(++core_.open_connections));
    thread_.connections.insert(this);
  }
  ~Session() override {
    thread_.connections.erase(this);
    core_.metrics.connections.set(static_cast<double>(--core_.open_connections));
  }

  asio::awaitable<void> run() {
    const auto self = this->shared_from_this();
    boost::system::error_code endpoint_error;
    const auto endpoint = tcp().socket().remote_endpoint(endpoint_error);
    remote_ = endpoint_error ? "unknown" : fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port());
    if constexpr (!std::is_same_v<Stream, beast::tcp_stream>) {
      tcp().expires_after(std::chrono::milliseconds(core_.options.read_timeout_ms));
      const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kTupleAwaitable);
      if (error) co_return;
    }
    while (true) {
      const bool again = co_await serve_one();
      if (!again) break;
    }
    close_now();
  }

  void close_if_idle() override {
    constexpr int kGoingAway = 1001;
    if (const auto websocket = websocket_.lock()) websocket->close(kGoingAway, "server stopping");
    else if (idle_) close_now();
  }
  void close_now() override {
    if (const auto websocket = websocket_.lock()) return websocket->close_now();
    boost::system::error_code ignored;
    if (tcp().socket().is_open()) {
      tcp().socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
      tcp().socket().close(ignored);
    }
  }

 private:
  using Parser = beast::http::request_parser<beast::http::string_body>;

  beast::tcp_stream& tcp() { return beast::get_lowest_layer(stream_); }

  // One request and its response. False: the connection is over.
  asio::awaitable<bool> serve_one() {
    if (buffer_.size() == 0) {
      idle_ = true;
      if (core_.stopping.load()) co_return false;
      tcp().expires_after(std::chrono::milliseconds(core_.options.idle_timeout_ms));
      const auto [error, got] = co_await stream_.async_read_some(buffer_.prepare(kReadPieceBytes), kTupleAwaitable);
      if (error) co_return false;
      buffer_.commit(got);
      idle_ = false;
    }
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(core_.options.header_bytes_max));
    parser.body_limit(boost::none);   // checked below, once the route is known
    tcp().expires_after(std::chrono::milliseconds(core_.options.read_timeout_ms));
    // Beast's own limit is for what a single read leaves unfinished; many short fields would pass it.
    for (std::uint64_t head_bytes = 0; !parser.is_header_done();) {
      auto [error, got] = co_await beast::http::async_read_some(stream_, buffer_, parser, kTupleAwaitable);
      head_bytes += got;
      if (!error && head_bytes > core_.options.header_bytes_max) error = beast::http::error::header_limit;
      if (error) {
        co_await refuse_malformed(error);
        co_return false;
      }
    }
    if (!transfer_encoding_known(parser)) {
      co_await refuse(501, "Unsupported transfer encoding");
      co_return false;
    }
    auto request = std::make_shared<Request>();
    request->received_monotonic_ns = system_clock().monotonic_ns();
    request->cancel = std::make_shared<CancelToken>();
    request->remote = remote_;
    fill_head(parser.get(), *request);
    const std::string_view raw_path = std::string_view(request->raw_target).substr(0, request->raw_target.find('?'));
    const Router::Match match = find_route(*request, raw_path);

    const std::uint64_t limit = match.route != nullptr && match.route->body_bytes_max != 0 ? match.route->body_bytes_max : core_.options.body_bytes_max;
    const auto declared = parser.content_length();
    std::optional<Response> refusal;
    if (declared && *declared > limit) refusal = too_large(*declared, limit);
    else if (core_.gate && match.route != nullptr) refusal = core_.gate(*request);
    if (refusal) {
      const bool whole = parser.is_done();   // nothing unread: the connection may stay
      const bool stay = whole && parser.get().keep_alive() && !core_.stopping.load();
      const bool http_1_0_client = parser.get().version() < 11;
      const bool written = co_await write_response(std::move(*refusal), *request, stay, match, http_1_0_client);
      if (written && !whole) co_await linger();
      co_return written && stay;
    }
    parser.body_limit(limit);
    if (!parser.is_done()) {
      if (beast::iequals(parser.get()[beast::http::field::expect], "100-continue")) {
        const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        const auto [error, sent] = co_await asio::async_write(stream_, asio::buffer(go_on), kTupleAwaitable);
        if (error) co_return false;
      }
      const auto [error, got] = co_await beast::http::async_read(stream_, buffer_, parser, kTupleAwaitable);
      if (error == beast::http::error::body_limit) {
        const bool written = co_await write_response(too_large(0, limit), *request, false, match);
        if (written) co_await linger();
        co_return false;
      }
      if (error) {
        co_await refuse_malformed(error);
        co_return false;
      }
    }
    const bool keep_alive = parser.get().keep_alive();
    const bool http_1_0 = parser.get().version() < 11;
    const std::string upgrade = std::string(parser.get()[beast::http::field::upgrade]);
    if (match.route != nullptr && match.route->websocket_handler && match.method_allowed) {
      co_return co_await serve_websocket(parser, request, match, upgrade);
    }
    request->body = std::make_shared<const std::string>(std::move(parser.get().body()));
    fill_form(*request);

    ++core_.running_requests;   // until the answer is written: stop() waits for it
    co_await run_handler(request, match);
    const bool stay = keep_alive && !core_.stopping.load();
    const bool written = co_await write_response(std::move(*response_), *request, stay, match, http_1_0);
    response_.reset();
    --core_.running_requests;
    co_return written && stay;
  }

  void fill_head(const Parser::value_type& head, Request& request) {
    request.method = std::string(head.method_string());
    request.raw_target = std::string(head.target());
    if (const std::size_t scheme = request.raw_target.find("://"); scheme < 6 && request.raw_target[0] != '/') {   // absolute form, as proxies send it
      const std::size_t path = request.raw_target.find_first_of("/?", scheme + 3);
      request.raw_target = path == std::string::npos ? "/" : (request.raw_target[path] == '?' ? "/" : "") + request.raw_target.substr(path);
    }
    const std::size_t question = request.raw_target.find('?');
    if (question != std::string::npos) request.raw_query = request.raw_target.substr(question + 1);
    if (!percent_decode(std::string_view(request.raw_target).substr(0, question), false, request.path)) {
      request.path = request.raw_target.substr(0, question);
    }
    request.query = Params::parse(request.raw_query);
    for (const auto& field : head) request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  }

  Router::Match find_route(Request& request, std::string_view raw_path) {
    const std::string& prefix = core_.options.path_prefix;
    if (!prefix.empty()) {
      if (!raw_path.starts_with(prefix)) return {};
      raw_path.remove_prefix(prefix.size());
      if (request.path.size() >= prefix.size()) request.path.erase(0, prefix.size());
    }
    Router::Match match = core_.router.find(request.method, raw_path);
    request.path_params = match.path_params;
    return match;
  }

  static void fill_form(Request& request) {
    request.form = request.query;
    const std::string* type = request.header("Content-Type");
    if (request.method != "POST" || type == nullptr) return;
    const std::string_view media = std::string_view(*type).substr(0, type->find(';'));
    // Go puts the body's values before those of the URL.
    if (beast::iequals({media.data(), media.size()}, "application/x-www-form-urlencoded")) {
      Params merged = Params::parse(*request.body);
      merged.append(request.query);
      request.form = std::move(merged);
    }
  }

  static Response too_large(std::uint64_t declared, std::uint64_t limit) {
    return Response::text(413, declared != 0 ? fmt::format("request body too large: {} bytes, limit: {} bytes\n", declared, limit)
                                             : fmt::format("request body too large: limit: {} bytes\n", limit));
  }

  Responder make_responder(const Request& request) {
    const std::string* accept = request.header("Accept-Encoding");
    const bool gzip_accepted = core_.options.compress_responses && accept != nullptr && accepts_gzip(*accept);
    std::weak_ptr<Session> weak = this->shared_from_this();
    auto deliver = [weak, keep = core_.owner.lock(), &io = thread_.io](Response response) {
      auto hand_over = [weak, response = std::move(response)]() mutable {
        if (const auto session = weak.lock()) {
          session->response_ = std::move(response);
          session->response_event_.cancel();
        }
      };
      asio::dispatch(io, std::move(hand_over));
    };
    auto pending = std::make_shared<PendingResponse>(std::move(deliver), gzip_accepted);
    return [pending](Response response) { pending->answer(std::move(response)); };
  }

  // Runs on a thread of the pool, so it must not own the session: the last owner destroys it, and only the I/O thread may.
  // `responder` keeps `core` and the route alive.
  static void call(Core& core, const Route& route, const std::shared_ptr<Request>& request, const Responder& responder) {
    try {
      route.handler(request, responder);
    } catch (const std::exception& error) {
      core.metrics.panics.add();
      log::error("handler threw", {{"route", route.name}, {"error", error.what()}});
      responder(Response::text(500, std::string("internal error: ") + error.what() + "\n"));
    }
  }

  asio::awaitable<void> run_handler(std::shared_ptr<Request> request, const Router::Match& match) {
    response_.reset();
    if (match.route == nullptr) {
      response_ = Response::text(404, "404 page not found\n");
      co_return;
    }
    if (!match.method_allowed) {
      response_ = Response::empty(405);
      co_return;
    }
    const Route& route = *match.route;
    obs::Gauge& inflight = core_.metrics.inflight.with({request->method, route.name});
    inflight.add(1);
    Responder responder = make_responder(*request);
    if (route.run_on == RunOn::kIo) {
      call(core_, route, request, responder);
      responder = nullptr;
    } else {
      auto work = [&core = core_, &route, request, responder = std::move(responder)] { call(core, route, request, responder); };
      core_.pool.submit(std::move(work));
    }
    if (!response_) {
      tcp().expires_never();
      // Quick routes answer within a sync of the log; watching them would cost more than it could save.
      const bool watch = route.run_on == RunOn::kPool;
      if (watch) watch_peer(request->cancel);
      while (!response_) {
        response_event_.expires_at(asio::steady_timer::time_point::max());
        co_await response_event_.async_wait(kTupleAwaitable);
      }
      boost::system::error_code ignored;
      if (watch) tcp().socket().cancel(ignored);
    }
    inflight.add(-1);
  }

  // While a handler works, the socket is only looked at for the peer going away. Pipelined bytes end the watch.
  void watch_peer(const std::shared_ptr<CancelToken>& cancel) {
    std::weak_ptr<Session> weak = this->shared_from_this();
    tcp().socket().async_wait(asio::ip::tcp::socket::wait_read, [weak, cancel](boost::system::error_code error) {
      const auto session = weak.lock();
      if (error || session == nullptr) return;
      char byte = 0;
      const ssize_t got = ::recv(session->tcp().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (got == 0) cancel->cancel();
    });
  }

  asio::awaitable<bool> write_response(Response response, const Request& request, bool keep_alive, const Router::Match& match,
                                       bool http_1_0 = false) {
    const std::string head = response_head(response, keep_alive, http_1_0);
    bool written = true;
    if (response.body.size() < 16 * 1024) {
      std::string all = head + response.body;
      written = co_await write_all(std::move(all));
    } else {
      written = co_await write_all(head);
      if (written) written = co_await write_all(std::move(response.body));
    }
    finish(request, match, response.status, response.body.size(), false);
    co_return written;
  }

  // The write timeout is for each piece of progress, so that a slow but living client gets a large answer.
  asio::awaitable<bool> write_all(std::string bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
      tcp().expires_after(std::chrono::milliseconds(core_.options.write_timeout_ms));
      const auto [error, sent] = co_await stream_.async_write_some(asio::buffer(bytes.data() + at, bytes.size() - at), kTupleAwaitable);
      if (error) co_return false;
      at += sent;
    }
    co_return true;
  }

  void finish(const Request& request, const Router::Match& match, int status, std::uint64_t response_bytes, bool websocket) {
    const std::string route = match.route != nullptr ? match.route->name : "other";
    const double seconds = static_cast<double>(system_clock().monotonic_ns() - request.received_monotonic_ns) / 1e9;
    const std::uint64_t request_bytes = request.body != nullptr ? request.body->size() : 0;
    core_.metrics.observe(request.method, route, status, websocket, seconds, request_bytes, response_bytes);
    // A probe of a process that is not ready yet is no news; what keeps it from being ready says so itself.
    const bool failure = status >= 500 && route != "ready";
    const log::Level level = failure ? log::Level::kWarn : core_.options.log_requests ? log::Level::kInfo : log::Level::kDebug;
    if (log::level() > level) return;
    const std::string* tenant = request.header("X-Scope-OrgID");
    log::write(level, "request", {{"method", request.method}, {"path", request.path}, {"status", status}, {"duration_ms", seconds * 1e3},
                                  {"request_bytes", request_bytes}, {"response_bytes", response_bytes},
                                  {"tenant", tenant != nullptr ? *tenant : std::string("-")}, {"remote", request.remote}});
  }

  asio::awaitable<void> refuse_malformed(boost::system::error_code error) {
    int status = 400;
    if (error == beast::http::error::end_of_stream || error == asio::error::operation_aborted ||
        error == asio::error::connection_reset || error == asio::error::eof) {
      co_return;
    }
    if (error == beast::http::error::header_limit) status = 431;
    if (error == beast::http::error::body_limit) status = 413;
    if (error == beast::error::timeout) status = 408;
    if (status == 408) co_return;   // beast has closed the socket already
    co_await refuse(status, fmt::format("{} Bad Request: {}", status, error.message()));
  }

  // What is not understood could be read differently by a proxy in front of us: another request could hide in it.
  static bool transfer_encoding_known(const Parser& parser) {
    const auto [first, last] = parser.get().equal_range(beast::http::field::transfer_encoding);
    if (first == last) return true;
    return std::next(first) == last && beast::iequals(first->value(), "chunked") && parser.get().version() == 11;
  }

  asio::awaitable<void> refuse(int status, std::string text) {
    Response response = Response::text(status, std::move(text));
    std::string bytes = response_head(response, false, false) + response.body;
    const bool written = co_await write_all(std::move(bytes));
    if (written) co_await linger();
  }

  // After an answer to a request that was not read to its end. Closing with unread bytes resets the connection, and a reset
  // can overtake the answer; so what the client still sends is thrown away for a while.
  asio::awaitable<void> linger() {
    boost::system::error_code ignored;
    tcp().socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    buffer_.consume(buffer_.size());
    tcp().expires_after(kLingerTime);
    for (std::uint64_t thrown_away = 0; thrown_away < kLingerBytesMax;) {
      const auto [error, got] = co_await tcp().async_read_some(buffer_.prepare(kReadPieceBytes), kTupleAwaitable);
      if (error) co_return;
      thrown_away += got;
    }
  }

  asio::awaitable<bool> serve_websocket(Parser& parser, std::shared_ptr<Request> request, const Router::Match& match, const std::string& upgrade) {
    request->body = std::make_shared<const std::string>();
    fill_form(*request);
    const bool wants_upgrade = beast::iequals(upgrade, "websocket") && beast::websocket::is_upgrade(parser.get());
    // Errors are given before the upgrade, whether or not the client speaks WebSocket.
    std::optional<Response> refusal = match.route->websocket_guard ? match.route->websocket_guard(*request) : std::nullopt;
    if (!refusal && !wants_upgrade) {
      refusal = Response::text(400, "Bad Request\nwebsocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header\n");
    }
    if (refusal) {
      co_await write_response(std::move(*refusal), *request, false, match);
      co_return false;
    }
    tcp().expires_never();
    auto head = parser.release();
    auto socket = std::make_shared<WebSocketSession<Stream>>(std::move(stream_), thread_.io, request->cancel);
    websocket_ = socket;
    ++core_.open_websockets;
    co_await socket->run(std::move(head), request, core_.pool, match.route->websocket_handler, core_.owner.lock());
    --core_.open_websockets;
    finish(*request, match, 101, 0, true);
    co_return false;
  }

  Core& core_;
  IoThread& thread_;
  Stream stream_;
  beast::flat_buffer buffer_;
  asio::steady_timer response_event_;      // cancelled = look at response_
  std::optional<Response> response_;
  std::weak_ptr<WebSocketSession<Stream>> websocket_;   // after the upgrade; the stream has moved there
  std::string remote_;
  bool idle_ = true;
};

}  // namespace skald::http
