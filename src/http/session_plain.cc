#include "session.h"

namespace skald::http {

void start_plain_session(Core& core, IoThread& thread, asio::ip::tcp::socket socket) {
  using Connected = boost::beast::tcp_stream;
  auto session = std::make_shared<Session<Connected>>(core, thread, boost::beast::tcp_stream(std::move(socket)));
  asio::co_spawn(thread.io, session->run(), asio::detached);
}

}  // namespace skald::http
