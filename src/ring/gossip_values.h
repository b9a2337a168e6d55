// Ring values that peers tell each other: the KV side of gossip. Thread-safe; does no I/O.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ring/broadcasts.h"
#include "ring/gossip_wire.h"
#include "ring/kv_times.h"
#include "skald/obs/metrics.h"
#include "skald/ring/kv.h"
#include "skald/ring/stores.h"

namespace skald::ring::gossip {

inline constexpr std::string_view kRingCodec = "ringDesc";

struct ValuesOptions {
  std::int64_t tombstone_ns = 0, deleted_ns = 0, notify_interval_ns = 0;
  const Clock* clock = &system_clock();
};

class GossipValues final : public KvStore {
 public:
  GossipValues(ValuesOptions options, obs::Registry& registry);
  ~GossipValues() override;

  // KvStore
  Result<Desc> get(const std::string& key, const CallContext& ctx) override;
  Result<void> update(const std::string& key, const Change& change, const CallContext& ctx) override;
  std::unique_ptr<Watch> watch(const std::string& key, std::function<void(const Desc&)> on_change) override;

  // One piece of news from a peer; what is new in it is told on. kCorruption: malformed; kUnimplemented: its codec is
  // not known here.
  Result<void> hear(const KeyValue& news);
  Bytes state() const;                             // all values, for a push/pull
  void pass_time();                                // old tombstones and deleted keys are forgotten
  // Messages for a gossip packet: own changes first. See Broadcasts::take.
  void take_broadcasts(std::size_t overhead, std::size_t& bytes_max, int times_max, std::vector<Bytes>& out);
  std::size_t own_waiting() const;
  std::vector<Memberlist::Value> values() const;

 private:
  struct Shared;                                   // the values; watches hold it as well
  class KeyWatch;
  Result<void> change(const std::string& key, const Change& change, const CallContext& ctx);
  void spread(const std::string& key, const Desc& change, Broadcasts& queue);   // the mutex is held
  std::int64_t now_s() const { return options_.clock->now_ns() / kNanosPerSecond; }

  const ValuesOptions options_;
  const std::shared_ptr<Shared> shared_;           // the mutex there guards all below
  Broadcasts own_, forwarded_;
  KvTimes times_;
  obs::Counter &cas_attempts_, &cas_successes_, &cas_failures_, &dropped_;
};

}  // namespace skald::ring::gossip
