#include "ring/gossip_node.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "skald/base/random.h"
#include "skald/obs/log.h"

namespace skald::ring::gossip {
namespace {

constexpr int kHealthMax = 8, kIndirectProbes = 3;
constexpr std::size_t kWaitingMax = 4096;
constexpr std::size_t kGossipBytesMax = kPacketBytesMax - (64 << 10);   // room for framing

const char* name_of(NodeState state) {
  switch (state) {
    case NodeState::kAlive: return "alive";
    case NodeState::kSuspect: return "suspect";
    case NodeState::kDead: return "dead";
    case NodeState::kLeft: return "left";
  }
  return "?";
}

}  // namespace

GossipNode::Metrics::Metrics(obs::Registry& registry)
    : members(registry.gauge("loki_memberlist_client_cluster_members_count", "Members of the gossip cluster that live.")),
      health(registry.gauge("loki_memberlist_client_cluster_node_health_score", "Health of this member, 0 is best.")),
      keys(registry.gauge("loki_memberlist_client_kv_store_count", "Keys in the gossiped store.")),
      queue(registry.gauge_family("loki_memberlist_client_messages_in_broadcast_queue", "News that wait to be told.", {"queue"})),
      tombstones(registry.gauge_family("loki_memberlist_client_kv_store_value_tombstones", "Entries of a value that left and are remembered for a while.", {"key"})),
      received(registry.counter("loki_memberlist_client_received_broadcasts_total", "News received.")),
      received_bytes(registry.counter("loki_memberlist_client_received_broadcasts_bytes_total", "Bytes of news received.")),
      received_invalid(registry.counter("loki_memberlist_client_received_broadcasts_invalid_total", "News received that could not be used.")),
      pulls(registry.counter("loki_memberlist_client_state_pulls_total", "Times this member sent its state.")),
      pull_bytes(registry.counter("loki_memberlist_client_state_pulls_bytes_total", "Bytes of state sent.")),
      pushes(registry.counter("loki_memberlist_client_state_pushes_total", "Times this member received a state.")),
      push_bytes(registry.counter("loki_memberlist_client_state_pushes_bytes_total", "Bytes of state received.")),
      packets_sent(registry.counter("loki_memberlist_tcp_transport_packets_sent_total", "Packets sent.")),
      packets_sent_bytes(registry.counter("loki_memberlist_tcp_transport_packets_sent_bytes_total", "Bytes of packets sent.")),
      packets_sent_errors(registry.counter("loki_memberlist_tcp_transport_packets_sent_errors_total", "Packets that could not be sent.")),
      packets_received(registry.counter("loki_memberlist_tcp_transport_packets_received_total", "Packets received.")),
      packets_received_bytes(registry.counter("loki_memberlist_tcp_transport_packets_received_bytes_total", "Bytes of packets received.")),
      packets_received_errors(registry.counter("loki_memberlist_tcp_transport_packets_received_errors_total", "Packets that could not be used.")),
      packets_dropped(registry.counter("loki_memberlist_tcp_transport_packets_dropped_total", "Packets dropped because no sender was free.")),
      unknown(registry.counter("loki_memberlist_tcp_transport_unknown_connections_total", "Connections of another kind.")),
      streams_in(registry.counter("loki_memberlist_tcp_transport_incoming_streams_total", "Streams accepted.")),
      streams_out(registry.counter("loki_memberlist_tcp_transport_outgoing_streams_total", "Streams opened.")),
      streams_out_errors(registry.counter("loki_memberlist_tcp_transport_outgoing_stream_errors_total", "Streams that could not be opened.")) {}

GossipNode::GossipNode(const config::MemberlistConfig& config, obs::Registry& registry, Tuning tuning, std::string name, Endpoint self,
                       std::vector<std::unique_ptr<Listener>> listeners, std::unique_ptr<Tls> tls)
    : config_(config),
      tuning_(std::move(tuning)),
      name_(std::move(name)),
      self_(self),
      listeners_(std::move(listeners)),
      tls_(std::move(tls)),
      names_(io::NameService::system().counted(registry, "memberlist")),
      values_({.tombstone_ns = config.left_ingesters_timeout, .deleted_ns = config.obsolete_entries_timeout, .notify_interval_ns = config.notify_interval}, registry),
      metrics_(registry),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      members_(Peer{.name = name_, .at = self_, .meta = {}, .incarnation = 1, .suspicion = {}},
               {.probe_interval_ns = tuning_.probe_interval_ns, .dead_gossip_ns = config.gossip_to_dead_nodes_time, .reclaim_ns = config.dead_node_reclaim_time}, now_ns()),
      random_(static_cast<std::mt19937::result_type>(system_random().next_u64())) {}

void GossipNode::start() {
  constexpr int kServers = 4;
  const auto run = [this](void (GossipNode::*body)()) {
    threads_.emplace_back([this, body] {
      block_sigpipe();
      (this->*body)();
    });
  };
  run(&GossipNode::listen);
  for (int i = 0; i < kServers; ++i) run(&GossipNode::serve);
  for (std::int64_t i = 0; i < std::clamp<std::int64_t>(config_.max_concurrent_writes, 1, 32); ++i) run(&GossipNode::send);
  run(&GossipNode::run_clock);
  run(&GossipNode::run_exchanges);
}

void GossipNode::stop() {
  {
    // Under all the locks that waits are under, so that none of them misses it.
    const std::scoped_lock lock(mutex_, accepted_mutex_, sends_mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  accepted_wake_.notify_all();
  sends_wake_.notify_all();
  const std::uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof one);
  for (std::thread& thread : threads_) thread.join();
  for (const int fd : accepted_) ::close(fd);
  ::close(wake_fd_);
}

GossipNode::~GossipNode() {
  const auto wait_for = [&](std::int64_t limit_ns, const std::function<bool()>& done) {
    const std::int64_t until_ns = now_ns() + limit_ns;
    while (now_ns() < until_ns && !done() && pause(10 * kNanosPerMilli)) {
    }
  };
  const auto others = [&] {
    const std::lock_guard lock(mutex_);
    return members_.living() > 1;
  };
  if (!tuning_.vanish && !threads_.empty() && others()) {
    wait_for(config_.broadcast_timeout_for_local_updates_on_shutdown, [&] { return values_.own_waiting() == 0 || !others(); });
    {
      const std::lock_guard lock(mutex_);
      members_.leave(now_ns());
    }
    wait_for(config_.leave_timeout, [&] {
      const std::lock_guard lock(mutex_);
      return members_.queue.size() == 0 || members_.living() == 0;
    });
    log::info("memberlist: left");
  }
  stop();
}

bool GossipNode::pause(std::int64_t for_ns) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, std::chrono::nanoseconds(for_ns), [&] { return stopping_.load(); });
}

