// An ingester that keeps what it is given in a vector.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "skald/rpc/ingester_client.h"

namespace skald::rpc::testing {

struct Row {
  std::int64_t timestamp_ns = 0;
  std::string line;
  std::vector<model::Label> metadata;
  model::Level level = model::Level::kNone;
  auto operator<=>(const Row&) const = default;
};

inline model::LabelsPtr labels(std::vector<model::Label> pairs) { return model::intern(model::Labels::from_pairs(std::move(pairs))); }

inline std::shared_ptr<const chunk::Columns> columns_of(const std::vector<Row>& rows) {
  auto out = std::make_shared<chunk::Columns>();
  out->rows = static_cast<std::uint32_t>(rows.size());
  out->line_offsets.push_back(0);
  std::map<std::string, std::size_t> columns;
  auto values = std::make_shared<std::vector<Row>>(rows);
  out->keep_alive.push_back(values);
  for (std::size_t i = 0; i < values->size(); ++i) {
    const Row& row = (*values)[i];
    out->timestamps_ns.push_back(row.timestamp_ns);
    out->levels.push_back(static_cast<std::uint8_t>(row.level));
    out->text += row.line + "\n";
    out->line_offsets.push_back(static_cast<std::uint32_t>(out->text.size()));
    for (const model::Label& pair : row.metadata) {
      const auto [at, fresh] = columns.emplace(pair.name, out->metadata.size());
      if (fresh) out->metadata.push_back({pair.name, std::vector<std::string_view>(rows.size())});
      out->metadata[at->second].values[i] = pair.value;
    }
  }
  out->text_bytes = out->text.size();
  out->text.append(kBufferSlack, '\0');
  return out;
}

class FakeBlock final : public chunk::Block {
 public:
  explicit FakeBlock(std::shared_ptr<const chunk::Columns> columns) : columns_(std::move(columns)) {}
  Result<std::shared_ptr<const chunk::Columns>> load(chunk::ColumnMask, const CallContext&) const override {
    ++loads;
    return columns_;
  }
  mutable std::atomic<int> loads{0};

 private:
  const std::shared_ptr<const chunk::Columns> columns_;
};

class FakeIngester final : public IngesterClient {
 public:
  void push(const CallContext&, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) override {
    ++pushes;
    if (fail) return done(*fail);
    model::PushOutcome outcome;
    {
      const std::lock_guard lock(mutex);
      received_whole = batch->received_body != nullptr;
      for (const model::PushStream& stream : batch->streams) {
        auto& [kept, rows] = streams[batch->tenant + stream.labels->text];
        kept = stream.labels;
        std::vector<TailEntry> live;
        for (std::uint32_t i = stream.entries_begin; i < stream.entries_end; ++i) {
          const model::PushEntry& entry = batch->entries[i];
          Row row{entry.timestamp_ns, std::string(entry.line), {}, entry.level};
          for (std::uint32_t m = entry.metadata_begin; m < entry.metadata_end; ++m)
            row.metadata.push_back({std::string(batch->metadata[m].name), std::string(batch->metadata[m].value)});
          live.push_back({row.timestamp_ns, row.line, row.metadata});
          rows.push_back(std::move(row));
          ++outcome.accepted;
        }
        for (const TailSink& sink : tails) sink(stream.labels, live);
      }
    }
    if (refuse) outcome = {0, outcome.accepted, *refuse};
    done(std::move(outcome));
  }

