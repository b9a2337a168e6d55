#include "ruler/group.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <set>

#include "doubles.h"

namespace skald::ruler {
namespace {

constexpr std::int64_t kMinute = kNanosPerMinute;
constexpr std::int64_t kStart = 1'700'000'040 * kNanosPerSecond;

RuleGroup named(const std::string& name) {
  RuleGroup group;
  group.name = name;
  return group;
}

class GroupTest : public testing::Test {
 protected:
  // One group of one rule unless more are added; time moves a minute per step().
  Group& group() {
    if (!group_) group_.emplace("t1", "ns", definition_, options_);
    return *group_;
  }
  Rule alert(std::int64_t for_ns = 0) {
    Rule rule;
    rule.alert = "Down";
    rule.expr = "q";
    rule.for_ns = for_ns;
    return rule;
  }
  EvaluationCounts step(std::int64_t by_ns = kMinute) {
    now_ns_ += by_ns;
    clock_.set_ns(now_ns_);
    CallContext ctx;
    ctx.tenant = "t1";
    ctx.clock = &clock_;
    return group().evaluate(ctx, now_ns_, queries_, alerts_, &samples_);
  }
  void fires(double value = 1) { queries_.answers["q"] = {{labels({{"app", "web"}}), value}}; }
  void is_quiet() { queries_.answers["q"] = {}; }
  RuleStatus rule() { return group().status().rules.at(0); }

