#include "derive.h"

#include <algorithm>

#include "caches.h"
#include "limits_keys.h"
#include "schema.h"
#include "store_blocks.h"
#include "stores.h"

namespace skald::config {
namespace {

// Sets a key that steers nothing here, so that /config shows what Loki would show.
void show(Config& config, const std::string& path, const std::string& text) {
  if (!config.is_given(path)) config.other[path] = text;
}

void derive_directories(Config& config) {
  const std::string& prefix = config.common.path_prefix;
  if (prefix.empty()) return;
  const std::string base = prefix.size() > 1 && prefix.back() == '/' ? prefix.substr(0, prefix.size() - 1) : prefix;
  if (!config.is_given("ingester.wal.dir")) config.ingester.wal_dir = base + "/wal";
  if (!config.is_given("ingester.shutdown_marker_path")) config.ingester.shutdown_marker_path = base;
  if (!config.is_given("compactor.working_directory")) config.compactor.working_directory = base + "/compactor";
  if (!config.is_given("storage_config.tsdb_shipper.cache_location")) config.storage.tsdb_shipper.cache_location = base + "/tsdb-shipper-cache";
  show(config, "ruler.rule_path", base + "/rules-temp");
  show(config, "ruler.wal.dir", base + "/ruler-wal");
  show(config, "storage_config.tsdb_shipper.active_index_directory", base + "/tsdb-shipper-active");
  show(config, "storage_config.bloom_shipper.working_directory", base + "/blooms");
}

Result<void> derive_addresses(Config& config) {
  if (!config.common.instance_addr.empty()) {
    if (!config.is_given("ingester.lifecycler.address")) config.ingester.address = config.common.instance_addr;
    show(config, "index_gateway.ring.instance_addr", config.common.instance_addr);
    if (!config.is_given("common.ring.instance_addr")) config.ring.instance_addr = config.common.instance_addr;
  }
  if (config.is_given("common.replication_factor")) {
    const std::string factor = std::to_string(config.common.replication_factor);
    show(config, "index_gateway.ring.replication_factor", factor);
  }
  // Every ring follows `common`, then memberlist when peers are named, then the ingester's ring; never consul by accident.
  std::string store = "inmemory";
  if (config.is_given("common.ring.kvstore.store")) store = config.common.kvstore;
  else if (!config.memberlist.join_members.empty()) store = "memberlist";
  else if (const auto own = config.other.find("ingester.lifecycler.ring.kvstore.store"); own != config.other.end()) store = own->second;
  config.common.kvstore = store;
  SKALD_TRY_VOID(derive_rings(config));
  for (const char* ring : {"ingester.lifecycler.ring", "distributor.ring", "compactor.compactor_ring", "query_scheduler.scheduler_ring",
                           "index_gateway.ring", "ruler.ring"})
    show(config, std::string(ring) + ".kvstore.store", store);
  return {};
}

// Both styles name one directory.
Result<void> check_directories(const Config& config) {
  const auto contradict = [&](const std::string& one, const std::string& one_value, const std::string& other, const std::string& other_value) -> Result<void> {
    if (one_value.empty() || other_value.empty() || one_value == other_value) return {};
    return Error(ErrorCode::kInvalidArgument, "CONFIG ERROR: invalid storage config: " + where(config, one) + " is " + one_value + " but " + where(config, other) + " is " + other_value + "; give one of them, or the same directory");
  };
  SKALD_TRY_VOID(contradict("storage_config.filesystem.directory", config.storage.filesystem_directory,
                            "storage_config.object_store.filesystem.dir", config.storage.object_store_dir));
  return contradict("common.storage.filesystem.chunks_directory", config.common.chunks_directory,
                    "common.storage.object_store.filesystem.dir", config.common.object_store_dir);
}

}  // namespace

std::string Config::bucket_directory() const {
  for (const std::string* directory : {&storage.object_store_dir, &storage.filesystem_directory, &common.object_store_dir, &common.chunks_directory})
    if (!directory->empty()) return *directory;
  if (!common.path_prefix.empty()) return common.path_prefix + "/chunks";
  return "";
}

void apply_built_in(Config& config) {
  config.auth_enabled = false;
  config.common.replication_factor = 1;
  config.common.instance_addr = "127.0.0.1";
}

namespace {

// A file may leave out where data goes and how it is laid out; there is one sensible answer to either.
void derive_layout(Config& config) {
  if (config.bucket_directory().empty() && config.common.path_prefix.empty()) config.common.path_prefix = "./data";
  if (!config.schema.empty() || config.is_given("schema_config")) return;
  SchemaPeriod period;
  period.from = "2020-10-24";
  const std::string cloud = common_cloud_store(config);
  period.object_store = cloud.empty() ? "filesystem" : cloud;
  period.schema = "v13";
  period.index_prefix = "index_";
  config.schema = {period};
}

}  // namespace

Result<void> derive(Config& config) {
  derive_layout(config);
  derive_directories(config);
  SKALD_TRY_VOID(derive_addresses(config));
  SKALD_TRY_VOID(check_directories(config));
  derive_caches(config);
  return derive_stores(config);
}

Config default_config() {
  Config config;
  apply_built_in(config);
  SKALD_CHECK(derive(config).ok());
  return config;
}

namespace {

std::vector<std::string> validate_compactor(const CompactorConfig& compactor) {
  std::vector<std::string> out;
  const auto check = [&](bool good, const std::string& what) {
    if (!good) out.push_back("invalid compactor config: " + what);
  };
  check(!compactor.retention_enabled || !compactor.delete_request_store.empty(), "compactor.delete-request-store should be configured when retention is enabled");
  check(compactor.compaction_interval > 0, "compaction_interval must be positive");
  check(compactor.apply_retention_interval >= 0 && (compactor.compaction_interval <= 0 || compactor.apply_retention_interval % compactor.compaction_interval == 0),
        "interval for applying retention should either be set to a 0 or a multiple of compaction interval");
  check(compactor.max_compaction_parallelism >= 1, "max compaction parallelism must be >= 1");
  check(compactor.retention_delete_worker_count >= 1, "retention_delete_worker_count must be at least 1");
  check(compactor.upload_parallelism >= 1, "upload_parallelism must be at least 1");
  check(compactor.delete_batch_size >= 1, "delete_batch_size must be at least 1");
  check(compactor.retention_delete_delay >= 0 && compactor.retention_table_timeout >= 0 && compactor.delete_request_cancel_period >= 0 && compactor.delete_max_interval >= 0,
        "retention_delete_delay, retention_table_timeout, delete_request_cancel_period and delete_max_interval must not be negative");
  check(compactor.tables_to_compact >= 0 && compactor.skip_latest_n_tables >= 0, "tables_to_compact and skip_latest_n_tables must not be negative");
  check(compactor.lease_period >= 0 && compactor.orphan_grace_period > 0, "lease_period must not be negative and orphan_grace_period must be positive");
  const StoreRetryConfig& backoff = compactor.retention_backoff;
  check(backoff.min_period >= 0 && backoff.max_period >= backoff.min_period && backoff.max_retries >= 0,
        "retention_backoff_config must not be negative, and its max_period not below its min_period");
  const std::string& prefix = compactor.delete_request_store_key_prefix;
  check(!prefix.starts_with("/") && (prefix.empty() || prefix.ends_with("/")), "validate delete store path prefix: \"" + prefix + "\" must end with / and not begin with it");
  return out;
}

}  // namespace

std::vector<std::string> validate(const Config& config) {
  std::vector<std::string> out = validate_schema(config);
  for (const auto& problems : {validate_stores(config), validate_caches(config), validate_compactor(config.compactor)})
    out.insert(out.end(), problems.begin(), problems.end());
  const auto check = [&](bool good, const std::string& what) {
    if (!good) out.push_back(what);
  };
  const auto one_of = [](const std::string& value, std::initializer_list<const char*> choices) {
    return std::any_of(choices.begin(), choices.end(), [&](const char* choice) { return value == choice; });
  };
  const ServerConfig& server = config.server;
  check(server.http_listen_port >= 0 && server.http_listen_port <= 65535,
        "invalid server config: http_listen_port " + std::to_string(server.http_listen_port) + " is not a port (0 to 65535)");
  check(one_of(server.log_format, {"logfmt", "json"}), "invalid server config: unrecognized log format \"" + server.log_format + "\"; logfmt or json");
  check(server.tls_cert_file.empty() == server.tls_key_file.empty(), "invalid server config: http_tls_config needs both cert_file and key_file");
  check(server.http_listen_conn_limit >= 0, "invalid server config: http_listen_conn_limit must not be negative");
  check(server.http_server_read_timeout >= 0 && server.http_server_write_timeout >= 0 && server.http_server_idle_timeout >= 0 && server.graceful_shutdown_timeout >= 0,
        "invalid server config: timeouts must not be negative");
  check(config.auth_enabled || !config.no_auth_tenant.empty(), "invalid no_auth_tenant: must not be empty when auth_enabled is false");
  check(!config.bucket_directory().empty(), "invalid storage config: no directory for chunks; set common.storage.filesystem.chunks_directory or storage_config.object_store.filesystem.dir");
  check(one_of(config.lifecycler.leave, {"flush", "hand_over"}), "invalid ingester config: leave is \"" + config.lifecycler.leave + "\"; one of flush, hand_over");
  check(one_of(config.common.kvstore, {"inmemory", "memberlist", "consul", "etcd", "multi"}), "invalid common config: unknown kvstore \"" + config.common.kvstore + "\"");
  const IngesterConfig& ingester = config.ingester;
  check(one_of(ingester.chunk_encoding, {"none", "gzip", "lz4-64k", "lz4-256k", "lz4-1M", "lz4", "snappy", "flate", "zstd"}),
        "invalid ingester config: invalid encoding: " + ingester.chunk_encoding + ", supported: none, gzip, lz4-64k, snappy, lz4-256k, lz4-1M, lz4, flate, zstd");
  check(one_of(ingester.wal_durability, {"interval", "always"}), "invalid ingester config: wal.durability is interval or always, not \"" + ingester.wal_durability + "\"");
  check(!ingester.wal_enabled || !ingester.wal_dir.empty(), "invalid ingester config: wal.dir is empty");
  check(ingester.chunk_block_size > 0 && ingester.chunk_block_size <= (64 << 20), "invalid ingester config: chunk_block_size must be between 1 and 64 MiB");
  check(ingester.chunk_target_size >= 0 && ingester.chunk_target_size <= (1LL << 30), "invalid ingester config: chunk_target_size must be between 0 and 1 GiB");
  check(ingester.max_chunk_age > 0 && ingester.chunk_idle_period > 0 && ingester.flush_check_period > 0,
        "invalid ingester config: max_chunk_age, chunk_idle_period and flush_check_period must be positive");
  check(config.skip_query_writeback_cache_older_than >= 0 && config.l2_chunk_cache_handoff >= 0, "invalid chunk_store_config config: ages must not be negative");
  const auto& shipper = config.storage.tsdb_shipper;
  check(shipper.cache_ttl >= 0 && shipper.resync_interval > 0 && shipper.query_ready_num_days >= 0,
        "invalid storage config: tsdb_shipper.resync_interval must be positive, cache_ttl and query_ready_num_days not negative");
  check(config.runtime_config.period > 0, "invalid runtime_config config: period must be positive");
  if (Result<void> limits = validate_limits(config.limits); !limits.ok()) out.push_back(limits.error().message());
  return out;
}

}  // namespace skald::config
