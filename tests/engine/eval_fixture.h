// A Source over lines in memory, and queries written as text.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "skald/base/random.h"
#include "skald/engine/engine.h"
#include "skald/logql/parser.h"
#include "skald/model/level.h"

namespace skald::engine::testing {

struct Entry {
  std::int64_t ts = 0;
  std::string line;
  std::vector<model::Label> metadata = {};
  model::Level level = model::Level::kNone;
};

class MemoryBlock final : public chunk::Block {
 public:
  MemoryBlock(std::vector<Entry> entries, std::uint64_t* loads, std::uint8_t* asked) : entries_(std::move(entries)), loads_(loads), asked_(asked) {
    columns_ = std::make_shared<chunk::Columns>();
    chunk::Columns& c = *columns_;
    c.rows = static_cast<std::uint32_t>(entries_.size());
    c.line_offsets.push_back(0);
    bool levels = false;
    for (std::uint32_t row = 0; row < entries_.size(); ++row) {
      const Entry& e = entries_[row];
      c.timestamps_ns.push_back(e.ts);
      c.text += e.line + '\n';
      c.line_offsets.push_back(static_cast<std::uint32_t>(c.text.size()));
      c.levels.push_back(static_cast<std::uint8_t>(e.level));
      levels = levels || e.level != model::Level::kNone;
      for (const model::Label& m : e.metadata) {
        auto it = std::find_if(c.metadata.begin(), c.metadata.end(), [&](const auto& column) { return column.name == m.name; });
        if (it == c.metadata.end()) it = c.metadata.insert(c.metadata.end(), {m.name, std::vector<std::string_view>(entries_.size())});
        it->values[row] = m.value;
      }
    }
    if (!levels) c.levels.clear();
    c.text_bytes = c.text.size();
    c.text.append(kBufferSlack, '\0');
  }
  Result<std::shared_ptr<const chunk::Columns>> load(chunk::ColumnMask need, const CallContext&) const override {
    __atomic_fetch_add(loads_, 1, __ATOMIC_RELAXED);
    __atomic_fetch_or(asked_, static_cast<std::uint8_t>(need), __ATOMIC_RELAXED);
    return std::shared_ptr<const chunk::Columns>(columns_);
  }

