// memcached's text protocol (https://github.com/memcached/memcached/blob/master/doc/protocol.txt): get with several keys,
// and set. Servers are chosen by ring.h; each has its own connections and circuit breaker.
#include <algorithm>
#include <cmath>
#include <map>
#include <shared_mutex>
#include <unordered_map>

#include "cache/envelope.h"
#include "cache/levels.h"
#include "cache/resolver.h"
#include "cache/ring.h"
#include "cache/server.h"
#include "skald/codec/hash.h"
#include "skald/exec/pool.h"

namespace skald::cache {
namespace {

constexpr std::uint16_t kDefaultPort = 11211;
constexpr std::size_t kKeyBytesMax = 250;
constexpr std::size_t kLineBytesMax = 1024;
constexpr std::size_t kValueBytesMax = 128 << 20;   // memcached's own ceiling is 1 GiB; ours bounds what we reserve
constexpr std::int64_t kExpirationMaxS = 30LL * 24 * 3600;   // beyond, the protocol means a date

std::vector<double> request_edges() {
  std::vector<double> edges;
  for (double edge = 16e-6; edges.size() < 7; edge *= 4) edges.push_back(edge);
  for (const double edge : {.15, .25, .5, 1.0}) edges.push_back(edge);
  return edges;
}

// Keys with bytes the protocol cannot carry, or too many, go by their hash; the value's checksum covers the key itself.
std::string wire_key(const std::string& key) {
  const bool fits = !key.empty() && key.size() <= kKeyBytesMax && std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7F; });
  if (fits) return key;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "h:";
  for (const std::uint64_t hash : {codec::xxh3_64(key), codec::xxh3_64_seeded(key, 0x736B616C64ULL)})
    for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[hash >> shift & 15];
  return out;
}

Error nonsense(const std::string& line) { return Error(ErrorCode::kCorruption, "unexpected answer '" + line.substr(0, 80) + "'"); }

class MemcachedCache final : public Cache {
 public:
  MemcachedCache(const config::MemcachedConfig& config, std::int64_t validity_ns, const std::string& name, std::shared_ptr<const TlsClient> tls,
                 std::vector<ServerSpec> specs, obs::Registry& registry)
      : timeout_ns_(config.timeout), value_bytes_max_(config.max_item_size > 0 ? static_cast<std::uint64_t>(config.max_item_size) : kValueBytesMax),
        expiration_s_(std::clamp<std::int64_t>((validity_ns + kNanosPerSecond - 1) / kNanosPerSecond, 0, kExpirationMaxS)),
        batch_keys_(static_cast<std::size_t>(std::clamp<std::int64_t>(config.batch_size, 1, 4096))), consistent_(config.consistent_hash),
        pool_("memcached", static_cast<std::size_t>(std::clamp<std::int64_t>(config.parallelism, 1, 256))),
        durations_(registry.histogram_family("loki_memcache_request_duration_seconds", "Time spent on requests to memcached.", {"method", "status_code", "name"},
                                             request_edges())),
        get_ok_(durations_.with({"Memcache.GetMulti", "200", name})), get_failed_(durations_.with({"Memcache.GetMulti", "500", name})),
        put_ok_(durations_.with({"Memcache.Put", "200", name})), put_failed_(durations_.with({"Memcache.Put", "500", name})),
        skipped_(registry.counter_family("loki_memcache_client_set_skip_total", "Items not sent because they are too large.", {"name"}).with({name})),
        foreign_(registry.counter_family("skald_cache_foreign_values_total", "Values that were not the ones stored under their key.", {"name"}).with({name})),
        servers_gauge_(registry.gauge_family("loki_memcache_client_servers", "Servers in use.", {"name"}).with({name})) {
    server_options_.idle_max = static_cast<std::size_t>(std::clamp<std::int64_t>(config.max_idle_conns, 1, 4096));
    server_options_.tls = std::move(tls);
    server_options_.tls_server_name = config.tls_server_name;
    server_options_.breaker = {.failures = config.circuit_breaker_consecutive_failures, .open_ns = config.circuit_breaker_timeout,
                               .interval_ns = config.circuit_breaker_interval};
    watch_ = std::make_unique<ServerWatch>(std::move(specs), config.update_interval, NameService::system(),
                                           [this](std::vector<ResolvedServer> servers) { use(std::move(servers)); });
  }
  ~MemcachedCache() override { watch_.reset(); }

