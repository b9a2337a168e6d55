// Sockets of the gossip port: connecting, listening, TLS on both sides, names of peers. Blocking with deadlines (of
// system_clock().monotonic_ns()). Writing TLS to a peer that is gone raises SIGPIPE: threads that do so block it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ring/gossip_wire.h"
#include "skald/base/result.h"
#include "skald/config/cluster.h"
#include "skald/io/names.h"

namespace skald::ring::gossip {

void block_sigpipe();                                // in the calling thread

// Both directions of a process. Thread-safe.
class Tls {
 public:
  static Result<std::unique_ptr<Tls>> make(const config::ClientTlsConfig& config);   // kInvalidArgument names the file
  ~Tls();
  Tls(const Tls&) = delete;
  void operator=(const Tls&) = delete;

 private:
  friend class Connection;
  Tls() = default;
  void* client_ = nullptr;                           // SSL_CTX
  void* server_ = nullptr;
  std::string server_name_;
  bool skip_verify_ = false;
};

class Connection {
 public:
  // `tls` null: plain. kUnavailable, kDeadlineExceeded.
  static Result<std::unique_ptr<Connection>> dial(const Endpoint& to, const Tls* tls, std::int64_t deadline_ns);
  // Takes over an accepted descriptor.
  static Result<std::unique_ptr<Connection>> accepted(int fd, const Tls* tls, std::int64_t deadline_ns);
  ~Connection();
  Connection(const Connection&) = delete;
  void operator=(const Connection&) = delete;

  Result<void> write(ByteView bytes, std::int64_t deadline_ns);
  // Appends what is there, at least one byte; false: the peer has said all.
  Result<bool> read_some(Bytes& out, std::int64_t deadline_ns);
  void finish_writing();                             // TLS: says goodbye

 private:
  explicit Connection(int fd) : fd_(fd) {}
  Result<void> wait(short events, std::int64_t deadline_ns) const;
  Result<void> handshake(void* context, bool server, std::int64_t deadline_ns);
  const int fd_;
  void* ssl_ = nullptr;
};

class Listener {
 public:
  // Port 0: any. kUnavailable: taken; kInvalidArgument: no address.
  static Result<std::unique_ptr<Listener>> open(const std::string& address, std::uint16_t port);
  ~Listener();
  Listener(const Listener&) = delete;
  void operator=(const Listener&) = delete;
  int fd() const { return fd_; }
  std::uint16_t port() const { return port_; }

 private:
  Listener(int fd, std::uint16_t port) : fd_(fd), port_(port) {}
  const int fd_;
  const std::uint16_t port_;
};

// As skald/io/names.h has it: all addresses of a name. May take as long as the resolver does. kUnavailable: nothing found;
// kInvalidArgument: not an address.
Result<std::vector<Endpoint>> resolve_peers(const std::string& text, std::uint16_t default_port, const io::NameService& names = io::NameService::system());
// The first private address of the interfaces, else the first that is not loopback, else 127.0.0.1.
IpBytes own_address();

}  // namespace skald::ring::gossip
