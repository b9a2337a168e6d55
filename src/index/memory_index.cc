#include "skald/index/memory_index.h"

#include <algorithm>
#include <mutex>

#include "index/chunk_list.h"
#include "index/match.h"

namespace skald::index {

ChunkRef MemoryIndex::Entry::whole() const {
  ChunkRef ref = chunk;
  if (sketch != nullptr) {
    std::vector<chunk::Sketch> read;
    const Result<void> ours = read_sketches(*sketch, 1, read);
    SKALD_CHECK(ours.ok());
    ref.sketch = std::move(read.front());
  }
  return ref;
}

// The caller holds the lock.
struct MemoryIndex::Table {
  const MemoryIndex& index;

  static void add(const std::vector<std::uint32_t>& ids, SeriesBitmap& out) {
    for (const std::uint32_t id : ids) out.set(id);
  }
  Result<void> or_value(std::string_view name, std::string_view value, SeriesBitmap& out) const {
    const auto values = index.names_.find(name);
    if (values == index.names_.end()) return {};
    const auto ids = values->second.find(value);
    if (ids != values->second.end()) add(ids->second, out);
    return {};
  }
  template <class Predicate>
  Result<void> or_values_if(std::string_view name, const Predicate& accepts, SeriesBitmap& out) const {
    const auto values = index.names_.find(name);
    if (values == index.names_.end()) return {};
    for (const auto& [value, ids] : values->second)
      if (accepts(std::string_view(value))) add(ids, out);
    return {};
  }
};

bool MemoryIndex::Series::in_range(const TimeRange& range) const {
  if (!range.overlaps(min_ts_ns, max_ts_ns)) return false;
  return std::any_of(chunks.begin(), chunks.end(), [&](const Entry& entry) { return range.overlaps(entry.chunk.min_ts_ns, entry.chunk.max_ts_ns); });
}

bool MemoryIndex::add(const model::LabelsPtr& labels, ChunkRef chunk) {
  const std::unique_lock lock(mutex_);
  Series* series = nullptr;
  for (auto [at, end] = by_hash_.equal_range(labels->hash); at != end; ++at) {
    if (series_[at->second].labels->labels == labels->labels) series = &series_[at->second];
  }
  if (series == nullptr) {
    const auto id = static_cast<std::uint32_t>(series_.size());
    series = &series_.emplace_back(Series{.labels = labels, .chunks = {}, .min_ts_ns = chunk.min_ts_ns, .max_ts_ns = chunk.max_ts_ns});
    by_hash_.emplace(labels->hash, id);
    for (const model::Label& label : labels->labels.pairs()) names_[label.name][label.value].push_back(id);
  }
  for (const Entry& known : series->chunks)
    if (known.chunk.offset == chunk.offset && known.chunk.object.id == chunk.object.id) return false;
  series->min_ts_ns = std::min(series->min_ts_ns, chunk.min_ts_ns);
  series->max_ts_ns = std::max(series->max_ts_ns, chunk.max_ts_ns);
  const auto at = std::upper_bound(series->chunks.begin(), series->chunks.end(), chunk.min_ts_ns,
                                   [](std::int64_t min_ts_ns, const Entry& entry) { return min_ts_ns < entry.chunk.min_ts_ns; });
  Entry entry;
  if (chunk.sketch.width_s != 0) {
    std::string sketch;
    append_sketch(sketch, chunk.sketch);
    sketch.shrink_to_fit();
    entry.sketch = std::make_unique<const std::string>(std::move(sketch));
    chunk.sketch = {};
  }
  entry.chunk = std::move(chunk);
  series->chunks.insert(at, std::move(entry));
  ++chunk_count_;
  return true;
}

std::size_t MemoryIndex::chunk_count() const {
  const std::shared_lock lock(mutex_);
  return chunk_count_;
}

std::size_t MemoryIndex::series_count() const {
  const std::shared_lock lock(mutex_);
  return series_.size();
}

void MemoryIndex::for_each(const std::function<void(const model::LabelsPtr&, const ChunkRef&)>& visit) const {
  const std::shared_lock lock(mutex_);
  for (const Series& series : series_)
    for (const Entry& entry : series.chunks) {
      if (entry.sketch == nullptr) visit(series.labels, entry.chunk);
      else visit(series.labels, entry.whole());
    }
}

Result<SeriesBitmap> MemoryIndex::match(std::span<const model::Matcher> matchers) const {
  const std::shared_lock lock(mutex_);
  return match_series(Table{*this}, static_cast<std::uint32_t>(series_.size()), matchers);
}

Result<void> MemoryIndex::append_chunk_refs(const SeriesBitmap& only, const TimeRange& range, WithSketches with_sketches,
                                            std::vector<StreamChunkRefs>& out) const {
  const std::shared_lock lock(mutex_);
  only.for_each([&](std::uint32_t id) {
    const Series& series = series_[id];
    if (!series.in_range(range)) return;
    StreamChunkRefs stream{.labels = series.labels, .chunks = {}};
    for (const Entry& entry : series.chunks) {
      if (!range.overlaps(entry.chunk.min_ts_ns, entry.chunk.max_ts_ns)) continue;
      stream.chunks.push_back(with_sketches == WithSketches::kYes ? entry.whole() : entry.chunk);
    }
    out.push_back(std::move(stream));
  });
  return {};
}

Result<void> MemoryIndex::append_series(const SeriesBitmap& only, const TimeRange& range, std::vector<model::LabelsPtr>& out) const {
  const std::shared_lock lock(mutex_);
  only.for_each([&](std::uint32_t id) {
    if (series_[id].in_range(range)) out.push_back(series_[id].labels);
  });
  return {};
}

Result<void> MemoryIndex::restrict_to(const TimeRange& range, SeriesBitmap& set) const {
  const std::shared_lock lock(mutex_);
  SeriesBitmap outside(set.size());
  set.for_each([&](std::uint32_t id) {
    if (!series_[id].in_range(range)) outside.set(id);
  });
  set.and_not(outside);
  return {};
}

Result<void> MemoryIndex::append_label_names(const SeriesBitmap& only, std::vector<std::string>& out) const {
  const std::shared_lock lock(mutex_);
  const auto occurs = [&](std::uint32_t id) { return id < only.size() && only.test(id); };
  for (const auto& [name, values] : names_) {
    const bool found = std::any_of(values.begin(), values.end(), [&](const auto& value) {
      return std::any_of(value.second.begin(), value.second.end(), occurs);
    });
    if (found) out.push_back(name);
  }
  return {};
}

Result<void> MemoryIndex::append_label_values(std::string_view name, const SeriesBitmap& only, std::vector<std::string>& out) const {
  const std::shared_lock lock(mutex_);
  const auto values = names_.find(name);
  if (values == names_.end()) return {};
  for (const auto& [value, ids] : values->second) {
    if (std::any_of(ids.begin(), ids.end(), [&](std::uint32_t id) { return id < only.size() && only.test(id); })) out.push_back(value);
  }
  return {};
}

}  // namespace skald::index
