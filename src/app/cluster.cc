#include "cluster.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "options.h"
#include "skald/obs/log.h"
#include "skald/rpc/remote_ingester.h"

namespace skald::app {
namespace {

constexpr std::int64_t kPeerConnectNs = 2 * kNanosPerSecond;
constexpr std::int64_t kLeaveNs = 2 * kNanosPerSecond;
constexpr std::int64_t kFormerEntryNs = 2 * kNanosPerSecond;
constexpr std::int64_t kNewsNs = 2 * kNanosPerSecond;            // news of a ring has reached everybody
constexpr std::int64_t kForgetAfterTimeouts = 10;
constexpr std::int64_t kFirstPeersNs = 5 * kNanosPerSecond;      // how long a first member waits for others
constexpr std::int64_t kPeerFlushNs = kNanosPerMinute;
constexpr std::size_t kBackendTokens = 128;

bool is_private(std::uint32_t ip) {
  return ip >> 24 == 10 || ip >> 20 == (172U << 4 | 1U) || ip >> 16 == (192U << 8 | 168U) || ip >> 22 == (100U << 2 | 1U);
}

// Empty: none.
std::string interface_address(const std::vector<std::string>& names, bool with_ipv6) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return "";
  std::string best, any;
  for (const ifaddrs* at = list; at != nullptr && best.empty(); at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0 || (at->ifa_flags & IFF_LOOPBACK) != 0) continue;
    if (!names.empty() && std::find(names.begin(), names.end(), at->ifa_name) == names.end()) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (at->ifa_addr->sa_family == AF_INET) {
      const auto& address = reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr;
      inet_ntop(AF_INET, &address, text, sizeof text);
      if (!names.empty() || is_private(ntohl(address.s_addr))) best = text;
      else if (any.empty()) any = text;
    } else if (at->ifa_addr->sa_family == AF_INET6 && with_ipv6 && any.empty()) {
      const auto& address = reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&address)) continue;
      inet_ntop(AF_INET6, &address, text, sizeof text);
      any = std::string("[") + text + "]";
    }
  }
  freeifaddrs(list);
  return best.empty() ? any : best;
}

std::size_t peer_threads(const config::Config& config) {
  return std::clamp<std::size_t>(4 * static_cast<std::size_t>(std::max<std::int64_t>(1, config.querier.max_concurrent)), 16, 64);
}

}  // namespace

Result<std::string> peer_address(const config::Config& config) {
  const config::RingConfig& ring = config.lifecycler.ring;
  std::string host = config.ingester.address;
  if (host.empty()) host = config.ring.instance_addr;
  if (host.empty()) host = config.common.instance_addr;
  const auto& names = ring.instance_interface_names.empty() ? config.ring.instance_interface_names : ring.instance_interface_names;
  if (host.empty()) host = interface_address(names, ring.instance_enable_ipv6 || config.ring.instance_enable_ipv6);
  if (host.empty()) host = config.server.http_listen_address;
  if (host.empty()) return Error(ErrorCode::kUnavailable, "no address to tell the other processes: no interface with an address was found; set common.instance_addr");
  if (host.find(':') != std::string::npos && !host.starts_with('[')) host = "[" + host + "]";
  const std::int64_t port = ring.instance_port > 0 ? ring.instance_port : config.server.http_listen_port;
  return host + ":" + std::to_string(port);
}

Cluster::Cluster(const config::Config& config, const Modules& modules, const Clock& clock)
    : config_(config), modules_(modules), clock_(clock), id_(instance_id(config)), scheme_(config.server.tls_cert_file.empty() && !config.peers.tls.enabled ? "http://" : "https://") {}

Cluster::~Cluster() = default;

Result<void> Cluster::open_store(obs::Registry& registry) {
  const config::KvStoreConfig& kv = config_.ring.kvstore;
  if (kv.store == "memberlist") {
    SKALD_TRY(memberlist_, ring::Memberlist::open(config_.memberlist, registry));
    kv_ = &memberlist_->kv();
    return {};
  }
  if (kv.store == "etcd") {
    SKALD_TRY(own_kv_, ring::open_etcd_kv(kv.etcd, registry));
  } else if (kv.store == "consul") {
    SKALD_TRY(own_kv_, ring::open_consul_kv(kv.consul, registry));
  }
  if (!own_kv_) return Error(ErrorCode::kUnimplemented, "common.ring.kvstore.store " + kv.store + " cannot be shared; use memberlist, etcd or consul");
  kv_ = own_kv_.get();
  return {};
}

