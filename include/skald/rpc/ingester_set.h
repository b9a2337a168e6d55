// All ingesters of the ring as one: pushes go to a stream's replicas and are acknowledged by a quorum, reads ask every
// ingester and tolerate as many silent ones as the replication factor allows. Rows come back once per replica; the engine
// drops the copies.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "skald/exec/pool.h"
#include "skald/obs/metrics.h"
#include "skald/ring/ring.h"
#include "skald/rpc/ingester_client.h"

namespace skald::rpc {

struct IngesterSetOptions {
  bool extend_writes = true;                             // a member that is not there is replaced by the next of the ring
  std::int64_t straggler_wait_ns = 500 * kNanosPerMilli; // how long reads wait for the tolerated rest once a quorum answered
};

// Thread-safe.
class IngesterSet final : public IngesterClient {
 public:
  // `connect` makes the client of an instance, once per (id, address); the own process' ingester for the own id. `ring`,
  // `pool` and `registry` outlive the set. `pool` runs one blocking call per ingester and read.
  using Connect = std::function<std::shared_ptr<IngesterClient>(const ring::Instance&)>;
  IngesterSet(const ring::Ring& ring, Connect connect, exec::Pool& pool, obs::Registry& registry, IngesterSetOptions options = {});

  void push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) override;
  Result<chunk::SelectResult> select(const CallContext& ctx, const SelectRequest& request) override;
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const SelectRequest& request) override;
  // Of replicas the largest number counts: each holds the same rows, or some of them. Spans come from all, each member
  // being a holder of its own (1, 2, …).
  Result<std::vector<SeriesVolume>> volumes(const CallContext& ctx, const SelectRequest& request) override;
  // Entries come once per replica that got them within a second or so; later copies are dropped.
  Result<std::shared_ptr<void>> tail(const CallContext& ctx, std::vector<model::Matcher> matchers, TailSink sink) override;

 private:
  std::shared_ptr<IngesterClient> client_of(const ring::Instance& instance);
  struct Place {
    std::uint32_t index = 0, count = 1;                  // of the members that are asked
  };
  template <class T>
  Result<std::vector<T>> ask_all(const CallContext& ctx, std::function<Result<T>(IngesterClient&, const CallContext&, Place)> ask);

  const ring::Ring& ring_;
  const Connect connect_;
  exec::Pool& pool_;
  const IngesterSetOptions options_;
  obs::CounterFamily& pushes_;
  obs::CounterFamily& push_failures_;
  std::mutex mutex_;                                     // guards clients_
  std::map<std::pair<std::string, std::string>, std::shared_ptr<IngesterClient>> clients_;
};

}  // namespace skald::rpc
