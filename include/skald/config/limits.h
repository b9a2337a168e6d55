// Per-tenant limits: limits_config, overridden per tenant by the runtime file. Field names are the YAML keys.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace skald::config {

// One rule of otlp_config: what becomes of the named attributes. `regex` empty: `attributes` counts.
struct OtlpAttributeRule {
  std::string action;  // index_label (resource only), structured_metadata, drop
  std::vector<std::string> attributes;
  std::string regex;
  bool operator==(const OtlpAttributeRule&) const = default;
};

struct OtlpConfig {
  bool ignore_resource_defaults = false;
  std::vector<OtlpAttributeRule> resource_attributes;  // as configured; the built-in list is OtlpConfig::default_labels
  std::vector<OtlpAttributeRule> scope_attributes;
  std::vector<OtlpAttributeRule> log_attributes;
  bool severity_text_as_label = false;
  // distributor.otlp_config.default_resource_attributes_as_index_labels; in force unless ignore_resource_defaults.
  std::vector<std::string> default_labels = {"service.name", "service.namespace", "service.instance.id", "deployment.environment",
      "deployment.environment.name", "cloud.region", "cloud.availability_zone", "k8s.cluster.name", "k8s.namespace.name",
      "k8s.pod.name", "k8s.container.name", "container.name", "k8s.replicaset.name", "k8s.deployment.name",
      "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name"};
  bool operator==(const OtlpConfig&) const = default;
};

struct StreamRetention {
  std::string selector;
  std::int64_t priority = 0;
  std::int64_t period = 0;  // ns, at least 24 h
  bool operator==(const StreamRetention&) const = default;
};

struct BlockedQuery {
  std::string pattern;
  bool regex = false;
  std::string types;         // comma list of metric, filter, limited; empty: all
  std::int64_t hash = 0;     // FNV-1 32 of the query text; 0: not used
  std::string query_tags;
  bool operator==(const BlockedQuery&) const = default;
};

struct PolicyStream {
  std::string selector;
  std::int64_t priority = 0;
  bool operator==(const PolicyStream&) const = default;
};

using StringListMap = std::map<std::string, std::vector<std::string>>;

