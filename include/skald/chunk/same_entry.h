// When two rows are one entry: replicas, retries and compaction all go by it.
#pragma once

#include <cstdint>

#include "skald/chunk/block.h"

namespace skald::chunk {

// Line and structured metadata are equal, level included; that the times are is the caller's to see. Both columns have
// lines, levels and metadata loaded.
bool same_entry(const Columns& a, std::uint32_t row_a, const Columns& b, std::uint32_t row_b);

}  // namespace skald::chunk
