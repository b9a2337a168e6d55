// Metrics of rule evaluation, under Loki's names.
#pragma once

#include "skald/obs/metrics.h"

namespace skald::ruler {

// Labels: user, rule_group.
struct RulerMetrics {
  explicit RulerMetrics(obs::Registry& registry);
  void forget(const std::string& user, const std::string& rule_group);

  obs::GaugeFamily& rules;
  obs::GaugeFamily& interval_seconds;
  obs::GaugeFamily& last_duration_seconds;
  obs::GaugeFamily& last_evaluation_timestamp_seconds;
  obs::GaugeFamily& last_evaluation_samples;
  obs::CounterFamily& iterations;
  obs::CounterFamily& iterations_missed;
  obs::CounterFamily& evaluations;
  obs::CounterFamily& failures;
  obs::GaugeFamily& reload_successful;             // user
  obs::GaugeFamily& reload_successful_seconds;     // user
  obs::CounterFamily& updates;                     // user
  obs::CounterFamily& syncs;                       // reason
  obs::Gauge& managers;                            // tenants with groups
};

}  // namespace skald::ruler
