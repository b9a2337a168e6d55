// Rows as the engine gets them: blocks in memory, encoded chunks, group chunks, copies in overlapping sources.
#pragma once

#include "engine/eval_fixture.h"
#include "naive_row.h"
#include "skald/chunk/builder.h"
#include "skald/chunk/reader.h"

namespace skald::differential {

enum class Layout { kOneBlock, kBlocks, kChunks, kGroupChunk, kCopies, kScattered };
inline constexpr const char* kLayoutNames[] = {"one block", "blocks", "chunks", "group chunk", "copies", "scattered"};

class RowSource final : public engine::Source {
 public:
  RowSource(const std::vector<Row>& rows, Layout layout, std::size_t rows_per_block, Random& random) {
    std::map<std::size_t, Entries> streams;
    std::map<std::size_t, model::LabelsPtr> labels;
    for (const Row& row : rows) {
      engine::testing::Entry entry{row.ts_ns, row.line, {}, model::Level::kNone};
      for (const auto& [name, value] : row.metadata) entry.metadata.push_back({name, value});
      for (std::uint8_t level = 1; level < model::kLevelCount; ++level)
        if (model::level_text(static_cast<model::Level>(level)) == row.level) entry.level = static_cast<model::Level>(level);
      streams[row.stream].push_back(std::move(entry));
      std::vector<model::Label> pairs;
      for (const auto& [name, value] : row.labels) pairs.push_back({name, value});
      labels[row.stream] = model::intern(model::Labels::from_pairs(std::move(pairs)));
    }
    std::vector<chunk::StreamRows> group;
    for (auto& [id, entries] : streams) {
      std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.ts < b.ts; });
      chunk::StreamData& data = streams_.emplace_back();
      data.labels = labels[id];
      switch (layout) {
        case Layout::kOneBlock: in_memory(data, entries, 1, entries.size()); break;
        case Layout::kBlocks: in_memory(data, entries, 1, rows_per_block); break;
        case Layout::kChunks: encoded(data, entries, 2, rows_per_block); break;
        case Layout::kGroupChunk: group.push_back({labels[id], columns(entries)}); break;
        case Layout::kCopies: {
          in_memory(data, entries, 1, rows_per_block);
          Entries some(entries.begin() + static_cast<std::ptrdiff_t>(random.next_u64() % entries.size()), entries.end());
          encoded(data, some, 2, 1 + rows_per_block / 2);
          if (random.next_u64() % 2) in_memory(data, entries, 3, entries.size());
          break;
        }
        case Layout::kScattered: {
          std::map<std::uint64_t, Entries> parts;
          for (const auto& entry : entries) {
            const std::uint64_t place = random.next_u64() % 4;
            parts[place % 3].push_back(entry);
            if (place == 3) parts[1].push_back(entry);
          }
          for (const auto& [place, part] : parts) {
            if (place == 1) encoded(data, part, 10 + place, rows_per_block);
            else in_memory(data, part, 10 + place, rows_per_block);
          }
        }
      }
      std::stable_sort(data.blocks.begin(), data.blocks.end(), [](const auto& a, const auto& b) { return a.min_ts_ns < b.min_ts_ns; });
    }
    if (!group.empty()) grouped(std::move(group));
  }

  Result<chunk::SelectResult> select(const CallContext&, const rpc::SelectRequest& request) override {
    chunk::SelectResult result;
    for (const chunk::StreamData& stream : streams_) {
      if (!model::matches_all(request.matchers, stream.labels->labels)) continue;
      chunk::StreamData found{stream.labels, {}};
      for (const chunk::BlockSlice& slice : stream.blocks)
        if (slice.max_ts_ns >= request.start_ns && slice.min_ts_ns <= request.end_ns) found.blocks.push_back(slice);
      if (!found.blocks.empty()) result.streams.push_back(std::move(found));
    }
    return result;
  }

  engine::Deletions deletions(const std::string&) override { return hidden; }
  engine::Deletions hidden;

 private:
  using Entries = std::vector<engine::testing::Entry>;
  std::shared_ptr<const chunk::Columns> columns(const Entries& entries) {
    kept_.push_back(std::make_unique<engine::testing::MemoryBlock>(entries, &loads_, &asked_));   // metadata views point into it
    return *kept_.back()->load(chunk::kAllColumns, CallContext{});
  }
  static std::vector<Entries> cut(const Entries& entries, std::size_t rows_per_block) {
    std::vector<Entries> out;
    for (std::size_t at = 0; at < entries.size(); at += rows_per_block)
      out.emplace_back(entries.begin() + static_cast<std::ptrdiff_t>(at), entries.begin() + static_cast<std::ptrdiff_t>(std::min(at + rows_per_block, entries.size())));
    return out;
  }
  void add_slice(chunk::StreamData& data, std::shared_ptr<const chunk::Block> block, std::uint32_t first, std::uint32_t rows, std::int64_t min_ts, std::int64_t max_ts, std::uint64_t raw, std::uint64_t source, bool ingester) {
    chunk::BlockSlice slice;
    slice.block = std::move(block);
    slice.first_row = first;
    slice.rows = rows;
    slice.min_ts_ns = min_ts;
    slice.max_ts_ns = max_ts;
    slice.raw_bytes = raw;
    slice.source_id = source;
    slice.from_ingester = ingester;
    data.blocks.push_back(std::move(slice));
  }
  void in_memory(chunk::StreamData& data, const Entries& entries, std::uint64_t source, std::size_t rows_per_block) {
    for (const Entries& part : cut(entries, rows_per_block)) {
      std::uint64_t raw = 0;
      for (const auto& e : part) raw += e.line.size();
      add_slice(data, std::make_shared<engine::testing::MemoryBlock>(part, &loads_, &asked_), 0, static_cast<std::uint32_t>(part.size()), part.front().ts, part.back().ts, raw, source, true);
    }
  }
  void encoded(chunk::StreamData& data, const Entries& entries, std::uint64_t source, std::size_t rows_per_block) {
    std::vector<std::shared_ptr<const chunk::Columns>> blocks;
    for (const Entries& part : cut(entries, rows_per_block)) blocks.push_back(columns(part));
    chunk::BuiltChunk built = chunk::build_chunk(*data.labels, blocks, {}).value();
    auto reader = chunk::ChunkReader::open(std::make_shared<const std::string>(std::move(built.bytes))).value();
    for (std::size_t i = 0; i < reader->blocks().size(); ++i) {
      const chunk::BlockSummary& s = reader->blocks()[i];
      add_slice(data, reader->block(i), 0, s.rows, s.min_ts_ns, s.max_ts_ns, s.raw_bytes, source, false);
    }
    readers_.push_back(std::move(reader));
  }
  void grouped(std::vector<chunk::StreamRows> group) {
    chunk::BuiltChunk built = chunk::build_group_chunk(std::move(group), {}).value();
    auto reader = chunk::ChunkReader::open(std::make_shared<const std::string>(std::move(built.bytes))).value();
    for (chunk::StreamData& data : streams_) {
      for (const chunk::GroupMember& member : reader->meta().members) {
        if (member.stream_hash != data.labels->hash) continue;
        for (std::size_t i = 0; i < reader->blocks().size(); ++i) {
          const chunk::BlockSummary& s = reader->blocks()[i];
          const std::uint32_t first = std::max(s.first_row, member.first_row), last = std::min(s.first_row + s.rows, member.first_row + member.rows);
          if (first < last) add_slice(data, reader->block(i), first - s.first_row, last - first, member.min_ts_ns, member.max_ts_ns, member.raw_bytes, 2, false);
        }
      }
    }
    readers_.push_back(std::move(reader));
  }

  std::vector<chunk::StreamData> streams_;
  std::vector<std::shared_ptr<chunk::ChunkReader>> readers_;
  std::vector<std::unique_ptr<engine::testing::MemoryBlock>> kept_;
  std::uint64_t loads_ = 0;
  std::uint8_t asked_ = 0;
};

}  // namespace skald::differential
