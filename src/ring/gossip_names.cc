// Names of peers → addresses.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "ring/gossip_socket.h"

namespace skald::ring::gossip {
namespace {

IpBytes mapped(const in_addr& address) {
  IpBytes out{};
  out[10] = out[11] = 0xFF;
  std::memcpy(out.data() + 12, &address, 4);
  return out;
}

}  // namespace

Result<std::vector<Endpoint>> resolve_peers(const std::string& text, std::uint16_t default_port, const io::NameService& names) {
  auto spec = io::parse_name(text, default_port);
  if (!spec.ok()) return std::move(spec).error().with_prefix("memberlist.join_members");
  // Every address is a peer, also of a plain name.
  const bool service = spec->kind == io::NameSpec::Kind::kSrv || spec->kind == io::NameSpec::Kind::kSrvNoLookup;
  spec->kind = service ? io::NameSpec::Kind::kSrv : io::NameSpec::Kind::kDns;
  std::vector<io::ResolvedName> found;
  const Result<void> done = io::resolve_name(*spec, names, found);
  if (found.empty()) return done.ok() ? Error(ErrorCode::kUnavailable, "look up " + text + ": no address") : done.error();
  std::vector<Endpoint> out;
  for (const io::ResolvedName& one : found) {
    Endpoint peer;
    if (one.address.storage.ss_family == AF_INET) {
      const auto& four = reinterpret_cast<const sockaddr_in&>(one.address.storage);
      peer.ip = mapped(four.sin_addr);
      peer.port = ntohs(four.sin_port);
    } else if (one.address.storage.ss_family == AF_INET6) {
      const auto& six = reinterpret_cast<const sockaddr_in6&>(one.address.storage);
      std::memcpy(peer.ip.data(), &six.sin6_addr, 16);
      peer.port = ntohs(six.sin6_port);
    } else {
      continue;
    }
    out.push_back(peer);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

IpBytes own_address() {
  IpBytes best{};
  parse_ip("127.0.0.1", best);
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return best;
  bool any = false;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET || (at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0) continue;
    const in_addr& address = reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr;
    const std::uint32_t ip = ntohl(address.s_addr);
    const bool is_private = ip >> 24 == 10 || ip >> 20 == (172 << 4 | 1) || ip >> 16 == (192 << 8 | 168) || ip >> 22 == (100 << 2 | 1);
    if (!any || is_private) best = mapped(address);
    any = true;
    if (is_private) break;
  }
  freeifaddrs(list);
  return best;
}

}  // namespace skald::ring::gossip
