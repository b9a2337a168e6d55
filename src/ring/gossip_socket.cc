#include "ring/gossip_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "skald/base/clock.h"

namespace skald::ring::gossip {
namespace {

constexpr std::size_t kReadBytes = 64 << 10;

Error os_error(const std::string& what) { return Error(ErrorCode::kUnavailable, what + ": " + std::strerror(errno)); }

std::string tls_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "the peer closed the connection";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

// IPv4 addresses go over IPv4 sockets: some kernels have no IPv6.
Address to_address(const Endpoint& at) {
  Address out;
  static constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  if (std::memcmp(at.ip.data(), kMapped, sizeof kMapped) == 0) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(at.port);
    std::memcpy(&four.sin_addr, at.ip.data() + 12, 4);
    std::memcpy(&out.storage, &four, sizeof four);
    out.length = sizeof four;
  } else {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(at.port);
    std::memcpy(&six.sin6_addr, at.ip.data(), 16);
    std::memcpy(&out.storage, &six, sizeof six);
    out.length = sizeof six;
  }
  return out;
}

SSL* ssl(void* handle) { return static_cast<SSL*>(handle); }

Result<void*> make_context(const SSL_METHOD* method, const config::ClientTlsConfig& config, bool server) {
  SSL_CTX* context = SSL_CTX_new(method);
  if (context == nullptr) return Error(ErrorCode::kInternal, "TLS: " + tls_reason());
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> owner(context, SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const auto refuse = [](const char* key, const std::string& file) {
    return Error(ErrorCode::kInvalidArgument, std::string("memberlist.") + key + " '" + file + "': " + tls_reason());
  };
  if (!config.ca_path.empty()) {
    if (SSL_CTX_load_verify_locations(context, config.ca_path.c_str(), nullptr) != 1) return refuse("tls_ca_path", config.ca_path);
  } else {
    SSL_CTX_set_default_verify_paths(context);
  }
  if (!config.cert_path.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context, config.cert_path.c_str()) != 1) return refuse("tls_cert_path", config.cert_path);
    if (SSL_CTX_use_PrivateKey_file(context, config.key_path.c_str(), SSL_FILETYPE_PEM) != 1) return refuse("tls_key_path", config.key_path);
  } else if (server) {
    return Error(ErrorCode::kInvalidArgument, "memberlist.tls_enabled needs tls_cert_path and tls_key_path: each member also listens");
  }
  if (server) {
    // Members have certificates anyway; with an authority of our own nobody else talks to this port.
    SSL_CTX_set_verify(context, config.ca_path.empty() || config.insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  } else {
    SSL_CTX_set_verify(context, config.insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  }
  return static_cast<void*>(owner.release());
}

}  // namespace

void block_sigpipe() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
}

Result<std::unique_ptr<Tls>> Tls::make(const config::ClientTlsConfig& config) {
  std::unique_ptr<Tls> out(new Tls());
  out->server_name_ = config.server_name;
  out->skip_verify_ = config.insecure_skip_verify;
  SKALD_TRY(out->client_, make_context(TLS_client_method(), config, false));
  SKALD_TRY(out->server_, make_context(TLS_server_method(), config, true));
  return out;
}

Tls::~Tls() {
  SSL_CTX_free(static_cast<SSL_CTX*>(client_));
  SSL_CTX_free(static_cast<SSL_CTX*>(server_));
}

Result<std::unique_ptr<Connection>> Connection::dial(const Endpoint& to, const Tls* tls, std::int64_t deadline_ns) {
  const Address address = to_address(to);
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return os_error("socket");
  std::unique_ptr<Connection> out(new Connection(fd));
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0) {
    if (errno != EINPROGRESS) return os_error("connect");
    SKALD_TRY_VOID(out->wait(POLLOUT, deadline_ns));
    int failure = 0;
    socklen_t size = sizeof failure;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure != 0) return Error(ErrorCode::kUnavailable, std::string("connect: ") + std::strerror(failure));
  }
  if (tls == nullptr) return out;
  SSL* session = SSL_new(static_cast<SSL_CTX*>(tls->client_));
  if (session == nullptr) return Error(ErrorCode::kInternal, "TLS: " + tls_reason());
  out->ssl_ = session;
  if (!tls->skip_verify_) {
    const std::string text = to_text(to);
    IpBytes ip;
    std::string name = tls->server_name_;
    if (name.empty()) name = text.starts_with('[') ? text.substr(1, text.find(']') - 1) : text.substr(0, text.find(':'));
    if (parse_ip(name, ip)) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), name.c_str());
    } else {
      SSL_set_tlsext_host_name(session, name.c_str());
      SSL_set1_host(session, name.c_str());
    }
  }
  SKALD_TRY_VOID(out->handshake(session, false, deadline_ns));
  return out;
}

