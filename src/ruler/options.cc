#include "skald/ruler/options.h"

#include <optional>
#include <sstream>

#include "skald/model/time.h"

namespace skald::ruler {
namespace {

// Reads Config::other below "ruler."; the first complaint is kept.
class Reader {
 public:
  explicit Reader(const config::Config& config) : config_(config) {}

  std::string text(const std::string& key, const std::string& fallback = "") const {
    const auto found = config_.other.find("ruler." + key);
    return found == config_.other.end() ? fallback : found->second;
  }
  bool flag(const std::string& key, bool fallback) const {
    const std::string value = text(key);
    return value.empty() ? fallback : value == "true";
  }
  std::int64_t duration(const std::string& key, std::int64_t fallback_ns) {
    const std::string value = text(key);
    if (value.empty()) return fallback_ns;
    std::optional<std::int64_t> parsed = model::parse_go_duration(value);
    if (!parsed) parsed = model::parse_prom_duration(value);
    if (!parsed || *parsed < 0) {
      refuse(key, "\"" + value + "\" is not a duration");
      return fallback_ns;
    }
    return *parsed;
  }
  std::int64_t positive_duration(const std::string& key, std::int64_t fallback_ns) {
    const std::int64_t value = duration(key, fallback_ns);
    if (value <= 0) refuse(key, "must be above 0");
    return value;
  }
  std::int64_t whole(const std::string& key, std::int64_t fallback) {
    const std::string value = text(key);
    if (value.empty()) return fallback;
    char* end = nullptr;
    const long long parsed = std::strtoll(value.c_str(), &end, 10);
    if (*end != '\0' || parsed < 0) refuse(key, "\"" + value + "\" is not a whole number");
    return parsed;
  }
  void refuse(const std::string& key, const std::string& why) {
    if (!error_) error_ = Error(ErrorCode::kInvalidArgument, "invalid ruler config: ruler." + key + ": " + why);
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  const config::Config& config_;
  std::optional<Error> error_;
};

std::vector<std::string> parts(const std::string& text) {
  std::vector<std::string> out;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    const std::size_t begin = part.find_first_not_of(" \t");
    if (begin == std::string::npos) continue;
    out.push_back(part.substr(begin, part.find_last_not_of(" \t") - begin + 1));
  }
  return out;
}

std::set<std::string> set_of(const std::string& text) {
  const std::vector<std::string> all = parts(text);
  return {all.begin(), all.end()};
}

AlertmanagerOptions alertmanager_of(Reader& reader) {
  AlertmanagerOptions out;
  out.urls = parts(reader.text("alertmanager_url"));
  for (const std::string& url : out.urls)
    if (!url.starts_with("http://") && !url.starts_with("https://")) reader.refuse("alertmanager_url", "\"" + url + "\" does not begin with http:// or https://");
  if (reader.flag("enable_alertmanager_discovery", false))
    reader.refuse("enable_alertmanager_discovery", "names are not looked up as SRV records; list every Alertmanager in ruler.alertmanager_url");
  out.v2 = reader.flag("enable_alertmanager_v2", true);
  out.queue_capacity = static_cast<std::size_t>(reader.whole("notification_queue_capacity", 10'000));
  if (out.queue_capacity == 0) reader.refuse("notification_queue_capacity", "must be above 0");
  out.timeout_ns = reader.positive_duration("notification_timeout", 10 * kNanosPerSecond);
  out.basic_auth_username = reader.text("alertmanager_client.basic_auth_username");
  out.basic_auth_password = reader.text("alertmanager_client.basic_auth_password");
  out.auth_type = reader.text("alertmanager_client.type", "Bearer");
  out.credentials = reader.text("alertmanager_client.credentials");
  out.credentials_file = reader.text("alertmanager_client.credentials_file");
  out.tls.ca_file = reader.text("alertmanager_client.tls_ca_path");
  out.tls.cert_file = reader.text("alertmanager_client.tls_cert_path");
  out.tls.key_file = reader.text("alertmanager_client.tls_key_path");
  out.tls.server_name = reader.text("alertmanager_client.tls_server_name");
  out.tls.skip_verify = reader.flag("alertmanager_client.tls_insecure_skip_verify", false);
  return out;
}

Result<RemoteWriteOptions> remote_write_of(Reader& reader) {
  RemoteWriteOptions out;
  out.enabled = reader.flag("remote_write.enabled", false);
  out.add_org_id_header = reader.flag("remote_write.add_org_id_header", true);
  out.wal_dir = reader.text("wal.dir", out.wal_dir);
  out.wal_max_age_ns = reader.positive_duration("wal.max_age", 4 * kNanosPerHour);
  if (!out.enabled) return out;
  SKALD_TRY(out.clients, parse_remote_clients(reader.text("remote_write.clients")));
  // The older key holds one block; blocks with a name win.
  if (const std::string single = reader.text("remote_write.client"); out.clients.empty() && !single.empty()) {
    SKALD_TRY(out.clients, parse_remote_clients("{default: " + single + "}"));
  }
  if (out.clients.empty()) reader.refuse("remote_write.clients", "names nobody to send to, although ruler.remote_write.enabled is true");
  return out;
}

}  // namespace

Result<RulerOptions> ruler_options(const config::Config& config) {
  Reader reader(config);
  RulerOptions out;
  out.external_url = reader.text("external_url");
  while (out.external_url.ends_with('/')) out.external_url.pop_back();
  out.datasource_uid = reader.text("datasource_uid");
  out.evaluation_interval_ns = reader.positive_duration("evaluation_interval", kNanosPerMinute);
  out.poll_interval_ns = reader.positive_duration("poll_interval", kNanosPerMinute);
  out.resend_delay_ns = reader.duration("resend_delay", kNanosPerMinute);
  out.for_grace_period_ns = reader.duration("for_grace_period", 10 * kNanosPerMinute);
  out.local_directory = config.ruler.local_directory;
  out.rule_path = reader.text("rule_path", "/rules");
  out.enabled_tenants = set_of(reader.text("enabled_tenants"));
  out.disabled_tenants = set_of(reader.text("disabled_tenants"));
  out.disable_rule_group_label = reader.flag("disable_rule_group_label", false);
  out.alertmanager = alertmanager_of(reader);
  if (reader.text("evaluation.mode", "local") != "local") reader.refuse("evaluation.mode", "only \"local\" exists: rules are evaluated by this process");
  SKALD_TRY(out.remote_write, remote_write_of(reader));
  if (reader.error()) return *reader.error();
  return out;
}

}  // namespace skald::ruler
