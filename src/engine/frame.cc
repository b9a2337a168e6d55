#include "engine/frame.h"

#include <algorithm>
#include <array>
#include <bit>

#include "engine/text_hash.h"

namespace skald::engine {
namespace {

std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  x ^= x >> 32;
  return x * 0xd6e8feb86659fd93ULL;
}

// Contribution of one label to its row's hash; contributions are added, so their order does not matter.
std::uint64_t label_hash(const LabelSlot* slot, std::string_view value, LabelCategory category) {
  static const std::uint64_t seed = process_hash_seed();
  const auto salt = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(slot)) + static_cast<std::uint64_t>(category);
  return mix(hash_text(value, seed + salt));
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool by_name(const LabelSetTable::View& a, const LabelSetTable::View& b) { return a.name < b.name; }

}  // namespace

std::string_view row_error_text(RowError error) {
  switch (error) {
    case RowError::kNone: return {"", 0};
    case RowError::kJson: return "JSONParserErr";
    case RowError::kLogfmt: return "LogfmtParserErr";
    case RowError::kLabelFilter: return "LabelFilterErr";
    case RowError::kTemplate: return "TemplateFormatErr";
    case RowError::kSample: return "SampleExtractionErr";
  }
  return {"", 0};
}

bool FrameImpl::lookup(const LabelSlot& slot, std::uint32_t at, Found& found) const {
  if (slot.touched) {
    const std::string_view cell = slot.parsed.get(at);
    if (is_present(cell)) {
      found = {cell, LabelCategory::kParsed};
      return true;
    }
  }
  if (!batch_.labels.get_base(slot, at, found.value)) return false;
  found.category = LabelCategory::kStream;
  std::string_view ignored;
  if ((slot.metadata != nullptr || slot.has_level) && batch_.labels.get_metadata(slot, at, ignored)) found.category = LabelCategory::kMetadata;
  return true;
}

std::span<const std::int64_t> FrameImpl::timestamps() {
  const std::uint32_t rows = size();
  if (rows == 0) return {};
  const std::int64_t* const times = batch_.columns->timestamps_ns.data();
  const std::uint32_t first = batch_.block_rows[row(0)];
  if (batch_.block_rows[row(rows - 1)] - first == rows - 1) return {times + first, rows};   // ascending, so none is missing
  times_.resize(rows);
  for (std::uint32_t i = 0; i < rows; ++i) times_[i] = times[batch_.block_rows[row(i)]];
  return times_;
}

std::string_view FrameImpl::label(std::uint32_t i, std::string_view name) const {
  if (name == kErrorLabel && batch_.error(row(i)) != RowError::kNone) return row_error_text(batch_.error(row(i)));
  if (name == kErrorDetailsLabel && !batch_.error_details(row(i)).empty()) return batch_.error_details(row(i));
  const LabelSlot* const slot = batch_.labels.find(name);
  std::string_view value;
  return slot != nullptr && batch_.labels.get(*slot, row(i), value) ? value : std::string_view("", 0);
}

void FrameImpl::choose_slots(const logql::Grouping* grouping) {
  constant_.clear();
  varying_.clear();
  sparse_.clear();
  const bool by = grouping != nullptr && !grouping->without;
  const LabelTable& labels = batch_.labels;
  std::vector<const LabelSlot*> chosen;
  if (by) {
    for (const std::string& name : grouping->labels) {
      if (const LabelSlot* const slot = labels.find(name)) chosen.push_back(slot);
    }
  } else {
    for (const auto* const list : {&labels.stream_slots(), &labels.metadata_slots(), &labels.touched_slots()}) {
      for (const LabelSlot* const slot : *list) {
        if (slot->name == unwrapped_ || (grouping != nullptr && contains(grouping->labels, slot->name))) continue;
        chosen.push_back(slot);
      }
    }
  }
  std::sort(chosen.begin(), chosen.end(), [](const LabelSlot* a, const LabelSlot* b) { return a->name < b->name; });
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  error_field_ = nullptr;
  for (const LabelSlot* const slot : chosen) {
    if (slot->name == kErrorLabel) error_field_ = slot;
    const LabelTable::Constant constant = labels.constant(*slot);
    if (constant.known) {
      if (constant.present) constant_.push_back({slot->name, constant.value, LabelCategory::kStream});
    } else if (!slot->parsed.dense() && !slot->in_stream && slot->metadata == nullptr && !slot->has_level) {
      sparse_.push_back(slot);
    } else {
      varying_.push_back(slot);
    }
  }
  const auto visible = [&](std::string_view name) {
    return by ? contains(grouping->labels, name) : grouping == nullptr || !contains(grouping->labels, name);
  };
  const bool any = batch_.any_error();
  show_error_ = any && visible(kErrorLabel);
  show_details_ = any && visible(kErrorDetailsLabel);
  show_preserve_ = any && by && visible(kPreserveErrorLabel);
}

