// The rows of one stream from several stored chunks, in the order of time, and equal entries of different chunks once:
// what a query over these chunks answers is what is stored afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "skald/base/context.h"
#include "skald/base/result.h"
#include "skald/chunk/block.h"
#include "skald/model/labels.h"

namespace skald::compactor {

// Rows [first_row, first_row + rows) of a block. Rows of one source never repeat each other; two sources may.
struct RowSlice {
  std::shared_ptr<const chunk::Block> block;
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint32_t source = 0;
};

// Decides which rows go. Called from one thread at a time.
class RowFilter {
 public:
  virtual ~RowFilter() = default;
  // marks[i] != 0: row first + i goes; the mark says on whose account. `marks` comes zeroed.
  virtual Result<void> mark(const model::InternedLabels& labels, const chunk::Columns& columns, std::uint32_t first, std::uint32_t last,
                            std::vector<std::uint16_t>& marks) = 0;
  // An entry that went, counted once however many copies there were.
  virtual void count(std::uint16_t mark, std::uint64_t line_bytes) = 0;
};

// Takes runs of neighbouring rows of one block; ascending in time.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual Result<void> append(const std::shared_ptr<const chunk::Columns>& columns, std::uint32_t begin, std::uint32_t end) = 0;
};

struct RowCounts {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t removed = 0;   // by the filter, copies counted once
};

// `filter` may be null. Holds as many decoded blocks as overlap in time.
Result<RowCounts> merge_rows(const model::InternedLabels& labels, std::vector<RowSlice> slices, RowFilter* filter, RowSink& sink, const CallContext& ctx);

}  // namespace skald::compactor
