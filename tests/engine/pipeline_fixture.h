// Runs a pipeline, written as LogQL, over rows written in a test.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "skald/engine/pipeline.h"
#include "skald/logql/parser.h"
#include "skald/model/level.h"

namespace skald::engine::test {

using LabelMap = std::map<std::string, std::string>;

struct Row {
  Row(std::string text, LabelMap meta = {}, model::Level row_level = model::Level::kNone)  // NOLINT: a line is a row
      : line(std::move(text)), metadata(std::move(meta)), level(row_level) {}
  Row(const char* text) : line(text) {}  // NOLINT
  std::string line;
  LabelMap metadata;
  model::Level level = model::Level::kNone;
};

// Row i has time (i + 1) seconds.
inline std::int64_t row_time_ns(std::size_t i) { return static_cast<std::int64_t>(i + 1) * 1'000'000'000; }

inline chunk::Columns make_columns(const std::vector<Row>& rows) {
  chunk::Columns columns;
  columns.rows = static_cast<std::uint32_t>(rows.size());
  columns.line_offsets.push_back(0);
  auto strings = std::make_shared<std::vector<LabelMap>>();
  bool levels = false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    columns.timestamps_ns.push_back(row_time_ns(i));
    columns.text += rows[i].line + "\n";
    columns.line_offsets.push_back(static_cast<std::uint32_t>(columns.text.size()));
    strings->push_back(rows[i].metadata);
    levels |= rows[i].level != model::Level::kNone;
  }
  columns.text_bytes = columns.text.size();
  columns.text.append(kBufferSlack, '\0');
  for (const Row& row : rows) {
    if (levels) columns.levels.push_back(static_cast<std::uint8_t>(row.level));
  }
  std::map<std::string, std::vector<std::string_view>> by_name;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const auto& [name, value] : (*strings)[i]) {
      auto& values = by_name[name];
      values.resize(rows.size());
      values[i] = value;
    }
  }
  for (auto& [name, values] : by_name) columns.metadata.push_back({name, values});
  columns.keep_alive.push_back(strings);
  return columns;
}

struct OutRow {
  std::string line;
  LabelMap labels;            // every label, whatever its category
  LabelMap parsed;            // those of category parsed
  double value = 0;
  bool fails = false;
  bool operator==(const OutRow&) const = default;
};

inline std::vector<logql::Stage> parse_stages(const std::string& stages) {
  auto query = logql::parse("{job=\"t\"} " + stages);
  EXPECT_TRUE(query.ok()) << stages << ": " << (query.ok() ? "" : query.error().message());
  return query.ok() ? query.value().log().stages : std::vector<logql::Stage>();
}

class PipelineTest : public ::testing::Test {
 protected:
  model::LabelsPtr stream = model::intern(model::Labels::from_pairs({{"app", "web"}, {"env", "prod"}}));
  PipelineOptions options;
  std::optional<logql::Grouping> grouping;
  bool stream_passes = true;

  std::vector<OutRow> run(const std::string& stages, const std::vector<Row>& rows) {
    return run_stages(parse_stages(stages), rows);
  }

  std::vector<OutRow> run_stages(const std::vector<logql::Stage>& stages, const std::vector<Row>& rows) {
    std::vector<OutRow> out;
    auto pipeline = Pipeline::compile(stages, options);
    EXPECT_TRUE(pipeline.ok()) << (pipeline.ok() ? "" : pipeline.error().message());
    if (!pipeline.ok()) return out;
    const chunk::Columns columns = make_columns(rows);
    auto runner = pipeline.value()->make_runner();
    stream_passes = runner->begin_stream(*stream);
    if (!stream_passes) return out;
    for (int turn = 0; turn < 2; ++turn) {   // the second turn runs with everything learned
      std::vector<OutRow> again;
      auto frame = runner->run(columns, 0, columns.rows, INT64_MIN, INT64_MAX, {});
      EXPECT_TRUE(frame.ok());
      LabelSetTable table;
      const auto ids = (*frame)->label_sets(table, grouping ? &*grouping : nullptr);
      for (std::uint32_t i = 0; i < (*frame)->size(); ++i) {
        OutRow& row = again.emplace_back();
        row.line = (*frame)->line(i);
        row.fails = (*frame)->has_error(i);
        if (options.unwrap) row.value = (*frame)->value(i);
        std::string previous;
        for (const ResultLabel& label : table.at(ids[i]).labels) {
          EXPECT_LT(previous, label.name) << "sorted, unique";
          previous = label.name;
          row.labels[label.name] = label.value;
          if (label.category == LabelCategory::kParsed) row.parsed[label.name] = label.value;
          if (!grouping && !options.unwrap) {
            EXPECT_EQ((*frame)->label(i, label.name), label.value);
          }
        }
      }
      if (turn == 1) {
        EXPECT_EQ(out, again);
      }
      out = std::move(again);
    }
    return out;
  }

  // Parsed labels of one line.
  LabelMap parse(const std::string& stages, const std::string& line) {
    const auto out = run(stages, {line});
    EXPECT_EQ(out.size(), 1U) << line;
    return out.empty() ? LabelMap() : out[0].parsed;
  }

  std::vector<std::string> lines(const std::string& stages, const std::vector<Row>& rows) {
    std::vector<std::string> kept;
    for (const OutRow& row : run(stages, rows)) kept.push_back(row.line);
    return kept;
  }
};

inline void PrintTo(const OutRow& row, std::ostream* out) {
  *out << "'" << row.line << "' {";
  for (const auto& [name, value] : row.labels) *out << name << "='" << value << "' ";
  *out << "} " << row.value << (row.fails ? " fails" : "");
}

}  // namespace skald::engine::test