std::vector<Memberlist::Member> GossipNode::members() const {
  const std::lock_guard lock(mutex_);
  std::vector<Member> out;
  for (const auto& [name, peer] : members_.all()) {
    Member member{.name = name, .address = to_text(peer.at), .state = name_of(peer.state), .incarnation = peer.incarnation, .meta = peer.meta};
    member.protocol_min = peer.versions[0], member.protocol_max = peer.versions[1], member.protocol_current = peer.versions[2];
    member.delegate_min = peer.versions[3], member.delegate_max = peer.versions[4], member.delegate_current = peer.versions[5];
    out.insert(name == name_ ? out.begin() : out.end(), std::move(member));
  }
  return out;
}

void GossipNode::hear_user(const Bytes& payload) {
  metrics_.received.add();
  metrics_.received_bytes.add(static_cast<double>(payload.size()));
  auto pair = decode_key_value(payload);
  const Result<void> heard = pair.ok() ? values_.hear(*pair) : Result<void>(pair.error());
  if (heard.ok()) return;
  metrics_.received_invalid.add();
  log::debug("memberlist: news not understood", {{"err", heard.error().message()}});
}

PushPull GossipNode::own_state(bool join) const {
  PushPull out{.join = join, .nodes = {}, .state = values_.state()};
  const std::lock_guard lock(mutex_);
  out.nodes = members_.snapshot();
  return out;
}

void GossipNode::take_exchange(const PushPull& theirs) {
  metrics_.pushes.add();
  metrics_.push_bytes.add(static_cast<double>(theirs.state.size()));
  {
    const std::lock_guard lock(mutex_);
    members_.hear(theirs.nodes, now_ns());
  }
  const auto pairs = split_state(theirs.state);
  if (!pairs.ok()) {
    log::warn("memberlist: a peer's state is malformed", {{"err", pairs.error().message()}});
    return;
  }
  for (const KeyValue& pair : *pairs)
    if (const auto heard = values_.hear(pair); !heard.ok()) log::debug("memberlist: news not understood", {{"err", heard.error().message()}});
}

