// Cache blocks and the compactor: every key, what is derived, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "config/keys.h"
#include "skald/config/load.h"

namespace skald::config {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// `idle`: the keys of the text that are known to do nothing here, in order; each must be told, and no other.
Config config_of(const std::string& text, const std::vector<std::string>& idle = {}) {
  Result<Loaded> loaded = load_text(text, "c.yaml");
  EXPECT_TRUE(loaded.ok()) << loaded.error().message() << "\n" << text;
  if (!loaded.ok()) return Config{};
  std::vector<std::string> told;
  for (const std::string& warning : loaded->warnings) {
    EXPECT_THAT(warning, HasSubstr("\t")) << "without a reason";
    told.push_back(warning.substr(0, warning.find('\t')));
  }
  EXPECT_EQ(told, idle) << text;
  return loaded->config;
}

std::string error_of(const std::string& text) {
  const Result<Loaded> loaded = load_text(text, "c.yaml");
  return loaded.ok() ? "loaded" : loaded.error().message();
}

TEST(Caches, EveryKeyOfABlock) {
  const CacheBlockConfig cache = config_of(R"(chunk_store_config:
  chunk_cache_config:
    default_validity: 2h
    background: {writeback_goroutines: 3, writeback_buffer: 4, writeback_size_limit: 5MB}
    memcached: {expiration: 6m, batch_size: 7, parallelism: 8}
    memcached_client: {host: h, service: s, addresses: 'a:1,dns+b:2', timeout: 9s, max_idle_conns: 10, max_item_size: 11, update_interval: 12s, consistent_hash: false,
      circuit_breaker_consecutive_failures: 13, circuit_breaker_timeout: 14s, circuit_breaker_interval: 15s, tls_enabled: true, tls_ca_path: /ca, tls_cert_path: /c, tls_key_path: /k,
      tls_server_name: n, tls_insecure_skip_verify: true}
    embedded_cache: {enabled: true, max_size_mb: 16, max_size_items: 17, ttl: 18m}
    disk_cache: {directory: /d, max_size_mb: 19}
)").chunk_cache;
  CacheBlockConfig wanted;
  wanted.default_validity = 2 * kNanosPerHour;
  wanted.writeback_goroutines = 3;
  wanted.writeback_buffer = 4;
  wanted.writeback_size_limit = 5 << 20;
  wanted.embedded_enabled = true;
  wanted.embedded_max_size_mb = 16;
  wanted.embedded_max_size_items = 17;
  wanted.embedded_ttl = 18 * kNanosPerMinute;
  wanted.disk_directory = "/d";
  wanted.disk_max_size_mb = 19;
  MemcachedConfig& memcached = wanted.memcached;
  memcached.host = "h";
  memcached.service = "s";
  memcached.addresses = "a:1,dns+b:2";
  memcached.timeout = 9 * kNanosPerSecond;
  memcached.max_idle_conns = 10;
  memcached.max_item_size = 11;
  memcached.update_interval = 12 * kNanosPerSecond;
  memcached.consistent_hash = false;
  memcached.circuit_breaker_consecutive_failures = 13;
  memcached.circuit_breaker_timeout = 14 * kNanosPerSecond;
  memcached.circuit_breaker_interval = 15 * kNanosPerSecond;
  memcached.expiration = 6 * kNanosPerMinute;
  memcached.batch_size = 7;
  memcached.parallelism = 8;
  memcached.tls_enabled = memcached.tls_insecure_skip_verify = true;
  memcached.tls_ca_path = "/ca";
  memcached.tls_cert_path = "/c";
  memcached.tls_key_path = "/k";
  memcached.tls_server_name = "n";
  EXPECT_EQ(cache, wanted);
}

TEST(Caches, EveryKeyOfRedis) {
  const Config config = config_of("query_range: {results_cache: {cache: {redis: {endpoint: 'r:6379', timeout: 1s, expiration: 2s, db: 3, pool_size: 4, username: u, password: hush, tls_enabled: true, tls_insecure_skip_verify: true}}}}\n");
  RedisConfig wanted;
  wanted.endpoint = "r:6379";
  wanted.timeout = kNanosPerSecond;
  wanted.expiration = 2 * kNanosPerSecond;
  wanted.db = 3;
  wanted.pool_size = 4;
  wanted.username = "u";
  wanted.password = "hush";
  wanted.tls_enabled = wanted.tls_insecure_skip_verify = true;
  EXPECT_EQ(config.query_range.results_cache.redis, wanted);
  EXPECT_FALSE(config.query_range.results_cache.embedded_enabled);
  EXPECT_EQ(print_config(config).find("hush"), std::string::npos);
}

TEST(Caches, EachBlockIsItsOwn) {
  const KeyTable table;
  Config config;
  std::set<const void*> members;
  int keys = 0;
  for (const KeyInfo& key : table.keys()) {
    if (!key.member || key.alias || key.path.find("cache") == std::string::npos) continue;
    ++keys;
    EXPECT_TRUE(members.insert(key.member(config)).second) << key.path << " shares its member with another key";
  }
  EXPECT_GT(keys, 8 * 35);
}

TEST(Caches, ChunksAndResultsAreKeptInMemoryUnlessAnotherLevelIsNamed) {
  Config config = config_of("auth_enabled: true\n");
  EXPECT_TRUE(config.chunk_cache.embedded_enabled);
  EXPECT_TRUE(config.query_range.results_cache.embedded_enabled);
  EXPECT_FALSE(config.query_range.cache_results);
  EXPECT_FALSE(config.chunk_cache_l2.embedded_enabled);
  config = config_of("chunk_store_config: {chunk_cache_config: {memcached_client: {host: h}}}\nquery_range: {results_cache: {cache: {embedded_cache: {enabled: false}}}}\n");
  EXPECT_FALSE(config.chunk_cache.embedded_enabled);
  EXPECT_FALSE(config.query_range.results_cache.embedded_enabled);
  config = config_of("chunk_store_config: {chunk_cache_config: {memcached_client: {host: h}, embedded_cache: {enabled: true}}}\n");
  EXPECT_TRUE(config.chunk_cache.embedded_enabled);
  config = config_of("chunk_store_config: {chunk_cache_config: {disk_cache: {directory: /d}}}\n");
  EXPECT_TRUE(config.chunk_cache.embedded_enabled);
}

TEST(Caches, TheOtherResultsFollowTheResultsCache) {
  const Config config = config_of("query_range: {results_cache: {cache: {default_validity: 7h, redis: {endpoint: r}}}, volume_results_cache: {cache: {embedded_cache: {enabled: true, max_size_mb: 3}}}}\n");
  const auto& range = config.query_range;
  EXPECT_EQ(range.label_results_cache, range.results_cache);
  EXPECT_EQ(range.series_results_cache, range.results_cache);
  EXPECT_EQ(range.index_stats_results_cache, range.results_cache);
  EXPECT_EQ(range.instant_metric_results_cache, range.results_cache);
  EXPECT_EQ(range.volume_results_cache.embedded_max_size_mb, 3);
  EXPECT_FALSE(range.volume_results_cache.redis_configured());
}

TEST(Caches, TheCacheOfLoki2IsTheOneInMemory) {
  const Config config = config_of("query_range: {results_cache: {cache: {enable_fifocache: true, fifocache: {max_size_bytes: 1500KB, max_size_items: 9, ttl: 7m}}}}\n"
                                  "chunk_store_config: {chunk_cache_config: {enable_fifocache: true, fifocache: {max_size_bytes: \"500MB\", size: 2048, validity: 24h}}}\n");
  EXPECT_EQ(config.query_range.results_cache.embedded_max_size_mb, 2);
  EXPECT_EQ(config.query_range.results_cache.embedded_max_size_items, 9);
  EXPECT_EQ(config.query_range.results_cache.embedded_ttl, 7 * kNanosPerMinute);
  EXPECT_TRUE(config.chunk_cache.embedded_enabled);
  EXPECT_EQ(config.chunk_cache.embedded_max_size_mb, 500);
  EXPECT_EQ(config.chunk_cache.embedded_max_size_items, 2048);
  EXPECT_EQ(config.chunk_cache.embedded_ttl, 24 * kNanosPerHour);
}

TEST(Caches, SwitchesAndAges) {
  const Config config = config_of("query_range: {cache_results: true, cache_index_stats_results: false, cache_volume_results: false, cache_instant_metric_results: true, cache_series_results: false, cache_label_results: false}\n"
                                  "chunk_store_config: {skip_query_writeback_cache_older_than: 1h, l2_chunk_cache_handoff: 2h, chunk_cache_config_l2: {memcached_client: {addresses: 'm:1'}}}\n"
                                  "storage_config: {tsdb_shipper: {cache_location: /i, cache_ttl: 1h, resync_interval: 2m, query_ready_num_days: 3}, max_parallel_get_chunk: 20}\n"
                                  "limits_config: {max_cache_freshness_per_query: 1m, max_metadata_cache_freshness: 2m, max_stats_cache_freshness: 3m}\n",
                                  {"query_range.cache_instant_metric_results", "storage_config.tsdb_shipper.cache_ttl", "storage_config.max_parallel_get_chunk"});
  const auto& range = config.query_range;
  EXPECT_TRUE(range.cache_results && range.cache_instant_metric_results);
  EXPECT_FALSE(range.cache_index_stats_results || range.cache_volume_results || range.cache_series_results || range.cache_label_results);
  EXPECT_EQ(config.skip_query_writeback_cache_older_than, kNanosPerHour);
  EXPECT_EQ(config.l2_chunk_cache_handoff, 2 * kNanosPerHour);
  EXPECT_TRUE(config.chunk_cache_l2.memcached_configured());
  EXPECT_EQ(config.storage.tsdb_shipper.cache_location, "/i");
  EXPECT_EQ(config.storage.tsdb_shipper.cache_ttl, kNanosPerHour);
  EXPECT_EQ(config.storage.tsdb_shipper.resync_interval, 2 * kNanosPerMinute);
  EXPECT_EQ(config.storage.tsdb_shipper.query_ready_num_days, 3);
  EXPECT_EQ(config.storage.max_parallel_get_chunk, 20);
}

TEST(Caches, NonsenseIsRefused) {
  const auto error = [](const std::string& block) { return error_of("chunk_store_config: {chunk_cache_config: " + block + "}\n"); };
  EXPECT_THAT(error("{embedded_cache: {max_size_mb: 99999999}}"), HasSubstr("invalid chunk_store_config.chunk_cache_config config: embedded_cache.max_size_mb is out of range"));
  EXPECT_THAT(error("{disk_cache: {max_size_mb: -1}}"), HasSubstr("disk_cache.max_size_mb is out of range"));
  EXPECT_THAT(error("{memcached_client: {timeout: -1s}}"), HasSubstr("memcached values must not be negative"));
  EXPECT_THAT(error("{memcached_client: {host: a}, redis: {endpoint: b}}"), HasSubstr("choose one"));
  EXPECT_THAT(error("{memcached_client: {tls_cert_path: /c}}"), HasSubstr("needs both tls_cert_path and tls_key_path"));
  EXPECT_THAT(error("{redis: {endpoint: r, master_name: m}}"), HasSubstr("sentinel is not supported"));
  EXPECT_THAT(error("{redis: {endpoint: 'a:1,b:2'}}"), HasSubstr("one is supported"));
  EXPECT_THAT(error("{redis: {db: -1}}"), HasSubstr("redis values must not be negative"));
  EXPECT_THAT(error("{embedded_cache: {max_size: 3}}"), HasSubstr("did you mean"));
  EXPECT_THAT(error_of("storage_config: {tsdb_shipper: {resync_interval: 0s}}\n"), HasSubstr("resync_interval must be positive"));
}

TEST(Compactor, EveryKey) {
  const CompactorConfig c = config_of(R"(compactor:
  working_directory: /w
  compaction_interval: 5m
  apply_retention_interval: 1h
  retention_enabled: true
  retention_delete_delay: 3h
  retention_delete_worker_count: 4
  retention_table_timeout: 5h
  retention_backoff_config: {min_period: 1s, max_period: 2s, max_retries: 3}
  delete_request_store: filesystem
  delete_request_store_key_prefix: deletes/
  delete_batch_size: 6
  delete_request_cancel_period: 7h
  delete_max_interval: 8h
  max_compaction_parallelism: 9
  upload_parallelism: 10
  tables_to_compact: 11
  skip_latest_n_tables: 12
  deletion_marker_object_store_prefix: marks/
)", {"compactor.working_directory", "compactor.retention_table_timeout", "compactor.retention_backoff_config.min_period",
     "compactor.retention_backoff_config.max_period", "compactor.retention_backoff_config.max_retries", "compactor.delete_request_store_key_prefix",
     "compactor.delete_max_interval", "compactor.deletion_marker_object_store_prefix"}).compactor;
  EXPECT_EQ(c.working_directory, "/w");
  EXPECT_EQ(c.compaction_interval, 5 * kNanosPerMinute);
  EXPECT_EQ(c.apply_retention_interval, kNanosPerHour);
  EXPECT_TRUE(c.retention_enabled);
  EXPECT_EQ(c.retention_delete_delay, 3 * kNanosPerHour);
  EXPECT_EQ(c.retention_delete_worker_count, 4);
  EXPECT_EQ(c.retention_table_timeout, 5 * kNanosPerHour);
  EXPECT_EQ(c.retention_backoff, (StoreRetryConfig{kNanosPerSecond, 2 * kNanosPerSecond, 3}));
  EXPECT_EQ(c.delete_request_bucket, "filesystem");
  EXPECT_EQ(c.delete_request_store_key_prefix, "deletes/");
  EXPECT_EQ(c.delete_batch_size, 6);
  EXPECT_EQ(c.delete_request_cancel_period, 7 * kNanosPerHour);
  EXPECT_EQ(c.delete_max_interval, 8 * kNanosPerHour);
  EXPECT_EQ(c.max_compaction_parallelism, 9);
  EXPECT_EQ(c.upload_parallelism, 10);
  EXPECT_EQ(c.tables_to_compact, 11);
  EXPECT_EQ(c.skip_latest_n_tables, 12);
  EXPECT_EQ(c.deletion_marker_object_store_prefix, "marks/");
}

