// What ties a process to the others of an installation: the ring store, the rings, its own entries in them, and clients of
// its peers. Only where a ring is shared (config::Config::ring_is_shared); a process alone has none of this.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/config/config.h"
#include "skald/exec/pool.h"
#include "skald/http/client.h"
#include "skald/ingester/ingester.h"
#include "skald/io/file_system.h"
#include "skald/ring/lifecycler.h"
#include "skald/ring/ring.h"
#include "skald/ring/stores.h"
#include "skald/rpc/ingester_service.h"
#include "skald/rpc/ingester_set.h"
#include "targets.h"

namespace skald::app {

// Thread-safe once open, but for join() and stop().
class Cluster {
 public:
  // Listens for gossip; contacts nobody else yet. `config`, `files` and `registry` outlive it.
  static Result<std::unique_ptr<Cluster>> open(const config::Config& config, const Modules& modules, io::FileSystem& files, obs::Registry& registry, const Clock& clock);
  ~Cluster();

  // The ingester of this process, as the set calls it; before join(). It outlives the cluster's calls.
  void set_local(rpc::IngesterClient& local) { local_ = &local; }
  // Enters the rings: the ingester without taking part yet.
  Result<void> join();
  // For an ingester that starts with nothing: what it held before, if it was lost, has a copy less than it should. Asks the other
  // ingesters to store what they hold, and waits for them, so that whoever sees this one ACTIVE may lose another.
  void make_up_for_lost_log();
  // Every ingester of the ring stores what it holds and ships its index. An error when one of them did not.
  Result<void> flush_ingesters();
  // The ingester's data is there: it takes pushes and answers queries from now on.
  void activate();
  // LEAVING: no new pushes, still asked by queries. Returns when the ring store knows it, or after a few seconds.
  void leave();
  // Out of the rings for good (or, by configuration, until the restart).
  void stop(bool for_good);
  // What of the ring store it cannot go on without; empty: nothing.
  std::string waits_for() const;
  // Why this process is no full member yet; empty: it is.
  std::string not_ready() const;

  rpc::IngesterClient& ingesters() { return *set_; }
  ring::Ring& ingester_ring() { return *ingester_ring_; }
  ring::Ring& backend_ring() { return *backend_ring_; }
  ring::Memberlist* memberlist() { return memberlist_.get(); }   // null: another store
  http::Client& peers() { return *client_; }
  rpc::LabelTexts& texts() { return texts_; }
  const std::string& id() const { return id_; }
  // "http://10.1.2.3:3100" of the backends that are heard of, sorted.
  std::vector<std::string> backend_urls() const;
  std::string url_of(const ring::Instance& instance) const { return scheme_ + instance.address; }
  // Who gets a stream of this ingester once it has left. Used by one thread at a time.
  ingester::Successor successor();
  // What one of the ingesters gets of a limit that holds for all of them together, when streams are spread evenly.
  std::uint64_t ingester_share(std::uint64_t global) const;
  // The same for what every distributor counts by itself; distributors are the processes of the ingesters' ring.
  double distributor_share() const;

 private:
  Cluster(const config::Config& config, const Modules& modules, const Clock& clock);
  Result<void> open_store(obs::Registry& registry);
  std::size_t healthy_ingesters() const;
  Result<void> flush_others(const CallContext& ctx);       // the error names one that did not; the others were asked, too
  std::shared_ptr<rpc::IngesterClient> connect(const ring::Instance& instance);

  const config::Config& config_;
  const Modules modules_;
  const Clock& clock_;
  const std::string id_;
  std::string scheme_;
  rpc::IngesterClient* local_ = nullptr;
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<ring::Memberlist> memberlist_;
  std::unique_ptr<ring::KvStore> own_kv_;
  ring::KvStore* kv_ = nullptr;                    // the one of the two that is there
  std::unique_ptr<ring::Ring> ingester_ring_, backend_ring_;
  std::unique_ptr<ring::Lifecycler> ingester_entry_, backend_entry_;   // null: not in that ring
  rpc::LabelTexts texts_;
  std::unique_ptr<exec::Pool> pool_;
  std::unique_ptr<rpc::IngesterSet> set_;
  bool left_ = false;
  mutable std::atomic<std::int64_t> active_since_ns_{0};   // first seen so by not_ready(); 0: not yet
  mutable std::atomic<bool> saw_ingesters_{false};
};

// host:port that peers call: what was configured, else the first address of the named interfaces, else the first private one.
Result<std::string> peer_address(const config::Config& config);

}  // namespace skald::app
