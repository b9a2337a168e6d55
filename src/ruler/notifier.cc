#include "skald/ruler/notifier.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>

#include "ruler/base64.h"
#include "skald/model/time.h"
#include "skald/obs/log.h"

namespace skald::ruler {
namespace {

constexpr std::size_t kAlertsPerRequest = 64;
constexpr std::uint64_t kAnswerBytesMax = 1 << 20;
constexpr std::uint64_t kCredentialsBytesMax = 64 << 10;

using Json = rapidjson::Writer<rapidjson::StringBuffer>;

void write_text(Json& json, std::string_view text) { json.String(text.data(), static_cast<rapidjson::SizeType>(text.size())); }

void write_labels(Json& json, const model::Labels& labels) {
  json.StartObject();
  for (const model::Label& label : labels.pairs()) {
    json.Key(label.name.data(), static_cast<rapidjson::SizeType>(label.name.size()));
    write_text(json, label.value);
  }
  json.EndObject();
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 32);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (low >= 0) {
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

std::string alerts_json(const std::vector<Notification>& alerts) {
  rapidjson::StringBuffer text;
  Json json(text);
  json.StartArray();
  for (const Notification& alert : alerts) {
    json.StartObject();
    json.Key("labels");
    write_labels(json, alert.labels);
    json.Key("annotations");
    write_labels(json, alert.annotations);
    json.Key("startsAt");
    write_text(json, model::format_rfc3339_nano(alert.starts_at_ns));
    json.Key("endsAt");
    write_text(json, model::format_rfc3339_nano(alert.ends_at_ns));
    json.Key("generatorURL");
    write_text(json, alert.generator_url);
    json.EndObject();
  }
  json.EndArray();
  return {text.GetString(), text.GetSize()};
}

Result<std::unique_ptr<Notifier>> Notifier::create(AlertmanagerOptions options, io::FileSystem& files, obs::Registry& registry, const Clock& clock) {
  std::vector<Target> targets;
  for (const std::string& url : options.urls) {
    Target target;
    target.url = url;
    const std::size_t host = url.find("://");
    if (host == std::string::npos) return Error(ErrorCode::kInvalidArgument, "ruler.alertmanager_url: \"" + url + "\" has no scheme");
    const std::size_t slash = std::min(url.find('/', host + 3), url.size());
    const std::size_t at = url.rfind('@', slash);
    if (at != std::string::npos && at > host && at < slash) {
      const std::string user = url.substr(host + 3, at - host - 3);
      const std::size_t colon = std::min(user.find(':'), user.size());
      const std::string password = colon < user.size() ? user.substr(colon + 1) : "";
      target.authorization = "Basic " + base64(percent_decoded(user.substr(0, colon)) + ":" + percent_decoded(password));
      target.url = url.substr(0, host + 3) + url.substr(at + 1);
    }
    while (target.url.ends_with('/')) target.url.pop_back();
    target.url += options.v2 ? "/api/v2/alerts" : "/api/v1/alerts";
    target.name = target.url;
    targets.push_back(std::move(target));
  }
  http::ClientOptions client_options;
  client_options.request_timeout_ns = options.timeout_ns;
  client_options.connect_timeout_ns = options.timeout_ns;
  client_options.tls = options.tls;
  SKALD_TRY(std::unique_ptr<http::Client> client, http::Client::create(std::move(client_options)));
  return std::unique_ptr<Notifier>(new Notifier(std::move(options), std::move(targets), std::move(client), files, registry, clock));
}

Notifier::Notifier(AlertmanagerOptions options, std::vector<Target> targets, std::unique_ptr<http::Client> client, io::FileSystem& files, obs::Registry& registry, const Clock& clock)
    : options_(std::move(options)), targets_(std::move(targets)), client_(std::move(client)), files_(files), clock_(clock),
      sent_(registry.counter_family("loki_prometheus_notifications_sent_total", "Alerts sent to an Alertmanager.", {"user", "alertmanager"})),
      errors_(registry.counter_family("loki_prometheus_notifications_errors_total", "Alerts that an Alertmanager did not take.", {"user", "alertmanager"})),
      dropped_(registry.counter_family("loki_prometheus_notifications_dropped_total", "Alerts that no Alertmanager was told of: the queue was full, or all refused.", {"user"})),
      queue_length_(registry.gauge_family("loki_prometheus_notifications_queue_length", "Alerts that wait to be sent.", {"user"})),
      queue_capacity_(registry.gauge_family("loki_prometheus_notifications_queue_capacity", "Alerts that may wait.", {"user"})),
      discovered_(registry.gauge_family("loki_prometheus_notifications_alertmanagers_discovered", "Alertmanagers that are told.", {"user"})) {
  thread_ = std::thread([this] { run(); });
}

Notifier::~Notifier() { stop(); }

void Notifier::stop() {
  {
    const std::scoped_lock lock(mutex_);
    if (!stopping_) stop_at_monotonic_ns_ = clock_.monotonic_ns() + options_.timeout_ns;
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Notifier::send(const std::string& tenant, std::vector<Notification> alerts) {
  if (targets_.empty() || alerts.empty()) return;
  std::size_t dropped = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) return;
    Queue& queue = queues_[tenant];
    for (Notification& alert : alerts) queue.push_back(std::move(alert));
    for (; queue.size() > options_.queue_capacity; ++dropped) queue.pop_front();
    queue_length_.with({tenant}).set(static_cast<double>(queue.size()));
  }
  queue_capacity_.with({tenant}).set(static_cast<double>(options_.queue_capacity));
  discovered_.with({tenant}).set(static_cast<double>(targets_.size()));
  if (dropped != 0) {
    dropped_.with({tenant}).add(static_cast<double>(dropped));
    log::warn("alerts dropped, their queue is full", {{"user", tenant}, {"alerts", dropped}, {"capacity", options_.queue_capacity}});
  }
  wake_.notify_all();
}

void Notifier::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !queues_.empty(); });
    if (queues_.empty()) return;
    if (stopping_ && clock_.monotonic_ns() >= stop_at_monotonic_ns_) {
      for (const auto& [tenant, queue] : queues_) dropped_.with({tenant}).add(static_cast<double>(queue.size()));
      return;
    }
    auto next = queues_.upper_bound(last_served_);
    if (next == queues_.end()) next = queues_.begin();
    const std::string tenant = last_served_ = next->first;
    std::vector<Notification> alerts;
    for (; alerts.size() < kAlertsPerRequest && !next->second.empty(); next->second.pop_front()) alerts.push_back(std::move(next->second.front()));
    queue_length_.with({tenant}).set(static_cast<double>(next->second.size()));
    if (next->second.empty()) queues_.erase(next);
    lock.unlock();
    post(tenant, alerts);
    lock.lock();
  }
}

