#include "store/lookups.h"

#include <algorithm>
#include <limits>

namespace skald::store {
namespace {

using index::ChunkRef;
using index::StreamChunkRefs;

bool same_place(const ChunkRef& a, const ChunkRef& b) { return a.offset == b.offset && a.object.id == b.object.id; }

// Replicas write equal rows into different objects; the content id is a sum over the rows, so encodings may differ.
bool same_rows(const ChunkRef& a, const ChunkRef& b) {
  return a.content_id != 0 && a.content_id == b.content_id && a.rows == b.rows && a.raw_bytes == b.raw_bytes && a.group == b.group &&
         a.min_ts_ns == b.min_ts_ns && a.max_ts_ns == b.max_ts_ns;
}

void sort_unique(std::vector<std::string>& texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
}

// Runs `ask` for every source, in parallel when there are several, each with its own output.
template <class Output, class Ask>
Result<std::vector<Output>> ask_all(exec::Pool& pool, const CallContext& ctx, const std::vector<QuerySource>& sources, const Ask& ask) {
  std::vector<Output> outputs(sources.size());
  std::vector<Result<void>> results(sources.size());
  const auto body = [&](std::size_t i) {
    results[i] = ctx.check();
    if (results[i].ok()) results[i] = ask(sources[i], outputs[i]);
  };
  if (sources.size() == 1) {
    body(0);
  } else {
    pool.parallel_for(sources.size(), body);
  }
  for (const Result<void>& result : results)
    if (!result.ok()) return result.error();
  return outputs;
}

// Label calls honour times by whole days, as the index is kept.
template <class Append>
Result<std::vector<std::string>> find_texts(exec::Pool& pool, const CallContext& ctx, const QuerySources& sources, const index::TimeRange& days,
                                            const rpc::SelectRequest& request, const Append& append) {
  SKALD_TRY(auto parts, ask_all<std::vector<std::string>>(pool, ctx, sources.all, [&](const QuerySource& source, std::vector<std::string>& out) -> Result<void> {
                          SKALD_TRY(index::SeriesBitmap matched, source.index->match(request.matchers));
                          if (!source.whole_days) SKALD_TRY_VOID(source.index->restrict_to(days, matched));
                          if (!matched.any()) return {};
                          return append(*source.index, matched, out);
                        }));
  std::vector<std::string> texts;
  for (std::vector<std::string>& part : parts) texts.insert(texts.end(), std::make_move_iterator(part.begin()), std::make_move_iterator(part.end()));
  sort_unique(texts);
  return texts;
}

}  // namespace

index::TimeRange range_of(const rpc::SelectRequest& request) {
  constexpr std::int64_t kFirst = std::numeric_limits<std::int64_t>::min() + 2 * kNanosPerDay;
  constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max() - 2 * kNanosPerDay;
  return {.start_ns = std::clamp(request.start_ns, kFirst, kLast), .end_ns = std::clamp(request.end_ns, kFirst, kLast)};
}

index::TimeRange whole_days(const index::TimeRange& range) {
  return {.start_ns = index::day_of(range.start_ns) * kNanosPerDay, .end_ns = (index::day_of(range.end_ns) + 1) * kNanosPerDay - 1};
}

void sort_and_deduplicate(std::vector<ChunkRef>& chunks) {
  if (chunks.size() < 2) return;
  std::sort(chunks.begin(), chunks.end(), [](const ChunkRef& a, const ChunkRef& b) {
    return std::tie(a.min_ts_ns, a.max_ts_ns, a.rows, a.content_id, a.object.id, a.offset) <
           std::tie(b.min_ts_ns, b.max_ts_ns, b.rows, b.content_id, b.object.id, b.offset);
  });
  const auto end = std::unique(chunks.begin(), chunks.end(), [](const ChunkRef& a, const ChunkRef& b) { return same_place(a, b) || same_rows(a, b); });
  chunks.erase(end, chunks.end());
}

Result<std::vector<StreamChunkRefs>> find_refs(exec::Pool& pool, const CallContext& ctx, const QuerySources& sources, const rpc::SelectRequest& request,
                                               index::WithSketches with_sketches) {
  const index::TimeRange range = range_of(request);
  SKALD_TRY(auto parts, ask_all<std::vector<StreamChunkRefs>>(
                            pool, ctx, sources.all, [&](const QuerySource& source, std::vector<StreamChunkRefs>& out) -> Result<void> {
                              SKALD_TRY(const index::SeriesBitmap matched, source.index->match(request.matchers));
                              if (!matched.any()) return {};
                              return source.index->append_chunk_refs(matched, range, with_sketches, out);
                            }));
  std::vector<StreamChunkRefs> streams;
  if (parts.size() == 1) {
    streams = std::move(parts.front());   // one index lists each stream once
  } else {
    StreamPositions positions;
    for (std::vector<StreamChunkRefs>& part : parts) {
      for (StreamChunkRefs& stream : part) {
        const auto [at, is_new] = positions.try_emplace(stream.labels.get(), streams.size());
        if (is_new) {
          streams.push_back(std::move(stream));
        } else {
          auto& chunks = streams[at->second].chunks;
          chunks.insert(chunks.end(), std::make_move_iterator(stream.chunks.begin()), std::make_move_iterator(stream.chunks.end()));
        }
      }
    }
  }
  if (!sources.retired.empty()) {
    const auto is_retired = [&](const ChunkRef& ref) { return std::binary_search(sources.retired.begin(), sources.retired.end(), ref.object.id); };
    for (StreamChunkRefs& stream : streams) std::erase_if(stream.chunks, is_retired);
    std::erase_if(streams, [](const StreamChunkRefs& stream) { return stream.chunks.empty(); });
  }
  for (StreamChunkRefs& stream : streams) sort_and_deduplicate(stream.chunks);
  return streams;
}

void offer_counts(StreamChunkRefs& stream, rpc::CountTaker& counts) {
  std::vector<ChunkRef> left;
  for (std::size_t i = 0, reach = 0; i < stream.chunks.size(); ++i) {   // reach: the chunk before i that ends last
    ChunkRef& ref = stream.chunks[i];
    const bool overlapped = i > 0 && stream.chunks[reach].max_ts_ns >= ref.min_ts_ns;
    const bool overlaps_next = i + 1 < stream.chunks.size() && ref.max_ts_ns >= stream.chunks[i + 1].min_ts_ns;
    const rpc::ChunkCounts known{.min_ts_ns = ref.min_ts_ns, .max_ts_ns = ref.max_ts_ns, .rows = ref.rows, .raw_bytes = ref.raw_bytes, .sketch = &ref.sketch};
    if (ref.max_ts_ns >= stream.chunks[reach].max_ts_ns) reach = i;
    if (!overlapped && !overlaps_next && counts.take(stream.labels, known)) continue;
    left.push_back(ref);   // a copy: later chunks are compared with this one
  }
  stream.chunks = std::move(left);
}

Result<std::vector<model::LabelsPtr>> find_series(exec::Pool& pool, const CallContext& ctx, const QuerySources& sources, const rpc::SelectRequest& request) {
  const index::TimeRange range = range_of(request);
  SKALD_TRY(auto parts, ask_all<std::vector<model::LabelsPtr>>(pool, ctx, sources.all, [&](const QuerySource& source, std::vector<model::LabelsPtr>& out) -> Result<void> {
              SKALD_TRY(const index::SeriesBitmap matched, source.index->match(request.matchers));
              return source.index->append_series(matched, range, out);
            }));
  if (parts.size() == 1) return std::move(parts.front());
  StreamPositions seen;
  std::vector<model::LabelsPtr> streams;
  for (std::vector<model::LabelsPtr>& part : parts) {
    for (model::LabelsPtr& labels : part)
      if (seen.try_emplace(labels.get(), 0).second) streams.push_back(std::move(labels));
  }
  return streams;
}

Result<std::vector<std::string>> find_label_names(exec::Pool& pool, const CallContext& ctx, const QuerySources& sources, const rpc::SelectRequest& request) {
  return find_texts(pool, ctx, sources, whole_days(range_of(request)), request,
                    [](const index::SeriesIndex& index, const index::SeriesBitmap& only, std::vector<std::string>& out) { return index.append_label_names(only, out); });
}

Result<std::vector<std::string>> find_label_values(exec::Pool& pool, const CallContext& ctx, const QuerySources& sources, const std::string& name,
                                                   const rpc::SelectRequest& request) {
  return find_texts(pool, ctx, sources, whole_days(range_of(request)), request,
                    [&](const index::SeriesIndex& index, const index::SeriesBitmap& only, std::vector<std::string>& out) { return index.append_label_values(name, only, out); });
}

}  // namespace skald::store