TEST(Compactor, IsValidatedAsLokiDoes) {
  const auto error = [](const std::string& keys) { return error_of("compactor: {" + keys + "}\n"); };
  const std::string prefix = "CONFIG ERROR: invalid compactor config: ";
  EXPECT_EQ(error("retention_enabled: true"), prefix + "compactor.delete-request-store should be configured when retention is enabled");
  EXPECT_EQ(error("compaction_interval: 10m, apply_retention_interval: 15m"), prefix + "interval for applying retention should either be set to a 0 or a multiple of compaction interval");
  EXPECT_EQ(error("compaction_interval: 10m, apply_retention_interval: 20m"), "loaded");
  EXPECT_EQ(error("max_compaction_parallelism: 0"), prefix + "max compaction parallelism must be >= 1");
  EXPECT_THAT(error("compaction_interval: 0s"), HasSubstr("compaction_interval must be positive"));
  EXPECT_THAT(error("delete_batch_size: 0"), HasSubstr("delete_batch_size"));
  EXPECT_THAT(error("retention_delete_worker_count: 0"), HasSubstr("retention_delete_worker_count"));
  EXPECT_THAT(error("upload_parallelism: 0"), HasSubstr("upload_parallelism"));
  EXPECT_THAT(error("retention_delete_delay: -1s"), HasSubstr("must not be negative"));
  EXPECT_THAT(error("tables_to_compact: -1"), HasSubstr("must not be negative"));
  EXPECT_THAT(error("retention_backoff_config: {min_period: 20s}"), HasSubstr("retention_backoff_config"));
  EXPECT_THAT(error("delete_request_store_key_prefix: /x"), HasSubstr("must end with / and not begin with it"));
}

TEST(Compactor, OlderSpellingsAndRetention) {
  const Config config = config_of("compactor: {retention_enabled: true, shared_store: filesystem, shared_store_key_prefix: i/, deletion_mode: filter-only}\n"
                                  "limits_config: {retention_period: 31d, retention_stream: [{selector: '{a=\"b\"}', priority: 2, period: 48h}]}\n");
  EXPECT_EQ(config.compactor.delete_request_bucket, "filesystem");
  EXPECT_EQ(config.compactor.delete_request_store_key_prefix, "i/");
  EXPECT_EQ(config.limits.deletion_mode, "filter-only");
  EXPECT_EQ(config.limits.retention_stream.at(0).period, 48 * kNanosPerHour);
  EXPECT_THAT(error_of("limits_config: {retention_stream: [{selector: '{a=\"b\"}', priority: 1, period: 23h}]}\n"), HasSubstr("retention period must be >= 24h was 23h"));
}

}  // namespace
}  // namespace skald::config
