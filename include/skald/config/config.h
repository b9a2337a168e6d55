// The process' configuration as typed values. Members are named after the YAML keys that fill them; the list of every
// key, its kind, default and flag is src/config/keys*.cc. Durations in ns, sizes in bytes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "skald/base/clock.h"
#include "skald/config/cluster.h"
#include "skald/config/limits.h"
#include "skald/config/storage.h"

namespace skald::config {

struct SchemaPeriod {
  std::string from;          // YYYY-MM-DD, first UTC day
  std::string store = "tsdb";                     // or dynamodb (ours): index objects in a table, see Config::dynamodb
  std::string object_store;                       // as written: s3, aws, azure, gcs, filesystem or a named store
  std::string bucket;                             // key of Config::stores; set by derivation
  std::string schema;
  std::string index_prefix;
  std::string index_path_prefix = "index/";
  std::int64_t index_period = 24 * kNanosPerHour;
  bool operator==(const SchemaPeriod&) const = default;
};

struct ServerConfig {
  std::string http_listen_address;
  std::int64_t http_listen_port = 3100;
  std::int64_t http_listen_conn_limit = 0;
  std::string tls_cert_file, tls_key_file, tls_client_ca_file;  // http_tls_config.*
  bool register_instrumentation = true;
  std::int64_t graceful_shutdown_timeout = 30 * kNanosPerSecond;
  std::int64_t http_server_read_timeout = 30 * kNanosPerSecond;
  std::int64_t http_server_write_timeout = 30 * kNanosPerSecond;
  std::int64_t http_server_idle_timeout = 2 * kNanosPerMinute;
  std::string log_format = "logfmt";
  std::string log_level = "info";
  std::string http_path_prefix;
};

struct CommonConfig {
  std::string path_prefix;
  std::string chunks_directory, rules_directory;  // storage.filesystem.*
  std::string object_store_dir;                   // storage.object_store.filesystem.dir
  HedgingConfig hedging;                          // storage.hedging
  std::int64_t replication_factor = 3;
  std::string kvstore = "inmemory";               // ring.kvstore.store
  std::string instance_addr;
};

struct StorageConfig {
  std::string filesystem_directory;               // filesystem.directory
  std::string object_store_dir;                   // object_store.filesystem.dir
  HedgingConfig hedging;                          // also from common.storage.hedging
  std::int64_t max_parallel_get_chunk = 150;      // object reads one query has in flight
  EncryptionConfig encryption;                    // ours
  std::int64_t filesystem_reserve_percent = 5;    // filesystem.reserve_percent (ours, with the next two): objstore/space.h
  std::int64_t filesystem_reserve_bytes = 256LL << 20;
  std::int64_t filesystem_max_size_bytes = 0;     // 0: no limit; else the oldest shards are dropped above it
  struct TsdbShipperConfig {                      // local copies of index objects
    std::string cache_location;                   // empty: none
    std::int64_t cache_ttl = 24 * kNanosPerHour;
    std::int64_t resync_interval = 5 * kNanosPerMinute;
    std::int64_t query_ready_num_days = 0;
  } tsdb_shipper;
};

struct IngesterConfig {
  std::string id;                                 // lifecycler.id; empty: host name
  std::string address;                            // lifecycler.address
  std::int64_t min_ready_duration = 0;            // Loki: 15s; a single process has no peers to wait for
  std::int64_t chunk_idle_period = 30 * kNanosPerMinute;
  std::int64_t chunk_block_size = 1 << 20;        // Loki: 262144; larger blocks compress better here
  std::int64_t chunk_target_size = 1'572'864;
  std::string chunk_encoding = "zstd";            // Loki: gzip
  std::int64_t max_chunk_age = 2 * kNanosPerHour;
  std::int64_t flush_check_period = 30 * kNanosPerSecond;
  bool wal_enabled = true;
  std::string wal_dir = "wal";
  bool wal_flush_on_shutdown = false;
  std::string wal_durability = "interval";        // ours: always (acknowledge after fdatasync) or interval (sync each second)
  std::string shutdown_marker_path;
};

struct CompactorConfig {
  std::string working_directory = "/var/loki/compactor";
  std::int64_t compaction_interval = 10 * kNanosPerMinute;
  std::int64_t apply_retention_interval = 0;      // 0: at each compaction; else a multiple of compaction_interval
  bool retention_enabled = false;
  std::int64_t retention_delete_delay = 2 * kNanosPerHour;
  std::int64_t retention_delete_worker_count = 150;
  std::int64_t retention_table_timeout = 0;       // 0: none
  StoreRetryConfig retention_backoff{.min_period = 100 * kNanosPerMilli, .max_period = 10 * kNanosPerSecond, .max_retries = 10};
  std::string delete_request_store;               // as written
  std::string delete_request_bucket;              // key of Config::stores; the newest period's when the key above is empty
  std::string delete_request_store_key_prefix = "index/";
  std::int64_t delete_batch_size = 70;
  std::int64_t delete_request_cancel_period = 24 * kNanosPerHour;
  std::int64_t delete_max_interval = 24 * kNanosPerHour;   // 0: requests are not split
  std::int64_t max_compaction_parallelism = 1;
  std::int64_t upload_parallelism = 10;
  std::int64_t tables_to_compact = 0;             // days per run; 0: all
  std::int64_t skip_latest_n_tables = 0;
  std::int64_t lease_period = 5 * kNanosPerMinute;         // ours
  std::int64_t orphan_grace_period = 2 * kNanosPerHour;    // ours
  std::string deletion_marker_object_store_prefix;
};

struct QuerierConfig {
  std::int64_t tail_max_duration = kNanosPerHour;
  std::int64_t max_concurrent = 4;
  std::int64_t max_query_memory = 1LL << 30;      // ours: bytes one query may hold; 0: no limit
  bool query_store_only = false;
  bool query_ingester_only = false;
  bool multi_tenant_queries_enabled = false;
  bool per_request_limits_enabled = false;
};

struct FrontendConfig {
  bool compress_responses = true;
  std::int64_t log_queries_longer_than = 0;
  std::vector<std::string> log_query_request_headers;
  std::int64_t max_body_size = 10 << 20;
  bool query_stats_enabled = false;
};

struct Config {
  std::vector<std::string> target = {"all"};
  bool auth_enabled = true;
  std::string no_auth_tenant = "fake";
  std::int64_t shutdown_delay = 0;
  std::vector<std::string> tenant_limits_allow_publish = {"discover_log_levels", "discover_service_name", "log_level_fields",
      "max_entries_limit_per_query", "max_line_size_truncate", "max_query_bytes_read", "max_query_length", "max_query_lookback",
      "max_query_range", "max_query_series", "metric_aggregation_enabled", "otlp_config", "pattern_persistence_enabled",
      "query_timeout", "retention_period", "retention_stream", "volume_enabled", "volume_max_series"};
  ServerConfig server;
  CommonConfig common;
  StorageConfig storage;
  std::vector<SchemaPeriod> schema;
  // The stores that schema periods and the compactor may name: s3 (written s3 or aws), azure, gcs, filesystem, named
  // stores. Holds every store that names a bucket, and all that are used.
  std::map<std::string, BucketConfig> stores;
  // Where rules of the rule API are kept. Without a setting of its own it is the newest period's bucket.
  BucketConfig ruler_bucket;
  DynamoConfig dynamodb;                          // storage_config.aws.dynamodb
  CacheBlockConfig chunk_cache = cache_in_memory();        // chunk_store_config.chunk_cache_config
  CacheBlockConfig chunk_cache_l2;                // chunk_store_config.chunk_cache_config_l2; nothing enabled: none
  std::int64_t l2_chunk_cache_handoff = 0;        // older chunks go to L2 only; 0: no L2
  std::int64_t skip_query_writeback_cache_older_than = 0;   // older chunks are not put into the cache by queries; 0: all are
  struct DistributorConfig {
    std::int64_t max_recv_msg_size = 100 << 20;
    std::int64_t max_decompressed_size = 5000LL << 20;
  } distributor;
  IngesterConfig ingester;
  QuerierConfig querier;
  struct QueryRangeConfig {
    bool align_queries_with_step = false;
    std::int64_t max_retries = 5;
    // Which answers are kept, and where. The other five caches equal `results_cache` unless they name a level themselves.
    bool cache_results = false;
    bool cache_index_stats_results = true;
    bool cache_volume_results = true;
    bool cache_instant_metric_results = false;
    bool cache_series_results = true;
    bool cache_label_results = true;
    CacheBlockConfig results_cache = cache_in_memory();
    CacheBlockConfig index_stats_results_cache, volume_results_cache, instant_metric_results_cache, series_results_cache, label_results_cache;
  } query_range;
  struct QuerySchedulerConfig {
    std::int64_t max_outstanding_requests_per_tenant = 32'000;
  } query_scheduler;
  FrontendConfig frontend;
  CompactorConfig compactor;
  struct PatternIngesterConfig {
    bool enabled = false;
  } pattern_ingester;
  struct RulerConfig {
    bool enable_api = true;
    std::string local_directory;                  // rule files <dir>/<tenant>/*.yaml to read; empty: none
  } ruler;
  // Only an installation of several processes (ring_is_shared) looks at these four.
  RingConfig ring;                                // common.ring: what every ring follows
  LifecyclerConfig lifecycler;                    // this process' entry in the ring of ingesters
  MemberlistConfig memberlist;
  PeerClientConfig peers;                         // ingester_client
  struct RuntimeConfig {
    std::string file;
    std::int64_t period = 10 * kNanosPerSecond;
  } runtime_config;
  Limits limits;

