// Blocks of stores (old and new style) and caches. Keys of stores are kept as text: the same key may stand in several
// places and generations, and src/config/stores.cc merges them.
#include "keys.h"

namespace skald::config {
namespace {

#define SKALD_TEXT(name, kind, fallback, flag) {name, Kind::kind, fallback, nullptr, flag, false, true}
#define SKALD_IN_CACHE(name, kind, fallback, expression, flag) \
  {name, Kind::kind, fallback, nullptr, flag, false, false, [](CacheBlockConfig& c) -> void* { return &c.expression; }}
#define SKALD_IN_CACHE_OLD(name, kind, fallback, expression, flag) \
  {name, Kind::kind, fallback, nullptr, flag, true, false, [](CacheBlockConfig& c) -> void* { return &c.expression; }}

constexpr Key kS3[] = {
    SKALD_TEXT("s3", kSecretUrl, "", "url"),
    SKALD_TEXT("s3forcepathstyle", kBool, "false", "force-path-style"),
    SKALD_TEXT("bucketnames", kList, "", "buckets"),
    SKALD_TEXT("endpoint", kString, "", nullptr),
    SKALD_TEXT("region", kString, "", nullptr),
    SKALD_TEXT("access_key_id", kString, "", nullptr),
    SKALD_TEXT("secret_access_key", kSecret, "", nullptr),
    SKALD_TEXT("session_token", kSecret, "", nullptr),
    SKALD_TEXT("insecure", kBool, "false", nullptr),
    {"chunk_delimiter", Kind::kString, ""},
    SKALD_TEXT("http_config.timeout", kDuration, "0s", "http.timeout"),
    SKALD_TEXT("http_config.idle_conn_timeout", kDuration, "1m30s", "http.idle-conn-timeout"),
    SKALD_TEXT("http_config.response_header_timeout", kDuration, "2m", "http.response-header-timeout"),
    SKALD_TEXT("http_config.insecure_skip_verify", kBool, "false", "http.insecure-skip-verify"),
    SKALD_TEXT("http_config.ca_file", kString, "", "http.ca-file"),
    SKALD_TEXT("signature_version", kString, "v4", nullptr),
    SKALD_TEXT("storage_class", kString, "STANDARD", nullptr),
    SKALD_TEXT("sse.type", kString, "", nullptr),
    SKALD_TEXT("sse.kms_key_id", kString, "", nullptr),
    SKALD_TEXT("sse.kms_encryption_context", kString, "", nullptr),
    SKALD_TEXT("sse.customer_key", kSecret, "", nullptr),
    SKALD_TEXT("backoff_config.min_period", kDuration, "100ms", "min-backoff"),
    SKALD_TEXT("backoff_config.max_period", kDuration, "3s", "max-backoff"),
    SKALD_TEXT("backoff_config.max_retries", kInt, "5", "max-retries"),
    SKALD_TEXT("disable_dualstack", kBool, "false", nullptr),
    SKALD_TEXT("sse_encryption", kBool, "false", nullptr),
    SKALD_TEXT("checksum", kString, "auto", nullptr),
    SKALD_TEXT("part_size", kSize, "0B", nullptr),
    SKALD_TEXT("sts_endpoint", kString, "", nullptr),
    SKALD_TEXT("dynamodb.dynamodb_url", kSecretUrl, "", nullptr),
    SKALD_TEXT("dynamodb.table", kString, "skald_index", nullptr),
    SKALD_TEXT("dynamodb.create_table", kBool, "true", nullptr),
    {"dynamodb.api_limit", Kind::kAny, ""},
    {"dynamodb.throttle_limit", Kind::kAny, ""},
    {"dynamodb.metrics", Kind::kAny, ""},
    {"dynamodb.chunk_gang_size", Kind::kAny, ""},
    {"dynamodb.chunk_get_max_parallelism", Kind::kAny, ""},
    {"dynamodb.backoff_config", Kind::kAny, ""},
    {"dynamodb.kms_key_id", Kind::kAny, ""},
};

constexpr Key kAzure[] = {
    SKALD_TEXT("environment", kString, "AzureGlobal", nullptr),
    SKALD_TEXT("account_name", kString, "", nullptr),
    SKALD_TEXT("account_key", kSecret, "", nullptr),
    SKALD_TEXT("connection_string", kSecret, "", nullptr),
    SKALD_TEXT("container_name", kString, "loki", nullptr),
    SKALD_TEXT("endpoint_suffix", kString, "", nullptr),
    SKALD_TEXT("use_managed_identity", kBool, "false", nullptr),
    SKALD_TEXT("use_federated_token", kBool, "false", nullptr),
    SKALD_TEXT("user_assigned_id", kString, "", nullptr),
    SKALD_TEXT("use_service_principal", kBool, "false", nullptr),
    SKALD_TEXT("client_id", kString, "", nullptr),
    SKALD_TEXT("client_secret", kSecret, "", nullptr),
    SKALD_TEXT("tenant_id", kString, "", nullptr),
    {"chunk_delimiter", Kind::kString, "-"},
    {"download_buffer_size", Kind::kInt, "512000"},
    {"upload_buffer_size", Kind::kInt, "256000"},
    {"upload_buffer_count", Kind::kInt, "1"},
    SKALD_TEXT("request_timeout", kDuration, "30s", nullptr),
    SKALD_TEXT("max_retries", kInt, "5", nullptr),
    SKALD_TEXT("min_retry_delay", kDuration, "10ms", nullptr),
    SKALD_TEXT("max_retry_delay", kDuration, "500ms", nullptr),
    {"active_directory_endpoint", Kind::kAny, ""},
};

constexpr Key kGcs[] = {
    SKALD_TEXT("bucket_name", kString, "", "bucketname"),
    SKALD_TEXT("endpoint", kString, "", nullptr),
    SKALD_TEXT("service_account", kSecret, "", nullptr),
    SKALD_TEXT("hmac_access_key", kString, "", nullptr),
    SKALD_TEXT("hmac_secret", kSecret, "", nullptr),
    SKALD_TEXT("chunk_buffer_size", kInt, "0", nullptr),
    SKALD_TEXT("request_timeout", kDuration, "0s", nullptr),
    {"enable_opencensus", Kind::kBool, "true"},
    {"enable_http2", Kind::kBool, "true"},
    SKALD_TEXT("enable_retries", kBool, "true", nullptr),
};

constexpr Key kFilesystem[] = {
    SKALD_TEXT("directory", kString, "", nullptr),
};

#define SKALD_STORE_HTTP \
    SKALD_TEXT("http.timeout", kDuration, "0s", nullptr), \
    SKALD_TEXT("http.idle_conn_timeout", kDuration, "1m30s", nullptr), \
    SKALD_TEXT("http.response_header_timeout", kDuration, "2m", nullptr), \
    SKALD_TEXT("http.insecure_skip_verify", kBool, "false", nullptr), \
    SKALD_TEXT("http.tls_handshake_timeout", kDuration, "10s", nullptr), \
    {"http.expect_continue_timeout", Kind::kDuration, "1s"}, \
    {"http.max_idle_connections", Kind::kInt, "100"}, \
    {"http.max_idle_connections_per_host", Kind::kInt, "100"}, \
    SKALD_TEXT("http.max_connections_per_host", kInt, "0", nullptr), \
    SKALD_TEXT("http.tls_ca_path", kString, "", nullptr), \
    SKALD_TEXT("http.tls_cert_path", kString, "", nullptr), \
    SKALD_TEXT("http.tls_key_path", kString, "", nullptr), \
    SKALD_TEXT("http.tls_server_name", kString, "", nullptr), \
    {"http.disable_compression", Kind::kAny, ""}, \
    {"http.transport", Kind::kAny, ""}

constexpr Key kStoreS3[] = {
    SKALD_TEXT("endpoint", kString, "", nullptr),
    SKALD_TEXT("region", kString, "", nullptr),
    SKALD_TEXT("bucket_name", kString, "", nullptr),
    SKALD_TEXT("access_key_id", kString, "", nullptr),
    SKALD_TEXT("secret_access_key", kSecret, "", nullptr),
    SKALD_TEXT("session_token", kSecret, "", nullptr),
    SKALD_TEXT("insecure", kBool, "false", nullptr),
    SKALD_TEXT("bucket_lookup_type", kString, "auto", nullptr),
    SKALD_TEXT("dualstack_enabled", kBool, "true", nullptr),
    SKALD_TEXT("native_aws_auth_enabled", kBool, "false", nullptr),  // true or not: without keys the chain is asked
    SKALD_TEXT("storage_class", kString, "", nullptr),
    SKALD_TEXT("sts_endpoint", kString, "", nullptr),
    {"list_objects_version", Kind::kString, ""},
    SKALD_TEXT("part_size", kSize, "0B", nullptr),
    SKALD_TEXT("send_content_md5", kBool, "false", nullptr),
    SKALD_TEXT("signature_version", kString, "v4", nullptr),
    SKALD_TEXT("max_retries", kInt, "10", nullptr),
    SKALD_TEXT("sse.type", kString, "", nullptr),
    SKALD_TEXT("sse.kms_key_id", kString, "", nullptr),
    SKALD_TEXT("sse.kms_encryption_context", kString, "", nullptr),
    SKALD_TEXT("sse.customer_key", kSecret, "", nullptr),
    SKALD_TEXT("checksum", kString, "auto", nullptr),
    {"trace", Kind::kAny, ""},
    SKALD_STORE_HTTP,
};

constexpr Key kStoreAzure[] = {
    SKALD_TEXT("account_name", kString, "", nullptr),
    SKALD_TEXT("account_key", kSecret, "", nullptr),
    SKALD_TEXT("connection_string", kSecret, "", nullptr),
    SKALD_TEXT("container_name", kString, "", nullptr),
    SKALD_TEXT("endpoint_suffix", kString, "", nullptr),
    SKALD_TEXT("user_assigned_id", kString, "", nullptr),
    SKALD_TEXT("az_tenant_id", kString, "", nullptr),
    SKALD_TEXT("client_id", kString, "", nullptr),
    SKALD_TEXT("client_secret", kSecret, "", nullptr),
    SKALD_TEXT("max_retries", kInt, "20", nullptr),
    {"chunk_delimiter", Kind::kString, "-"},
    SKALD_STORE_HTTP,
};

constexpr Key kStoreGcs[] = {
    SKALD_TEXT("bucket_name", kString, "", nullptr),
    SKALD_TEXT("endpoint", kString, "", nullptr),
    SKALD_TEXT("service_account", kSecret, "", nullptr),
    SKALD_TEXT("hmac_access_key", kString, "", nullptr),
    SKALD_TEXT("hmac_secret", kSecret, "", nullptr),
    SKALD_TEXT("chunk_buffer_size", kInt, "0", nullptr),
    SKALD_TEXT("max_retries", kInt, "10", nullptr),
    SKALD_STORE_HTTP,
};

constexpr Key kStoreFilesystem[] = {
    SKALD_TEXT("dir", kString, "", nullptr),
};

constexpr Key kObjectStore[] = {
    SKALD_TEXT("storage_prefix", kString, "", nullptr),
    {"swift", Kind::kAny, ""},
    {"cos", Kind::kAny, ""},
    {"bos", Kind::kAny, ""},
    {"alibabacloud", Kind::kAny, ""},
};

constexpr Key kCache[] = {
    SKALD_IN_CACHE("default_validity", kDuration, "1h", default_validity, nullptr),
    SKALD_IN_CACHE("background.writeback_goroutines", kInt, "1", writeback_goroutines, "background.write-back-concurrency"),
    SKALD_IN_CACHE("background.writeback_buffer", kInt, "500000", writeback_buffer, "background.write-back-buffer"),
    SKALD_IN_CACHE("background.writeback_size_limit", kSize, "500MB", writeback_size_limit, "background.write-back-size-limit"),
    SKALD_IN_CACHE("memcached.expiration", kDuration, "0s", memcached.expiration, nullptr),
    SKALD_IN_CACHE("memcached.batch_size", kInt, "4", memcached.batch_size, "memcached.batchsize"),
    SKALD_IN_CACHE("memcached.parallelism", kInt, "5", memcached.parallelism, nullptr),
    SKALD_IN_CACHE("memcached_client.host", kString, "", memcached.host, "memcached.hostname"),
    SKALD_IN_CACHE("memcached_client.service", kString, "memcached", memcached.service, "memcached.service"),
    SKALD_IN_CACHE("memcached_client.addresses", kString, "", memcached.addresses, "memcached.addresses"),
    SKALD_IN_CACHE("memcached_client.timeout", kDuration, "100ms", memcached.timeout, "memcached.timeout"),
    SKALD_IN_CACHE("memcached_client.max_idle_conns", kInt, "16", memcached.max_idle_conns, "memcached.max-idle-conns"),
    SKALD_IN_CACHE("memcached_client.max_item_size", kInt, "0", memcached.max_item_size, "memcached.max-item-size"),
    SKALD_IN_CACHE("memcached_client.update_interval", kDuration, "1m", memcached.update_interval, "memcached.update-interval"),
    SKALD_IN_CACHE("memcached_client.consistent_hash", kBool, "true", memcached.consistent_hash, "memcached.consistent-hash"),
    SKALD_IN_CACHE("memcached_client.circuit_breaker_consecutive_failures", kInt, "10", memcached.circuit_breaker_consecutive_failures, "memcached.circuit-breaker-consecutive-failures"),
    SKALD_IN_CACHE("memcached_client.circuit_breaker_timeout", kDuration, "10s", memcached.circuit_breaker_timeout, "memcached.circuit-breaker-timeout"),
    SKALD_IN_CACHE("memcached_client.circuit_breaker_interval", kDuration, "10s", memcached.circuit_breaker_interval, "memcached.circuit-breaker-interval"),
    SKALD_IN_CACHE("memcached_client.tls_enabled", kBool, "false", memcached.tls_enabled, "memcached.tls-enabled"),
    SKALD_IN_CACHE("memcached_client.tls_cert_path", kString, "", memcached.tls_cert_path, "memcached.tls-cert-path"),
    SKALD_IN_CACHE("memcached_client.tls_key_path", kString, "", memcached.tls_key_path, "memcached.tls-key-path"),
    SKALD_IN_CACHE("memcached_client.tls_ca_path", kString, "", memcached.tls_ca_path, "memcached.tls-ca-path"),
    SKALD_IN_CACHE("memcached_client.tls_server_name", kString, "", memcached.tls_server_name, "memcached.tls-server-name"),
    SKALD_IN_CACHE("memcached_client.tls_insecure_skip_verify", kBool, "false", memcached.tls_insecure_skip_verify, "memcached.tls-insecure-skip-verify"),
    SKALD_IN_CACHE("redis.endpoint", kString, "", redis.endpoint, nullptr),
    SKALD_IN_CACHE("redis.master_name", kString, "", redis.master_name, nullptr),
    SKALD_IN_CACHE("redis.timeout", kDuration, "500ms", redis.timeout, nullptr),
    SKALD_IN_CACHE("redis.expiration", kDuration, "0s", redis.expiration, nullptr),
    SKALD_IN_CACHE("redis.db", kInt, "0", redis.db, nullptr),
    SKALD_IN_CACHE("redis.pool_size", kInt, "0", redis.pool_size, nullptr),
    SKALD_IN_CACHE("redis.username", kString, "", redis.username, nullptr),
    SKALD_IN_CACHE("redis.password", kSecret, "", redis.password, nullptr),
    SKALD_IN_CACHE("redis.tls_enabled", kBool, "false", redis.tls_enabled, nullptr),
    SKALD_IN_CACHE("redis.tls_insecure_skip_verify", kBool, "false", redis.tls_insecure_skip_verify, nullptr),
    SKALD_IN_CACHE("embedded_cache.enabled", kBool, "false", embedded_enabled, nullptr),
    SKALD_IN_CACHE("embedded_cache.max_size_mb", kInt, "100", embedded_max_size_mb, nullptr),
    SKALD_IN_CACHE("embedded_cache.max_size_items", kInt, "0", embedded_max_size_items, nullptr),
    SKALD_IN_CACHE("embedded_cache.ttl", kDuration, "1h", embedded_ttl, nullptr),
    SKALD_IN_CACHE("disk_cache.directory", kString, "", disk_directory, nullptr),
    SKALD_IN_CACHE("disk_cache.max_size_mb", kInt, "1024", disk_max_size_mb, nullptr),
    SKALD_IN_CACHE_OLD("enable_fifocache", kBool, "false", embedded_enabled, "cache.enable-fifocache"),
    SKALD_IN_CACHE_OLD("fifocache.size", kInt, "0", embedded_max_size_items, nullptr),
    SKALD_IN_CACHE_OLD("fifocache.max_size_items", kInt, "0", embedded_max_size_items, nullptr),
    SKALD_IN_CACHE_OLD("fifocache.validity", kDuration, "1h", embedded_ttl, nullptr),
    SKALD_IN_CACHE_OLD("fifocache.ttl", kDuration, "1h", embedded_ttl, nullptr),
    {"fifocache.max_size_bytes", Kind::kSize, "0B", nullptr, nullptr, true, true},
    {"fifocache.purgeinterval", Kind::kAny, ""},
    {"redis.idle_timeout", Kind::kAny, ""},
    {"redis.max_connection_age", Kind::kAny, ""},
    {"redis.route_randomly", Kind::kAny, ""},
    {"async_cache_write_back_concurrency", Kind::kAny, ""},
    {"async_cache_write_back_buffer_size", Kind::kAny, ""},
    {"embedded_cache.purgeinterval", Kind::kAny, ""},
    {"memcached_client.max_async_concurrency", Kind::kAny, ""},
    {"memcached_client.max_async_buffer_size", Kind::kAny, ""},
    {"memcached_client.max_get_multi_concurrency", Kind::kAny, ""},
    {"memcached_client.max_get_multi_batch_size", Kind::kAny, ""},
    {"memcached_client.tls_cipher_suites", Kind::kString, ""},
    {"memcached_client.tls_min_version", Kind::kString, ""},
};

}  // namespace

std::span<const Key> store_block_keys(std::string_view block) {
  if (block == "s3") return kS3;
  if (block == "azure") return kAzure;
  if (block == "gcs") return kGcs;
  if (block == "filesystem") return kFilesystem;
  if (block == "object_store") return kObjectStore;
  if (block == "store_s3") return kStoreS3;
  if (block == "store_azure") return kStoreAzure;
  if (block == "store_gcs") return kStoreGcs;
  if (block == "store_filesystem") return kStoreFilesystem;
  if (block == "cache") return kCache;
  return {};
}

}  // namespace skald::config
