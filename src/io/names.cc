#include "skald/io/names.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <cstring>

namespace skald::io {
namespace {

constexpr std::size_t kAnswerBytesMax = 64 << 10;   // what a DNS message may have over TCP
constexpr std::size_t kNamesMax = 4096;

std::uint16_t load_be16(ByteView bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 | static_cast<unsigned char>(bytes[at + 1]));
}

Error bad_answer(const char* what) { return Error(ErrorCode::kCorruption, std::string("DNS answer: ") + what); }

// A name at `at`, which moves behind it. It ends: compression pointers (RFC 1035 §4.1.4) must go backwards, and labels make
// the name longer.
Result<std::string> read_name(ByteView packet, std::size_t& at) {
  std::string name;
  std::size_t here = at;
  bool jumped = false;
  while (true) {
    if (here >= packet.size()) return bad_answer("a name ends outside");
    const auto length = static_cast<unsigned char>(packet[here]);
    if (length == 0) {
      if (!jumped) at = here + 1;
      return name;
    }
    if ((length & 0xC0) == 0xC0) {
      if (here + 1 >= packet.size()) return bad_answer("a name ends outside");
      const std::size_t target = load_be16(packet, here) & 0x3FFFU;
      if (target >= here) return bad_answer("a name points forward");
      if (!jumped) at = here + 2;
      jumped = true;
      here = target;
      continue;
    }
    if (length > 63 || here + 1 + length > packet.size()) return bad_answer("a name ends outside");
    if (!name.empty()) name += '.';
    name.append(packet.substr(here + 1, length));
    if (name.size() > 255) return bad_answer("a name is too long");
    here += 1U + length;
  }
}

Result<Bytes> query_srv(const std::string& name) {
  struct __res_state state {};
  if (res_ninit(&state) != 0) return Error(ErrorCode::kUnavailable, "look up " + name + ": no resolver");
  Bytes answer(kAnswerBytesMax, '\0');
  const int size = res_nquery(&state, name.c_str(), ns_c_in, ns_t_srv, reinterpret_cast<unsigned char*>(answer.data()), static_cast<int>(answer.size()));
  res_nclose(&state);
  if (size < 0) return Error(ErrorCode::kUnavailable, "look up " + name + ": no SRV record");
  answer.resize(std::min<std::size_t>(static_cast<std::size_t>(size), answer.size()));
  return answer;
}

}  // namespace

SocketAddress literal_address(const std::string& host, std::uint16_t port) {
  SocketAddress out;
  sockaddr_in four{};
  if (inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    std::memcpy(&out.storage, &four, sizeof four);
    out.length = sizeof four;
    return out;
  }
  sockaddr_in6 six{};
  if (inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    std::memcpy(&out.storage, &six, sizeof six);
    out.length = sizeof six;
  }
  return out;
}

Result<std::vector<SocketAddress>> lookup_addresses(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int status = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (status != 0) return Error(ErrorCode::kUnavailable, "look up " + host + ": " + gai_strerror(status));
  std::vector<SocketAddress> out;
  for (const addrinfo* at = found; at != nullptr && out.size() < kNamesMax; at = at->ai_next) {
    if (at->ai_addrlen > sizeof(sockaddr_storage)) continue;
    SocketAddress address;
    std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
    address.length = at->ai_addrlen;
    out.push_back(address);
  }
  freeaddrinfo(found);
  if (out.empty()) return Error(ErrorCode::kUnavailable, "look up " + host + ": no address");
  return out;
}

std::string ip_text(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.storage.ss_family == AF_INET) inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr, text, sizeof text);
  if (address.storage.ss_family == AF_INET6) inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr, text, sizeof text);
  return text;
}

Result<HostPort> parse_host_port(std::string_view text, std::uint16_t default_port) {
  const auto refuse = [&] { return Error(ErrorCode::kInvalidArgument, "server address '" + std::string(text) + "': expected host:port"); };
  HostPort out{.host = "", .port = default_port};
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return refuse();
    out.host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return refuse();
    if (!rest.empty()) port = rest.substr(1);
    if (!rest.empty() && port.empty()) return refuse();
  } else {
    const std::size_t colon = text.find(':');
    if (text.find(':', colon + 1) != std::string_view::npos && colon != std::string_view::npos) {
      if (default_port == 0 || literal_address(std::string(text), default_port).length == 0) return refuse();
      return HostPort{.host = std::string(text), .port = default_port};
    }
    out.host = text.substr(0, colon);
    if (colon != std::string_view::npos) {
      port = text.substr(colon + 1);
      if (port.empty()) return refuse();
    }
  }
  if (out.host.empty() || out.host.size() > 255) return refuse();
  if (!port.empty()) {
    unsigned value = 0;
    for (const char digit : port) {
      if (digit < '0' || digit > '9') return refuse();
      value = value * 10 + static_cast<unsigned>(digit - '0');
      if (value > 65535) return refuse();
    }
    out.port = static_cast<std::uint16_t>(value);
  }
  if (out.port == 0) return refuse();
  return out;
}

std::string to_text(const HostPort& at) {
  const bool six = at.host.find(':') != std::string::npos;
  return (six ? "[" + at.host + "]" : at.host) + ":" + std::to_string(at.port);
}

