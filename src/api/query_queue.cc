#include "api/query_queue.h"

namespace skald::api {

namespace {

std::vector<double> wait_edges() { return {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100}; }

}  // namespace

QueryQueue::QueryQueue(std::size_t concurrent, std::size_t waiting_max, const Clock& clock, obs::Registry& registry)
    : waiting_max_(waiting_max), clock_(clock),
      length_(registry.gauge_family("loki_query_scheduler_queue_length", "Number of queries in the queue.", {"user"})),
      wait_seconds_(registry.histogram("loki_query_scheduler_queue_duration_seconds", "Time spent by queries in the queue.", wait_edges())),
      discarded_(registry.counter_family("loki_query_scheduler_discarded_requests_total", "Total number of query requests discarded.", {"user"})),
      pool_("querier", concurrent) {}

bool QueryQueue::submit(const std::string& tenant, Work work) {
  {
    const std::lock_guard lock(mutex_);
    std::deque<Waiting>& waiting = tenants_[tenant];
    if (waiting.size() >= waiting_max_) {
      if (waiting.empty()) tenants_.erase(tenant);
      discarded_.with({tenant}).add(1);
      return false;
    }
    waiting.push_back({std::move(work), clock_.monotonic_ns()});
    length_.with({tenant}).set(static_cast<double>(waiting.size()));
  }
  // One submission per query, but whichever thread gets it takes the query whose turn it is by then.
  pool_.submit([this] { run_next(); });
  return true;
}

void QueryQueue::run_next() {
  Waiting next;
  {
    const std::lock_guard lock(mutex_);
    auto it = tenants_.upper_bound(last_);
    if (it == tenants_.end()) it = tenants_.begin();
    last_ = it->first;
    next = std::move(it->second.front());
    it->second.pop_front();
    length_.with({it->first}).set(static_cast<double>(it->second.size()));
    if (it->second.empty()) tenants_.erase(it);
  }
  const std::int64_t queued_ns = clock_.monotonic_ns() - next.since_ns;
  wait_seconds_.observe(static_cast<double>(queued_ns) / 1e9);
  next.work(queued_ns);
}

}  // namespace skald::api
