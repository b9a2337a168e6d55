// A client of one request in plain sockets: -health runs in images that have nothing else.
#include "health.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace skald::app {
namespace {

constexpr int kTimeoutS = 5;

struct Url {
  std::string host, port = "80", path = "/";
};

Result<Url> parse_url(const std::string& text) {
  if (!text.starts_with("http://")) return Error(ErrorCode::kInvalidArgument, "-health.url must start with http://, not " + text);
  Url out;
  std::string rest = text.substr(7);
  if (const std::size_t slash = rest.find('/'); slash != std::string::npos) {
    out.path = rest.substr(slash);
    rest.resize(slash);
  }
  const std::size_t bracket = rest.rfind(']');
  if (const std::size_t colon = rest.rfind(':'); colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) {
    out.port = rest.substr(colon + 1);
    rest.resize(colon);
  }
  if (rest.size() > 2 && rest.front() == '[') rest = rest.substr(1, rest.size() - 2);
  out.host = rest;
  if (out.host.empty()) return Error(ErrorCode::kInvalidArgument, "-health.url names no host: " + text);
  return out;
}

Error failed(const std::string& what) { return Error(ErrorCode::kUnavailable, what + ": " + std::strerror(errno)); }

int connect_any(const Url& url) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found) != 0) return -1;
  int out = -1;
  for (addrinfo* at = found; at && out < 0; at = at->ai_next) {
    const int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) continue;
    timeval timeout{kTimeoutS, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, at->ai_addr, at->ai_addrlen) == 0) out = fd;
    else close(fd);
  }
  freeaddrinfo(found);
  return out;
}

}  // namespace

Result<void> check_health(const std::string& text) {
  SKALD_TRY(const Url url, parse_url(text));
  const int fd = connect_any(url);
  if (fd < 0) return failed("cannot connect to " + text);
  const std::string request = "GET " + url.path + " HTTP/1.1\r\nHost: " + url.host + "\r\nConnection: close\r\n\r\n";
  std::string answer;
  bool sent = send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size());
  while (sent && answer.size() < 64) {
    char buffer[256];
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) break;
    answer.append(buffer, static_cast<std::size_t>(got));
  }
  close(fd);
  if (answer.size() < 12) return failed("no answer from " + text);
  if (answer.substr(8, 4) != " 200") return Error(ErrorCode::kUnavailable, text + " answered " + answer.substr(9, 3));
  return {};
}

}  // namespace skald::app