  RuleGroup definition_ = named("g");
  RulerOptions options_;
  FakeQueries queries_;
  FakeAlerts alerts_;
  FakeSamples samples_;
  FakeClock clock_;
  std::int64_t now_ns_ = kStart;
  std::optional<Group> group_;
};

TEST_F(GroupTest, AnAlertWaitsForItsTimeThenFires) {
  definition_.rules = {alert(2 * kMinute)};
  group().start_anew();
  fires();
  step();
  EXPECT_EQ(rule().state, AlertState::kPending);
  EXPECT_EQ(rule().alerts.at(0).active_at_ns, now_ns_);
  EXPECT_TRUE(alerts_.sent.empty());
  step();
  EXPECT_EQ(rule().state, AlertState::kPending);
  step();
  EXPECT_EQ(rule().state, AlertState::kFiring);
  ASSERT_EQ(alerts_.sent.size(), 1U);
  EXPECT_EQ(alerts_.sent[0].first, "t1");
  EXPECT_EQ(alerts_.sent[0].second.labels, labels({{"alertname", "Down"}, {"app", "web"}}));
  EXPECT_EQ(alerts_.sent[0].second.starts_at_ns, now_ns_);
  EXPECT_EQ(alerts_.sent[0].second.ends_at_ns, now_ns_ + 4 * kMinute);
}

TEST_F(GroupTest, APendingAlertThatStopsIsForgotten) {
  definition_.rules = {alert(5 * kMinute)};
  fires();
  step();
  is_quiet();
  step();
  EXPECT_EQ(rule().state, AlertState::kInactive);
  EXPECT_TRUE(rule().alerts.empty());
  EXPECT_TRUE(alerts_.sent.empty());
}

TEST_F(GroupTest, ResolvedAlertsAreToldForFifteenMinutes) {
  definition_.rules = {alert()};
  fires();
  step();
  ASSERT_EQ(alerts_.sent.size(), 1U);
  is_quiet();
  step();
  const std::int64_t resolved_ns = now_ns_;
  ASSERT_EQ(alerts_.sent.size(), 2U);
  EXPECT_EQ(alerts_.sent[1].second.ends_at_ns, resolved_ns);
  EXPECT_TRUE(rule().alerts.empty());
  for (int i = 0; i < 40; ++i) step();
  std::int64_t told = 0;
  for (const auto& [tenant, sent] : alerts_.sent) told += sent.ends_at_ns == resolved_ns;
  EXPECT_EQ(told, 8);   // each second minute: resend_delay must have passed
}

TEST_F(GroupTest, AFiringAlertIsRepeatedAfterResendDelay) {
  options_.resend_delay_ns = 3 * kMinute;
  definition_.rules = {alert()};
  fires();
  for (int i = 0; i < 9; ++i) step();
  EXPECT_EQ(alerts_.sent.size(), 3U);   // minutes 1, 5, 9
}

TEST_F(GroupTest, KeepFiringForOutlivesGaps) {
  definition_.rules = {alert()};
  definition_.rules[0].keep_firing_for_ns = 3 * kMinute;
  fires();
  step();
  is_quiet();
  step();
  step();
  EXPECT_EQ(rule().state, AlertState::kFiring);
  EXPECT_NE(rule().alerts.at(0).keep_firing_since_ns, 0);
  fires();
  step();
  EXPECT_EQ(rule().alerts.at(0).keep_firing_since_ns, 0);
  is_quiet();
  for (int i = 0; i < 3; ++i) step();
  EXPECT_EQ(rule().state, AlertState::kFiring);
  step();
  EXPECT_EQ(rule().state, AlertState::kInactive);
}

TEST_F(GroupTest, LabelsAndAnnotationsAreTemplates) {
  options_.external_url = "https://grafana.example/x";
  definition_.labels = {{"team", "ops"}, {"sev", "low"}};
  definition_.rules = {alert()};
  definition_.rules[0].labels = {{"sev", "{{ if gt $value 10.0 }}page{{ else }}mail{{ end }}"}, {"who", "{{ $labels.app | toUpper }}"}};
  definition_.rules[0].annotations = {{"summary", "{{ $labels.app }} at {{ $value | humanize }}{{ .Labels.nothing }} see {{ externalURL }}"}, {"bad", "{{ .Labels.app | nope }}"}};
  fires(12345);
  step();
  const ActiveAlert found = rule().alerts.at(0);
  EXPECT_EQ(found.labels, labels({{"alertname", "Down"}, {"app", "web"}, {"sev", "page"}, {"team", "ops"}, {"who", "WEB"}}));
  EXPECT_EQ(found.annotations.get("summary"), "web at 12.35k see https://grafana.example/x");
  EXPECT_TRUE(found.annotations.get("bad").starts_with("<error expanding template: error parsing template __alert_Down: ")) << found.annotations.get("bad");
  EXPECT_TRUE(alerts_.sent.at(0).second.generator_url.starts_with("https://grafana.example/x/explore?left={\"queries\":[%7B%22datasource%22"));
}

TEST_F(GroupTest, AlertsThatBecomeOneAreAnError) {
  definition_.rules = {alert()};
  definition_.rules[0].labels = {{"app", ""}};
  queries_.answers["q"] = {{labels({{"app", "a"}}), 1}, {labels({{"app", "b"}}), 1}};
  EXPECT_EQ(step().failures, 1U);
  EXPECT_EQ(rule().health, "err");
  EXPECT_EQ(rule().last_error, "vector contains metrics with the same labelset after applying alert labels");
}

TEST_F(GroupTest, ALimitClearsWhatIsAboveIt) {
  definition_.limit = 1;
  definition_.rules = {alert()};
  queries_.answers["q"] = {{labels({{"app", "a"}}), 1}, {labels({{"app", "b"}}), 1}};
  step();
  EXPECT_EQ(rule().last_error, "exceeded limit of 1 with 2 alerts");
  EXPECT_TRUE(rule().alerts.empty());
  EXPECT_TRUE(alerts_.sent.empty());
}

TEST_F(GroupTest, AFailingRuleKeepsItsAlertsAndDoesNotStopTheNext) {
  Rule recording;
  recording.record = "app:errors";
  recording.expr = "r";
  definition_.rules = {alert(), recording};
  fires();
  queries_.answers["r"] = {{labels({{"app", "web"}}), 7}};
  step();
  queries_.failures["q"] = "too many series";
  const EvaluationCounts counts = step();
  EXPECT_EQ(counts.rules, 2U);
  EXPECT_EQ(counts.failures, 1U);
  EXPECT_EQ(rule().health, "err");
  EXPECT_EQ(rule().last_error, "too many series");
  EXPECT_EQ(rule().state, AlertState::kFiring);
  EXPECT_EQ(group().status().rules.at(1).health, "ok");
  queries_.failures.clear();
  step();
  EXPECT_EQ(rule().health, "ok");
  EXPECT_EQ(rule().last_error, "");
}

TEST_F(GroupTest, RecordingRulesMakeSamplesAndMarkTheEndOfSeries) {
  Rule recording;
  recording.record = "app:errors";
  recording.expr = "r";
  recording.labels = {{"env", "prod"}};
  definition_.query_offset_ns = kMinute;
  definition_.rules = {recording};
  queries_.answers["r"] = {{labels({{"__name__", "x"}, {"app", "web"}}), 7}, {labels({{"app", "db"}}), 8}};
  step();
  EXPECT_EQ(queries_.asked.at(0).time_ns, now_ns_ - kMinute);
  ASSERT_EQ(samples_.taken.size(), 2U);
  EXPECT_EQ(samples_.taken[0].labels, labels({{"__name__", "app:errors"}, {"app", "web"}, {"env", "prod"}}));
  EXPECT_EQ(samples_.taken[0].timestamp_ms, now_ns_ / kNanosPerMilli);
  EXPECT_EQ(samples_.taken[0].value, 7);
  queries_.answers["r"].pop_back();
  samples_.taken.clear();
  step();
  ASSERT_EQ(samples_.taken.size(), 2U);
  EXPECT_EQ(samples_.taken[1].labels.get("app"), "db");
  EXPECT_TRUE(std::isnan(samples_.taken[1].value));
  samples_.taken.clear();
  step();
  EXPECT_EQ(samples_.taken.size(), 1U);
  samples_.broken = true;
  step();
  EXPECT_EQ(rule().last_error, "disk gone");
}

TEST_F(GroupTest, AlertsAreSeriesToo) {
  definition_.rules = {alert(kMinute)};
  group().start_anew();
  fires();
  step();
  ASSERT_EQ(samples_.taken.size(), 2U);
  EXPECT_EQ(samples_.taken[0].labels, labels({{"__name__", "ALERTS"}, {"alertname", "Down"}, {"alertstate", "pending"}, {"app", "web"}}));
  EXPECT_EQ(samples_.taken[0].value, 1);
  EXPECT_EQ(samples_.taken[1].labels, labels({{"__name__", "ALERTS_FOR_STATE"}, {"alertname", "Down"}, {"app", "web"}}));
  EXPECT_EQ(samples_.taken[1].value, static_cast<double>(now_ns_ / kNanosPerSecond));
  samples_.taken.clear();
  step();
  ASSERT_EQ(samples_.taken.size(), 3U);   // firing, for state, and the end of pending
  EXPECT_TRUE(std::isnan(samples_.taken[2].value));
  EXPECT_EQ(samples_.taken[2].labels.get("alertstate"), "pending");
}

TEST_F(GroupTest, AChangedGroupKeepsTheAlertsOfRulesThatStayed) {
  definition_.rules = {alert()};
  fires();
  step();
  RuleGroup changed = definition_;
  changed.interval_ns = 2 * kMinute;
  changed.rules[0].expr = "q2";
  Group next("t1", "ns", changed, options_);
  next.take_state(group());
  EXPECT_EQ(next.status().rules.at(0).state, AlertState::kFiring);
  changed.rules[0].labels = {{"sev", "page"}};
  Group other("t1", "ns", changed, options_);
  other.take_state(group());
  EXPECT_EQ(other.status().rules.at(0).state, AlertState::kInactive);
}

TEST_F(GroupTest, AfterARestartWhatWasTrueWaitsOnlyTheGracePeriod) {
  definition_.rules = {alert(60 * kMinute)};
  fires();
  step();
  ASSERT_EQ(queries_.asked.size(), 2U);
  EXPECT_EQ(queries_.asked[1].time_ns, now_ns_ - 60 * kMinute);
  for (int i = 0; i < 9; ++i) step();
  EXPECT_EQ(rule().state, AlertState::kPending);
  step();
  EXPECT_EQ(rule().state, AlertState::kFiring);
  EXPECT_EQ(queries_.asked.size(), 12U);   // asked for the past once
}

TEST(GroupSlots, LieAnIntervalApartAndDifferBetweenGroups) {
  RulerOptions options;
  std::set<std::int64_t> offsets;
  for (int i = 0; i < 50; ++i) {
    const Group group("t", "ns", named("g" + std::to_string(i)), options);
    const std::int64_t slot = group.slot_at_or_after(kStart);
    ASSERT_GE(slot, kStart);
    ASSERT_LT(slot, kStart + kMinute);
    ASSERT_EQ(group.slot_at_or_after(slot), slot);
    ASSERT_EQ(group.slot_at_or_after(slot + 1), slot + kMinute);
    offsets.insert(slot);
  }
  EXPECT_EQ(offsets.size(), 50U);
}

}  // namespace
}  // namespace skald::ruler
