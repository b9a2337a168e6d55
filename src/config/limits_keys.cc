#include "limits_keys.h"

#include <algorithm>

#include "keys.h"
#include "limits_custom.h"

namespace skald::config {
namespace {

#define SKALD_LIMIT(name) [](Limits& l) -> void* { return &l.name; }
#define SKALD_LIMIT_OF(name, kind, flag) {#name, Kind::kind, SKALD_LIMIT(name), flag}
#define SKALD_LIMIT_LATER(name, kind, flag) {#name, Kind::kind, SKALD_LIMIT(name), flag, false}

constexpr LimitKey kKeys[] = {
    SKALD_LIMIT_OF(ingestion_rate_strategy, kString, "distributor.ingestion-rate-limit-strategy"),
    SKALD_LIMIT_OF(ingestion_rate_mb, kFloat, "distributor.ingestion-rate-limit-mb"),
    SKALD_LIMIT_OF(ingestion_burst_size_mb, kFloat, "distributor.ingestion-burst-size-mb"),
    SKALD_LIMIT_OF(max_label_name_length, kInt, "validation.max-length-label-name"),
    SKALD_LIMIT_OF(max_label_value_length, kInt, "validation.max-length-label-value"),
    SKALD_LIMIT_OF(max_label_names_per_series, kInt, "validation.max-label-names-per-series"),
    SKALD_LIMIT_OF(reject_old_samples, kBool, "validation.reject-old-samples"),
    SKALD_LIMIT_OF(reject_old_samples_max_age, kPromDuration, "validation.reject-old-samples.max-age"),
    SKALD_LIMIT_OF(creation_grace_period, kPromDuration, "validation.create-grace-period"),
    SKALD_LIMIT_OF(max_line_size, kSize, "distributor.max-line-size"),
    SKALD_LIMIT_OF(max_line_size_truncate, kBool, "distributor.max-line-size-truncate"),
    SKALD_LIMIT_OF(max_line_size_truncate_identifier, kString, "distributor.max-line-size-truncate-identifier"),
    SKALD_LIMIT_OF(increment_duplicate_timestamp, kBool, "validation.increment-duplicate-timestamps"),
    {"simulated_push_latency", Kind::kAny},
    {"discover_generic_fields", Kind::kAny, nullptr, nullptr, false, parse_generic_fields, generic_fields_json},
    SKALD_LIMIT_OF(discover_service_name, kList, "validation.discover-service-name"),
    SKALD_LIMIT_OF(discover_log_levels, kBool, "validation.discover-log-levels"),
    SKALD_LIMIT_OF(log_level_fields, kList, "validation.log-level-fields"),
    SKALD_LIMIT_OF(log_level_from_json_max_depth, kInt, "validation.log-level-from-json-max-depth"),
    SKALD_LIMIT_LATER(use_owned_stream_count, kBool, "ingester.use-owned-stream-count"),
    SKALD_LIMIT_OF(max_streams_per_user, kInt, "ingester.max-streams-per-user"),
    SKALD_LIMIT_OF(max_global_streams_per_user, kInt, "ingester.max-global-streams-per-user"),
    SKALD_LIMIT_OF(unordered_writes, kBool, "ingester.unordered-writes"),
    SKALD_LIMIT_OF(per_stream_rate_limit, kSize, "ingester.per-stream-rate-limit"),
    SKALD_LIMIT_OF(per_stream_rate_limit_burst, kSize, "ingester.per-stream-rate-limit-burst"),
    SKALD_LIMIT_OF(max_chunks_per_query, kInt, "store.query-chunk-limit"),
    SKALD_LIMIT_OF(max_query_series, kInt, "querier.max-query-series"),
    SKALD_LIMIT_OF(max_query_lookback, kPromDuration, "querier.max-query-lookback"),
    SKALD_LIMIT_OF(max_query_length, kPromDuration, "store.max-query-length"),
    SKALD_LIMIT_OF(max_query_range, kPromDuration, "querier.max-query-range"),
    SKALD_LIMIT_OF(max_query_parallelism, kInt, "querier.max-query-parallelism"),
    SKALD_LIMIT_OF(tsdb_max_query_parallelism, kInt, "querier.tsdb-max-query-parallelism"),
    SKALD_LIMIT_LATER(tsdb_max_bytes_per_shard, kSize, "querier.tsdb-max-bytes-per-shard"),
    SKALD_LIMIT_LATER(tsdb_sharding_strategy, kString, "limits.tsdb-sharding-strategy"),
    {"tsdb_precompute_chunks", Kind::kAny},
    SKALD_LIMIT_OF(cardinality_limit, kInt, "store.cardinality-limit"),
    SKALD_LIMIT_OF(max_streams_matchers_per_query, kInt, "querier.max-streams-matcher-per-query"),
    SKALD_LIMIT_OF(max_concurrent_tail_requests, kInt, "querier.max-concurrent-tail-requests"),
    SKALD_LIMIT_OF(max_entries_limit_per_query, kInt, "validation.max-entries-limit"),
    SKALD_LIMIT_OF(max_cache_freshness_per_query, kPromDuration, "frontend.max-cache-freshness"),
    SKALD_LIMIT_OF(max_metadata_cache_freshness, kPromDuration, "frontend.max-metadata-cache-freshness"),
    SKALD_LIMIT_OF(max_stats_cache_freshness, kPromDuration, "frontend.max-stats-cache-freshness"),
    SKALD_LIMIT_LATER(max_queriers_per_tenant, kInt, "frontend.max-queriers-per-tenant"),
    SKALD_LIMIT_LATER(max_query_capacity, kFloat, "frontend.max-query-capacity"),
    SKALD_LIMIT_LATER(query_ready_index_num_days, kInt, "store.query-ready-index-num-days"),
    SKALD_LIMIT_OF(query_timeout, kPromDuration, "querier.query-timeout"),
    SKALD_LIMIT_OF(split_queries_by_interval, kPromDuration, "querier.split-queries-by-interval"),
    SKALD_LIMIT_LATER(split_metadata_queries_by_interval, kPromDuration, "querier.split-metadata-queries-by-interval"),
    SKALD_LIMIT_LATER(split_recent_metadata_queries_by_interval, kPromDuration, "experimental.querier.split-recent-metadata-queries-by-interval"),
    SKALD_LIMIT_LATER(recent_metadata_query_window, kPromDuration, "experimental.querier.recent-metadata-query-window"),
    SKALD_LIMIT_LATER(split_instant_metric_queries_by_interval, kPromDuration, "querier.split-instant-metric-queries-by-interval"),
    {"engine_results_cache_time_bucket_interval", Kind::kAny},
    SKALD_LIMIT_LATER(split_ingester_queries_by_interval, kPromDuration, "querier.split-ingester-queries-by-interval"),
    SKALD_LIMIT_LATER(min_sharding_lookback, kPromDuration, "frontend.min-sharding-lookback"),
    SKALD_LIMIT_OF(max_query_bytes_read, kSize, "frontend.max-query-bytes-read"),
    SKALD_LIMIT_OF(max_querier_bytes_read, kSize, "frontend.max-querier-bytes-read"),
    SKALD_LIMIT_OF(volume_enabled, kBool, "limits.volume-enabled"),
    SKALD_LIMIT_OF(volume_max_series, kInt, "limits.volume-max-series"),
    SKALD_LIMIT_LATER(ruler_max_rules_per_rule_group, kInt, "ruler.max-rules-per-rule-group"),
    SKALD_LIMIT_LATER(ruler_max_rule_groups_per_tenant, kInt, "ruler.max-rule-groups-per-tenant"),
    SKALD_LIMIT_LATER(ruler_tenant_shard_size, kInt, "ruler.tenant-shard-size"),
    SKALD_LIMIT_OF(ruler_remote_write_disabled, kBool, nullptr),
    {"ruler_remote_write_config", Kind::kAny},
    {"ruler_remote_write_url", Kind::kAny}, {"ruler_remote_write_timeout", Kind::kAny},
    {"ruler_remote_write_headers", Kind::kAny}, {"ruler_remote_write_relabel_configs", Kind::kAny},
    {"ruler_remote_write_queue_capacity", Kind::kAny}, {"ruler_remote_write_queue_min_shards", Kind::kAny},
    {"ruler_remote_write_queue_max_shards", Kind::kAny}, {"ruler_remote_write_queue_max_samples_per_send", Kind::kAny},
    {"ruler_remote_write_queue_batch_send_deadline", Kind::kAny}, {"ruler_remote_write_queue_min_backoff", Kind::kAny},
    {"ruler_remote_write_queue_max_backoff", Kind::kAny}, {"ruler_remote_write_queue_retry_on_ratelimit", Kind::kAny},
    {"ruler_remote_write_sigv4_config", Kind::kAny},
    SKALD_LIMIT_LATER(ruler_remote_evaluation_timeout, kPromDuration, "ruler.remote-evaluation-timeout"),
    SKALD_LIMIT_LATER(ruler_remote_evaluation_max_response_size, kInt, "ruler.remote-evaluation-max-response-size"),
    SKALD_LIMIT_OF(deletion_mode, kString, "compactor.deletion-mode"),
    SKALD_LIMIT_OF(retention_period, kPromDuration, "store.retention"),
    {"retention_stream", Kind::kAny, nullptr, nullptr, true, parse_retention_stream, retention_stream_json},
    {"shard_streams.enabled", Kind::kBool, SKALD_LIMIT(shard_streams_enabled), "shard-streams.enabled", false},
    {"shard_streams.time_sharding_enabled", Kind::kBool, SKALD_LIMIT(shard_streams_time_sharding_enabled), "shard-streams.time-sharding-enabled", false},
    {"shard_streams.time_sharding_ignore_recent", Kind::kPromDuration, SKALD_LIMIT(shard_streams_time_sharding_ignore_recent), "shard-streams.time-sharding-ignore-recent", false},
    {"shard_streams.logging_enabled", Kind::kBool, SKALD_LIMIT(shard_streams_logging_enabled), "shard-streams.logging-enabled", false},
    {"shard_streams.desired_rate", Kind::kSize, SKALD_LIMIT(shard_streams_desired_rate), "shard-streams.desired-rate", false},
    {"blocked_queries", Kind::kAny, nullptr, nullptr, true, parse_blocked_queries, blocked_queries_json},
    SKALD_LIMIT_OF(required_labels, kList, "validation.required-labels"),
    SKALD_LIMIT_OF(minimum_labels_number, kInt, "validation.minimum-labels-number"),
    SKALD_LIMIT_LATER(index_gateway_shard_size, kInt, "index-gateway.shard-size"),
    {"index_gateway_max_capacity", Kind::kAny},
    SKALD_LIMIT_OF(allow_structured_metadata, kBool, "validation.allow-structured-metadata"),
    SKALD_LIMIT_OF(max_structured_metadata_size, kSize, "limits.max-structured-metadata-size"),
    SKALD_LIMIT_OF(max_structured_metadata_entries_count, kInt, "limits.max-structured-metadata-entries-count"),
    {"otlp_config", Kind::kAny, nullptr, nullptr, true, parse_otlp_config, otlp_config_json},
    {"block_ingestion_policy_until", Kind::kAny, nullptr, nullptr, false, parse_block_policy_until, block_policy_until_json},
    {"block_ingestion_until", Kind::kAny, nullptr, nullptr, true, parse_block_until, block_until_json},
    SKALD_LIMIT_OF(block_ingestion_status_code, kInt, "limits.block-ingestion-status-code"),
    SKALD_LIMIT_OF(enforced_labels, kList, "validation.enforced-labels"),
    {"policy_enforced_labels", Kind::kAny, nullptr, nullptr, false, parse_policy_labels, policy_labels_json},
    {"policy_stream_mapping", Kind::kAny, nullptr, nullptr, false, parse_policy_streams, policy_streams_json},
    {"policy_override_limits", Kind::kAny},
    {"ingestion_partitions_tenant_shard_size", Kind::kAny},
    SKALD_LIMIT_OF(shard_aggregations, kList, "querier.shard-aggregations"),
    SKALD_LIMIT_LATER(pattern_ingester_tokenizable_json_fields_default, kString, "limits.pattern-ingester-tokenizable-json-fields-default"),
    SKALD_LIMIT_LATER(pattern_ingester_tokenizable_json_fields_append, kString, "limits.pattern-ingester-tokenizable-json-fields-append"),
    SKALD_LIMIT_LATER(pattern_ingester_tokenizable_json_fields_delete, kString, "limits.pattern-ingester-tokenizable-json-fields-delete"),
    SKALD_LIMIT_LATER(metric_aggregation_enabled, kBool, "limits.metric-aggregation-enabled"),
    SKALD_LIMIT_LATER(pattern_persistence_enabled, kBool, "limits.pattern-persistence-enabled"),
    SKALD_LIMIT_LATER(pattern_persistence_granularity, kPromDuration, "limits.pattern-persistence-granularity"),
    SKALD_LIMIT_LATER(pattern_rate_threshold, kFloat, "limits.pattern-rate-threshold"),
    SKALD_LIMIT_LATER(s3_sse_type, kString, nullptr),
    SKALD_LIMIT_LATER(s3_sse_kms_key_id, kString, nullptr),
    SKALD_LIMIT_LATER(s3_sse_kms_encryption_context, kString, nullptr),
    SKALD_LIMIT_LATER(enable_multi_variant_queries, kBool, "limits.enable-multi-variant-queries"),
    {"enforce_metric_name", Kind::kAny}, {"ruler_evaluation_delay_duration", Kind::kAny}, {"allow_deletes", Kind::kAny},
    {"ruler_enable_wal_replay", Kind::kAny}, {"bloom_gateway_enable_filtering", Kind::kAny},
    {"bloom_build_max_builders", Kind::kAny}, {"bloom_build_task_max_retries", Kind::kAny},
    {"bloom_build_builder_response_timeout", Kind::kAny}, {"bloom_creation_enabled", Kind::kAny},
    {"dataobj_index_compaction_enabled", Kind::kAny}, {"dataobj_log_compaction_enabled", Kind::kAny},
    {"bloom_planning_strategy", Kind::kAny}, {"bloom_split_series_keyspace_by", Kind::kAny},
    {"bloom_task_target_series_chunk_size", Kind::kAny}, {"bloom_block_encoding", Kind::kAny},
    {"bloom_prefetch_blocks", Kind::kAny}, {"bloom_max_block_size", Kind::kAny}, {"bloom_max_bloom_size", Kind::kAny},
    {"debug_engine_tasks", Kind::kAny}, {"debug_engine_streams", Kind::kAny},
};

bool has_children(const std::string& name) {
  for (const LimitKey& key : kKeys)
    if (std::string_view(key.name).substr(0, name.size() + 1) == name + ".") return true;
  return false;
}

const LimitKey* find(const std::string& name) {
  for (const LimitKey& key : kKeys)
    if (name == key.name) return &key;
  return nullptr;
}

Result<void> apply(const YamlNode& node, const std::string& prefix, bool strict, Limits& limits, LimitNotes& notes) {
  if (node.is_null()) return {};
  if (node.kind != YamlNode::Kind::kMap)
    return Error(ErrorCode::kInvalidArgument, "line " + std::to_string(node.line) + ": limits must be a map of keys");
  for (const auto& [name, value] : node.entries) {
    const std::string path = prefix + name.scalar;
    const LimitKey* key = find(path);
    if (!key && has_children(path)) {
      SKALD_TRY_VOID(apply(value, path + ".", strict, limits, notes));
      continue;
    }
    if (!key) {
      std::vector<std::string> names;
      for (const LimitKey& other : kKeys) names.emplace_back(other.name);
      const std::string near = nearest(path, names);
      const std::string text = "line " + std::to_string(name.line) + ": field " + path + " not found in limits" +
                               (near.empty() ? "" : "; did you mean \"" + near + "\"?");
      if (strict) return Error(ErrorCode::kInvalidArgument, text);
      notes.unknown.push_back(text);
      continue;
    }
    if (!key->effective || (!key->member && !key->parse)) notes.without_effect.push_back(path);
    if (key->parse) {
      if (!value.is_null()) SKALD_TRY_VOID(key->parse(value, limits));
    } else if (key->member) {
      SKALD_TRY_VOID(set_from_yaml(key->kind, value, key->member(limits)));
    }
  }
  return {};
}

}  // namespace

std::span<const LimitKey> limit_keys() { return kKeys; }

const LimitKey* find_limit_flag(const std::string& flag) {
  for (const LimitKey& key : kKeys) {
    if (!key.member) continue;
    if (key.flag && flag == key.flag) return &key;
    std::string derived = std::string("limits.") + key.name;
    std::replace(derived.begin(), derived.end(), '_', '-');
    if (flag == derived) return &key;
  }
  return nullptr;
}

Result<void> apply_limits(const YamlNode& node, bool strict, Limits& limits, LimitNotes& notes) {
  return apply(node, "", strict, limits, notes);
}

Result<void> validate_limits(const Limits& limits) {
  const auto bad = [](const std::string& what) { return Error(ErrorCode::kInvalidArgument, "invalid limits_config config: " + what); };
  const std::string& mode = limits.deletion_mode;
  if (mode != "disabled" && mode != "filter-only" && mode != "filter-and-delete")
    return bad("invalid deletion mode: " + mode + "; one of disabled, filter-only, filter-and-delete");
  if (limits.ingestion_rate_strategy != "global" && limits.ingestion_rate_strategy != "local")
    return bad("unknown ingestion_rate_strategy " + limits.ingestion_rate_strategy + "; one of global, local");
  for (const StreamRetention& rule : limits.retention_stream) {
    if (rule.period < 24 * kNanosPerHour) {
      const std::int64_t period = rule.period;
      return bad("retention period must be >= 24h was " + to_text(Kind::kPromDuration, &period));
    }
  }
  if (limits.max_query_length < 0 || limits.query_timeout < 0 || limits.max_line_size < 0)
    return bad("max_query_length, query_timeout and max_line_size must not be negative");
  return {};
}

}  // namespace skald::config
