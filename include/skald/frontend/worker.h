// A querier's end: asks every scheduler for work, evaluates it here and sends the result back.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/frontend/subquery.h"
#include "skald/http/client.h"
#include "skald/obs/metrics.h"

namespace skald::frontend {

struct WorkerOptions {
  std::string id;                                            // unique in the installation; empty: made up
  std::size_t concurrency = 4;                               // querier.max_concurrent: subqueries at a time, over all schedulers
  std::int64_t refresh_ns = kNanosPerSecond;                 // how often `schedulers` is asked
  std::int64_t retry_ns = 500 * kNanosPerMilli;              // pause after a scheduler could not be reached
  std::int64_t alive_ns = 500 * kNanosPerMilli;              // how often schedulers hear of what runs
};

// Thread-safe.
class Worker {
 public:
  // `schedulers`: base URLs, asked from the worker's own thread. `client` outlives the worker; `evaluate` is called on the
  // worker's threads, one subquery each.
  Worker(http::Client& client, std::function<std::vector<std::string>()> schedulers, Evaluate evaluate, obs::Registry& registry,
         const Clock& clock = system_clock(), WorkerOptions options = {});
  ~Worker();   // stop()
  void start();
  // Takes no more work, finishes and delivers what it took, then returns; what runs longer than `grace_ns` is cancelled and
  // goes to another querier. Before the server stops (own schedulers answer through it) and before what `evaluate` uses goes.
  void stop(std::int64_t grace_ns = 5 * kNanosPerMinute);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skald::frontend
