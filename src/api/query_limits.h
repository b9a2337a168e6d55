// Per-tenant limits a query is checked against before it runs, with Loki's texts (reference: logql.md §17).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "skald/base/result.h"
#include "skald/config/limits.h"
#include "skald/logql/ast.h"

namespace skald::api {

struct QueryRange {
  std::int64_t start_ns = 0, end_ns = 0;
};

// Everything but the range of entries asked for. `tags`: X-Query-Tags, for blocked_queries.
Result<void> check_query(const config::Limits& limits, const logql::Query& query, std::string_view text, std::string_view tags,
                         const QueryRange& range);
// A rule of blocked_queries holds for the query. Part of check_query().
bool is_blocked(const config::Limits& limits, const logql::Query& query, std::string_view text, std::string_view tags);
// max_entries_limit_per_query; log queries only.
Result<void> check_entries(const config::Limits& limits, std::uint32_t limit);
// max_query_length of metadata requests.
Result<void> check_length(const config::Limits& limits, std::int64_t length_ns);
// Moves `start_ns` up to what max_query_lookback allows. False: all of the range is older.
bool clamp_to_lookback(const config::Limits& limits, std::int64_t now_ns, std::int64_t& start_ns, std::int64_t end_ns);
// The answer of label endpoints when clamp_to_lookback() says false.
Error past_lookback(const config::Limits& limits);

}  // namespace skald::api