  std::vector<SharedBytes> fetch(const CallContext& ctx, std::span<const std::string> keys) override {
    std::vector<SharedBytes> values(keys.size());
    const std::shared_ptr<const Fleet> fleet = current();
    if (fleet->servers.empty() || keys.empty() || !ctx.check().ok()) return values;
    std::vector<std::vector<std::size_t>> of_server(fleet->servers.size());
    for (std::size_t i = 0; i < keys.size(); ++i) of_server[fleet->ring.find(keys[i])].push_back(i);
    std::vector<std::pair<Server*, std::vector<std::size_t>>> batches;
    for (std::size_t server = 0; server < of_server.size(); ++server) {
      for (std::size_t begin = 0; begin < of_server[server].size(); begin += batch_keys_) {
        const std::size_t end = std::min(of_server[server].size(), begin + batch_keys_);
        batches.emplace_back(fleet->servers[server].get(), std::vector(of_server[server].begin() + static_cast<std::ptrdiff_t>(begin),
                                                                       of_server[server].begin() + static_cast<std::ptrdiff_t>(end)));
      }
    }
    const auto body = [&](std::size_t i) { get_batch(ctx, *batches[i].first, keys, batches[i].second, values); };
    if (batches.size() == 1) body(0);
    else pool_.parallel_for(batches.size(), body);
    return values;
  }

  void store(std::vector<Item> items) override {
    const std::shared_ptr<const Fleet> fleet = current();
    if (fleet->servers.empty()) return;
    const CallContext ctx;
    for (const Item& item : items) {
      if (item.value->size() + kEnvelopeBytes > value_bytes_max_) {
        skipped_.add();
        continue;
      }
      put(ctx, *fleet->servers[fleet->ring.find(item.key)], item);
    }
  }

 private:
  struct Fleet {
    Ring ring;
    std::vector<std::shared_ptr<Server>> servers;   // in the order of ring.names()
  };

  std::shared_ptr<const Fleet> current() const {
    const std::shared_lock lock(mutex_);
    return fleet_;
  }

  void use(std::vector<ResolvedServer> resolved) {
    std::map<std::string, ResolvedServer> by_name;
    for (ResolvedServer& server : resolved) by_name.emplace(server.name, std::move(server));
    const std::shared_ptr<const Fleet> before = current();
    std::unordered_map<std::string, std::shared_ptr<Server>> known;
    for (const auto& server : before->servers) known.emplace(server->name(), server);
    auto fleet = std::make_shared<Fleet>();
    std::vector<std::string> names;
    for (const auto& [name, server] : by_name) {
      names.push_back(name);
      std::shared_ptr<Server>& use = known[name];
      if (use == nullptr) use = std::make_shared<Server>(name, server.host, server.address, server_options_);
      else use->set_address(server.address);
      fleet->servers.push_back(use);
    }
    fleet->ring = Ring(std::move(names), consistent_);
    servers_gauge_.set(static_cast<double>(fleet->servers.size()));
    const std::unique_lock lock(mutex_);
    fleet_ = std::move(fleet);
  }

  void get_batch(const CallContext& ctx, Server& server, std::span<const std::string> keys, const std::vector<std::size_t>& batch,
                 std::vector<SharedBytes>& values) {
    std::string request = "get";
    std::unordered_map<std::string, std::vector<std::size_t>> positions;
    for (const std::size_t i : batch) {
      std::string key = wire_key(keys[i]);
      std::vector<std::size_t>& at = positions[key];
      if (at.empty()) request += " " + key;
      at.push_back(i);
    }
    request += "\r\n";
    const std::int64_t start_ns = system_clock().monotonic_ns(), deadline_ns = deadline_of(ctx, timeout_ns_);
    const Result<void> done = server.exchange(deadline_ns, [&](Socket& socket) -> Result<void> {
      SKALD_TRY_VOID(socket.write(request, deadline_ns));
      while (true) {
        SKALD_TRY(const std::string line, socket.read_line(kLineBytesMax, deadline_ns));
        if (line == "END") return {};
        SKALD_TRY(const ValueLine header, parse_value_line(line));
        const auto wanted = positions.find(header.key);
        if (wanted == positions.end()) return nonsense(line);
        Bytes sealed;
        SKALD_TRY_VOID(socket.read_exactly(header.bytes + 2, sealed, deadline_ns));
        if (!sealed.ends_with("\r\n")) return nonsense("a value without its end");
        sealed.resize(header.bytes);
        for (const std::size_t i : wanted->second) {
          values[i] = unseal(keys[i], sealed);
          if (values[i] == nullptr) foreign_.add();
        }
      }
    });
    (done.ok() ? get_ok_ : get_failed_).observe(static_cast<double>(system_clock().monotonic_ns() - start_ns) / 1e9);
    // What came before a failure checked out by itself, and may be used.
  }

