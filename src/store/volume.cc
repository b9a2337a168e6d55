#include "store/volume.h"

#include <algorithm>
#include <cmath>

#include "skald/rpc/volume_spans.h"
#include "store/slices.h"

namespace skald::store {
namespace {

// Doubles, because a difference of two times of a request may not fit 64 bits.
double overlap_ns(double begin_a, double end_a, double begin_b, double end_b) {
  return std::max(0.0, std::min(end_a, end_b) - std::max(begin_a, begin_b));
}

}  // namespace

Share compute_share(const index::ChunkRef& ref, const index::TimeRange& range) {
  if (!range.overlaps(ref.min_ts_ns, ref.max_ts_ns)) return {};
  if (range.start_ns <= ref.min_ts_ns && ref.max_ts_ns <= range.end_ns) return {.rows = ref.rows, .bytes = ref.raw_bytes};
  // Times relative to the chunk keep their nanoseconds in a double: a chunk spans hours, 2^53 ns are 104 days.
  const std::int64_t origin_ns = ref.sketch.width_s != 0 ? ref.sketch.origin_ns : ref.min_ts_ns;
  const auto relative = [&](std::int64_t ts_ns) {
    const __int128 difference = static_cast<__int128>(ts_ns) - origin_ns;
    return static_cast<double>(difference);
  };
  // Left-open, as buckets are: [start, end] covers (start - 1, end].
  const double begin = relative(range.start_ns) - 1, end = relative(range.end_ns);
  if (ref.sketch.width_s == 0) {
    const double chunk_begin = relative(ref.min_ts_ns) - 1, chunk_end = relative(ref.max_ts_ns);
    const double part = overlap_ns(begin, end, chunk_begin, chunk_end) / (chunk_end - chunk_begin);
    return {.rows = static_cast<std::uint64_t>(std::llround(part * ref.rows)),
            .bytes = static_cast<std::uint64_t>(std::llround(part * static_cast<double>(ref.raw_bytes)))};
  }
  const double width = 1e9 * ref.sketch.width_s;
  double rows = 0, bytes = 0;
  for (std::size_t i = 0; i < ref.sketch.rows.size(); ++i) {
    const double bucket = width * static_cast<double>(i);
    const double part = overlap_ns(begin, end, bucket, bucket + width) / width;
    if (part <= 0) continue;
    rows += part * ref.sketch.rows[i];
    if (i < ref.sketch.bytes.size()) bytes += part * static_cast<double>(ref.sketch.bytes[i]);
  }
  return {.rows = std::min<std::uint64_t>(ref.rows, static_cast<std::uint64_t>(std::llround(rows))),
          .bytes = std::min<std::uint64_t>(ref.raw_bytes, static_cast<std::uint64_t>(std::llround(bytes)))};
}

rpc::SeriesVolume volume_of(const index::StreamChunkRefs& stream, const rpc::SelectRequest& request) {
  constexpr std::uint32_t kFirstHolder = 1 << 20;   // ingesters are 0, 1, 2, …
  const index::TimeRange range{.start_ns = request.start_ns, .end_ns = request.end_ns};
  rpc::SeriesVolume volume{.labels = stream.labels, .bytes = 0, .entries = 0, .chunks = 0, .spans = {}};
  std::vector<rpc::VolumeSpan> summed;
  std::vector<const index::ChunkRef*> refs;   // of `summed`
  for (std::size_t i = 0; i < stream.chunks.size(); ++i) {
    const index::ChunkRef& ref = stream.chunks[i];
    const Share share = compute_share(ref, range);
    const bool apart = ref.max_ts_ns >= request.spans_since_ns;
    if (!apart && request.copies <= 1) {
      volume.bytes += share.bytes;
      volume.entries += share.rows;
      ++volume.chunks;
      continue;
    }
    const rpc::VolumeSpan span{.source_id = source_id(ref), .holder = kFirstHolder + static_cast<std::uint32_t>(i), .min_ts_ns = std::max(ref.min_ts_ns, range.start_ns),
                               .max_ts_ns = std::min(ref.max_ts_ns, range.end_ns), .bytes = share.bytes, .entries = share.rows};
    if (apart) {
      volume.spans.push_back(span);
    } else {
      summed.push_back(span);
      refs.push_back(&ref);
    }
  }
  if (!summed.empty()) {
    const rpc::VolumeTotal total = rpc::add_up(summed, request.copies, [&](std::size_t i, std::int64_t min_ts_ns, std::int64_t max_ts_ns) {
      const Share share = compute_share(*refs[i], {.start_ns = min_ts_ns, .end_ns = max_ts_ns});
      return rpc::VolumeTotal{.bytes = share.bytes, .entries = share.rows};
    });
    volume.bytes += total.bytes;
    volume.entries += total.entries;
    volume.chunks += summed.size();
  }
  return volume;
}

}  // namespace skald::store