// `from` is what the packet says; null when it says nothing usable.
void GossipNode::handle(const Message& message, const Endpoint* from) {
  const std::int64_t now = now_ns();
  const auto answer_to = [&](const Endpoint& said) -> const Endpoint* { return said.port != 0 && said.ip != IpBytes{} ? &said : from; };
  if (const auto* user = std::get_if<User>(&message)) return hear_user(user->payload);
  if (const auto* ping = std::get_if<Ping>(&message)) {
    if (!ping->node.empty() && ping->node != name_) {
      log::debug("memberlist: ping for another member", {{"name", ping->node}});   // somebody had our address before
      return;
    }
    if (const Endpoint* to = answer_to(ping->source)) send_one(*to, Ack{.seq = ping->seq}, false);
    return;
  }
  const std::lock_guard lock(mutex_);
  if (const auto* indirect = std::get_if<IndirectPing>(&message)) {
    const Endpoint* asker = answer_to(indirect->source);
    if (asker == nullptr || waiting_.size() >= kWaitingMax) return;
    const std::uint32_t seq = next_seq_++;
    waiting_[seq] = {.until_ns = now + tuning_.probe_timeout_ns, .forward = true, .asked_seq = indirect->seq, .asker = *asker, .nack = indirect->nack};
    send_one(indirect->target, Ping{.seq = seq, .node = indirect->node, .source = self_, .source_node = name_}, false);
  } else if (const auto* ack = std::get_if<Ack>(&message)) {
    const auto found = waiting_.find(ack->seq);
    if (found == waiting_.end()) return;
    if (found->second.forward) send_one(found->second.asker, Ack{.seq = found->second.asked_seq}, false);
    else if (probe_ && probe_->seq == ack->seq) probe_->acked = true;
    waiting_.erase(found);
  } else if (const auto* nack = std::get_if<Nack>(&message)) {
    if (probe_ && probe_->seq == nack->seq) ++probe_->nacks;
  } else if (const auto* suspect = std::get_if<Suspect>(&message)) {
    members_.hear(*suspect, now);
  } else if (const auto* dead = std::get_if<Dead>(&message)) {
    members_.hear(*dead, now);
  } else if (const auto* alive = std::get_if<Alive>(&message)) {
    members_.hear(*alive, now);
  }
}

void GossipNode::run_clock() {
  std::int64_t next_gossip = 0, next_probe = now_ns() + tuning_.probe_interval_ns, next_values = 0;
  const std::int64_t gossip_ns = std::max(config_.gossip_interval, kNanosPerMilli);
  const std::int64_t step_ns = std::clamp(std::min(gossip_ns, tuning_.probe_timeout_ns / 4), kNanosPerMilli, kNanosPerSecond);
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, std::chrono::nanoseconds(step_ns), [&] { return stopping_.load(); })) {
    const std::int64_t now = now_ns();
    members_.pass_time(now);
    health_ = std::min(kHealthMax, health_ + members_.refuted);
    members_.refuted = 0;
    expire_waiting(now);
    continue_probe(now);
    if (now >= next_probe) {
      begin_probe(now);
      next_probe = now + tuning_.probe_interval_ns * (health_ + 1);
    }
    if (now >= next_gossip) {
      gossip_round(now);
      next_gossip = now + gossip_ns;
    }
    if (now >= next_values) {
      values_.pass_time();
      next_values = now + kNanosPerSecond;
      metrics_.members.set(static_cast<double>(members_.living()));
      metrics_.health.set(health_);
      const auto values = values_.values();
      metrics_.keys.set(static_cast<double>(values.size()));
      for (const Value& value : values)
        metrics_.tombstones.with({value.key}).set(static_cast<double>(value.desc.instances.size() - visible(value.desc).instances.size()));
      metrics_.queue.with({"local"}).set(static_cast<double>(values_.own_waiting()));
      metrics_.queue.with({"gossip"}).set(static_cast<double>(members_.queue.size()));
    }
  }
}

