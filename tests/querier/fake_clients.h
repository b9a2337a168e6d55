// An ingester and a store over lines in memory.
#pragma once

#include <algorithm>
#include <set>

#include "engine/eval_fixture.h"
#include "skald/rpc/ingester_client.h"
#include "skald/rpc/store_client.h"

namespace skald::testing {

using engine::testing::Entry;
using engine::testing::MemorySource;

// Series and volumes from what select() finds.
inline std::vector<rpc::SeriesVolume> volumes_of(MemorySource& source, const CallContext& ctx, const rpc::SelectRequest& request) {
  std::vector<rpc::SeriesVolume> volumes;
  const auto selected = source.select(ctx, request);
  for (const chunk::StreamData& stream : selected->streams) {
    rpc::SeriesVolume volume;
    volume.labels = stream.labels;
    for (const chunk::BlockSlice& slice : stream.blocks) {
      const auto columns = *slice.block->load(chunk::kAllColumns, ctx);
      for (std::uint32_t row = 0; row < columns->rows; ++row) {
        if (columns->timestamps_ns[row] < request.start_ns || columns->timestamps_ns[row] > request.end_ns) continue;
        volume.bytes += columns->line(row).size();
        ++volume.entries;
      }
      ++volume.chunks;
    }
    volumes.push_back(volume);
  }
  return volumes;
}

inline std::vector<model::LabelsPtr> series_of(MemorySource& source, const CallContext& ctx, const rpc::SelectRequest& request) {
  std::vector<model::LabelsPtr> series;
  const auto selected = source.select(ctx, request);
  for (const chunk::StreamData& stream : selected->streams) series.push_back(stream.labels);
  return series;
}

class FakeIngester final : public rpc::IngesterClient {
 public:
  MemorySource data;                             // of every tenant that `tenants` does not name
  std::map<std::string, MemorySource> tenants;
  std::vector<std::string>* calls = nullptr;   // who was asked, in order
  std::function<void(const CallContext&)> on_select;

  void push(const CallContext&, std::shared_ptr<const model::PushBatch>, std::function<void(Result<model::PushOutcome>)> done) override {
    done(Error(ErrorCode::kUnimplemented, "read only"));
  }
  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override {
    if (calls) calls->push_back("ingester");
    if (on_select) on_select(ctx);
    return of(ctx).select(ctx, request);
  }
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override { return series_of(of(ctx), ctx, request); }
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override { return volumes_of(of(ctx), ctx, request); }
  Result<std::shared_ptr<void>> tail(const CallContext&, std::vector<model::Matcher>, rpc::TailSink sink) override {
    sink_ = std::make_shared<rpc::TailSink>(std::move(sink));
    return std::shared_ptr<void>(sink_);
  }
  MemorySource& of(const CallContext& ctx) {
    const auto found = tenants.find(ctx.tenant);
    return found == tenants.end() ? data : found->second;
  }
  // Hands entries to the last tail; false when nobody tails any more.
  bool emit(const model::LabelsPtr& labels, const std::vector<rpc::TailEntry>& entries) {
    if (!sink_ || sink_.use_count() == 1) return false;
    (*sink_)(labels, entries);
    return true;
  }

 private:
  std::shared_ptr<rpc::TailSink> sink_;
};

class FakeStore final : public rpc::StoreClient {
 public:
  MemorySource data;
  std::vector<std::string>* calls = nullptr;

  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override {
    if (calls) calls->push_back("store");
    return data.select(ctx, request);
  }
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override { return series_of(data, ctx, request); }
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override { return volumes_of(data, ctx, request); }
  Result<std::vector<std::string>> label_names(const CallContext& ctx, const rpc::SelectRequest& request) override {
    std::set<std::string> names;
    for (const auto& labels : series_of(data, ctx, request))
      for (const model::Label& label : labels->labels.pairs()) names.insert(label.name);
    return std::vector<std::string>(names.begin(), names.end());
  }
  Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) override {
    std::set<std::string> values;
    for (const auto& labels : series_of(data, ctx, request))
      if (labels->labels.has(name)) values.emplace(labels->labels.get(name));
    return std::vector<std::string>(values.begin(), values.end());
  }
};

}  // namespace skald::testing
