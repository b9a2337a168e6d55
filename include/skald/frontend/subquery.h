// A part of a query that one process evaluates by itself, and its form between processes: protobuf, so that an older and
// a newer binary understand each other (unknown fields are skipped, absent ones have a meaning).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "skald/base/bytes.h"
#include "skald/base/context.h"
#include "skald/base/result.h"
#include "skald/config/limits.h"
#include "skald/engine/engine.h"

namespace skald::frontend {

// What a subquery may read: limits of the request as the frontend knows them (several tenants and X-Loki-Query-Limits
// included), so that whoever evaluates it need not find them out again. Meanings as in config::Limits; 0: no limit.
struct ReadLimits {
  std::int64_t cardinality_limit = 0;
  std::int64_t max_chunks_per_query = 0;
  std::int64_t max_query_bytes_read = 0;
  std::int64_t max_querier_bytes_read = 0;
  std::int64_t split_queries_by_interval = 0;   // ns
  bool operator==(const ReadLimits&) const = default;
};
ReadLimits read_limits(const config::Limits& limits);
// Limits that say no more than `limits`; everything else is as by default.
config::Limits as_limits(const ReadLimits& limits);

struct Subquery {
  std::string tenant;             // "a|b" when there are several; travels in X-Scope-OrgID
  std::string query;              // canonical text
  engine::QueryParams params;
  engine::EngineLimits limits;
  ReadLimits read;
};

// Runs one in this process, on the calling thread: the same way, under the same limits, as a whole query runs.
using Evaluate = std::function<Result<engine::QueryResult>(const CallContext&, const Subquery&)>;

Bytes encode_subquery(const Subquery& subquery);   // without the tenant
Result<Subquery> decode_subquery(std::string tenant, ByteView message);

// A result, or why there is none: code and text come out as they went in. Doubles keep every bit.
Bytes encode_result(const Result<engine::QueryResult>& result);
// The outer error (kInvalidArgument): these bytes are not a result. Every count is covered by bytes before memory is
// reserved; the result takes at most about sixteen times the memory of the message.
Result<Result<engine::QueryResult>> decode_result(ByteView message);

// Adds the figures of a part: amounts add up, the number of streams is that of the part that found most.
void add_stats(engine::QueryStats& into, const engine::QueryStats& from);

}  // namespace skald::frontend
