// The daily index object: all streams of one tenant and UTC day, and where their chunks lie. Immutable once written.
// Bytes: docs/formats/index.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/random.h"
#include "skald/base/result.h"
#include "skald/index/series_index.h"
#include "skald/index/upkeep.h"

namespace skald::index {

struct DayIndexHeader {
  Ulid id;
  std::uint64_t tenant_hash = 0;   // XXH3-64 of the tenant's name
  std::int64_t day = 0;            // since 1970-01-01 UTC
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;   // of all chunks; they may reach into the neighbouring days
  std::uint32_t series = 0;
  std::uint32_t chunks = 0;        // chunk list entries: a group chunk counts once per member stream
  std::uint32_t objects = 0;
  std::vector<Ulid> inputs;        // index objects that this one replaces, sorted
};

struct BuiltDayIndex {
  Bytes bytes;
  DayIndexHeader header;
};

// Not thread-safe. Keeps everything added in memory until finish().
class DayIndexBuilder {
 public:
  DayIndexBuilder(std::string_view tenant, std::int64_t day, const Ulid& id);
  ~DayIndexBuilder();

  void add_input(const Ulid& replaced);
  void set_upkeep(Upkeep upkeep);   // compaction's own notes; ingesters have none
  // The same chunk (object, offset) of the same stream added twice is written once.
  // kInvalidArgument: the chunk does not touch the day, max_ts < min_ts, its offset is not a multiple of 64, it has no
  // rows, or one object id came with two different lengths, shards or tail offsets.
  Result<void> add(const model::LabelsPtr& labels, const ChunkRef& chunk);
  std::size_t chunk_count() const;

  // kTooLarge: more than 2^32 - 1 symbols, series or chunks. Call once. A sketch with more than kSketchBucketsMax buckets
  // or an unknown width is written as "none": it is an aid for counting, and the chunk must be listed all the same.
  Result<BuiltDayIndex> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

inline constexpr std::uint32_t kSketchBucketsMax = 8192;   // two hours of seconds, with room for the edges

// Opened index. Everything is read in place from the bytes it was opened on.
class DayIndexReader final : public SeriesIndex {
 public:
  // Checks magic, versions, every checksum and all section bounds before anything is allocated. kCorruption names what
  // is wrong and at which offset.
  static Result<std::shared_ptr<const DayIndexReader>> open(SharedBytes bytes);
  ~DayIndexReader() override;

  const DayIndexHeader& header() const;
  const Upkeep& upkeep() const;   // empty in what ingesters wrote
  std::vector<ObjectRef> objects() const;   // that its chunks lie in, by id
  std::uint64_t size_bytes() const;

  Result<SeriesBitmap> match(std::span<const model::Matcher> matchers) const override;
  Result<void> append_chunk_refs(const SeriesBitmap& only, const TimeRange& range, WithSketches with_sketches,
                                 std::vector<StreamChunkRefs>& out) const override;
  Result<void> append_series(const SeriesBitmap& only, const TimeRange& range, std::vector<model::LabelsPtr>& out) const override;
  Result<void> restrict_to(const TimeRange& range, SeriesBitmap& set) const override;
  Result<void> append_label_names(const SeriesBitmap& only, std::vector<std::string>& out) const override;
  Result<void> append_label_values(std::string_view name, const SeriesBitmap& only, std::vector<std::string>& out) const override;

  struct Parts;   // src/index/day_index_parts.h; for verify
  const Parts& parts() const { return *parts_; }

 private:
  explicit DayIndexReader(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// <tenant>/index/index_<day>/<ULID>
std::string day_index_key(std::string_view tenant, std::int64_t day, const Ulid& id);
struct DayIndexKey {
  std::string tenant;
  std::int64_t day = 0;
  Ulid id;
};
std::optional<DayIndexKey> parse_day_index_key(std::string_view key);   // nullopt: some other object

}  // namespace skald::index
