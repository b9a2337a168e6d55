// A connection after the upgrade. Messages are queued from any thread and written in order on the I/O thread.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include <deque>
#include <mutex>

#include "skald/exec/pool.h"
#include "skald/http/server.h"
#include "skald/obs/log.h"

namespace skald::http {

inline constexpr std::size_t kWebSocketQueueBytesMax = 8U << 20;   // a client this far behind is too slow

template <class Stream>
class WebSocketSession final : public WebSocket, public std::enable_shared_from_this<WebSocketSession<Stream>> {
 public:
  WebSocketSession(Stream stream, boost::asio::io_context& io, std::shared_ptr<CancelToken> cancel)
      : socket_(std::move(stream)), io_(io), wake_(io), cancel_(std::move(cancel)) {}

  bool send_text(std::string message) override {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || closing_ || queued_bytes_ + message.size() > kWebSocketQueueBytesMax) return false;
      queued_bytes_ += message.size();
      queue_.push_back(std::move(message));
    }
    wake();
    return true;
  }
  std::size_t queued_bytes() const override {
    const std::lock_guard lock(mutex_);
    return queued_bytes_;
  }
  void close(int code, std::string reason) override {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || closing_) return;
      closing_ = true;
      close_reason_ = boost::beast::websocket::close_reason(static_cast<boost::beast::websocket::close_code>(code), reason.substr(0, 120));
    }
    wake();
  }
  // On the I/O thread, without a word to the peer.
  void close_now() { boost::beast::get_lowest_layer(socket_).close(); }
  bool closed() const override {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  void on_close(std::function<void()> handler) override {
    bool already = false;
    {
      const std::lock_guard lock(mutex_);
      already = closed_;
      if (!already) on_close_.push_back(handler);
    }
    if (already) handler();
  }

  // Accepts, then writes until closed. Returns when the connection is over. `owner` keeps the server's state, and so the
  // handler, until the handler has run.
  boost::asio::awaitable<void> run(boost::beast::http::request<boost::beast::http::string_body> head, std::shared_ptr<Request> request,
                                   exec::Pool& pool, const WebSocketHandler& handler, std::shared_ptr<void> owner) {
    namespace ws = boost::beast::websocket;
    constexpr auto kTuple = boost::asio::as_tuple(boost::asio::use_awaitable);
    const auto self = this->shared_from_this();
    ws::stream_base::timeout timeouts{std::chrono::seconds(30), std::chrono::seconds(60), true};   // pings keep proxies awake
    socket_.set_option(timeouts);
    socket_.read_message_max(1 << 20);
    const auto [accept_error] = co_await socket_.async_accept(head, kTuple);
    if (accept_error) {
      mark_closed();
      co_return;
    }
    boost::asio::co_spawn(io_, read_until_closed(), boost::asio::detached);
    auto work = [owner = std::move(owner), self, request, &handler] {   // destroyed from the right: the owner last
      try {
        handler(request, self);
      } catch (const std::exception& error) {
        log::error("websocket handler threw", {{"path", request->path}, {"error", error.what()}});
        self->close(static_cast<int>(ws::close_code::internal_error), "internal error");
      }
    };
    pool.submit(std::move(work));
    while (true) {
      std::string message;
      bool have = false;
      bool stop = false;
      bool say_goodbye = false;
      {
        const std::lock_guard lock(mutex_);
        if (closed_) stop = true;
        else if (!queue_.empty()) {
          message = std::move(queue_.front());
          queue_.pop_front();
          have = true;
        } else if (closing_) {
          say_goodbye = true;
        }
      }
      if (stop) break;
      if (say_goodbye) {
        co_await socket_.async_close(close_reason_, kTuple);
        break;
      }
      if (have) {
        socket_.text(true);
        const auto [error, sent] = co_await socket_.async_write(boost::asio::buffer(message), kTuple);
        {
          const std::lock_guard lock(mutex_);
          queued_bytes_ -= message.size();
        }
        if (error) break;
        continue;
      }
      wake_.expires_at(boost::asio::steady_timer::time_point::max());
      co_await wake_.async_wait(kTuple);
    }
    mark_closed();
  }

 private:
  // Reads, so that pings, pongs and the peer's close are seen; what the client says is of no interest.
  boost::asio::awaitable<void> read_until_closed() {
    constexpr auto kTuple = boost::asio::as_tuple(boost::asio::use_awaitable);
    const auto self = this->shared_from_this();
    boost::beast::flat_buffer buffer;
    while (true) {
      const auto [error, got] = co_await socket_.async_read(buffer, kTuple);
      if (error) break;
      buffer.clear();
    }
    mark_closed();
  }

  void wake() {
    const auto self = this->shared_from_this();
    boost::asio::post(io_, [self] { self->wake_.cancel(); });
  }

  void mark_closed() {
    std::vector<std::function<void()>> handlers;
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      closed_ = true;
      queue_.clear();
      handlers.swap(on_close_);
    }
    cancel_->cancel();
    for (const auto& handler : handlers) handler();
    wake_.cancel();
  }

  boost::beast::websocket::stream<Stream> socket_;
  boost::asio::io_context& io_;
  boost::asio::steady_timer wake_;
  const std::shared_ptr<CancelToken> cancel_;
  mutable std::mutex mutex_;   // guards all below
  std::deque<std::string> queue_;
  std::size_t queued_bytes_ = 0;
  bool closing_ = false;
  bool closed_ = false;
  boost::beast::websocket::close_reason close_reason_;
  std::vector<std::function<void()>> on_close_;
};

}  // namespace skald::http