Result<std::unique_ptr<Cluster>> Cluster::open(const config::Config& config, const Modules& modules, io::FileSystem& files, obs::Registry& registry, const Clock& clock) {
  std::unique_ptr<Cluster> out(new Cluster(config, modules, clock));
  SKALD_TRY(const std::string address, peer_address(config));
  http::ClientOptions client;
  client.connect_timeout_ns = kPeerConnectNs;
  client.proxy = "none";
  const config::ClientTlsConfig& tls = config.peers.tls;
  client.tls.ca_file = tls.ca_path;
  client.tls.cert_file = tls.cert_path;
  client.tls.key_file = tls.key_path;
  client.tls.server_name = tls.server_name;
  client.tls.skip_verify = tls.insecure_skip_verify;
  SKALD_TRY(out->client_, http::Client::create(std::move(client)));
  SKALD_TRY_VOID(out->open_store(registry));

  const config::RingConfig& ingesters = config.lifecycler.ring;
  ring::RingOptions ingester_ring;
  ingester_ring.key = ingesters.kvstore.prefix + "ring";
  ingester_ring.replication_factor = static_cast<std::size_t>(std::clamp<std::int64_t>(ingesters.replication_factor, 1, 5));
  ingester_ring.zone_awareness = ingesters.zone_awareness_enabled;
  ingester_ring.heartbeat_timeout_ns = ingesters.heartbeat_timeout;
  ring::RingOptions backend_ring;
  backend_ring.key = config.ring.kvstore.prefix + "backend";
  backend_ring.name = "backend";
  backend_ring.replication_factor = 1;
  backend_ring.heartbeat_timeout_ns = config.ring.heartbeat_timeout;
  out->ingester_ring_ = std::make_unique<ring::Ring>(*out->kv_, ingester_ring, registry, clock);
  out->backend_ring_ = std::make_unique<ring::Ring>(*out->kv_, backend_ring, registry, clock);

  ring::LifecyclerOptions entry;
  entry.registry = &registry;
  entry.id = out->id_;
  entry.address = address;
  entry.zone = ingesters.instance_availability_zone;
  if (modules.ingester) {
    const config::LifecyclerConfig& keys = config.lifecycler;
    ring::LifecyclerOptions mine = entry;
    mine.tokens = static_cast<std::size_t>(std::clamp<std::int64_t>(ingesters.num_tokens, 1, 4096));
    mine.heartbeat_period_ns = keys.heartbeat_period;
    mine.join_after_ns = keys.join_after;
    mine.observe_period_ns = keys.observe_period;
    mine.tokens_file = ingesters.tokens_file_path;
    // Gossip may not have brought the old entry yet when this process enters again.
    if (mine.tokens_file.empty() && !config.ingester.shutdown_marker_path.empty()) mine.tokens_file = config.ingester.shutdown_marker_path + "/ring-tokens.json";
    mine.unregister_on_shutdown = keys.unregister_on_shutdown;
    mine.final_sleep_ns = keys.final_sleep;
    if (keys.autoforget_unhealthy) mine.auto_forget_after_ns = kForgetAfterTimeouts * ingesters.heartbeat_timeout;
    out->ingester_entry_ = std::make_unique<ring::Lifecycler>(*out->kv_, ingester_ring, std::move(mine), files, clock);
  }
  if (modules.backend()) {
    entry.tokens = kBackendTokens;
    entry.heartbeat_period_ns = config.ring.heartbeat_period;
    entry.auto_forget_after_ns = kForgetAfterTimeouts * config.ring.heartbeat_timeout;
    out->backend_entry_ = std::make_unique<ring::Lifecycler>(*out->kv_, backend_ring, entry, files, clock);
  }
  out->pool_ = std::make_unique<exec::Pool>("peer", peer_threads(config));
  Cluster* const cluster = out.get();
  out->set_ = std::make_unique<rpc::IngesterSet>(*out->ingester_ring_, [cluster](const ring::Instance& instance) { return cluster->connect(instance); }, *out->pool_, registry);
  log::info("part of an installation", {{"instance", out->id_}, {"addr", address}, {"ring_store", config.common.kvstore}, {"replication_factor", ingester_ring.replication_factor}});
  return out;
}

