// Values of one parsed label over the rows of a frame. Most columns have a value in (almost) every row and are plain
// arrays; a name that occurs in few rows is kept as (row, value) pairs, so that lines with ever new keys cost memory in
// proportion to their keys only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

namespace skald::engine {

// Distinguishes "no value" (nullptr), "had one, deleted" (first value wins, so the name stays taken) and "empty".
inline constexpr char kDeletedMark[1] = {0};
inline bool is_present(std::string_view v) { return v.data() != nullptr && v.data() != kDeletedMark; }
// Never nullptr: an empty value must not look absent.
inline std::string_view present(std::string_view v) { return v.data() == nullptr ? std::string_view("", 0) : v; }

class LabelColumn {
 public:
  bool empty() const { return values_.empty(); }
  bool dense() const { return rows_.empty(); }
  // Raw cell: see is_present(). data() == nullptr when the row never had one.
  std::string_view get(std::uint32_t row) const {
    if (rows_.empty()) return row < values_.size() ? values_[row] : std::string_view();
    return get_sparse(row);
  }
  bool taken(std::uint32_t row) const { return row < end_ && get(row).data() != nullptr; }

  // Rows mostly come in ascending order; `value` must not be nullptr.
  void set(std::uint32_t row, std::string_view value) {
    if (row == values_.size() && rows_.empty()) {   // the common case
      values_.push_back(value);
      end_ = row + 1;
      ++count_;
      return;
    }
    set_slow(row, value);
  }

  // Every value becomes the mark "had one, deleted".
  void delete_all() {
    for (std::string_view& value : values_) {
      if (value.data() != nullptr) value = {kDeletedMark, 0};
    }
  }

  void clear() {
    values_.clear();
    rows_.clear();
    end_ = 0;
    count_ = 0;
    cursor_ = 0;
  }

  // Sparse form only.
  const std::vector<std::uint32_t>& sparse_rows() const { return rows_; }
  const std::vector<std::string_view>& values() const { return values_; }

 private:
  std::string_view get_sparse(std::uint32_t row) const {
    // Readers walk the rows in order: try the remembered place first.
    if (cursor_ < rows_.size() && rows_[cursor_] == row) return values_[cursor_];
    if (cursor_ + 1 < rows_.size() && rows_[cursor_ + 1] == row) return values_[++cursor_];
    const auto it = std::lower_bound(rows_.begin(), rows_.end(), row);
    if (it == rows_.end() || *it != row) return {};
    cursor_ = static_cast<std::size_t>(it - rows_.begin());
    return values_[cursor_];
  }

  void set_slow(std::uint32_t row, std::string_view value) {
    if (rows_.empty()) {
      if (row < values_.size()) {
        if (values_[row].data() == nullptr) ++count_;
        values_[row] = value;
        return;
      }
      if (row <= 4 * (count_ + 16)) {   // at least about a quarter filled: pad
        values_.resize(row);
        values_.push_back(value);
        end_ = row + 1;
        ++count_;
        return;
      }
      to_sparse();
    }
    if (rows_.empty() || row > rows_.back()) {
      rows_.push_back(row);
      values_.push_back(value);
      end_ = row + 1;
    } else {
      const auto it = std::lower_bound(rows_.begin(), rows_.end(), row);
      const auto at = it - rows_.begin();
      if (*it == row) {
        values_[static_cast<std::size_t>(at)] = value;
        return;
      }
      rows_.insert(it, row);
      values_.insert(values_.begin() + at, value);
    }
    ++count_;
  }

  void to_sparse() {
    std::vector<std::string_view> kept;
    for (std::uint32_t row = 0; row < values_.size(); ++row) {
      if (values_[row].data() == nullptr) continue;
      rows_.push_back(row);
      kept.push_back(values_[row]);
    }
    values_ = std::move(kept);
  }

  std::vector<std::string_view> values_;
  std::vector<std::uint32_t> rows_;
  std::uint32_t end_ = 0;       // one past the last row that has a cell
  std::uint32_t count_ = 0;
  mutable std::size_t cursor_ = 0;
};

}  // namespace skald::engine
