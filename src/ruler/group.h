// One rule group: its rules' states, and one evaluation of all of them.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "skald/ruler/evaluation.h"
#include "skald/ruler/options.h"

namespace skald::ruler {

inline constexpr std::int64_t kResolvedKeptNs = 15 * kNanosPerMinute;   // resolved alerts are told again for so long

struct EvaluationCounts {
  std::size_t rules = 0, failures = 0, samples = 0;
};

// Evaluations of one group must not overlap; everything else is thread-safe.
class Group {
 public:
  Group(std::string tenant, std::string name_space, RuleGroup definition, const RulerOptions& options);

  // Rules in their order, at `time_ns` (which the group's query_offset moves back). Alerts that need it go to `alerts`,
  // results to `samples` (may be null).
  EvaluationCounts evaluate(const CallContext& ctx, std::int64_t time_ns, QueryRunner& queries, AlertSink& alerts, SampleSink* samples);

  // Takes over the alerts of rules that stayed the same (name and labels), so that a changed group does not start anew.
  void take_state(const Group& old);

  // Takes over the alerts that another ruler knew of the same group.
  void take_alerts(const GroupStatus& known);

  // Waits the whole `for` even where the alert was true before: of groups that are new, not known from before a restart.
  void start_anew();

  // The group's slots lie `interval` apart, at an offset that comes from its name: groups spread over the interval and
  // keep their slots over restarts. First slot at or after `now_ns`.
  std::int64_t slot_at_or_after(std::int64_t now_ns) const;
  std::int64_t interval_ns() const { return interval_ns_; }
  const std::string& tenant() const { return tenant_; }
  std::size_t rule_count() const { return definition_.rules.size(); }
  GroupStatus status() const;

 private:
  struct RuleState {
    RuleStatus status;                            // alerts are filled in by status()
    std::map<model::Labels, ActiveAlert> active;  // by labels, resolved ones included
    std::map<model::Labels, bool> series;         // written last time; those missing now get a stale marker
    bool restored = false;
  };
  using Samples = std::vector<TimedSample>;

  Result<Samples> evaluate_rule(const CallContext& ctx, const Rule& rule, RuleState& state, std::int64_t time_ns, QueryRunner& queries, AlertSink& alerts);
  Result<Samples> record(const Rule& rule, const std::vector<Sample>& found, std::int64_t time_ns) const;
  Result<std::map<model::Labels, ActiveAlert>> alerts_of(const Rule& rule, const std::vector<Sample>& found, std::int64_t time_ns) const;
  Result<Samples> advance(const Rule& rule, RuleState& state, std::map<model::Labels, ActiveAlert> found, std::int64_t time_ns) const;
  void restore(const CallContext& ctx, const Rule& rule, RuleState& state, std::int64_t time_ns, QueryRunner& queries) const;
  std::vector<Notification> due_notifications(const Rule& rule, RuleState& state, std::int64_t time_ns) const;
  std::map<std::string, std::string> labels_of(const Rule& rule) const;

  const std::string tenant_;
  const std::string name_space_;
  const RuleGroup definition_;
  const RulerOptions& options_;
  const std::int64_t interval_ns_;
  std::uint64_t offset_hash_ = 0;
  mutable std::mutex mutex_;                      // guards all below; never held over a query
  std::vector<RuleState> rules_;                  // as definition_.rules
  std::int64_t last_evaluation_ns_ = 0, evaluation_ns_ = 0;
};

}  // namespace skald::ruler
