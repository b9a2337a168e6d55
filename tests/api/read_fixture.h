// The read routes behind a real server on a loopback port, over clients in memory.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "querier/fake_clients.h"
#include "skald/api/read.h"

namespace skald::api::testing {

struct Answer {
  int status = 0;
  std::string head;
  std::string body;
};

// A blocking connection that speaks just enough HTTP and WebSocket.
class Connection {
 public:
  explicit Connection(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    timeval timeout{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  }
  ~Connection() { ::close(fd_); }
  void send(std::string_view bytes) { EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size())); }
  Answer receive() {
    Answer answer;
    while (pending_.find("\r\n\r\n") == std::string::npos)
      if (!more()) return answer;
    const std::size_t end = pending_.find("\r\n\r\n");
    answer.head = pending_.substr(0, end + 2);
    pending_.erase(0, end + 4);
    answer.status = std::atoi(answer.head.c_str() + 9);
    std::size_t length = 0;
    if (const std::size_t at = answer.head.find("Content-Length: "); at != std::string::npos) length = static_cast<std::size_t>(std::atoll(answer.head.c_str() + at + 16));
    while (pending_.size() < length && more()) {}
    answer.body = pending_.substr(0, length);
    pending_.erase(0, length);
    return answer;
  }
  // Payload of the next text or close frame; "" at the end.
  std::string receive_frame() {
    while (true) {
      while (pending_.size() < 2)
        if (!more()) return "";
      const int opcode = pending_[0] & 15;
      std::size_t length = static_cast<unsigned char>(pending_[1]) & 127U, head = 2;
      const std::size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;
      while (pending_.size() < head + extra)
        if (!more()) return "";
      if (extra != 0) {
        length = 0;
        for (std::size_t i = 0; i < extra; ++i) length = length << 8 | static_cast<unsigned char>(pending_[head + i]);
        head += extra;
      }
      while (pending_.size() < head + length)
        if (!more()) return "";
      std::string payload = pending_.substr(head, length);
      pending_.erase(0, head + length);
      if (opcode == 1 || opcode == 8) return payload;
    }
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

class FixedLimits final : public config::LimitsProvider {
 public:
  std::shared_ptr<config::Limits> limits = std::make_shared<config::Limits>();
  config::LimitsPtr for_tenant(const std::string&) const override { return limits; }
};

class ReadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    http::ServerOptions options;
    options.listen_address = "127.0.0.1";
    options.port = 0;
    options.io_threads = 1;
    options.compress_responses = false;
    options.log_requests = false;
    server_ = std::make_unique<http::Server>(options, http_pool_, registry_);
    options_.tenants = tenants_;
    routes_ = add_read_routes(*server_, ReadDeps{querier_, limits_, pool_, registry_, clock_, options_});
    ASSERT_TRUE(server_->start().ok());
  }
  void TearDown() override {
    server_->stop(1000);
    server_.reset();
    routes_.reset();
  }
  static std::string encode(std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (std::isalnum(static_cast<unsigned char>(c))) out += c;
      else {
        static const char hex[] = "0123456789ABCDEF";
        out += '%';
        out += hex[static_cast<unsigned char>(c) >> 4];
        out += hex[c & 15];
      }
    }
    return out;
  }
  Answer get(const std::string& path, const std::vector<std::pair<std::string, std::string>>& params = {}, const std::string& headers = "") {
    std::string target = path;
    for (std::size_t i = 0; i < params.size(); ++i) target += (i == 0 ? "?" : "&") + encode(params[i].first) + "=" + encode(params[i].second);
    Connection connection(server_->port());
    connection.send("GET " + target + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n");
    return connection.receive();
  }

  static constexpr std::int64_t kSecond = 1'000'000'000;
  static constexpr std::int64_t kBase = 1'768'471'200 * kSecond;   // 2026-01-15T10:00:00Z
  FakeClock clock_{kBase + 3600 * kSecond};
  skald::testing::FakeIngester ingester_;
  querier::Querier querier_{ingester_, nullptr};
  FixedLimits limits_;
  obs::Registry registry_;
  exec::Pool pool_{"query", 2};
  exec::Pool http_pool_{"http", 2};
  TenantPolicy tenants_ = false;       // set both before SetUp()
  ReadOptions options_;
  std::shared_ptr<void> routes_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace skald::api::testing
