#include "cache/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "skald/base/clock.h"

namespace skald::cache {
namespace {

constexpr std::size_t kReceiveBytes = 64 << 10;

Error os_error(const std::string& what) { return Error(ErrorCode::kUnavailable, what + ": " + std::strerror(errno)); }

std::string tls_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown reason";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

SSL* ssl(void* handle) { return static_cast<SSL*>(handle); }
SSL_CTX* ssl_context(void* handle) { return static_cast<SSL_CTX*>(handle); }

}  // namespace

Result<std::shared_ptr<const TlsClient>> TlsClient::make(const TlsFiles& files) {
  std::shared_ptr<TlsClient> client(new TlsClient());
  client->skip_verify_ = files.skip_verify;
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (context == nullptr) return Error(ErrorCode::kInternal, "TLS: " + tls_reason());
  client->context_ = context;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  const auto refuse = [](const char* what, const std::string& file) {
    return Error(ErrorCode::kInvalidArgument, std::string(what) + " '" + file + "': " + tls_reason());
  };
  if (!files.ca_file.empty()) {
    if (SSL_CTX_load_verify_locations(context, files.ca_file.c_str(), nullptr) != 1) return refuse("tls_ca_path", files.ca_file);
  } else if (!files.skip_verify) {
    SSL_CTX_set_default_verify_paths(context);
  }
  if (!files.cert_file.empty() && SSL_CTX_use_certificate_chain_file(context, files.cert_file.c_str()) != 1) return refuse("tls_cert_path", files.cert_file);
  if (!files.key_file.empty() && SSL_CTX_use_PrivateKey_file(context, files.key_file.c_str(), SSL_FILETYPE_PEM) != 1) return refuse("tls_key_path", files.key_file);
  SSL_CTX_set_verify(context, files.skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  return std::shared_ptr<const TlsClient>(std::move(client));
}

TlsClient::~TlsClient() { SSL_CTX_free(ssl_context(context_)); }

Result<std::unique_ptr<Socket>> Socket::connect(const SocketAddress& address, const TlsClient* tls, const std::string& server_name,
                                                std::int64_t deadline_ns) {
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return os_error("socket");
  std::unique_ptr<Socket> out(new Socket(fd));
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0) {
    if (errno != EINPROGRESS && errno != EINTR) return os_error("connect");
    SKALD_TRY_VOID(out->wait(POLLOUT, deadline_ns));
    int failure = 0;
    socklen_t size = sizeof failure;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0) return os_error("connect");
    if (failure != 0) return Error(ErrorCode::kUnavailable, std::string("connect: ") + std::strerror(failure));
  }
  if (tls != nullptr) SKALD_TRY_VOID(out->start_tls(*tls, server_name, deadline_ns));
  return out;
}

Socket::~Socket() {
  SSL_free(ssl(tls_));
  ::close(fd_);
}

Result<void> Socket::wait(short events, std::int64_t deadline_ns) const {
  while (true) {
    const std::int64_t left_ns = deadline_ns - system_clock().monotonic_ns();
    if (left_ns <= 0) return Error(ErrorCode::kDeadlineExceeded, "no answer in time");
    pollfd watched{.fd = fd_, .events = events, .revents = 0};
    const std::int64_t left_ms = std::min<std::int64_t>((left_ns + kNanosPerMilli - 1) / kNanosPerMilli, 60'000);
    const int ready = poll(&watched, 1, static_cast<int>(left_ms));
    if (ready > 0) return {};   // errors too: the next call tells which
    if (ready < 0 && errno != EINTR) return os_error("poll");
  }
}

Result<void> Socket::send_plain(ByteView bytes, std::int64_t deadline_ns) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      SKALD_TRY_VOID(wait(POLLOUT, deadline_ns));
    } else if (errno != EINTR) {
      return os_error("send");
    }
  }
  return {};
}

Result<std::size_t> Socket::receive_plain(char* to, std::size_t capacity, std::int64_t deadline_ns) {
  while (true) {
    const ssize_t got = ::recv(fd_, to, capacity, 0);
    if (got >= 0) {
      received_ = received_ || got > 0;
      return static_cast<std::size_t>(got);
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      SKALD_TRY_VOID(wait(POLLIN, deadline_ns));
    } else if (errno != EINTR) {
      return os_error("receive");
    }
  }
}

Result<void> Socket::start_tls(const TlsClient& tls, const std::string& server_name, std::int64_t deadline_ns) {
  ERR_clear_error();
  SSL* session = SSL_new(ssl_context(tls.context_));
  if (session == nullptr) return Error(ErrorCode::kInternal, "TLS: " + tls_reason());
  tls_ = session;
  SSL_set_bio(session, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(session);
  if (!server_name.empty()) {
    if (literal_address(server_name, 0).length == 0) {
      SSL_set_tlsext_host_name(session, server_name.c_str());
      if (!tls.skip_verify_ && SSL_set1_host(session, server_name.c_str()) != 1) return Error(ErrorCode::kInternal, "TLS: " + tls_reason());
    } else if (!tls.skip_verify_ && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), server_name.c_str()) != 1) {
      return Error(ErrorCode::kInternal, "TLS: " + tls_reason());
    }
  }
  while (true) {
    const int done = SSL_do_handshake(session);
    const int why = SSL_get_error(session, done);
    SKALD_TRY_VOID(send_tls_output(deadline_ns));
    if (done == 1) return {};
    if (why != SSL_ERROR_WANT_READ) return Error(ErrorCode::kUnavailable, "TLS handshake: " + tls_reason());
    SKALD_TRY_VOID(feed_tls_input(deadline_ns));
  }
}

