#include "skald/chunk/same_entry.h"

namespace skald::chunk {
namespace {

std::string_view metadata_value(const Columns& columns, std::string_view name, std::uint32_t row) {
  for (const MetadataColumn& column : columns.metadata)
    if (column.name == name) return column.values[row];
  return {};
}

// Every value `a` has in row `i`, `b` has in row `j`.
bool metadata_within(const Columns& a, std::uint32_t i, const Columns& b, std::uint32_t j) {
  for (const MetadataColumn& column : a.metadata) {
    const std::string_view value = column.values[i];
    if (value.data() == nullptr) continue;
    const std::string_view other = metadata_value(b, column.name, j);
    if (other.data() == nullptr || other != value) return false;
  }
  return true;
}

std::uint8_t level_of(const Columns& columns, std::uint32_t row) { return columns.levels.empty() ? 0 : columns.levels[row]; }

}  // namespace

bool same_entry(const Columns& a, std::uint32_t row_a, const Columns& b, std::uint32_t row_b) {
  return a.line(row_a) == b.line(row_b) && level_of(a, row_a) == level_of(b, row_b) && metadata_within(a, row_a, b, row_b) &&
         metadata_within(b, row_b, a, row_a);
}

}  // namespace skald::chunk
