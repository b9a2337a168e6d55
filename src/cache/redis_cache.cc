// One Redis server: MGET, and SET with an expiry. No cluster, no sentinel: open_redis refuses their configuration.
#include <algorithm>
#include <cmath>
#include <thread>

#include "cache/envelope.h"
#include "cache/levels.h"
#include "cache/resolver.h"
#include "cache/resp.h"
#include "cache/server.h"

namespace skald::cache {
namespace {

constexpr std::uint16_t kDefaultPort = 6379;
constexpr std::size_t kValueBytesMax = 128 << 20;
constexpr std::size_t kKeysPerCommand = 256;         // of one MGET: bounds what one reply can hold
constexpr std::size_t kBytesPerPipeline = 4 << 20;   // of SETs sent before their replies are read

// Once per connection.
Result<void> greet(Socket& socket, const config::RedisConfig& config, std::int64_t deadline_ns) {
  std::string commands;
  int replies = 0;
  if (!config.password.empty()) {
    if (config.username.empty()) append_command(commands, {"AUTH", config.password});
    else append_command(commands, {"AUTH", config.username, config.password});
    ++replies;
  }
  if (config.db != 0) {
    append_command(commands, {"SELECT", std::to_string(config.db)});
    ++replies;
  }
  if (replies == 0) return {};
  SKALD_TRY_VOID(socket.write(commands, deadline_ns));
  for (; replies > 0; --replies) {
    SKALD_TRY(const Reply reply, read_reply(socket, 0, 1024, deadline_ns));
    if (reply.kind != Reply::Kind::kStatus) return Error(ErrorCode::kPermissionDenied, reply.text.empty() ? "not let in" : reply.text);
  }
  return {};
}

class RedisCache final : public Cache {
 public:
  RedisCache(const config::RedisConfig& config, std::int64_t validity_ns, const std::string& name, std::shared_ptr<const TlsClient> tls,
             std::vector<ServerSpec> specs, obs::Registry& registry)
      : timeout_ns_(config.timeout), validity_ms_(std::to_string(std::max<std::int64_t>(0, validity_ns / kNanosPerMilli))), expires_(validity_ns >= kNanosPerMilli),
        durations_(registry.histogram_family("loki_rediscache_request_duration_seconds", "Time spent on requests to Redis.", {"method", "status_code", "name"}, edges())),
        get_ok_(durations_.with({"Redis.MGet", "200", name})), get_failed_(durations_.with({"Redis.MGet", "500", name})),
        put_ok_(durations_.with({"Redis.Set", "200", name})), put_failed_(durations_.with({"Redis.Set", "500", name})),
        foreign_(registry.counter_family("skald_cache_foreign_values_total", "Values that were not the ones stored under their key.", {"name"}).with({name})) {
    options_.open_max = config.pool_size > 0 ? static_cast<std::size_t>(std::min<std::int64_t>(config.pool_size, 10'000))
                                             : 10UL * std::max(1U, std::thread::hardware_concurrency());
    options_.idle_max = options_.open_max;
    options_.tls = std::move(tls);
    options_.greet = [config](Socket& socket, std::int64_t deadline_ns) { return greet(socket, config, deadline_ns); };
    watch_ = std::make_unique<ServerWatch>(std::move(specs), kNanosPerMinute, NameService::system(), [this](std::vector<ResolvedServer> servers) {
      if (servers.empty()) return;
      const std::lock_guard lock(mutex_);
      const ResolvedServer& first = servers.front();
      if (server_ == nullptr) server_ = std::make_shared<Server>(first.name, first.host, first.address, options_);
      else server_->set_address(first.address);
    });
  }
  ~RedisCache() override { watch_.reset(); }

  std::vector<SharedBytes> fetch(const CallContext& ctx, std::span<const std::string> keys) override {
    std::vector<SharedBytes> values(keys.size());
    const std::shared_ptr<Server> server = current();
    if (server == nullptr) return values;
    const std::int64_t deadline_ns = deadline_of(ctx, timeout_ns_);
    for (std::size_t begin = 0; begin < keys.size() && ctx.check().ok(); begin += kKeysPerCommand) {
      const std::size_t end = std::min(keys.size(), begin + kKeysPerCommand);
      if (!get(*server, keys.subspan(begin, end - begin), std::span(values).subspan(begin, end - begin), deadline_ns)) break;
    }
    return values;
  }

  void store(std::vector<Item> items) override {
    const std::shared_ptr<Server> server = current();
    if (server == nullptr) return;
    std::string commands;
    std::size_t count = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const Bytes sealed = seal(items[i].key, *items[i].value);
      if (sealed.size() <= kValueBytesMax) {
        if (expires_) append_command(commands, {"SET", items[i].key, sealed, "PX", validity_ms_});
        else append_command(commands, {"SET", items[i].key, sealed});
        ++count;
      }
      if (count == 0 || (commands.size() < kBytesPerPipeline && i + 1 < items.size())) continue;
      put(*server, commands, count);
      commands.clear();
      count = 0;
    }
  }

 private:
  static std::vector<double> edges() {
    std::vector<double> out;
    for (double edge = 16e-6; out.size() < 7; edge *= 4) out.push_back(edge);
    for (const double edge : {.15, .25, .5, 1.0}) out.push_back(edge);
    return out;
  }
  std::shared_ptr<Server> current() const {
    const std::lock_guard lock(mutex_);
    return server_;
  }

  bool get(Server& server, std::span<const std::string> keys, std::span<SharedBytes> values, std::int64_t deadline_ns) {
    std::vector<std::string_view> arguments{"MGET"};
    arguments.insert(arguments.end(), keys.begin(), keys.end());
    std::string command;
    append_command(command, arguments);
    const std::int64_t start_ns = system_clock().monotonic_ns();
    const Result<void> done = server.exchange(deadline_ns, [&](Socket& socket) -> Result<void> {
      SKALD_TRY_VOID(socket.write(command, deadline_ns));
      SKALD_TRY(const Reply reply, read_reply(socket, keys.size(), kValueBytesMax, deadline_ns));
      if (reply.kind != Reply::Kind::kArray || reply.elements.size() != keys.size())
        return Error(ErrorCode::kCorruption, reply.kind == Reply::Kind::kError ? reply.text : "not an array of as many values as keys");
      for (std::size_t i = 0; i < keys.size(); ++i) {
        if (reply.elements[i].kind != Reply::Kind::kBulk) continue;
        values[i] = unseal(keys[i], reply.elements[i].text);
        if (values[i] == nullptr) foreign_.add();
      }
      return {};
    });
    (done.ok() ? get_ok_ : get_failed_).observe(static_cast<double>(system_clock().monotonic_ns() - start_ns) / 1e9);
    return done.ok();
  }

  void put(Server& server, const std::string& commands, std::size_t count) {
    const std::int64_t start_ns = system_clock().monotonic_ns(), deadline_ns = start_ns + std::max<std::int64_t>(timeout_ns_, kNanosPerMilli);
    bool stored = true;
    const Result<void> done = server.exchange(deadline_ns, [&](Socket& socket) -> Result<void> {
      SKALD_TRY_VOID(socket.write(commands, deadline_ns));
      for (std::size_t i = 0; i < count; ++i) {
        SKALD_TRY(const Reply reply, read_reply(socket, 0, 1024, deadline_ns));
        stored = stored && reply.kind == Reply::Kind::kStatus;   // an error (out of memory, read-only) leaves the connection good
      }
      return {};
    });
    (done.ok() && stored ? put_ok_ : put_failed_).observe(static_cast<double>(system_clock().monotonic_ns() - start_ns) / 1e9);
  }

  const std::int64_t timeout_ns_;
  const std::string validity_ms_;
  const bool expires_;
  obs::HistogramFamily& durations_;
  obs::Histogram& get_ok_;
  obs::Histogram& get_failed_;
  obs::Histogram& put_ok_;
  obs::Histogram& put_failed_;
  obs::Counter& foreign_;
  ServerOptions options_;
  mutable std::mutex mutex_;   // guards server_
  std::shared_ptr<Server> server_;
  std::unique_ptr<ServerWatch> watch_;   // last: its thread uses all above
};

}  // namespace

Result<std::shared_ptr<Cache>> open_redis(const config::RedisConfig& config, std::int64_t default_validity_ns, const std::string& name,
                                          obs::Registry& registry) {
  if (!config.master_name.empty()) return Error(ErrorCode::kInvalidArgument, "redis.master_name: sentinel is not supported; name the server itself");
  SKALD_TRY(std::vector<ServerSpec> specs, io::parse_names(config.endpoint, kDefaultPort));
  if (specs.size() != 1) {
    return Error(ErrorCode::kInvalidArgument, "redis.endpoint '" + config.endpoint + "': one server is supported, no cluster and no sentinel");
  }
  if (config.db < 0) return Error(ErrorCode::kInvalidArgument, "redis.db must not be negative");
  std::shared_ptr<const TlsClient> tls;
  if (config.tls_enabled) {
    auto made = TlsClient::make({.ca_file = {}, .cert_file = {}, .key_file = {}, .skip_verify = config.tls_insecure_skip_verify});
    if (!made.ok()) return made.error().with_prefix("redis");
    tls = std::move(*made);
  }
  const std::int64_t validity_ns = config.expiration > 0 ? config.expiration : default_validity_ns;
  return std::shared_ptr<Cache>(std::make_shared<RedisCache>(config, validity_ns, name, std::move(tls), std::move(specs), registry));
}

}  // namespace skald::cache
