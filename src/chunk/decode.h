// Pages → columns. Bytes come from outside: each size is checked against the block's own counts before memory is reserved.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "chunk/layout.h"
#include "skald/chunk/block.h"

namespace skald::chunk {

// Timestamps always, levels if `need` has them.
Result<void> decode_hot(const BlockEntry& block, ByteView hot, ColumnMask need, Columns& columns);

// The smallest range of the block's data that holds every page `need` asks for. Empty (begin == end): none.
struct DataRange {
  std::uint32_t begin = 0, end = 0;
};
DataRange pages_needed(const ColumnTable& table, ColumnMask need);

// `bytes` holds the data from `range.begin` on.
Result<void> decode_data(const BlockEntry& block, const ColumnTable& table, ByteView bytes, DataRange range, ColumnMask need,
                         Columns& columns);

Result<void> check_block_encoding(const BlockEntry& block);

// The last decoding of a block, while somebody holds it. Thread-safe.
class DecodedBlock {
 public:
  // Calls `decode(mask)` under a lock of this block, so that several streams of a group share one decoding.
  template <class Decode>
  Result<std::shared_ptr<const Columns>> load(ColumnMask need, Decode&& decode) {
    const std::lock_guard lock(mutex_);
    if ((mask_ & need) == need) {
      if (std::shared_ptr<const Columns> held = columns_.lock()) return held;
    }
    SKALD_TRY(std::shared_ptr<const Columns> columns, decode(need));
    columns_ = columns;
    mask_ = need;
    return columns;
  }

 private:
  std::mutex mutex_;   // guards columns_ and mask_
  std::weak_ptr<const Columns> columns_;
  int mask_ = 0;
};

// kTimestamps always; kLines brings kLineLengths.
inline ColumnMask complete_mask(ColumnMask need) {
  return need | kTimestamps | ((need & kLines) != 0 ? kLineLengths : kTimestamps);
}

}  // namespace skald::chunk
