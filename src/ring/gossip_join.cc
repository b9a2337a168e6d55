// Opening a gossip node; joining, and the exchange of whole states.
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cmath>

#include "ring/gossip_node.h"
#include "skald/base/random.h"
#include "skald/obs/log.h"

namespace skald::ring {
namespace gossip {
namespace {

constexpr std::uint16_t kDefaultPort = 7946;

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = "";
  return gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "localhost";
}

// With many members everyone asks less often, or each would be asked all the time.
std::int64_t scaled(std::int64_t interval_ns, std::size_t members) {
  if (members <= 32) return interval_ns;
  return interval_ns * (static_cast<std::int64_t>(std::ceil(std::log2(static_cast<double>(members)) - 5)) + 1);
}

}  // namespace

Result<std::unique_ptr<GossipNode>> GossipNode::open(const config::MemberlistConfig& config, obs::Registry& registry, Tuning tuning) {
  if (config.cluster_label.size() > kLabelBytesMax) return Error(ErrorCode::kInvalidArgument, "memberlist.cluster_label: longer than 255 bytes");
  if (config.bind_port < 0 || config.bind_port > 65535 || config.advertise_port < 0 || config.advertise_port > 65535)
    return Error(ErrorCode::kInvalidArgument, "memberlist.bind_port, advertise_port: not a port");
  std::unique_ptr<Tls> tls;
  if (config.tls.enabled) {
    SKALD_TRY(tls, Tls::make(config.tls));
  }
  std::vector<std::string> addresses = config.bind_addr;
  if (addresses.empty()) addresses.emplace_back("0.0.0.0");
  std::vector<std::unique_ptr<Listener>> listeners;
  for (const std::string& address : addresses) {
    // Port 0: the first listener's choice is everyone's.
    const auto port = config.bind_port == 0 && !listeners.empty() ? listeners.front()->port() : static_cast<std::uint16_t>(config.bind_port);
    SKALD_TRY(auto listener, Listener::open(address, port));
    listeners.push_back(std::move(listener));
  }
  Endpoint self{.ip = {}, .port = listeners.front()->port()};
  if (!config.advertise_addr.empty()) {
    if (!parse_ip(config.advertise_addr, self.ip)) {
      SKALD_TRY(const auto found, resolve_peers(config.advertise_addr, kDefaultPort));
      self.ip = found.front().ip;
    }
    if (config.advertise_port != 0) self.port = static_cast<std::uint16_t>(config.advertise_port);
  } else {
    IpBytes any{}, any_four{};
    parse_ip("0.0.0.0", any_four);
    SKALD_CHECK(parse_ip(addresses.front(), self.ip));     // it was bound
    if (self.ip == any || self.ip == any_four) self.ip = own_address();
  }
  std::string name = config.node_name.empty() ? host_name() : config.node_name;
  if (config.randomize_node_name) {
    char suffix[16];
    std::snprintf(suffix, sizeof suffix, "-%08x", static_cast<unsigned>(system_random().next_u64()));
    name += suffix;
  }
  log::info("memberlist: listening", {{"name", name}, {"advertised", to_text(self)}, {"label", config.cluster_label}});
  std::unique_ptr<GossipNode> node(new GossipNode(config, registry, std::move(tuning), std::move(name), self, std::move(listeners), std::move(tls)));
  node->start();
  if (config.abort_if_cluster_join_fails && !config.join_members.empty()) {
    for (std::int64_t i = 0; !node->joined() && i < std::max<std::int64_t>(1, config.max_join_retries); ++i)
      if (!node->pause(i == 0 ? kNanosPerSecond : config.min_join_backoff)) break;
    if (!node->joined()) return Error(ErrorCode::kUnavailable, "memberlist: none of memberlist.join_members answered (abort_if_cluster_join_fails)");
  }
  return node;
}

Result<std::size_t> GossipNode::exchange(const Endpoint& to, bool join) {
  const std::int64_t deadline_ns = now_ns() + config_.stream_timeout;
  const auto run = [&]() -> Result<std::size_t> {
    if (tuning_.cut && tuning_.cut(to)) return Error(ErrorCode::kUnavailable, "cut");
    SKALD_TRY(const auto connection, Connection::dial(to, tls_.get(), deadline_ns));
    metrics_.streams_out.add();
    const PushPull ours = own_state(join);
    metrics_.pulls.add();
    metrics_.pull_bytes.add(static_cast<double>(ours.state.size()));
    SKALD_TRY_VOID(connection->write(stream_prefix(config_.cluster_label) + encode_stream(ours, config_.compression_enabled), deadline_ns));
    Bytes bytes;
    StreamProgress progress{.needed = 1, .message = {}};
    while (progress.needed != 0) {
      while (bytes.size() < progress.needed) {
        SKALD_TRY(const bool more, connection->read_some(bytes, deadline_ns));
        if (!more) return Error(ErrorCode::kUnavailable, bytes.empty() ? "the peer closed without an answer (another cluster_label?)" : "the answer ended early");
        if (bytes.size() > kUnpackedBytesMax) return Error(ErrorCode::kTooLarge, "the answer is too long");
      }
      SKALD_TRY(progress, parse_stream(bytes));
    }
    if (const auto* error = std::get_if<StreamError>(&progress.message)) return Error(ErrorCode::kUnavailable, "the peer says: " + error->text.substr(0, 256));
    const auto* theirs = std::get_if<PushPull>(&progress.message);
    if (theirs == nullptr) return Error(ErrorCode::kCorruption, "the answer is of another kind");
    take_exchange(*theirs);
    return static_cast<std::size_t>(std::count_if(theirs->nodes.begin(), theirs->nodes.end(), [&](const PeerState& node) {
      return node.name != name_ && node.state <= NodeState::kSuspect;
    }));
  };
  auto done = run();
  if (!done.ok()) metrics_.streams_out_errors.add();
  return done;
}

std::size_t GossipNode::join_once(const std::vector<std::string>& names, bool strangers_only, bool& alone) {
  std::set<Endpoint> peers;
  alone = true;
  for (const std::string& name : names) {
    const auto found = resolve_peers(name, kDefaultPort, names_);
    if (!found.ok()) {
      log::warn("memberlist: peer not found", {{"member", name}, {"err", found.error().message()}});
      alone = false;                                       // we cannot know
      continue;
    }
    peers.insert(found->begin(), found->end());
  }
  if (strangers_only) {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, member] : members_.all())
      if (member.state <= NodeState::kSuspect) peers.erase(member.at);
  }
  std::size_t answered = 0;
  for (const Endpoint& peer : peers) {
    if (stopping_) break;
    if (peer == self_) continue;
    const auto others = exchange(peer, true);
    if (others.ok() && *others > 0) ++answered;
    if (others.ok()) continue;                             // nobody but us: it was ourselves by another address
    alone = false;
    // In a running cluster a configured peer may be down for long: not a line each minute.
    (strangers_only ? log::debug : log::warn)("memberlist: peer does not answer", {{"peer", to_text(peer)}, {"err", others.error().message()}});
  }
  return answered;
}

