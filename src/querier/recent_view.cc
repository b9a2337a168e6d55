#include "skald/querier/recent_view.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "skald/rpc/merge.h"

namespace skald::querier {

Result<chunk::SelectResult> RecentView::select(const CallContext& ctx, const rpc::SelectRequest& request) {
  rpc::SelectRequest plain = request;
  plain.counts = nullptr;   // whoever asks counts what its own store lists
  SKALD_TRY(chunk::SelectResult merged, ingester_.select(ctx, plain));
  SKALD_TRY(chunk::SelectResult recent, recent_.select(ctx, plain));
  rpc::merge_into(merged, std::move(recent));
  return merged;
}

Result<std::vector<model::LabelsPtr>> RecentView::series(const CallContext& ctx, const rpc::SelectRequest& request) {
  SKALD_TRY(std::vector<model::LabelsPtr> all, ingester_.series(ctx, request));
  SKALD_TRY(std::vector<model::LabelsPtr> recent, recent_.series(ctx, request));
  std::unordered_set<std::string_view> known;
  for (const model::LabelsPtr& labels : all) known.insert(labels->text);
  for (model::LabelsPtr& labels : recent)
    if (known.insert(labels->text).second) all.push_back(std::move(labels));
  return all;
}

Result<std::vector<rpc::SeriesVolume>> RecentView::volumes(const CallContext& ctx, const rpc::SelectRequest& request) {
  rpc::SelectRequest apart = request;
  apart.counts = nullptr;
  apart.spans_since_ns = INT64_MIN;
  SKALD_TRY(const chunk::SelectResult held, ingester_.select(ctx, apart));
  SKALD_TRY(std::vector<rpc::SeriesVolume> all, recent_.volumes(ctx, apart));
  std::unordered_map<std::string_view, std::size_t> known;
  for (std::size_t i = 0; i < all.size(); ++i) {
    known.emplace(all[i].labels->text, i);
    for (rpc::VolumeSpan& span : all[i].spans) span.holder = 0;   // all of one ingester
  }
  for (const chunk::StreamData& stream : held.streams) {
    const auto [at, fresh] = known.emplace(stream.labels->text, all.size());
    if (fresh) all.push_back({.labels = stream.labels, .bytes = 0, .entries = 0, .chunks = 0, .spans = {}});
    for (const chunk::BlockSlice& slice : stream.blocks) {
      const std::int64_t min_ns = std::max(slice.min_ts_ns, request.start_ns), max_ns = std::min(slice.max_ts_ns, request.end_ns);
      if (max_ns < min_ns) continue;
      const double part = (static_cast<double>(max_ns - min_ns) + 1) / (static_cast<double>(slice.max_ts_ns - slice.min_ts_ns) + 1);
      all[at->second].spans.push_back({.source_id = 0, .holder = 0, .min_ts_ns = min_ns, .max_ts_ns = max_ns,
                                       .bytes = static_cast<std::uint64_t>(part * static_cast<double>(slice.raw_bytes) + 0.5),
                                       .entries = static_cast<std::uint64_t>(part * static_cast<double>(slice.rows) + 0.5)});
    }
  }
  return all;
}

}  // namespace skald::querier
