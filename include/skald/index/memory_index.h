// Index entries in memory: chunks that are durable in the bucket and not yet listed by a shipped index object.
#pragma once

#include <functional>
#include <memory>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "skald/index/series_index.h"

namespace skald::index {

// Thread-safe: one writer at a time, readers beside it. Series are never removed; the whole index is dropped at once.
class MemoryIndex final : public SeriesIndex {
 public:
  // The same chunk of the same stream (object, offset) twice is kept once. False: it was there already.
  bool add(const model::LabelsPtr& labels, ChunkRef chunk);

  std::size_t chunk_count() const;
  std::size_t series_count() const;
  // Calls `visit` for every entry, in no order; entries added meanwhile may be left out.
  void for_each(const std::function<void(const model::LabelsPtr&, const ChunkRef&)>& visit) const;

  Result<SeriesBitmap> match(std::span<const model::Matcher> matchers) const override;
  Result<void> append_chunk_refs(const SeriesBitmap& only, const TimeRange& range, WithSketches with_sketches,
                                 std::vector<StreamChunkRefs>& out) const override;
  Result<void> append_series(const SeriesBitmap& only, const TimeRange& range, std::vector<model::LabelsPtr>& out) const override;
  Result<void> restrict_to(const TimeRange& range, SeriesBitmap& set) const override;
  Result<void> append_label_names(const SeriesBitmap& only, std::vector<std::string>& out) const override;
  Result<void> append_label_values(std::string_view name, const SeriesBitmap& only, std::vector<std::string>& out) const override;

 private:
  // A chunk without its sketch, and that as index objects have it: decoded it takes several times the room.
  struct Entry {
    ChunkRef chunk;
    std::unique_ptr<const std::string> sketch;   // null: none
    ChunkRef whole() const;
  };
  struct Series {
    model::LabelsPtr labels;
    std::vector<Entry> chunks;
    std::int64_t min_ts_ns = 0, max_ts_ns = 0;   // of all chunks
    bool in_range(const TimeRange& range) const;
  };
  struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Values = std::unordered_map<std::string, std::vector<std::uint32_t>, StringHash, std::equal_to<>>;   // ids ascend
  struct Table;

  mutable std::shared_mutex mutex_;   // guards all below
  std::vector<Series> series_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_hash_;
  std::unordered_map<std::string, Values, StringHash, std::equal_to<>> names_;
  std::size_t chunk_count_ = 0;
};

}  // namespace skald::index
