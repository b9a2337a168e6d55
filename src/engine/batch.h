// The rows a run works on. Stages narrow `selection`; rows are numbered 0..n ("frame rows") among those that passed the
// line filters in front, in block order.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "skald/chunk/block.h"
#include "engine/arena.h"
#include "engine/label_table.h"

namespace skald::engine {

using RowList = std::vector<std::uint32_t>;   // ascending frame rows

enum class RowError : std::uint8_t { kNone, kJson, kLogfmt, kLabelFilter, kTemplate, kSample };
std::string_view row_error_text(RowError error);   // the value of __error__

struct Batch {
  explicit Batch(LabelTable& table) : labels(table) {}

  LabelTable& labels;
  const chunk::Columns* columns = nullptr;
  RowList block_rows;                       // frame row → block row
  RowList selection;                        // survivors so far
  std::vector<std::string_view> lines;      // by frame row, once a stage has changed any line
  Arena arena;
  bool preserve_parser_errors = false;      // see Pipeline: errors named in `by` do not fail a query

  std::uint32_t rows() const { return static_cast<std::uint32_t>(block_rows.size()); }
  std::string_view line(std::uint32_t row) const { return lines.empty() ? columns->line(block_rows[row]) : lines[row]; }
  void set_line(std::uint32_t row, std::string_view line) {
    if (lines.empty()) {
      lines.resize(block_rows.size());
      for (const std::uint32_t selected : selection) lines[selected] = columns->line(block_rows[selected]);
    }
    lines[row] = line;
  }

  RowError error(std::uint32_t row) const { return errors_.empty() ? RowError::kNone : errors_[row]; }
  bool preserved(std::uint32_t row) const { return !preserved_.empty() && preserved_[row] != 0; }
  std::string_view error_details(std::uint32_t row) const {
    const std::string_view cell = details_.get(row);
    return is_present(cell) ? cell : std::string_view("", 0);
  }
  // `details` must outlive the run; empty: details of an earlier error stay.
  void set_error(std::uint32_t row, RowError error, std::string_view details) {
    if (errors_.empty()) errors_.resize(block_rows.size(), RowError::kNone);
    errors_[row] = error;
    if (!details.empty()) details_.set(row, details);
    if (!preserve_parser_errors) return;
    if (preserved_.empty()) preserved_.resize(block_rows.size(), 0);
    if (error == RowError::kJson || error == RowError::kLogfmt) preserved_[row] = 1;
  }
  void clear_error(std::uint32_t row) { if (!errors_.empty()) errors_[row] = RowError::kNone; }
  void clear_error_details(std::uint32_t row) { if (!error_details(row).empty()) details_.set(row, {kDeletedMark, 0}); }
  bool any_error() const { return !errors_.empty() || !details_.empty(); }

  void clear() {
    block_rows.clear();
    selection.clear();
    lines.clear();
    arena.clear();
    errors_.clear();
    preserved_.clear();
    details_.clear();
  }

 private:
  std::vector<RowError> errors_;            // empty: no row has one
  std::vector<std::uint8_t> preserved_;
  LabelColumn details_;
};

}  // namespace skald::engine