  Result<chunk::SelectResult> select(const CallContext& ctx, const SelectRequest& request) override {
    if (fail) return *fail;
    chunk::SelectResult out;
    const std::lock_guard lock(mutex);
    for (auto& [key, stream] : streams) {
      if (!key.starts_with(ctx.tenant) || !model::matches_all(request.matchers, stream.first->labels)) continue;
      std::vector<Row> rows;
      for (const Row& row : stream.second)
        if (row.timestamp_ns >= request.start_ns && row.timestamp_ns <= request.end_ns) rows.push_back(row);
      if (rows.empty()) continue;
      std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.timestamp_ns < b.timestamp_ns; });
      chunk::StreamData data{stream.first, {}};
      for (std::size_t at = 0; at < rows.size(); at += block_rows) {
        const std::vector<Row> part(rows.begin() + static_cast<std::ptrdiff_t>(at), rows.begin() + static_cast<std::ptrdiff_t>(std::min(rows.size(), at + block_rows)));
        std::uint64_t bytes = 0;
        for (const Row& row : part) bytes += row.line.size();
        auto block = std::make_shared<FakeBlock>(columns_of(part));
        blocks.push_back(block);
        data.blocks.push_back({block, 0, static_cast<std::uint32_t>(part.size()), part.front().timestamp_ns, part.back().timestamp_ns, bytes, ++sources, true,
                               first_content_id == 0 ? 0 : first_content_id + at});
      }
      out.streams.push_back(std::move(data));
      ++out.stats.ingester_chunks_matched;
    }
    return out;
  }
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const SelectRequest& request) override {
    SKALD_TRY(const chunk::SelectResult found, select(ctx, request));
    std::vector<model::LabelsPtr> out;
    for (const auto& stream : found.streams) out.push_back(stream.labels);
    return out;
  }
  Result<std::vector<SeriesVolume>> volumes(const CallContext& ctx, const SelectRequest& request) override {
    SKALD_TRY(const chunk::SelectResult found, select(ctx, request));
    std::vector<SeriesVolume> out;
    for (const auto& stream : found.streams) {
      SeriesVolume& volume = out.emplace_back(SeriesVolume{stream.labels, 0, 0, 1, {}});
      for (const auto& block : stream.blocks) volume.bytes += block.raw_bytes, volume.entries += block.rows;
    }
    return out;
  }
  Result<std::shared_ptr<void>> tail(const CallContext&, std::vector<model::Matcher>, TailSink sink) override {
    const std::lock_guard lock(mutex);
    tails.push_back(std::move(sink));
    return std::shared_ptr<void>(nullptr, [this](void*) {
      const std::lock_guard l(mutex);
      tails.clear();
    });
  }

  std::vector<Row> rows_of(const std::string& tenant, const std::string& text) {
    const std::lock_guard lock(mutex);
    return streams[tenant + text].second;
  }

  std::optional<Error> fail, refuse;
  std::atomic<int> pushes{0};
  bool received_whole = false;
  std::size_t block_rows = 1000;
  std::uint64_t first_content_id = 0;   // of the block at row 0; 0: no block says what it holds
  std::mutex mutex;
  std::map<std::string, std::pair<model::LabelsPtr, std::vector<Row>>> streams;
  std::vector<TailSink> tails;
  std::vector<std::shared_ptr<FakeBlock>> blocks;
  std::uint64_t sources = 0;
};

struct StreamRows {
  model::LabelsPtr labels;
  std::vector<Row> rows;
};

inline std::shared_ptr<const model::PushBatch> batch_of(const std::string& tenant, const std::vector<StreamRows>& streams) {
  auto batch = std::make_shared<model::PushBatch>();
  batch->tenant = tenant;
  for (const StreamRows& stream : streams) {
    const auto begin = static_cast<std::uint32_t>(batch->entries.size());
    for (const Row& row : stream.rows) {
      model::PushEntry entry;
      entry.timestamp_ns = row.timestamp_ns;
      entry.line = batch->owned.emplace_back(row.line);
      entry.level = row.level;
      entry.metadata_begin = static_cast<std::uint32_t>(batch->metadata.size());
      for (const model::Label& pair : row.metadata) batch->metadata.push_back({batch->owned.emplace_back(pair.name), batch->owned.emplace_back(pair.value)});
      entry.metadata_end = static_cast<std::uint32_t>(batch->metadata.size());
      batch->entries.push_back(entry);
    }
    batch->streams.push_back({stream.labels, begin, static_cast<std::uint32_t>(batch->entries.size())});
  }
  return batch;
}

inline std::vector<Row> rows_in(const chunk::SelectResult& result, const std::string& text) {
  std::vector<Row> out;
  for (const auto& stream : result.streams) {
    if (stream.labels->text != text) continue;
    for (const chunk::BlockSlice& slice : stream.blocks) {
      const auto columns = slice.block->load(chunk::kAllColumns, {}).value();
      for (std::uint32_t row = slice.first_row; row < slice.first_row + slice.rows; ++row) {
        Row one{columns->timestamps_ns[row], std::string(columns->line(row)), {}, columns->levels.empty() ? model::Level::kNone : static_cast<model::Level>(columns->levels[row])};
        for (const auto& column : columns->metadata)
          if (column.values[row].data() != nullptr) one.metadata.push_back({column.name, std::string(column.values[row])});
        out.push_back(std::move(one));
      }
    }
  }
  return out;
}

}  // namespace skald::rpc::testing
