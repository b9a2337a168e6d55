#include "skald/http/client.h"

#include <gtest/gtest.h>

#include <future>

#include "http/client_test_server.h"

namespace skald::http {
namespace {

using testing_server::Answer;
using testing_server::Received;
using testing_server::reply;
using testing_server::SelfSigned;
using testing_server::TestServer;

std::unique_ptr<Client> make_client(std::function<void(ClientOptions&)> change = {}) {
  ClientOptions options;
  options.proxy = "none";
  if (change) change(options);
  return Client::create(options).value();
}

// Lets handlers wait until the test is over.
class Gate {
 public:
  void open() { promise_.set_value(); }
  void wait() { future_.wait(); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> future_ = promise_.get_future().share();
};

TEST(HttpClient, KeepsTheConnectionAndSendsWhatItIsGiven) {
  std::vector<Received> seen;
  TestServer server([&](const Received& request) {
    seen.push_back(request);
    return reply(200, "body of " + request.target, {{"X-Thing", " a b "}});
  });
  auto client = make_client();
  ClientRequest request;
  request.url = server.url("/a/../b%2Fc/./d?x=%20&y");
  request.headers = {{"X-Mixed-Case", "Value"}, {"X-Empty", ""}};
  for (int i = 0; i < 3; ++i) {
    const ClientResponse response = client->call(request, {}).value();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "body of /a/../b%2Fc/./d?x=%20&y");
    ASSERT_NE(response.header("x-THING"), nullptr);
    EXPECT_EQ(*response.header("x-THING"), "a b");
    EXPECT_EQ(response.header("x-other"), nullptr);
  }
  EXPECT_EQ(server.connections(), 1);
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0].method, "GET");
  EXPECT_NE(seen[0].raw_head.find("X-Mixed-Case: Value\r\n"), std::string::npos) << seen[0].raw_head;
  EXPECT_TRUE(seen[0].headers.contains("x-empty")) << seen[0].raw_head;
  EXPECT_EQ(seen[0].headers.at("user-agent"), "skald");
  EXPECT_FALSE(seen[0].headers.contains("expect"));
  EXPECT_FALSE(seen[0].headers.contains("content-type"));
  EXPECT_FALSE(seen[0].headers.contains("accept-encoding"));
}

