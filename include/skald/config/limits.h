// Per-tenant limits: limits_config, overridden per tenant by the runtime file. Field names are the YAML keys.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace skald::config {

// Durations in ns, sizes in bytes.
struct Limits {
  // ingestion
  double ingestion_rate_mb = 4;                      // MB = 1048576
  double ingestion_burst_size_mb = 6;
  std::string ingestion_rate_strategy = "global";
  std::int64_t max_label_name_length = 1024;
  std::int64_t max_label_value_length = 2048;
  std::int64_t max_label_names_per_series = 15;
  bool reject_old_samples = true;
  std::int64_t reject_old_samples_max_age = 7LL * 24 * 3600 * 1'000'000'000;
  std::int64_t creation_grace_period = 10LL * 60 * 1'000'000'000;
  std::int64_t max_line_size = 256 * 1024;
  bool max_line_size_truncate = false;
  std::string max_line_size_truncate_identifier;
  bool increment_duplicate_timestamp = false;
  std::vector<std::string> discover_service_name = {"service", "app", "application", "app_name", "name",
      "app_kubernetes_io_name", "container", "container_name", "k8s_container_name", "component", "workload", "job", "k8s_job_name"};
  bool discover_log_levels = true;
  std::vector<std::string> log_level_fields = {"level", "LEVEL", "Level", "log.level", "severity", "SEVERITY", "Severity",
      "SeverityText", "lvl", "LVL", "Lvl", "severity_text", "Severity_Text", "SEVERITY_TEXT"};
  std::int64_t log_level_from_json_max_depth = 2;
  bool allow_structured_metadata = true;
  std::int64_t max_structured_metadata_size = 64 * 1024;
  std::int64_t max_structured_metadata_entries_count = 128;
  std::int64_t max_global_streams_per_user = 5000;
  std::int64_t max_streams_per_user = 0;
  bool unordered_writes = true;
  std::int64_t per_stream_rate_limit = 3 << 20;
  std::int64_t per_stream_rate_limit_burst = 15 << 20;
  // queries
  std::int64_t max_entries_limit_per_query = 5000;
  std::int64_t max_query_series = 500;
  std::int64_t max_query_length = 721LL * 3600 * 1'000'000'000;
  std::int64_t max_query_lookback = 0;
  std::int64_t max_query_range = 0;
  std::int64_t query_timeout = 60LL * 1'000'000'000;
  std::int64_t max_streams_matchers_per_query = 1000;
  std::int64_t split_queries_by_interval = 3600LL * 1'000'000'000;
  bool volume_enabled = true;
  std::int64_t volume_max_series = 1000;
  std::vector<std::string> shard_aggregations;
  std::vector<std::string> required_labels;
  std::int64_t minimum_labels_number = 0;
  std::string deletion_mode = "filter-and-delete";
};
using LimitsPtr = std::shared_ptr<const Limits>;

// Thread-safe; the answer may change while running (runtime file), so ask per request and keep the pointer for its length.
class LimitsProvider {
 public:
  virtual ~LimitsProvider() = default;
  virtual LimitsPtr for_tenant(const std::string& tenant) const = 0;
};

}  // namespace skald::config
