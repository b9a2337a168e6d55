#include "derive.h"

#include <algorithm>
#include <set>

#include "limits_keys.h"
#include "schema.h"

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
  show(config, "compactor.working_directory", base + "/compactor");
  show(config, "ruler.rule_path", base + "/rules-temp");
  show(config, "ruler.wal.dir", base + "/ruler-wal");
  show(config, "storage_config.tsdb_shipper.active_index_directory", base + "/tsdb-shipper-active");
  show(config, "storage_config.tsdb_shipper.cache_location", base + "/tsdb-shipper-cache");
  show(config, "storage_config.bloom_shipper.working_directory", base + "/blooms");
}

void derive_addresses(Config& config) {
  if (!config.common.instance_addr.empty()) {
    if (!config.is_given("ingester.lifecycler.address")) config.ingester.address = config.common.instance_addr;
    for (const char* path : {"common.ring.instance_addr", "index_gateway.ring.instance_addr", "memberlist.advertise_addr"})
      show(config, path, config.common.instance_addr);
  }
  if (config.is_given("common.replication_factor")) {
    const std::string factor = std::to_string(config.common.replication_factor);
    show(config, "ingester.lifecycler.ring.replication_factor", factor);
    show(config, "index_gateway.ring.replication_factor", factor);
  }
  // Every ring follows `common`, then memberlist when peers are named, then the ingester's ring; never consul by accident.
  std::string store = "inmemory";
  if (config.is_given("common.ring.kvstore.store")) store = config.common.kvstore;
  else if (!config.memberlist.join_members.empty()) store = "memberlist";
  else if (const auto own = config.other.find("ingester.lifecycler.ring.kvstore.store"); own != config.other.end()) store = own->second;
  config.common.kvstore = store;
  for (const char* ring : {"ingester.lifecycler.ring", "distributor.ring", "compactor.compactor_ring", "query_scheduler.scheduler_ring",
                           "index_gateway.ring", "ruler.ring"})
    show(config, std::string(ring) + ".kvstore.store", store);
}

Result<void> derive_storage(Config& config) {
  // By the keys that name a bucket: a block that only repeats defaults chooses nothing.
  static constexpr struct { const char* kind; const char* path; } kNaming[] = {
      {"s3", "common.storage.s3.s3"}, {"s3", "common.storage.s3.bucketnames"}, {"s3", "common.storage.s3.endpoint"},
      {"gcs", "common.storage.gcs.bucket_name"}, {"azure", "common.storage.azure.account_name"}, {"azure", "common.storage.azure.connection_string"}};
  std::set<std::string> kinds;
  if (!config.common.chunks_directory.empty() || !config.common.rules_directory.empty()) kinds.insert("filesystem");
  for (const auto& naming : kNaming)
    if (const auto at = config.other.find(naming.path); at != config.other.end() && !at->second.empty()) kinds.insert(naming.kind);
  if (kinds.size() > 1)
    return Error(ErrorCode::kInvalidArgument, "CONFIG ERROR: too many storage configs provided in the common config, please only define one storage backend");
  const auto contradict = [](const std::string& one, const std::string& one_value, const std::string& other, const std::string& other_value) -> Result<void> {
    if (one_value.empty() || other_value.empty() || one_value == other_value) return {};
    return Error(ErrorCode::kInvalidArgument, "CONFIG ERROR: invalid storage config: " + one + " is " + one_value + " but " + other + " is " + other_value + "; give one of them, or the same directory");
  };
  SKALD_TRY_VOID(contradict("storage_config.filesystem.directory", config.storage.filesystem_directory,
                            "storage_config.object_store.filesystem.dir", config.storage.object_store_dir));
  SKALD_TRY_VOID(contradict("common.storage.filesystem.chunks_directory", config.common.chunks_directory,
                            "common.storage.object_store.filesystem.dir", config.common.object_store_dir));
  if (kinds.contains("filesystem")) {
    show(config, "ruler.storage.type", "local");
    show(config, "ruler.storage.local.directory", config.common.rules_directory);
  }
  return {};
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
  period.object_store = "filesystem";
  period.schema = "v13";
  period.index_prefix = "index_";
  config.schema = {period};
}

}  // namespace

Result<void> derive(Config& config) {
  derive_layout(config);
  derive_directories(config);
  derive_addresses(config);
  return derive_storage(config);
}

Config default_config() {
  Config config;
  apply_built_in(config);
  SKALD_CHECK(derive(config).ok());
  return config;
}

std::vector<std::string> validate(const Config& config) {
  std::vector<std::string> out = validate_schema(config);
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
  check(config.chunk_cache.embedded_max_size_mb >= 0 && config.chunk_cache.embedded_max_size_mb < (1 << 24), "invalid chunk_store_config config: embedded_cache.max_size_mb is out of range");
  check(config.runtime_config.period > 0, "invalid runtime_config config: period must be positive");
  check(!config.compactor.retention_enabled || !config.compactor.delete_request_store.empty(),
        "invalid compactor config: compactor.delete-request-store should be configured when retention is enabled");
  if (Result<void> limits = validate_limits(config.limits); !limits.ok()) out.push_back(limits.error().message());
  return out;
}

}  // namespace skald::config
