#include <algorithm>

#include "index/day_index_parts.h"
#include "index/match.h"
#include "skald/index/day_index.h"

namespace skald::index {
namespace {

Result<void> open_label_names(DayIndexReader::Parts& parts, ByteView object) {
  const ByteView section = parts.envelope.view(object, kLabelNames), values = parts.envelope.view(object, kLabelValues);
  codec::ByteReader in(section);
  const auto count = in.fixed<std::uint32_t>();
  in.fixed<std::uint32_t>();
  if (!in.ok() || in.remaining() != count * kLabelNameEntryBytes) return corrupt_index("label names: number of entries");
  const ByteView entries = in.rest();
  SymbolCursor symbols(parts.symbols);
  for (std::uint32_t i = 0; i < count; ++i) {
    const char* entry = entries.data() + i * kLabelNameEntryBytes;
    LabelName name;
    name.symbol = load_le<std::uint32_t>(entry);
    name.values = load_le<std::uint32_t>(entry + 4);
    const auto begin = load_le<std::uint64_t>(entry + 8);
    const std::uint64_t end = i + 1 == count ? values.size() : load_le<std::uint64_t>(entry + kLabelNameEntryBytes + 8);
    SKALD_TRY(const std::string_view text, symbols.text(name.symbol));
    name.text = text;
    if (i > 0 && name.text <= parts.names.back().text) return corrupt_index("label names: not sorted");
    const std::uint64_t sparse_bytes = (static_cast<std::uint64_t>(name.values) + kValuesPerBlock - 1) / kValuesPerBlock * kValueSparseBytes;
    if (begin > end || end > values.size() || sparse_bytes > end - begin || (i == 0 && begin != 0) || name.values > parts.symbols.count()) {
      return corrupt_index("label names: bounds of the values of '" + name.text + "'");
    }
    name.sparse = values.substr(begin, sparse_bytes);
    name.data = values.substr(begin + sparse_bytes, end - begin - sparse_bytes);
    parts.names.push_back(std::move(name));
  }
  return {};
}

Result<void> open_sections(DayIndexReader::Parts& parts) {
  const ByteView object = *parts.bytes;
  const Envelope& envelope = parts.envelope;
  SKALD_TRY(parts.symbols, SymbolView::parse(envelope.view(object, kSymbols)));
  SKALD_TRY_VOID(open_label_names(parts, object));
  parts.postings = envelope.view(object, kPostings);
  parts.chunk_lists = envelope.view(object, kChunkLists);

  codec::ByteReader series(envelope.view(object, kSeries));
  const auto series_count = series.fixed<std::uint32_t>();
  parts.series_blocks = series.fixed<std::uint32_t>();
  if (!series.ok() || series_count != parts.header().series ||
      parts.series_blocks != (static_cast<std::uint64_t>(series_count) + kSeriesPerBlock - 1) / kSeriesPerBlock) {
    return corrupt_index("series: counts");
  }
  parts.series_sparse = series.bytes(parts.series_blocks * static_cast<std::uint64_t>(kSeriesSparseBytes));
  parts.series_data = series.rest();
  // A series takes at least four bytes, so that no count in a header makes a query reserve more than the object justifies.
  if (!series.ok() || series_count > parts.series_data.size() / 4) return corrupt_index("series: truncated");

  codec::ByteReader sketches(envelope.view(object, kSketches));
  const auto chunk_count = sketches.fixed<std::uint32_t>();
  parts.sketch_groups = sketches.fixed<std::uint32_t>();
  if (!sketches.ok() || chunk_count != parts.header().chunks ||
      parts.sketch_groups != (static_cast<std::uint64_t>(chunk_count) + kSketchesPerGroup - 1) / kSketchesPerGroup) {
    return corrupt_index("sketches: counts");
  }
  parts.sketch_sparse = sketches.bytes(parts.sketch_groups * static_cast<std::uint64_t>(kSketchGroupEntryBytes));
  parts.sketch_data = sketches.rest();
  if (!sketches.ok()) return corrupt_index("sketches: truncated");

  codec::ByteReader objects(envelope.view(object, kObjects));
  const auto object_count = objects.fixed<std::uint32_t>();
  objects.fixed<std::uint32_t>();
  if (!objects.ok() || object_count != parts.header().objects || objects.remaining() != object_count * static_cast<std::uint64_t>(kObjectEntryBytes)) {
    return corrupt_index("objects: counts");
  }
  parts.objects = objects.rest();

  const ByteView inputs = envelope.view(object, kInputs);
  std::vector<Ulid>& ids = parts.envelope.header.inputs;
  for (std::size_t at = 0; at < inputs.size(); at += 16) {
    Ulid id;
    std::memcpy(id.bytes.data(), inputs.data() + at, 16);
    if (!ids.empty() && id <= ids.back()) return corrupt_index("inputs: not sorted");
    ids.push_back(id);
  }
  if (envelope.sections[kUpkeep].id != 0) { SKALD_TRY(parts.upkeep, decode_upkeep(envelope.view(object, kUpkeep))); }
  return {};
}

}  // namespace

DayIndexReader::DayIndexReader(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
DayIndexReader::~DayIndexReader() = default;

Result<std::shared_ptr<const DayIndexReader>> DayIndexReader::open(SharedBytes bytes) {
  auto parts = std::make_unique<Parts>();
  SKALD_TRY(parts->envelope, read_envelope(*bytes));
  parts->bytes = std::move(bytes);
  SKALD_TRY_VOID(open_sections(*parts));
  return std::shared_ptr<const DayIndexReader>(new DayIndexReader(std::move(parts)));
}

const DayIndexHeader& DayIndexReader::header() const { return parts_->header(); }
const Upkeep& DayIndexReader::upkeep() const { return parts_->upkeep; }
std::vector<ObjectRef> DayIndexReader::objects() const {
  std::vector<ObjectRef> objects;
  for (std::size_t at = 0; at < parts_->objects.size(); at += kObjectEntryBytes) objects.push_back(read_object(parts_->objects.data() + at));
  return objects;
}

std::uint64_t DayIndexReader::size_bytes() const { return parts_->bytes->size(); }

Result<SeriesBitmap> DayIndexReader::match(std::span<const model::Matcher> matchers) const {
  return match_series(*parts_, parts_->header().series, matchers);
}

namespace {

// Labels of the series the cursor is at: those of an earlier query, or made and added to `made`.
Result<model::LabelsPtr> labels_of(const DayIndexReader::Parts& parts, std::uint32_t id, const SeriesCursor& cursor, LabelsMaker& maker,
                                   LabelsCache::Made& made) {
  if (model::LabelsPtr held = parts.made_labels.find(id); held != nullptr) return held;
  SKALD_TRY(model::LabelsPtr labels, maker.make(cursor.pairs()));
  made.emplace_back(id, labels);
  return labels;
}

}  // namespace

Result<void> DayIndexReader::append_chunk_refs(const SeriesBitmap& only, const TimeRange& range, WithSketches with_sketches,
                                               std::vector<StreamChunkRefs>& out) const {
  if (!range.overlaps(header().min_ts_ns, header().max_ts_ns)) return {};
  SeriesCursor cursor(*parts_);
  LabelsMaker maker(*parts_);
  LabelsCache::Made made;
  std::vector<ChunkRef> refs;
  std::vector<chunk::Sketch> sketches;   // of loaded_group
  std::uint32_t loaded_group = UINT32_MAX;
  for (std::uint32_t id = only.next(0); id < only.size(); id = only.next(id + 1)) {
    SKALD_TRY_VOID(cursor.seek(id));
    const SeriesEntry& series = cursor.entry();
    ChunkListReader list(series.chunk_list, header().day, parts_->objects);
    refs.clear();
    for (std::uint32_t i = 0; i < series.chunks; ++i) {
      ChunkRef ref;
      SKALD_TRY_VOID(list.next(ref));
      if (!range.overlaps(ref.min_ts_ns, ref.max_ts_ns)) continue;
      if (with_sketches == WithSketches::kYes) {
        const std::uint32_t number = series.first_chunk + i;
        if (number / kSketchesPerGroup != loaded_group) {
          loaded_group = UINT32_MAX;
          SKALD_TRY_VOID(parts_->read_sketch_group(number / kSketchesPerGroup, sketches));
          loaded_group = number / kSketchesPerGroup;
        }
        ref.sketch = sketches[number % kSketchesPerGroup];
      }
      refs.push_back(std::move(ref));
    }
    if (!list.at_end()) return corrupt_index("chunk list of series " + std::to_string(id) + " has bytes left over");
    if (refs.empty()) continue;
    SKALD_TRY(model::LabelsPtr labels, labels_of(*parts_, id, cursor, maker, made));
    out.push_back({.labels = std::move(labels), .chunks = std::move(refs)});
    refs = {};
  }
  parts_->made_labels.add(made);
  return {};
}

namespace {

Result<bool> has_chunk_in(const DayIndexReader::Parts& parts, const SeriesEntry& series, const TimeRange& range) {
  ChunkListReader list(series.chunk_list, parts.header().day, parts.objects);
  ChunkRef ref;
  for (std::uint32_t i = 0; i < series.chunks; ++i) {
    SKALD_TRY_VOID(list.next(ref));
    if (range.overlaps(ref.min_ts_ns, ref.max_ts_ns)) return true;
  }
  return false;
}

}  // namespace

Result<void> DayIndexReader::append_series(const SeriesBitmap& only, const TimeRange& range, std::vector<model::LabelsPtr>& out) const {
  SeriesCursor cursor(*parts_);
  LabelsMaker maker(*parts_);
  LabelsCache::Made made;
  for (std::uint32_t id = only.next(0); id < only.size(); id = only.next(id + 1)) {
    SKALD_TRY_VOID(cursor.seek(id));
    SKALD_TRY(const bool found, has_chunk_in(*parts_, cursor.entry(), range));
    if (!found) continue;
    SKALD_TRY(model::LabelsPtr labels, labels_of(*parts_, id, cursor, maker, made));
    out.push_back(std::move(labels));
  }
  parts_->made_labels.add(made);
  return {};
}

Result<void> DayIndexReader::restrict_to(const TimeRange& range, SeriesBitmap& set) const {
  SeriesCursor cursor(*parts_);
  SeriesBitmap outside(set.size());
  for (std::uint32_t id = set.next(0); id < set.size(); id = set.next(id + 1)) {
    SKALD_TRY_VOID(cursor.seek(id));
    SKALD_TRY(const bool found, has_chunk_in(*parts_, cursor.entry(), range));
    if (!found) outside.set(id);
  }
  set.and_not(outside);
  return {};
}

Result<void> DayIndexReader::append_label_names(const SeriesBitmap& only, std::vector<std::string>& out) const {
  // From the series, not from the postings: neighbours share labels, and a name with a million values costs nothing.
  std::vector<char> seen(parts_->names.size(), 0);
  std::size_t missing = seen.size();
  SeriesCursor cursor(*parts_);
  for (std::uint32_t id = only.next(0); id < only.size() && missing != 0; id = only.next(id + 1)) {
    SKALD_TRY_VOID(cursor.seek(id));
    for (const LabelPair& pair : cursor.pairs()) {
      missing -= seen[pair.name] == 0;
      seen[pair.name] = 1;
    }
  }
  for (std::size_t i = 0; i < seen.size(); ++i)
    if (seen[i] != 0) out.push_back(parts_->names[i].text);
  return {};
}

Result<void> DayIndexReader::append_label_values(std::string_view name, const SeriesBitmap& only, std::vector<std::string>& out) const {
  const LabelName* found = parts_->find_name(name);
  if (found == nullptr) return {};
  const bool everything = only.all();
  SymbolCursor cursor(parts_->symbols);
  std::vector<ValueEntry> values;
  for (std::uint32_t block = 0; block * kValuesPerBlock < found->values; ++block) {
    SKALD_TRY_VOID(parts_->decode_values(*found, block, values));
    for (const ValueEntry& value : values) {
      if (!everything) {
        SKALD_TRY(const bool occurs, parts_->occurs_in(value, only));
        if (!occurs) continue;
      }
      SKALD_TRY(const std::string_view text, cursor.text(value.symbol));
      out.emplace_back(text);
    }
  }
  return {};
}

}  // namespace skald::index