 private:
  std::vector<Entry> entries_;
  std::shared_ptr<chunk::Columns> columns_;
  std::uint64_t* loads_;
  std::uint8_t* asked_;
};

class MemorySource final : public Source {
 public:
  // Rows of one stream from one chunk, cut into blocks; `entries` in arrival order, sorted by time here.
  void add(const std::string& labels, std::vector<Entry> entries, std::uint64_t source_id = 1, std::size_t rows_per_block = 1000, bool from_ingester = true) {
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.ts < b.ts; });
    auto parsed = model::parse_label_text(labels);
    ASSERT_TRUE(parsed.ok());
    model::LabelsPtr interned = model::intern(model::Labels::from_pairs(*parsed));
    chunk::StreamData& stream = streams_[interned->text];
    if (!stream.labels) stream.labels = interned;
    for (std::size_t at = 0; at < entries.size(); at += rows_per_block) {
      std::vector<Entry> part(entries.begin() + static_cast<std::ptrdiff_t>(at),
                              entries.begin() + static_cast<std::ptrdiff_t>(std::min(at + rows_per_block, entries.size())));
      chunk::BlockSlice slice;
      slice.rows = static_cast<std::uint32_t>(part.size());
      slice.min_ts_ns = part.front().ts;
      slice.max_ts_ns = part.back().ts;
      for (const Entry& e : part) slice.raw_bytes += e.line.size();
      slice.source_id = source_id;
      slice.from_ingester = from_ingester;
      slice.block = std::make_shared<MemoryBlock>(std::move(part), &loads, &asked);
      stream.blocks.push_back(std::move(slice));
    }
    std::stable_sort(stream.blocks.begin(), stream.blocks.end(), [](const auto& a, const auto& b) { return a.min_ts_ns < b.min_ts_ns; });
  }

  // Streams that share one block, each with its rows in a row, as in a group chunk.
  void add_group(const std::vector<std::pair<std::string, std::vector<Entry>>>& members, std::uint64_t source_id = 1) {
    std::vector<Entry> rows;
    for (const auto& [labels, entries] : members) rows.insert(rows.end(), entries.begin(), entries.end());
    const auto block = std::make_shared<MemoryBlock>(std::move(rows), &loads, &asked);
    std::uint32_t first_row = 0;
    for (const auto& [labels, entries] : members) {
      auto parsed = model::parse_label_text(labels);
      ASSERT_TRUE(parsed.ok());
      model::LabelsPtr interned = model::intern(model::Labels::from_pairs(*parsed));
      chunk::StreamData& stream = streams_[interned->text];
      stream.labels = interned;
      chunk::BlockSlice slice;
      slice.block = block;
      slice.first_row = first_row;
      slice.rows = static_cast<std::uint32_t>(entries.size());
      slice.min_ts_ns = entries.front().ts;
      slice.max_ts_ns = entries.back().ts;
      slice.source_id = source_id;
      stream.blocks.push_back(slice);
      first_row += slice.rows;
    }
  }

  Result<chunk::SelectResult> select(const CallContext&, const rpc::SelectRequest& request) override {
    chunk::SelectResult result;
    for (const auto& [text, stream] : streams_) {
      if (!model::matches_all(request.matchers, stream.labels->labels)) continue;
      chunk::StreamData found;
      found.labels = stream.labels;
      for (const chunk::BlockSlice& slice : stream.blocks)
        if (slice.max_ts_ns >= request.start_ns && slice.min_ts_ns <= request.end_ns) found.blocks.push_back(slice);
      if (!found.blocks.empty()) result.streams.push_back(std::move(found));
    }
    return result;
  }

  Deletions deletions(const std::string&) override { return hidden; }

  Deletions hidden;          // delete requests
  std::uint64_t loads = 0;   // blocks loaded
  std::uint8_t asked = 0;    // columns asked for

 private:
  std::map<std::string, chunk::StreamData> streams_;
};

// Runs text queries; seconds since 1970 as doubles would hide nanoseconds, so times are in ns.
class EvalTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kSecond = 1'000'000'000;
  MemorySource source_;
  exec::Pool pool_{"test", 3};
  EngineLimits limits_;

  Result<QueryResult> run(const std::string& text, QueryParams params) {
    Result<logql::Query> query = logql::parse(text);
    if (!query.ok()) return query.error();
    Engine engine(source_, pool_);
    return engine.run(CallContext{}, *query, params, limits_);
  }
  Result<QueryResult> instant(const std::string& text, std::int64_t at_ns) {
    QueryParams params;
    params.instant = true;
    params.start_ns = params.end_ns = at_ns;
    return run(text, params);
  }
  Result<QueryResult> range(const std::string& text, std::int64_t start_ns, std::int64_t end_ns, std::int64_t step_ns) {
    QueryParams params;
    params.start_ns = start_ns;
    params.end_ns = end_ns;
    params.step_ns = step_ns;
    return run(text, params);
  }
  // "{a="b"}" → value; errors become {"error": …} so that tables read well.
  std::map<std::string, double> vector(const std::string& text, std::int64_t at_ns) {
    std::map<std::string, double> values;
    Result<QueryResult> result = instant(text, at_ns);
    if (!result.ok()) {
      ADD_FAILURE() << text << ": " << result.error().message();
      return values;
    }
    const auto* vector = std::get_if<VectorResult>(&result->data);
    if (!vector) {
      ADD_FAILURE() << text << ": not a vector";
      return values;
    }
    for (const Series& s : vector->series) values[s.labels.to_string()] = s.samples.at(0).value;
    return values;
  }
  std::string error(const std::string& text, std::int64_t at_ns) {
    Result<QueryResult> result = instant(text, at_ns);
    return result.ok() ? "" : result.error().message();
  }
};

}  // namespace skald::engine::testing
