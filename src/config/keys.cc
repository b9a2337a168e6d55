#include "keys.h"

#include <algorithm>
#include <numeric>

namespace skald::config {
namespace {

std::string flag_of(std::string path) {
  std::replace(path.begin(), path.end(), '_', '-');
  return path;
}

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t up = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = up;
    }
  }
  return row[b.size()];
}

struct Reason {
  std::string_view prefix, text;
};

// First match wins. Only what a reader would otherwise worry about.
constexpr Reason kReasons[] = {
    {"table_manager", "retention is compactor.retention_enabled and limits_config.retention_period"},
    {"storage_config.boltdb", "the index is tsdb's; there is no boltdb to configure"},
    {"storage_config.bigtable", "the index is kept in the object store"},
    {"storage_config.cassandra", "the index is kept in the object store"},
    {"storage_config.grpc_store", "the index is kept in the object store"},
    {"storage_config.index_", "the index is kept in the object store; its pages are cached with the chunks"},
    {"storage_config.bloom_shipper", "experimental in Loki; lines are found without bloom files"},
    {"bloom_", "experimental in Loki; lines are found without bloom files"},
    {"storage_config.tsdb_shipper.index_gateway_client", "every process reads the index itself; no index gateway is needed"},
    {"storage_config.tsdb_shipper.active_index_directory", "the index of unflushed data is kept in memory and the write-ahead log"},
    {"storage_config.congestion_control", "requests are always retried with back-off and jitter within a budget"},
    {"storage_config.alibabacloud", "use its S3 endpoint with storage_config.aws"},
    {"storage_config.bos", "use its S3 endpoint with storage_config.aws"},
    {"storage_config.cos", "use its S3 endpoint with storage_config.aws"},
    {"storage_config.swift", "use its S3 endpoint with storage_config.aws"},
    {"index_gateway", "every process reads the index itself; no index gateway is needed"},
    {"common.compactor_", "compactors share their work by locks in the object store; nobody asks them anything"},
    {"common.ring", "one process needs no ring"},
    {"common.storage.congestion_control", "requests are always retried with back-off and jitter within a budget"},
    {"compactor.compactor_ring", "compactors agree through the object store; no ring is needed"},
    {"compactor.horizontal_scaling_mode", "compactors share the work through the object store"},
    {"compactor.delete_request_store_db_type", "delete requests are objects in the store"},
    {"compactor.backup_delete_request_store_db_type", "delete requests are objects in the store"},
    {"compactor.allow_deletes", "deleting is limits_config.deletion_mode"},
    {"compactor.working_directory", "compaction needs no local disk"},
    {"compactor.retention_table_timeout", "a day's work is cut into commits instead"},
    {"compactor.retention_backoff_config", "requests to the store are tried again as its own retry keys say"},
    {"compactor.delete_max_interval", "requests are carried out and accounted for by day, whatever their length"},
    {"compactor.upload_parallelism", "a day has one index object"},
    {"compactor.delete_request_store_key_prefix", "requests are kept below <tenant>/deletes/"},
    {"compactor.deletion_marker_object_store_prefix", "what is to be deleted is listed in the index, in the object store"},
    {"storage_config.tsdb_shipper.cache_ttl", "local copies of index objects are bounded by size"},
    {"storage_config.max_parallel_get_chunk", "a query reads with as many requests as it has threads"},
    {"query_range.cache_index_stats_results", "only answers of metric range queries are kept"},
    {"query_range.cache_volume_results", "only answers of metric range queries are kept"},
    {"query_range.cache_instant_metric_results", "only answers of metric range queries are kept"},
    {"query_range.cache_series_results", "only answers of metric range queries are kept"},
    {"query_range.cache_label_results", "only answers of metric range queries are kept"},
    {"limits_config.s3_sse_", "objects hold the streams of one tenant but are written with the store's own sse keys"},
    {"limits_config.allow_deletes", "deleting is limits_config.deletion_mode"},
    {"memberlist.message_history_buffer_bytes", "messages are not kept"},
    {"distributor.ring", "distributors are the members of the ingesters' ring"},
    {"query_scheduler.scheduler_ring", "schedulers are found in the ring of backends, which follows common.ring"},
    {"index_gateway.ring", "index gateways are found in the ring of backends, which follows common.ring"},
    {"compactor.compactor_ring", "compactors agree by locks in the object store"},
    {"ruler.ring", "rulers share the ring of backends, which follows common.ring"},
    {"server.grpc_", "processes call each other over server.http_listen_port"},
    {"ingester_client", "connections between processes are pooled and kept by the HTTP client"},
    {"storage_config.tsdb_shipper.index_gateway_client", "index gateways are found in the ring of backends; server_address switches their use on"},
    {"frontend_worker", "schedulers are found in the ring of backends"},
    {"frontend.scheduler_", "schedulers are found in the ring of backends"},
    {"frontend.max_outstanding_per_tenant", "see query_scheduler.max_outstanding_requests_per_tenant"},
    {"query_range.parallelise_shardable_queries", "queries use all cores, and all readers, by themselves"},
        {"querier.query_ingesters_within", "memory and store are asked for what each holds"},
    {"ruler.alertmanager_refresh_interval", "names of Alertmanagers are looked up for each connection"},
    {"ruler.alert_relabel_configs", "alerts are sent as their rules make them"},
    {"ruler.for_outage_tolerance", "what an alert waited before a restart comes from its own query"},
    {"ruler.enable_sharding", "rulers of one ring always share the groups among them"},
    {"ruler.sharding_", "groups are shared by group"},
    {"ruler.evaluation.", "rules are evaluated by this process"},
    {"ruler.ruler_client", "connections between processes are pooled and kept by the HTTP client"},
    {"ruler.flush_period", "one process evaluates all rules"},
    {"ruler.remote_write.config", "limits are read again with the runtime file"},
    {"ruler.wal", "files of samples go when every receiver has them, or when they are older than ruler.wal.max_age"},
    {"legacy_read_target", "read never does the backend's work"},
    {"frontend.tail_", "readers serve tails themselves"},
};

}  // namespace

