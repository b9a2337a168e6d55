// Rows for chunk tests: plain structs, and Columns made from them.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "skald/base/random.h"
#include "skald/chunk/block.h"
#include "skald/chunk/builder.h"
#include "skald/model/labels.h"

namespace skald::chunk::testing_rows {

struct Row {
  std::int64_t ts_ns = 0;
  std::string line;
  std::uint8_t level = 0;
  std::map<std::string, std::string> metadata;
  auto operator<=>(const Row&) const = default;
};

inline std::shared_ptr<const Columns> to_columns(const std::vector<Row>& rows) {
  auto columns = std::make_shared<Columns>();
  auto owned = std::make_shared<std::vector<Row>>(rows);
  columns->keep_alive.push_back(owned);
  columns->rows = static_cast<std::uint32_t>(rows.size());
  columns->line_offsets.push_back(0);
  bool levels = false;
  std::map<std::string, std::size_t> names;
  for (const Row& row : rows) {
    levels |= row.level != 0;
    for (const auto& [name, value] : row.metadata) {
      if (names.emplace(name, names.size()).second) columns->metadata.push_back({name, std::vector<std::string_view>(rows.size())});
    }
  }
  for (std::size_t i = 0; i < owned->size(); ++i) {
    const Row& row = (*owned)[i];
    columns->timestamps_ns.push_back(row.ts_ns);
    if (levels) columns->levels.push_back(row.level);
    columns->text += row.line;
    columns->text += '\n';
    columns->line_offsets.push_back(static_cast<std::uint32_t>(columns->text.size()));
    for (const auto& [name, value] : row.metadata) columns->metadata[names[name]].values[i] = value;
  }
  columns->text_bytes = columns->text.size();
  columns->text.reserve(columns->text_bytes + kBufferSlack);
  return columns;
}

inline std::vector<Row> to_rows(const Columns& columns, std::uint32_t begin = 0, std::uint32_t end = ~0U) {
  std::vector<Row> rows;
  for (std::uint32_t i = begin; i < std::min(end, columns.rows); ++i) {
    Row row;
    row.ts_ns = columns.timestamps_ns[i];
    row.line = columns.line(i);
    row.level = columns.levels.empty() ? 0 : columns.levels[i];
    for (const MetadataColumn& column : columns.metadata) {
      if (column.values[i].data() != nullptr) row.metadata[column.name] = column.values[i];
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

inline constexpr std::int64_t kShardStart = 1'795'154'400'000'000'000;   // 2026-11-20T06:00:00Z

inline std::string random_hex(SeededRandom& random, std::size_t digits) {
  std::string text(digits, '0');
  for (char& c : text) c = "0123456789abcdef"[random.next_u64() % 16];
  return text;
}

// Rows in the shapes that have broken log stores: NUL and newline inside lines, empty lines, invalid UTF-8, equal and
// uneven times, metadata everywhere, nowhere and now and then.
inline std::vector<Row> random_rows(SeededRandom& random, std::size_t count, std::int64_t begin_ns = kShardStart, std::int64_t span_ns = kTimeShardNs - 1) {
  const std::uint64_t time_shape = random.next_u64() % 5;
  const std::uint64_t metadata_shape = random.next_u64() % 4;
  const std::uint64_t level_shape = random.next_u64() % 4;
  const std::uint64_t line_shape = random.next_u64() % 5;
  static const std::string kPool[] = {"GET /api/v1/users", "connection reset", std::string("nul\0inside", 10), "two\nlines\n",
                                      "\xff\xfe broken \xc3", "", "level=info msg=\"done\" dur=12ms", "\n"};
  std::vector<Row> rows(count);
  const std::int64_t unit = time_shape == 0 ? 1 : time_shape == 1 ? 1'000'000 : time_shape == 2 ? 1'000'000'000 : 1'000;
  std::vector<std::int64_t> times(count);
  for (auto& ts : times) {
    ts = time_shape == 4 ? begin_ns
                         : begin_ns + static_cast<std::int64_t>(random.next_u64() % static_cast<std::uint64_t>(span_ns)) / unit * unit;
  }
  std::sort(times.begin(), times.end());
  for (std::size_t i = 0; i < count; ++i) {
    Row& row = rows[i];
    row.ts_ns = times[i];
    if (line_shape == 0) row.line = "same length";
    else row.line = kPool[random.next_u64() % std::size(kPool)] + (line_shape > 2 ? random_hex(random, random.next_u64() % 40) : "");
    if (level_shape == 1) row.level = 4;
    if (level_shape == 2) row.level = static_cast<std::uint8_t>(random.next_u64() % 9);
    if (level_shape == 3) row.level = i < count / 2 ? 3 : 6;
    if (metadata_shape == 0) continue;
    row.metadata["cluster"] = "eu-west-1";
    row.metadata["pod"] = "pod-" + std::to_string(random.next_u64() % 7);
    row.metadata["trace_id"] = random_hex(random, 32);
    row.metadata["odd_id"] = random_hex(random, 9);
    row.metadata["uuid"] = random_hex(random, 8) + "-" + random_hex(random, 4) + "-" + random_hex(random, 4) + "-" + random_hex(random, 4) + "-" + random_hex(random, 12);
    row.metadata["span"] = "span " + std::to_string(random.next_u64());
    row.metadata["user"] = "u" + std::to_string(random.next_u64() % (count / 3 + 1));
    // The line repeats a value, as most services log their trace id.
    if (line_shape == 4 && random.next_u64() % 4 != 0) row.line = "trace=" + row.metadata["trace_id"] + " " + row.line;
    if (line_shape == 3 && i % 5 == 0) row.line += row.metadata["uuid"] + row.metadata["uuid"];
    if (metadata_shape == 2 && i % 3 == 0) row.metadata["sparse"] = std::string(random.next_u64() % 5, 'x');
    if (metadata_shape == 3 && i % 2 == 0) {
      row.metadata.clear();
      row.metadata["detected_level"] = "weird";
      row.level = 0;
    }
  }
  return rows;
}

inline model::LabelsPtr labels_of(const std::string& app) {
  return model::intern(model::Labels::from_pairs({{"app", app}, {"env", "prod"}}));
}

}  // namespace skald::chunk::testing_rows
