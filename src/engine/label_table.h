// All labels a pipeline run may see, one slot per name: the stream's value, the structured metadata of the block and
// what parsers and formatters produced (reference logql.md §4). One table per runner.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "skald/chunk/block.h"
#include "skald/model/labels.h"
#include "engine/label_column.h"

namespace skald::engine {

inline constexpr std::string_view kErrorLabel = "__error__";
inline constexpr std::string_view kErrorDetailsLabel = "__error_details__";
inline constexpr std::string_view kPreserveErrorLabel = "__preserve_error__";

struct LabelSlot {
  std::string name;
  bool needed = true;                       // a later stage or the consumer reads it
  bool in_stream = false;                   // a stream label, even if a stage has removed it
  bool has_level = false;                   // detected_level of the block's level column
  bool touched = false;                     // this run wrote `parsed` or the deletion marks
  bool base_deleted_all = false;            // stream and metadata values removed from every row
  std::string_view stream_value;
  const std::string_view* metadata = nullptr;   // by block row; nullptr: the block has no such name
  LabelColumn parsed;                       // by frame row
  std::vector<std::uint8_t> base_deleted;   // by frame row; empty: nowhere
  LabelSlot* extracted = nullptr;           // the slot `<name>_extracted`, once needed
};

class LabelTable {
 public:
  // `needed`: names read after parsing; nullopt: all.
  explicit LabelTable(std::optional<std::vector<std::string>> needed);

  LabelSlot& slot(std::string_view name);
  LabelSlot* find(std::string_view name) const;
  std::size_t size() const { return slots_.size(); }
  // Whether some name starting with `prefix` is read later.
  bool needs_prefix(std::string_view prefix) const;
  // Whether a parsed `name`, or `name` with the collision suffix, is read later.
  bool needs(std::string_view name) const;
  bool needs_all() const { return !needed_.has_value(); }
  std::size_t needed_count() const { return needed_ ? needed_->size() : 0; }

  void begin_stream(const model::Labels& labels);
  void begin_run(const chunk::Columns& columns, const std::vector<std::uint32_t>* block_rows);

  // Value after all stages so far; false when the row has none.
  bool get(const LabelSlot& slot, std::uint32_t row, std::string_view& value) const {
    if (slot.touched) {
      const std::string_view cell = slot.parsed.get(row);
      if (is_present(cell)) {
        value = cell;
        return true;
      }
    }
    return get_base(slot, row, value);
  }
  // Value of stream or metadata only.
  bool get_base(const LabelSlot& slot, std::uint32_t row, std::string_view& value) const {
    if (!slot.in_stream && slot.metadata == nullptr && !slot.has_level) return false;
    if (base_deleted(slot, row)) return false;
    if (get_metadata(slot, row, value)) return true;
    value = slot.stream_value;
    return slot.in_stream;
  }
  bool get_metadata(const LabelSlot& slot, std::uint32_t row, std::string_view& value) const;
  static bool base_deleted(const LabelSlot& slot, std::uint32_t row) {
    return slot.base_deleted_all || (row < slot.base_deleted.size() && slot.base_deleted[row] != 0);
  }
  // The one value all rows have, if the slot cannot differ between rows of this run; `known` false otherwise.
  struct Constant { bool known; bool present; std::string_view value; };
  Constant constant(const LabelSlot& slot) const;

  // What a parser found (views must outlive the run). Applies the collision rules; true when a needed label was set.
  bool set_parsed(LabelSlot& slot, std::uint32_t row, std::string_view value) {
    LabelSlot* target = &slot;
    if (slot.in_stream || has_live_metadata(slot, row)) target = &extracted(slot);
    if (!target->needed || target->parsed.taken(row)) return false;
    touch(*target);
    target->parsed.set(row, value);
    return true;
  }
  // As set_parsed, but the new value wins (json and logfmt with expressions).
  void overwrite_parsed(LabelSlot& slot, std::uint32_t row, std::string_view value) {
    LabelSlot* target = &slot;
    if (slot.in_stream || has_live_metadata(slot, row)) target = &extracted(slot);
    assign(*target, row, value);
  }
  bool collides(const LabelSlot& slot, std::uint32_t row) const { return slot.in_stream || has_live_metadata(slot, row); }
  // label_format: no collision rule, the new value wins.
  void assign(LabelSlot& slot, std::uint32_t row, std::string_view value) {
    if (!slot.needed) return;
    touch(slot);
    slot.parsed.set(row, value);
  }
  void remove(LabelSlot& slot, std::uint32_t row);
  // From every row still selected; names parsed once stay taken.
  void remove_everywhere(LabelSlot& slot) {
    touch(slot);
    slot.base_deleted_all = true;
    slot.parsed.delete_all();
  }
  // A slot the parsers of the run could write to; for look-ups before the name is known to exist.
  LabelSlot& extracted(LabelSlot& slot);

  const std::vector<LabelSlot*>& stream_slots() const { return stream_slots_; }
  const std::vector<LabelSlot*>& metadata_slots() const { return metadata_slots_; }   // of this run
  const std::vector<LabelSlot*>& touched_slots() const { return touched_; }           // of this run
  // Grows with begin_stream and begin_run; anything cached from slots of a stream or a run is stale when it changes.
  std::uint64_t stream_generation() const { return stream_generation_; }

 private:
  bool has_live_metadata(const LabelSlot& slot, std::uint32_t row) const {
    if (slot.metadata == nullptr && !slot.has_level) return false;
    if (slot.touched && is_present(slot.parsed.get(row))) return false;   // label_format has replaced it
    std::string_view ignored;
    return !base_deleted(slot, row) && get_metadata(slot, row, ignored);
  }
  void touch(LabelSlot& slot) {
    if (slot.touched) return;
    slot.touched = true;
    touched_.push_back(&slot);
  }

  std::optional<std::vector<std::string>> needed_;
  std::deque<LabelSlot> slots_;                                  // stable addresses
  std::unordered_map<std::string_view, LabelSlot*> by_name_;     // keys: LabelSlot::name
  std::vector<LabelSlot*> stream_slots_, metadata_slots_, touched_;
  const chunk::Columns* columns_ = nullptr;
  const std::vector<std::uint32_t>* block_rows_ = nullptr;
  std::uint64_t stream_generation_ = 0;
};

}  // namespace skald::engine
