// Files people bring along: each must load and take effect.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "skald/config/load.h"

namespace skald::config {
namespace {

using ::testing::Contains;
using ::testing::Not;

Result<Loaded> load_file(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_TRUE(in.good() || in.eof()) << path;
  return load_text(text.str(), path);
}

std::string source(const std::string& path) { return std::string(SKALD_SOURCE_DIR) + "/" + path; }

TEST(Samples, ShippedFilesLoadWithoutWarnings) {
  for (const char* name : {"configs/local.yaml", "configs/docker.yaml", "configs/multi-tenant.yaml"}) {
    const Result<Loaded> loaded = load_file(source(name));
    ASSERT_TRUE(loaded.ok()) << name << ": " << loaded.error().message();
    EXPECT_TRUE(loaded->warnings.empty()) << name << ": " << loaded->warnings.front();
  }
}

TEST(Samples, LocalYamlSaysWhatAStartWithoutAFileDoes) {
  const Result<Loaded> loaded = load_file(source("configs/local.yaml"));
  ASSERT_TRUE(loaded.ok());
  const Config built_in = default_config();
  EXPECT_EQ(loaded->config.bucket_directory(), built_in.bucket_directory());
  EXPECT_EQ(loaded->config.ingester.wal_dir, built_in.ingester.wal_dir);
  EXPECT_EQ(loaded->config.auth_enabled, built_in.auth_enabled);
  EXPECT_EQ(loaded->config.schema, built_in.schema);
  EXPECT_EQ(loaded->config.limits, built_in.limits);
}

// A single binary with raised limits, both styles of store, caches on and off.
constexpr const char* kBenchmarkLike = R"(
auth_enabled: false
server:
  http_listen_address: 127.0.0.1
  http_listen_port: 4100
  grpc_listen_address: 127.0.0.1
  grpc_listen_port: 4195
  log_level: error
  http_server_read_timeout: 10m
  grpc_server_max_recv_msg_size: 209715200
common:
  instance_addr: 127.0.0.1
  path_prefix: /d
  storage: {filesystem: {chunks_directory: /d/chunks, rules_directory: /d/rules}}
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
storage_config: {object_store: {filesystem: {dir: /d/objects}}}
schema_config:
  configs:
    - {from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}
ingester:
  chunk_encoding: snappy
  lifecycler: {min_ready_duration: 0s}
querier: {query_ingesters_within: 0}
query_range: {cache_results: true, cache_index_stats_results: false, cache_instant_metric_results: true}
chunk_store_config: {chunk_cache_config: {embedded_cache: {enabled: true, max_size_mb: 256}}}
frontend: {max_outstanding_per_tenant: 8192}
query_scheduler: {max_outstanding_requests_per_tenant: 32768}
ingester_client: {grpc_client_config: {max_recv_msg_size: 209715200, max_send_msg_size: 209715200}}
limits_config:
  ingestion_rate_mb: 100000
  ingestion_burst_size_mb: 100000
  per_stream_rate_limit: 100GB
  per_stream_rate_limit_burst: 100GB
  max_global_streams_per_user: 10000000
  max_query_length: 0
  query_timeout: 10m
  reject_old_samples: false
analytics: {reporting_enabled: false}
)";

TEST(Samples, ASingleBinaryWithRaisedLimitsTakesEffectBelowItsDirectory) {
  const Result<Loaded> loaded = load_text(kBenchmarkLike, "bench.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  const Config& config = loaded->config;
  EXPECT_EQ(config.bucket_directory(), "/d/objects");
  EXPECT_EQ(config.ingester.wal_dir, "/d/wal");
  EXPECT_EQ(config.ingester.chunk_encoding, "snappy");
  EXPECT_EQ(config.chunk_cache.embedded_max_size_mb, 256);
  EXPECT_EQ(config.limits.per_stream_rate_limit, 100LL << 30);
  EXPECT_EQ(config.limits.max_query_length, 0);
  EXPECT_EQ(config.server.http_server_read_timeout, 10 * kNanosPerMinute);
  EXPECT_EQ(config.server.log_level, "error");
  EXPECT_THAT(loaded->warnings, Not(Contains("analytics.reporting_enabled")));
  EXPECT_TRUE(config.query_range.cache_results);
  EXPECT_FALSE(config.query_range.cache_index_stats_results);
}

// Everything kept in memory, old data accepted, rules and deletes on.
constexpr const char* kConformanceLike = R"(
auth_enabled: true
common:
  path_prefix: ./data
  storage: {filesystem: {chunks_directory: ./data/chunks, rules_directory: ./data/rules}}
  ring: {kvstore: {store: inmemory}}
schema_config:
  configs: [{from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]
ingester: {query_store_max_look_back_period: -1ns, chunk_idle_period: 12h, max_chunk_age: 4h, flush_check_period: 10m}
pattern_ingester: {enabled: true}
compactor: {working_directory: ./data/compactor, retention_enabled: true, delete_request_store: filesystem, compaction_interval: 10m}
ruler: {enable_api: true, rule_path: ./data/rules-tmp}
ruler_storage: {backend: filesystem, filesystem: {dir: ./data/rules}}
limits_config: {reject_old_samples: false, shard_aggregations: [approx_topk], per_stream_rate_limit: 200MB, deletion_mode: filter-and-delete}
)";

TEST(Samples, AFileForOldDataAndDeletesTakesEffect) {
  const Result<Loaded> loaded = load_text(kConformanceLike, "conformance.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  const Config& config = loaded->config;
  EXPECT_TRUE(config.auth_enabled);
  EXPECT_EQ(config.ingester.max_chunk_age, 4 * kNanosPerHour);
  EXPECT_EQ(config.ingester.chunk_idle_period, 12 * kNanosPerHour);
  EXPECT_TRUE(config.pattern_ingester.enabled);
  EXPECT_TRUE(config.compactor.retention_enabled);
  EXPECT_FALSE(config.limits.reject_old_samples);
  EXPECT_EQ(config.limits.shard_aggregations, std::vector<std::string>{"approx_topk"});
  EXPECT_EQ(config.bucket_directory(), "./data/chunks");
}

TEST(Documentation, NamesEveryKeyWithAnEffect) {
  std::ifstream in(source("docs/configuration.md"));
  std::stringstream text;
  text << in.rdbuf();
  const std::string page = text.str();
  for (const std::string& row : effective_keys()) {
    std::string key = row.substr(0, row.find('\t'));
    if (key.starts_with("limits_config.")) key = key.substr(14);
    if (key.starts_with("<")) key = key.substr(key.find('.') + 1);   // of a block that is described once
    EXPECT_NE(page.find("| `" + key + "` |"), std::string::npos) << key;
  }
}

TEST(Documentation, EveryExampleLoadsWithoutAWarning) {
  std::ifstream in(source("docs/configuration.md"));
  std::stringstream text;
  text << in.rdbuf();
  const std::string page = text.str();
  int examples = 0;
  for (std::size_t at = page.find("```yaml\n"); at != std::string::npos; at = page.find("```yaml\n", at + 1)) {
    const std::size_t begin = at + 8;
    const std::string example = page.substr(begin, page.find("```", begin) - begin);
    if (example.starts_with("overrides:")) continue;   // the runtime file
    const Result<Loaded> loaded = load_text(example, "example.yaml");
    ASSERT_TRUE(loaded.ok()) << loaded.error().message() << "\n" << example;
    EXPECT_TRUE(loaded->warnings.empty()) << loaded->warnings.front();
    ++examples;
  }
  EXPECT_GE(examples, 13);
}

// Keys that files of older releases still carry.
TEST(Samples, AFileOfAnOlderReleaseLoads) {
  const Result<Loaded> loaded = load_text(R"(
http_prefix:
ingester:
  lifecycler: {address: 127.0.0.1, join_after: 10s, observe_period: 5s, final_sleep: 0s, ring: {replication_factor: 1, kvstore: {store: inmemory}}}
  chunk_idle_period: 5m
  chunk_retain_period: 30s
  chunk_target_size: 1.572864e+06
  max_transfer_retries: 0
  wal: {enabled: true, dir: /loki/wal, recover: true, checkpoint_duration: 5m, replay_memory_ceiling: 4GB}
schema_config:
  configs: [{from: 2023-01-01, store: tsdb, object_store: filesystem, schema: v12, row_shards: 16, chunks: {prefix: c_, period: 24h}, index: {prefix: index_, period: 24h}}]
storage_config:
  boltdb_shipper: {shared_store: filesystem, active_index_directory: /loki/index, cache_location: /loki/cache}
  filesystem: {directory: /loki/chunks}
compactor: {working_directory: /loki/compactor, shared_store: filesystem, retention_enabled: true}
limits_config: {enforce_metric_name: false, allow_structured_metadata: false, reject_old_samples: true, reject_old_samples_max_age: 168h}
chunk_store_config: {max_look_back_period: 336h}
table_manager: {retention_deletes_enabled: true, retention_period: 336h}
query_range: {split_queries_by_interval: 15m, results_cache: {cache: {enable_fifocache: true, fifocache: {max_size_items: 1024, validity: 24h}, async_cache_write_back_concurrency: 16}}}
frontend: {address: 127.0.0.1, experimental_apis_enabled: true}
frontend_worker: {parallelism: 4, match_max_concurrent: true}
)", "old.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->config.compactor.delete_request_store, "filesystem");
  EXPECT_EQ(loaded->config.limits.max_query_lookback, 336 * kNanosPerHour);
  EXPECT_EQ(loaded->config.limits.split_queries_by_interval, 15 * kNanosPerMinute);
  EXPECT_EQ(loaded->config.ingester.wal_dir, "/loki/wal");
}

// What a chart generates: empty strings, blocks without effect, memberlist.
TEST(Samples, AGeneratedFileWithManyForeignKeysLoads) {
  const Result<Loaded> loaded = load_text(R"(
auth_enabled: true
bloom_build: {builder: {planner_address: ""}, enabled: false}
bloom_gateway: {client: {addresses: ""}, enabled: false}
chunk_store_config:
  chunk_cache_config:
    background: {writeback_buffer: 500000, writeback_goroutines: 1, writeback_size_limit: 500MB}
    memcached: {batch_size: 4, parallelism: 5}
    memcached_client: {addresses: dnssrvnoa+_memcached-client._tcp.cache, consistent_hash: true, max_idle_conns: 72, timeout: 2000ms}
common: {compactor_grpc_address: 'b:9095', path_prefix: /var/loki, replication_factor: 3, storage: {filesystem: {chunks_directory: /var/loki/chunks}}}
frontend: {scheduler_address: "", tail_proxy_url: ""}
frontend_worker: {scheduler_address: ""}
index_gateway: {mode: simple}
limits_config: {max_cache_freshness_per_query: 10m, query_timeout: 300s, reject_old_samples: true, reject_old_samples_max_age: 168h, split_queries_by_interval: 15m, volume_enabled: true}
memberlist: {join_members: [m.ns.svc.cluster.local]}
pattern_ingester: {enabled: false}
query_range: {align_queries_with_step: true, cache_results: true, results_cache: {cache: {default_validity: 12h, memcached_client: {timeout: 500ms}}}}
ruler: {storage: {type: local}, wal: {dir: /var/loki/ruler-wal}}
runtime_config: {file: /etc/loki/runtime-config/runtime-config.yaml}
schema_config: {configs: [{from: '2024-04-01', index: {period: 24h, prefix: loki_index_}, object_store: filesystem, schema: v13, store: tsdb}]}
server: {grpc_listen_port: 9095, http_listen_port: 3100, http_server_read_timeout: 600s, http_server_write_timeout: 600s}
storage_config:
  bloom_shipper: {working_directory: /var/loki/data/bloomshipper}
  boltdb_shipper: {index_gateway_client: {server_address: 'dns+b:9095'}}
  hedging: {at: 250ms, max_per_second: 20, up_to: 3}
  tsdb_shipper: {index_gateway_client: {server_address: 'dns+b:9095'}}
  use_thanos_objstore: false
tracing: {enabled: false}
)", "chart.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->config.runtime_config.file, "/etc/loki/runtime-config/runtime-config.yaml");
  EXPECT_EQ(loaded->config.common.kvstore, "memberlist");
}

}  // namespace
}  // namespace skald::config
