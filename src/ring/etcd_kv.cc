// etcd v3 through its JSON gateway (POST /v3/kv/range and /v3/kv/txn; keys and values in base64, numbers as text). Watches
// ask once a second: the gateway's watch is an endless answer, ring values change at heartbeats anyway, and a question
// costs etcd less than a stream through the gateway keeps open.
#include <rapidjson/document.h>

#include <atomic>

#include "ring/remote_kv.h"
#include "skald/obs/log.h"
#include "skald/ring/stores.h"

namespace skald::ring {
namespace {

constexpr std::uint64_t kAnswerBytesMax = 64 << 20;   // a value in base64 and more

std::string quoted(ByteView base64) { return "\"" + std::string(base64) + "\""; }

// Text that goes into JSON: user and password.
std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    char escaped[8];
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (static_cast<unsigned char>(c) < 0x20) std::snprintf(escaped, sizeof escaped, "\\u%04x", c), out += escaped;
    else out += c;
  }
  return out + "\"";
}

Error malformed() { return Error(ErrorCode::kUnavailable, "etcd: an answer that is not the JSON gateway's (is this address etcd's client port?)"); }

// int64 fields come as text.
std::uint64_t number(const rapidjson::Value& object, const char* field) {
  const auto found = object.FindMember(field);
  if (found == object.MemberEnd()) return 0;
  if (found->value.IsUint64()) return found->value.GetUint64();
  return found->value.IsString() ? std::strtoull(found->value.GetString(), nullptr, 10) : 0;
}

class EtcdKv final : public RemoteKv {
 public:
  EtcdKv(const config::EtcdConfig& config, std::vector<std::string> endpoints, std::unique_ptr<http::Client> client, obs::Registry& registry)
      : RemoteKv({.name = "etcd", .tries = config.max_retries, .retry_pause_ns = 100 * kNanosPerMilli, .poll_pause_ns = kNanosPerSecond}, registry),
        config_(config),
        endpoints_(std::move(endpoints)),
        client_(std::move(client)),
        requests_(registry.counter_family("skald_ring_store_requests_total", "Requests to the store of rings.", {"store", "result"})) {}

 private:
  Result<Versioned> fetch(const std::string& key, const CallContext& ctx) override {
    SKALD_TRY(const Bytes body, ask("/v3/kv/range", "{\"key\":" + quoted(base64_encode(key)) + "}", ctx));
    rapidjson::Document document;
    if (document.Parse(body.data(), body.size()).HasParseError() || !document.IsObject()) return malformed();
    Versioned out;
    const auto found = document.FindMember("kvs");
    if (found == document.MemberEnd()) return out;
    if (!found->value.IsArray() || found->value.Size() != 1 || !found->value[0].IsObject()) return malformed();
    const rapidjson::Value& pair = found->value[0];
    // mod_revision, not version: a key that was deleted and made again must not look the same.
    out.version = number(pair, "mod_revision");
    if (out.version == 0) return malformed();
    if (const auto value = pair.FindMember("value"); value != pair.MemberEnd() && value->value.IsString()) {
      SKALD_TRY(const Bytes bytes, base64_decode({value->value.GetString(), value->value.GetStringLength()}));
      SKALD_TRY(out.desc, decode(bytes));
    }
    return out;
  }
  Result<Versioned> fetch_newer(const std::string& key, const Versioned&, const CallContext& ctx) override { return fetch(key, ctx); }

  Result<bool> store(const std::string& key, ByteView value, std::uint64_t version, const CallContext& ctx) override {
    const std::string name = quoted(base64_encode(key));
    const std::string body = "{\"compare\":[{\"key\":" + name + ",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"" + std::to_string(version) +
                             "\"}],\"success\":[{\"request_put\":{\"key\":" + name + ",\"value\":" + quoted(base64_encode(value)) + "}}]}";
    SKALD_TRY(const Bytes answer, ask("/v3/kv/txn", body, ctx));
    rapidjson::Document document;
    if (document.Parse(answer.data(), answer.size()).HasParseError() || !document.IsObject()) return malformed();
    const auto done = document.FindMember("succeeded");
    return done != document.MemberEnd() && done->value.IsBool() && done->value.GetBool();
  }

  // Asks the endpoint that answered last, then the others.
  Result<Bytes> ask(const std::string& path, const std::string& body, const CallContext& ctx) {
    Error last(ErrorCode::kUnavailable, "etcd: no endpoint");
    const std::size_t first = preferred_;
    for (std::size_t i = 0; i < endpoints_.size(); ++i) {
      const std::size_t endpoint = (first + i) % endpoints_.size();
      auto answer = ask_one(endpoint, path, body, ctx);
      requests_.with({"etcd", answer.ok() ? "success" : "failure"}).add();
      if (answer.ok()) {
        preferred_ = endpoint;
        return answer;
      }
      last = answer.error();
      if (last.code() != ErrorCode::kUnavailable && last.code() != ErrorCode::kDeadlineExceeded) break;
      SKALD_TRY_VOID(ctx.check());
    }
    return last;
  }

