// Rings follow common.ring where their own keys are silent; there is one ring store for all of them.
#include "derive.h"
#include "values.h"

namespace skald::config {
namespace {

// One block of keys that are kept as text, below `path`.
class TextBlock {
 public:
  TextBlock(const Config& config, std::string path) : config_(config), path_(std::move(path)) {}
  template <class T>
  void read(const char* name, Kind kind, T& value) {
    const auto text = config_.other.find(path_ + "." + name);
    if (text == config_.other.end() || !error_.empty()) return;
    if (const Result<void> set = set_from_text(kind, text->second, &value); !set.ok()) error_ = set.error().message();
  }
  Result<void> result() const {
    if (error_.empty()) return {};
    return Error(ErrorCode::kInvalidArgument, "CONFIG ERROR: " + path_ + ": " + error_);
  }

 private:
  const Config& config_;
  const std::string path_;
  std::string error_;
};

Result<void> read_kvstore(const Config& config, const std::string& path, KvStoreConfig& out) {
  TextBlock consul(config, path + ".consul");
  consul.read("host", Kind::kString, out.consul.host);
  consul.read("acl_token", Kind::kSecret, out.consul.acl_token);
  consul.read("http_client_timeout", Kind::kDuration, out.consul.http_client_timeout);
  consul.read("consistent_reads", Kind::kBool, out.consul.consistent_reads);
  consul.read("watch_rate_limit", Kind::kFloat, out.consul.watch_rate_limit);
  consul.read("cas_retry_delay", Kind::kDuration, out.consul.cas_retry_delay);
  SKALD_TRY_VOID(consul.result());
  TextBlock etcd(config, path + ".etcd");
  etcd.read("endpoints", Kind::kList, out.etcd.endpoints);
  etcd.read("dial_timeout", Kind::kDuration, out.etcd.dial_timeout);
  etcd.read("max_retries", Kind::kInt, out.etcd.max_retries);
  etcd.read("username", Kind::kString, out.etcd.username);
  etcd.read("password", Kind::kSecret, out.etcd.password);
  etcd.read("tls_enabled", Kind::kBool, out.etcd.tls.enabled);
  etcd.read("tls_cert_path", Kind::kString, out.etcd.tls.cert_path);
  etcd.read("tls_key_path", Kind::kString, out.etcd.tls.key_path);
  etcd.read("tls_ca_path", Kind::kString, out.etcd.tls.ca_path);
  etcd.read("tls_server_name", Kind::kString, out.etcd.tls.server_name);
  etcd.read("tls_insecure_skip_verify", Kind::kBool, out.etcd.tls.insecure_skip_verify);
  return etcd.result();
}

}  // namespace

Result<void> derive_rings(Config& config) {
  RingConfig& ingesters = config.lifecycler.ring;
  const auto follow = [&](const char* own, const char* common, auto& mine, const auto& shared) {
    if (!config.is_given(own) && config.is_given(common)) mine = shared;
  };
  // The store is named once; where it is reached stands below the ring that names it.
  const char* named_by = config.is_given("common.ring.kvstore.store") || !config.is_given("ingester.lifecycler.ring.kvstore.store")
                             ? "common.ring.kvstore" : "ingester.lifecycler.ring.kvstore";
  SKALD_TRY_VOID(read_kvstore(config, named_by, config.ring.kvstore));
  follow("common.ring.kvstore.prefix", "ingester.lifecycler.ring.kvstore.prefix", config.ring.kvstore.prefix, ingesters.kvstore.prefix);
  follow("ingester.lifecycler.ring.kvstore.prefix", "common.ring.kvstore.prefix", ingesters.kvstore.prefix, config.ring.kvstore.prefix);
  config.ring.kvstore.store = config.common.kvstore;
  config.ring.replication_factor = config.common.replication_factor;
  const std::string prefix = ingesters.kvstore.prefix;
  ingesters.kvstore = config.ring.kvstore;
  ingesters.kvstore.prefix = prefix;
  if (!config.is_given("ingester.lifecycler.ring.replication_factor")) ingesters.replication_factor = config.common.replication_factor;
  follow("ingester.lifecycler.heartbeat_period", "common.ring.heartbeat_period", config.lifecycler.heartbeat_period, config.ring.heartbeat_period);
  follow("ingester.lifecycler.ring.heartbeat_timeout", "common.ring.heartbeat_timeout", ingesters.heartbeat_timeout, config.ring.heartbeat_timeout);
  follow("ingester.lifecycler.ring.zone_awareness_enabled", "common.ring.zone_awareness_enabled", ingesters.zone_awareness_enabled, config.ring.zone_awareness_enabled);
  follow("ingester.lifecycler.num_tokens", "common.ring.num_tokens", ingesters.num_tokens, config.ring.num_tokens);
  follow("ingester.lifecycler.tokens_file_path", "common.ring.tokens_file_path", ingesters.tokens_file_path, config.ring.tokens_file_path);
  follow("ingester.lifecycler.availability_zone", "common.ring.instance_availability_zone", ingesters.instance_availability_zone, config.ring.instance_availability_zone);
  follow("ingester.lifecycler.interface_names", "common.ring.instance_interface_names", ingesters.instance_interface_names, config.ring.instance_interface_names);
  follow("ingester.lifecycler.id", "common.ring.instance_id", config.ingester.id, config.ring.instance_id);
  follow("ingester.lifecycler.port", "common.ring.instance_port", ingesters.instance_port, config.ring.instance_port);
  follow("ingester.lifecycler.address", "common.ring.instance_addr", config.ingester.address, config.ring.instance_addr);
  if (!config.is_given("memberlist.advertise_addr") && !config.common.instance_addr.empty()) config.memberlist.advertise_addr = config.common.instance_addr;
  return {};
}

}  // namespace skald::config
