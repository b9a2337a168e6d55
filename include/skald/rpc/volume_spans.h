// How much there is of a stream when several tell of parts of it, some of them the same.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "skald/rpc/ingester_client.h"

namespace skald::rpc {

struct VolumeTotal {
  std::uint64_t bytes = 0, entries = 0;
};

// What of a span lies between two times, both inclusive and within the span.
using SpanShare = std::function<VolumeTotal(std::size_t span, std::int64_t min_ts_ns, std::int64_t max_ts_ns)>;

// Each stored chunk counts once. With `copies` above 1 holders may have copies of each other's rows: at every moment the
// holder with the most counts. That is exact where all hold the same, too little where a span holds late rows beside the
// others' and was not merged with them yet. Rows are taken as evenly spread within a span, unless `share` knows better.
VolumeTotal add_up(std::span<const VolumeSpan> spans, std::uint32_t copies, const SpanShare& share = nullptr);

// Stored chunks, each once, and one for what is in memory.
std::uint64_t count_chunks(std::span<const VolumeSpan> spans);

}  // namespace skald::rpc
