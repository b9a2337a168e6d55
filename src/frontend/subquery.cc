#include "skald/frontend/subquery.h"

#include <algorithm>

#include "frontend/wire_walk.h"

namespace skald::frontend {

using namespace wire;

namespace {

// The last field of a message: a message without it was cut off.
constexpr std::uint32_t kEndField = 15;

enum Flag : std::uint64_t { kInstant = 1, kForward = 2, kApproxTopk = 4, kVariants = 8, kPartialResults = 16 };

Bytes encode_params(const engine::QueryParams& params) {
  Bytes out;
  append_proto_sint(out, 1, params.start_ns);
  append_proto_sint(out, 2, params.end_ns);
  append_proto_sint(out, 3, params.step_ns);
  append_proto_sint(out, 4, params.interval_ns);
  append_proto_varint(out, 5, params.limit);
  return out;
}

Result<void> decode_params(std::string_view message, engine::QueryParams& params) {
  params.limit = 0;   // absent is zero on the wire
  return walk(message, "subquery's range", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    switch (field) {
      case 1: return read_sint(wire, cursor, params.start_ns);
      case 2: return read_sint(wire, cursor, params.end_ns);
      case 3: return read_sint(wire, cursor, params.step_ns);
      case 4: return read_sint(wire, cursor, params.interval_ns);
      case 5: return read_number(wire, cursor, params.limit);
      default: return false;
    }
  });
}

Bytes encode_read_limits(const ReadLimits& limits) {
  Bytes out;
  append_proto_sint(out, 1, limits.cardinality_limit);
  append_proto_sint(out, 2, limits.max_chunks_per_query);
  append_proto_sint(out, 3, limits.max_query_bytes_read);
  append_proto_sint(out, 4, limits.max_querier_bytes_read);
  append_proto_sint(out, 5, limits.split_queries_by_interval);
  return out;
}

Result<void> decode_read_limits(std::string_view message, ReadLimits& limits) {
  return walk(message, "subquery's limits", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    switch (field) {
      case 1: return read_sint(wire, cursor, limits.cardinality_limit);
      case 2: return read_sint(wire, cursor, limits.max_chunks_per_query);
      case 3: return read_sint(wire, cursor, limits.max_query_bytes_read);
      case 4: return read_sint(wire, cursor, limits.max_querier_bytes_read);
      case 5: return read_sint(wire, cursor, limits.split_queries_by_interval);
      default: return false;
    }
  });
}

}  // namespace

ReadLimits read_limits(const config::Limits& limits) {
  return {limits.cardinality_limit, limits.max_chunks_per_query, limits.max_query_bytes_read, limits.max_querier_bytes_read, limits.split_queries_by_interval};
}

config::Limits as_limits(const ReadLimits& limits) {
  config::Limits out;
  out.cardinality_limit = limits.cardinality_limit;
  out.max_chunks_per_query = limits.max_chunks_per_query;
  out.max_query_bytes_read = limits.max_query_bytes_read;
  out.max_querier_bytes_read = limits.max_querier_bytes_read;
  out.split_queries_by_interval = limits.split_queries_by_interval;
  return out;
}

Bytes encode_subquery(const Subquery& subquery) {
  Bytes out;
  append_proto_bytes(out, 1, subquery.query);
  append_proto_bytes(out, 2, encode_params(subquery.params));
  std::uint64_t flags = 0;
  if (subquery.params.instant) flags |= kInstant;
  if (subquery.params.direction == engine::Direction::kForward) flags |= kForward;
  if (subquery.limits.allow_approx_topk) flags |= kApproxTopk;
  if (subquery.limits.allow_variants) flags |= kVariants;
  if (subquery.limits.partial_results) flags |= kPartialResults;
  append_proto_varint(out, 3, flags);
  append_proto_varint(out, 4, subquery.limits.max_series);
  append_proto_bytes(out, 5, encode_read_limits(subquery.read));
  append_proto_varint(out, kEndField, 1);
  return out;
}

Result<Subquery> decode_subquery(std::string tenant, ByteView message) {
  Subquery out;
  out.tenant = std::move(tenant);
  out.limits.max_series = 0;
  std::uint64_t flags = 0;
  bool ended = false;
  SKALD_TRY_VOID(walk(message, "subquery", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& cursor) -> Result<bool> {
    std::string_view inner;
    switch (field) {
      case 1: return read_text(wire, cursor, out.query);
      case 2:
        if (!read_view(wire, cursor, inner)) return false;
        SKALD_TRY_VOID(decode_params(inner, out.params));
        return true;
      case 3: return read_number(wire, cursor, flags);
      case 4: return read_number(wire, cursor, out.limits.max_series);
      case 5:
        if (!read_view(wire, cursor, inner)) return false;
        SKALD_TRY_VOID(decode_read_limits(inner, out.read));
        return true;
      case kEndField: return read_number(wire, cursor, ended);
      default: return false;
    }
  }));
  if (!ended) return malformed("subquery", "it was cut off");
  out.params.instant = (flags & kInstant) != 0;
  out.params.direction = (flags & kForward) != 0 ? engine::Direction::kForward : engine::Direction::kBackward;
  out.limits.allow_approx_topk = (flags & kApproxTopk) != 0;
  out.limits.allow_variants = (flags & kVariants) != 0;
  out.limits.partial_results = (flags & kPartialResults) != 0;
  return out;
}

void add_stats(engine::QueryStats& into, const engine::QueryStats& from) {
  into.bytes_processed += from.bytes_processed;
  into.lines_processed += from.lines_processed;
  into.metadata_bytes_processed += from.metadata_bytes_processed;
  into.post_filter_lines += from.post_filter_lines;
  into.entries_returned += from.entries_returned;
  into.exec_ns += from.exec_ns;
  into.queue_ns += from.queue_ns;
  into.splits += from.splits;
  into.shards += from.shards;
  into.subqueries += from.subqueries;
  into.streams = std::max(into.streams, from.streams);
  into.select.ingester_chunks_matched += from.select.ingester_chunks_matched;
  into.select.store_chunk_refs += from.select.store_chunk_refs;
  into.select.store_chunks_matched += from.select.store_chunks_matched;
  into.select.chunk_refs_lookup_ns += from.select.chunk_refs_lookup_ns;
  into.ingester_lines += from.ingester_lines;
  into.ingester_bytes += from.ingester_bytes;
  into.store_lines += from.store_lines;
  into.store_decompressed_bytes += from.store_decompressed_bytes;
  into.store_compressed_bytes += from.store_compressed_bytes;
  into.store_chunks_downloaded += from.store_chunks_downloaded;
  into.store_download_ns += from.store_download_ns;
}

}  // namespace skald::frontend
