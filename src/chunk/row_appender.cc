#include "chunk/row_appender.h"

#include <algorithm>

#include "skald/chunk/builder.h"

namespace skald::chunk {
namespace {

constexpr std::uint64_t kCellsMax = 4ULL << 20;   // rows x names of structured metadata: 64 MiB of views

}  // namespace

std::uint32_t RowAppender::fit(const Columns& source, std::uint32_t begin, std::uint32_t end) const {
  if (columns_.rows >= rows_max_ || columns_.text_bytes >= raw_bytes_target_) return begin;
  if ((columns_.metadata.size() + source.metadata.size()) * (columns_.rows + std::uint64_t{1}) > kCellsMax && columns_.rows > 0) return begin;
  end = std::min<std::uint32_t>(end, begin + (rows_max_ - columns_.rows));
  const std::uint64_t room = raw_bytes_target_ - columns_.text_bytes;
  const auto first = source.line_offsets.begin() + begin;
  const auto last = source.line_offsets.begin() + end;
  const auto cut = std::upper_bound(first, last + 1, source.line_offsets[begin] + room);
  const auto fitting = static_cast<std::uint32_t>(cut - first) - 1;   // rows that end within the room
  return begin + std::max<std::uint32_t>(fitting, columns_.rows == 0 ? 1 : 0);
}

std::size_t RowAppender::column_of(const std::string& name) {
  for (std::size_t i = 0; i < columns_.metadata.size(); ++i) {
    if (columns_.metadata[i].name == name) return i;
  }
  columns_.metadata.push_back({name, std::vector<std::string_view>(columns_.rows)});
  return columns_.metadata.size() - 1;
}

void RowAppender::append(const Columns& source, std::uint32_t begin, std::uint32_t end) {
  const std::uint32_t rows = end - begin;
  if (columns_.line_offsets.empty()) columns_.line_offsets.push_back(0);
  columns_.timestamps_ns.insert(columns_.timestamps_ns.end(), source.timestamps_ns.begin() + begin, source.timestamps_ns.begin() + end);
  if (!source.levels.empty()) {
    columns_.levels.resize(columns_.rows, 0);
    columns_.levels.insert(columns_.levels.end(), source.levels.begin() + begin, source.levels.begin() + end);
  } else if (!columns_.levels.empty()) {
    columns_.levels.resize(columns_.rows + rows, 0);
  }
  const std::uint32_t from = source.line_offsets[begin];
  const auto shift = static_cast<std::uint32_t>(columns_.text_bytes);
  for (std::uint32_t row = begin; row < end; ++row) columns_.line_offsets.push_back(source.line_offsets[row + 1] - from + shift);
  columns_.text.append(source.text, from, source.line_offsets[end] - from);
  columns_.text_bytes = columns_.text.size();
  for (const MetadataColumn& column : source.metadata) {
    const auto first = column.values.begin() + begin;
    const auto last = column.values.begin() + end;
    if (std::all_of(first, last, [](std::string_view v) { return v.data() == nullptr; })) continue;
    MetadataColumn& target = columns_.metadata[column_of(column.name)];
    target.values.insert(target.values.end(), first, last);
  }
  columns_.rows += rows;
  for (MetadataColumn& column : columns_.metadata) column.values.resize(columns_.rows);
}

Columns RowAppender::take() {
  Columns taken = std::move(columns_);
  columns_ = Columns();
  return taken;
}

}  // namespace skald::chunk