void FrameImpl::index_sparse() {
  sparse_cells_.clear();
  if (sparse_.empty()) return;
  position_of_row_.assign(batch_.rows(), ~0U);
  for (std::uint32_t i = 0; i < size(); ++i) position_of_row_[row(i)] = i;
  sparse_begin_.assign(size() + 1, 0);
  const auto for_each_cell = [&](auto use) {
    for (const LabelSlot* const slot : sparse_) {
      const auto& rows = slot->parsed.sparse_rows();
      for (std::size_t c = 0; c < rows.size(); ++c) {
        const std::uint32_t position = position_of_row_[rows[c]];
        if (position != ~0U && is_present(slot->parsed.values()[c])) use(position, slot, slot->parsed.values()[c]);
      }
    }
  };
  for_each_cell([&](std::uint32_t position, const LabelSlot*, std::string_view) { ++sparse_begin_[position + 1]; });
  for (std::uint32_t i = 0; i < size(); ++i) sparse_begin_[i + 1] += sparse_begin_[i];
  sparse_cells_.resize(sparse_begin_[size()]);
  std::vector<std::uint32_t> next(sparse_begin_.begin(), sparse_begin_.end() - 1);
  for_each_cell([&](std::uint32_t position, const LabelSlot* slot, std::string_view value) {
    sparse_cells_[next[position]++] = {slot, value};
    hashes_[position] += label_hash(slot, value, LabelCategory::kParsed);
  });
}

void FrameImpl::hash_rows() {
  hashes_.assign(size(), 0);
  for (const LabelSlot* const slot : varying_) {
    // Equal neighbours are common (dictionary views, sorted sources): hash a value once while it stays.
    Found found{}, last{};
    std::uint64_t last_hash = 0;
    bool have_last = false;
    for (std::uint32_t i = 0; i < size(); ++i) {
      if (!lookup(*slot, row(i), found)) continue;
      if (!have_last || found.value.data() != last.value.data() || found.value.size() != last.value.size() || found.category != last.category) {
        last = found;
        last_hash = label_hash(slot, found.value, found.category);
        have_last = true;
      }
      hashes_[i] += last_hash;
    }
  }
  index_sparse();
  if (!batch_.any_error()) return;
  for (std::uint32_t i = 0; i < size(); ++i) {
    const std::string_view details = show_details_ ? batch_.error_details(row(i)) : std::string_view();
    const auto type = static_cast<std::uint64_t>(show_error_ ? batch_.error(row(i)) : RowError::kNone);
    const std::uint64_t preserved = show_preserve_ && batch_.preserved(row(i)) ? 1 : 0;
    hashes_[i] += mix(hash_text(details, type * 2 + preserved));
  }
}

bool FrameImpl::same_labels(std::uint32_t i, std::uint32_t j) const {
  const std::uint32_t a = row(i), b = row(j);
  for (const LabelSlot* const slot : varying_) {
    Found left{}, right{};
    const bool has_left = lookup(*slot, a, left), has_right = lookup(*slot, b, right);
    if (has_left != has_right) return false;
    if (has_left && (left.category != right.category || left.value != right.value)) return false;
  }
  if (!sparse_.empty()) {
    const std::uint32_t count = sparse_begin_[i + 1] - sparse_begin_[i];
    if (count != sparse_begin_[j + 1] - sparse_begin_[j]) return false;
    for (std::uint32_t k = 0; k < count; ++k) {
      const SparseCell &left = sparse_cells_[sparse_begin_[i] + k], &right = sparse_cells_[sparse_begin_[j] + k];
      if (left.slot != right.slot || left.value != right.value) return false;
    }
  }
  if (show_error_ && batch_.error(a) != batch_.error(b)) return false;
  if (show_details_ && batch_.error_details(a) != batch_.error_details(b)) return false;
  return !show_preserve_ || batch_.preserved(a) == batch_.preserved(b);
}

void FrameImpl::add_errors(std::uint32_t at, bool type, bool details) {
  const auto set = [&](std::string_view name, std::string_view value) {
    std::erase_if(views_, [&](const LabelSetTable::View& view) { return view.name == name; });   // a parsed field of this name
    views_.push_back({name, value, LabelCategory::kParsed});
  };
  if (type && batch_.error(at) != RowError::kNone) set(kErrorLabel, row_error_text(batch_.error(at)));
  if (details && !batch_.error_details(at).empty()) set(kErrorDetailsLabel, batch_.error_details(at));
}

