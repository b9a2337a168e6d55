#include "api/request_limits.h"

#include <rapidjson/document.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "skald/model/time.h"

namespace skald::api {

namespace {

using config::Limits;

constexpr std::size_t kHeaderBytesMax = 16 << 10;

Error bad(const std::string& what) { return Error(ErrorCode::kInvalidArgument, std::string(kQueryLimitsHeader) + ": " + what); }

// Ceilings where 0 means none.
constexpr std::int64_t Limits::*kCeilings[] = {
    &Limits::max_entries_limit_per_query, &Limits::max_chunks_per_query, &Limits::max_query_series, &Limits::max_query_length,
    &Limits::max_query_lookback, &Limits::max_query_range, &Limits::query_timeout, &Limits::cardinality_limit,
    &Limits::max_streams_matchers_per_query, &Limits::max_concurrent_tail_requests, &Limits::max_query_bytes_read,
    &Limits::max_querier_bytes_read, &Limits::volume_max_series};

void lower(std::int64_t& limit, std::int64_t wanted) {
  if (wanted > 0 && (limit <= 0 || wanted < limit)) limit = wanted;
}

void add_missing(std::vector<std::string>& names, const std::vector<std::string>& more) {
  for (const std::string& name : more)
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

Result<std::int64_t> duration_of(const rapidjson::Value& value, const char* name) {
  if (value.IsString()) {
    const std::string_view text(value.GetString(), value.GetStringLength());
    if (const auto ns = model::parse_prom_duration(text)) return *ns;
    if (const auto ns = model::parse_go_duration(text); ns && *ns >= 0) return *ns;
  }
  return bad(std::string(name) + " must be a duration such as \"1h\"");
}

Result<std::int64_t> count_of(const rapidjson::Value& value, const char* name) {
  if (value.IsInt64() && value.GetInt64() >= 0) return value.GetInt64();
  return bad(std::string(name) + " must be a whole number");
}

}  // namespace

config::LimitsPtr limits_of(const config::LimitsProvider& provider, const std::vector<std::string>& tenants) {
  config::LimitsPtr first = provider.for_tenant(tenants.front());
  if (tenants.size() == 1) return first;
  auto merged = std::make_shared<Limits>(*first);
  for (std::size_t i = 1; i < tenants.size(); ++i) {
    const config::LimitsPtr other = provider.for_tenant(tenants[i]);
    for (const auto member : kCeilings) lower((*merged).*member, (*other).*member);
    // 0 forbids these two altogether.
    merged->max_query_parallelism = std::min(merged->max_query_parallelism, other->max_query_parallelism);
    merged->tsdb_max_query_parallelism = std::min(merged->tsdb_max_query_parallelism, other->tsdb_max_query_parallelism);
    merged->volume_enabled = merged->volume_enabled && other->volume_enabled;
    merged->enable_multi_variant_queries = merged->enable_multi_variant_queries && other->enable_multi_variant_queries;
    std::erase_if(merged->shard_aggregations, [&](const std::string& name) {
      return std::find(other->shard_aggregations.begin(), other->shard_aggregations.end(), name) == other->shard_aggregations.end();
    });
    add_missing(merged->required_labels, other->required_labels);
    merged->minimum_labels_number = std::max(merged->minimum_labels_number, other->minimum_labels_number);
    merged->blocked_queries.insert(merged->blocked_queries.end(), other->blocked_queries.begin(), other->blocked_queries.end());
  }
  return merged;
}

Result<config::LimitsPtr> tightened(const config::LimitsPtr& limits, std::string_view json) {
  if (json.size() > kHeaderBytesMax) return bad("longer than 16 KB");
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) return bad("not a JSON object");
  auto out = std::make_shared<Limits>(*limits);
  for (const auto& member : document.GetObject()) {
    const std::string_view name(member.name.GetString(), member.name.GetStringLength());
    const rapidjson::Value& value = member.value;
    struct Duration { std::string_view name; std::int64_t Limits::*limit; };
    static constexpr Duration kDurations[] = {{"maxQueryLength", &Limits::max_query_length}, {"maxQueryInterval", &Limits::max_query_range},
                                              {"maxQueryLookback", &Limits::max_query_lookback}, {"maxQueryTime", &Limits::query_timeout}};
    const auto duration = std::find_if(std::begin(kDurations), std::end(kDurations), [&](const Duration& d) { return d.name == name; });
    if (duration != std::end(kDurations)) {
      SKALD_TRY(const std::int64_t ns, duration_of(value, member.name.GetString()));
      lower((*out).*(duration->limit), ns);
    } else if (name == "maxEntriesLimitPerQuery") {
      SKALD_TRY(const std::int64_t count, count_of(value, member.name.GetString()));
      lower(out->max_entries_limit_per_query, count);
    } else if (name == "minimumLabelsNumber") {
      SKALD_TRY(const std::int64_t count, count_of(value, member.name.GetString()));
      out->minimum_labels_number = std::max(out->minimum_labels_number, count);
    } else if (name == "maxQueryBytesRead") {
      std::int64_t bytes = 0;
      if (value.IsString()) {
        SKALD_TRY(bytes, parse_bytes_text({value.GetString(), value.GetStringLength()}));
      } else {
        SKALD_TRY(bytes, count_of(value, member.name.GetString()));
      }
      lower(out->max_query_bytes_read, bytes);
    } else if (name == "requiredLabels") {
      if (!value.IsArray()) return bad("requiredLabels must be a list of names");
      std::vector<std::string> names;
      for (const rapidjson::Value& item : value.GetArray()) {
        if (!item.IsString()) return bad("requiredLabels must be a list of names");
        names.emplace_back(item.GetString(), item.GetStringLength());
      }
      add_missing(out->required_labels, names);
    }
  }
  return config::LimitsPtr(std::move(out));
}

std::string bytes_text(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 10) return std::to_string(bytes) + "B";
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  const auto tenths = static_cast<std::int64_t>(value * 10 + 0.5);
  if (tenths >= 100) return std::to_string((tenths + 5) / 10) + kUnits[unit];
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + kUnits[unit];
}

Result<std::int64_t> parse_bytes_text(std::string_view text) {
  const Error error(ErrorCode::kInvalidArgument, "invalid size \"" + std::string(text) + "\": want a number and B, KB, MB, GB or TB");
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || !(value >= 0)) return error;
  std::string unit;
  for (const char* c = end; c != text.data() + text.size(); ++c)
    if (*c != ' ') unit += static_cast<char>(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
  if (unit.size() == 3 && unit[1] == 'I') unit.erase(1, 1);
  static constexpr const char* kUnits[] = {"B", "KB", "MB", "GB", "TB", "PB"};
  if (unit.empty()) unit = "B";
  if (unit.size() == 1 && unit != "B") unit += 'B';
  for (const char* const known : kUnits) {
    if (unit == known) return value < 9e18 ? Result<std::int64_t>(static_cast<std::int64_t>(value)) : error;
    value *= 1024;
  }
  return error;
}

}  // namespace skald::api
