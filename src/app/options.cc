#include "options.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace skald::app {
namespace {

// All lz4 spellings are one block size to us, and flate is gzip without its frame.
chunk::Codec codec_of(const std::string& encoding) {
  if (encoding == "none") return chunk::Codec::kNone;
  if (encoding == "gzip" || encoding == "flate") return chunk::Codec::kGzip;
  if (encoding == "snappy") return chunk::Codec::kSnappy;
  if (encoding.starts_with("lz4")) return chunk::Codec::kLz4;
  return chunk::Codec::kZstd;
}

std::uint64_t at_least_zero(std::int64_t value) { return value > 0 ? static_cast<std::uint64_t>(value) : 0; }

constexpr std::uint64_t kDecompressedBytesFloor = 128ULL << 20;

// Of the machine, or of the control group when that has less.
std::uint64_t physical_memory_bytes() {
  std::uint64_t bytes = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::uint64_t group_bytes = 0;   // the file says "max" where there is no limit
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> group_bytes && group_bytes > 0) bytes = std::min(bytes, group_bytes);
  return bytes;
}

}  // namespace

http::ServerOptions server_options(const config::Config& config) {
  const config::ServerConfig& server = config.server;
  http::ServerOptions out;
  out.listen_address = server.http_listen_address;
  out.port = static_cast<std::uint16_t>(server.http_listen_port);
  out.path_prefix = server.http_path_prefix;
  out.body_bytes_max = at_least_zero(config.distributor.max_recv_msg_size);
  out.read_timeout_ms = server.http_server_read_timeout / kNanosPerMilli;
  // A query may take query_timeout; a shorter write timeout would cut its answer off.
  out.write_timeout_ms = std::max(server.http_server_write_timeout, config.limits.query_timeout + 10 * kNanosPerSecond) / kNanosPerMilli;
  out.idle_timeout_ms = server.http_server_idle_timeout / kNanosPerMilli;
  out.connections_max = at_least_zero(server.http_listen_conn_limit);
  out.compress_responses = config.frontend.compress_responses;
  out.tls_certificate_file = server.tls_cert_file;
  out.tls_key_file = server.tls_key_file;
  out.tls_client_ca_file = server.tls_client_ca_file;
  return out;
}

distributor::DistributorOptions distributor_options(const config::Config& config) {
  distributor::DistributorOptions out;
  if (config.distributor.max_recv_msg_size > 0) out.body_bytes_max = at_least_zero(config.distributor.max_recv_msg_size);
  if (config.distributor.max_decompressed_size > 0) out.decompressed_bytes_max = at_least_zero(config.distributor.max_decompressed_size);
  // A body is unpacked in memory as a whole; the default of 5 GB would let one small request end a small machine.
  out.decompressed_bytes_max = std::min(out.decompressed_bytes_max, std::max<std::uint64_t>(kDecompressedBytesFloor, physical_memory_bytes() / 8));
  return out;
}

api::ReadOptions read_options(const config::Config& config) {
  const config::QuerierConfig& querier = config.querier;
  api::ReadOptions out;
  out.tenants = api::TenantPolicy(config.auth_enabled, config.no_auth_tenant);
  out.multi_tenant_queries = querier.multi_tenant_queries_enabled;
  out.per_request_limits = querier.per_request_limits_enabled;
  out.patterns = config.pattern_ingester.enabled;
  out.align_with_step = config.query_range.align_queries_with_step;
  out.concurrent_queries = std::max<std::uint64_t>(1, at_least_zero(querier.max_concurrent));
  if (config.query_scheduler.max_outstanding_requests_per_tenant > 0)
    out.waiting_queries_max = at_least_zero(config.query_scheduler.max_outstanding_requests_per_tenant);
  out.query_memory_bytes_max = querier.max_query_memory;
  out.tail_duration_max_ns = querier.tail_max_duration;
  out.body_bytes_max = at_least_zero(config.frontend.max_body_size);
  out.slow_query_ns = config.frontend.log_queries_longer_than;
  out.log_all_queries = config.frontend.query_stats_enabled;
  out.logged_headers = config.frontend.log_query_request_headers;
  return out;
}

querier::QuerierOptions querier_options(const config::Config& config) {
  return {.store_only = config.querier.query_store_only, .ingester_only = config.querier.query_ingester_only};
}

store::StoreOptions store_options(const config::Config& config) {
  store::StoreOptions out;
  // Without a cache in memory, what the queries that run have opened must still last until they read it: else each chunk
  // costs its head's request twice.
  constexpr std::uint64_t kWorkingBytes = 32 << 20;
  out.chunk_cache_bytes = config.chunk_cache.embedded_enabled ? at_least_zero(config.chunk_cache.embedded_max_size_mb) << 20 : kWorkingBytes;
  out.l2_handoff_ns = config.l2_chunk_cache_handoff;
  out.skip_writeback_older_than_ns = config.skip_query_writeback_cache_older_than;
  out.query_ready_num_days = config.storage.tsdb_shipper.query_ready_num_days;
  // A request to a file costs microseconds: read no more than is needed.
  if (!uses_remote_store(config)) out.coalesce_gap_bytes = 64 << 10;
  return out;
}

bool uses_remote_store(const config::Config& config) {
  return std::any_of(config.stores.begin(), config.stores.end(), [](const auto& store) { return store.second.kind != config::BucketConfig::Kind::kFilesystem; });
}

bool keeps_index_copies(const config::Config& config) { return !config.storage.tsdb_shipper.cache_location.empty() && uses_remote_store(config); }

