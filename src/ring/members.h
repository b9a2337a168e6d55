// Who is in the cluster and how they are: the state rules of SWIM as hashicorp/memberlist applies them. Pure: time comes
// in as an argument, what is to be told goes into a queue. Not thread-safe: its owner locks.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "ring/broadcasts.h"
#include "ring/gossip_wire.h"

namespace skald::ring::gossip {

struct MembersOptions {
  std::int64_t probe_interval_ns = 0;              // the unit of suspicion timers
  std::int64_t dead_gossip_ns = 0;                 // how long the dead are kept and told things
  std::int64_t reclaim_ns = 0;                     // a dead name may come back elsewhere after this; 0: never
};

struct Member {
  std::string name;
  Endpoint at;
  Bytes meta;
  std::uint32_t incarnation = 0;
  NodeState state = NodeState::kAlive;
  Versions versions = kOurVersions;
  std::int64_t changed_ns = 0;                     // of the state
  struct Suspicion {
    std::set<std::string> from;                    // who said so
    std::int64_t start_ns = 0, min_ns = 0, max_ns = 0;
    int confirmations_wanted = 0;
    std::int64_t deadline_ns() const;
  };
  std::optional<Suspicion> suspicion;              // while suspect
};

class Members {
 public:
  static constexpr std::size_t kMembersMax = 1 << 16;

  Members(Member self, MembersOptions options, std::int64_t now_ns);

  const Member& self() const { return members_.at(self_); }
  const std::map<std::string, Member>& all() const { return members_; }
  const Member* find(const std::string& name) const;
  std::size_t living() const;                      // alive and suspect, this one too

  // News. About this one: refuted.
  void hear(const Alive& alive, std::int64_t now_ns);
  void hear(const Suspect& suspect, std::int64_t now_ns);
  void hear(const Dead& dead, std::int64_t now_ns);
  void hear(const std::vector<PeerState>& nodes, std::int64_t now_ns);   // a push/pull
  // Suspects whose time is over are dead, the long dead are forgotten.
  void pass_time(std::int64_t now_ns);
  void leave(std::int64_t now_ns);

  std::vector<PeerState> snapshot() const;
  // Up to `count` random ones other than this for which `fits` holds.
  std::vector<const Member*> pick(std::size_t count, std::mt19937& random, const std::function<bool(const Member&)>& fits) const;
  bool takes_gossip(const Member& member, std::int64_t now_ns) const;

  Broadcasts queue;
  int refuted = 0;                                 // how often, since the last look: a sign of bad health

 private:
  void tell(const std::string& node, const Message& message) { queue.push(node, {}, encode(message)); }
  void refute(std::uint32_t accused);
  void set_state(Member& member, NodeState state, std::int64_t now_ns);

  const std::string self_;
  const MembersOptions options_;
  std::map<std::string, Member> members_;
  bool left_ = false;
};

}  // namespace skald::ring::gossip
