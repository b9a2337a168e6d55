// What charts generate for object stores must load, take effect, and not frighten whoever reads the log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skald/config/load.h"

namespace skald::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Loaded load_good(const std::string& text) {
  Result<Loaded> loaded = load_text(text, "chart.yaml");
  EXPECT_TRUE(loaded.ok()) << loaded.error().message();
  return loaded.ok() ? std::move(*loaded) : Loaded{};
}

// Every warning says why the key needs no effect.
void expect_calm(const Loaded& loaded) {
  for (const std::string& warning : loaded.warnings) EXPECT_THAT(warning, HasSubstr("\t"));
}

// Three targets with S3: the chart's generated file, storage in `common` (`object_store` when it is told to use that).
std::string chart(const std::string& store_kind, const std::string& common_storage, const std::string& ruler) {
  return R"(
auth_enabled: true
bloom_build:
  builder:
    planner_address: loki-backend-headless.logs.svc.cluster.local:9095
  enabled: false
bloom_gateway:
  client:
    addresses: dnssrvnoa+_grpc._tcp.loki-backend-headless.logs.svc.cluster.local
  enabled: false
chunk_store_config:
  chunk_cache_config:
    background:
      writeback_buffer: 500000
      writeback_goroutines: 1
      writeback_size_limit: 500MB
    default_validity: 0s
    memcached:
      batch_size: 4
      parallelism: 5
    memcached_client:
      addresses: dnssrvnoa+_memcached-client._tcp.loki-chunks-cache.logs.svc
      consistent_hash: true
      max_idle_conns: 72
      timeout: 2000ms
common:
  compactor_grpc_address: 'loki-backend.logs.svc.cluster.local:9095'
  path_prefix: /var/loki
  replication_factor: 3
)" + common_storage + R"(
compactor:
  delete_request_store: )" + store_kind + R"(
  retention_enabled: true
frontend:
  scheduler_address: ""
  tail_proxy_url: ""
frontend_worker:
  scheduler_address: ""
index_gateway:
  mode: simple
ingester:
  chunk_encoding: snappy
limits_config:
  max_cache_freshness_per_query: 10m
  query_timeout: 300s
  reject_old_samples: true
  reject_old_samples_max_age: 168h
  retention_period: 744h
  split_queries_by_interval: 15m
  volume_enabled: true
memberlist:
  join_members:
  - loki-memberlist
pattern_ingester:
  enabled: false
querier:
  max_concurrent: 4
query_range:
  align_queries_with_step: true
  cache_results: true
  results_cache:
    cache:
      background:
        writeback_buffer: 500000
        writeback_goroutines: 1
        writeback_size_limit: 500MB
      default_validity: 12h
      memcached_client:
        addresses: dnssrvnoa+_memcached-client._tcp.loki-results-cache.logs.svc
        consistent_hash: true
        timeout: 500ms
        update_interval: 1m
)" + ruler + R"(
runtime_config:
  file: /etc/loki/runtime-config/runtime-config.yaml
schema_config:
  configs:
  - from: "2024-04-01"
    index:
      period: 24h
      prefix: loki_index_
    object_store: )" + store_kind + R"(
    schema: v13
    store: tsdb
server:
  grpc_listen_port: 9095
  http_listen_port: 3100
  http_server_read_timeout: 600s
  http_server_write_timeout: 600s
storage_config:
  bloom_shipper:
    working_directory: /var/loki/data/bloomshipper
  boltdb_shipper:
    index_gateway_client:
      server_address: dns+loki-backend-headless.logs.svc.cluster.local:9095
  hedging:
    at: 250ms
    max_per_second: 20
    up_to: 3
  tsdb_shipper:
    index_gateway_client:
      server_address: dns+loki-backend-headless.logs.svc.cluster.local:9095
  use_thanos_objstore: false
tracing:
  enabled: false
)";
}

void expect_chart(const Loaded& loaded) {
  const Config& config = loaded.config;
  expect_calm(loaded);
  EXPECT_EQ(config.storage.hedging, (HedgingConfig{250 * kNanosPerMilli, 3, 20}));
  EXPECT_EQ(config.chunk_cache.memcached.addresses, "dnssrvnoa+_memcached-client._tcp.loki-chunks-cache.logs.svc");
  EXPECT_FALSE(config.chunk_cache.embedded_enabled);
  EXPECT_EQ(config.chunk_cache.memcached.timeout, 2 * kNanosPerSecond);
  EXPECT_TRUE(config.query_range.cache_results);
  EXPECT_EQ(config.query_range.results_cache.default_validity, 12 * kNanosPerHour);
  EXPECT_EQ(config.query_range.label_results_cache, config.query_range.results_cache);
  EXPECT_EQ(config.compactor.working_directory, "/var/loki/compactor");
  EXPECT_EQ(config.storage.tsdb_shipper.cache_location, "/var/loki/tsdb-shipper-cache");
  EXPECT_EQ(config.limits.retention_period, 31 * kNanosPerDay);
  EXPECT_EQ(config.compactor.delete_request_bucket, config.schema.at(0).bucket);
}

