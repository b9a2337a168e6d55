// Several rulers share the groups: each group is evaluated by the member of a ring that its token belongs to, and every
// ruler answers for all of them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "skald/http/client.h"
#include "skald/http/server.h"
#include "skald/obs/metrics.h"
#include "skald/ring/ring.h"
#include "skald/ruler/ruler.h"

namespace skald::ruler {

// Where a group lies on the circle: FNV-1a of user, 0, namespace, separator, group, as in Loki.
std::uint32_t group_token(const std::string& tenant, const std::string& name_space, const std::string& group);

struct PeersOptions {
  std::string own_id;                              // of this process in the ring
  std::function<std::string(const ring::Instance&)> url_of = nullptr;   // null: "http://" and the address
  std::int64_t timeout_ns = 10 * kNanosPerSecond;  // of a call to a peer
};

// Thread-safe. Made before the ruler, which share() ties to it; set_local() before anything is asked.
class Peers final : public RuleStates {
 public:
  // `ring`, `client` and `registry` outlive it.
  Peers(const ring::Ring& ring, http::Client& client, PeersOptions options, obs::Registry& registry);

  void share(RulerDeps& deps);
  void set_local(Ruler& local) { local_ = &local; }
  // POST /skald.rpc.v1/ruler/{states,changed}: what this process evaluates itself; the stored rules of a tenant changed.
  void add_routes(http::Server& server);

  bool owns(const std::string& tenant, const std::string& name_space, const std::string& group) const;
  // Differs when owns() may answer differently.
  std::uint64_t version() const;

  // Groups of all rulers. kUnavailable names a ruler that did not answer: a list with holes would look like the whole.
  Result<std::vector<GroupStatus>> status(const CallContext& ctx) const override;
  // Tells the others too; who cannot be told finds out at its next poll.
  void changed(const std::string& tenant) override;
  // What other rulers know of a tenant's groups, also of those they gave up lately. Of those that answer.
  std::vector<GroupStatus> inherit(const std::string& tenant) const;

 private:
  struct Peer {
    std::string id, url;
  };
  std::vector<Peer> others(bool leaving_too) const;
  // One answer per peer, in their order.
  std::vector<Result<std::vector<GroupStatus>>> ask(const std::vector<Peer>& peers, const CallContext& ctx, bool with_former) const;
  std::shared_ptr<const ring::Picture> picture(std::int64_t& now_s) const;

  const ring::Ring& ring_;
  http::Client& client_;
  const PeersOptions options_;
  Ruler* local_ = nullptr;
  obs::Counter& check_errors_;
  obs::Gauge& clients_;
  // The last picture with somebody in it who is alive: when the ring's store is away, everyone goes on with what was theirs.
  mutable std::mutex mutex_;                       // guards the two
  mutable std::shared_ptr<const ring::Picture> good_;
  mutable std::int64_t good_s_ = 0;
};

}  // namespace skald::ruler
