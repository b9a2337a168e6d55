#include "chunk/content_id.h"

#include <algorithm>
#include <array>

#include "skald/codec/hash.h"
#include "skald/model/level.h"

namespace skald::chunk {

std::uint64_t compute_content_id(const Columns& columns) {
  std::vector<std::uint64_t> rows(columns.rows);
  for (std::uint32_t row = 0; row < columns.rows; ++row) {
    rows[row] = codec::xxh3_words(static_cast<std::uint64_t>(columns.timestamps_ns[row]), codec::xxh3_64(columns.line(row)));
  }
  // Pairs are folded in by name, bytewise, whatever order the columns have.
  std::vector<const MetadataColumn*> by_name;
  for (const MetadataColumn& column : columns.metadata) by_name.push_back(&column);
  std::sort(by_name.begin(), by_name.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  bool levels_done = columns.levels.empty();
  const auto fold_levels = [&] {
    levels_done = true;
    const std::uint64_t name = codec::xxh3_64(model::kDetectedLevelName);
    std::array<std::uint64_t, model::kLevelCount> words{};
    for (std::uint8_t level = 1; level < model::kLevelCount; ++level) {
      words[level] = codec::xxh3_64(model::level_text(static_cast<model::Level>(level)));
    }
    for (std::uint32_t row = 0; row < columns.rows; ++row) {
      const std::uint8_t level = columns.levels[row];
      if (level != 0) rows[row] = codec::xxh3_words(rows[row], name, words[level]);
    }
  };
  for (const MetadataColumn* column : by_name) {
    if (!levels_done && column->name > model::kDetectedLevelName) fold_levels();
    const std::uint64_t name = codec::xxh3_64(column->name);
    for (std::uint32_t row = 0; row < columns.rows; ++row) {
      const std::string_view value = column->values[row];
      if (value.data() != nullptr) rows[row] = codec::xxh3_words(rows[row], name, codec::xxh3_64(value));
    }
  }
  if (!levels_done) fold_levels();
  std::uint64_t sum = 0;
  for (const std::uint64_t row : rows) sum += row;
  return sum;
}

std::uint64_t compute_metadata_bytes(const Columns& columns) {
  std::uint64_t bytes = 0;
  for (const MetadataColumn& column : columns.metadata) {
    for (const std::string_view value : column.values) {
      if (value.data() != nullptr) bytes += column.name.size() + value.size();
    }
  }
  return bytes;
}

}  // namespace skald::chunk
