// Rows of one or many sources, gathered into one block.
#pragma once

#include <cstdint>

#include "skald/chunk/block.h"
#include "skald/chunk/builder.h"

namespace skald::chunk {

class RowAppender {
 public:
  explicit RowAppender(std::uint32_t rows_max = kBlockRowsMax, std::uint64_t raw_bytes_target = kBlockRawBytesTarget)
      : rows_max_(rows_max), raw_bytes_target_(raw_bytes_target) {}
  // Rows [begin, end) of `source`, whose metadata values must outlive the columns.
  void append(const Columns& source, std::uint32_t begin, std::uint32_t end);
  // The largest end <= `end` so that rows [begin, end) still fit this block; begin when the block is full. An empty block
  // takes at least one row.
  std::uint32_t fit(const Columns& source, std::uint32_t begin, std::uint32_t end) const;
  bool empty() const { return columns_.rows == 0; }
  std::uint32_t rows() const { return columns_.rows; }
  std::uint64_t raw_bytes() const { return columns_.text_bytes - columns_.rows; }
  // What was gathered; the appender is empty afterwards.
  Columns take();

 private:
  std::size_t column_of(const std::string& name);
  std::uint32_t rows_max_;
  std::uint64_t raw_bytes_target_;
  Columns columns_;
};

}  // namespace skald::chunk
