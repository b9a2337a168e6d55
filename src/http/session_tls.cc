#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "session.h"

namespace skald::http {

void start_tls_session(Core& core, IoThread& thread, asio::ip::tcp::socket socket) {
  using Connected = asio::ssl::stream<boost::beast::tcp_stream>;
  auto session = std::make_shared<Session<Connected>>(core, thread, asio::ssl::stream<boost::beast::tcp_stream>(boost::beast::tcp_stream(std::move(socket)), *core.tls));
  asio::co_spawn(thread.io, session->run(), asio::detached);
}

}  // namespace skald::http
