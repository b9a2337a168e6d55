// How the processes of an installation find and call each other, as typed values. Durations in ns, sizes in bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "skald/base/clock.h"

namespace skald::config {

// tls_* keys of clients; count only when enabled.
struct ClientTlsConfig {
  bool enabled = false;
  std::string cert_path, key_path, ca_path, server_name;
  bool insecure_skip_verify = false;
  bool operator==(const ClientTlsConfig&) const = default;
};

struct ConsulConfig {
  std::string host = "localhost:8500";
  std::string acl_token;
  std::int64_t http_client_timeout = 20 * kNanosPerSecond;
  bool consistent_reads = false;
  double watch_rate_limit = 1;                     // polls per second
  std::int64_t cas_retry_delay = kNanosPerSecond;
  bool operator==(const ConsulConfig&) const = default;
};

struct EtcdConfig {
  std::vector<std::string> endpoints;
  std::int64_t dial_timeout = 10 * kNanosPerSecond;
  std::int64_t max_retries = 10;
  ClientTlsConfig tls;
  std::string username, password;
  bool operator==(const EtcdConfig&) const = default;
};

struct KvStoreConfig {
  std::string store = "inmemory";                  // inmemory, memberlist, etcd, consul
  std::string prefix = "collectors/";
  ConsulConfig consul;
  EtcdConfig etcd;
  bool operator==(const KvStoreConfig&) const = default;
};

// One ring: where it is kept and this process' entry in it.
struct RingConfig {
  KvStoreConfig kvstore;
  std::int64_t heartbeat_period = 15 * kNanosPerSecond;
  std::int64_t heartbeat_timeout = kNanosPerMinute;    // 0: nobody is ever unhealthy
  std::string tokens_file_path;
  bool zone_awareness_enabled = false;
  std::int64_t num_tokens = 128;
  std::int64_t replication_factor = 3;
  std::string instance_id;                         // empty: host name
  std::string instance_addr;                       // empty: the first private address of the interfaces
  std::int64_t instance_port = 0;                  // 0: server.http_listen_port (ours: calls are HTTP)
  std::vector<std::string> instance_interface_names;
  std::string instance_availability_zone;
  bool instance_enable_ipv6 = false;
  bool operator==(const RingConfig&) const = default;
};

struct MemberlistConfig {
  std::string node_name;                           // empty: host name
  bool randomize_node_name = true;
  std::int64_t stream_timeout = 2 * kNanosPerSecond;
  std::int64_t retransmit_factor = 4;
  std::int64_t pull_push_interval = 30 * kNanosPerSecond;
  std::int64_t gossip_interval = 200 * kNanosPerMilli;
  std::int64_t gossip_nodes = 3;
  std::int64_t gossip_to_dead_nodes_time = 30 * kNanosPerSecond;
  std::int64_t dead_node_reclaim_time = 0;
  bool compression_enabled = true;
  std::int64_t notify_interval = 0;
  std::string advertise_addr;
  std::int64_t advertise_port = 7946;
  std::string cluster_label;
  bool cluster_label_verification_disabled = false;
  std::vector<std::string> join_members;
  std::int64_t min_join_backoff = kNanosPerSecond, max_join_backoff = kNanosPerMinute, max_join_retries = 10;
  bool abort_if_cluster_join_fails = false;
  std::int64_t rejoin_interval = 0;                // ours: 0 means every minute while alone, so that a split heals
  std::vector<std::string> rejoin_seed_nodes;
  std::int64_t left_ingesters_timeout = 5 * kNanosPerMinute;
  std::int64_t obsolete_entries_timeout = 30 * kNanosPerSecond;
  std::int64_t leave_timeout = 20 * kNanosPerSecond;
  std::int64_t broadcast_timeout_for_local_updates_on_shutdown = 10 * kNanosPerSecond;
  std::int64_t message_history_buffer_bytes = 0;
  std::vector<std::string> bind_addr;              // empty: 0.0.0.0
  std::int64_t bind_port = 7946;
  std::int64_t packet_dial_timeout = 2 * kNanosPerSecond, packet_write_timeout = 5 * kNanosPerSecond;
  std::int64_t max_concurrent_writes = 3, acquire_writer_timeout = 250 * kNanosPerMilli;
  ClientTlsConfig tls;                             // also what the listener presents
  bool operator==(const MemberlistConfig&) const = default;
};

// ingester.lifecycler, beyond its ring.
struct LifecyclerConfig {
  RingConfig ring;
  std::int64_t heartbeat_period = 5 * kNanosPerSecond;
  std::int64_t observe_period = 0, join_after = 0, min_ready_duration = 0, final_sleep = 0;
  bool unregister_on_shutdown = true;
  bool readiness_check_ring_health = false;        // Loki: true; one dead peer would then hold up every restart
  bool autoforget_unhealthy = true;                // ingester.autoforget_unhealthy; Loki: false
  std::string leave = "flush";                     // ours, ingester.leave: flush, or hand_over to who takes the streams over
  bool operator==(const LifecyclerConfig&) const = default;
};

// Calls between our own processes: ingester_client and friends.
struct PeerClientConfig {
  std::int64_t remote_timeout = 5 * kNanosPerSecond;
  ClientTlsConfig tls;
  bool operator==(const PeerClientConfig&) const = default;
};

}  // namespace skald::config
