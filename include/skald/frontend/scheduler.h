// Hands subqueries of frontends to the queriers that ask for work. Tenants take turns, so that one with a long queue
// delays itself. Runs on backends; every frontend and every querier knows every scheduler, so any of them may go away.
//
// Calls (rpc/wire.h tells how calls look), all POST below /skald.rpc.v1/scheduler/:
//   run    a subquery (subquery.h); answered with its result when a querier is done. kResourceExhausted: the tenant has too
//          many waiting; kUnavailable: nobody asks for work here, or the scheduler stops: ask another.
//   next   a querier asks for work; answered with a piece of work, or with nothing after a while.
//   alive  a querier works on these; answered with those that nobody waits for any more.
//   done   a querier's result.
//   leave  a querier asks for no more work: its waiting `next` calls are answered with nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "skald/base/clock.h"
#include "skald/http/server.h"
#include "skald/obs/metrics.h"

namespace skald::frontend {

struct SchedulerOptions {
  std::size_t waiting_max = 32'000;                         // max_outstanding_requests_per_tenant
  std::int64_t max_tries = 5;                               // of queriers that vanish with a subquery: then it fails, kUnavailable
  std::int64_t lease_ns = 5 * kNanosPerSecond;              // a querier that is silent for so long has vanished
  std::int64_t poll_ns = 20 * kNanosPerSecond;              // how long a `next` waits
  std::int64_t no_querier_ns = kNanosPerSecond;             // how long a subquery waits for a first querier to come
};

// Thread-safe.
class Scheduler {
 public:
  explicit Scheduler(obs::Registry& registry, const Clock& clock = system_clock(), SchedulerOptions options = {});
  ~Scheduler();   // after the server has stopped
  // Before server.start(). What the routes share lives until the server has let them go.
  void add_routes(http::Server& server);
  // Before server.stop(): answers everything that waits with kUnavailable, so that frontends turn to other schedulers, and
  // takes nothing more. Subqueries that queriers work on are given up as well.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace skald::frontend
