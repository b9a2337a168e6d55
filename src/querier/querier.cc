#include "skald/querier/querier.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>

#include "querier/tenants.h"
#include "skald/rpc/count_taker.h"
#include "skald/rpc/merge.h"
#include "skald/rpc/volume_spans.h"

namespace skald::querier {

namespace {

// Streams by label text; the views point into interned labels that the caller keeps alive.
template <class T>
class ByLabels {
 public:
  // The element of these labels; `fresh` when it was just made.
  T& find(const model::LabelsPtr& labels, bool& fresh) {
    const auto [it, inserted] = index_.emplace(labels->text, items_.size());
    fresh = inserted;
    if (inserted) items_.emplace_back();
    return items_[it->second];
  }
  std::vector<T> take() { return std::move(items_); }

 private:
  std::vector<T> items_;
  std::unordered_map<std::string_view, std::size_t> index_;
};

std::int64_t floor_to(std::int64_t value, std::int64_t unit) {
  const std::int64_t rest = value % unit;
  return value - (rest < 0 ? rest + unit : rest);
}

rpc::SelectRequest whole_days(rpc::SelectRequest request) {
  constexpr std::int64_t kFarPast = INT64_MIN + kNanosPerDay, kFarFuture = INT64_MAX - 2 * kNanosPerDay;
  if (request.start_ns > kFarPast) request.start_ns = floor_to(request.start_ns, kNanosPerDay);
  if (request.end_ns < kFarFuture) request.end_ns = floor_to(request.end_ns, kNanosPerDay) + kNanosPerDay - 1;
  return request;
}

}  // namespace

Querier::Querier(rpc::IngesterClient& ingester, rpc::StoreClient* store, QuerierOptions options)
    : ingester_(ingester), store_(options.ingester_only ? nullptr : store), options_(options) {}

Result<chunk::SelectResult> Querier::select(const CallContext& ctx, const rpc::SelectRequest& request) {
  if (!is_several(ctx.tenant)) return select_one(ctx, request);
  chunk::SelectResult merged;
  for (TenantCall& call : calls_of(ctx, request)) {
    call.request.counts = nullptr;   // the taker could not tell whose streams it is offered
    SKALD_TRY(chunk::SelectResult one, select_one(call.ctx, call.request));
    for (chunk::StreamData& stream : one.streams) {
      stream.labels = with_tenant(stream.labels, call.ctx.tenant);
      merged.streams.push_back(std::move(stream));
    }
    merged.stats.ingester_chunks_matched += one.stats.ingester_chunks_matched;
    merged.stats.store_chunk_refs += one.stats.store_chunk_refs;
    merged.stats.store_chunks_matched += one.stats.store_chunks_matched;
    merged.stats.chunk_refs_lookup_ns += one.stats.chunk_refs_lookup_ns;
  }
  return merged;
}

engine::Deletions Querier::deletions(const std::string& tenant) {
  if (!deletions_) return nullptr;
  if (!is_several(tenant)) return deletions_(tenant);
  std::shared_ptr<std::vector<engine::Deletion>> all;
  for (const std::string& one : split_tenants(tenant)) {
    const engine::Deletions theirs = with_tenant(deletions_(one), one);
    if (!theirs) continue;
    if (!all) all = std::make_shared<std::vector<engine::Deletion>>();
    all->insert(all->end(), theirs->begin(), theirs->end());
  }
  return all;
}

Result<chunk::SelectResult> Querier::select_one(const CallContext& ctx, const rpc::SelectRequest& request) {
  chunk::SelectResult merged;
  if (!options_.store_only) {
    SKALD_TRY(merged, ingester_.select(ctx, request));
  }
  if (!store_) return merged;
  if (request.counts != nullptr) {
    for (const chunk::StreamData& stream : merged.streams)
      for (const chunk::BlockSlice& slice : stream.blocks) request.counts->in_memory(*stream.labels, slice.min_ts_ns, slice.max_ts_ns);
  }
  SKALD_TRY(chunk::SelectResult stored, store_->select(ctx, request));
  // The store's first: of a chunk that it lists and an ingester still shows, its own slices are the cheaper ones.
  rpc::merge_into(stored, std::move(merged));
  return stored;
}

Result<std::vector<model::LabelsPtr>> Querier::series_one(const CallContext& ctx, const rpc::SelectRequest& request) {
  std::vector<model::LabelsPtr> all;
  if (!options_.store_only) {
    SKALD_TRY(all, ingester_.series(ctx, request));
  }
  if (store_) {
    SKALD_TRY(std::vector<model::LabelsPtr> stored, store_->series(ctx, request));
    all.insert(all.end(), std::make_move_iterator(stored.begin()), std::make_move_iterator(stored.end()));
  }
  return all;
}

Result<std::vector<model::LabelsPtr>> Querier::series(const CallContext& ctx, const rpc::SelectRequest& request) {
  std::vector<model::LabelsPtr> all;
  if (is_several(ctx.tenant)) {
    for (const TenantCall& call : calls_of(ctx, request)) {
      SKALD_TRY(const std::vector<model::LabelsPtr> one, series_one(call.ctx, call.request));
      for (const model::LabelsPtr& labels : one) all.push_back(with_tenant(labels, call.ctx.tenant));
    }
  } else {
    SKALD_TRY(all, series_one(ctx, request));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->text < b->text; });
  all.erase(std::unique(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->text == b->text; }), all.end());
  return all;
}

