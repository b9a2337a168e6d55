#include "engine/drop_keep.h"

#include <algorithm>

namespace skald::engine {
namespace {

using logql::DropKeepItem;

bool is_error_label(std::string_view name) { return name == kErrorLabel || name == kErrorDetailsLabel || name == kPreserveErrorLabel; }

class DropRunner final : public StageRunner {
 public:
  DropRunner(const std::vector<DropKeepItem>& items, LabelTable& labels) : items_(items), labels_(labels) {
    for (const DropKeepItem& item : items) slots_.push_back(&labels.slot(item.name));
  }

  void run(Batch& batch) override {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (is_error_label(items_[i].name)) {
        drop_error(items_[i], batch);
        continue;
      }
      LabelSlot& slot = *slots_[i];
      if (!items_[i].matcher) {
        labels_.remove_everywhere(slot);
        continue;
      }
      const LabelTable::Constant constant = labels_.constant(slot);
      if (constant.known) {
        if (constant.present && items_[i].matcher->matches(constant.value)) labels_.remove_everywhere(slot);
        continue;
      }
      for (const std::uint32_t row : batch.selection) {
        std::string_view value;
        if (labels_.get(slot, row, value) && items_[i].matcher->matches(value)) labels_.remove(slot, row);
      }
    }
  }

 private:
  static void drop_error(const DropKeepItem& item, Batch& batch) {
    if (!batch.any_error()) return;
    for (const std::uint32_t row : batch.selection) {
      const bool type = item.name == kErrorLabel;
      const std::string_view value = type ? row_error_text(batch.error(row)) : batch.error_details(row);
      if (item.matcher && !item.matcher->matches(value)) continue;
      if (type) batch.clear_error(row);
      if (item.name == kErrorDetailsLabel) batch.clear_error_details(row);
    }
  }

  const std::vector<DropKeepItem>& items_;
  LabelTable& labels_;
  std::vector<LabelSlot*> slots_;
};

class KeepRunner final : public StageRunner {
 public:
  KeepRunner(const std::vector<DropKeepItem>& items, LabelTable& labels) : items_(items), labels_(labels) {}

  void run(Batch& batch) override {
    slots_ = labels_.stream_slots();
    slots_.insert(slots_.end(), labels_.metadata_slots().begin(), labels_.metadata_slots().end());
    slots_.insert(slots_.end(), labels_.touched_slots().begin(), labels_.touched_slots().end());
    std::sort(slots_.begin(), slots_.end());
    slots_.erase(std::unique(slots_.begin(), slots_.end()), slots_.end());
    for (LabelSlot* const slot : slots_) keep_or_remove(*slot, batch);
  }

 private:
  void keep_or_remove(LabelSlot& slot, Batch& batch) {
    if (is_error_label(slot.name)) return;
    bool conditional = false;
    for (const DropKeepItem& item : items_) {
      if (item.name != slot.name) continue;
      if (!item.matcher) return;
      conditional = true;
    }
    const auto kept = [&](std::string_view value) {
      return std::any_of(items_.begin(), items_.end(), [&](const DropKeepItem& item) {
        return item.name == slot.name && item.matcher->matches(value);
      });
    };
    if (!conditional) return labels_.remove_everywhere(slot);
    for (const std::uint32_t row : batch.selection) {
      std::string_view value;
      if (labels_.get(slot, row, value) && !kept(value)) labels_.remove(slot, row);
    }
  }

  const std::vector<DropKeepItem>& items_;
  LabelTable& labels_;
  std::vector<LabelSlot*> slots_;
};

template <class Runner>
class DropKeepStage final : public CompiledStage {
 public:
  explicit DropKeepStage(std::vector<DropKeepItem> items) : items_(std::move(items)) {
    traits_.changes_labels = true;
    for (const DropKeepItem& item : items_) {
      if (item.matcher) traits_.reads.push_back(item.name);
    }
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override { return std::make_unique<Runner>(items_, labels); }

 private:
  std::vector<DropKeepItem> items_;
  StageTraits traits_;
};

}  // namespace

StagePtr compile_drop(const logql::DropStage& stage) { return std::make_unique<DropKeepStage<DropRunner>>(stage.items); }
StagePtr compile_keep(const logql::KeepStage& stage) { return std::make_unique<DropKeepStage<KeepRunner>>(stage.items); }

}  // namespace skald::engine
