// Rows and bytes per time bucket, gathered while a chunk is built.
#pragma once

#include <array>
#include <cstdint>

#include "skald/chunk/block.h"
#include "skald/chunk/builder.h"
#include "skald/model/level.h"

namespace skald::chunk {

inline constexpr std::size_t kSketchBucketsMax = 512;
// Of a member of a group: a time shard in steps of five minutes. There may be thousands in one chunk, so members below
// some rows have none: a sketch of them would be larger than their rows are, and reading these costs next to nothing.
inline constexpr std::size_t kMemberSketchBucketsMax = 73;
inline constexpr std::uint32_t kMemberSketchRowsMin = 8;

class SketchBuilder {
 public:
  // Of rows within [min_ts_ns, max_ts_ns]; picks the finest width that needs at most `buckets_max` buckets.
  SketchBuilder(std::int64_t min_ts_ns, std::int64_t max_ts_ns, std::size_t buckets_max = kSketchBucketsMax);
  // Needs timestamps, levels and line offsets.
  void add(const Columns& columns);
  Sketch finish();

 private:
  Sketch sketch_;
  std::int64_t width_ns_ = 0;
  std::array<std::vector<std::uint32_t>, model::kLevelCount> rows_by_level_;
};

}  // namespace skald::chunk
