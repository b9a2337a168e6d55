// The content id of docs/formats/chunk.md: a sum over rows, so that it does not depend on order, blocks or encoding.
#pragma once

#include <cstdint>

#include "skald/chunk/block.h"

namespace skald::chunk {

// Needs all columns. A row's level counts as the pair detected_level="…".
std::uint64_t compute_content_id(const Columns& columns);

// Sum of name and value bytes of structured metadata, without levels.
std::uint64_t compute_metadata_bytes(const Columns& columns);

}  // namespace skald::chunk
