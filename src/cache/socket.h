// A stream socket to a cache server: blocking calls with a deadline, plain or TLS. Deadlines are of
// system_clock().monotonic_ns(). After any error the socket is of no use: close it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/io/names.h"

namespace skald::cache {

using io::literal_address;
using io::SocketAddress;

struct TlsFiles {
  std::string ca_file, cert_file, key_file;   // empty: the system's authorities; no client certificate
  bool skip_verify = false;
};
// Shared by all connections of a cache. Thread-safe.
class TlsClient {
 public:
  static Result<std::shared_ptr<const TlsClient>> make(const TlsFiles& files);   // kInvalidArgument names the file
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  void operator=(const TlsClient&) = delete;

 private:
  friend class Socket;
  TlsClient() = default;
  void* context_ = nullptr;   // SSL_CTX
  bool skip_verify_ = false;
};

class Socket {
 public:
  // `tls` null: plain. `server_name` is what the certificate must be for.
  // kUnavailable: refused, unreachable, or no handshake; kDeadlineExceeded.
  static Result<std::unique_ptr<Socket>> connect(const SocketAddress& address, const TlsClient* tls, const std::string& server_name,
                                                 std::int64_t deadline_ns);
  ~Socket();
  Socket(const Socket&) = delete;
  void operator=(const Socket&) = delete;

  Result<void> write(ByteView bytes, std::int64_t deadline_ns);
  // One line without its CR LF. kCorruption: longer than `bytes_max`. kUnavailable: the peer closed.
  Result<std::string> read_line(std::size_t bytes_max, std::int64_t deadline_ns);
  // Appends exactly `count` bytes. The caller has bounded `count`.
  Result<void> read_exactly(std::size_t count, Bytes& out, std::int64_t deadline_ns);

  bool has_unread() const { return begin_ < buffer_.size(); }   // an answer nobody asked for: do not use it again
  bool received_anything() const { return received_; }          // since forget_received()
  void forget_received() { received_ = false; }

 private:
  Socket(int fd) : fd_(fd) {}   // NOLINT: private
  Result<void> wait(short events, std::int64_t deadline_ns) const;
  Result<void> send_plain(ByteView bytes, std::int64_t deadline_ns);
  Result<std::size_t> receive_plain(char* to, std::size_t capacity, std::int64_t deadline_ns);   // 0: the peer closed
  Result<void> start_tls(const TlsClient& tls, const std::string& server_name, std::int64_t deadline_ns);
  Result<void> send_tls_output(std::int64_t deadline_ns);
  Result<void> feed_tls_input(std::int64_t deadline_ns);
  Result<void> fill(std::int64_t deadline_ns);

  const int fd_;
  void* tls_ = nullptr;   // SSL over memory BIOs: OpenSSL never touches the socket (no SIGPIPE, one place that waits)
  Bytes buffer_;          // received and not consumed from begin_ on
  std::size_t begin_ = 0;
  bool received_ = false;
};

}  // namespace skald::cache
