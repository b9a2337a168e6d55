// Finds entries that two sources of one stream both hold: replicas, or a block an ingester still has beside the stored
// chunk made from it. Two rows are the same entry when time, line and structured metadata (level included) are equal.
#pragma once

#include <cstdint>
#include <vector>

#include "skald/base/context.h"
#include "skald/chunk/block.h"

namespace skald::engine {

// Thread-safe after construction; `stream` outlives it.
class DuplicateFinder {
 public:
  // Cheap: looks at times and source ids of the slices only.
  explicit DuplicateFinder(const chunk::StreamData& stream);

  // False: no earlier slice of another source overlaps slice `index` in time, nothing to compare.
  bool may_have_duplicates(std::size_t index) const { return any_ && !overlapping(index, true).empty(); }

  // Rows of slice `index` (numbers within its block, ascending) that an earlier slice of another source holds too.
  // Loads timestamps first and text only where times are equal.
  Result<std::vector<std::uint32_t>> skip_rows(std::size_t index, const CallContext& ctx) const;

 private:
  std::vector<std::size_t> overlapping(std::size_t index, bool first_only) const;
  const chunk::StreamData& stream_;
  std::vector<std::int64_t> latest_ns_;   // largest max_ts of slices [0, i]
  bool any_ = false;
};

}  // namespace skald::engine