void GossipNode::gossip_round(std::int64_t now) {
  const auto targets = members_.pick(static_cast<std::size_t>(std::max<std::int64_t>(1, config_.gossip_nodes)), random_,
                                     [&](const Peer& peer) { return members_.takes_gossip(peer, now); });
  for (const Peer* peer : targets) {
    {
      const std::lock_guard lock(sends_mutex_);
      if (!gossiping_.insert(peer->at).second) continue;   // the last packet to it is still under way
    }
    Send send{.to = peer->at, .messages = {}, .crc = speaks_crc(*peer), .gossip = true, .drop_ns = now + config_.acquire_writer_timeout};
    std::size_t room = kGossipBytesMax;
    const int times = tell_times(config_.retransmit_factor, members_.all().size());
    members_.queue.take(2, room, times, send.messages);
    values_.take_broadcasts(2, room, times, send.messages);
    if (send.messages.empty()) {
      const std::lock_guard lock(sends_mutex_);
      gossiping_.erase(peer->at);
      continue;
    }
    enqueue(std::move(send));
  }
}

void GossipNode::begin_probe(std::int64_t now) {
  if (probe_) return;
  const Peer* target = nullptr;
  for (int round = 0; round < 2 && target == nullptr; ++round) {
    while (!probe_order_.empty() && target == nullptr) {
      target = members_.find(probe_order_.front());
      probe_order_.pop_front();
      if (target != nullptr && (target->state >= NodeState::kDead || target->name == name_)) target = nullptr;
    }
    if (target != nullptr || round == 1) break;
    for (const Peer* peer : members_.pick(Members::kMembersMax, random_, [](const Peer& p) { return p.state <= NodeState::kSuspect; }))
      probe_order_.push_back(peer->name);
  }
  if (target == nullptr) return;
  probe_ = Probe{.node = target->name, .seq = next_seq_++};
  probe_->indirect_ns = now + tuning_.probe_timeout_ns;
  probe_->end_ns = now + std::max(tuning_.probe_interval_ns * (health_ + 1), tuning_.probe_timeout_ns + kNanosPerMilli);
  waiting_[probe_->seq] = {.until_ns = probe_->end_ns, .asker = {}};
  Send send{.to = target->at, .messages = {}, .crc = speaks_crc(*target), .drop_ns = now + tuning_.probe_timeout_ns};
  send.messages.push_back(encode(Message(Ping{.seq = probe_->seq, .node = target->name, .source = self_, .source_node = name_})));
  // A suspect learns of it at once, and can object.
  if (target->state == NodeState::kSuspect)
    send.messages.push_back(encode(Message(Suspect{.incarnation = target->incarnation, .node = target->name, .from = name_})));
  enqueue(std::move(send));
}

void GossipNode::continue_probe(std::int64_t now) {
  if (!probe_) return;
  if (probe_->acked) {
    health_ = std::max(0, health_ - 1);
    probe_.reset();
    return;
  }
  const Peer* target = members_.find(probe_->node);
  if (target == nullptr || target->state >= NodeState::kDead) {
    probe_.reset();
    return;
  }
  if (!probe_->asked_others && now >= probe_->indirect_ns) {
    probe_->asked_others = true;
    for (const Peer* helper : members_.pick(kIndirectProbes, random_, [&](const Peer& p) { return p.state == NodeState::kAlive && p.name != target->name; })) {
      ++probe_->nacks_wanted;
      send_one(helper->at, IndirectPing{.seq = probe_->seq, .target = target->at, .node = target->name, .nack = true, .source = self_, .source_node = name_}, speaks_crc(*helper));
    }
  }
  if (now < probe_->end_ns) return;
  // No word from the helpers either: it may be us who is cut off.
  health_ = std::min(kHealthMax, health_ + (probe_->nacks_wanted > 0 ? std::max(0, probe_->nacks_wanted - probe_->nacks) : 1));
  members_.hear(Suspect{.incarnation = target->incarnation, .node = target->name, .from = name_}, now);
  probe_.reset();
}

void GossipNode::expire_waiting(std::int64_t now) {
  std::erase_if(waiting_, [&](const auto& item) {
    const Waiting& waiting = item.second;
    if (waiting.until_ns > now) return false;
    if (waiting.forward && waiting.nack) send_one(waiting.asker, Nack{.seq = waiting.asked_seq}, false);
    return true;
  });
}

}  // namespace skald::ring::gossip
