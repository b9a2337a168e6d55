// index/volume and index/volume_range.
#include <algorithm>
#include <map>
#include <set>

#include "api/query_json.h"
#include "api/query_limits.h"
#include "api/read_context.h"
#include "skald/api/json.h"
#include "skald/api/params.h"

namespace skald::api {

namespace {

constexpr std::int64_t kBucketsMax = 11000;

struct VolumeQuery {
  Bounds bounds;
  std::vector<model::Matcher> matchers;
  std::vector<std::string> targets;   // label names to group by
  bool by_label_name = false;         // aggregateBy=labels: one entry per name
  std::uint32_t limit = 100;
};

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    if (const std::string_view part = text.substr(0, comma); !part.empty()) parts.emplace_back(part);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return parts;
}

Result<VolumeQuery> parse_volume(const ReadRequest& request) {
  if (!request.limits->volume_enabled) return Error(ErrorCode::kNotFound, "not found");
  VolumeQuery query;
  SKALD_TRY(query.bounds, parse_bounds(request.form, request.now_ns));
  if (query.bounds.end_ns < query.bounds.start_ns)
    return Error(ErrorCode::kInvalidArgument, "end timestamp must not be before or equal to start time");
  SKALD_TRY(query.limit, parse_limit(request.form, "limit", 100));
  query.targets = split_list(param(request.form, "targetLabels"));
  const std::string_view mode = param(request.form, "aggregateBy");
  if (!mode.empty() && mode != "series" && mode != "labels") return Error(ErrorCode::kInvalidArgument, "invalid aggregation option");
  query.by_label_name = mode == "labels";
  SKALD_TRY(query.matchers, parse_matchers(std::string(param(request.form, "query"))));
  SKALD_TRY_VOID(check_length(*request.limits, query.bounds.end_ns - query.bounds.start_ns));
  if (!clamp_to_lookback(*request.limits, request.now_ns, query.bounds.start_ns, query.bounds.end_ns)) query.bounds.start_ns = query.bounds.end_ns;
  if (query.targets.empty() && !query.by_label_name)
    for (const model::Matcher& matcher : query.matchers) query.targets.push_back(matcher.name());
  return query;
}

// Bytes per group in one time span.
Result<std::map<std::vector<model::Label>, std::uint64_t>> sum_volumes(ReadService& service, const ReadRequest& request, const VolumeQuery& query, Bounds span) {
  SKALD_TRY(auto volumes, service.querier.volumes(request.ctx, {query.matchers, span.start_ns, span.end_ns}));
  std::map<std::vector<model::Label>, std::uint64_t> sums;
  for (const rpc::SeriesVolume& volume : volumes) {
    if (volume.bytes == 0) continue;
    std::vector<model::Label> group;
    for (const model::Label& label : volume.labels->labels.pairs()) {
      const bool wanted = query.targets.empty() || std::find(query.targets.begin(), query.targets.end(), label.name) != query.targets.end();
      if (!wanted) continue;
      if (query.by_label_name) sums[{{label.name, ""}}] += volume.bytes;
      else group.push_back(label);
    }
    if (!group.empty()) sums[std::move(group)] += volume.bytes;
  }
  if (request.limits->volume_max_series > 0 && static_cast<std::int64_t>(sums.size()) > request.limits->volume_max_series)
    return Error(ErrorCode::kInvalidArgument,
                 "the query hit the max number of series limit (limit: " + std::to_string(request.limits->volume_max_series) + " series)");
  return sums;
}

// Largest first, equal ones by labels; at most `limit`.
std::vector<std::pair<std::vector<model::Label>, std::uint64_t>> ranked(std::map<std::vector<model::Label>, std::uint64_t> sums, std::uint32_t limit) {
  std::vector<std::pair<std::vector<model::Label>, std::uint64_t>> order(std::make_move_iterator(sums.begin()), std::make_move_iterator(sums.end()));
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  if (order.size() > limit) order.resize(limit);
  return order;
}

void append_point(std::string& out, std::int64_t timestamp_ms, std::uint64_t bytes) {
  out += '[';
  append_seconds(out, timestamp_ms);
  out += ",\"";
  append_json_unsigned(out, bytes);
  out += "\"]";
}

void finish(std::string& body, std::int64_t exec_ns) {
  engine::QueryStats stats;
  stats.exec_ns = exec_ns;
  body += "],\"stats\":";
  append_stats_json(body, stats);
  body += "}}";
}

Result<http::Response> handle_volume(ReadService& service, const ReadRequest& request) {
  const std::int64_t begin_ns = service.clock.monotonic_ns();
  SKALD_TRY(const VolumeQuery query, parse_volume(request));
  SKALD_TRY(auto sums, sum_volumes(service, request, query, query.bounds));
  std::string body = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[";
  bool first = true;
  for (const auto& [labels, bytes] : ranked(std::move(sums), query.limit)) {
    body += first ? "{\"metric\":" : ",{\"metric\":";
    first = false;
    append_json_labels(body, labels);
    body += ",\"value\":";
    append_point(body, query.bounds.end_ns / kNanosPerMilli, bytes);
    body += '}';
  }
  finish(body, service.clock.monotonic_ns() - begin_ns);
  return metadata_response(std::move(body));
}

Result<http::Response> handle_volume_range(ReadService& service, const ReadRequest& request) {
  const std::int64_t begin_ns = service.clock.monotonic_ns();
  SKALD_TRY(const Bounds bounds, parse_bounds(request.form, request.now_ns));
  SKALD_TRY(const std::int64_t step_ns, parse_step(request.form, bounds));
  if (step_ns <= 0)
    return Error(ErrorCode::kInvalidArgument, "zero or negative query resolution step widths are not accepted. Try a positive integer");
  SKALD_TRY(const VolumeQuery query, parse_volume(request));
  if ((bounds.end_ns - bounds.start_ns) / step_ns > kBucketsMax)
    return Error(ErrorCode::kInvalidArgument,
                 "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter");
  struct Line {
    std::uint64_t total = 0;
    std::vector<std::pair<std::int64_t, std::uint64_t>> points;   // ms, bytes
  };
  std::map<std::vector<model::Label>, Line> lines;
  // Buckets begin at multiples of step; all but the last end a millisecond before the next.
  for (std::int64_t at = query.bounds.start_ns; at < bounds.end_ns;) {
    const std::int64_t next = at - ((at % step_ns) + step_ns) % step_ns + step_ns;
    const Bounds span{at, next >= bounds.end_ns ? bounds.end_ns : next - kNanosPerMilli};
    SKALD_TRY_VOID(request.ctx.check());
    SKALD_TRY(auto sums, sum_volumes(service, request, query, span));
    for (const auto& [labels, bytes] : sums) {
      Line& line = lines[labels];
      line.total += bytes;
      line.points.emplace_back(span.end_ns / kNanosPerMilli, bytes);
    }
    at = next;
  }
  std::map<std::vector<model::Label>, std::uint64_t> totals;
  for (const auto& [labels, line] : lines) totals.emplace(labels, line.total);
  std::string body = "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[";
  bool first = true;
  for (const auto& [labels, total] : ranked(std::move(totals), query.limit)) {
    body += first ? "{\"metric\":" : ",{\"metric\":";
    first = false;
    append_json_labels(body, labels);
    body += ",\"values\":[";
    bool first_point = true;
    for (const auto& [timestamp_ms, bytes] : lines[labels].points) {
      if (!first_point) body += ',';
      first_point = false;
      append_point(body, timestamp_ms, bytes);
    }
    body += "]}";
  }
  finish(body, service.clock.monotonic_ns() - begin_ns);
  return metadata_response(std::move(body));
}

}  // namespace

void add_volume_routes(http::Server& server, ReadService& service) {
  add_read_route(server, service, "/loki/api/v1/index/volume", "loki_api_v1_index_volume", handle_volume);
  add_read_route(server, service, "/loki/api/v1/index/volume_range", "loki_api_v1_index_volume_range", handle_volume_range);
}

}  // namespace skald::api
