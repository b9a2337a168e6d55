#include "ruler/metrics.h"

namespace skald::ruler {
namespace {
const std::vector<std::string> kGroup = {"user", "rule_group"};
}

RulerMetrics::RulerMetrics(obs::Registry& registry)
    : rules(registry.gauge_family("loki_prometheus_rule_group_rules", "Rules in a group.", kGroup)),
      interval_seconds(registry.gauge_family("loki_prometheus_rule_group_interval_seconds", "Interval of a rule group.", kGroup)),
      last_duration_seconds(registry.gauge_family("loki_prometheus_rule_group_last_duration_seconds", "How long the last evaluation of a rule group took.", kGroup)),
      last_evaluation_timestamp_seconds(registry.gauge_family("loki_prometheus_rule_group_last_evaluation_timestamp_seconds", "Time of the last evaluation of a rule group.", kGroup)),
      last_evaluation_samples(registry.gauge_family("loki_prometheus_rule_group_last_evaluation_samples", "Samples of the last evaluation of a rule group.", kGroup)),
      iterations(registry.counter_family("loki_prometheus_rule_group_iterations_total", "Evaluations of a rule group that were due, missed ones included.", kGroup)),
      iterations_missed(registry.counter_family("loki_prometheus_rule_group_iterations_missed_total", "Evaluations of a rule group that were left out because the one before took too long.", kGroup)),
      evaluations(registry.counter_family("loki_prometheus_rule_evaluations_total", "Rules evaluated.", kGroup)),
      failures(registry.counter_family("loki_prometheus_rule_evaluation_failures_total", "Rules whose evaluation failed.", kGroup)),
      reload_successful(registry.gauge_family("loki_ruler_config_last_reload_successful", "Whether the rules of a tenant could be read last time.", {"user"})),
      reload_successful_seconds(registry.gauge_family("loki_ruler_config_last_reload_successful_seconds", "When the rules of a tenant were last read.", {"user"})),
      updates(registry.counter_family("loki_ruler_config_updates_total", "Changes to the rules of a tenant.", {"user"})),
      syncs(registry.counter_family("loki_ruler_sync_rules_total", "Looks at the rule store.", {"reason"})),
      managers(registry.gauge("loki_ruler_managers_total", "Tenants whose rules are evaluated.")) {}

void RulerMetrics::forget(const std::string& user, const std::string& rule_group) {
  for (obs::GaugeFamily* family : {&rules, &interval_seconds, &last_duration_seconds, &last_evaluation_timestamp_seconds, &last_evaluation_samples})
    family->remove({user, rule_group});
  for (obs::CounterFamily* family : {&iterations, &iterations_missed, &evaluations, &failures}) family->remove({user, rule_group});
}

}  // namespace skald::ruler