TEST(HttpClient, UploadsBodiesOfAnySize) {
  std::string received;
  std::string head;
  TestServer server([&](const Received& request) {
    received = request.body;
    head = request.raw_head;
    return reply(201);
  });
  auto client = make_client();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{70'000}, std::size_t{5} << 20}) {
    std::string body(size, 'x');
    for (std::size_t i = 0; i < size; i += 997) body[i] = static_cast<char>(i);
    for (const char* method : {"PUT", "POST"}) {
      ClientRequest request;
      request.method = method;
      request.url = server.url("/k");
      request.body = body;
      EXPECT_EQ(client->call(request, {}).value().status, 201);
      EXPECT_TRUE(received == body) << size;
      EXPECT_TRUE(head.starts_with(std::string(method) + " /k HTTP/1.1\r\n")) << head;
      EXPECT_NE(head.find("Content-Length: " + std::to_string(size) + "\r\n"), std::string::npos) << head;
      EXPECT_EQ(head.find("Expect"), std::string::npos);
      EXPECT_EQ(head.find("Content-Type"), std::string::npos) << head;
    }
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClient, AnswersWithoutABody) {
  TestServer server([&](const Received& request) -> Answer {
    if (request.method == "HEAD") return {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n"};
    if (request.method == "DELETE") return {.bytes = "HTTP/1.1 204 No Content\r\n\r\n"};
    return {.bytes = "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"};
  });
  auto client = make_client();
  ClientRequest request{.method = "HEAD", .url = server.url("/"), .response_bytes_max = 10};
  const ClientResponse head = client->call(request, {}).value();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(*head.header("content-length"), "123456");
  EXPECT_EQ(head.body, "");
  request.method = "DELETE";
  EXPECT_EQ(client->call(request, {}).value().status, 204);
  request.method = "GET";
  EXPECT_EQ(client->call(request, {}).value().status, 304);
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClient, ReadsChunkedAnswersAndSkipsInterimOnes) {
  TestServer server([&](const Received&) -> Answer {
    return {.bytes = "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\nX-Late: 1\r\n\r\n"
                     "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"};
  });
  auto client = make_client();
  const ClientResponse response = client->call({.method = "GET", .url = server.url()}, {}).value();
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.body, "abcde");
  EXPECT_EQ(response.header("x-early"), nullptr);
  EXPECT_NE(response.header("x-late"), nullptr);
}

TEST(HttpClient, AnAnswerThatEndsEarlyIsUnavailable) {
  const std::vector<Answer> answers = {
      {.bytes = "", .close = true},
      {.bytes = "", .reset = true},
      {.bytes = "HTTP/1.1 200 OK\r\nContent-Le", .close = true},
      {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", .close = true},
      {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", .reset = true},
      {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", .close = true},
      {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123", .close = true},
      {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n", .close = true},
  };
  TestServer server([&](const Received& request) { return answers[std::stoul(request.target.substr(1))]; });
  auto client = make_client();
  for (const char* method : {"GET", "PUT"}) {
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const Result<ClientResponse> response = client->call({.method = method, .url = server.url("/" + std::to_string(i))}, {});
      ASSERT_FALSE(response.ok()) << i;
      EXPECT_EQ(response.error().code(), ErrorCode::kUnavailable) << i << ": " << response.error().message();
    }
  }
}

TEST(HttpClient, SendsAgainOnADeadKeptConnectionOnlyWhatMayBeRepeated) {
  // Every second request on a connection is answered by a reset.
  std::map<int, int> per_connection;
  std::mutex mutex;
  TestServer server([&](const Received& request) -> Answer {
    const std::lock_guard lock(mutex);
    if (++per_connection[request.connection] == 2) return {.bytes = "", .reset = true};
    return reply(200, "ok");
  });
  auto client = make_client();
  EXPECT_TRUE(client->call({.method = "GET", .url = server.url()}, {}).ok());
  EXPECT_TRUE(client->call({.method = "GET", .url = server.url()}, {}).ok());
  EXPECT_EQ(server.requests(), 3);
  const Result<ClientResponse> put = client->call({.method = "PUT", .url = server.url()}, {});
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(server.requests(), 4) << put.error().message();
}

TEST(HttpClient, RefusesAnswersAboveTheLimitBeforeReadingThem) {
  TestServer server([&](const Received& request) -> Answer {
    if (request.target == "/declared") return {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nx"};
    if (request.target == "/head") return {.bytes = "HTTP/1.1 200 OK\r\nX-A: " + std::string(90'000, 'a') + "\r\nX-B: " + std::string(90'000, 'b') +
                                                    "\r\nX-C: " + std::string(90'000, 'c') + "\r\nContent-Length: 0\r\n\r\n"};
    if (request.target == "/chunked") return {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + std::string(0xffff, 'x') + "\r\n0\r\n\r\n"};
    return reply(200, std::string(1'000, 'x'));
  });
  auto client = make_client();
  for (const char* path : {"/declared", "/head", "/chunked"}) {
    EXPECT_EQ(client->call({.method = "GET", .url = server.url(path), .response_bytes_max = 1'000}, {}).error().code(),
              ErrorCode::kTooLarge)
        << path;
  }
  EXPECT_EQ(client->call({.method = "GET", .url = server.url(), .response_bytes_max = 1'000}, {}).value().body.size(), 1'000U);
  EXPECT_FALSE(client->call({.method = "GET", .url = server.url(), .response_bytes_max = 999}, {}).ok());
}

TEST(HttpClient, EndsAtTheDeadlineWhateverTheServerDoes) {
  Gate gate;
  TestServer server([&](const Received& request) -> Answer {
    if (request.target == "/head") return {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"};
    gate.wait();
    return reply(200);
  });
  auto client = make_client([](ClientOptions& o) { o.response_header_timeout_ns = 50 * kNanosPerMilli; });
  const Result<ClientResponse> headers = client->call({.method = "GET", .url = server.url("/slow?secret=1")}, {});
  EXPECT_EQ(headers.error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_NE(headers.error().message().find("no answer began"), std::string::npos) << headers.error().message();
  EXPECT_EQ(headers.error().message().find("secret"), std::string::npos);
  EXPECT_NE(headers.error().message().find("GET 127.0.0.1:"), std::string::npos);

  for (const std::size_t size : {std::size_t{10}, std::size_t{1} << 20}) {   // sent with the head, and after it
    const std::string body(size, 'b');
    const Result<ClientResponse> put = client->call({.method = "PUT", .url = server.url("/slow"), .body = body}, {});
    EXPECT_NE(put.error().message().find("no answer began"), std::string::npos) << put.error().message();
  }
  auto impatient = make_client([](ClientOptions& o) { o.stall_timeout_ns = 50 * kNanosPerMilli; });
  const Result<ClientResponse> stalled = impatient->call({.method = "GET", .url = server.url("/head")}, {});
  EXPECT_EQ(stalled.error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_NE(stalled.error().message().find("the answer has stood still for 0.05 s"), std::string::npos) << stalled.error().message();
  const std::string endless(64 << 20, 'x');   // nobody reads it
  testing_server::SilentServer silent;
  const Result<ClientResponse> unread = impatient->call({.method = "PUT", .url = silent.url(), .body = endless}, {});
  EXPECT_NE(unread.error().message().find("sending the request has stood still"), std::string::npos) << unread.error().message();

  CallContext ctx;
  FakeClock clock;   // the client counts what is left by the caller's clock
  ctx.clock = &clock;
  ctx.deadline_monotonic_ns = clock.monotonic_ns() + 40 * kNanosPerMilli;
  EXPECT_EQ(client->call({.method = "GET", .url = server.url("/head")}, ctx).error().code(), ErrorCode::kDeadlineExceeded);
  clock.advance_ns(kNanosPerSecond);
  EXPECT_EQ(client->call({.method = "GET", .url = server.url("/head")}, ctx).error().code(), ErrorCode::kDeadlineExceeded);

  auto limited = make_client([](ClientOptions& o) { o.request_timeout_ns = 40 * kNanosPerMilli; });
  const Result<ClientResponse> whole = limited->call({.method = "GET", .url = server.url("/head")}, {});
  EXPECT_EQ(whole.error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_NE(whole.error().message().find("request timeout of 0.04 s"), std::string::npos) << whole.error().message();
  gate.open();
}

TEST(HttpClient, CancelsFromAnotherThread) {
  Gate gate;
  auto token = std::make_shared<CancelToken>();
  TestServer server([&](const Received&) -> Answer {
    token->cancel();   // once the request is there
    gate.wait();
    return reply(200);
  });
  auto client = make_client();
  CallContext ctx;
  ctx.cancel = token;
  EXPECT_EQ(client->call({.method = "GET", .url = server.url()}, ctx).error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(client->call({.method = "GET", .url = server.url()}, ctx).error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(server.requests(), 1);
  gate.open();
}

TEST(HttpClient, TakesTheFirstOfSeveralAndDropsTheOthers) {
  Gate gate;
  TestServer server([&](const Received& request) -> Answer {
    if (request.target == "/slow") gate.wait();
    return reply(200, request.target);
  });
  auto client = make_client();
  {
    std::unique_ptr<Client::Running> slow = client->start({.method = "GET", .url = server.url("/slow")}, {});
    std::unique_ptr<Client::Running> quick = client->start({.method = "GET", .url = server.url("/quick")}, {});
    Client::Running* both[] = {slow.get(), quick.get()};
    client->wait_any(both, system_clock().monotonic_ns() + 30 * kNanosPerSecond);
    EXPECT_FALSE(slow->done());
    ASSERT_TRUE(quick->done());
    EXPECT_EQ(quick->take().value().body, "/quick");
    Client::Running* one[] = {slow.get()};
    client->wait_any(one, system_clock().monotonic_ns() + kNanosPerMilli);
    EXPECT_FALSE(slow->done());
  }
  std::unique_ptr<Client::Running> bad = client->start({.method = "GET", .url = "ftp://x/"}, {});
  EXPECT_TRUE(bad->done());
  EXPECT_EQ(bad->take().error().code(), ErrorCode::kInvalidArgument);
  std::unique_ptr<Client::Running> left = client->start({.method = "GET", .url = server.url("/slow")}, {});
  client.reset();
  EXPECT_TRUE(left->done());
  EXPECT_EQ(left->take().error().code(), ErrorCode::kCancelled);
  gate.open();
}

TEST(HttpClient, ServesManyCallersAtOnce) {
  TestServer server([&](const Received& request) { return reply(200, request.target + std::string(10'000, 'z')); });
  auto client = make_client([](ClientOptions& o) { o.connections_per_host_max = 3; });
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const std::string path = "/" + std::to_string(t) + "-" + std::to_string(i);
        const Result<ClientResponse> response = client->call({.method = "GET", .url = server.url(path)}, {});
        if (response.ok() && response->body == path + std::string(10'000, 'z')) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 200);
  EXPECT_LE(server.connections(), 3);
}

TEST(HttpClient, RefusesWhatWouldNotBeOneRequest) {
  auto client = make_client();
  const auto code = [&](ClientRequest request) { return client->call(request, {}).error().code(); };
  for (const char* url : {"", "/path", "host/path", "file:///etc/passwd", "http://", "http://a b/", "http://a/\r\nX: y", "http://a/\xc3\xa9"}) {
    EXPECT_EQ(code({.method = "GET", .url = url}), ErrorCode::kInvalidArgument) << url;
  }
  EXPECT_EQ(code({.method = "GET /", .url = "http://a/"}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.method = "GET", .url = "http://a/", .headers = {{"A", "b\r\nC: d"}}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.method = "GET", .url = "http://a/", .headers = {{"A:", "b"}}}), ErrorCode::kInvalidArgument);
}

TEST(HttpClient, DoesNotFollowRedirects) {
  TestServer server([&](const Received&) { return reply(307, "", {{"Location", "/elsewhere"}}); });
  EXPECT_EQ(make_client()->call({.method = "GET", .url = server.url()}, {}).value().status, 307);
  EXPECT_EQ(server.requests(), 1);
}

TEST(HttpClient, SaysWhereNobodyListens) {
  std::string url;
  {
    TestServer server([](const Received&) { return reply(200); });
    url = server.url("/x?token=secret");
  }
  const Result<ClientResponse> response = make_client()->call({.method = "GET", .url = url}, {});
  EXPECT_EQ(response.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(response.error().message().find("127.0.0.1"), std::string::npos);
  EXPECT_EQ(response.error().message().find("secret"), std::string::npos);
  EXPECT_EQ(make_client()->call({.method = "GET", .url = "http://no-such-host.invalid/"}, {}).error().code(), ErrorCode::kUnavailable);
}

TEST(HttpClient, ChecksCertificates) {
  const SelfSigned certificate;
  TestServer server([](const Received& request) { return reply(200, request.headers.at("host")); }, &certificate);
  const ClientRequest request{.method = "GET", .url = server.url()};

  const Result<ClientResponse> unknown = make_client()->call(request, {});
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_NE(unknown.error().message().find("certificate"), std::string::npos) << unknown.error().message();

  auto trusting = make_client([&](ClientOptions& o) { o.tls.ca_file = certificate.cert_file(); });
  EXPECT_EQ(trusting->call(request, {}).value().body, server.authority());
  EXPECT_EQ(trusting->call(request, {}).value().body, server.authority());
  EXPECT_EQ(make_client([&](ClientOptions& o) { o.tls.skip_verify = true; })->call(request, {}).value().status, 200);

  auto named = make_client([&](ClientOptions& o) {
    o.tls.ca_file = certificate.cert_file();
    o.tls.server_name = "store.test";
  });
  EXPECT_EQ(named->call(request, {}).value().body, server.authority());
  auto misnamed = make_client([&](ClientOptions& o) {
    o.tls.ca_file = certificate.cert_file();
    o.tls.server_name = "other.test";
  });
  EXPECT_EQ(misnamed->call(request, {}).error().code(), ErrorCode::kPermissionDenied);

  ClientOptions absent;
  absent.tls.ca_file = "/nonexistent/ca.pem";
  EXPECT_EQ(Client::create(absent).error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skald::http