  Result<Bytes> ask_one(std::size_t endpoint, const std::string& path, const std::string& body, const CallContext& ctx) {
    for (int attempt = 0;; ++attempt) {
      std::string token;
      if (!config_.username.empty()) {
        SKALD_TRY(token, token_from(endpoint, ctx));
      }
      http::ClientRequest request{.method = "POST", .url = endpoints_[endpoint] + path, .headers = {{"Content-Type", "application/json"}}, .body = body, .response_bytes_max = kAnswerBytesMax};
      if (!token.empty()) request.headers.push_back({"Authorization", token});
      SKALD_TRY(http::ClientResponse response, client_->call(request, ctx));
      if (response.status == 200) return std::move(response.body);
      // Tokens expire (5 minutes by default), and are unknown after etcd's restart. Without one "user name is empty".
      const bool wants_token = response.status == 401 || response.body.find("auth token") != Bytes::npos || response.body.find("user name is empty") != Bytes::npos;
      if (attempt == 0 && !config_.username.empty() && wants_token) {
        const std::lock_guard lock(mutex_);
        if (token_ == token) token_.clear();
        auth_off_ = false;
        continue;
      }
      return refused(path, response);
    }
  }

  Result<std::string> token_from(std::size_t endpoint, const CallContext& ctx) {
    const std::lock_guard lock(mutex_);          // one login at a time; the others need it as well
    if (!token_.empty() || auth_off_) return token_;
    const std::string body = "{\"name\":" + json_text(config_.username) + ",\"password\":" + json_text(config_.password) + "}";
    http::ClientRequest request{.method = "POST", .url = endpoints_[endpoint] + "/v3/auth/authenticate", .headers = {{"Content-Type", "application/json"}}, .body = body, .response_bytes_max = 1 << 20};
    SKALD_TRY(const http::ClientResponse response, client_->call(request, ctx));
    // A user is configured, etcd wants none (yet): as etcd's own client does.
    if (response.body.find("authentication is not enabled") != Bytes::npos) {
      auth_off_ = true;
      return token_;
    }
    if (response.status != 200) return refused("/v3/auth/authenticate", response);
    rapidjson::Document document;
    if (document.Parse(response.body.data(), response.body.size()).HasParseError() || !document.IsObject()) return malformed();
    const auto token = document.FindMember("token");
    if (token == document.MemberEnd() || !token->value.IsString()) return malformed();
    token_ = token->value.GetString();
    return token_;
  }

  static Error refused(const std::string& path, const http::ClientResponse& response) {
    // 4xx other than a timeout will be the same on the next endpoint; what the gateway makes of gRPC's "unavailable" is 503.
    const bool ours = response.status >= 400 && response.status < 500 && response.status != 408 && response.status != 429;
    return Error(ours ? ErrorCode::kPermissionDenied : ErrorCode::kUnavailable,
                 "etcd: " + path + ": " + std::to_string(response.status) + " " + response.body.substr(0, 200));
  }

  const config::EtcdConfig config_;
  const std::vector<std::string> endpoints_;
  const std::unique_ptr<http::Client> client_;
  obs::CounterFamily& requests_;
  std::atomic<std::size_t> preferred_{0};
  std::mutex mutex_;                             // guards token_ and auth_off_
  std::string token_;
  bool auth_off_ = false;                        // until a request is refused for want of a token
};

}  // namespace

Result<std::unique_ptr<KvStore>> open_etcd_kv(const config::EtcdConfig& config, obs::Registry& registry) {
  std::vector<std::string> endpoints;
  for (std::string endpoint : config.endpoints) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    if (endpoint.find("://") == std::string::npos) endpoint = (config.tls.enabled ? "https://" : "http://") + endpoint;
    if (!endpoint.starts_with("http://") && !endpoint.starts_with("https://"))
      return Error(ErrorCode::kInvalidArgument, "etcd.endpoints '" + endpoint + "': expected host:port or a URL");
    endpoints.push_back(std::move(endpoint));
  }
  if (endpoints.empty()) return Error(ErrorCode::kInvalidArgument, "kvstore.store is etcd, but etcd.endpoints is empty");
  http::ClientOptions options;
  options.connect_timeout_ns = config.dial_timeout;
  options.request_timeout_ns = config.dial_timeout + 10 * kNanosPerSecond;
  options.proxy = "none";
  if (config.tls.enabled) {
    options.tls = {.ca_file = config.tls.ca_path, .ca_path = {}, .cert_file = config.tls.cert_path, .key_file = config.tls.key_path,
                   .server_name = config.tls.server_name, .skip_verify = config.tls.insecure_skip_verify};
  }
  SKALD_TRY(auto client, http::Client::create(std::move(options)));
  return std::unique_ptr<KvStore>(std::make_unique<EtcdKv>(config, std::move(endpoints), std::move(client), registry));
}

}  // namespace skald::ring
