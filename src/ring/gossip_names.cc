// Names of peers → addresses.
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <cstring>

#include "ring/gossip_socket.h"

namespace skald::ring::gossip {
namespace {

constexpr std::size_t kAnswerBytesMax = 64 << 10, kPeersMax = 4096;

IpBytes mapped(const in_addr& address) {
  IpBytes out{};
  out[10] = out[11] = 0xFF;
  std::memcpy(out.data() + 12, &address, 4);
  return out;
}

Result<std::vector<Endpoint>> addresses_of(const std::string& host, std::uint16_t port) {
  Endpoint literal{.ip = {}, .port = port};
  if (parse_ip(host, literal.ip)) return std::vector<Endpoint>{literal};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int status = getaddrinfo(host.c_str(), nullptr, &hints, &found); status != 0)
    return Error(ErrorCode::kUnavailable, "look up " + host + ": " + gai_strerror(status));
  std::vector<Endpoint> out;
  for (const addrinfo* at = found; at != nullptr && out.size() < kPeersMax; at = at->ai_next) {
    Endpoint peer{.ip = {}, .port = port};
    if (at->ai_family == AF_INET) peer.ip = mapped(reinterpret_cast<const sockaddr_in*>(at->ai_addr)->sin_addr);
    else if (at->ai_family == AF_INET6) std::memcpy(peer.ip.data(), &reinterpret_cast<const sockaddr_in6*>(at->ai_addr)->sin6_addr, 16);
    else continue;
    out.push_back(peer);
  }
  freeaddrinfo(found);
  if (out.empty()) return Error(ErrorCode::kUnavailable, "look up " + host + ": no address");
  return out;
}

Result<std::vector<std::pair<std::string, std::uint16_t>>> services_of(const std::string& name) {
  struct __res_state state {};
  if (res_ninit(&state) != 0) return Error(ErrorCode::kUnavailable, "look up " + name + ": no resolver");
  std::vector<unsigned char> answer(kAnswerBytesMax);
  const int size = res_nquery(&state, name.c_str(), ns_c_in, ns_t_srv, answer.data(), static_cast<int>(answer.size()));
  res_nclose(&state);
  if (size < 0) return Error(ErrorCode::kUnavailable, "look up " + name + ": no SRV record");
  return parse_srv({reinterpret_cast<const char*>(answer.data()), std::min(static_cast<std::size_t>(size), answer.size())});
}

Result<std::pair<std::string, std::uint16_t>> split_address(const std::string& text, std::uint16_t default_port) {
  std::string host = text, port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    host = close == std::string::npos ? "" : text.substr(1, close - 1);
    if (close != std::string::npos && close + 1 < text.size()) port = text[close + 1] == ':' ? text.substr(close + 2) : "?";
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(text.find(':') + 1);
    if (port.empty()) port = "?";
  }
  std::uint16_t number = default_port;
  if (!port.empty()) {
    const bool digits = port.size() <= 5 && std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
    const int value = digits ? std::stoi(port) : 0;
    if (value < 1 || value > 65535) host.clear();
    number = static_cast<std::uint16_t>(value);
  }
  if (host.empty() || host.size() > 255) return Error(ErrorCode::kInvalidArgument, "memberlist.join_members '" + text + "': expected host:port");
  return std::pair(host, number);
}

}  // namespace

Result<std::vector<std::pair<std::string, std::uint16_t>>> parse_srv(ByteView answer) {
  const auto malformed = [] { return Error(ErrorCode::kCorruption, "DNS answer: malformed"); };
  const auto* const begin = reinterpret_cast<const unsigned char*>(answer.data());
  const unsigned char* const end = begin + answer.size();
  const auto number = [](const unsigned char* at) { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); };
  constexpr std::size_t kHeaderBytes = 12;
  if (answer.size() < kHeaderBytes) return malformed();
  const unsigned char* at = begin + kHeaderBytes;
  const auto skip = [&](std::ptrdiff_t behind_name) {   // a name and what follows it
    const int name_bytes = dn_skipname(at, end);
    if (name_bytes < 0 || end - at < name_bytes + behind_name) return false;
    at += name_bytes + behind_name;
    return true;
  };
  for (int i = number(begin + 4); i > 0; --i)
    if (!skip(4)) return malformed();
  std::vector<std::pair<std::string, std::uint16_t>> out;
  for (int i = number(begin + 6); i > 0 && out.size() < kPeersMax; --i) {
    if (!skip(10)) return malformed();
    const std::uint16_t type = number(at - 10), data_bytes = number(at - 2);
    if (end - at < data_bytes) return malformed();
    if (type == ns_t_srv) {
      char target[NS_MAXDNAME];
      if (data_bytes < 7 || dn_expand(begin, end, at + 6, target, sizeof target) < 0) return malformed();
      out.emplace_back(target, number(at + 4));
    }
    at += data_bytes;
  }
  return out;
}

Result<std::vector<Endpoint>> resolve_peers(const std::string& text, std::uint16_t default_port) {
  std::vector<std::pair<std::string, std::uint16_t>> hosts;
  for (const std::string_view prefix : {"dnssrvnoa+", "dnssrv+"}) {
    if (!text.starts_with(prefix)) continue;
    SKALD_TRY(hosts, services_of(text.substr(prefix.size())));
    break;
  }
  if (hosts.empty()) {
    if (text.starts_with("dnssrv")) return Error(ErrorCode::kUnavailable, "look up " + text + ": no SRV record");
    SKALD_TRY(auto host, split_address(text.starts_with("dns+") ? text.substr(4) : text, default_port));
    hosts.push_back(std::move(host));
  }
  std::vector<Endpoint> out;
  for (const auto& [host, port] : hosts) {
    const auto found = addresses_of(host, port);
    if (!found.ok() && hosts.size() == 1) return found;
    if (found.ok()) out.insert(out.end(), found->begin(), found->end());
  }
  if (out.empty()) return Error(ErrorCode::kUnavailable, "look up " + text + ": no address");
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
