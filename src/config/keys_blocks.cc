// Where blocks that many keys share are mounted, and those of clients and rings.
#include "keys.h"

namespace skald::config {
namespace {

constexpr Key kGrpc[] = {
    {"max_recv_msg_size", Kind::kInt, "104857600"},
    {"max_send_msg_size", Kind::kInt, "104857600"},
    {"grpc_compression", Kind::kString, ""},
    {"rate_limit", Kind::kFloat, "0"},
    {"rate_limit_burst", Kind::kInt, "0"},
    {"backoff_on_ratelimits", Kind::kBool, "false"},
    {"backoff_config.min_period", Kind::kDuration, "100ms"},
    {"backoff_config.max_period", Kind::kDuration, "10s"},
    {"backoff_config.max_retries", Kind::kInt, "10"},
    {"initial_stream_window_size", Kind::kInt, "65535"},
    {"initial_connection_window_size", Kind::kInt, "65535"},
    {"tls_enabled", Kind::kBool, "false"},
    {"connect_timeout", Kind::kDuration, "5s"},
    {"connect_backoff_base_delay", Kind::kDuration, "1s"},
    {"connect_backoff_max_delay", Kind::kDuration, "5s"},
    {"keepalive_time", Kind::kAny, ""},
    {"keepalive_timeout", Kind::kAny, ""},
    {"cluster_validation.label", Kind::kAny, ""},
    {"tls_cert_path", Kind::kString, ""},
    {"tls_key_path", Kind::kString, ""},
    {"tls_ca_path", Kind::kString, ""},
    {"tls_server_name", Kind::kString, ""},
    {"tls_insecure_skip_verify", Kind::kBool, "false"},
    {"tls_cipher_suites", Kind::kString, ""},
    {"tls_min_version", Kind::kString, ""},
};

constexpr Key kTls[] = {
    {"tls_cert_path", Kind::kString, ""},
    {"tls_key_path", Kind::kString, ""},
    {"tls_ca_path", Kind::kString, ""},
    {"tls_server_name", Kind::kString, ""},
    {"tls_insecure_skip_verify", Kind::kBool, "false"},
    {"tls_cipher_suites", Kind::kString, ""},
    {"tls_min_version", Kind::kString, ""},
};

constexpr Key kConsul[] = {
    {"host", Kind::kString, "localhost:8500"},
    {"acl_token", Kind::kSecret, ""},
    {"http_client_timeout", Kind::kDuration, "20s"},
    {"consistent_reads", Kind::kBool, "false"},
    {"watch_rate_limit", Kind::kFloat, "1"},
    {"watch_burst_size", Kind::kInt, "1"},
    {"cas_retry_delay", Kind::kDuration, "1s"},
};

constexpr Key kEtcd[] = {
    {"endpoints", Kind::kList, ""},
    {"dial_timeout", Kind::kDuration, "10s"},
    {"max_retries", Kind::kInt, "10"},
    {"tls_enabled", Kind::kBool, "false"},
    {"username", Kind::kString, ""},
    {"password", Kind::kSecret, ""},
    {"tls_cert_path", Kind::kString, ""},
    {"tls_key_path", Kind::kString, ""},
    {"tls_ca_path", Kind::kString, ""},
    {"tls_server_name", Kind::kString, ""},
    {"tls_insecure_skip_verify", Kind::kBool, "false"},
    {"tls_cipher_suites", Kind::kString, ""},
    {"tls_min_version", Kind::kString, ""},
};

constexpr Key kRing[] = {
    {"kvstore.store", Kind::kString, "inmemory"},
    {"kvstore.prefix", Kind::kString, "collectors/"},
    {"kvstore.multi", Kind::kAny, ""},
    {"heartbeat_period", Kind::kDuration, "15s"},
    {"heartbeat_timeout", Kind::kDuration, "1m"},
    {"tokens_file_path", Kind::kString, ""},
    {"zone_awareness_enabled", Kind::kBool, "false"},
    {"num_tokens", Kind::kInt, "1"},
    {"replication_factor", Kind::kInt, "1"},
    {"instance_id", Kind::kString, ""},
    {"instance_interface_names", Kind::kList, ""},
    {"instance_port", Kind::kInt, "0"},
    {"instance_addr", Kind::kString, ""},
    {"instance_availability_zone", Kind::kString, ""},
    {"instance_enable_ipv6", Kind::kBool, "false"},
};

#define SKALD_CACHE(expression) [](Config& c) -> CacheBlockConfig& { return c.expression; }

constexpr Mount kMounts[] = {
    {"common.storage.s3", "s3"},
    {"common.storage.gcs", "gcs"},
    {"common.storage.azure", "azure"},
    {"common.storage.object_store", "object_store"},
    {"common.storage.object_store.s3", "store_s3"},
    {"common.storage.object_store.azure", "store_azure"},
    {"common.storage.object_store.gcs", "store_gcs"},
    {"common.storage.object_store.filesystem", "store_filesystem"},
    {"storage_config.aws", "s3", "s3"},
    {"storage_config.azure", "azure", "azure"},
    {"storage_config.gcs", "gcs", "gcs"},
    {"storage_config.filesystem", "filesystem"},
    {"storage_config.object_store", "object_store", "object-store"},
    {"storage_config.object_store.s3", "store_s3", "object-store.s3"},
    {"storage_config.object_store.azure", "store_azure", "object-store.azure"},
    {"storage_config.object_store.gcs", "store_gcs", "object-store.gcs"},
    {"storage_config.object_store.filesystem", "store_filesystem", "object-store.filesystem"},
    {"ruler.storage.s3", "s3"},
    {"ruler.storage.azure", "azure"},
    {"ruler.storage.gcs", "gcs"},
    {"ruler_storage", "object_store"},
    {"ruler_storage.s3", "store_s3"},
    {"ruler_storage.azure", "store_azure"},
    {"ruler_storage.gcs", "store_gcs"},
    {"ruler_storage.filesystem", "store_filesystem"},
    {"chunk_store_config.chunk_cache_config", "cache", "store.chunks-cache", SKALD_CACHE(chunk_cache)},
    {"chunk_store_config.chunk_cache_config_l2", "cache", "store.chunks-cache-l2", SKALD_CACHE(chunk_cache_l2)},
    {"query_range.results_cache.cache", "cache", "frontend", SKALD_CACHE(query_range.results_cache)},
    {"query_range.index_stats_results_cache.cache", "cache", "frontend.index-stats-results-cache", SKALD_CACHE(query_range.index_stats_results_cache)},
    {"query_range.volume_results_cache.cache", "cache", "frontend.volume-results-cache", SKALD_CACHE(query_range.volume_results_cache)},
    {"query_range.instant_metric_results_cache.cache", "cache", "frontend.instant-metric-results-cache", SKALD_CACHE(query_range.instant_metric_results_cache)},
    {"query_range.series_results_cache.cache", "cache", "frontend.series-results-cache", SKALD_CACHE(query_range.series_results_cache)},
    {"query_range.label_results_cache.cache", "cache", "frontend.label-results-cache", SKALD_CACHE(query_range.label_results_cache)},
    {"common.ring.kvstore.consul", "consul", nullptr, nullptr, true},
    {"common.ring.kvstore.etcd", "etcd", nullptr, nullptr, true},
    {"storage_config.tsdb_shipper.index_gateway_client.grpc_client_config", "grpc"},
    {"distributor.ring.kvstore.consul", "consul"},
    {"distributor.ring.kvstore.etcd", "etcd"},
    {"ingester_client.grpc_client_config", "grpc"},
    {"ingester.lifecycler.ring.kvstore.consul", "consul", nullptr, nullptr, true},
    {"ingester.lifecycler.ring.kvstore.etcd", "etcd", nullptr, nullptr, true},
    {"ingester.kafka_ingestion.partition_ring.kvstore.consul", "consul"},
    {"ingester.kafka_ingestion.partition_ring.kvstore.etcd", "etcd"},
    {"frontend.grpc_client_config", "grpc"},
    {"frontend.tail_tls_config", "tls"},
    {"frontend_worker.query_frontend_grpc_client", "grpc"},
    {"frontend_worker.grpc_client_config", "grpc"},
    {"frontend_worker.query_scheduler_grpc_client", "grpc"},
    {"query_scheduler.grpc_client_config", "grpc"},
    {"query_scheduler.scheduler_ring.kvstore.consul", "consul"},
    {"query_scheduler.scheduler_ring.kvstore.etcd", "etcd"},
    {"index_gateway.ring.kvstore.consul", "consul"},
    {"index_gateway.ring.kvstore.etcd", "etcd"},
    {"compactor.compactor_ring.kvstore.consul", "consul"},
    {"compactor.compactor_ring.kvstore.etcd", "etcd"},
    {"ruler.ruler_client", "grpc"},
    {"ruler.ring.kvstore.consul", "consul"},
    {"ruler.ring.kvstore.etcd", "etcd"},
    {"common.ring", "ring"},
    {"distributor.ring", "ring"},
    {"ingester.lifecycler.ring", "ring"},
    {"compactor.compactor_ring", "ring"},
    {"query_scheduler.scheduler_ring", "ring"},
    {"index_gateway.ring", "ring"},
    {"ruler.ring", "ring"},
    {"ruler.evaluation.query_frontend", "tls"},
    {"ruler.alertmanager_client", "tls"},
    {"compactor_grpc_client", "grpc"},
};


}  // namespace

std::span<const Key> block_keys(std::string_view block) {
  if (const std::span<const Key> keys = store_block_keys(block); !keys.empty()) return keys;
  if (block == "grpc") return kGrpc;
  if (block == "tls") return kTls;
  if (block == "consul") return kConsul;
  if (block == "etcd") return kEtcd;
  if (block == "ring") return kRing;
  return {};
}

std::span<const Mount> mounts() { return kMounts; }

}  // namespace skald::config
