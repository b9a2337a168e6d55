// The block `ruler` of the configuration, in the ruler's own words.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "skald/config/config.h"
#include "skald/http/client.h"

namespace skald::ruler {

struct AlertmanagerOptions {
  std::vector<std::string> urls;                // alertmanager_url; each gets every alert
  bool v2 = true;                               // enable_alertmanager_v2
  std::size_t queue_capacity = 10'000;          // notification_queue_capacity, per tenant
  std::int64_t timeout_ns = 10 * kNanosPerSecond;   // notification_timeout
  std::string basic_auth_username, basic_auth_password;
  std::string auth_type = "Bearer";
  std::string credentials, credentials_file;    // the file is read at each request
  http::ClientTls tls;
};

// One receiver of remote write: a block of ruler.remote_write.clients.
struct RemoteWriteClient {
  std::string name;                             // the block's key; also names a file
  std::string url;
  std::int64_t timeout_ns = 30 * kNanosPerSecond;
  std::map<std::string, std::string> headers;
  std::string username, password, password_file;
  std::string auth_type = "Bearer", credentials, credentials_file;
  http::ClientTls tls;
  std::uint64_t samples_per_send = 2000;        // queue_config.max_samples_per_send
  std::int64_t backoff_min_ns = 30 * kNanosPerMilli, backoff_max_ns = 5 * kNanosPerSecond;   // queue_config
};

struct RemoteWriteOptions {
  bool enabled = false;
  bool add_org_id_header = true;
  std::vector<RemoteWriteClient> clients;
  std::string wal_dir = "ruler-wal";
  std::int64_t wal_max_age_ns = 4 * kNanosPerHour;
  std::size_t samples_per_record = 2000;        // ours
};

struct RulerOptions {
  std::string external_url;
  std::string datasource_uid;
  std::int64_t evaluation_interval_ns = kNanosPerMinute;
  std::int64_t poll_interval_ns = kNanosPerMinute;
  std::int64_t resend_delay_ns = kNanosPerMinute;
  std::int64_t for_grace_period_ns = 10 * kNanosPerMinute;
  std::string local_directory;                  // rule files of operators; empty: none
  std::string rule_path = "/rules";             // only names groups in metrics
  std::set<std::string> enabled_tenants, disabled_tenants;
  bool disable_rule_group_label = false;
  std::size_t concurrent_groups = 4;            // ours: groups evaluated at the same time
  std::int64_t evaluation_timeout_ns = 2 * kNanosPerMinute;   // ours: of one rule's query, if the tenant's limit is not shorter
  AlertmanagerOptions alertmanager;
  RemoteWriteOptions remote_write;

  bool serves(const std::string& tenant) const {
    return (enabled_tenants.empty() || enabled_tenants.contains(tenant)) && !disabled_tenants.contains(tenant);
  }
};

// ruler.remote_write.clients as YAML: name → block in Prometheus' words. kInvalidArgument names the key, also of what a block
// asks for that does not exist here (relabelling, signatures).
Result<std::vector<RemoteWriteClient>> parse_remote_clients(const std::string& yaml);

// kInvalidArgument names the key: a value out of range, or something asked for that does not exist here.
Result<RulerOptions> ruler_options(const config::Config& config);

}  // namespace skald::ruler
