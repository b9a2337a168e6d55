// What can be asked of a set of streams and their chunks, whether it is a daily index object (day_index.h) or the
// entries that have not shipped yet (memory_index.h). The store asks many of these and merges.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "skald/base/result.h"
#include "skald/index/chunk_ref.h"
#include "skald/index/postings.h"
#include "skald/model/labels.h"
#include "skald/model/matcher.h"

namespace skald::index {

// Both ends inclusive.
struct TimeRange {
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  bool overlaps(std::int64_t min_ts_ns, std::int64_t max_ts_ns) const { return min_ts_ns <= end_ns && max_ts_ns >= start_ns; }
};

// A stream and those of its chunks that were asked for, sorted by min_ts_ns.
struct StreamChunkRefs {
  model::LabelsPtr labels;
  std::vector<ChunkRef> chunks;
};

enum class WithSketches : bool { kNo = false, kYes = true };

// Thread-safe. Series ids are this index's own: a bitmap from match() is good only for the index that made it.
// Errors are kCorruption: the index's bytes do not check out.
class SeriesIndex {
 public:
  virtual ~SeriesIndex() = default;

  // Series that all matchers accept. No matchers: all series.
  virtual Result<SeriesBitmap> match(std::span<const model::Matcher> matchers) const = 0;

  // Appends a stream for each series of `only` with at least one chunk that overlaps `range`, and those chunks.
  virtual Result<void> append_chunk_refs(const SeriesBitmap& only, const TimeRange& range, WithSketches with_sketches,
                                         std::vector<StreamChunkRefs>& out) const = 0;
  // Appends the labels of the same series.
  virtual Result<void> append_series(const SeriesBitmap& only, const TimeRange& range, std::vector<model::LabelsPtr>& out) const = 0;
  // Drops series without a chunk in `range`.
  virtual Result<void> restrict_to(const TimeRange& range, SeriesBitmap& set) const = 0;

  // Appends names (values of `name`) that occur in series of `only`; each once, order unspecified.
  virtual Result<void> append_label_names(const SeriesBitmap& only, std::vector<std::string>& out) const = 0;
  virtual Result<void> append_label_values(std::string_view name, const SeriesBitmap& only, std::vector<std::string>& out) const = 0;
};

}  // namespace skald::index
