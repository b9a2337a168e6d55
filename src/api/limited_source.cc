#include "api/limited_source.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/request_limits.h"
#include "skald/rpc/count_taker.h"
#include "skald/base/clock.h"

namespace skald::api {

namespace {

Error refused(std::string text) { return Error(ErrorCode::kInvalidArgument, std::move(text)); }

// The part of a slice that lies in [start, end], by time.
std::uint64_t bytes_within(const chunk::BlockSlice& slice, std::int64_t start_ns, std::int64_t end_ns) {
  const std::int64_t from = std::max(slice.min_ts_ns, start_ns), until = std::min(slice.max_ts_ns, end_ns);
  if (from > until) return 0;
  const double length = static_cast<double>(slice.max_ts_ns) - static_cast<double>(slice.min_ts_ns);
  if (length <= 0) return slice.raw_bytes;
  const double share = (static_cast<double>(until) - static_cast<double>(from)) / length;
  return static_cast<std::uint64_t>(static_cast<double>(slice.raw_bytes) * std::clamp(share, 0.0, 1.0));
}

std::uint64_t bytes_of(const chunk::SelectResult& selected, std::int64_t start_ns, std::int64_t end_ns) {
  std::uint64_t bytes = 0;
  for (const chunk::StreamData& stream : selected.streams)
    for (const chunk::BlockSlice& slice : stream.blocks) bytes += bytes_within(slice, start_ns, end_ns);
  return bytes;
}

// The largest part when the range is read in pieces of `interval_ns`. Slices count where they begin.
std::uint64_t largest_part(const chunk::SelectResult& selected, const rpc::SelectRequest& request, std::int64_t interval_ns) {
  std::map<std::int64_t, std::uint64_t> parts;
  std::uint64_t largest = 0;
  for (const chunk::StreamData& stream : selected.streams)
    for (const chunk::BlockSlice& slice : stream.blocks) {
      std::uint64_t& part = parts[std::max(slice.min_ts_ns, request.start_ns) / interval_ns];
      part += bytes_within(slice, request.start_ns, request.end_ns);
      largest = std::max(largest, part);
    }
  return largest;
}

// Blocks of one chunk share an id.
std::uint64_t count_chunks(const chunk::SelectResult& selected) {
  std::uint64_t chunks = 0;
  std::set<std::uint64_t> sources;
  for (const chunk::StreamData& stream : selected.streams) {
    sources.clear();
    for (const chunk::BlockSlice& slice : stream.blocks) sources.insert(slice.source_id);
    chunks += sources.size();
  }
  return chunks;
}

std::string selector_text(const std::vector<model::Matcher>& matchers) {
  std::string text = "{";
  for (const model::Matcher& matcher : matchers) {
    if (text.size() > 1) text += ", ";
    text += matcher.to_string();
  }
  return text + "}";
}

}  // namespace

Result<chunk::SelectResult> LimitedSource::select(const CallContext& ctx, const rpc::SelectRequest& request) {
  SKALD_TRY_VOID(ctx.check());
  SKALD_TRY(chunk::SelectResult selected, source_.select(ctx, request));
  // What was counted from the index weighs as much as if it were read: limits must not depend on what is aligned with what.
  const rpc::CountTaker::Taken counted = request.counts != nullptr ? request.counts->taken() : rpc::CountTaker::Taken{};
  const std::uint64_t streams = std::max<std::uint64_t>(selected.streams.size(), counted.streams);
  streams_ += streams;
  if (limits_.cardinality_limit > 0 && streams > static_cast<std::uint64_t>(limits_.cardinality_limit))
    return refused("cardinality limit exceeded for " + selector_text(request.matchers) + "; " + std::to_string(streams) +
                   " entries, more than limit of " + std::to_string(limits_.cardinality_limit));
  if (limits_.max_chunks_per_query > 0) {
    const auto most = static_cast<std::uint64_t>(limits_.max_chunks_per_query);
    std::uint64_t chunks = counted.chunks;   // at most one per slice; counted only when that is too many
    for (const chunk::StreamData& stream : selected.streams) chunks += stream.blocks.size();
    if (chunks_ + chunks > most) chunks = counted.chunks + count_chunks(selected);
    if ((chunks_ += chunks) > most)
      return refused("the query hit the max number of chunks limit (limit: " + std::to_string(most) + " chunks)");
  }
  const std::uint64_t here = counted.bytes + bytes_of(selected, request.start_ns, request.end_ns), bytes = bytes_ += here;
  if (limits_.max_query_bytes_read > 0 && bytes > static_cast<std::uint64_t>(limits_.max_query_bytes_read))
    return refused("the query would read too many bytes (query: " + bytes_text(bytes) + ", limit: " +
                   bytes_text(static_cast<std::uint64_t>(limits_.max_query_bytes_read)) +
                   "); consider adding more specific stream selectors or reduce the time range of the query");
  if (limits_.max_querier_bytes_read > 0 && here > static_cast<std::uint64_t>(limits_.max_querier_bytes_read)) {
    const std::int64_t interval_ns = splits_apart_ ? limits_.split_queries_by_interval : 0;
    const std::uint64_t part = interval_ns > 0 ? largest_part(selected, request, interval_ns) : here;
    if (part > static_cast<std::uint64_t>(limits_.max_querier_bytes_read))
      return refused("query too large to execute on a single querier: (query: " + bytes_text(part) + ", limit: " +
                     bytes_text(static_cast<std::uint64_t>(limits_.max_querier_bytes_read)) +
                     "); consider adding more specific stream selectors, reduce the time range of the query, or adjust parallelization settings");
  }
  return selected;
}

}  // namespace skald::api
