// One log line and a few metrics per query: who asked what, how long it took, how much it read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "skald/api/read.h"
#include "skald/engine/result.h"
#include "skald/logql/ast.h"

namespace skald::api {

// metric; filter: a log query with stages; limited: one without. As in blocked_queries and in Loki's log.
const char* query_type(const logql::Query& query);
// FNV-1, 32 bits: the number operators find in the log and put into blocked_queries.
std::uint32_t query_hash(std::string_view text);

// X-Query-Tags, other characters than Loki allows replaced.
std::string query_tags(const http::Request& request);
// Every `name=value` of `wanted` (comma list) is among `tags`; letter case does not matter.
bool has_tags(std::string_view tags, std::string_view wanted);

struct QueryRecord {
  std::string_view tenant, query, tags;
  const char* type = "";             // query_type()
  bool blocked = false;              // by blocked_queries
  bool instant = false;
  std::int64_t start_ns = 0, end_ns = 0, step_ns = 0;
  std::uint32_t limit = 0;
  int status = 200;
  std::string_view error;
  std::int64_t now_ns = 0, duration_ns = 0, queue_ns = 0;
  engine::QueryStats stats;
};

// Thread-safe.
class QueryLog {
 public:
  QueryLog(const ReadOptions& options, obs::Registry& registry);
  void write(const QueryRecord& record, const http::Request& request) const;

 private:
  const std::int64_t slow_ns_;       // at least so long: info
  const std::vector<std::string> headers_;
  obs::HistogramFamily& duration_seconds_;
  obs::HistogramFamily& latency_seconds_;
  obs::HistogramFamily& bytes_per_second_;
  obs::CounterFamily& bytes_;
  obs::Counter& ingester_lines_;
  obs::CounterFamily& blocked_;
};

}  // namespace skald::api
