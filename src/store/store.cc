#include "skald/store/store.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "skald/rpc/count_taker.h"
#include "store/slices.h"
#include "store/store_state.h"
#include "store/volume.h"

namespace skald::store {
namespace {

using index::ChunkRef;
using index::StreamChunkRefs;

// Times of requests may be anything; day arithmetic needs room at both ends.
index::TimeRange range_of(const rpc::SelectRequest& request) {
  constexpr std::int64_t kFirst = std::numeric_limits<std::int64_t>::min() + 2 * kNanosPerDay;
  constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max() - 2 * kNanosPerDay;
  return {.start_ns = std::clamp(request.start_ns, kFirst, kLast), .end_ns = std::clamp(request.end_ns, kFirst, kLast)};
}

index::TimeRange whole_days(const index::TimeRange& range) {
  return {.start_ns = index::day_of(range.start_ns) * kNanosPerDay, .end_ns = (index::day_of(range.end_ns) + 1) * kNanosPerDay - 1};
}

// Labels are equal when their text is; hashing is done already.
struct LabelsHash {
  std::size_t operator()(const model::InternedLabels* labels) const { return static_cast<std::size_t>(labels->hash); }
};
struct LabelsEqual {
  bool operator()(const model::InternedLabels* a, const model::InternedLabels* b) const {
    return a == b || (a->hash == b->hash && a->labels == b->labels);
  }
};
using StreamPositions = std::unordered_map<const model::InternedLabels*, std::size_t, LabelsHash, LabelsEqual>;

bool same_place(const ChunkRef& a, const ChunkRef& b) { return a.offset == b.offset && a.object.id == b.object.id; }

// Replicas write equal rows into different objects; the content id is a sum over the rows, so encodings may differ.
bool same_rows(const ChunkRef& a, const ChunkRef& b) {
  return a.content_id != 0 && a.content_id == b.content_id && a.rows == b.rows && a.raw_bytes == b.raw_bytes && a.group == b.group &&
         a.min_ts_ns == b.min_ts_ns && a.max_ts_ns == b.max_ts_ns;
}

// Sorts by time and leaves one of each chunk: several indexes may list it, and replicas may have stored it twice.
void sort_and_deduplicate(std::vector<ChunkRef>& chunks) {
  if (chunks.size() < 2) return;
  std::sort(chunks.begin(), chunks.end(), [](const ChunkRef& a, const ChunkRef& b) {
    return std::tie(a.min_ts_ns, a.max_ts_ns, a.rows, a.content_id, a.object.id, a.offset) <
           std::tie(b.min_ts_ns, b.max_ts_ns, b.rows, b.content_id, b.object.id, b.offset);
  });
  const auto end = std::unique(chunks.begin(), chunks.end(), [](const ChunkRef& a, const ChunkRef& b) { return same_place(a, b) || same_rows(a, b); });
  chunks.erase(end, chunks.end());
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

// Measures one call for the request histogram.
class RequestTimer {
 public:
  RequestTimer(obs::HistogramFamily& family, const char* operation, const Clock& clock)
      : family_(family), operation_(operation), clock_(clock), start_ns_(clock.monotonic_ns()) {}
  std::int64_t elapsed_ns() const { return clock_.monotonic_ns() - start_ns_; }
  template <class T>
  Result<T> observe(Result<T> result) const {
    family_.with({operation_, result.ok() ? "200" : "500", "store"}).observe(static_cast<double>(elapsed_ns()) / 1e9);
    return result;
  }

 private:
  obs::HistogramFamily& family_;
  const char* operation_;
  const Clock& clock_;
  const std::int64_t start_ns_;
};

std::vector<double> index_request_edges() {
  std::vector<double> edges;
  for (int n = 0; n < 12; ++n) edges.push_back(0.005 * std::pow(20000.0, n / 11.0));
  return edges;
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

// Leaves out the chunks whose rows the taker has counted. Chunks that overlap another one in time may hold rows twice
// (replicas, pushes out of order): only their rows tell. `stream.chunks` is sorted by time.
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

Store::State::State(objstore::ObjectStore& objects_in, exec::Pool& pool_in, obs::Registry& registry, const StoreOptions& options)
    : objects(objects_in), pool(pool_in),
      chunks(std::make_shared<ChunkCache>(objects_in, pool_in, registry, options)), index_objects(objects_in, options, registry),
      query_ready_days(options.query_ready_num_days),
      request_duration(registry.histogram_family("loki_index_request_duration_seconds", "Time spent on index queries and writes.",
                                                 {"operation", "status_code", "component"}, index_request_edges())),
      refs_matched(registry.counter_family("loki_index_chunk_refs_total", "Chunk references looked up.", {"status"}).with({"matched"})),
      series_matched(registry.counter_family("loki_store_series_total", "Series looked up.", {"status"}).with({"matched"})),
      builds(registry.counter_family("loki_tsdb_build_index_attempts_total", "Index objects built from pending entries.", {"component", "source", "status"})),
      last_build_s(registry.gauge_family("loki_tsdb_build_index_last_successful_timestamp_seconds", "When pending entries last became an index object.",
                                         {"component"}).with({"store"})),
      uploads(registry.counter_family("loki_tsdb_shipper_tables_upload_operation_total", "Index uploads.", {"component", "status"})),
      syncs(registry.counter_family("loki_tsdb_shipper_tables_sync_operation_total", "Listings of the index objects.", {"component", "status", "trigger"})) {}

std::shared_ptr<TenantIndex> Store::State::find(const std::string& tenant) const {
  const std::shared_lock lock(tenants_mutex_);
  const auto found = tenants_.find(tenant);
  return found == tenants_.end() ? nullptr : found->second;
}

std::shared_ptr<TenantIndex> Store::State::find_or_add(const std::string& tenant) {
  const std::unique_lock lock(tenants_mutex_);
  std::shared_ptr<TenantIndex>& found = tenants_[tenant];
  if (found == nullptr) found = std::make_shared<TenantIndex>();
  return found;
}

std::vector<std::pair<std::string, std::shared_ptr<TenantIndex>>> Store::State::all() const {
  const std::shared_lock lock(tenants_mutex_);
  return {tenants_.begin(), tenants_.end()};
}

Store::Store(objstore::ObjectStore& objects, exec::Pool& pool, obs::Registry& registry, StoreOptions options)
    : state_(std::make_unique<State>(objects, pool, registry, options)) {}

Store::~Store() = default;

void Store::add_pending(const std::string& tenant, std::vector<index::IndexEntry> entries) {
  if (!entries.empty()) state_->find_or_add(tenant)->add_pending(entries);
}

std::size_t Store::pending_count() const {
  std::size_t count = 0;
  for (const auto& [tenant, index] : state_->all()) count += index->pending_count();
  return count;
}

Result<std::vector<StreamChunkRefs>> Store::refs(const CallContext& ctx, const rpc::SelectRequest& request, index::WithSketches with_sketches) {
  const auto tenant = state_->find(ctx.tenant);
  if (tenant == nullptr || request.end_ns < request.start_ns) return std::vector<StreamChunkRefs>();
  const RequestTimer timer(state_->request_duration, "stats", *ctx.clock);
  const auto find = [&]() -> Result<std::vector<StreamChunkRefs>> {
    SKALD_TRY(const QuerySources sources, state_->sources(ctx, *tenant, range_of(request)));
    return find_refs(state_->pool, ctx, sources, request, with_sketches);
  };
  return timer.observe(find());
}

Result<chunk::SelectResult> Store::select(const CallContext& ctx, const rpc::SelectRequest& request) {
  const auto tenant = state_->find(ctx.tenant);
  if (tenant == nullptr || request.end_ns < request.start_ns) return chunk::SelectResult();
  TenantView seen;
  auto first = state_->select(ctx, *tenant, request, seen);
  if (first.ok() || first.error().code() != ErrorCode::kNotFound) return first;
  if (request.counts != nullptr) request.counts->restart();
  // A compactor may have replaced the chunk and removed the old one: whatever our listing is older than the grace period for.
  SKALD_TRY_VOID(state_->list_again(ctx, seen, std::nullopt));
  auto second = state_->select(ctx, *tenant, request, seen);
  if (second.ok() || second.error().code() != ErrorCode::kNotFound) return second;
  return Error(ErrorCode::kCorruption, "the index lists an object that is missing: " + second.error().message());
}

Result<chunk::SelectResult> Store::State::select(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request, TenantView& seen) {
  chunk::SelectResult result;
  const RequestTimer timer(request_duration, "chunk_refs", *ctx.clock);
  const auto find = [&]() -> Result<std::vector<StreamChunkRefs>> {
    SKALD_TRY(const QuerySources sources, this->sources(ctx, tenant, range_of(request)));
    seen = sources.view;
    return find_refs(pool, ctx, sources, request, request.counts != nullptr ? index::WithSketches::kYes : index::WithSketches::kNo);
  };
  SKALD_TRY(std::vector<StreamChunkRefs> streams, timer.observe(find()));
  result.stats.chunk_refs_lookup_ns = timer.elapsed_ns();

  std::unordered_map<ChunkKey, std::size_t, ChunkKeyHash> positions;   // of distinct chunks in `wanted`
  std::vector<const ChunkRef*> wanted;
  std::uint64_t ref_count = 0;
  for (StreamChunkRefs& stream : streams) {
    ref_count += stream.chunks.size();
    if (request.counts != nullptr) offer_counts(stream, *request.counts);
    for (const ChunkRef& ref : stream.chunks) {
      if (positions.try_emplace(key_of(ref), wanted.size()).second) wanted.push_back(&ref);
    }
  }
  result.stats.store_chunk_refs = ref_count;
  result.stats.store_chunks_matched = wanted.size();
  refs_matched.add(static_cast<double>(ref_count));
  series_matched.add(static_cast<double>(streams.size()));
  SKALD_TRY(const auto opened, chunks->open(ctx, ctx.tenant, wanted));

  const index::TimeRange range{.start_ns = request.start_ns, .end_ns = request.end_ns};
  result.streams.reserve(streams.size());
  for (const StreamChunkRefs& stream : streams) {
    chunk::StreamData data{.labels = stream.labels, .blocks = {}};
    for (const ChunkRef& ref : stream.chunks) {
      SKALD_TRY_VOID(append_slices(*stream.labels, ref, *opened[positions.at(key_of(ref))], range, data.blocks));
    }
    if (data.blocks.empty()) continue;   // the gap between two blocks of a chunk may hold the whole range
    std::stable_sort(data.blocks.begin(), data.blocks.end(),
                     [](const chunk::BlockSlice& a, const chunk::BlockSlice& b) { return a.min_ts_ns < b.min_ts_ns; });
    result.streams.push_back(std::move(data));
  }
  return result;
}

Result<std::vector<model::LabelsPtr>> Store::series(const CallContext& ctx, const rpc::SelectRequest& request) {
  const auto tenant = state_->find(ctx.tenant);
  if (tenant == nullptr || request.end_ns < request.start_ns) return std::vector<model::LabelsPtr>();
  const RequestTimer timer(state_->request_duration, "series", *ctx.clock);
  const auto find = [&]() -> Result<std::vector<model::LabelsPtr>> {
    const index::TimeRange range = range_of(request);
    SKALD_TRY(const QuerySources sources, state_->sources(ctx, *tenant, range));
    SKALD_TRY(auto parts, ask_all<std::vector<model::LabelsPtr>>(
                              state_->pool, ctx, sources.all, [&](const QuerySource& source, std::vector<model::LabelsPtr>& out) -> Result<void> {
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
  };
  return timer.observe(find());
}

Result<std::vector<rpc::SeriesVolume>> Store::volumes(const CallContext& ctx, const rpc::SelectRequest& request) {
  const auto tenant = state_->find(ctx.tenant);
  if (tenant == nullptr || request.end_ns < request.start_ns) return std::vector<rpc::SeriesVolume>();
  const RequestTimer timer(state_->request_duration, "volume", *ctx.clock);
  const auto find = [&]() -> Result<std::vector<StreamChunkRefs>> {
    SKALD_TRY(const QuerySources sources, state_->sources(ctx, *tenant, range_of(request)));
    return find_refs(state_->pool, ctx, sources, request, index::WithSketches::kYes);
  };
  SKALD_TRY(const std::vector<StreamChunkRefs> streams, timer.observe(find()));
  const index::TimeRange range{.start_ns = request.start_ns, .end_ns = request.end_ns};
  std::vector<rpc::SeriesVolume> volumes;
  volumes.reserve(streams.size());
  for (const StreamChunkRefs& stream : streams) {
    rpc::SeriesVolume volume{.labels = stream.labels, .bytes = 0, .entries = 0, .chunks = stream.chunks.size()};
    for (const ChunkRef& ref : stream.chunks) {
      const Share share = compute_share(ref, range);
      volume.bytes += share.bytes;
      volume.entries += share.rows;
    }
    volumes.push_back(std::move(volume));
  }
  return volumes;
}

Result<std::vector<std::string>> Store::label_names(const CallContext& ctx, const rpc::SelectRequest& request) {
  const auto tenant = state_->find(ctx.tenant);
  if (tenant == nullptr || request.end_ns < request.start_ns) return std::vector<std::string>();
  const RequestTimer timer(state_->request_duration, "label_names", *ctx.clock);
  const auto find = [&]() -> Result<std::vector<std::string>> {
    const index::TimeRange days = whole_days(range_of(request));
    SKALD_TRY(const QuerySources sources, state_->sources(ctx, *tenant, days));
    return find_texts(state_->pool, ctx, sources, days, request,
                      [](const index::SeriesIndex& index, const index::SeriesBitmap& only, std::vector<std::string>& out) {
                        return index.append_label_names(only, out);
                      });
  };
  return timer.observe(find());
}

Result<std::vector<std::string>> Store::label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) {
  const auto tenant = state_->find(ctx.tenant);
  if (tenant == nullptr || request.end_ns < request.start_ns) return std::vector<std::string>();
  const RequestTimer timer(state_->request_duration, "label_values", *ctx.clock);
  const auto find = [&]() -> Result<std::vector<std::string>> {
    const index::TimeRange days = whole_days(range_of(request));
    SKALD_TRY(const QuerySources sources, state_->sources(ctx, *tenant, days));
    return find_texts(state_->pool, ctx, sources, days, request,
                      [&](const index::SeriesIndex& index, const index::SeriesBitmap& only, std::vector<std::string>& out) {
                        return index.append_label_values(name, only, out);
                      });
  };
  return timer.observe(find());
}

}  // namespace skald::store
