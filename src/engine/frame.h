// The result of one run(): the rows of a Batch that survived.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "skald/engine/pipeline.h"
#include "engine/batch.h"

namespace skald::engine {

class FrameImpl final : public Frame {
 public:
  // `unwrapped`: name of the label unwrapped, removed from sets that are not grouped `by`; empty: none.
  FrameImpl(Batch& batch, std::string unwrapped) : batch_(batch), unwrapped_(std::move(unwrapped)) {}

  std::uint32_t size() const override { return static_cast<std::uint32_t>(batch_.selection.size()); }
  std::int64_t timestamp_ns(std::uint32_t i) const override { return batch_.columns->timestamps_ns[batch_.block_rows[row(i)]]; }
  std::span<const std::int64_t> timestamps() override;
  std::uint32_t block_row(std::uint32_t i) const override { return batch_.block_rows[row(i)]; }
  std::string_view line(std::uint32_t i) const override { return batch_.line(row(i)); }
  bool has_error(std::uint32_t i) const override { return row_fails(row(i)) || !error_field(row(i)).empty(); }
  std::string_view error(std::uint32_t i) const override {
    const RowError error = batch_.error(row(i));
    return error != RowError::kNone ? row_error_text(error) : error_field(row(i));
  }
  std::string_view error_details(std::uint32_t i) const override { return batch_.error_details(row(i)); }
  double value(std::uint32_t i) const override { return values[i]; }
  std::span<const double> unwrapped() const override { return values; }
  std::span<const std::uint32_t> label_sets(LabelSetTable& table, const logql::Grouping* grouping) override;
  std::string_view label(std::uint32_t i, std::string_view name) const override;

  void begin_run() { error_field_ = nullptr; }
  std::vector<double> values;   // by frame position, with unwrap

 private:
  struct Found { std::string_view value; LabelCategory category; };
  std::uint32_t row(std::uint32_t i) const { return batch_.selection[i]; }
  bool row_fails(std::uint32_t at) const { return batch_.error(at) != RowError::kNone && !batch_.preserved(at); }
  // A field of the line that is named __error__ counts as an error where it shows in the row's label set, as in Loki.
  std::string_view error_field(std::uint32_t at) const {
    std::string_view value;
    const bool found = error_field_ != nullptr && !batch_.preserved(at) && batch_.labels.get(*error_field_, at, value);
    return found ? value : std::string_view("", 0);
  }
  bool lookup(const LabelSlot& slot, std::uint32_t at, Found& found) const;

  void choose_slots(const logql::Grouping* grouping);
  bool intern_few_values(LabelSetTable& table);
  void hash_rows();
  void index_sparse();
  bool same_labels(std::uint32_t i, std::uint32_t j) const;
  std::uint32_t intern_row(LabelSetTable& table, std::uint32_t i);
  std::uint32_t intern_everything(LabelSetTable& table, std::uint32_t i);   // rows with an error, not grouped
  void add_errors(std::uint32_t at, bool type, bool details);
  bool shows_error(std::uint32_t at) const { return show_error_ && batch_.error(at) != RowError::kNone; }

  Batch& batch_;
  std::string unwrapped_;
  const LabelSlot* error_field_ = nullptr;         // set by label_sets() when visible there

  // One label_sets() call.
  std::vector<LabelSetTable::View> constant_;      // labels all rows share
  std::vector<const LabelSlot*> varying_;          // looked up row by row
  std::vector<const LabelSlot*> sparse_;           // parsed labels of few rows
  bool show_error_ = false, show_details_ = false, show_preserve_ = false;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::uint32_t> position_of_row_;     // sparse_: frame row → position, or ~0
  std::vector<std::uint32_t> sparse_begin_;        // sparse_: position → first of its cells
  struct SparseCell { const LabelSlot* slot; std::string_view value; };
  std::vector<SparseCell> sparse_cells_;
  std::vector<LabelSetTable::View> views_;
  std::vector<std::uint32_t> ids_;
  std::vector<std::int64_t> times_;
  struct Memo { std::uint64_t hash = 0; std::uint32_t position = ~0U; std::uint32_t id = 0; };
  std::vector<Memo> memo_;                         // open addressing, a power of two
};

}  // namespace skald::engine