compactor::CompactorOptions compactor_options(const config::Config& config, const std::string& id) {
  const config::CompactorConfig& keys = config.compactor;
  compactor::CompactorOptions out;
  out.compaction_interval_ns = keys.compaction_interval;
  out.retention_enabled = keys.retention_enabled;
  out.apply_retention_interval_ns = keys.apply_retention_interval;
  out.retention_delete_delay_ns = keys.retention_delete_delay;
  out.retention_delete_worker_count = std::max<std::uint64_t>(1, at_least_zero(keys.retention_delete_worker_count));
  out.delete_batch_size = std::max<std::uint64_t>(1, at_least_zero(keys.delete_batch_size));
  out.max_compaction_parallelism = std::max<std::uint64_t>(1, at_least_zero(keys.max_compaction_parallelism));
  out.skip_latest_n_tables = keys.skip_latest_n_tables;
  out.lease_ns = keys.lease_period;
  out.orphan_grace_ns = keys.orphan_grace_period;
  out.adopt_grace_ns = keys.orphan_grace_period / 2 * 3;
  out.orphan_sweep_interval_ns = keys.orphan_grace_period * 3;
  out.tables_to_compact = keys.tables_to_compact;
  // A shard's last chunks may be cut max_chunk_age after its end, then flushed and their index shipped.
  out.shard_settle_ns = config.ingester.max_chunk_age + 45 * kNanosPerMinute;
  out.delete_horizon_ns = config.ingester.max_chunk_age + kNanosPerHour;
  out.codec = codec_of(config.ingester.chunk_encoding);
  bool on_disk = true;   // only there does the size of the bucket matter
  for (std::size_t i = 0; i < config.schema.size(); ++i) on_disk = on_disk && config.bucket_of_period(i).kind == config::BucketConfig::Kind::kFilesystem;
  if (on_disk) out.bucket_bytes_max = at_least_zero(config.storage.filesystem_max_size_bytes);
  out.instance = id;
  return out;
}

objstore::SpaceReserve space_reserve(const config::Config& config) {
  return {.percent = at_least_zero(config.storage.filesystem_reserve_percent), .bytes = at_least_zero(config.storage.filesystem_reserve_bytes)};
}

bool asks_index_gateway(const config::Config& config) {
  const auto text = [&](const char* path) {
    const auto at = config.other.find(path);
    return at == config.other.end() ? std::string() : at->second;
  };
  return !text("storage_config.tsdb_shipper.index_gateway_client.server_address").empty() || text("index_gateway.mode") == "ring";
}

std::int64_t listing_age_max_ns(const config::Config& config) { return 3 * config.storage.tsdb_shipper.resync_interval; }
std::int64_t recent_keep_ns(const config::Config& config) { return listing_age_max_ns(config) + 2 * kNanosPerMinute; }

ingester::IngesterOptions ingester_options(const config::Config& config, const std::string& id, const config::LimitsProvider& limits,
                                           std::function<std::uint64_t(std::uint64_t global)> share_of) {
  const config::IngesterConfig& ingester = config.ingester;
  ingester::IngesterOptions out;
  out.id = id;
  out.wal_directory = ingester.wal_enabled ? ingester.wal_dir : "";
  out.durability = ingester.wal_durability == "always" ? ingester::Durability::kAlways : ingester::Durability::kInterval;
  out.flush_on_shutdown = ingester.wal_flush_on_shutdown || !ingester.wal_enabled;  // without a log, stopping would lose data
  out.chunk_encoding = codec_of(ingester.chunk_encoding);
  out.chunk_block_bytes = at_least_zero(ingester.chunk_block_size);
  // 0 means "ten blocks" in Loki's files.
  out.chunk_target_bytes = ingester.chunk_target_size > 0 ? at_least_zero(ingester.chunk_target_size) : 10 * out.chunk_block_bytes;
  out.chunk_idle_ns = ingester.chunk_idle_period;
  out.max_chunk_age_ns = ingester.max_chunk_age;
  out.flush_check_ns = ingester.flush_check_period;
  out.disk_reserve = space_reserve(config);
  out.limits = [&limits, share_of = std::move(share_of)](const std::string& tenant) {
    const config::LimitsPtr limit = limits.for_tenant(tenant);
    ingester::TenantLimits tenant_limits;
    tenant_limits.max_streams = at_least_zero(limit->max_global_streams_per_user);
    if (share_of && tenant_limits.max_streams > 0) tenant_limits.max_streams = share_of(tenant_limits.max_streams);
    if (limit->max_streams_per_user > 0 && (tenant_limits.max_streams == 0 || at_least_zero(limit->max_streams_per_user) < tenant_limits.max_streams))
      tenant_limits.max_streams = at_least_zero(limit->max_streams_per_user);
    tenant_limits.per_stream_rate_bytes = at_least_zero(limit->per_stream_rate_limit);
    tenant_limits.per_stream_burst_bytes = at_least_zero(limit->per_stream_rate_limit_burst);
    tenant_limits.unordered_writes = limit->unordered_writes;
    return tenant_limits;
  };
  return out;
}

std::string instance_id(const config::Config& config) {
  if (!config.ingester.id.empty()) return config.ingester.id;
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == 0) return "ingester-0";
  return name;
}

std::string instance_address(const config::Config& config) {
  std::string host = config.ingester.address;
  if (host.empty()) host = config.common.instance_addr;
  if (host.empty()) host = config.server.http_listen_address;
  if (host.empty()) host = "127.0.0.1";
  const auto port = config.other.find("server.grpc_listen_port");
  return host + ":" + (port == config.other.end() ? "9095" : port->second);
}

}  // namespace skald::app