  struct ValueLine {
    std::string key;
    std::size_t bytes = 0;
  };
  // VALUE <key> <flags> <bytes> [<cas>]
  static Result<ValueLine> parse_value_line(const std::string& line) {
    std::vector<std::string_view> words;
    for (std::size_t begin = 0; begin <= line.size();) {
      const std::size_t end = std::min(line.find(' ', begin), line.size());
      words.push_back(std::string_view(line).substr(begin, end - begin));
      begin = end + 1;
    }
    if (words.size() < 4 || words.size() > 5 || words[0] != "VALUE" || words[3].empty() || words[3].size() > 10) return nonsense(line);
    std::size_t bytes = 0;
    for (const char digit : words[3]) {
      if (digit < '0' || digit > '9') return nonsense(line);
      bytes = bytes * 10 + static_cast<std::size_t>(digit - '0');
    }
    if (bytes > kValueBytesMax) return nonsense(line);
    return ValueLine{.key = std::string(words[1]), .bytes = bytes};
  }

  void put(const CallContext& ctx, Server& server, const Item& item) {
    const Bytes sealed = seal(item.key, *item.value);
    const std::string request = "set " + wire_key(item.key) + " 0 " + std::to_string(expiration_s_) + " " + std::to_string(sealed.size()) + "\r\n";
    const std::int64_t start_ns = system_clock().monotonic_ns(), deadline_ns = deadline_of(ctx, timeout_ns_);
    bool stored = false;
    const Result<void> done = server.exchange(deadline_ns, [&](Socket& socket) -> Result<void> {
      SKALD_TRY_VOID(socket.write(request, deadline_ns));
      SKALD_TRY_VOID(socket.write(sealed, deadline_ns));
      SKALD_TRY_VOID(socket.write("\r\n", deadline_ns));
      SKALD_TRY(const std::string line, socket.read_line(kLineBytesMax, deadline_ns));
      stored = line == "STORED";
      // Too large, or out of memory: the server says so and has read the value; the connection is good.
      if (stored || line == "NOT_STORED" || line.starts_with("SERVER_ERROR")) return {};
      return nonsense(line);
    });
    (done.ok() && stored ? put_ok_ : put_failed_).observe(static_cast<double>(system_clock().monotonic_ns() - start_ns) / 1e9);
  }

  const std::int64_t timeout_ns_;
  const std::uint64_t value_bytes_max_;
  const std::int64_t expiration_s_;
  const std::size_t batch_keys_;
  const bool consistent_;
  exec::Pool pool_;
  obs::HistogramFamily& durations_;
  obs::Histogram& get_ok_;
  obs::Histogram& get_failed_;
  obs::Histogram& put_ok_;
  obs::Histogram& put_failed_;
  obs::Counter& skipped_;
  obs::Counter& foreign_;
  obs::Gauge& servers_gauge_;
  ServerOptions server_options_;
  mutable std::shared_mutex mutex_;   // guards fleet_
  std::shared_ptr<const Fleet> fleet_ = std::make_shared<const Fleet>();
  std::unique_ptr<ServerWatch> watch_;   // last: its thread uses all above
};

}  // namespace

Result<std::shared_ptr<Cache>> open_memcached(const config::MemcachedConfig& config, std::int64_t default_validity_ns, const std::string& name,
                                              obs::Registry& registry) {
  std::vector<ServerSpec> specs;
  if (!config.addresses.empty()) {
    SKALD_TRY(specs, io::parse_names(config.addresses, kDefaultPort));
  } else if (config.host.find(':') != std::string::npos || literal_address(config.host, kDefaultPort).length != 0) {
    SKALD_TRY(specs, io::parse_names(config.host, kDefaultPort));
  } else {
    specs.push_back({.kind = ServerSpec::Kind::kSrv, .name = "_" + config.service + "._tcp." + config.host, .port = 0});
  }
  if (specs.empty()) return Error(ErrorCode::kInvalidArgument, "memcached_client.addresses names no server");
  std::shared_ptr<const TlsClient> tls;
  if (config.tls_enabled) {
    auto made = TlsClient::make({.ca_file = config.tls_ca_path, .cert_file = config.tls_cert_path, .key_file = config.tls_key_path,
                                 .skip_verify = config.tls_insecure_skip_verify});
    if (!made.ok()) return made.error().with_prefix("memcached_client");
    tls = std::move(*made);
  }
  const std::int64_t validity_ns = config.expiration > 0 ? config.expiration : default_validity_ns;
  return std::shared_ptr<Cache>(std::make_shared<MemcachedCache>(config, validity_ns, name, std::move(tls), std::move(specs), registry));
}

}  // namespace skald::cache
