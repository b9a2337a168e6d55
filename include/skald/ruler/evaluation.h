// What evaluating rules needs from the rest of the process, and what it says about itself. The three seams (queries,
// notifications, samples) are small so that tests put doubles behind them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "skald/base/context.h"
#include "skald/model/labels.h"
#include "skald/ruler/rule_group.h"

namespace skald::ruler {

struct Sample {
  model::Labels labels;
  double value = 0;
};

// Thread-safe.
class QueryRunner {
 public:
  virtual ~QueryRunner() = default;
  // An instant metric query of ctx.tenant under that tenant's limits. A scalar is one sample without labels.
  // kInvalidArgument: the expression or a limit.
  virtual Result<std::vector<Sample>> run(const CallContext& ctx, const std::string& expr, std::int64_t time_ns) = 0;
};

// One alert as it is told to others. Times in ns since 1970.
struct Notification {
  model::Labels labels;
  model::Labels annotations;
  std::int64_t starts_at_ns = 0;
  std::int64_t ends_at_ns = 0;     // in the past: resolved
  std::string generator_url;
};

// Thread-safe; returns at once.
class AlertSink {
 public:
  virtual ~AlertSink() = default;
  virtual void send(const std::string& tenant, std::vector<Notification> alerts) = 0;
};

struct TimedSample {
  model::Labels labels;            // with __name__
  std::int64_t timestamp_ms = 0;
  double value = 0;
};

// Thread-safe.
class SampleSink {
 public:
  virtual ~SampleSink() = default;
  // Kept (on disk) when this returns.
  virtual Result<void> append(const std::string& tenant, std::span<const TimedSample> samples) = 0;
};

enum class AlertState { kInactive, kPending, kFiring };
const char* alert_state_name(AlertState state);   // inactive, pending, firing

// Times in ns since 1970; 0: not (yet).
struct ActiveAlert {
  model::Labels labels;            // of the series and the rule, and alertname
  model::Labels annotations;
  AlertState state = AlertState::kPending;   // kInactive: resolved, kept for a while so that everybody learns of it
  double value = 0;
  std::int64_t active_at_ns = 0;
  std::int64_t fired_at_ns = 0;
  std::int64_t resolved_at_ns = 0;
  std::int64_t keep_firing_since_ns = 0;
  std::int64_t last_sent_ns = 0;
  std::int64_t valid_until_ns = 0;
};

struct RuleStatus {
  Rule rule;
  std::string health = "unknown";  // ok, err
  std::string last_error;
  AlertState state = AlertState::kInactive;   // of alerting rules: the worst of its alerts
  std::vector<ActiveAlert> alerts;            // pending and firing
  std::int64_t last_evaluation_ns = 0;
  std::int64_t evaluation_ns = 0;             // how long it took
};

struct GroupStatus {
  std::string name_space;
  std::string name;
  std::int64_t interval_ns = 0;
  std::int64_t limit = 0;
  std::vector<RuleStatus> rules;
  std::int64_t last_evaluation_ns = 0;
  std::int64_t evaluation_ns = 0;
};

// Thread-safe.
class RuleStates {
 public:
  virtual ~RuleStates() = default;
  // The groups of ctx.tenant that are evaluated, sorted by namespace and name. kUnavailable: another process that evaluates
  // some of them does not answer.
  virtual Result<std::vector<GroupStatus>> status(const CallContext& ctx) const = 0;
  // The stored rules of a tenant changed: look at them soon.
  virtual void changed(const std::string& tenant) = 0;
};

}  // namespace skald::ruler