Result<void> Socket::send_tls_output(std::int64_t deadline_ns) {
  BIO* output = SSL_get_wbio(ssl(tls_));
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(output, &bytes);
  if (size <= 0) return {};
  const Bytes pending(bytes, static_cast<std::size_t>(size));
  (void)BIO_reset(output);
  return send_plain(pending, deadline_ns);
}

Result<void> Socket::feed_tls_input(std::int64_t deadline_ns) {
  char block[16 << 10];
  SKALD_TRY(const std::size_t got, receive_plain(block, sizeof block, deadline_ns));
  if (got == 0) return Error(ErrorCode::kUnavailable, "the server closed the connection");
  BIO_write(SSL_get_rbio(ssl(tls_)), block, static_cast<int>(got));
  return {};
}

Result<void> Socket::write(ByteView bytes, std::int64_t deadline_ns) {
  if (tls_ == nullptr) return send_plain(bytes, deadline_ns);
  ERR_clear_error();
  while (!bytes.empty()) {
    const std::size_t part = std::min<std::size_t>(bytes.size(), kReceiveBytes);
    const int written = SSL_write(ssl(tls_), bytes.data(), static_cast<int>(part));
    const int why = SSL_get_error(ssl(tls_), written);
    SKALD_TRY_VOID(send_tls_output(deadline_ns));
    if (written > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (why == SSL_ERROR_WANT_READ) {
      SKALD_TRY_VOID(feed_tls_input(deadline_ns));
    } else {
      return Error(ErrorCode::kUnavailable, "TLS write: " + tls_reason());
    }
  }
  return {};
}

// At least one more byte in buffer_.
Result<void> Socket::fill(std::int64_t deadline_ns) {
  if (begin_ == buffer_.size()) buffer_.clear(), begin_ = 0;
  if (begin_ > kReceiveBytes) buffer_.erase(0, begin_), begin_ = 0;
  const std::size_t held = buffer_.size();
  buffer_.resize(held + kReceiveBytes);
  if (tls_ == nullptr) {
    auto got = receive_plain(buffer_.data() + held, kReceiveBytes, deadline_ns);
    buffer_.resize(held + (got.ok() ? *got : 0));
    if (!got.ok()) return got.error();
    if (*got == 0) return Error(ErrorCode::kUnavailable, "the server closed the connection");
    return {};
  }
  ERR_clear_error();
  while (true) {
    const int got = SSL_read(ssl(tls_), buffer_.data() + held, static_cast<int>(kReceiveBytes));
    const int why = SSL_get_error(ssl(tls_), got);
    Result<void> sent = send_tls_output(deadline_ns);
    if (got > 0 && sent.ok()) {
      buffer_.resize(held + static_cast<std::size_t>(got));
      return {};
    }
    if (sent.ok() && why == SSL_ERROR_WANT_READ) sent = feed_tls_input(deadline_ns);
    else if (sent.ok()) sent = Error(ErrorCode::kUnavailable, why == SSL_ERROR_ZERO_RETURN ? "the server closed the connection" : "TLS read: " + tls_reason());
    if (!sent.ok()) {
      buffer_.resize(held);
      return sent;
    }
  }
}

Result<std::string> Socket::read_line(std::size_t bytes_max, std::int64_t deadline_ns) {
  std::size_t searched = begin_;
  while (true) {
    if (const std::size_t end = buffer_.find('\n', searched); end != Bytes::npos) {
      std::size_t length = end - begin_;
      if (length > 0 && buffer_[end - 1] == '\r') --length;
      if (length > bytes_max) break;
      std::string line = buffer_.substr(begin_, length);
      begin_ = end + 1;
      return line;
    }
    const std::size_t unread = buffer_.size() - begin_;
    if (unread > bytes_max + 1) break;
    SKALD_TRY_VOID(fill(deadline_ns));
    searched = begin_ + unread;
  }
  return Error(ErrorCode::kCorruption, "a line of more than " + std::to_string(bytes_max) + " bytes");
}

Result<void> Socket::read_exactly(std::size_t count, Bytes& out, std::int64_t deadline_ns) {
  while (count > 0) {
    if (begin_ == buffer_.size()) SKALD_TRY_VOID(fill(deadline_ns));
    const std::size_t part = std::min(count, buffer_.size() - begin_);
    out.append(buffer_, begin_, part);
    begin_ += part;
    count -= part;
  }
  return {};
}

}  // namespace skald::cache