void GossipNode::run_exchanges() {
  std::int64_t backoff_ns = std::max(config_.min_join_backoff, 10 * kNanosPerMilli);
  const bool has_peers = !config_.join_members.empty();
  if (!has_peers) joined_ = true;
  std::int64_t next_join = has_peers ? 0 : std::numeric_limits<std::int64_t>::max();
  std::int64_t next_exchange = now_ns() + config_.pull_push_interval;
  bool first = true;
  do {
    const std::int64_t now = now_ns();
    std::size_t living = 0;
    {
      const std::lock_guard lock(mutex_);
      living = members_.living();
    }
    if (now >= next_join) {
      bool alone = false;
      const auto& names = !first && !config_.rejoin_seed_nodes.empty() ? config_.rejoin_seed_nodes : config_.join_members;
      // Parts of a split cluster forget each other; who is not told how often to rejoin looks for strangers among the names.
      const bool by_default = config_.rejoin_interval <= 0;
      const bool looking = !first && by_default && living > 1;
      const std::size_t answered = join_once(names, looking, alone);
      const std::int64_t rejoin_ns = by_default ? tuning_.rejoin_ns : config_.rejoin_interval;
      if (answered > 0 || looking) {
        if (answered > 0 && (!joined_.exchange(true) || first)) log::info("memberlist: joined", {{"answered", answered}});
        if (answered > 0 && looking) log::info("memberlist: found members again", {{"answered", answered}});
        first = false;
        backoff_ns = std::max(config_.min_join_backoff, 10 * kNanosPerMilli);
        next_join = now_ns() + rejoin_ns;
      } else if (alone && first) {
        if (!joined_.exchange(true)) log::info("memberlist: no other member yet, this is the first one");
        first = false;
        next_join = now_ns() + backoff_ns;
      } else {
        if (living <= 1)
          log::warn("memberlist: alone; waiting for a peer of memberlist.join_members to answer, goes on trying",
                    {{"next_try_ms", backoff_ns / kNanosPerMilli}});
        next_join = now_ns() + backoff_ns;
        backoff_ns = std::min(backoff_ns * 2, std::max(config_.max_join_backoff, backoff_ns));
      }
    }
    if (now >= next_exchange) {
      Endpoint peer{};
      bool found = false;
      {
        const std::lock_guard lock(mutex_);
        const auto picked = members_.pick(1, random_, [](const Peer& p) { return p.state == NodeState::kAlive; });
        found = !picked.empty();
        if (found) peer = picked.front()->at;
      }
      if (found) {
        if (const auto done = exchange(peer, false); !done.ok())
          log::warn("memberlist: exchange with a peer failed", {{"peer", to_text(peer)}, {"err", done.error().message()}});
      }
      next_exchange = now_ns() + scaled(std::max(config_.pull_push_interval, 10 * kNanosPerMilli), living);
    }
  } while (pause(std::clamp(std::min(next_join, next_exchange) - now_ns(), kNanosPerMilli, kNanosPerSecond)));
}

}  // namespace gossip

Result<std::unique_ptr<Memberlist>> Memberlist::open(const config::MemberlistConfig& config, obs::Registry& registry) {
  SKALD_TRY(auto node, gossip::GossipNode::open(config, registry, {}));
  return std::unique_ptr<Memberlist>(std::move(node));
}

}  // namespace skald::ring