// Durations in ns, sizes in bytes. 0 switches a limit off where the key's meaning says so.
struct Limits {
  // ingestion
  double ingestion_rate_mb = 4;                      // MB = 1048576
  double ingestion_burst_size_mb = 6;
  std::string ingestion_rate_strategy = "global";    // never per tenant
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
  StringListMap discover_generic_fields;             // target -> source names
  std::vector<std::string> discover_service_name = {"service", "app", "application", "app_name", "name",
      "app_kubernetes_io_name", "container", "container_name", "k8s_container_name", "component", "workload", "job", "k8s_job_name"};
  bool discover_log_levels = true;
  std::vector<std::string> log_level_fields = {"level", "LEVEL", "Level", "log.level", "severity", "SEVERITY", "Severity",
      "SeverityText", "lvl", "LVL", "Lvl", "severity_text", "Severity_Text", "SEVERITY_TEXT"};
  std::int64_t log_level_from_json_max_depth = 2;
  bool allow_structured_metadata = true;
  std::int64_t max_structured_metadata_size = 64 * 1024;
  std::int64_t max_structured_metadata_entries_count = 128;
  bool use_owned_stream_count = false;
  std::int64_t max_global_streams_per_user = 5000;
  std::int64_t max_streams_per_user = 0;
  bool unordered_writes = true;
  std::int64_t per_stream_rate_limit = 3 << 20;
  std::int64_t per_stream_rate_limit_burst = 15 << 20;
  bool shard_streams_enabled = true;
  bool shard_streams_time_sharding_enabled = false;
  std::int64_t shard_streams_time_sharding_ignore_recent = 40LL * 60 * 1'000'000'000;
  bool shard_streams_logging_enabled = false;
  std::int64_t shard_streams_desired_rate = 1536 * 1024;
  OtlpConfig otlp_config;
  std::map<std::string, std::int64_t> block_ingestion_policy_until;  // policy -> ns since 1970
  std::int64_t block_ingestion_until = 0;                            // ns since 1970; 0: never
  std::int64_t block_ingestion_status_code = 260;
  std::vector<std::string> enforced_labels;
  StringListMap policy_enforced_labels;
  std::map<std::string, std::vector<PolicyStream>> policy_stream_mapping;
  // queries
  std::int64_t max_entries_limit_per_query = 5000;
  std::int64_t max_chunks_per_query = 2'000'000;
  std::int64_t max_query_series = 500;
  std::int64_t max_query_length = 721LL * 3600 * 1'000'000'000;     // 0: no limit
  std::int64_t max_query_lookback = 0;
  std::int64_t max_query_range = 0;
  std::int64_t query_timeout = 60LL * 1'000'000'000;
  std::int64_t max_query_parallelism = 32;
  std::int64_t tsdb_max_query_parallelism = 128;
  std::int64_t tsdb_max_bytes_per_shard = 600LL << 20;
  std::string tsdb_sharding_strategy = "power_of_two";
  std::int64_t cardinality_limit = 100'000;
  std::int64_t max_streams_matchers_per_query = 1000;
  std::int64_t max_concurrent_tail_requests = 10;
  std::int64_t max_cache_freshness_per_query = 10LL * 60 * 1'000'000'000;
  std::int64_t max_metadata_cache_freshness = 24LL * 3600 * 1'000'000'000;
  std::int64_t max_stats_cache_freshness = 10LL * 60 * 1'000'000'000;
  std::int64_t max_queriers_per_tenant = 0;
  double max_query_capacity = 0;
  std::int64_t query_ready_index_num_days = 0;
  std::int64_t split_queries_by_interval = 3600LL * 1'000'000'000;
  std::int64_t split_metadata_queries_by_interval = 24LL * 3600 * 1'000'000'000;
  std::int64_t split_recent_metadata_queries_by_interval = 3600LL * 1'000'000'000;
  std::int64_t recent_metadata_query_window = 0;
  std::int64_t split_instant_metric_queries_by_interval = 3600LL * 1'000'000'000;
  std::int64_t split_ingester_queries_by_interval = 0;
  std::int64_t min_sharding_lookback = 0;
  std::int64_t max_query_bytes_read = 0;
  std::int64_t max_querier_bytes_read = 150LL << 30;
  bool volume_enabled = true;
  std::int64_t volume_max_series = 1000;
  std::vector<std::string> shard_aggregations;
  std::vector<std::string> required_labels;
  std::int64_t minimum_labels_number = 0;
  std::vector<BlockedQuery> blocked_queries;
  bool enable_multi_variant_queries = false;
  // retention and deletion
  std::string deletion_mode = "filter-and-delete";   // disabled, filter-only, filter-and-delete
  std::int64_t retention_period = 0;                 // 0: for ever
  std::vector<StreamRetention> retention_stream;
  // rules
  std::int64_t ruler_max_rules_per_rule_group = 0;
  std::int64_t ruler_max_rule_groups_per_tenant = 0;
  std::int64_t ruler_tenant_shard_size = 0;
  bool ruler_remote_write_disabled = false;
  std::int64_t ruler_remote_evaluation_timeout = 0;
  std::int64_t ruler_remote_evaluation_max_response_size = 0;
  std::int64_t index_gateway_shard_size = 0;
  // patterns
  std::string pattern_ingester_tokenizable_json_fields_default = "log,message,msg,msg_,_msg,content";
  std::string pattern_ingester_tokenizable_json_fields_append;
  std::string pattern_ingester_tokenizable_json_fields_delete;
  bool metric_aggregation_enabled = false;
  bool pattern_persistence_enabled = false;
  std::int64_t pattern_persistence_granularity = 0;
  double pattern_rate_threshold = 1;
  // object store
  std::string s3_sse_type;
  std::string s3_sse_kms_key_id;
  std::string s3_sse_kms_encryption_context;

  bool operator==(const Limits&) const = default;
};
using LimitsPtr = std::shared_ptr<const Limits>;

// Thread-safe; the answer may change while running (runtime file), so ask per request and keep the pointer for its length.
class LimitsProvider {
 public:
  virtual ~LimitsProvider() = default;
  virtual LimitsPtr for_tenant(const std::string& tenant) const = 0;
};

}  // namespace skald::config