std::shared_ptr<rpc::IngesterClient> Cluster::connect(const ring::Instance& instance) {
  // Not owned: the process' own ingester outlives the set.
  if (local_ != nullptr && instance.id == id_) return {std::shared_ptr<void>(), local_};
  rpc::RemoteIngesterOptions options;
  options.call_timeout_ns = config_.peers.remote_timeout;
  return rpc::make_remote_ingester(*client_, url_of(instance), texts_, options);
}

// Of the members that hold a stream from now on, the last is the one that does not hold it yet.
ingester::Successor Cluster::successor() {
  auto clients = std::make_shared<std::map<std::string, std::shared_ptr<rpc::IngesterClient>>>();
  return [this, clients](const std::string& tenant, const model::InternedLabels& labels) -> rpc::IngesterClient* {
    const auto picture = ingester_ring_->picture();
    const auto members = picture->members_for(ring::stream_token(tenant, labels.text), ring::Operation::kWrite, ingester_ring_->now_s());
    if (!members.ok() || members->members.size() < ingester_ring_->options().replication_factor) return nullptr;
    const ring::Instance& last = *members->members.back();
    if (last.id == id_) return nullptr;
    auto& client = (*clients)[last.address];
    if (!client) client = connect(last);
    return client.get();
  };
}

Result<void> Cluster::join() {
  // What a peer still knows of this process' last life is continued. Whoever is first has nobody to learn it from.
  const std::int64_t until_ns = clock_.monotonic_ns() + kFormerEntryNs;
  while (memberlist_ && !memberlist_->joined() && clock_.monotonic_ns() < until_ns) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  if (ingester_entry_) {
    SKALD_TRY_VOID(ingester_entry_->start());
  }
  if (backend_entry_) {
    SKALD_TRY_VOID(backend_entry_->start());
    backend_entry_->activate();
  }
  return {};
}

