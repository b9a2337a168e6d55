// Where objects live and how they are reached, as typed values; filled from Loki's storage_config and common.storage in
// both of their generations (docs/configuration.md, "Storage"). Durations in ns, sizes in bytes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "skald/base/clock.h"

namespace skald::config {

// Options of outgoing HTTP to a store.
struct StoreHttpConfig {
  std::int64_t timeout = 0;                             // whole request; 0: none
  std::int64_t response_header_timeout = 2 * kNanosPerMinute;
  std::int64_t idle_conn_timeout = 90 * kNanosPerSecond;
  std::int64_t tls_handshake_timeout = 10 * kNanosPerSecond;
  std::int64_t max_connections_per_host = 0;            // 0: no limit
  bool insecure_skip_verify = false;
  std::string ca_file, cert_file, key_file, server_name;
  bool operator==(const StoreHttpConfig&) const = default;
};

inline StoreHttpConfig store_http_with_timeout(std::int64_t timeout) {
  StoreHttpConfig http;
  http.timeout = timeout;
  return http;
}

// Tries of one operation: 1 + max_retries at most, full jitter between min and max.
struct StoreRetryConfig {
  std::int64_t min_period = 100 * kNanosPerMilli;
  std::int64_t max_period = 3 * kNanosPerSecond;
  std::int64_t max_retries = 5;
  bool operator==(const StoreRetryConfig&) const = default;
};

struct S3Config {
  std::vector<std::string> buckets;                     // several: objects are spread over them by hash of the key
  std::string endpoint;                                 // host[:port]; empty: AWS in `region`
  std::string region;
  std::string access_key_id, secret_access_key, session_token;   // empty: environment, files, web identity, instance
  bool insecure = false;                                // http
  enum class Lookup { kAuto, kPath, kVirtualHosted } lookup = Lookup::kAuto;   // auto: virtual-hosted at AWS only
  bool dualstack = true;                                // AWS only
  std::string storage_class;                            // empty: the bucket's default
  std::string sts_endpoint;
  enum class Sse { kNone, kS3, kKms, kCustomer } sse = Sse::kNone;
  std::string sse_kms_key_id, sse_kms_context;          // the context as JSON text
  std::string sse_customer_key;                         // ours: 32 bytes in base64, for SSE-C
  enum class Checksum { kAuto, kNone, kMd5, kCrc32c, kSha256 } checksum = Checksum::kAuto;
  std::int64_t part_size = 0;                           // multipart above this; 0: our choice
  StoreHttpConfig http;
  StoreRetryConfig retry;
  bool operator==(const S3Config&) const = default;
};

struct AzureConfig {
  std::string environment = "AzureGlobal";
  std::string account_name, account_key, connection_string, container_name = "loki", endpoint_suffix;
  bool use_managed_identity = false, use_federated_token = false, use_service_principal = false;
  std::string user_assigned_id, client_id, client_secret, tenant_id;
  StoreHttpConfig http = store_http_with_timeout(30 * kNanosPerSecond);
  StoreRetryConfig retry{10 * kNanosPerMilli, 500 * kNanosPerMilli, 5};
  bool operator==(const AzureConfig&) const = default;
};

struct GcsConfig {
  std::string bucket_name;
  std::string endpoint;                                 // empty: https://storage.googleapis.com
  std::string service_account;                          // JSON text; empty: GOOGLE_APPLICATION_CREDENTIALS, then metadata
  std::string hmac_access_key, hmac_secret;             // ours: XML API with HMAC keys instead
  std::int64_t chunk_buffer_size = 0;                   // resumable upload in pieces of this; 0: one request
  bool enable_retries = true;
  StoreHttpConfig http;
  StoreRetryConfig retry{100 * kNanosPerMilli, 3 * kNanosPerSecond, 10};
  bool operator==(const GcsConfig&) const = default;
};

// A read that has not answered after `at` is asked again on another connection, up to `up_to` requests in all, and at
// most `max_per_second` such extra requests a second. at 0: off.
struct HedgingConfig {
  std::int64_t at = 0;
  std::int64_t up_to = 2;
  std::int64_t max_per_second = 5;
  bool operator==(const HedgingConfig&) const = default;
};

struct BucketConfig {
  enum class Kind { kFilesystem, kS3, kAzure, kGcs } kind = Kind::kFilesystem;
  std::string directory;                                // kFilesystem
  S3Config s3;
  AzureConfig azure;
  GcsConfig gcs;
  std::string prefix;                                   // before every key; "" or ends with '/'
  bool operator==(const BucketConfig&) const = default;
};

// Encryption of objects by this server (AES-256-GCM), whatever the store does itself. Ours.
struct EncryptionConfig {
  bool enabled = false;
  std::string key_file;                                 // lines "id:64 hex digits"; the last is used for writing
  std::string key_env;                                  // name of an environment variable with the same text
  bool allow_plaintext = true;                          // objects from before are handed out as they are
  bool operator==(const EncryptionConfig&) const = default;
};

struct MemcachedConfig {
  std::string host, service = "memcached", addresses;   // addresses win; dns+, dnssrv+, dnssrvnoa+ prefixes
  std::int64_t timeout = 100 * kNanosPerMilli;
  std::int64_t max_idle_conns = 16;
  std::int64_t max_item_size = 0;
  std::int64_t update_interval = kNanosPerMinute;
  bool consistent_hash = true;
  std::int64_t circuit_breaker_consecutive_failures = 10;
  std::int64_t circuit_breaker_timeout = 10 * kNanosPerSecond;
  std::int64_t circuit_breaker_interval = 10 * kNanosPerSecond;
  std::int64_t expiration = 0;                          // 0: default_validity
  std::int64_t batch_size = 4, parallelism = 5;
  bool tls_enabled = false;
  std::string tls_ca_path, tls_cert_path, tls_key_path, tls_server_name;
  bool tls_insecure_skip_verify = false;
  bool operator==(const MemcachedConfig&) const = default;
};

struct RedisConfig {
  std::string endpoint, master_name, username, password;
  std::int64_t timeout = 500 * kNanosPerMilli;
  std::int64_t expiration = 0;
  std::int64_t db = 0;
  std::int64_t pool_size = 0;                           // 0: 10 per core
  bool tls_enabled = false, tls_insecure_skip_verify = false;
  bool operator==(const RedisConfig&) const = default;
};

// One cache_config block. Levels that are configured are asked in order memory, disk, memcached or Redis.
struct CacheBlockConfig {
  std::int64_t default_validity = kNanosPerHour;
  std::int64_t writeback_goroutines = 1, writeback_buffer = 500'000, writeback_size_limit = 500LL << 20;
  bool embedded_enabled = false;
  std::int64_t embedded_max_size_mb = 100, embedded_max_size_items = 0, embedded_ttl = kNanosPerHour;
  std::string disk_directory;                           // ours: disk_cache.directory; empty: none
  std::int64_t disk_max_size_mb = 1024;                 // ours: disk_cache.max_size_mb
  MemcachedConfig memcached;
  RedisConfig redis;
  bool memcached_configured() const { return !memcached.host.empty() || !memcached.addresses.empty(); }
  bool redis_configured() const { return !redis.endpoint.empty(); }
  bool operator==(const CacheBlockConfig&) const = default;
};

// What the chunk cache and the results cache are unless the file says otherwise.
inline CacheBlockConfig cache_in_memory() {
  CacheBlockConfig out;
  out.embedded_enabled = true;
  return out;
}

// Index objects in a NoSQL table (schema period with `store: dynamodb`, ours). The endpoint is a DynamoDB's.
struct DynamoConfig {
  std::string url;                                      // storage_config.aws.dynamodb.dynamodb_url: dynamodb://key:secret@host or region
  std::string endpoint;                                 // with scheme: http://host:port; empty: AWS in `region`
  std::string region, access_key_id, secret_access_key, session_token;   // keys empty: as for S3
  std::string table = "skald_index";
  bool create_table = true;
  StoreHttpConfig http;
  StoreRetryConfig retry;
  bool operator==(const DynamoConfig&) const = default;
};

}  // namespace skald::config