bool is_idle(std::string_view path) {
  static constexpr std::string_view kIdle[] = {
      "compactor.working_directory", "compactor.retention_table_timeout", "compactor.retention_backoff_config.", "compactor.delete_max_interval",
      "compactor.upload_parallelism", "compactor.delete_request_store_key_prefix", "compactor.deletion_marker_object_store_prefix",
      "storage_config.tsdb_shipper.cache_ttl", "storage_config.max_parallel_get_chunk", "query_range.cache_index_stats_results",
      "memberlist.message_history_buffer_bytes",
      "query_range.cache_volume_results", "query_range.cache_instant_metric_results", "query_range.cache_series_results", "query_range.cache_label_results"};
  return std::any_of(std::begin(kIdle), std::end(kIdle), [&](std::string_view idle) { return idle.ends_with('.') ? path.starts_with(idle) : path == idle; });
}

std::string_view reason_without_effect(std::string_view path) {
  if (path.ends_with(".chunk_delimiter")) return "keys of objects hold no ':'";
  for (const Reason& reason : kReasons)
    if (path.starts_with(reason.prefix)) return reason.text;
  return {};
}

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  if (word.size() > 128) return {};
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    std::size_t distance = edit_distance(word, candidate);
    // A word that only lacks or adds a part (listen_port, http_port) is near whatever its length.
    if (word.size() >= 4 && (candidate.find(word) != std::string::npos || (candidate.size() >= 4 && word.find(candidate) != std::string::npos))) distance = std::min<std::size_t>(distance, 2);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

KeyTable::KeyTable() {
  by_path_.reserve(4096);
  by_flag_.reserve(4096);
  for (const auto list : {server_keys(), storage_keys(), write_keys(), read_keys(), backend_keys()})
    for (const Key& key : list) add(key.path, key);
  for (const Mount& mount : mounts())
    for (const Key& key : block_keys(mount.block)) add(std::string(mount.path) + "." + key.path, key, &mount);
}

void KeyTable::mount(const std::string& path, std::string_view block) {
  const Mount at{path.c_str(), block.data(), nullptr, nullptr};
  for (const Key& key : block_keys(block)) add(path + "." + key.path, key, &at);
}

void KeyTable::add(std::string path, const Key& key, const Mount* mount) {
  if (by_path_.count(path)) return;  // an explicit row wins over the mounted one
  KeyInfo info{path, key.kind, key.fallback, {key.member, mount ? mount->cache : nullptr, key.in_cache}, key.alias, key.as_text || (mount && mount->as_text), mount ? mount->block : nullptr, key.path, {}};
  const std::string derived = flag_of(path);
  if (mount && (mount->flag || key.flag))
    info.flags.push_back((mount->flag ? std::string(mount->flag) : flag_of(mount->path)) + "." + (key.flag ? std::string(key.flag) : flag_of(key.path)));
  else if (key.flag) info.flags.emplace_back(key.flag);
  if (info.flags.empty() || derived != info.flags.front()) info.flags.push_back(derived);
  for (const std::string& flag : info.flags) by_flag_.emplace(flag, keys_.size());
  by_path_.emplace(path, keys_.size());
  std::string child = path;
  for (;;) {
    const std::size_t dot = child.rfind('.');
    const std::string parent = dot == std::string::npos ? "" : child.substr(0, dot);
    const std::string name = dot == std::string::npos ? child : child.substr(dot + 1);
    std::vector<std::string>& names = blocks_[parent];
    if (std::find(names.begin(), names.end(), name) != names.end()) break;  // so the blocks above know each other already
    names.push_back(name);
    if (parent.empty()) break;
    child = parent;
  }
  keys_.push_back(std::move(info));
}

const KeyInfo* KeyTable::find(const std::string& path) const {
  const auto at = by_path_.find(path);
  return at == by_path_.end() ? nullptr : &keys_[at->second];
}

const KeyInfo* KeyTable::find_flag(const std::string& flag) const {
  const auto at = by_flag_.find(flag);
  return at == by_flag_.end() ? nullptr : &keys_[at->second];
}

std::vector<std::string> KeyTable::children(const std::string& block) const {
  const auto at = blocks_.find(block);
  return at == blocks_.end() ? std::vector<std::string>() : at->second;
}

}  // namespace skald::config
