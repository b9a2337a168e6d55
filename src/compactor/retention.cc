#include "compactor/retention.h"

#include <algorithm>
#include <tuple>

#include "skald/codec/hash.h"
#include "skald/logql/parser.h"
#include "skald/obs/log.h"

namespace skald::compactor {

RetentionRules RetentionRules::make(const std::string& tenant, const config::Limits& limits) {
  RetentionRules rules;
  rules.default_ns_ = std::max<std::int64_t>(0, limits.retention_period);
  rules.longest_ns_ = rules.default_ns_;
  rules.fingerprint_ = static_cast<std::uint64_t>(rules.default_ns_);
  for (const config::StreamRetention& one : limits.retention_stream) {
    auto parsed = logql::parse(one.selector);
    if (!parsed.ok() || !parsed->is_log() || !parsed->log().stages.empty()) {
      log::error("retention_stream selector not understood; its streams are kept", {{"tenant", tenant}, {"selector", one.selector}});
      rules.default_ns_ = rules.longest_ns_ = 0;   // rather too long than lost
      rules.rules_.clear();
      rules.fingerprint_ = 0;
      return rules;
    }
    rules.rules_.push_back({.matchers = parsed->log().matchers, .priority = one.priority, .period_ns = std::max<std::int64_t>(0, one.period)});
    rules.fingerprint_ = codec::xxh3_words(rules.fingerprint_, codec::xxh3_64(one.selector), static_cast<std::uint64_t>(one.priority)) + static_cast<std::uint64_t>(one.period);
    if (rules.longest_ns_ != 0) rules.longest_ns_ = one.period <= 0 ? 0 : std::max(rules.longest_ns_, one.period);
  }
  std::stable_sort(rules.rules_.begin(), rules.rules_.end(),
                   [](const Rule& a, const Rule& b) { return std::tuple(-a.priority, a.period_ns) < std::tuple(-b.priority, b.period_ns); });
  return rules;
}

std::int64_t RetentionRules::period_ns(const model::Labels& labels) const {
  for (const Rule& rule : rules_)
    if (model::matches_all(rule.matchers, labels)) return rule.period_ns;
  return default_ns_;
}

std::int64_t RetentionRules::expires_ns(const model::Labels& labels, const index::ChunkRef& chunk) const {
  if (keeps_everything()) return INT64_MAX;
  const std::int64_t period = period_ns(labels);
  std::int64_t expires = 0;
  if (period == 0 || __builtin_add_overflow(chunk.max_ts_ns, period, &expires)) return INT64_MAX;
  return expires;
}

}  // namespace skald::compactor
