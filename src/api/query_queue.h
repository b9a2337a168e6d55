// Where queries wait for their turn. So many run at once as querier.max_concurrent says; the others wait rather than fail:
// a dashboard asks for thirty things at once and wants thirty answers. Tenants take turns, so that one with a long queue
// delays itself; within a tenant queries start in order of arrival.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "skald/base/clock.h"
#include "skald/exec/pool.h"
#include "skald/obs/metrics.h"

namespace skald::api {

// Thread-safe. The destructor runs what still waits: each query finds itself cancelled and answers at once.
class QueryQueue {
 public:
  using Work = std::function<void(std::int64_t queued_ns)>;

  QueryQueue(std::size_t concurrent, std::size_t waiting_max, const Clock& clock, obs::Registry& registry);

  // False: the tenant has `waiting_max` queries waiting, and `work` is not taken.
  bool submit(const std::string& tenant, Work work);

 private:
  struct Waiting {
    Work work;
    std::int64_t since_ns = 0;
  };
  void run_next();

  const std::size_t waiting_max_;
  const Clock& clock_;
  obs::GaugeFamily& length_;
  obs::Histogram& wait_seconds_;
  obs::CounterFamily& discarded_;
  std::mutex mutex_;                                      // guards the two below
  std::map<std::string, std::deque<Waiting>> tenants_;    // none is empty
  std::string last_;                                      // whose turn it was; the next in order is next
  exec::Pool pool_;                                       // last: its threads end before the rest goes
};

}  // namespace skald::api
