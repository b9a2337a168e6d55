#include "cache/resolver.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <chrono>

#include "skald/base/clock.h"
#include "skald/obs/log.h"

namespace skald::cache {
namespace {

constexpr std::size_t kAnswerBytesMax = 64 << 10;   // what a DNS message may have over TCP
constexpr std::size_t kServersMax = 1024;

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

std::string text_of(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.storage.ss_family == AF_INET) inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr, text, sizeof text);
  if (address.storage.ss_family == AF_INET6) inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr, text, sizeof text);
  return text;
}

Result<void> resolve_one(const ServerSpec& spec, const NameService& names, std::vector<ResolvedServer>& out) {
  const auto add_target = [&](const HostPort& target) -> Result<void> {
    SocketAddress address = literal_address(target.host, target.port);
    if (address.length == 0) {
      SKALD_TRY(const std::vector<SocketAddress> found, names.addresses(target.host, target.port));
      if (found.empty()) return Error(ErrorCode::kUnavailable, "look up " + target.host + ": no address");
      address = found.front();
    }
    out.push_back({.name = to_text(target), .host = target.host, .address = address});
    return {};
  };
  const auto add_addresses = [&](const HostPort& target) -> Result<void> {
    SKALD_TRY(const std::vector<SocketAddress> found, names.addresses(target.host, target.port));
    for (const SocketAddress& address : found)
      out.push_back({.name = to_text({.host = text_of(address), .port = target.port}), .host = target.host, .address = address});
    return {};
  };
  switch (spec.kind) {
    case ServerSpec::Kind::kPlain: return add_target({.host = spec.name, .port = spec.port});
    case ServerSpec::Kind::kDns: return add_addresses({.host = spec.name, .port = spec.port});
    case ServerSpec::Kind::kSrv:
    case ServerSpec::Kind::kSrvNoLookup: break;
  }
  SKALD_TRY(const Bytes answer, names.srv_answer(spec.name));
  SKALD_TRY(const std::vector<HostPort> targets, parse_srv_answer(answer));
  for (const HostPort& target : targets) {
    if (spec.kind == ServerSpec::Kind::kSrv) SKALD_TRY_VOID(add_addresses(target));
    else SKALD_TRY_VOID(add_target(target));
  }
  return {};
}

}  // namespace

NameService NameService::system() {
  NameService names;
  names.srv_answer = query_srv;
  return names;
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
      if (!target.empty() && out.size() < kServersMax) out.push_back({.host = std::move(target), .port = load_be16(packet, at + 4)});
    }
    at += length;
  }
  return out;
}

bool ServerSpec::is_literal() const { return kind == Kind::kPlain && literal_address(name, port).length != 0; }

Result<std::vector<ServerSpec>> parse_server_list(std::string_view text, std::uint16_t default_port) {
  std::vector<ServerSpec> specs;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view entry = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    while (!entry.empty() && entry.front() == ' ') entry.remove_prefix(1);
    while (!entry.empty() && entry.back() == ' ') entry.remove_suffix(1);
    if (entry.empty()) continue;
    ServerSpec spec;
    const auto strip = [&](std::string_view prefix, ServerSpec::Kind kind) {
      if (!entry.starts_with(prefix)) return false;
      entry.remove_prefix(prefix.size());
      spec.kind = kind;
      return true;
    };
    if (strip("dnssrvnoa+", ServerSpec::Kind::kSrvNoLookup) || strip("dnssrv+", ServerSpec::Kind::kSrv)) {
      spec.name = entry;
      if (spec.name.empty() || spec.name.size() > 255) return Error(ErrorCode::kInvalidArgument, "server address: a SRV lookup without a name");
    } else {
      strip("dns+", ServerSpec::Kind::kDns);
      SKALD_TRY(HostPort at, parse_host_port(entry, default_port));
      spec.name = std::move(at.host);
      spec.port = at.port;
    }
    specs.push_back(std::move(spec));
    if (specs.size() > kServersMax) return Error(ErrorCode::kInvalidArgument, "more than " + std::to_string(kServersMax) + " servers");
  }
  return specs;
}

std::vector<ResolvedServer> resolve(const std::vector<ServerSpec>& specs, const NameService& names, bool& failed) {
  std::vector<ResolvedServer> out;
  failed = false;
  for (const ServerSpec& spec : specs) {
    if (auto done = resolve_one(spec, names, out); !done.ok()) {
      failed = true;
      log::warn("cache servers not looked up", {{"name", spec.name}, {"err", done.error().message()}});
    }
  }
  return out;
}

ServerWatch::ServerWatch(std::vector<ServerSpec> specs, std::int64_t interval_ns, NameService names,
                         std::function<void(std::vector<ResolvedServer>)> changed)
    : specs_(std::move(specs)), interval_ns_(interval_ns), names_(std::move(names)), changed_(std::move(changed)) {
  if (std::all_of(specs_.begin(), specs_.end(), [](const ServerSpec& spec) { return spec.is_literal(); })) {
    bool failed = false;
    changed_(resolve(specs_, names_, failed));
    return;
  }
  thread_ = std::thread([this] { run(); });
}

ServerWatch::~ServerWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ServerWatch::run() {
  bool known = false;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    bool failed = false;
    std::vector<ResolvedServer> servers = resolve(specs_, names_, failed);
    if (!servers.empty() && (!failed || !known)) {
      known = known || !failed;
      changed_(std::move(servers));
    }
    lock.lock();
    // Until every name is known we ask more often: at start a cluster's names come up one after the other.
    const std::int64_t pause_ns = known ? std::max<std::int64_t>(interval_ns_, kNanosPerSecond) : std::min<std::int64_t>(std::max<std::int64_t>(interval_ns_, kNanosPerMilli), 5 * kNanosPerSecond);
    wake_.wait_for(lock, std::chrono::nanoseconds(pause_ns), [&] { return stopping_; });
  }
}

}  // namespace skald::cache
