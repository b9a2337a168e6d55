// Consul's KV over HTTP: GET /v1/kv/<key> answers a list with the value in base64 and its ModifyIndex, PUT ?cas=<index>
// answers true or false; a GET with ?index= waits until the key has a later one.
#include <rapidjson/document.h>

#include <algorithm>

#include "ring/remote_kv.h"
#include "skald/ring/stores.h"

namespace skald::ring {
namespace {

constexpr std::uint64_t kAnswerBytesMax = 64 << 20;
constexpr std::int64_t kWaitNs = 10 * kNanosPerSecond;   // of a watch

std::string escape_key(const std::string& key) {
  std::string out;
  for (const char c : key) {
    char escaped[4];
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("-._~/").find(c) != std::string_view::npos) out += c;
    else std::snprintf(escaped, sizeof escaped, "%%%02X", static_cast<unsigned char>(c)), out += escaped;
  }
  return out;
}

class ConsulKv final : public RemoteKv {
 public:
  ConsulKv(const config::ConsulConfig& config, std::string base, std::unique_ptr<http::Client> client, obs::Registry& registry)
      : RemoteKv({.name = "consul", .retry_pause_ns = config.cas_retry_delay,
                  .poll_pause_ns = config.watch_rate_limit > 0 ? static_cast<std::int64_t>(static_cast<double>(kNanosPerSecond) / std::max(config.watch_rate_limit, 0.001)) : 0}, registry),
        config_(config),
        base_(std::move(base)),
        client_(std::move(client)),
        requests_(registry.counter_family("skald_ring_store_requests_total", "Requests to the store of rings.", {"store", "result"})),
        seconds_(registry.histogram_family("loki_consul_request_duration_seconds", "Time of requests to Consul.", {"operation", "status_code"},
                                           {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10})) {}

 private:
  Result<Versioned> fetch(const std::string& key, const CallContext& ctx) override { return read(key, config_.consistent_reads ? "?consistent=" : "?stale=", ctx); }

  Result<Versioned> fetch_newer(const std::string& key, const Versioned& seen, const CallContext& ctx) override {
    std::string query = config_.consistent_reads ? "?consistent=" : "?stale=";
    if (seen.index != 0) query += "&index=" + std::to_string(seen.index) + "&wait=" + std::to_string(kWaitNs / kNanosPerSecond) + "s";
    SKALD_TRY(Versioned now, read(key, query, ctx));
    // Consul's state was lost or restored: waiting for an index of before could take for ever.
    if (now.index < seen.index) now.index = 0;
    return now;
  }

  Result<Versioned> read(const std::string& key, const std::string& query, const CallContext& ctx) {
    SKALD_TRY(const http::ClientResponse response, call("GET", "/v1/kv/" + escape_key(key) + query, {}, ctx));
    Versioned out;
    if (const std::string* index = response.header("X-Consul-Index")) out.index = std::strtoull(index->c_str(), nullptr, 10);
    if (response.status == 404) return out;
    if (response.status != 200) return refused(response);
    rapidjson::Document document;
    if (document.Parse(response.body.data(), response.body.size()).HasParseError() || !document.IsArray() || document.Size() != 1 || !document[0].IsObject())
      return Error(ErrorCode::kUnavailable, "consul: an answer that is not of its KV (is consul.host right?)");
    const auto value = document[0].FindMember("Value");
    const auto index = document[0].FindMember("ModifyIndex");
    if (index == document[0].MemberEnd() || !index->value.IsUint64()) return Error(ErrorCode::kUnavailable, "consul: a value without ModifyIndex");
    out.version = index->value.GetUint64();
    if (value != document[0].MemberEnd() && value->value.IsString()) {
      SKALD_TRY(const Bytes bytes, base64_decode({value->value.GetString(), value->value.GetStringLength()}));
      SKALD_TRY(out.desc, decode(bytes));
    }
    return out;
  }

  Result<bool> store(const std::string& key, ByteView value, std::uint64_t version, const CallContext& ctx) override {
    SKALD_TRY(const http::ClientResponse response, call("PUT", "/v1/kv/" + escape_key(key) + "?cas=" + std::to_string(version), value, ctx));
    if (response.status != 200) return refused(response);
    return response.body.starts_with("true");
  }

  Result<http::ClientResponse> call(const std::string& method, const std::string& target, ByteView body, const CallContext& ctx) {
    http::ClientRequest request{.method = method, .url = base_ + target, .headers = {}, .body = body, .response_bytes_max = kAnswerBytesMax};
    if (!config_.acl_token.empty()) request.headers.push_back({"X-Consul-Token", config_.acl_token});
    const std::int64_t begin_ns = system_clock().monotonic_ns();
    auto response = client_->call(request, ctx);
    seconds_.with({method == "PUT" ? "CAS" : "Get", response.ok() && response->status < 500 ? "200" : "500"})
        .observe(static_cast<double>(system_clock().monotonic_ns() - begin_ns) / 1e9);
    requests_.with({"consul", response.ok() && response->status < 500 ? "success" : "failure"}).add();
    return response;
  }

  static Error refused(const http::ClientResponse& response) {
    const bool ours = response.status >= 400 && response.status < 500 && response.status != 429;
    return Error(ours ? ErrorCode::kPermissionDenied : ErrorCode::kUnavailable, "consul: " + std::to_string(response.status) + " " + response.body.substr(0, 200));
  }

  const config::ConsulConfig config_;
  const std::string base_;
  const std::unique_ptr<http::Client> client_;
  obs::CounterFamily& requests_;
  obs::HistogramFamily& seconds_;
};

}  // namespace

Result<std::unique_ptr<KvStore>> open_consul_kv(const config::ConsulConfig& config, obs::Registry& registry) {
  std::string base = config.host;
  while (base.ends_with('/')) base.pop_back();
  if (base.empty()) return Error(ErrorCode::kInvalidArgument, "kvstore.store is consul, but consul.host is empty");
  if (base.find("://") == std::string::npos) base = "http://" + base;
  http::ClientOptions options;
  // A watch waits kWaitNs and Consul adds up to a sixteenth.
  options.request_timeout_ns = std::max(config.http_client_timeout, kWaitNs + 5 * kNanosPerSecond);
  options.proxy = "none";
  SKALD_TRY(auto client, http::Client::create(std::move(options)));
  return std::unique_ptr<KvStore>(std::make_unique<ConsulKv>(config, std::move(base), std::move(client), registry));
}

}  // namespace skald::ring