  // Keys without a member: path -> text. Those of stores became `stores`, `ruler_bucket` and `dynamodb`; the others
  // steer nothing here. Kept to be shown again.
  std::map<std::string, std::string> other;
  std::map<std::string, std::string> named_stores;   // path of a named store's block -> kind of block, to show it again
  // Paths that the file or a flag gave, and their line (0: a flag). What was derived is not in it.
  std::map<std::string, int> given;

  bool ring_is_shared() const { return common.kvstore != "inmemory"; }
  bool is_given(const std::string& path) const { return given.count(path) != 0; }
  // Root of the file system bucket; never empty after derivation.
  std::string bucket_directory() const;
  // The key of `stores` for a name as users write it: aws is s3.
  static std::string store_name(const std::string& written) { return written == "aws" ? "s3" : written; }
  // What a period's chunks are in. `index` counts `schema`.
  const BucketConfig& bucket_of_period(std::size_t index) const { return stores.at(schema.at(index).bucket); }
};

// A Config without file and flags, derived: single node, data below ./data.
Config default_config();

// Texts for people. Secrets are "********".
std::string print_config(const Config& config);                        // complete YAML
std::string print_config_diff(const Config& config);                   // what differs from the defaults
std::string print_limits(const Limits& limits, const std::vector<std::string>& only);  // YAML; `only` empty: all
// JSON object of the named limits, in the form clients of drilldown-limits read.
std::string limits_json(const Limits& limits, const std::vector<std::string>& only);

}  // namespace skald::config
