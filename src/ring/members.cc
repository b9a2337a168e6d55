#include "ring/members.h"

#include <algorithm>
#include <cmath>

#include "skald/obs/log.h"

namespace skald::ring::gossip {
namespace {

constexpr int kSuspicionMultiplier = 4, kSuspicionMaxFactor = 6;

}  // namespace

std::int64_t Member::Suspicion::deadline_ns() const {
  if (confirmations_wanted <= 0) return start_ns + min_ns;
  // The first accuser is in `from` but confirms nothing.
  const double share = std::log(static_cast<double>(from.size())) / std::log(static_cast<double>(confirmations_wanted) + 1.0);
  const auto wait_ns = static_cast<std::int64_t>(static_cast<double>(max_ns) - share * static_cast<double>(max_ns - min_ns));
  return start_ns + std::max(wait_ns, min_ns);
}

Members::Members(Member self, MembersOptions options, std::int64_t now_ns) : self_(self.name), options_(options) {
  self.changed_ns = now_ns;
  tell(self.name, Alive{.incarnation = self.incarnation, .node = self.name, .at = self.at, .meta = self.meta, .versions = self.versions});
  members_.emplace(self_, std::move(self));
}

const Member* Members::find(const std::string& name) const {
  const auto found = members_.find(name);
  return found == members_.end() ? nullptr : &found->second;
}

std::size_t Members::living() const {
  return static_cast<std::size_t>(std::count_if(members_.begin(), members_.end(), [](const auto& m) { return m.second.state <= NodeState::kSuspect; }));
}

void Members::set_state(Member& member, NodeState state, std::int64_t now_ns) {
  member.suspicion.reset();
  if (member.state == state) return;
  member.state = state;
  member.changed_ns = now_ns;
}

void Members::refute(std::uint32_t accused) {
  Member& me = members_.at(self_);
  me.incarnation = std::max(me.incarnation, accused) + 1;
  ++refuted;
  tell(self_, Alive{.incarnation = me.incarnation, .node = me.name, .at = me.at, .meta = me.meta, .versions = me.versions});
}

void Members::hear(const Alive& alive, std::int64_t now_ns) {
  if (alive.node.empty()) return;
  auto found = members_.find(alive.node);
  if (alive.node == self_) {
    const Member& me = found->second;
    if (left_ || alive.incarnation < me.incarnation) return;
    if (alive.incarnation == me.incarnation && alive.at == me.at && alive.meta == me.meta && alive.versions == me.versions) return;
    if (alive.at != me.at) log::warn("memberlist: another process uses the name of this one", {{"name", self_}, {"address", to_text(alive.at)}});
    refute(alive.incarnation);
    return;
  }
  bool moved = false;
  if (found == members_.end()) {
    if (members_.size() >= kMembersMax) return;
    found = members_.emplace(alive.node, Member{.name = alive.node, .at = alive.at, .meta = {}, .state = NodeState::kDead, .suspicion = {}}).first;
    moved = true;   // no incarnation of it is known: any will do
  } else if (found->second.at != alive.at) {
    const Member& known = found->second;
    const bool reclaimed = known.state == NodeState::kLeft ||
                           (known.state == NodeState::kDead && options_.reclaim_ns > 0 && now_ns - known.changed_ns > options_.reclaim_ns);
    if (!reclaimed) {
      log::warn("memberlist: two members use one name, the second is ignored",
                {{"name", alive.node}, {"first", to_text(known.at)}, {"second", to_text(alive.at)}});
      return;
    }
    moved = true;
  }
  Member& member = found->second;
  if (alive.incarnation <= member.incarnation && !moved) return;
  tell(alive.node, alive);
  if (member.state > NodeState::kSuspect) log::info("memberlist: member joined", {{"name", alive.node}, {"address", to_text(alive.at)}});
  member.at = alive.at;
  member.meta = alive.meta;
  member.versions = alive.versions;
  member.incarnation = alive.incarnation;
  set_state(member, NodeState::kAlive, now_ns);
}

void Members::hear(const Suspect& suspect, std::int64_t now_ns) {
  const auto found = members_.find(suspect.node);
  if (found == members_.end() || suspect.incarnation < found->second.incarnation) return;
  Member& member = found->second;
  if (member.suspicion) {
    // Enough have confirmed: more change nothing, and are not told on.
    if (static_cast<int>(member.suspicion->from.size()) > member.suspicion->confirmations_wanted) return;
    if (member.suspicion->from.insert(suspect.from).second) tell(suspect.node, suspect);
    return;
  }
  if (member.state != NodeState::kAlive) return;
  if (suspect.node == self_) {
    if (!left_) {
      log::warn("memberlist: suspected by a peer, refuting", {{"from", suspect.from}});
      refute(suspect.incarnation);
    }
    return;
  }
  log::info("memberlist: member suspected", {{"name", suspect.node}, {"address", to_text(member.at)}, {"from", suspect.from}});
  tell(suspect.node, suspect);
  member.incarnation = suspect.incarnation;
  set_state(member, NodeState::kSuspect, now_ns);
  const std::size_t others = living() < 2 ? 0 : living() - 2;
  const double scale = std::max(1.0, std::log10(static_cast<double>(std::max<std::size_t>(1, living()))));
  Member::Suspicion suspicion;
  suspicion.from.insert(suspect.from);
  suspicion.start_ns = now_ns;
  suspicion.min_ns = static_cast<std::int64_t>(kSuspicionMultiplier * scale * static_cast<double>(options_.probe_interval_ns));
  suspicion.max_ns = kSuspicionMaxFactor * suspicion.min_ns;
  suspicion.confirmations_wanted = others < kSuspicionMultiplier - 2 ? 0 : kSuspicionMultiplier - 2;
  member.suspicion = std::move(suspicion);
}

void Members::hear(const Dead& dead, std::int64_t now_ns) {
  const auto found = members_.find(dead.node);
  if (found == members_.end() || dead.incarnation < found->second.incarnation) return;
  Member& member = found->second;
  if (member.state >= NodeState::kDead) return;
  if (dead.node == self_ && !left_) {
    log::warn("memberlist: declared dead by a peer, refuting", {{"from", dead.from}});
    refute(dead.incarnation);
    return;
  }
  tell(dead.node, dead);
  member.incarnation = dead.incarnation;
  const bool by_itself = dead.node == dead.from;
  if (dead.node != self_)
    log::info(by_itself ? "memberlist: member left" : "memberlist: member is dead", {{"name", dead.node}, {"address", to_text(member.at)}, {"from", dead.from}});
  set_state(member, by_itself ? NodeState::kLeft : NodeState::kDead, now_ns);
}

void Members::hear(const std::vector<PeerState>& nodes, std::int64_t now_ns) {
  for (const PeerState& node : nodes) {
    switch (node.state) {
      case NodeState::kAlive:
        hear(Alive{.incarnation = node.incarnation, .node = node.name, .at = node.at, .meta = node.meta, .versions = node.versions}, now_ns);
        break;
      case NodeState::kLeft: hear(Dead{.incarnation = node.incarnation, .node = node.name, .from = node.name}, now_ns); break;
      // Whom a peer believes dead we only suspect: it may be the peer that is cut off.
      case NodeState::kDead:
      case NodeState::kSuspect: hear(Suspect{.incarnation = node.incarnation, .node = node.name, .from = self_}, now_ns); break;
    }
  }
}

void Members::pass_time(std::int64_t now_ns) {
  std::vector<Dead> due;
  for (const auto& [name, member] : members_)
    if (member.suspicion && member.suspicion->deadline_ns() <= now_ns) due.push_back({.incarnation = member.incarnation, .node = name, .from = self_});
  for (const Dead& dead : due) hear(dead, now_ns);
  std::erase_if(members_, [&](const auto& entry) {
    const Member& member = entry.second;
    return member.state >= NodeState::kDead && member.name != self_ && now_ns - member.changed_ns > std::max(options_.dead_gossip_ns, options_.reclaim_ns);
  });
}

void Members::leave(std::int64_t now_ns) {
  left_ = true;
  hear(Dead{.incarnation = self().incarnation, .node = self_, .from = self_}, now_ns);
}

std::vector<PeerState> Members::snapshot() const {
  std::vector<PeerState> out;
  for (const auto& [name, member] : members_)
    out.push_back({.name = name, .at = member.at, .meta = member.meta, .incarnation = member.incarnation, .state = member.state, .versions = member.versions});
  return out;
}

std::vector<const Member*> Members::pick(std::size_t count, std::mt19937& random, const std::function<bool(const Member&)>& fits) const {
  std::vector<const Member*> all, out;
  for (const auto& [name, member] : members_)
    if (name != self_ && fits(member)) all.push_back(&member);
  std::sample(all.begin(), all.end(), std::back_inserter(out), count, random);
  std::shuffle(out.begin(), out.end(), random);
  return out;
}

bool Members::takes_gossip(const Member& member, std::int64_t now_ns) const {
  if (member.state <= NodeState::kSuspect) return true;
  return member.state == NodeState::kDead && now_ns - member.changed_ns <= options_.dead_gossip_ns;
}

}  // namespace skald::ring::gossip