std::uint32_t FrameImpl::intern_row(LabelSetTable& table, std::uint32_t i) {
  const std::uint32_t at = row(i);
  views_ = constant_;
  Found found{};
  for (const LabelSlot* const slot : varying_) {
    if (lookup(*slot, at, found)) views_.push_back({slot->name, found.value, found.category});
  }
  if (!sparse_.empty()) {
    for (std::uint32_t k = sparse_begin_[i]; k < sparse_begin_[i + 1]; ++k) {
      views_.push_back({sparse_cells_[k].slot->name, sparse_cells_[k].value, LabelCategory::kParsed});
    }
  }
  add_errors(at, show_error_, show_details_);
  if (show_preserve_ && batch_.preserved(at)) views_.push_back({kPreserveErrorLabel, "true", LabelCategory::kParsed});
  std::sort(views_.begin(), views_.end(), by_name);
  return table.intern(views_);
}

std::uint32_t FrameImpl::intern_everything(LabelSetTable& table, std::uint32_t i) {
  const std::uint32_t at = row(i);
  const LabelTable& labels = batch_.labels;
  views_.clear();
  Found found{};
  for (const auto* const list : {&labels.stream_slots(), &labels.metadata_slots(), &labels.touched_slots()}) {
    for (const LabelSlot* const slot : *list) {
      if (lookup(*slot, at, found)) views_.push_back({slot->name, found.value, found.category});
    }
  }
  add_errors(at, true, true);
  std::sort(views_.begin(), views_.end(), by_name);
  views_.erase(std::unique(views_.begin(), views_.end(), [](const auto& a, const auto& b) { return a.name == b.name; }), views_.end());
  return table.intern(views_);
}

// Rows that differ in one column of metadata, and in few values of it, as when grouped by level: equal values of a block
// share their bytes, so that comparing addresses is enough. False: too many values, or the column is not of that kind.
bool FrameImpl::intern_few_values(LabelSetTable& table) {
  if (varying_.size() != 1 || !sparse_.empty()) return false;
  const LabelSlot& slot = *varying_.front();
  if (slot.touched || slot.in_stream) return false;
  struct Known { const char* data; std::size_t size; std::uint32_t id; };
  std::array<Known, 16> known;
  std::size_t count = 0, last = 0;
  for (std::uint32_t i = 0; i < size(); ++i) {
    std::string_view value;
    if (!batch_.labels.get_metadata(slot, row(i), value)) value = {};   // present values have an address
    if (last >= count || known[last].data != value.data() || known[last].size != value.size()) {
      for (last = 0; last < count && (known[last].data != value.data() || known[last].size != value.size());) ++last;
      if (last == known.size()) return false;
      if (last == count) known[count++] = {value.data(), value.size(), intern_row(table, i)};
    }
    ids_[i] = known[last].id;
  }
  return true;
}

std::span<const std::uint32_t> FrameImpl::label_sets(LabelSetTable& table, const logql::Grouping* grouping) {
  ids_.resize(size());
  if (size() == 0) return ids_;
  choose_slots(grouping);
  const bool any_error = batch_.any_error();
  if (varying_.empty() && sparse_.empty() && !any_error) {
    std::fill(ids_.begin(), ids_.end(), intern_row(table, 0));
    return ids_;
  }
  if (!any_error && intern_few_values(table)) return ids_;
  hash_rows();
  // Error series are not grouped; without grouping or unwrap their labels are those of any row.
  const bool errors_differ = any_error && (grouping != nullptr || !unwrapped_.empty());
  memo_.assign(std::bit_ceil(static_cast<std::size_t>(size()) * 2), Memo());
  const std::size_t mask = memo_.size() - 1;
  for (std::uint32_t i = 0; i < size(); ++i) {
    if (errors_differ && row_fails(row(i))) {
      ids_[i] = intern_everything(table, i);
      continue;
    }
    const std::uint64_t hash = hashes_[i];
    std::size_t at = mix(hash) & mask;
    for (;; at = (at + 1) & mask) {
      Memo& memo = memo_[at];
      if (memo.position == ~0U) {
        memo = {hash, i, intern_row(table, i)};
        ids_[i] = memo.id;
        break;
      }
      if (memo.hash == hash && same_labels(i, memo.position)) {
        ids_[i] = memo.id;
        break;
      }
    }
  }
  return ids_;
}

}  // namespace skald::engine
