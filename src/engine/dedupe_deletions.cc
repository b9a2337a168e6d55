#include "engine/dedupe_deletions.h"

#include <algorithm>
#include <unordered_set>

namespace skald::engine {

Result<DeletionFilter> DeletionFilter::make(Source& source, const std::string& tenant) {
  DeletionFilter filter;
  filter.deletions_ = source.deletions(tenant);
  if (!filter.deletions_) return filter;
  for (const Deletion& deletion : *filter.deletions_) {
    std::shared_ptr<const Pipeline> pipeline;
    if (!deletion.selector.stages.empty()) { SKALD_TRY(pipeline, Pipeline::compile(deletion.selector.stages, PipelineOptions{})); }
    filter.items_.push_back({&deletion, std::move(pipeline)});
  }
  return filter;
}

Result<void> DeletionFilter::add_deleted(const chunk::StreamData& stream, const chunk::BlockSlice& slice, const CallContext& ctx,
                                         std::vector<std::uint32_t>& skip) const {
  const std::size_t before = skip.size();
  for (const Item& item : items_) {
    const Deletion& deletion = *item.deletion;
    if (slice.max_ts_ns < deletion.start_ns || slice.min_ts_ns > deletion.end_ns) continue;
    if (!model::matches_all(deletion.selector.matchers, stream.labels->labels)) continue;
    SKALD_TRY_VOID(add_matching(item, stream, slice, ctx, skip));
  }
  if (skip.size() == before) return {};
  std::sort(skip.begin(), skip.end());
  skip.erase(std::unique(skip.begin(), skip.end()), skip.end());
  return {};
}

Result<void> DeletionFilter::add_matching(const Item& item, const chunk::StreamData& stream, const chunk::BlockSlice& slice,
                                          const CallContext& ctx, std::vector<std::uint32_t>& skip) const {
  const chunk::ColumnMask need = item.pipeline ? item.pipeline->columns() : chunk::kTimestamps;
  SKALD_TRY(auto columns, slice.block->load(need, ctx));
  const std::int64_t* times = columns->timestamps_ns.data();
  const std::int64_t* const begin = times + slice.first_row;
  const std::int64_t* const end = begin + slice.rows;
  const auto first = static_cast<std::uint32_t>(std::lower_bound(begin, end, item.deletion->start_ns) - times);
  const auto last = static_cast<std::uint32_t>(std::upper_bound(begin, end, item.deletion->end_ns) - times);
  if (!item.pipeline) {
    for (std::uint32_t row = first; row < last; ++row) skip.push_back(row);
    return {};
  }
  const std::unique_ptr<PipelineRunner> runner = item.pipeline->make_runner();
  if (first == last || !runner->begin_stream(*stream.labels)) return {};
  // A frame does not say which rows it holds, so candidates (by time) are run again one by one. Deletions with stages
  // are rare and seldom hit many rows of one block.
  SKALD_TRY(Frame* all, runner->run(*columns, first, last, INT64_MIN, INT64_MAX, {}));
  std::unordered_set<std::int64_t> hit_times;
  for (std::uint32_t i = 0; i < all->size(); ++i) hit_times.insert(all->timestamp_ns(i));
  if (all->size() == last - first) {
    for (std::uint32_t row = first; row < last; ++row) skip.push_back(row);
    return {};
  }
  for (std::uint32_t row = first; row < last && !hit_times.empty(); ++row) {
    if (hit_times.count(times[row]) == 0) continue;
    SKALD_TRY(Frame* one, runner->run(*columns, row, row + 1, INT64_MIN, INT64_MAX, {}));
    if (one->size() != 0) skip.push_back(row);
  }
  return {};
}

}  // namespace skald::engine
