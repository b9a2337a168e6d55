#include "skald/querier/recent_view.h"

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
  SKALD_TRY(std::vector<rpc::SeriesVolume> all, ingester_.volumes(ctx, request));
  SKALD_TRY(std::vector<rpc::SeriesVolume> recent, recent_.volumes(ctx, request));
  std::unordered_map<std::string_view, std::size_t> known;
  for (std::size_t i = 0; i < all.size(); ++i) known.emplace(all[i].labels->text, i);
  for (rpc::SeriesVolume& volume : recent) {
    const auto at = known.find(volume.labels->text);
    if (at == known.end()) {
      all.push_back(std::move(volume));
      continue;
    }
    rpc::SeriesVolume& sum = all[at->second];
    sum.bytes += volume.bytes;
    sum.entries += volume.entries;
    sum.chunks += volume.chunks;
  }
  return all;
}

}  // namespace skald::querier