Result<std::vector<HostPort>> parse_srv_answer(ByteView packet) {
  constexpr std::size_t kHeaderBytes = 12;
  if (packet.size() < kHeaderBytes) return bad_answer("too short");
  const std::uint16_t questions = load_be16(packet, 4), answers = load_be16(packet, 6);
  std::size_t at = kHeaderBytes;
  for (unsigned i = 0; i < questions; ++i) {
    SKALD_TRY_VOID(read_name(packet, at));
    at += 4;
  }
  std::vector<HostPort> out;
  for (unsigned i = 0; i < answers; ++i) {
    SKALD_TRY_VOID(read_name(packet, at));
    if (at + 10 > packet.size()) return bad_answer("a record ends outside");
    const std::uint16_t type = load_be16(packet, at), length = load_be16(packet, at + 8);
    at += 10;
    if (at + length > packet.size()) return bad_answer("a record ends outside");
    if (type == ns_t_srv) {
      if (length < 7) return bad_answer("a SRV record is too short");
      std::size_t name_at = at + 6;
      SKALD_TRY(std::string target, read_name(packet.substr(0, at + length), name_at));
      if (!target.empty() && out.size() < kNamesMax) out.push_back({.host = std::move(target), .port = load_be16(packet, at + 4)});
    }
    at += length;
  }
  return out;
}

NameService NameService::system() {
  NameService names;
  names.srv_answer = query_srv;
  return names;
}

NameService NameService::counted(obs::Registry& registry, const std::string& user) const {
  obs::Counter& lookups = registry.counter_family("loki_dns_lookups_total", "Names of servers that were looked up.", {"name"}).with({user});
  obs::Counter& failures = registry.counter_family("loki_dns_failures_total", "Names of servers that were not found.", {"name"}).with({user});
  const auto count = [&lookups, &failures](auto found) {
    lookups.add();
    if (!found.ok()) failures.add();
    return found;
  };
  NameService out;
  out.addresses = [inner = addresses, count](const std::string& host, std::uint16_t port) { return count(inner(host, port)); };
  out.srv_answer = [inner = srv_answer, count](const std::string& name) { return count(inner(name)); };
  return out;
}

bool NameSpec::is_literal() const { return kind == Kind::kPlain && literal_address(name, port).length != 0; }

Result<NameSpec> parse_name(std::string_view text, std::uint16_t default_port) {
  NameSpec spec;
  const auto strip = [&](std::string_view prefix, NameSpec::Kind kind) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    spec.kind = kind;
    return true;
  };
  if (strip("dnssrvnoa+", NameSpec::Kind::kSrvNoLookup) || strip("dnssrv+", NameSpec::Kind::kSrv)) {
    spec.name = text;
    if (spec.name.empty() || spec.name.size() > 255) return Error(ErrorCode::kInvalidArgument, "server address: a SRV lookup without a name");
    return spec;
  }
  strip("dns+", NameSpec::Kind::kDns);
  SKALD_TRY(HostPort at, parse_host_port(text, default_port));
  spec.name = std::move(at.host);
  spec.port = at.port;
  return spec;
}

Result<std::vector<NameSpec>> parse_names(std::string_view text, std::uint16_t default_port) {
  std::vector<NameSpec> specs;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view entry = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    while (!entry.empty() && entry.front() == ' ') entry.remove_prefix(1);
    while (!entry.empty() && entry.back() == ' ') entry.remove_suffix(1);
    if (entry.empty()) continue;
    SKALD_TRY(NameSpec spec, parse_name(entry, default_port));
    specs.push_back(std::move(spec));
    if (specs.size() > kNamesMax) return Error(ErrorCode::kInvalidArgument, "more than " + std::to_string(kNamesMax) + " servers");
  }
  return specs;
}

Result<void> resolve_name(const NameSpec& spec, const NameService& names, std::vector<ResolvedName>& out) {
  const auto addresses_of = [&](const HostPort& target) -> Result<std::vector<SocketAddress>> {
    if (const SocketAddress literal = literal_address(target.host, target.port); literal.length != 0) return std::vector<SocketAddress>{literal};
    SKALD_TRY(std::vector<SocketAddress> found, names.addresses(target.host, target.port));
    if (found.empty()) return Error(ErrorCode::kUnavailable, "look up " + target.host + ": no address");
    return found;
  };
  const auto add = [&](const HostPort& target, bool each_address) -> Result<void> {
    SKALD_TRY(const std::vector<SocketAddress> found, addresses_of(target));
    for (const SocketAddress& address : found) {
      if (out.size() >= kNamesMax) break;
      out.push_back({.name = to_text(each_address ? HostPort{ip_text(address), target.port} : target), .host = target.host, .address = address});
      if (!each_address) break;
    }
    return {};
  };
  if (spec.kind == NameSpec::Kind::kPlain || spec.kind == NameSpec::Kind::kDns) return add({spec.name, spec.port}, spec.kind == NameSpec::Kind::kDns);
  SKALD_TRY(const Bytes answer, names.srv_answer(spec.name));
  SKALD_TRY(const std::vector<HostPort> targets, parse_srv_answer(answer));
  if (targets.empty()) return Error(ErrorCode::kUnavailable, "look up " + spec.name + ": no SRV record");
  Result<void> outcome;
  for (const HostPort& target : targets)
    if (Result<void> done = add(target, spec.kind == NameSpec::Kind::kSrv); !done.ok() && outcome.ok()) outcome = std::move(done);
  return outcome;
}

}  // namespace skald::io
