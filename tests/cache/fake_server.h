// A server on 127.0.0.1 that does to each connection what the test says: for answers no real server would give.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "skald/cache/cache.h"

namespace skald::cache::testing {

// One accepted connection, for the handler.
class Peer {
 public:
  Peer(int fd, const std::atomic<bool>& stopping) : fd_(fd), stopping_(stopping) {}
  // "" when the client went away, or the server stops.
  std::string read_line() {
    while (true) {
      if (const std::size_t end = buffer_.find("\r\n"); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 2);
        return line;
      }
      if (!receive()) return "";
    }
  }
  std::string read_bytes(std::size_t count) {
    while (buffer_.size() < count)
      if (!receive()) return "";
    std::string bytes = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return bytes;
  }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void wait_until_closed() {
    while (receive()) {
    }
  }

 private:
  bool receive() {
    while (!stopping_) {
      pollfd watched{.fd = fd_, .events = POLLIN, .revents = 0};
      if (poll(&watched, 1, 5) <= 0) continue;
      char block[4096];
      const ssize_t got = recv(fd_, block, sizeof block, 0);
      if (got <= 0) return false;
      buffer_.append(block, static_cast<std::size_t>(got));
      return true;
    }
    return false;
  }
  const int fd_;
  const std::atomic<bool>& stopping_;
  std::string buffer_;
};

class FakeServer {
 public:
  using Handler = std::function<void(Peer&)>;   // returns to close the connection
  explicit FakeServer(Handler handler, std::uint16_t port = 0) : handler_(std::move(handler)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~FakeServer() {
    stopping_ = true;
    acceptor_.join();
    for (std::thread& thread : peers_) thread.join();
    close(listener_);
  }
  std::uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }

 private:
  void accept_all() {
    while (!stopping_) {
      pollfd watched{.fd = listener_, .events = POLLIN, .revents = 0};
      if (poll(&watched, 1, 5) <= 0) continue;
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      ++connections_;
      peers_.emplace_back([this, fd] {
        Peer peer(fd, stopping_);
        handler_(peer);
        close(fd);
      });
    }
  }
  const Handler handler_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> connections_{0};
  std::list<std::thread> peers_;
  std::thread acceptor_;
};

inline Item item(const std::string& key, const std::string& value) { return {.key = key, .value = std::make_shared<const Bytes>(value)}; }

inline std::string get(Cache& cache, const std::string& key) {
  const SharedBytes value = cache.fetch_one(CallContext(), key);
  return value == nullptr ? "<miss>" : *value;
}
inline std::vector<std::string> get_all(Cache& cache, const std::vector<std::string>& keys) {
  std::vector<std::string> out;
  for (const SharedBytes& value : cache.fetch(CallContext(), keys)) out.push_back(value == nullptr ? "<miss>" : *value);
  return out;
}

// Keeps everything; may be told to hold store() up.
class MapCache final : public Cache {
 public:
  std::vector<SharedBytes> fetch(const CallContext&, std::span<const std::string> keys) override {
    const std::lock_guard lock(mutex);
    std::vector<SharedBytes> values;
    for (const std::string& key : keys) {
      const auto found = items.find(key);
      values.push_back(found == items.end() ? nullptr : found->second);
      asked.push_back(key);
    }
    return values;
  }
  void store(std::vector<Item> stored) override {
    const std::lock_guard held(gate);
    const std::lock_guard lock(mutex);
    for (Item& one : stored) items[one.key] = one.value;
  }
  std::mutex gate;    // held by a test: store() waits
  std::mutex mutex;   // guards all below
  std::map<std::string, SharedBytes> items;
  std::vector<std::string> asked;
};

inline double counter(obs::Registry& registry, const std::string& line_start) {
  const std::string text = registry.expose_text();
  const std::size_t at = text.find("\n" + line_start + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + line_start.size() + 2));
}

}  // namespace skald::cache::testing
