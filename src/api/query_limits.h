// Per-tenant limits a query is checked against before it runs, with Loki's texts (reference: logql.md §17).
#pragma once

#include <cstdint>
#include <string>

#include "skald/base/result.h"
#include "skald/config/limits.h"
#include "skald/logql/ast.h"

namespace skald::api {

struct QueryRange {
  std::int64_t start_ns = 0, end_ns = 0;
};

// Everything but the range of entries asked for.
Result<void> check_query(const config::Limits& limits, const logql::Query& query, const std::string& text, const QueryRange& range);
// max_entries_limit_per_query; log queries only.
Result<void> check_entries(const config::Limits& limits, std::uint32_t limit);
// max_query_bytes_read against an estimate of the bytes the query would read.
Result<void> check_bytes(const config::Limits& limits, std::uint64_t bytes);
// 1234567 → "1.2MB": units of 1000, one decimal below ten.
std::string human_bytes(std::uint64_t bytes);
// Longest range plus offset of a metric query; 0 for log queries.
std::int64_t longest_window_ns(const logql::Query& query);
// max_query_length of metadata requests.
Result<void> check_length(const config::Limits& limits, std::int64_t length_ns);

}  // namespace skald::api
