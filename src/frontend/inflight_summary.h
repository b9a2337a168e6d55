// loki_query_scheduler_inflight_requests: quantiles, over the last minute, of how many subqueries wait or run. An autoscaler
// looks at the .75 one.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <vector>

#include "skald/obs/metrics.h"

namespace skald::frontend {

// Not thread-safe.
class InflightSummary {
 public:
  static constexpr std::size_t kSamples = 240;   // of 250 ms each: a minute

  explicit InflightSummary(obs::Registry& registry) {
    auto& family = registry.gauge_family("loki_query_scheduler_inflight_requests",
                                         "Number of inflight requests (either queued or processing) sampled at a regular interval. Quantiles over the last minute.",
                                         {"quantile"});
    for (std::size_t i = 0; i < kQuantiles.size(); ++i) gauges_.push_back(&family.with({kNames[i]}));
  }
  void sample(std::size_t inflight) {
    samples_.push_back(inflight);
    if (samples_.size() > kSamples) samples_.pop_front();
    std::vector<std::size_t> sorted(samples_.begin(), samples_.end());
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < kQuantiles.size(); ++i)
      gauges_[i]->set(static_cast<double>(sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(kQuantiles[i] * static_cast<double>(sorted.size())))]));
  }

 private:
  static constexpr std::array<double, 6> kQuantiles{0.5, 0.75, 0.8, 0.9, 0.95, 0.99};
  static constexpr std::array<const char*, 6> kNames{"0.5", "0.75", "0.8", "0.9", "0.95", "0.99"};
  std::deque<std::size_t> samples_;
  std::vector<obs::Gauge*> gauges_;
};

}  // namespace skald::frontend