Result<std::vector<model::LabelsPtr>> Querier::recent_series(const CallContext& ctx, const rpc::SelectRequest& days) {
  if (options_.store_only) return std::vector<model::LabelsPtr>{};
  return ingester_.series(ctx, days);
}

Result<std::vector<std::string>> Querier::label_names(const CallContext& ctx, const rpc::SelectRequest& request) {
  const rpc::SelectRequest days = whole_days(request);
  std::set<std::string> names;
  if (is_several(ctx.tenant)) {
    for (const TenantCall& call : calls_of(ctx, request)) {
      SKALD_TRY(std::vector<std::string> one, label_names(call.ctx, call.request));
      if (!one.empty()) names.emplace(kTenantLabel);
      for (std::string& name : one) names.insert(name == kTenantLabel ? std::string(kOriginalTenantLabel) : std::move(name));
    }
    return std::vector<std::string>(names.begin(), names.end());
  }
  SKALD_TRY(auto streams, recent_series(ctx, days));
  for (const auto& stream : streams)
    for (const model::Label& label : stream->labels.pairs()) names.insert(label.name);
  if (store_) {
    SKALD_TRY(auto stored, store_->label_names(ctx, days));
    names.insert(std::make_move_iterator(stored.begin()), std::make_move_iterator(stored.end()));
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Result<std::vector<std::string>> Querier::label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) {
  const rpc::SelectRequest days = whole_days(request);
  std::set<std::string> values;
  if (is_several(ctx.tenant)) {
    const std::string inner = name == kOriginalTenantLabel ? std::string(kTenantLabel) : name;
    for (const TenantCall& call : calls_of(ctx, request)) {
      if (name == kTenantLabel) {   // every tenant asked is a value, as Loki answers it
        values.insert(call.ctx.tenant);
        continue;
      }
      SKALD_TRY(std::vector<std::string> one, label_values(call.ctx, inner, call.request));
      values.insert(std::make_move_iterator(one.begin()), std::make_move_iterator(one.end()));
    }
    return std::vector<std::string>(values.begin(), values.end());
  }
  SKALD_TRY(auto streams, recent_series(ctx, days));
  for (const auto& stream : streams)
    if (stream->labels.has(name)) values.emplace(stream->labels.get(name));
  if (store_) {
    SKALD_TRY(auto stored, store_->label_values(ctx, name, days));
    values.insert(std::make_move_iterator(stored.begin()), std::make_move_iterator(stored.end()));
  }
  return std::vector<std::string>(values.begin(), values.end());
}

Result<std::vector<rpc::SeriesVolume>> Querier::volumes(const CallContext& ctx, const rpc::SelectRequest& request) {
  if (!is_several(ctx.tenant)) return volumes_one(ctx, request);
  std::vector<rpc::SeriesVolume> all;
  for (const TenantCall& call : calls_of(ctx, request)) {
    SKALD_TRY(std::vector<rpc::SeriesVolume> one, volumes_one(call.ctx, call.request));
    for (rpc::SeriesVolume& volume : one) {
      volume.labels = with_tenant(volume.labels, call.ctx.tenant);
      all.push_back(std::move(volume));
    }
  }
  return all;
}

Result<std::vector<rpc::SeriesVolume>> Querier::volumes_one(const CallContext& ctx, const rpc::SelectRequest& request) {
  std::vector<rpc::SeriesVolume> parts;
  rpc::SelectRequest asked = request;
  asked.copies = options_.copies;
  if (!options_.store_only) {
    SKALD_TRY(parts, ingester_.volumes(ctx, asked));
  }
  if (store_) {
    // What ingesters have told of span by span must be told so by the store, too.
    asked.spans_since_ns = INT64_MAX;
    for (const rpc::SeriesVolume& part : parts)
      for (const rpc::VolumeSpan& span : part.spans) asked.spans_since_ns = std::min(asked.spans_since_ns, span.min_ts_ns);
    SKALD_TRY(std::vector<rpc::SeriesVolume> stored, store_->volumes(ctx, asked));
    parts.insert(parts.end(), std::make_move_iterator(stored.begin()), std::make_move_iterator(stored.end()));
  }
  ByLabels<rpc::SeriesVolume> merged;
  for (const rpc::SeriesVolume& part : parts) {
    bool fresh = false;
    rpc::SeriesVolume& volume = merged.find(part.labels, fresh);
    if (fresh) volume.labels = part.labels;
    volume.bytes += part.bytes;
    volume.entries += part.entries;
    volume.chunks += part.chunks;
    volume.spans.insert(volume.spans.end(), part.spans.begin(), part.spans.end());
  }
  std::vector<rpc::SeriesVolume> all = merged.take();
  for (rpc::SeriesVolume& volume : all) {
    if (volume.spans.empty()) continue;
    const rpc::VolumeTotal total = rpc::add_up(volume.spans, options_.copies);
    volume.bytes += total.bytes;
    volume.entries += total.entries;
    volume.chunks += rpc::count_chunks(volume.spans);
    volume.spans.clear();
  }
  return all;
}

Result<IndexStats> Querier::stats(const CallContext& ctx, const rpc::SelectRequest& request) {
  SKALD_TRY(auto all, volumes(ctx, request));
  IndexStats stats;
  stats.streams = all.size();
  for (const rpc::SeriesVolume& volume : all) {
    stats.chunks += volume.chunks;
    stats.bytes += (volume.bytes + 512) / 1024 * 1024;   // whole KiB, the unit of Loki's index
    stats.entries += volume.entries;
  }
  return stats;
}

Result<std::shared_ptr<void>> Querier::tail(const CallContext& ctx, std::vector<model::Matcher> matchers, rpc::TailSink sink) {
  if (!is_several(ctx.tenant)) return ingester_.tail(ctx, std::move(matchers), std::move(sink));
  auto all = std::make_shared<std::vector<std::shared_ptr<void>>>();
  for (TenantCall& call : calls_of(ctx, {std::move(matchers), 0, 0})) {
    const std::string tenant = call.ctx.tenant;
    SKALD_TRY(auto one, ingester_.tail(call.ctx, std::move(call.request.matchers),
                                       [tenant, sink](const model::LabelsPtr& labels, const std::vector<rpc::TailEntry>& entries) {
                                         sink(with_tenant(labels, tenant), entries);
                                       }));
    all->push_back(std::move(one));
  }
  return std::shared_ptr<void>(std::move(all));
}

}  // namespace skald::querier
