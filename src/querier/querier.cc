#include "skald/querier/querier.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>

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

Querier::Querier(rpc::IngesterClient& ingester, rpc::StoreClient* store) : ingester_(ingester), store_(store) {}

Result<chunk::SelectResult> Querier::select(const CallContext& ctx, const rpc::SelectRequest& request) {
  SKALD_TRY(chunk::SelectResult merged, ingester_.select(ctx, request));
  for (chunk::StreamData& stream : merged.streams)
    for (chunk::BlockSlice& slice : stream.blocks) slice.from_ingester = true;
  if (!store_) return merged;
  SKALD_TRY(chunk::SelectResult stored, store_->select(ctx, request));
  merged.stats.store_chunk_refs += stored.stats.store_chunk_refs;
  merged.stats.store_chunks_matched += stored.stats.store_chunks_matched;
  merged.stats.chunk_refs_lookup_ns += stored.stats.chunk_refs_lookup_ns;

  std::unordered_map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < merged.streams.size(); ++i) index.emplace(merged.streams[i].labels->text, i);
  for (chunk::StreamData& stream : stored.streams) {
    const auto it = index.find(stream.labels->text);
    if (it == index.end()) {
      merged.streams.push_back(std::move(stream));
      continue;
    }
    std::vector<chunk::BlockSlice>& blocks = merged.streams[it->second].blocks;
    blocks.insert(blocks.end(), std::make_move_iterator(stream.blocks.begin()), std::make_move_iterator(stream.blocks.end()));
    // Equal starts: what was stored is older than what is still in memory.
    std::stable_sort(blocks.begin(), blocks.end(), [](const chunk::BlockSlice& a, const chunk::BlockSlice& b) {
      if (a.min_ts_ns != b.min_ts_ns) return a.min_ts_ns < b.min_ts_ns;
      return !a.from_ingester && b.from_ingester;
    });
  }
  return merged;
}

Result<std::vector<model::LabelsPtr>> Querier::series(const CallContext& ctx, const rpc::SelectRequest& request) {
  SKALD_TRY(std::vector<model::LabelsPtr> all, ingester_.series(ctx, request));
  if (store_) {
    SKALD_TRY(std::vector<model::LabelsPtr> stored, store_->series(ctx, request));
    all.insert(all.end(), std::make_move_iterator(stored.begin()), std::make_move_iterator(stored.end()));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->text < b->text; });
  all.erase(std::unique(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->text == b->text; }), all.end());
  return all;
}

Result<std::vector<std::string>> Querier::label_names(const CallContext& ctx, const rpc::SelectRequest& request) {
  const rpc::SelectRequest days = whole_days(request);
  std::set<std::string> names;
  SKALD_TRY(auto streams, ingester_.series(ctx, days));
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
  SKALD_TRY(auto streams, ingester_.series(ctx, days));
  for (const auto& stream : streams)
    if (stream->labels.has(name)) values.emplace(stream->labels.get(name));
  if (store_) {
    SKALD_TRY(auto stored, store_->label_values(ctx, name, days));
    values.insert(std::make_move_iterator(stored.begin()), std::make_move_iterator(stored.end()));
  }
  return std::vector<std::string>(values.begin(), values.end());
}

Result<std::vector<rpc::SeriesVolume>> Querier::volumes(const CallContext& ctx, const rpc::SelectRequest& request) {
  SKALD_TRY(std::vector<rpc::SeriesVolume> parts, ingester_.volumes(ctx, request));
  if (store_) {
    SKALD_TRY(std::vector<rpc::SeriesVolume> stored, store_->volumes(ctx, request));
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
  }
  return merged.take();
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
  return ingester_.tail(ctx, std::move(matchers), std::move(sink));
}

}  // namespace skald::querier
