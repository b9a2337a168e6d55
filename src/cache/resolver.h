// From what the configuration says to a set of servers, asked again now and then.
//   host:port            one server; the address behind the name may change
//   dns+host:port        one server per address of the name
//   dnssrv+name          one server per SRV record, targets looked up
//   dnssrvnoa+name       the same, targets taken as names (one server per target)
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cache/socket.h"

namespace skald::cache {

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};
// "host:port", "[::1]:port"; without a port: `default_port`, or kInvalidArgument when that is 0.
Result<HostPort> parse_host_port(std::string_view text, std::uint16_t default_port);
std::string to_text(const HostPort& at);

// The SRV records of a DNS answer. kCorruption: it is none, or cut off. Every offset is checked.
Result<std::vector<HostPort>> parse_srv_answer(ByteView packet);

struct ResolvedServer {
  std::string name;   // identity: host:port
  std::string host;   // as configured, for certificates
  SocketAddress address;
};

// Names → servers. Replaceable for tests.
struct NameService {
  std::function<Result<std::vector<SocketAddress>>(const std::string& host, std::uint16_t port)> addresses = lookup_addresses;
  std::function<Result<Bytes>(const std::string& name)> srv_answer;   // default: res_nquery
  static NameService system();
};

struct ServerSpec {
  enum class Kind { kPlain, kDns, kSrv, kSrvNoLookup } kind = Kind::kPlain;
  std::string name;   // host, or the SRV name
  std::uint16_t port = 0;
  bool is_literal() const;   // needs no name service
};
// A comma list. kInvalidArgument names the entry.
Result<std::vector<ServerSpec>> parse_server_list(std::string_view text, std::uint16_t default_port);

// Names that cannot be looked up are left out; `failed` is then set.
std::vector<ResolvedServer> resolve(const std::vector<ServerSpec>& specs, const NameService& names, bool& failed);

// Calls `changed` with the servers: before the constructor returns when no name has to be looked up, else from a thread
// soon and then every `interval_ns`. A round in which some lookup failed changes nothing unless no servers are known yet.
class ServerWatch {
 public:
  ServerWatch(std::vector<ServerSpec> specs, std::int64_t interval_ns, NameService names, std::function<void(std::vector<ResolvedServer>)> changed);
  ~ServerWatch();

 private:
  void run();
  const std::vector<ServerSpec> specs_;
  const std::int64_t interval_ns_;
  const NameService names_;
  const std::function<void(std::vector<ResolvedServer>)> changed_;
  std::mutex mutex_;   // guards stopping_
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skald::cache