TEST(Chart, SimpleScalableOnS3) {
  const Loaded loaded = load_good(chart("s3", R"(  storage:
    s3:
      access_key_id: AKIA
      bucketnames: chunks
      endpoint: s3.eu-central-1.amazonaws.com
      http_config: {}
      insecure: false
      region: eu-central-1
      s3forcepathstyle: false
      secret_access_key: hush
)", R"(ruler:
  storage:
    s3:
      access_key_id: AKIA
      bucketnames: ruler
      endpoint: s3.eu-central-1.amazonaws.com
      http_config: {}
      insecure: false
      region: eu-central-1
      s3forcepathstyle: false
      secret_access_key: hush
    type: s3
  wal:
    dir: /var/loki/ruler-wal
)"));
  expect_chart(loaded);
  EXPECT_THAT(loaded.config.bucket_of_period(0).s3.buckets, ElementsAre("chunks"));
  EXPECT_THAT(loaded.config.ruler_bucket.s3.buckets, ElementsAre("ruler"));
  EXPECT_EQ(loaded.config.ruler_bucket.s3.secret_access_key, "hush");
}

TEST(Chart, S3InTheNewStyle) {
  const Loaded loaded = load_good(chart("s3", R"(  storage:
    object_store:
      s3:
        bucket_name: chunks
        region: eu-central-1
        insecure: false
        native_aws_auth_enabled: true
        sse: {}
        http: {}
)", R"(ruler_storage:
  backend: s3
  s3: {bucket_name: ruler, region: eu-central-1, insecure: false, sse: {}, http: {}}
)"));
  expect_chart(loaded);
  EXPECT_THAT(loaded.config.bucket_of_period(0).s3.buckets, ElementsAre("chunks"));
  EXPECT_EQ(loaded.config.bucket_of_period(0).s3.retry.max_retries, 10);
  EXPECT_THAT(loaded.config.ruler_bucket.s3.buckets, ElementsAre("ruler"));
}

TEST(Chart, AzureWithWorkloadIdentity) {
  const Loaded loaded = load_good(chart("azure", R"(  storage:
    azure:
      account_name: acc
      container_name: chunks
      use_federated_token: true
      use_managed_identity: false
)", R"(ruler:
  storage:
    azure:
      account_name: acc
      container_name: ruler
      use_federated_token: true
      use_managed_identity: false
    type: azure
)"));
  expect_chart(loaded);
  EXPECT_TRUE(loaded.config.bucket_of_period(0).azure.use_federated_token);
  EXPECT_EQ(loaded.config.bucket_of_period(0).azure.container_name, "chunks");
  EXPECT_EQ(loaded.config.ruler_bucket.azure.container_name, "ruler");
}

TEST(Chart, Gcs) {
  const Loaded loaded = load_good(chart("gcs", R"(  storage:
    gcs:
      bucket_name: chunks
      chunk_buffer_size: 0
      enable_http2: true
      request_timeout: 0s
)", R"(ruler:
  storage:
    gcs: {bucket_name: ruler, chunk_buffer_size: 0, enable_http2: true, request_timeout: 0s}
    type: gcs
)"));
  expect_chart(loaded);
  EXPECT_EQ(loaded.config.bucket_of_period(0).gcs.bucket_name, "chunks");
  EXPECT_EQ(loaded.config.ruler_bucket.gcs.bucket_name, "ruler");
}

TEST(Chart, ASmallFileOfASingleNodeLoadsWithoutAWord) {
  EXPECT_THAT(load_good(R"(
auth_enabled: false
server: {http_listen_port: 3100}
common:
  instance_addr: 127.0.0.1
  path_prefix: /loki
  storage: {filesystem: {chunks_directory: /loki/chunks, rules_directory: /loki/rules}}
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
query_range: {results_cache: {cache: {embedded_cache: {enabled: true, max_size_mb: 100}}}}
schema_config:
  configs: [{from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]
ruler: {alertmanager_url: ""}
frontend: {encoding: protobuf}
)").warnings, IsEmpty());
}

// The example that most guides start from: MinIO beside it, old and new keys mixed.
TEST(Chart, AComposeFileWithMinio) {
  const Loaded loaded = load_good(R"(
server: {http_listen_address: 0.0.0.0, http_listen_port: 3100}
memberlist: {join_members: ["read", "write", "backend"], dead_node_reclaim_time: 30s, gossip_to_dead_nodes_time: 15s, left_ingesters_timeout: 30s, bind_addr: ['0.0.0.0'], bind_port: 7946, gossip_interval: 2s}
schema_config:
  configs: [{from: 2023-01-01, store: tsdb, object_store: s3, schema: v13, index: {prefix: index_, period: 24h}}]
common:
  path_prefix: /loki
  replication_factor: 1
  compactor_address: http://backend:3100
  storage: {s3: {endpoint: "minio:9000", insecure: true, bucketnames: loki-data, access_key_id: loki, secret_access_key: supersecret, s3forcepathstyle: true}}
  ring: {kvstore: {store: memberlist}}
ruler: {storage: {s3: {bucketnames: loki-ruler}}}
compactor: {working_directory: /tmp/compactor}
)");
  expect_calm(loaded);
  const BucketConfig& chunks = loaded.config.bucket_of_period(0);
  EXPECT_EQ(chunks.s3.endpoint, "minio:9000");
  EXPECT_TRUE(chunks.s3.insecure);
  EXPECT_EQ(chunks.s3.lookup, S3Config::Lookup::kPath);
  EXPECT_THAT(loaded.config.ruler_bucket.s3.buckets, ElementsAre("loki-ruler"));
  EXPECT_EQ(loaded.config.ruler_bucket.s3.endpoint, "minio:9000");
}

}  // namespace
}  // namespace skald::config
