// One member of the gossip cluster: threads and sockets around Members (who is there) and GossipValues (what they tell).
//
//   listener     takes connections, at most kConnectionsMax waiting
//   servers      read one connection each: a packet, or a push/pull they answer
//   senders      write one packet each, from a bounded queue; a packet that waited too long is dropped
//   clock        gossip rounds, probes, suspicions that become due
//   exchange     joins, periodic push/pull
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "ring/gossip_socket.h"
#include "ring/gossip_values.h"
#include "ring/members.h"
#include "skald/ring/stores.h"

namespace skald::ring::gossip {

// What is no configuration: the reference fixes it, tests shorten it.
struct Tuning {
  std::int64_t probe_interval_ns = 5 * kNanosPerSecond;
  std::int64_t probe_timeout_ns = 2 * kNanosPerSecond;
  std::int64_t rejoin_ns = kNanosPerMinute;            // without memberlist.rejoin_interval
  std::function<bool(const Endpoint& to)> cut{};       // tests: connections to there are lost
  bool vanish = false;                                 // tests: the destructor does not say goodbye
};

class GossipNode final : public Memberlist {
 public:
  static constexpr std::size_t kConnectionsMax = 128, kSendsMax = 1024;

  static Result<std::unique_ptr<GossipNode>> open(const config::MemberlistConfig& config, obs::Registry& registry, Tuning tuning);
  ~GossipNode() override;

  KvStore& kv() override { return values_; }
  bool joined() const override { return joined_; }
  std::vector<Member> members() const override;
  std::vector<Value> values() const override { return values_.values(); }
  const std::string& name() const { return name_; }

 private:
  using Peer = gossip::Member;
  struct Send {
    Endpoint to;
    std::vector<Bytes> messages;
    bool crc = false, gossip = false;
    std::int64_t drop_ns = 0;                          // too late after this
  };
  struct Waiting {                                     // for an ack
    std::int64_t until_ns = 0;
    bool forward = false;                              // for somebody else's probe
    std::uint32_t asked_seq = 0;
    Endpoint asker;
    bool nack = false;
  };
  struct Probe {
    std::string node;
    std::uint32_t seq = 0;
    std::int64_t indirect_ns = 0, end_ns = 0;
    bool acked = false, asked_others = false;
    int nacks_wanted = 0, nacks = 0;
  };
  struct Metrics {
    explicit Metrics(obs::Registry& registry);
    obs::Gauge &members, &health, &keys;
    obs::GaugeFamily &queue, &tombstones;
    obs::Counter &received, &received_bytes, &received_invalid, &pulls, &pull_bytes, &pushes, &push_bytes;
    obs::Counter &packets_sent, &packets_sent_bytes, &packets_sent_errors, &packets_received, &packets_received_bytes, &packets_received_errors,
        &packets_dropped, &unknown, &streams_in, &streams_out, &streams_out_errors;
  };

  GossipNode(const config::MemberlistConfig& config, obs::Registry& registry, Tuning tuning, std::string name, Endpoint self,
             std::vector<std::unique_ptr<Listener>> listeners, std::unique_ptr<Tls> tls);
  void start();
  void stop();
  std::int64_t now_ns() const { return system_clock().monotonic_ns(); }

  void listen();
  void serve();
  void serve_connection(int fd);
  Result<void> serve_packet(Connection& connection, Bytes begun, std::int64_t deadline_ns);
  Result<void> serve_stream(Connection& connection, Bytes begun, std::int64_t deadline_ns);
  void handle(const Message& message, const Endpoint* from);
  void hear_user(const Bytes& payload);
  void take_exchange(const PushPull& theirs);
  PushPull own_state(bool join) const;

  void enqueue(Send send);                             // sends_mutex_ is taken inside
  void send_one(const Endpoint& to, const Message& message, bool crc);
  void send();

  void run_clock();
  void gossip_round(std::int64_t now);                 // mutex_ is held, in these four
  void begin_probe(std::int64_t now);
  void continue_probe(std::int64_t now);
  void expire_waiting(std::int64_t now);
  bool speaks_crc(const Peer& peer) const { return peer.versions[1] >= kCrcProtocol; }

  void run_exchanges();
  // Asks everyone on the list, or those who are no living members; how many other members answered. `alone`: all there is
  // to ask is this process.
  std::size_t join_once(const std::vector<std::string>& names, bool strangers_only, bool& alone);
  Result<std::size_t> exchange(const Endpoint& to, bool join);   // members other than this in the answer
  bool pause(std::int64_t for_ns);                     // false: stopping

  const config::MemberlistConfig config_;
  const Tuning tuning_;
  const std::string name_;
  const Endpoint self_;
  const std::vector<std::unique_ptr<Listener>> listeners_;
  const std::unique_ptr<Tls> tls_;
  const io::NameService names_;
  GossipValues values_;
  mutable Metrics metrics_;
  std::atomic<bool> joined_{false}, stopping_{false};
  int wake_fd_ = -1;                                   // ends the listener's poll

  mutable std::mutex mutex_;                           // guards these
  std::condition_variable wake_;
  Members members_;
  std::mt19937 random_;
  std::map<std::uint32_t, Waiting> waiting_;
  std::uint32_t next_seq_ = 1;
  std::optional<Probe> probe_;
  std::deque<std::string> probe_order_;
  int health_ = 0;                                     // 0 good to 8 bad: how slowly to judge others

  std::mutex accepted_mutex_;                          // guards accepted_
  std::condition_variable accepted_wake_;
  std::deque<int> accepted_;
  std::mutex sends_mutex_;                             // guards sends_ and gossiping_
  std::condition_variable sends_wake_;
  std::deque<Send> sends_;
  std::set<Endpoint> gossiping_;                       // one gossip packet at a time to each, so that the dead block one sender
  std::vector<std::thread> threads_;
};

}  // namespace skald::ring::gossip
