#include "api/query_log.h"

#include <algorithm>

#include "api/request_limits.h"
#include "skald/model/time.h"
#include "skald/obs/log.h"

namespace skald::api {

namespace {

constexpr std::int64_t kSlowNs = 10 * kNanosPerSecond;   // where Loki's log says latency=slow
constexpr std::size_t kTagsBytesMax = 4096;

bool is_tag_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || std::string_view("=.@, -").find(c) != std::string_view::npos;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_folded(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Calls f for each part of a comma list until it returns true.
template <class F>
bool any_part(std::string_view list, const F& f) {
  while (true) {
    const std::size_t comma = list.find(',');
    if (const std::string_view part = trimmed(list.substr(0, comma)); !part.empty() && f(part)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

std::vector<double> latency_edges() {
  std::vector<double> edges;
  for (double edge = .25; edge <= 128; edge *= 2) edges.push_back(edge);
  return edges;
}

std::vector<double> speed_edges() {
  std::vector<double> edges = {5e7};
  for (double edge = 1e8; edge < 1e9; edge += 1e8) edges.push_back(edge);
  for (double edge = 1e9; edge < 1e10; edge += 2e9) edges.push_back(edge);
  for (double edge = 1e10; edge <= 6e10; edge += 1e10) edges.push_back(edge);
  return edges;
}

std::string per_second(std::uint64_t count, std::int64_t duration_ns) {
  if (duration_ns <= 0) return "0B";
  return bytes_text(static_cast<std::uint64_t>(static_cast<double>(count) * 1e9 / static_cast<double>(duration_ns)));
}

std::string ago(std::int64_t now_ns, std::int64_t then_ns) {
  const std::int64_t ms = (now_ns - then_ns) / kNanosPerMilli;
  return model::format_go_duration(ms * kNanosPerMilli);
}

}  // namespace

const char* query_type(const logql::Query& query) {
  if (!query.is_log()) return "metric";
  return query.log().stages.empty() ? "limited" : "filter";
}

std::uint32_t query_hash(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (const char c : text) {
    hash *= 16777619U;
    hash ^= static_cast<unsigned char>(c);
  }
  return hash;
}

std::string query_tags(const http::Request& request) {
  const std::string* const header = request.header("X-Query-Tags");
  if (!header) return {};
  std::string tags = header->substr(0, kTagsBytesMax);
  for (char& c : tags)
    if (!is_tag_character(c)) c = '_';
  return tags;
}

bool has_tags(std::string_view tags, std::string_view wanted) {
  return !any_part(wanted, [tags](std::string_view one) {
    return !any_part(tags, [one](std::string_view tag) { return equal_folded(tag, one); });
  });
}

QueryLog::QueryLog(const ReadOptions& options, obs::Registry& registry)
    : slow_ns_(options.log_all_queries || options.slow_query_ns < 0 ? 0 : options.slow_query_ns == 0 ? kSlowNs : options.slow_query_ns),
      headers_(options.logged_headers),
      duration_seconds_(registry.histogram_family("logql_query_duration_seconds", "LogQL query timings.", {"query_type"},
                                                  {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10})),
      latency_seconds_(registry.histogram_family("loki_logql_querystats_latency_seconds", "Distribution of latency for LogQL queries.",
                                                 {"status_code", "type", "range"}, latency_edges())),
      bytes_per_second_(registry.histogram_family("loki_logql_querystats_bytes_processed_per_seconds",
                                                  "Distribution of bytes processed per second for LogQL queries.",
                                                  {"status_code", "type", "range", "latency_type", "sharded"}, speed_edges())),
      bytes_(registry.counter_family("loki_logql_querystats_bytes_processed_total", "Bytes processed by LogQL queries.", {"tenant"})),
      ingester_lines_(registry.counter("loki_logql_querystats_ingester_sent_lines_total", "Lines of ingesters that queries looked at.")),
      blocked_(registry.counter_family("loki_blocked_queries", "Queries refused by blocked_queries.", {"user"})) {}

void QueryLog::write(const QueryRecord& record, const http::Request& request) const {
  const char* const range = record.instant ? "instant" : "range";
  const std::string status = std::to_string(record.status);
  const engine::QueryStats& stats = record.stats;
  const char* const latency = record.duration_ns >= kSlowNs ? "slow" : "fast";
  const double seconds = static_cast<double>(record.duration_ns) / 1e9;
  duration_seconds_.with({range}).observe(seconds);
  latency_seconds_.with({status, record.type, range}).observe(seconds);
  if (record.status == 200 && stats.bytes_processed != 0 && seconds > 0)
    bytes_per_second_.with({status, record.type, range, latency, "false"}).observe(static_cast<double>(stats.bytes_processed) / seconds);
  if (record.blocked) blocked_.with({std::string(record.tenant)}).add(1);
  bytes_.with({std::string(record.tenant)}).add(static_cast<double>(stats.bytes_processed));
  ingester_lines_.add(static_cast<double>(stats.ingester_lines));

  const log::Level level = record.duration_ns >= slow_ns_ ? log::Level::kInfo : log::Level::kDebug;
  if (log::level() > level) return;
  std::string source;
  any_part(record.tags, [&source](std::string_view tag) {
    if (tag.size() < 7 || !equal_folded(tag.substr(0, 7), "source=")) return false;
    source = std::string(tag.substr(7));
    return true;
  });
  std::string headers;
  for (const std::string& name : headers_) {
    const std::string* const value = request.header(name);
    if (!value) continue;
    if (!headers.empty()) headers += ' ';
    headers += name + "=" + *value;
  }
  log::write(level, "query",
             {{"component", "querier"}, {"org_id", record.tenant}, {"latency", latency}, {"query", record.query}, {"query_hash", query_hash(record.query)},
              {"query_type", record.type}, {"range_type", range}, {"length", model::format_go_duration(record.end_ns - record.start_ns)},
              {"start_delta", ago(record.now_ns, record.start_ns)}, {"end_delta", ago(record.now_ns, record.end_ns)},
              {"step", model::format_go_duration(record.step_ns)}, {"duration", model::format_go_duration(record.duration_ns)}, {"status", record.status},
              {"limit", record.limit}, {"returned_lines", stats.entries_returned}, {"throughput", per_second(stats.bytes_processed, record.duration_ns)},
              {"total_bytes", bytes_text(stats.bytes_processed)}, {"total_bytes_structured_metadata", bytes_text(stats.metadata_bytes_processed)},
              {"total_lines", stats.lines_processed}, {"post_filter_lines", stats.post_filter_lines}, {"queue_time", static_cast<double>(record.queue_ns) / 1e9},
              {"splits", stats.splits}, {"shards", stats.shards}, {"store_chunks", stats.select.store_chunks_matched},
              {"ingester_chunks", stats.select.ingester_chunks_matched}, {"source", source}, {"query_tags", record.tags}, {"headers", headers},
              {"err", record.error}});
}

}  // namespace skald::api
