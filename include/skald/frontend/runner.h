// Where the parts of a query run: on the readers that take work from the schedulers, or here when there is none.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/frontend/subquery.h"
#include "skald/http/client.h"
#include "skald/obs/metrics.h"

namespace skald::frontend {

// Parts are made when their turn comes, so that what earlier ones found can narrow them.
struct Parts {
  std::size_t count = 0;
  std::size_t window = 1;                            // so many at a time, to begin with
  std::function<Subquery(std::size_t part)> make;
  // Each part once, as it ends, on the thread that called run(). Returns how many may run at a time from now on; 0: the
  // rest is not wanted, running ones are cancelled.
  std::function<std::size_t(std::size_t part, Result<engine::QueryResult> result)> take;
};

// Thread-safe.
class Runner {
 public:
  virtual ~Runner() = default;
  // Waits until every part was taken, or take() said 0. The error is the context's (kCancelled, kDeadlineExceeded); what
  // fails a part goes to take().
  virtual Result<void> run(const CallContext& ctx, const Parts& parts) = 0;
};

// One after the other on the calling thread, which is what a process by itself does best: a part uses all cores.
std::unique_ptr<Runner> make_local_runner(Evaluate evaluate);

struct RemoteRunnerOptions {
  std::int64_t max_retries = 5;                              // query_range.max_retries: of a part whose data were out of reach
  std::int64_t retry_min_ns = 50 * kNanosPerMilli;           // doubles up to a second
  std::int64_t unreachable_ns = 2 * kNanosPerSecond;         // a scheduler that did not answer is not asked for so long
  // A part that takes this many times as long as the slowest of its siblings did, and longer than hedge_min_ns, is sent a
  // second time; the first answer counts. 0: never.
  double hedge_factor = 3;
  std::int64_t hedge_min_ns = 2 * kNanosPerSecond;
};

// `schedulers`: base URLs ("http://10.1.2.3:3100"), asked whenever a part is sent; parts take turns among them. A part
// that no scheduler takes is evaluated here. `client` outlives the runner; `schedulers` and `evaluate` are called from any
// thread that runs queries.
std::unique_ptr<Runner> make_remote_runner(http::Client& client, std::function<std::vector<std::string>()> schedulers, Evaluate evaluate, obs::Registry& registry,
                                           RemoteRunnerOptions options = {});

// Runs again what failed because something was out of reach (kUnavailable): an ingester that is just restarting. At most
// `max_retries` times, with pauses that double from `pause_ns` up to a second, within the context's deadline.
Result<engine::QueryResult> with_retries(const CallContext& ctx, std::int64_t max_retries, std::int64_t pause_ns,
                                         const std::function<Result<engine::QueryResult>()>& run);

}  // namespace skald::frontend
