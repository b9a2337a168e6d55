#include "store/view.h"

#include <algorithm>
#include <unordered_map>

#include "skald/obs/log.h"
#include "skald/rpc/count_taker.h"
#include "store/lookups.h"
#include "store/slices.h"
#include "store/volume.h"

namespace skald::store {
namespace {

using index::ChunkRef;
using index::StreamChunkRefs;

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

}  // namespace

template <class T, class Ask>
std::optional<Result<T>> Store::View::by_gateway(const Ask& ask) {
  if (scope_ != Scope::kAll || state_.gateway == nullptr) return std::nullopt;
  Result<T> answer = ask(*state_.gateway);
  if (!answer.ok() && answer.error().code() == ErrorCode::kUnavailable) {
    if (!state_.gateway_lost.exchange(true)) log::warn("the index is read from the bucket until a gateway answers again", {{"err", answer.error().message()}});
    return std::nullopt;
  }
  if (answer.ok() && state_.gateway_lost.load(std::memory_order_relaxed) && state_.gateway_lost.exchange(false)) log::info("an index gateway answers again");
  return answer;
}

std::optional<Result<chunk::SelectResult>> Store::View::select_by_gateway(const CallContext& ctx, const rpc::SelectRequest& request) {
  using Streams = std::vector<StreamChunkRefs>;
  const auto with_sketches = request.counts != nullptr ? index::WithSketches::kYes : index::WithSketches::kNo;
  for (const bool fresh : {false, true}) {
    const RequestTimer timer(state_.request_duration, "chunk_refs", *ctx.clock);
    std::optional<Result<Streams>> found = by_gateway<Streams>([&](rpc::IndexClient& gateway) { return timer.observe(gateway.refs(ctx, request, with_sketches, fresh)); });
    if (!found.has_value()) return std::nullopt;
    if (!found->ok()) return std::move(*found).error();
    auto read = read_chunks(ctx, request, std::move(*found).value(), timer.elapsed_ns());
    if (read.ok() || read.error().code() != ErrorCode::kNotFound) return read;
    if (request.counts != nullptr) request.counts->restart();
    if (fresh) return Error(ErrorCode::kCorruption, "the index lists an object that is missing: " + read.error().message());
  }
  return std::nullopt;
}

Result<std::vector<StreamChunkRefs>> Store::Index::refs(const CallContext& ctx, const rpc::SelectRequest& request, index::WithSketches with_sketches, bool fresh) {
  if (fresh) SKALD_TRY_VOID(state_.list_now(ctx));
  return view().refs(ctx, request, with_sketches);
}

Result<std::shared_ptr<TenantIndex>> Store::View::tenant_of(const CallContext& ctx, const rpc::SelectRequest& request) {
  if (request.end_ns < request.start_ns) return std::shared_ptr<TenantIndex>();
  if (scope_ == Scope::kRecent) {
    SKALD_TRY_VOID(state_.knows_recent(ctx));
  } else {
    SKALD_TRY_VOID(state_.list_if_old(ctx));
  }
  return state_.find(ctx.tenant);
}

Result<QuerySources> Store::View::sources(const CallContext& ctx, const TenantIndex& tenant, const index::TimeRange& range) {
  return scope_ == Scope::kRecent ? state_.recent_sources(ctx, tenant, range) : state_.sources(ctx, tenant, range, Objects::kAll);
}

Result<std::vector<StreamChunkRefs>> Store::View::find(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request,
                                                       index::WithSketches with_sketches, TenantView& seen) {
  if (scope_ == Scope::kRecent) return state_.recent_refs(ctx, tenant, request, with_sketches, seen);
  SKALD_TRY(const QuerySources sources, state_.sources(ctx, tenant, range_of(request), Objects::kAll));
  seen = sources.view;
  return find_refs(state_.pool, ctx, sources, request, with_sketches);
}

Result<std::vector<StreamChunkRefs>> Store::View::refs(const CallContext& ctx, const rpc::SelectRequest& request, index::WithSketches with_sketches) {
  using Streams = std::vector<StreamChunkRefs>;
  if (auto answer = by_gateway<Streams>([&](rpc::IndexClient& gateway) { return gateway.refs(ctx, request, with_sketches, false); })) return *std::move(answer);
  SKALD_TRY(const auto tenant, tenant_of(ctx, request));
  if (tenant == nullptr) return std::vector<StreamChunkRefs>();
  const RequestTimer timer(state_.request_duration, "stats", *ctx.clock);
  TenantView seen;
  return timer.observe(find(ctx, *tenant, request, with_sketches, seen));
}

Result<chunk::SelectResult> Store::View::select(const CallContext& ctx, const rpc::SelectRequest& request) {
  if (auto answer = select_by_gateway(ctx, request)) return *std::move(answer);
  SKALD_TRY(const auto tenant, tenant_of(ctx, request));
  if (tenant == nullptr) return chunk::SelectResult();
  TenantView seen;
  auto first = select_once(ctx, *tenant, request, seen);
  if (first.ok() || first.error().code() != ErrorCode::kNotFound) return first;
  if (request.counts != nullptr) request.counts->restart();
  // A compactor may have replaced the chunk and removed the old one: whatever our listing is older than the grace period for.
  SKALD_TRY_VOID(state_.list_again(ctx, seen, std::nullopt));
  auto second = select_once(ctx, *tenant, request, seen);
  if (second.ok() || second.error().code() != ErrorCode::kNotFound) return second;
  return Error(ErrorCode::kCorruption, "the index lists an object that is missing: " + second.error().message());
}

Result<chunk::SelectResult> Store::View::select_once(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request, TenantView& seen) {
  const RequestTimer timer(state_.request_duration, "chunk_refs", *ctx.clock);
  SKALD_TRY(std::vector<StreamChunkRefs> streams,
            timer.observe(find(ctx, tenant, request, request.counts != nullptr ? index::WithSketches::kYes : index::WithSketches::kNo, seen)));
  return read_chunks(ctx, request, std::move(streams), timer.elapsed_ns());
}

Result<chunk::SelectResult> Store::View::read_chunks(const CallContext& ctx, const rpc::SelectRequest& request, std::vector<StreamChunkRefs> streams, std::int64_t lookup_ns) {
  chunk::SelectResult result;
  result.stats.chunk_refs_lookup_ns = lookup_ns;

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
  state_.refs_matched.add(static_cast<double>(ref_count));
  state_.series_matched.add(static_cast<double>(streams.size()));
  SKALD_TRY(const auto opened, state_.chunks->open(ctx, ctx.tenant, wanted));

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

Result<std::vector<model::LabelsPtr>> Store::View::series(const CallContext& ctx, const rpc::SelectRequest& request) {
  if (auto answer = by_gateway<std::vector<model::LabelsPtr>>([&](rpc::IndexClient& gateway) { return gateway.series(ctx, request); })) return *std::move(answer);
  SKALD_TRY(const auto tenant, tenant_of(ctx, request));
  if (tenant == nullptr) return std::vector<model::LabelsPtr>();
  const RequestTimer timer(state_.request_duration, "series", *ctx.clock);
  const auto find = [&]() -> Result<std::vector<model::LabelsPtr>> {
    SKALD_TRY(const QuerySources sources, this->sources(ctx, *tenant, range_of(request)));
    return find_series(state_.pool, ctx, sources, request);
  };
  return timer.observe(find());
}

Result<std::vector<rpc::SeriesVolume>> Store::View::volumes(const CallContext& ctx, const rpc::SelectRequest& request) {
  if (auto answer = by_gateway<std::vector<rpc::SeriesVolume>>([&](rpc::IndexClient& gateway) { return gateway.volumes(ctx, request); })) return *std::move(answer);
  SKALD_TRY(const auto tenant, tenant_of(ctx, request));
  if (tenant == nullptr) return std::vector<rpc::SeriesVolume>();
  const RequestTimer timer(state_.request_duration, "volume", *ctx.clock);
  TenantView seen;
  SKALD_TRY(const std::vector<StreamChunkRefs> streams, timer.observe(find(ctx, *tenant, request, index::WithSketches::kYes, seen)));
  std::vector<rpc::SeriesVolume> volumes;
  volumes.reserve(streams.size());
  for (const StreamChunkRefs& stream : streams) volumes.push_back(volume_of(stream, request));
  return volumes;
}

Result<std::vector<std::string>> Store::View::label_names(const CallContext& ctx, const rpc::SelectRequest& request) {
  if (auto answer = by_gateway<std::vector<std::string>>([&](rpc::IndexClient& gateway) { return gateway.label_names(ctx, request); })) return *std::move(answer);
  SKALD_TRY(const auto tenant, tenant_of(ctx, request));
  if (tenant == nullptr) return std::vector<std::string>();
  const RequestTimer timer(state_.request_duration, "label_names", *ctx.clock);
  const auto find = [&]() -> Result<std::vector<std::string>> {
    SKALD_TRY(const QuerySources sources, this->sources(ctx, *tenant, whole_days(range_of(request))));
    return find_label_names(state_.pool, ctx, sources, request);
  };
  return timer.observe(find());
}

Result<std::vector<std::string>> Store::View::label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) {
  if (auto answer = by_gateway<std::vector<std::string>>([&](rpc::IndexClient& gateway) { return gateway.label_values(ctx, name, request); })) return *std::move(answer);
  SKALD_TRY(const auto tenant, tenant_of(ctx, request));
  if (tenant == nullptr) return std::vector<std::string>();
  const RequestTimer timer(state_.request_duration, "label_values", *ctx.clock);
  const auto find = [&]() -> Result<std::vector<std::string>> {
    SKALD_TRY(const QuerySources sources, this->sources(ctx, *tenant, whole_days(range_of(request))));
    return find_label_values(state_.pool, ctx, sources, name, request);
  };
  return timer.observe(find());
}

}  // namespace skald::store