Result<std::unique_ptr<Connection>> Connection::accepted(int fd, const Tls* tls, std::int64_t deadline_ns) {
  std::unique_ptr<Connection> out(new Connection(fd));
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (tls == nullptr) return out;
  SSL* session = SSL_new(static_cast<SSL_CTX*>(tls->server_));
  if (session == nullptr) return Error(ErrorCode::kInternal, "TLS: " + tls_reason());
  out->ssl_ = session;
  SKALD_TRY_VOID(out->handshake(session, true, deadline_ns));
  return out;
}

Connection::~Connection() {
  SSL_free(ssl(ssl_));
  ::close(fd_);
}

Result<void> Connection::wait(short events, std::int64_t deadline_ns) const {
  while (true) {
    const std::int64_t left_ns = deadline_ns - system_clock().monotonic_ns();
    if (left_ns <= 0) return Error(ErrorCode::kDeadlineExceeded, "no answer in time");
    pollfd watched{.fd = fd_, .events = events, .revents = 0};
    const int ready = poll(&watched, 1, static_cast<int>(std::min<std::int64_t>(left_ns / kNanosPerMilli + 1, 60'000)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return os_error("poll");
  }
}

Result<void> Connection::handshake(void* session, bool server, std::int64_t deadline_ns) {
  SSL_set_fd(ssl(session), fd_);
  while (true) {
    ERR_clear_error();
    const int done = server ? SSL_accept(ssl(session)) : SSL_connect(ssl(session));
    if (done == 1) return {};
    const int why = SSL_get_error(ssl(session), done);
    if (why == SSL_ERROR_WANT_READ) SKALD_TRY_VOID(wait(POLLIN, deadline_ns));
    else if (why == SSL_ERROR_WANT_WRITE) SKALD_TRY_VOID(wait(POLLOUT, deadline_ns));
    else return Error(ErrorCode::kUnavailable, "TLS handshake: " + tls_reason());
  }
}

Result<void> Connection::write(ByteView bytes, std::int64_t deadline_ns) {
  while (!bytes.empty()) {
    if (ssl_ != nullptr) {
      ERR_clear_error();
      const int sent = SSL_write(ssl(ssl_), bytes.data(), static_cast<int>(std::min(bytes.size(), kReadBytes)));
      if (sent > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
        continue;
      }
      const int why = SSL_get_error(ssl(ssl_), sent);
      if (why == SSL_ERROR_WANT_READ) SKALD_TRY_VOID(wait(POLLIN, deadline_ns));
      else if (why == SSL_ERROR_WANT_WRITE) SKALD_TRY_VOID(wait(POLLOUT, deadline_ns));
      else return Error(ErrorCode::kUnavailable, "TLS write: " + tls_reason());
      continue;
    }
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
    else if (errno == EAGAIN || errno == EWOULDBLOCK) SKALD_TRY_VOID(wait(POLLOUT, deadline_ns));
    else if (errno != EINTR) return os_error("send");
  }
  return {};
}

Result<bool> Connection::read_some(Bytes& out, std::int64_t deadline_ns) {
  char block[kReadBytes];
  while (true) {
    if (ssl_ != nullptr) {
      ERR_clear_error();
      const int got = SSL_read(ssl(ssl_), block, sizeof block);
      if (got > 0) {
        out.append(block, static_cast<std::size_t>(got));
        return true;
      }
      const int why = SSL_get_error(ssl(ssl_), got);
      if (why == SSL_ERROR_ZERO_RETURN) return false;
      if (why == SSL_ERROR_WANT_READ) SKALD_TRY_VOID(wait(POLLIN, deadline_ns));
      else if (why == SSL_ERROR_WANT_WRITE) SKALD_TRY_VOID(wait(POLLOUT, deadline_ns));
      else return Error(ErrorCode::kUnavailable, "TLS read: " + tls_reason());
      continue;
    }
    const ssize_t got = ::recv(fd_, block, sizeof block, 0);
    if (got > 0) {
      out.append(block, static_cast<std::size_t>(got));
      return true;
    }
    if (got == 0) return false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) SKALD_TRY_VOID(wait(POLLIN, deadline_ns));
    else if (errno != EINTR) return os_error("receive");
  }
}

void Connection::finish_writing() {
  if (ssl_ != nullptr) SSL_shutdown(ssl(ssl_));
  ::shutdown(fd_, SHUT_WR);
}

Result<std::unique_ptr<Listener>> Listener::open(const std::string& text, std::uint16_t port) {
  Endpoint at{.ip = {}, .port = port};
  if (!parse_ip(text, at.ip)) return Error(ErrorCode::kInvalidArgument, "memberlist.bind_addr '" + text + "': not an IP address");
  const Address address = to_address(at);
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return os_error("memberlist: socket");
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 || ::listen(fd, 128) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    Error error = os_error("memberlist: listen on " + to_text(at));
    ::close(fd);
    return error;
  }
  std::uint16_t real = 0;   // at the same place in both families
  std::memcpy(&real, reinterpret_cast<const char*>(&bound) + offsetof(sockaddr_in, sin_port), sizeof real);
  return std::unique_ptr<Listener>(new Listener(fd, ntohs(real)));
}

Listener::~Listener() { ::close(fd_); }

}  // namespace skald::ring::gossip
