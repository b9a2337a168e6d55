#include "skald/http/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace skald::http {
namespace {

// A blocking client of plain sockets, so that the bytes on the wire are what is tested.
class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    timeval timeout{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  }
  ~Client() { ::close(fd_); }
  void send(std::string_view bytes) { EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size())); }
  // One response: head and Content-Length bytes of body.
  std::string receive() {
    std::size_t head_end = std::string::npos;
    while ((head_end = pending_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return std::exchange(pending_, "");
    }
    std::size_t length = 0;
    if (const std::size_t at = pending_.find("Content-Length: "); at != std::string::npos && at < head_end) {
      length = static_cast<std::size_t>(std::atoll(pending_.c_str() + at + 16));
    }
    while (pending_.size() < head_end + 4 + length) {
      if (!more()) break;
    }
    std::string one = pending_.substr(0, head_end + 4 + length);
    pending_.erase(0, one.size());
    return one;
  }
  bool closed_by_peer() {
    char byte = 0;
    return pending_.empty() && ::recv(fd_, &byte, 1, 0) == 0;
  }

 private:
  bool more() {
    char buffer[65536];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    pending_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }
  int fd_;
  std::string pending_;
};

class ServerTest : public ::testing::Test {
 protected:
  void start(std::function<void(ServerOptions&)> change = {}) {
    ServerOptions options;
    options.listen_address = "127.0.0.1";
    options.port = 0;
    options.io_threads = 2;
    if (change) change(options);
    server = std::make_unique<Server>(options, pool, registry);
    server->add({.methods = {"GET"}, .pattern = "/hello", .name = "hello", .run_on = RunOn::kIo,
                 .handler = [](auto, Responder respond) { respond(Response::text(200, "hi")); }, .body_bytes_max = 0, .websocket_guard = {}, .websocket_handler = {}});
    server->add({.methods = {"GET"}, .pattern = "/label/{name}/values", .name = "values", .run_on = RunOn::kPool,
                 .handler = [](auto request, Responder respond) { respond(Response::text(200, request->path_params.at(0))); }, .body_bytes_max = 0, .websocket_guard = {}, .websocket_handler = {}});
    server->add({.methods = {"POST"}, .pattern = "/echo", .name = "echo", .run_on = RunOn::kPool,
                 .handler = [](auto request, Responder respond) { respond(Response::text(200, *request->body)); }, .body_bytes_max = 1000, .websocket_guard = {}, .websocket_handler = {}});
    server->add({.methods = {"GET"}, .pattern = "/big", .name = "big", .run_on = RunOn::kPool,
                 .handler = [](auto, Responder respond) { respond(Response::json(std::string(200'000, 'x'))); }, .body_bytes_max = 0, .websocket_guard = {}, .websocket_handler = {}});
    server->add({.methods = {"GET"}, .pattern = "/throws", .name = "throws", .run_on = RunOn::kPool,
                 .handler = [](auto, Responder) { throw std::runtime_error("boom"); }, .body_bytes_max = 0, .websocket_guard = {}, .websocket_handler = {}});
    server->add({.methods = {"GET"}, .pattern = "/dropped", .name = "dropped", .run_on = RunOn::kPool, .handler = [](auto, Responder) {}, .body_bytes_max = 0, .websocket_guard = {}, .websocket_handler = {}});
    server->add({.methods = {"GET"}, .pattern = "/wait", .name = "wait", .run_on = RunOn::kPool,
                 .handler = [this](std::shared_ptr<Request> request, Responder respond) {
                   const std::lock_guard lock(mutex);
                   waiting_request = request;
                   waiting_responder = respond;
                   arrived.notify_all();
                 }, .body_bytes_max = 0, .websocket_guard = {}, .websocket_handler = {}});
    server->add({.methods = {"GET"}, .pattern = "/linger", .name = "linger", .run_on = RunOn::kPool,
                 .handler = [](auto request, Responder respond) {
                   respond(Response::empty(204));
                   // Gone from here on, as far as the client knows; the thread still holds what it was called with.
                   for (int i = 0; i < 100 && !request->cancel->cancelled(); ++i) std::this_thread::yield();
                 }, .body_bytes_max = 0, .websocket_guard = {}, .websocket_handler = {}});
    server->add({.methods = {"GET"}, .pattern = "/socket", .name = "socket", .run_on = RunOn::kPool, .handler = {}, .body_bytes_max = 0, .websocket_guard = {},
                 .websocket_handler = [](auto, std::shared_ptr<WebSocket> socket) { socket->send_text("hello"); }});
    if (gate) server->set_gate(gate);
    ASSERT_TRUE(server->start().ok());
  }
  std::shared_ptr<Request> await_request() {
    std::unique_lock lock(mutex);
    arrived.wait(lock, [this] { return waiting_request != nullptr; });
    return waiting_request;
  }

  obs::Registry registry;
  exec::Pool pool{"test", 2};   // may end a server that an answer kept alive, and that needs the registry
  Gate gate;
  std::unique_ptr<Server> server;
  std::mutex mutex;
  std::condition_variable arrived;
  std::shared_ptr<Request> waiting_request;
  Responder waiting_responder;
};

TEST_F(ServerTest, AnswersPipelinedRequestsInOrderOverOneConnection) {
  start();
  Client client(server->port());
  client.send("GET /label/a%2Fb/values HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(client.receive().find("\r\n\r\na/b"), std::string::npos);
  EXPECT_NE(client.receive().find("\r\n\r\nhi"), std::string::npos);
  const std::string missing = client.receive();
  EXPECT_TRUE(missing.starts_with("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_TRUE(missing.ends_with("404 page not found\n"));
}

TEST_F(ServerTest, WrongMethodIs405WithoutBody) {
  start();
  Client client(server->port());
  client.send("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  const std::string response = client.receive();
  EXPECT_TRUE(response.starts_with("HTTP/1.1 405 "));
  EXPECT_NE(response.find("Content-Length: 0\r\n"), std::string::npos);
}

TEST_F(ServerTest, DeclaredBodyAboveTheRoutesLimitIs413BeforeItIsRead) {
  start();
  Client client(server->port());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 413 "));
}

TEST_F(ServerTest, ChunkedBodyAboveTheRoutesLimitIs413) {
  start();
  Client client(server->port());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + std::string(2048, 'a') + "\r\n0\r\n\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 413 "));
}

TEST_F(ServerTest, ChunkedBodyIsPutTogether) {
  start();
  Client client(server->port());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_TRUE(client.receive().ends_with("\r\n\r\nabcde"));
}

TEST_F(ServerTest, LengthAndChunkedTogetherAreRefused) {
  start();
  Client client(server->port());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string response = client.receive();
  EXPECT_EQ(response.find("HTTP/1.1 200"), std::string::npos) << response;
}

TEST_F(ServerTest, HeadersAboveTheLimitAre431) {
  start();
  Client client(server->port());
  client.send("GET /hello HTTP/1.1\r\nHost: x\r\nX: " + std::string(100'000, 'a') + "\r\n\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 431 "));
}

TEST_F(ServerTest, ManyShortHeadersAboveTheLimitAre431) {
  start();
  Client client(server->port());
  std::string fields;
  for (int i = 0; i < 40'000; ++i) fields += "X: y\r\n";
  client.send("GET /hello HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 431 "));
}

TEST_F(ServerTest, UnknownTransferEncodingsAreRefusedAndEndTheConnection) {
  start();
  for (const char* field : {"Transfer-Encoding: xchunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"}) {
    Client client(server->port());
    client.send(std::string("POST /echo HTTP/1.1\r\nHost: x\r\n") + field + "\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string response = client.receive();
    EXPECT_TRUE(response.starts_with("HTTP/1.1 501 ") || response.starts_with("HTTP/1.1 400 ")) << field << response;
    EXPECT_TRUE(client.closed_by_peer()) << field;
  }
}

TEST_F(ServerTest, LargeBodiesAreCompressedOnlyForClientsThatAccept) {
  start();
  Client client(server->port());
  client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_GT(client.receive().size(), 200'000U);
  client.send("GET /big HTTP/1.1\r\nHost: x\r\nAccept-Encoding: deflate, gzip\r\n\r\n");
  const std::string compressed = client.receive();
  EXPECT_NE(compressed.find("Content-Encoding: gzip\r\n"), std::string::npos);
  EXPECT_LT(compressed.size(), 10'000U);
}

TEST_F(ServerTest, ThrowingHandlerIs500AndCounted) {
  start();
  Client client(server->port());
  client.send("GET /throws HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 500 "));
  EXPECT_NE(registry.expose_text().find("loki_panic_total 1\n"), std::string::npos);
}

TEST_F(ServerTest, DroppedResponderStillAnswers) {
  start();
  Client client(server->port());
  client.send("GET /dropped HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 500 "));
}

TEST_F(ServerTest, ClientThatGoesAwayCancelsItsRequest) {
  start();
  auto client = std::make_unique<Client>(server->port());
  client->send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto request = await_request();
  EXPECT_FALSE(request->cancel->cancelled());
  client.reset();
  for (int i = 0; i < 1000 && !request->cancel->cancelled(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(request->cancel->cancelled());
  waiting_responder(Response::empty(204));
}

TEST_F(ServerTest, StopLetsARunningRequestFinish) {
  start();
  Client client(server->port());
  client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  await_request();
  std::thread stopper([this] { server->stop(10'000); });
  waiting_responder(Response::text(200, "done"));
  EXPECT_NE(client.receive().find("done"), std::string::npos);
  stopper.join();
}

TEST_F(ServerTest, AnswerAfterTheServerIsGoneIsHarmless) {
  start();
  Client client(server->port());
  client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  await_request();
  server->stop(0);
  server.reset();
  waiting_responder(Response::text(200, "late"));
  EXPECT_TRUE(client.closed_by_peer());
}

// Connections belong to their I/O thread, also when a handler on the pool outlives them (heap corruption otherwise).
TEST_F(ServerTest, ConnectionsEndWhileTheirHandlersStillRun) {
  start();
  for (int round = 0; round < 200; ++round) {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(std::make_unique<Client>(server->port()));
    for (const auto& client : clients) client->send("GET /linger HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for (const auto& client : clients) EXPECT_TRUE(client->receive().starts_with("HTTP/1.1 204 "));
  }
}

TEST_F(ServerTest, StopClosesWebSocketsWithAWordOfGoodbye) {
  start();
  Client client(server->port());
  client.send("GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 101 "));
  std::thread stopper([this] { server->stop(10'000); });
  const std::string frames = client.receive();   // until the end of the connection
  stopper.join();
  EXPECT_NE(frames.find("\x03\xE9server stopping"), std::string::npos);   // 1001: going away
}

TEST_F(ServerTest, SecondServerOnTheSamePortIsRefused) {
  start();
  ServerOptions options;
  options.listen_address = "127.0.0.1";
  options.port = server->port();
  Server second(options, pool, registry);
  const Result<void> started = second.start();
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.error().message().find("cannot listen on 127.0.0.1:"), std::string::npos);
}

TEST_F(ServerTest, PrefixIsTakenOffAndNothingIsServedWithoutIt) {
  start([](ServerOptions& options) { options.path_prefix = "/logs"; });
  Client client(server->port());
  client.send("GET /logs/hello HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 404 "));
}

TEST_F(ServerTest, GateRefusesBeforeTheBodyIsReadAndLetsThroughLater) {
  std::atomic<bool> closed{true};
  gate = [&](const Request& request) -> std::optional<Response> {
    if (!closed || request.path == "/hello") return std::nullopt;
    Response refusal = Response::text(503, "not yet\n");
    refusal.headers.push_back({"Retry-After", "1"});
    return refusal;
  };
  start();
  Client client(server->port());
  client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string refused = client.receive();
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503 ")) << refused;
  EXPECT_NE(refused.find("Retry-After: 1\r\n"), std::string::npos);
  client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");   // same connection
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 200 "));
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nabc");   // the rest never comes
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(client.closed_by_peer());
  closed = false;
  Client second(server->port());
  second.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_TRUE(second.receive().ends_with("\r\n\r\nabc"));
}

TEST_F(ServerTest, RefusalArrivesThoughTheClientGoesOnSending) {
  start();
  Client client(server->port());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n");
  client.send(std::string(4'000'000, 'a'));
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 413 "));
}

TEST_F(ServerTest, AbsoluteTargetsAreTakenByTheirPath) {
  start();
  Client client(server->port());
  for (const char* target : {"http://x/hello", "HTTPS://x:1/hello?a=://b", "/hello?u=http://y/"}) {
    client.send(std::string("GET ") + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 200 ")) << target;
  }
  client.send("GET http://x HTTP/1.1\r\nHost: x\r\n\r\nGET * HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(client.receive().starts_with("HTTP/1.1 404 "));
}

TEST(Params, DecodesPlusAndPercentAndLeavesBadPairsOut) {
  const Params params = Params::parse("a=1+2&b=%41&c&%zz=1&d=1;2&a=3");
  EXPECT_EQ(*params.get("a"), "1 2");
  EXPECT_EQ(*params.get("b"), "A");
  EXPECT_EQ(*params.get("c"), "");
  EXPECT_EQ(params.get("d"), nullptr);
  EXPECT_EQ(params.all("a"), (std::vector<std::string>{"1 2", "3"}));
}

}  // namespace
}  // namespace skald::http
