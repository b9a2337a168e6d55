#include "engine/format_stage.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "skald/logql/template.h"

namespace skald::engine {
namespace {

// A row as a template sees it.
class RowInput final : public logql::TemplateInput {
 public:
  explicit RowInput(LabelTable& labels) : labels_(labels) {}
  void at(const Batch& batch, std::uint32_t row) {
    batch_ = &batch;
    row_ = row;
  }

  bool label(std::string_view name, std::string_view& value) const override {
    if (name.starts_with("__error")) {
      if (name == kErrorLabel && batch_->error(row_) != RowError::kNone) {
        value = row_error_text(batch_->error(row_));
        return true;
      }
      if (name == kErrorDetailsLabel && !batch_->error_details(row_).empty()) {
        value = batch_->error_details(row_);
        return true;
      }
    }
    const LabelSlot* const slot = slot_of(name);
    if (slot != nullptr && labels_.get(*slot, row_, value)) return true;
    value = {};
    return false;
  }
  std::string_view line() const override { return batch_->line(row_); }
  std::int64_t timestamp_ns() const override { return batch_->columns->timestamps_ns[batch_->block_rows[row_]]; }

  std::vector<std::string_view> label_names() const override {
    std::set<std::string_view> names;
    std::string_view value;
    for (const auto* const list : {&labels_.stream_slots(), &labels_.metadata_slots(), &labels_.touched_slots()}) {
      for (const LabelSlot* const slot : *list) {
        if (labels_.get(*slot, row_, value)) names.insert(slot->name);
      }
    }
    if (batch_->error(row_) != RowError::kNone) names.insert(kErrorLabel);
    if (!batch_->error_details(row_).empty()) names.insert(kErrorDetailsLabel);
    return {names.begin(), names.end()};
  }

 private:
  // A template's own names keep their address, so a small table by address saves the hashing.
  const LabelSlot* slot_of(std::string_view name) const {
    Cached& cached = cache_[(reinterpret_cast<std::uintptr_t>(name.data()) >> 3) % cache_.size()];
    if (cached.data == name.data() && cached.slot != nullptr && cached.slot->name == name) return cached.slot;
    LabelSlot* const slot = labels_.find(name);
    if (slot != nullptr) cached = {name.data(), slot};
    return slot;
  }

  struct Cached { const char* data = nullptr; LabelSlot* slot = nullptr; };
  LabelTable& labels_;
  const Batch* batch_ = nullptr;
  std::uint32_t row_ = 0;
  mutable std::array<Cached, 32> cache_;
};

class LineFormatRunner final : public StageRunner {
 public:
  LineFormatRunner(const logql::Template& text, LabelTable& labels) : template_(text), input_(labels) {}

  void run(Batch& batch) override {
    for (const std::uint32_t row : batch.selection) {
      input_.at(batch, row);
      out_.clear();
      const Result<void> done = template_.execute(input_, out_);
      if (done.ok()) batch.set_line(row, batch.arena.copy(out_));
      else batch.set_error(row, RowError::kTemplate, batch.arena.copy(done.error().message()));
    }
  }

 private:
  const logql::Template& template_;
  RowInput input_;
  std::string out_;
};

class LineFormat final : public CompiledStage {
 public:
  explicit LineFormat(logql::Template text) : template_(std::move(text)) {
    traits_.reads = template_.labels_read();
    traits_.reads_all_labels = template_.uses_all_labels();
    traits_.reads_line = true;     // {{ __line__ }}
    traits_.writes_line = true;
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override {
    return std::make_unique<LineFormatRunner>(template_, labels);
  }

 private:
  logql::Template template_;
  StageTraits traits_;
};

struct FormatItem {
  std::string destination;
  std::string source;                        // rename
  std::optional<logql::Template> text;       // or template
};

class LabelFormatRunner final : public StageRunner {
 public:
  LabelFormatRunner(const std::vector<FormatItem>& items, LabelTable& labels) : items_(items), labels_(labels), input_(labels) {
    for (const FormatItem& item : items) {
      destinations_.push_back(&labels.slot(item.destination));
      sources_.push_back(item.text ? nullptr : &labels.slot(item.source));
    }
  }

  void run(Batch& batch) override {
    for (const std::uint32_t row : batch.selection) format(batch, row);
  }

 private:
  struct Pending { LabelSlot* slot; bool present; std::string_view value; };

  // Templates see the labels as they were when the stage's first template runs: what is written from then on is held
  // back until the row is done. Renames do see it.
  void format(Batch& batch, std::uint32_t row) {
    pending_.clear();
    bool hold = false;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].text) {
        hold = true;
        input_.at(batch, row);
        out_.clear();
        const Result<void> done = items_[i].text->execute(input_, out_);
        if (done.ok()) pending_.push_back({destinations_[i], true, batch.arena.copy(out_)});
        else batch.set_error(row, RowError::kTemplate, batch.arena.copy(done.error().message()));
        continue;
      }
      std::string_view value;
      if (!current(*sources_[i], row, value)) continue;
      if (hold) {
        pending_.push_back({destinations_[i], true, value});
        pending_.push_back({sources_[i], false, {}});
      } else {
        labels_.assign(*destinations_[i], row, value);
        labels_.remove(*sources_[i], row);
      }
    }
    for (const Pending& change : pending_) {
      if (change.present) labels_.assign(*change.slot, row, change.value);
      else labels_.remove(*change.slot, row);
    }
  }

  bool current(const LabelSlot& slot, std::uint32_t row, std::string_view& value) const {
    for (auto it = pending_.rbegin(); it != pending_.rend(); ++it) {
      if (it->slot != &slot) continue;
      value = it->value;
      return it->present;
    }
    return labels_.get(slot, row, value);
  }

  const std::vector<FormatItem>& items_;
  LabelTable& labels_;
  RowInput input_;
  std::vector<LabelSlot*> destinations_, sources_;
  std::vector<Pending> pending_;
  std::string out_;
};

class LabelFormatStage final : public CompiledStage {
 public:
  explicit LabelFormatStage(std::vector<FormatItem> items) : items_(std::move(items)) {
    traits_.changes_labels = true;
    for (const FormatItem& item : items_) {
      if (!item.text) {
        traits_.reads.push_back(item.source);
        continue;
      }
      traits_.reads.insert(traits_.reads.end(), item.text->labels_read().begin(), item.text->labels_read().end());
      traits_.reads_all_labels |= item.text->uses_all_labels();
      traits_.reads_line = true;
    }
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override {
    return std::make_unique<LabelFormatRunner>(items_, labels);
  }

 private:
  std::vector<FormatItem> items_;
  StageTraits traits_;
};

}  // namespace

Result<StagePtr> compile_line_format(const logql::LineFormatStage& stage) {
  SKALD_TRY(logql::Template text, logql::Template::parse(stage.text));
  return StagePtr(std::make_unique<LineFormat>(std::move(text)));
}

Result<StagePtr> compile_label_format(const logql::LabelFormatStage& stage) {
  std::vector<FormatItem> items;
  for (const logql::LabelFormat& format : stage.formats) {
    FormatItem& item = items.emplace_back();
    item.destination = format.name;
    if (format.rename) {
      item.source = format.value;
    } else {
      SKALD_TRY(logql::Template text, logql::Template::parse(format.value, "label"));
      item.text.emplace(std::move(text));
    }
  }
  return StagePtr(std::make_unique<LabelFormatStage>(std::move(items)));
}

}  // namespace skald::engine
