// The ring stores behind KvStore. All are thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/config/cluster.h"
#include "skald/obs/metrics.h"
#include "skald/ring/kv.h"

namespace skald::ring {

// etcd v3 through its JSON gateway, values as dskit writes them. Contacts nobody yet; an etcd that is down makes calls
// fail with kUnavailable and watches wait. `registry` outlives it.
Result<std::unique_ptr<KvStore>> open_etcd_kv(const config::EtcdConfig& config, obs::Registry& registry);
// Consul's KV over HTTP, with blocking queries as watches.
Result<std::unique_ptr<KvStore>> open_consul_kv(const config::ConsulConfig& config, obs::Registry& registry);

// Gossip between the processes themselves, on the wire as hashicorp/memberlist with Grafana's TCP transport and key-value
// messages: a mixed cluster shares one ring. One per process, whatever the number of rings.
class Memberlist {
 public:
  // Listens; joining goes on in the background and is repeated until somebody answers (a first member has nobody to join:
  // the log says that it waits). kUnavailable: the port cannot be bound; kInvalidArgument: addresses, TLS files.
  static Result<std::unique_ptr<Memberlist>> open(const config::MemberlistConfig& config, obs::Registry& registry);
  virtual ~Memberlist() = default;                 // leaves: says goodbye and waits leave_timeout at most

  virtual KvStore& kv() = 0;
  // True once a peer answered, or when there is nobody to join.
  virtual bool joined() const = 0;

  // For /memberlist.
  struct Member {
    std::string name, address, state;              // state: alive, suspect, dead, left
    std::uint32_t incarnation = 0;
    int protocol_min = 1, protocol_max = 5, protocol_current = 2, delegate_min = 0, delegate_max = 0, delegate_current = 0;
    std::string meta;
  };
  struct Value {
    std::string key, codec;
    std::uint64_t version = 0;                     // counts local changes
    std::int64_t updated_ms = 0;                   // Unix; 0: not told
    Desc desc;                                     // with tombstones
    std::size_t bytes = 0;
  };
  virtual std::vector<Member> members() const = 0; // this process first
  virtual std::vector<Value> values() const = 0;
};

}  // namespace skald::ring
