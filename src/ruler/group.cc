#include "ruler/group.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "ruler/links.h"
#include "skald/codec/hash.h"
#include "skald/logql/alert_template.h"
#include "skald/obs/log.h"

namespace skald::ruler {
namespace {

constexpr std::string_view kMetricName = "__name__";
// The NaN that Prometheus takes for "this series has ended".
const double kStaleMarker = std::bit_cast<double>(std::uint64_t{0x7ff0000000000002});

// Labels of a series with some set and __name__ replaced or dropped.
class LabelsBuilder {
 public:
  explicit LabelsBuilder(const model::Labels& labels) {
    for (const model::Label& label : labels.pairs())
      if (label.name != kMetricName) values_[label.name] = label.value;
  }
  void set(const std::string& name, std::string value) { values_[name] = std::move(value); }
  model::Labels labels() const {
    std::vector<model::Label> pairs;
    for (const auto& [name, value] : values_) pairs.push_back({name, value});
    return model::Labels::from_pairs(std::move(pairs));
  }

 private:
  std::map<std::string, std::string> values_;
};

TimedSample sample_of(LabelsBuilder labels, const std::string& name, std::int64_t time_ns, double value) {
  labels.set(std::string(kMetricName), name);
  return {labels.labels(), time_ns / kNanosPerMilli, value};
}

AlertState worst_of(const std::map<model::Labels, ActiveAlert>& active) {
  AlertState worst = AlertState::kInactive;
  for (const auto& [labels, alert] : active) worst = std::max(worst, alert.state);
  return worst;
}

// A broken template must not silence the alert it is about.
std::string expand(const std::string& name, const std::string& text, const logql::AlertTemplateData& data) {
  Result<std::string> expanded = logql::expand_alert_template(name, text, data);
  if (expanded.ok()) return std::move(expanded).value();
  return "<error expanding template: " + expanded.error().message() + ">";
}

const model::Labels kNoLabels;

}  // namespace

const char* alert_state_name(AlertState state) {
  switch (state) {
    case AlertState::kInactive: return "inactive";
    case AlertState::kPending: return "pending";
    case AlertState::kFiring: return "firing";
  }
  return "inactive";
}

Group::Group(std::string tenant, std::string name_space, RuleGroup definition, const RulerOptions& options)
    : tenant_(std::move(tenant)), name_space_(std::move(name_space)), definition_(std::move(definition)), options_(options),
      interval_ns_(definition_.interval_ns > 0 ? definition_.interval_ns : options.evaluation_interval_ns) {
  offset_hash_ = codec::xxh3_64(tenant_ + '\0' + name_space_ + '\0' + definition_.name);
  rules_.resize(definition_.rules.size());
  for (std::size_t i = 0; i < rules_.size(); ++i) rules_[i].status.rule = definition_.rules[i];
}

void Group::start_anew() {
  for (RuleState& state : rules_) state.restored = true;
}

std::int64_t Group::slot_at_or_after(std::int64_t now_ns) const {
  const auto offset_ns = static_cast<std::int64_t>(offset_hash_ % static_cast<std::uint64_t>(interval_ns_));
  const std::int64_t since = now_ns - offset_ns;
  const std::int64_t rest = ((since % interval_ns_) + interval_ns_) % interval_ns_;
  return rest == 0 ? now_ns : now_ns + interval_ns_ - rest;
}

EvaluationCounts Group::evaluate(const CallContext& ctx, std::int64_t time_ns, QueryRunner& queries, AlertSink& alerts, SampleSink* samples) {
  EvaluationCounts counts;
  const std::int64_t begin_ns = ctx.clock->monotonic_ns();
  for (std::size_t i = 0; i < definition_.rules.size(); ++i) {
    if (!ctx.check().ok()) break;   // the process stops
    const Rule& rule = definition_.rules[i];
    RuleState& state = rules_[i];   // rules_ itself never changes
    const std::int64_t rule_begin_ns = ctx.clock->monotonic_ns();
    CallContext rule_ctx = ctx;
    rule_ctx.deadline_monotonic_ns = rule_begin_ns + options_.evaluation_timeout_ns;
    Result<Samples> result = evaluate_rule(rule_ctx, rule, state, time_ns, queries, alerts);
    if (!result.ok() && result.error().code() == ErrorCode::kCancelled && ctx.cancel && ctx.cancel->cancelled()) break;
    ++counts.rules;
    std::string trouble;
    if (!result.ok()) {
      trouble = result.error().message();
    } else {
      counts.samples += result->size();
      // Series that have ended say so, else they would seem to go on for minutes.
      std::map<model::Labels, bool> written;
      for (const TimedSample& sample : *result) written[sample.labels] = true;
      for (const auto& [labels, unused] : state.series)
        if (!written.contains(labels)) result->push_back({labels, time_ns / kNanosPerMilli, kStaleMarker});
      state.series = std::move(written);
      if (samples != nullptr && !result->empty())
        if (Result<void> kept = samples->append(tenant_, *result); !kept.ok()) trouble = kept.error().message();
    }
    if (!trouble.empty()) {
      ++counts.failures;
      log::warn("rule failed", {{"user", tenant_}, {"namespace", name_space_}, {"group", definition_.name},
                {"rule", rule.alert.empty() ? rule.record : rule.alert}, {"err", trouble}});
    }
    const std::scoped_lock lock(mutex_);
    state.status.health = trouble.empty() ? "ok" : "err";
    state.status.last_error = std::move(trouble);
    state.status.last_evaluation_ns = time_ns;
    state.status.evaluation_ns = ctx.clock->monotonic_ns() - rule_begin_ns;
  }
  const std::scoped_lock lock(mutex_);
  last_evaluation_ns_ = time_ns;
  evaluation_ns_ = ctx.clock->monotonic_ns() - begin_ns;
  return counts;
}

Result<Group::Samples> Group::evaluate_rule(const CallContext& ctx, const Rule& rule, RuleState& state, std::int64_t time_ns, QueryRunner& queries, AlertSink& alerts) {
  SKALD_TRY(const std::vector<Sample> found, queries.run(ctx, rule.expr, time_ns - definition_.query_offset_ns));
  if (rule.alert.empty()) return record(rule, found, time_ns);
  SKALD_TRY(auto active, alerts_of(rule, found, time_ns));
  if (!state.restored && rule.for_ns >= options_.for_grace_period_ns && rule.for_ns > 0 && !active.empty()) restore(ctx, rule, state, time_ns, queries);
  Samples samples;
  std::vector<Notification> notifications;
  {
    const std::scoped_lock lock(mutex_);
    state.restored = true;
    SKALD_TRY(samples, advance(rule, state, std::move(active), time_ns));
    notifications = due_notifications(rule, state, time_ns);
  }
  if (!notifications.empty()) alerts.send(tenant_, std::move(notifications));
  return samples;
}

std::map<std::string, std::string> Group::labels_of(const Rule& rule) const {
  std::map<std::string, std::string> out = definition_.labels;
  for (const auto& [name, value] : rule.labels) out[name] = value;
  return out;
}

Result<Group::Samples> Group::record(const Rule& rule, const std::vector<Sample>& found, std::int64_t time_ns) const {
  if (definition_.limit > 0 && static_cast<std::int64_t>(found.size()) > definition_.limit)
    return Error(ErrorCode::kInvalidArgument, "exceeded limit of " + std::to_string(definition_.limit) + " with " + std::to_string(found.size()) + " series");
  const std::map<std::string, std::string> own = labels_of(rule);
  Samples out;
  std::map<model::Labels, bool> seen;
  for (const Sample& sample : found) {
    LabelsBuilder labels(sample.labels);
    for (const auto& [name, value] : own) labels.set(name, value);
    out.push_back(sample_of(std::move(labels), rule.record, time_ns, sample.value));
    if (!seen.emplace(out.back().labels, true).second)
      return Error(ErrorCode::kInvalidArgument, "vector contains metrics with the same labelset after applying rule labels");
  }
  return out;
}

Result<std::map<model::Labels, ActiveAlert>> Group::alerts_of(const Rule& rule, const std::vector<Sample>& found, std::int64_t time_ns) const {
  const std::map<std::string, std::string> own = labels_of(rule);
  std::map<model::Labels, ActiveAlert> out;
  for (const Sample& sample : found) {
    LabelsBuilder labels(sample.labels);
    const model::Labels of_series = labels.labels();
    const logql::AlertTemplateData data{of_series, kNoLabels, sample.value, options_.external_url, time_ns};
    for (const auto& [name, text] : own) labels.set(name, expand(rule.alert, text, data));
    labels.set("alertname", rule.alert);
    ActiveAlert alert;
    alert.labels = labels.labels();
    std::vector<model::Label> annotations;
    for (const auto& [name, text] : rule.annotations) annotations.push_back({name, expand(rule.alert, text, data)});
    alert.annotations = model::Labels::from_pairs(std::move(annotations));
    alert.value = sample.value;
    alert.active_at_ns = time_ns;
    const model::Labels key = alert.labels;
    if (!out.emplace(key, std::move(alert)).second)
      return Error(ErrorCode::kInvalidArgument, "vector contains metrics with the same labelset after applying alert labels");
  }
  return out;
}

// After a restart: what was already true `for` ago is not made to wait all of it again. The query is asked for that time,
// so nothing has to be kept; alerts then wait at least the grace period, as one that has just come back from an outage.
void Group::restore(const CallContext& ctx, const Rule& rule, RuleState& state, std::int64_t time_ns, QueryRunner& queries) const {
  const std::int64_t then_ns = time_ns - rule.for_ns;
  const Result<std::vector<Sample>> before = queries.run(ctx, rule.expr, then_ns - definition_.query_offset_ns);
  if (!before.ok()) return;
  Result<std::map<model::Labels, ActiveAlert>> active = alerts_of(rule, *before, then_ns);
  if (!active.ok()) return;
  const std::scoped_lock lock(mutex_);
  for (auto& [labels, alert] : *active) {
    alert.active_at_ns = time_ns + options_.for_grace_period_ns - rule.for_ns;
    state.active.emplace(labels, std::move(alert));
  }
}

// mutex_ held.
Result<Group::Samples> Group::advance(const Rule& rule, RuleState& state, std::map<model::Labels, ActiveAlert> found, std::int64_t time_ns) const {
  for (auto& [labels, alert] : found) {
    auto known = state.active.find(labels);
    if (known != state.active.end() && known->second.state != AlertState::kInactive) {
      known->second.value = alert.value;
      known->second.annotations = alert.annotations;
    } else {
      state.active[labels] = alert;
    }
  }
  Samples samples;
  std::size_t active_count = 0;
  for (auto at = state.active.begin(); at != state.active.end();) {
    ActiveAlert& alert = at->second;
    if (found.contains(at->first)) {
      alert.keep_firing_since_ns = 0;
    } else {
      bool keeps_firing = false;
      if (alert.state == AlertState::kFiring && rule.keep_firing_for_ns > 0) {
        if (alert.keep_firing_since_ns == 0) alert.keep_firing_since_ns = time_ns;
        keeps_firing = time_ns - alert.keep_firing_since_ns < rule.keep_firing_for_ns;
      }
      if (alert.state == AlertState::kPending || (alert.resolved_at_ns != 0 && time_ns - alert.resolved_at_ns > kResolvedKeptNs)) {
        at = state.active.erase(at);
        continue;
      }
      if (alert.state != AlertState::kInactive && !keeps_firing) {
        alert.state = AlertState::kInactive;
        alert.resolved_at_ns = time_ns;
      }
      if (!keeps_firing) {
        ++at;
        continue;
      }
    }
    ++active_count;
    if (alert.state == AlertState::kPending && time_ns - alert.active_at_ns >= rule.for_ns) {
      alert.state = AlertState::kFiring;
      alert.fired_at_ns = time_ns;
    }
    LabelsBuilder with_state(alert.labels);
    with_state.set("alertstate", alert_state_name(alert.state));
    samples.push_back(sample_of(std::move(with_state), "ALERTS", time_ns, 1));
    samples.push_back(sample_of(LabelsBuilder(alert.labels), "ALERTS_FOR_STATE", time_ns, static_cast<double>(alert.active_at_ns / kNanosPerSecond)));
    ++at;
  }
  if (definition_.limit > 0 && static_cast<std::int64_t>(active_count) > definition_.limit) {
    state.active.clear();
    return Error(ErrorCode::kInvalidArgument, "exceeded limit of " + std::to_string(definition_.limit) + " with " + std::to_string(active_count) + " alerts");
  }
  return samples;
}

// mutex_ held.
std::vector<Notification> Group::due_notifications(const Rule& rule, RuleState& state, std::int64_t time_ns) const {
  std::vector<Notification> out;
  for (auto& [labels, alert] : state.active) {
    if (alert.state == AlertState::kPending) continue;
    const bool news = alert.last_sent_ns == 0 || alert.resolved_at_ns > alert.last_sent_ns;
    if (!news && alert.last_sent_ns + options_.resend_delay_ns >= time_ns) continue;
    alert.last_sent_ns = time_ns;
    // Ends by itself when the ruler is gone, but survives a few evaluations that fail or come late.
    alert.valid_until_ns = time_ns + 4 * std::max(options_.resend_delay_ns, interval_ns_);
    Notification notification;
    notification.labels = alert.labels;
    notification.annotations = alert.annotations;
    notification.starts_at_ns = alert.fired_at_ns;
    notification.ends_at_ns = alert.resolved_at_ns != 0 ? alert.resolved_at_ns : alert.valid_until_ns;
    notification.generator_url = options_.external_url + explore_link(rule.expr, options_.datasource_uid);
    out.push_back(std::move(notification));
  }
  return out;
}

void Group::take_state(const Group& old) {
  const std::scoped_lock lock(mutex_, old.mutex_);
  std::vector<bool> taken(old.rules_.size(), false);
  for (RuleState& state : rules_) {
    for (std::size_t i = 0; i < old.rules_.size(); ++i) {
      const Rule &mine = state.status.rule, &before = old.rules_[i].status.rule;
      if (taken[i] || mine.alert != before.alert || mine.record != before.record || labels_of(mine) != old.labels_of(before)) continue;
      taken[i] = true;
      state.active = old.rules_[i].active;
      state.series = old.rules_[i].series;
      state.restored = old.rules_[i].restored;
      break;
    }
  }
}

void Group::take_alerts(const GroupStatus& known) {
  const std::scoped_lock lock(mutex_);
  std::vector<bool> taken(known.rules.size(), false);
  for (RuleState& state : rules_) {
    const Rule& mine = state.status.rule;
    for (std::size_t i = 0; i < known.rules.size(); ++i) {
      const RuleStatus& before = known.rules[i];
      if (taken[i] || mine.alert.empty() || mine.alert != before.rule.alert || mine.labels != before.rule.labels || before.last_evaluation_ns == 0) continue;
      taken[i] = true;
      for (const ActiveAlert& alert : before.alerts) state.active[alert.labels] = alert;
      state.restored = true;
      break;
    }
  }
}

GroupStatus Group::status() const {
  const std::scoped_lock lock(mutex_);
  GroupStatus out;
  out.name_space = name_space_;
  out.name = definition_.name;
  out.interval_ns = interval_ns_;
  out.limit = definition_.limit;
  out.last_evaluation_ns = last_evaluation_ns_;
  out.evaluation_ns = evaluation_ns_;
  for (const RuleState& state : rules_) {
    out.rules.push_back(state.status);
    out.rules.back().state = worst_of(state.active);
    for (const auto& [labels, alert] : state.active)
      if (alert.state != AlertState::kInactive) out.rules.back().alerts.push_back(alert);
  }
  return out;
}

}  // namespace skald::ruler
