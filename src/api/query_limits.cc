#include "api/query_limits.h"

#include <re2/re2.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>

#include "skald/model/time.h"

namespace skald::api {

namespace {

Error refused(std::string text) { return Error(ErrorCode::kInvalidArgument, std::move(text)); }

void for_each_range(const logql::MetricExpr& expression, const std::function<void(const logql::LogRange&)>& f) {
  if (const auto* range = std::get_if<logql::RangeAggregation>(&expression.node)) f(range->range);
  else if (const auto* vector = std::get_if<logql::VectorAggregation>(&expression.node)) for_each_range(*vector->inner, f);
  else if (const auto* binary = std::get_if<logql::BinaryExpr>(&expression.node)) {
    for_each_range(*binary->left, f);
    for_each_range(*binary->right, f);
  } else if (const auto* replace = std::get_if<logql::LabelReplace>(&expression.node)) for_each_range(*replace->inner, f);
  else if (const auto* variants = std::get_if<logql::Variants>(&expression.node)) f(variants->range);
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

Result<void> check_matchers(const config::Limits& limits, const logql::LogSelector& selector) {
  if (limits.max_streams_matchers_per_query > 0 && static_cast<std::int64_t>(selector.matchers.size()) > limits.max_streams_matchers_per_query)
    return refused("max streams matchers per query exceeded, matchers-count > limit (" + std::to_string(selector.matchers.size()) + " > " +
                   std::to_string(limits.max_streams_matchers_per_query) + ")");
  std::vector<std::string> present;
  for (const model::Matcher& matcher : selector.matchers) present.push_back(matcher.name());
  std::vector<std::string> missing;
  for (const std::string& name : limits.required_labels)
    if (std::find(present.begin(), present.end(), name) == present.end()) missing.push_back(name);
  if (!missing.empty())
    return refused("stream selector is missing required matchers [" + joined(missing) + "], labels present in the query were [" + joined(present) + "]");
  if (static_cast<std::int64_t>(present.size()) < limits.minimum_labels_number)
    return refused("stream selector has less label matchers than required: (present: [" + joined(present) + "], number_present: " +
                   std::to_string(present.size()) + ", required_number_label_matchers: " + std::to_string(limits.minimum_labels_number) + ")");
  return {};
}

// FNV-1, 32 bits: the number operators find in Loki's query log.
std::uint32_t query_hash(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (const char c : text) {
    hash *= 16777619U;
    hash ^= static_cast<unsigned char>(c);
  }
  return hash;
}

bool is_blocked(const config::BlockedQuery& rule, const logql::Query& query, const std::string& text) {
  if (!rule.types.empty()) {
    const bool filtered = query.is_log() && !query.log().stages.empty();
    const char* const type = !query.is_log() ? "metric" : filtered ? "filter" : "limited";
    if (rule.types.find(type) == std::string::npos) return false;
  }
  if (rule.hash != 0) return static_cast<std::uint32_t>(rule.hash) == query_hash(text);
  if (rule.pattern.empty()) return rule.query_tags.empty();
  if (!rule.regex) return rule.pattern == text;
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 regex(rule.pattern, options);
  return regex.ok() && re2::RE2::PartialMatch(text, regex);
}

}  // namespace

Result<void> check_length(const config::Limits& limits, std::int64_t length_ns) {
  if (limits.max_query_length <= 0 || length_ns <= limits.max_query_length) return {};
  return refused("the query time range exceeds the limit (query length: " + model::format_go_duration(length_ns) +
                 ", limit: " + model::format_prom_duration(limits.max_query_length) + ")");
}

Result<void> check_entries(const config::Limits& limits, std::uint32_t limit) {
  if (limits.max_entries_limit_per_query <= 0 || limit <= limits.max_entries_limit_per_query) return {};
  return refused("max entries limit per query exceeded, limit > max_entries_limit_per_query (" + std::to_string(limit) + " > " +
                 std::to_string(limits.max_entries_limit_per_query) + ")");
}

std::int64_t longest_window_ns(const logql::Query& query) {
  std::int64_t widest_ns = 0;
  if (!query.is_log())
    for_each_range(query.metric(), [&](const logql::LogRange& range) {
      widest_ns = std::max(widest_ns, range.range_ns + std::max<std::int64_t>(0, range.offset_ns));
    });
  return widest_ns;
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 10) return std::to_string(bytes) + "B";
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  const std::int64_t tenths = static_cast<std::int64_t>(value * 10 + 0.5);
  if (tenths >= 100) return std::to_string((tenths + 5) / 10) + kUnits[unit];
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + kUnits[unit];
}

Result<void> check_bytes(const config::Limits& limits, std::uint64_t bytes) {
  if (limits.max_query_bytes_read <= 0 || bytes <= static_cast<std::uint64_t>(limits.max_query_bytes_read)) return {};
  return refused("the query would read too many bytes (query: " + human_bytes(bytes) + ", limit: " +
                 human_bytes(static_cast<std::uint64_t>(limits.max_query_bytes_read)) +
                 "); consider adding more specific stream selectors or reduce the time range of the query");
}

Result<void> check_query(const config::Limits& limits, const logql::Query& query, const std::string& text, const QueryRange& range) {
  for (const config::BlockedQuery& rule : limits.blocked_queries)
    if (is_blocked(rule, query, text)) return refused("query blocked by policy");
  for (const logql::LogSelector* selector : logql::selectors_of(query)) SKALD_TRY_VOID(check_matchers(limits, *selector));
  const std::int64_t length_ns = range.end_ns - range.start_ns;
  SKALD_TRY_VOID(check_length(limits, length_ns));
  if (query.is_log()) return {};
  std::optional<Error> too_wide;
  for_each_range(query.metric(), [&](const logql::LogRange& log_range) {
    if (limits.max_query_range > 0 && log_range.range_ns > limits.max_query_range && !too_wide)
      too_wide = refused("[interval] value exceeds limit: [" + model::format_prom_duration(log_range.range_ns) + "] > [" +
                         model::format_prom_duration(limits.max_query_range) + "]");
  });
  if (too_wide) return std::move(*too_wide);
  return check_length(limits, length_ns + longest_window_ns(query));
}

}  // namespace skald::api
