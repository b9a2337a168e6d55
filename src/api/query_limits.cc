#include "api/query_limits.h"

#include <re2/re2.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <set>

#include "api/query_log.h"
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
}

// Of two durations that are not negative.
std::int64_t capped_sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
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
  if (limits.minimum_labels_number > 0 && static_cast<std::int64_t>(present.size()) < limits.minimum_labels_number)
    return refused("stream selector has less label matchers than required: (present: [" + joined(present) + "], number_present: " +
                   std::to_string(present.size()) + ", required_number_label_matchers: " + std::to_string(limits.minimum_labels_number) + ")");
  return {};
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool blocks(const config::BlockedQuery& rule, const char* type, std::string_view text, std::string_view tags) {
  if (!rule.types.empty() && rule.types.find(type) == std::string::npos) return false;
  if (!rule.query_tags.empty() && !has_tags(tags, rule.query_tags)) return false;
  if (rule.hash != 0) return static_cast<std::uint32_t>(rule.hash) == query_hash(text);
  if (rule.pattern.empty()) return true;   // types and tags alone decide
  if (trimmed(rule.pattern) == trimmed(text)) return true;
  if (!rule.regex) return false;
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 regex(rule.pattern, options);
  return regex.ok() && re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), regex);
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

bool clamp_to_lookback(const config::Limits& limits, std::int64_t now_ns, std::int64_t& start_ns, std::int64_t end_ns) {
  if (limits.max_query_lookback <= 0) return true;
  const std::int64_t oldest_ns = now_ns - limits.max_query_lookback;
  if (end_ns < oldest_ns) return false;
  start_ns = std::max(start_ns, oldest_ns);
  return true;
}

Error past_lookback(const config::Limits& limits) {
  return refused("this data is no longer available, it is past now - max_query_lookback (" + model::format_prom_duration(limits.max_query_lookback) + ")");
}

bool is_blocked(const config::Limits& limits, const logql::Query& query, std::string_view text, std::string_view tags) {
  const char* const type = query_type(query);
  return std::any_of(limits.blocked_queries.begin(), limits.blocked_queries.end(),
                     [&](const config::BlockedQuery& rule) { return blocks(rule, type, text, tags); });
}

Result<void> check_query(const config::Limits& limits, const logql::Query& query, std::string_view text, std::string_view tags,
                         const QueryRange& range) {
  // How operators switch querying off for a tenant.
  if (limits.max_query_parallelism < 1 || limits.tsdb_max_query_parallelism < 1)
    return Error(ErrorCode::kResourceExhausted, "querying is disabled, please contact your Loki operator");
  if (is_blocked(limits, query, text, tags)) return refused("query blocked by policy");
  for (const logql::LogSelector* selector : logql::selectors_of(query)) SKALD_TRY_VOID(check_matchers(limits, *selector));
  const std::int64_t length_ns = range.end_ns - range.start_ns;
  SKALD_TRY_VOID(check_length(limits, length_ns));
  if (query.is_log()) return {};
  std::int64_t widest_ns = 0;
  std::optional<Error> too_wide;
  for_each_range(query.metric(), [&](const logql::LogRange& log_range) {
    widest_ns = std::max(widest_ns, capped_sum(log_range.range_ns, std::max<std::int64_t>(0, log_range.offset_ns)));
    if (limits.max_query_range > 0 && log_range.range_ns > limits.max_query_range && !too_wide)
      too_wide = refused("[interval] value exceeds limit: [" + model::format_prom_duration(log_range.range_ns) + "] > [" +
                         model::format_prom_duration(limits.max_query_range) + "]");
  });
  if (too_wide) return std::move(*too_wide);
  return check_length(limits, capped_sum(length_ns, widest_ns));
}

}  // namespace skald::api
