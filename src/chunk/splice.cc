#include "chunk/splice.h"

#include <algorithm>
#include <cstring>

#include "skald/codec/compress.h"

namespace skald::chunk {
namespace {

constexpr std::size_t kSampleRows = 64;
constexpr std::size_t kValueBytesMin = 12;   // shorter ones compress well enough as they are

const char* find_in(std::string_view line, std::string_view value) {
  return static_cast<const char*>(::memmem(line.data(), line.size(), value.data(), value.size()));
}

// Bytes a sample of the rows would save; spread over the block, since neighbours resemble each other.
std::size_t sample_savings(const Columns& columns, const MetadataColumn& column) {
  const std::uint32_t step = std::max<std::uint32_t>(1, columns.rows / kSampleRows);
  std::size_t saved = 0;
  for (std::uint32_t row = 0; row < columns.rows; row += step) {
    const std::string_view value = column.values[row];
    if (value.size() >= kValueBytesMin && find_in(columns.line(row), value) != nullptr) saved += value.size() - 1;
  }
  return saved;
}

std::optional<std::uint8_t> unused_byte(ByteView text) {
  // Control characters first: they are rarest in logs.
  for (const unsigned byte : {1U, 2U, 3U, 4U, 5U, 6U, 0xFFU, 0xFEU}) {
    if (std::memchr(text.data(), static_cast<int>(byte), text.size()) == nullptr) return static_cast<std::uint8_t>(byte);
  }
  return std::nullopt;
}

}  // namespace

std::optional<Splice> splice_lines(const Columns& columns) {
  std::size_t best_saved = 0;
  Splice splice;
  for (std::size_t i = 0; i < columns.metadata.size(); ++i) {
    const MetadataColumn& column = columns.metadata[i];
    // A constant costs next to nothing in both places.
    if (columns.rows > 1 && column.values.front().data() != nullptr && column.values.front() == column.values.back() && column.values.front() == column.values[columns.rows / 2]) continue;
    const std::size_t saved = sample_savings(columns, column);
    if (saved > best_saved) {
      best_saved = saved;
      splice.column = i;
    }
  }
  const std::size_t sampled_rows = std::min<std::size_t>(columns.rows, kSampleRows);
  if (best_saved < sampled_rows * 4) return std::nullopt;   // four bytes a row, or splicing is not worth the reader's work
  const ByteView text = ByteView(columns.text).substr(0, columns.text_bytes);
  const std::optional<std::uint8_t> marker = unused_byte(text);
  if (!marker) return std::nullopt;
  splice.marker = *marker;
  splice.text.reserve(text.size());
  const MetadataColumn& column = columns.metadata[splice.column];
  const char* copied = text.data();
  for (std::uint32_t row = 0; row < columns.rows; ++row) {
    const std::string_view value = column.values[row];
    if (value.size() < kValueBytesMin) continue;
    const char* found = find_in(columns.line(row), value);
    if (found == nullptr) continue;
    splice.text.append(copied, static_cast<std::size_t>(found - copied));
    splice.text.push_back(static_cast<char>(splice.marker));
    copied = found + value.size();
  }
  splice.text.append(copied, static_cast<std::size_t>(text.data() + text.size() - copied));
  return splice;
}

bool unsplice_lines(ByteView stored, char marker, const MetadataColumn& values, Columns& columns) {
  columns.text = codec::make_buffer(columns.text_bytes);
  char* to = columns.text.data();
  char* const to_end = to + columns.text_bytes;
  const char* from = stored.data();
  const char* const from_end = from + stored.size();
  std::uint32_t row = 0;
  while (true) {
    const void* hit = from == from_end ? nullptr : std::memchr(from, static_cast<unsigned char>(marker), static_cast<std::size_t>(from_end - from));
    const char* const at = hit == nullptr ? from_end : static_cast<const char*>(hit);
    const auto plain = static_cast<std::size_t>(at - from);
    if (plain > static_cast<std::size_t>(to_end - to)) return false;
    if (plain > 0) std::memcpy(to, from, plain);
    to += plain;
    if (hit == nullptr) break;
    // What was written so far is the real text: the row whose line reaches beyond it is the marker's.
    const auto position = static_cast<std::uint64_t>(to - columns.text.data());
    while (row < columns.rows && columns.line_offsets[row + 1] <= position) ++row;
    if (row == columns.rows) return false;
    const std::string_view value = values.values[row];
    if (value.empty() || value.size() > static_cast<std::size_t>(to_end - to) || position + value.size() >= columns.line_offsets[row + 1]) return false;
    std::memcpy(to, value.data(), value.size());
    to += value.size();
    from = at + 1;
  }
  return to == to_end;
}

}  // namespace skald::chunk
