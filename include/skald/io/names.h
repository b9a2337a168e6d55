// Names of other machines → addresses, as configurations spell them:
//   host:port            the addresses behind the name
//   dns+host:port        the same, for those who tell one server per address from one server per name
//   dnssrv+name          the SRV records of the name, their targets looked up
//   dnssrvnoa+name       the SRV records, targets taken as they are
// Look-ups may block for as long as the resolver does: not for the path of a query.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/obs/metrics.h"

namespace skald::io {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

// "127.0.0.1", "::1" without asking anybody; length 0: not a literal.
SocketAddress literal_address(const std::string& host, std::uint16_t port);
// "127.0.0.1", "::1"
std::string ip_text(const SocketAddress& address);
// Asks the resolver. kUnavailable: no address.
Result<std::vector<SocketAddress>> lookup_addresses(const std::string& host, std::uint16_t port);

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};
// "host:port", "[::1]:port", "::1"; without a port: `default_port`, or kInvalidArgument when that is 0.
Result<HostPort> parse_host_port(std::string_view text, std::uint16_t default_port);
std::string to_text(const HostPort& at);

// The SRV records of a DNS answer. kCorruption: it is none, or cut off. Every offset is checked.
Result<std::vector<HostPort>> parse_srv_answer(ByteView packet);

// Replaceable for tests.
struct NameService {
  std::function<Result<std::vector<SocketAddress>>(const std::string& host, std::uint16_t port)> addresses = lookup_addresses;
  std::function<Result<Bytes>(const std::string& name)> srv_answer;   // default: res_nquery
  static NameService system();
  // Counted as `user`'s in loki_dns_lookups_total and loki_dns_failures_total. `registry` outlives it.
  NameService counted(obs::Registry& registry, const std::string& user) const;
};

struct NameSpec {
  enum class Kind { kPlain, kDns, kSrv, kSrvNoLookup } kind = Kind::kPlain;
  std::string name;   // host, or the SRV name
  std::uint16_t port = 0;
  bool is_literal() const;   // needs no name service
};
// One entry. kInvalidArgument names it.
Result<NameSpec> parse_name(std::string_view text, std::uint16_t default_port);
// A comma list; empty entries are left out.
Result<std::vector<NameSpec>> parse_names(std::string_view text, std::uint16_t default_port);

struct ResolvedName {
  std::string name;   // identity: host:port; of kDns and kSrv the address, else the name
  std::string host;   // as configured, for certificates
  SocketAddress address;
};
// Adds what it finds to `out`; the first failure, if a name or one of a service's targets was not found, is returned.
Result<void> resolve_name(const NameSpec& spec, const NameService& names, std::vector<ResolvedName>& out);

}  // namespace skald::io