void Cluster::make_up_for_lost_log() {
  CallContext ctx;
  ctx.clock = &clock_;
  ctx.deadline_monotonic_ns = clock_.monotonic_ns() + kFirstPeersNs;
  while ((!ingester_ring_->wait_until_known(ctx).ok() || (memberlist_ && !memberlist_->joined())) && ctx.check().ok()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ctx.deadline_monotonic_ns = clock_.monotonic_ns() + kPeerFlushNs;
  if (const Result<void> flushed = flush_others(ctx); !flushed.ok())
    log::warn("lines of a lost log have fewer copies for now: not every ingester stored what it holds", {{"err", flushed.error().message()}});
}

Result<void> Cluster::flush_others(const CallContext& ctx) {
  const auto picture = ingester_ring_->picture();
  Result<void> result;
  std::vector<std::pair<std::string, std::unique_ptr<http::Client::Running>>> asked;
  for (const auto& [id, instance] : picture->desc().instances) {
    if (id == id_) continue;
    if (picture->healthy(instance, ring::Operation::kRead, ingester_ring_->now_s()))
      asked.emplace_back(id, client_->start({.method = "POST", .url = url_of(instance) + config_.server.http_path_prefix + "/flush"}, ctx));
    else result = Error(ErrorCode::kUnavailable, "ingester " + id + " is not heard of, or not active");
  }
  for (auto& [id, call] : asked) {
    const Result<http::ClientResponse> answer = call->take();
    if (!answer.ok()) result = answer.error().with_prefix("ingester " + id);
    else if (answer->status >= 300) result = Error(ErrorCode::kUnavailable, "ingester " + id + " answered " + std::to_string(answer->status));
  }
  return result;
}

Result<void> Cluster::flush_ingesters() {
  CallContext ctx;
  ctx.clock = &clock_;
  ctx.deadline_monotonic_ns = clock_.monotonic_ns() + 5 * kPeerFlushNs;
  return flush_others(ctx);
}

void Cluster::activate() {
  if (ingester_entry_) ingester_entry_->activate();
}

void Cluster::leave() {
  if (left_) return;
  left_ = true;
  for (ring::Lifecycler* entry : {ingester_entry_.get(), backend_entry_.get()})
    if (entry != nullptr) entry->leave();
  const std::int64_t until_ns = clock_.monotonic_ns() + kLeaveNs;
  const auto known = [&](const ring::Lifecycler* entry) { return entry == nullptr || entry->state() == ring::InstanceState::kLeaving; };
  while ((!known(ingester_entry_.get()) || !known(backend_entry_.get())) && clock_.monotonic_ns() < until_ns) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  // News travels by gossip: who has not heard yet still sends, and is still served.
  if (memberlist_) std::this_thread::sleep_for(std::chrono::nanoseconds(std::min<std::int64_t>(2 * config_.memberlist.gossip_interval, kNanosPerSecond)));
}

void Cluster::stop(bool for_good) {
  if (ingester_entry_) {
    if (for_good) ingester_entry_->set_unregister_on_shutdown(true);
    ingester_entry_->stop();
  }
  if (backend_entry_) backend_entry_->stop();
}

std::string Cluster::waits_for() const {
  CallContext now;
  now.deadline_monotonic_ns = 0;
  if (!ingester_ring_->wait_until_known(now).ok()) return "ring store " + config_.common.kvstore + " not read yet";
  if (memberlist_ && !memberlist_->joined()) return "memberlist: waiting for a peer of memberlist.join_members to answer";
  return "";
}

std::string Cluster::not_ready() const {
  if (std::string reason = waits_for(); !reason.empty()) return reason;
  if (ingester_entry_) {
    if (std::string reason = ingester_entry_->not_ready(); !reason.empty()) return reason;
    // Whoever waits for this one before it stops the next must not be ahead of the news.
    std::int64_t expected = 0;
    const std::int64_t now_ns = clock_.monotonic_ns();
    active_since_ns_.compare_exchange_strong(expected, now_ns);
    if (now_ns - active_since_ns_ < kNewsNs) return "active, waiting until the others have heard of it";
    if (config_.lifecycler.readiness_check_ring_health) {
      const auto picture = ingester_ring_->picture();
      for (const auto& [id, instance] : picture->desc().instances)
        if (!picture->healthy(instance, ring::Operation::kRead, ingester_ring_->now_s())) return "instance " + id + " past heartbeat timeout";
    }
  }
  if (modules_.queries() && !saw_ingesters_) {
    const auto members = ingester_ring_->picture()->members_for_all(ring::Operation::kRead, ingester_ring_->now_s());
    if (!members.ok()) return "waiting for ingesters: " + members.error().message();
    saw_ingesters_ = true;   // from now on queries say so themselves
  }
  if (backend_entry_) return backend_entry_->not_ready();
  return "";
}

std::vector<std::string> Cluster::backend_urls() const {
  std::vector<std::string> out;
  const auto picture = backend_ring_->picture();
  for (const auto& [id, instance] : picture->desc().instances)
    if (instance.state == ring::InstanceState::kActive && picture->heard_of(instance, backend_ring_->now_s())) out.push_back(url_of(instance));
  std::sort(out.begin(), out.end());
  return out;
}

std::size_t Cluster::healthy_ingesters() const {
  std::size_t healthy = 0;
  const auto picture = ingester_ring_->picture();
  for (const auto& [id, instance] : picture->desc().instances) healthy += picture->healthy(instance, ring::Operation::kWrite, ingester_ring_->now_s());
  return std::max<std::size_t>(1, healthy);
}

std::uint64_t Cluster::ingester_share(std::uint64_t global) const {
  const std::size_t members = healthy_ingesters(), copies = std::min(members, ingester_ring_->options().replication_factor);
  return (global * copies + members - 1) / members;
}

double Cluster::distributor_share() const { return 1.0 / static_cast<double>(healthy_ingesters()); }

}  // namespace skald::app