Result<std::string> Notifier::authorization() const {
  if (!options_.basic_auth_username.empty()) return "Basic " + base64(options_.basic_auth_username + ":" + options_.basic_auth_password);
  if (!options_.credentials.empty()) return options_.auth_type + " " + options_.credentials;
  if (options_.credentials_file.empty()) return std::string();
  SKALD_TRY(const Bytes content, files_.read_file(options_.credentials_file, kCredentialsBytesMax));
  return options_.auth_type + " " + trimmed(content);
}

void Notifier::post(const std::string& tenant, const std::vector<Notification>& alerts) {
  const std::string body = alerts_json(alerts);
  const Result<std::string> configured = authorization();
  if (!configured.ok()) log::error("credentials for Alertmanagers not read", {{"path", options_.credentials_file}, {"err", configured.error().message()}});
  CallContext ctx;
  ctx.tenant = tenant;
  ctx.deadline_monotonic_ns = system_clock().monotonic_ns() + options_.timeout_ns;
  std::vector<http::ClientRequest> requests(targets_.size());
  std::vector<std::unique_ptr<http::Client::Running>> running;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    http::ClientRequest& request = requests[i];
    request.method = "POST";
    request.url = targets_[i].url;
    request.body = body;
    request.response_bytes_max = kAnswerBytesMax;
    request.headers = {{"Content-Type", "application/json"}, {"X-Scope-OrgID", tenant}};
    const std::string authorization = !targets_[i].authorization.empty() ? targets_[i].authorization : configured.ok() ? *configured : "";
    if (!authorization.empty()) request.headers.push_back({"Authorization", authorization});
    running.push_back(client_->start(request, ctx));
  }
  const auto count = static_cast<double>(alerts.size());
  bool taken = false;
  for (std::size_t i = 0; i < running.size(); ++i) {
    const Result<http::ClientResponse> answer = running[i]->take();
    sent_.with({tenant, targets_[i].name}).add(count);
    errors_.with({tenant, targets_[i].name});
    if (answer.ok() && answer->status / 100 == 2) {
      taken = true;
      continue;
    }
    errors_.with({tenant, targets_[i].name}).add(count);
    log::error("Alertmanager did not take alerts", {{"user", tenant}, {"alertmanager", targets_[i].name}, {"alerts", alerts.size()},
               {"err", answer.ok() ? "status " + std::to_string(answer->status) + ": " + answer->body.substr(0, 256) : answer.error().message()}});
  }
  dropped_.with({tenant}).add(taken ? 0 : count);
}

}  // namespace skald::ruler
