#include "engine/label_table.h"

#include "skald/model/level.h"

namespace skald::engine {

LabelTable::LabelTable(std::optional<std::vector<std::string>> needed) : needed_(std::move(needed)) {
  if (needed_) {
    std::sort(needed_->begin(), needed_->end());
    needed_->erase(std::unique(needed_->begin(), needed_->end()), needed_->end());
  }
}

LabelSlot* LabelTable::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

LabelSlot& LabelTable::slot(std::string_view name) {
  if (LabelSlot* const found = find(name)) return *found;
  LabelSlot& made = slots_.emplace_back();
  made.name = name;
  made.needed = !needed_ || std::binary_search(needed_->begin(), needed_->end(), made.name);
  by_name_.emplace(made.name, &made);
  return made;
}

bool LabelTable::needs_prefix(std::string_view prefix) const {
  if (!needed_) return true;
  for (const std::string& name : *needed_) {
    if (std::string_view(name).starts_with(prefix)) return true;
  }
  return false;
}

bool LabelTable::needs(std::string_view name) const {
  if (!needed_) return true;
  const std::string exact(name);
  return std::binary_search(needed_->begin(), needed_->end(), exact) ||
         std::binary_search(needed_->begin(), needed_->end(), exact + "_extracted");
}

LabelSlot& LabelTable::extracted(LabelSlot& slot_in) {
  if (slot_in.extracted == nullptr) slot_in.extracted = &slot(slot_in.name + "_extracted");
  return *slot_in.extracted;
}

void LabelTable::begin_stream(const model::Labels& labels) {
  for (LabelSlot* const slot : stream_slots_) {
    slot->in_stream = false;
    slot->stream_value = {};
  }
  stream_slots_.clear();
  for (const model::Label& label : labels.pairs()) {
    LabelSlot& at = slot(label.name);
    at.in_stream = true;
    at.stream_value = label.value;
    stream_slots_.push_back(&at);
  }
  ++stream_generation_;
}

void LabelTable::begin_run(const chunk::Columns& columns, const std::vector<std::uint32_t>* block_rows) {
  for (LabelSlot* const slot : touched_) {
    slot->touched = false;
    slot->base_deleted_all = false;
    slot->base_deleted.clear();
    slot->parsed.clear();
  }
  touched_.clear();
  for (LabelSlot* const slot : metadata_slots_) {
    slot->metadata = nullptr;
    slot->has_level = false;
  }
  metadata_slots_.clear();
  columns_ = &columns;
  block_rows_ = block_rows;
  const auto bind = [this](std::string_view name) -> LabelSlot& {
    LabelSlot* at = &slot(name);
    if (at->in_stream) at = &extracted(*at);   // the stream label keeps the bare name
    return *at;
  };
  for (const chunk::MetadataColumn& column : columns.metadata) {
    LabelSlot& at = bind(column.name);
    if (at.metadata != nullptr) continue;
    at.metadata = column.values.data();
    metadata_slots_.push_back(&at);
  }
  if (!columns.levels.empty()) {
    LabelSlot& at = bind(model::kDetectedLevelName);
    if (at.metadata == nullptr) metadata_slots_.push_back(&at);
    at.has_level = true;
  }
}

bool LabelTable::get_metadata(const LabelSlot& slot, std::uint32_t row, std::string_view& value) const {
  const std::uint32_t block_row = (*block_rows_)[row];
  if (slot.has_level) {
    const auto level = static_cast<model::Level>(columns_->levels[block_row]);
    if (level != model::Level::kNone) {
      value = model::level_text(level);
      return true;
    }
  }
  if (slot.metadata == nullptr || slot.metadata[block_row].data() == nullptr) return false;
  value = slot.metadata[block_row];
  return true;
}

LabelTable::Constant LabelTable::constant(const LabelSlot& slot) const {
  if (slot.metadata != nullptr || slot.has_level || !slot.parsed.empty() || !slot.base_deleted.empty()) return {false, false, {}};
  if (!slot.in_stream || slot.base_deleted_all) return {true, false, {}};
  return {true, true, slot.stream_value};
}

void LabelTable::remove(LabelSlot& slot, std::uint32_t row) {
  if (slot.touched && is_present(slot.parsed.get(row))) slot.parsed.set(row, {kDeletedMark, 0});
  if (slot.base_deleted_all || (!slot.in_stream && slot.metadata == nullptr && !slot.has_level)) return;
  touch(slot);
  if (slot.base_deleted.size() <= row) slot.base_deleted.resize(std::max<std::size_t>(row + 1, block_rows_->size()));
  slot.base_deleted[row] = 1;
}

}  // namespace skald::engine
