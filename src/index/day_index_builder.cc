#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "index/chunk_list.h"
#include "index/day_index_format.h"
#include "index/symbols.h"
#include "skald/codec/compress.h"
#include "skald/codec/crc32c.h"
#include "skald/codec/hash.h"
#include "skald/codec/varint.h"
#include "skald/index/day_index.h"

namespace skald::index {
namespace {

struct LabelsHash {
  std::size_t operator()(const model::LabelsPtr& labels) const { return static_cast<std::size_t>(labels->hash); }
};
struct LabelsEqual {
  bool operator()(const model::LabelsPtr& a, const model::LabelsPtr& b) const { return a == b || (a->hash == b->hash && a->labels == b->labels); }
};

struct Pair {
  std::uint32_t rank = 0;    // of the label name: names with few values first
  std::uint32_t name = 0;    // position in the label names section
  std::uint32_t value = 0;   // symbol
  bool same(const Pair& other) const { return name == other.name && value == other.value; }
};

// A chunk without its sketch, and that in its stored form: decoded it takes several times the room.
struct Entry {
  ChunkRef chunk;
  std::string sketch;
};

struct Series {
  model::LabelsPtr labels;
  std::vector<Entry> chunks;
  std::vector<Pair> pairs;   // by rank; from finish() on
};

struct Name {
  std::uint32_t symbol = 0;
  std::uint32_t values = 0;
  std::uint32_t rank = 0;
};

struct Posting {
  std::uint32_t name = 0, value = 0, series = 0;
  auto operator<=>(const Posting&) const = default;
};

Error invalid(const ChunkRef& chunk, const std::string& what) {
  return Error(ErrorCode::kInvalidArgument, "index: chunk at offset " + std::to_string(chunk.offset) + " of object " + chunk.object.id.to_string() + ": " + what);
}

}  // namespace

struct DayIndexBuilder::State {
  DayIndexHeader header;
  std::unordered_map<model::LabelsPtr, std::size_t, LabelsHash, LabelsEqual> positions;
  std::vector<Series> series;
  std::map<Ulid, ObjectRef> objects;
  std::size_t chunks = 0;
  Upkeep upkeep;

  // Set by finish(), in this order.
  std::vector<std::string_view> symbols;
  std::unordered_map<std::string_view, std::uint32_t> symbol_numbers;
  std::vector<Name> names;
  std::unordered_map<Ulid, std::uint32_t, decltype([](const Ulid& id) { return load_le<std::size_t>(id.bytes.data() + 8); })> ordinals;
  std::string out;
  std::vector<Section> sections;

  void number_symbols();
  void rank_names();
  void order_series();
  void write_section(SectionId id, std::string bytes, std::uint64_t items, std::uint16_t flags = kMustUnderstand);
  void write_labels_and_postings();
  void write_series_and_chunks();
  Result<void> write_sketches();
  void write_objects_and_inputs();
};

DayIndexBuilder::DayIndexBuilder(std::string_view tenant, std::int64_t day, const Ulid& id) : state_(std::make_unique<State>()) {
  state_->header.id = id;
  state_->header.day = day;
  state_->header.tenant_hash = codec::xxh3_64(tenant);
}
DayIndexBuilder::~DayIndexBuilder() = default;

void DayIndexBuilder::add_input(const Ulid& replaced) { state_->header.inputs.push_back(replaced); }
void DayIndexBuilder::set_upkeep(Upkeep upkeep) { state_->upkeep = std::move(upkeep); }
std::size_t DayIndexBuilder::chunk_count() const { return state_->chunks; }

Result<void> DayIndexBuilder::add(const model::LabelsPtr& labels, const ChunkRef& chunk) {
  State& s = *state_;
  if (s.header.day < -kDayMax || s.header.day > kDayMax) return invalid(chunk, "day " + std::to_string(s.header.day) + " cannot be indexed");
  if (chunk.max_ts_ns < chunk.min_ts_ns) return invalid(chunk, "ends before it starts");
  if (day_of(chunk.min_ts_ns) > s.header.day || day_of(chunk.max_ts_ns) < s.header.day) return invalid(chunk, "does not touch day " + std::to_string(s.header.day));
  if (chunk.offset % kAlignment != 0) return invalid(chunk, "offset is not a multiple of 64");
  if (chunk.rows == 0) return invalid(chunk, "has no rows");
  if (chunk.hot_length > chunk.length) return invalid(chunk, "hot part is longer than the chunk");
  if (chunk.object.length != 0 && chunk.offset + chunk.length > chunk.object.length) return invalid(chunk, "lies beyond the object's end");
  if (labels->labels.size() > kLabelsPerSeriesMax) return invalid(chunk, "stream has " + std::to_string(labels->labels.size()) + " labels");
  const auto [object, is_new_object] = s.objects.try_emplace(chunk.object.id, chunk.object);
  if (!is_new_object && object->second != chunk.object) return invalid(chunk, "the object is described in two ways");
  const auto [at, is_new] = s.positions.try_emplace(labels, s.series.size());
  if (is_new) s.series.push_back({.labels = labels, .chunks = {}, .pairs = {}});
  std::vector<Entry>& chunks = s.series[at->second].chunks;
  for (const Entry& known : chunks)
    if (known.chunk.offset == chunk.offset && known.chunk.object.id == chunk.object.id) return {};
  Entry& entry = chunks.emplace_back();
  append_sketch(entry.sketch, chunk.sketch);
  entry.chunk = {.object = chunk.object, .offset = chunk.offset, .length = chunk.length, .hot_length = chunk.hot_length, .min_ts_ns = chunk.min_ts_ns,
                 .max_ts_ns = chunk.max_ts_ns, .rows = chunk.rows, .raw_bytes = chunk.raw_bytes, .content_id = chunk.content_id, .group = chunk.group,
                 .first_row = chunk.first_row, .sketch = {}};
  ++s.chunks;
  return {};
}

void DayIndexBuilder::State::number_symbols() {
  for (const Series& one : series) {
    for (const model::Label& label : one.labels->labels.pairs()) {
      for (const std::string_view text : {std::string_view(label.name), std::string_view(label.value)})
        if (symbol_numbers.try_emplace(text, 0).second) symbols.push_back(text);
    }
  }
  std::sort(symbols.begin(), symbols.end());
  for (std::size_t i = 0; i < symbols.size(); ++i) symbol_numbers[symbols[i]] = static_cast<std::uint32_t>(i);
}

// Names in symbol order; each gets its rank by the number of its values, so that sorting series by rank makes the
// postings of coarse labels into few long runs.
void DayIndexBuilder::State::rank_names() {
  std::vector<std::uint64_t> pairs;   // name symbol, value symbol
  for (const Series& one : series) {
    for (const model::Label& label : one.labels->labels.pairs())
      pairs.push_back(static_cast<std::uint64_t>(symbol_numbers.at(label.name)) << 32 | symbol_numbers.at(label.value));
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  for (const std::uint64_t pair : pairs) {
    const auto symbol = static_cast<std::uint32_t>(pair >> 32);
    if (names.empty() || names.back().symbol != symbol) names.push_back({.symbol = symbol});
    ++names.back().values;
  }
  std::vector<Name*> by_values;
  for (Name& name : names) by_values.push_back(&name);
  std::stable_sort(by_values.begin(), by_values.end(), [](const Name* a, const Name* b) { return a->values < b->values; });
  for (std::size_t i = 0; i < by_values.size(); ++i) by_values[i]->rank = static_cast<std::uint32_t>(i);
}

void DayIndexBuilder::State::order_series() {
  std::unordered_map<std::uint32_t, std::uint32_t> positions_of_names;
  for (std::size_t i = 0; i < names.size(); ++i) positions_of_names.emplace(names[i].symbol, static_cast<std::uint32_t>(i));
  for (Series& one : series) {
    for (const model::Label& label : one.labels->labels.pairs()) {
      const std::uint32_t name = positions_of_names.at(symbol_numbers.at(label.name));
      one.pairs.push_back({.rank = names[name].rank, .name = name, .value = symbol_numbers.at(label.value)});
    }
    std::sort(one.pairs.begin(), one.pairs.end(), [](const Pair& a, const Pair& b) { return a.rank < b.rank; });
    std::sort(one.chunks.begin(), one.chunks.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.chunk.min_ts_ns, a.chunk.object.id, a.chunk.offset) < std::tie(b.chunk.min_ts_ns, b.chunk.object.id, b.chunk.offset);
    });
  }
  std::sort(series.begin(), series.end(), [](const Series& a, const Series& b) {
    return std::lexicographical_compare(a.pairs.begin(), a.pairs.end(), b.pairs.begin(), b.pairs.end(),
                                        [](const Pair& x, const Pair& y) { return std::tie(x.rank, x.value) < std::tie(y.rank, y.value); });
  });
}

void DayIndexBuilder::State::write_section(SectionId id, std::string bytes, std::uint64_t items, std::uint16_t flags) {
  out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
  sections.push_back({.id = id, .flags = flags, .crc = codec::crc32c(bytes), .offset = out.size(), .length = bytes.size(), .items = items});
  out += bytes;
}

void DayIndexBuilder::State::write_labels_and_postings() {
  std::vector<Posting> all;
  for (std::size_t id = 0; id < series.size(); ++id) {
    for (const Pair& pair : series[id].pairs) all.push_back({.name = pair.name, .value = pair.value, .series = static_cast<std::uint32_t>(id)});
  }
  std::sort(all.begin(), all.end());

  std::string name_section, value_section, postings;
  append_le<std::uint32_t>(name_section, static_cast<std::uint32_t>(names.size()));
  append_le<std::uint32_t>(name_section, 0);
  std::vector<std::uint32_t> ids;
  std::uint64_t values = 0;
  for (std::size_t i = 0, name = 0; name < names.size(); ++name) {
    append_le<std::uint32_t>(name_section, names[name].symbol);
    append_le<std::uint32_t>(name_section, names[name].values);
    append_le<std::uint64_t>(name_section, value_section.size());
    std::string sparse, data;
    std::uint32_t previous = 0;
    for (std::uint32_t k = 0; k < names[name].values; ++k, ++values) {
      const std::uint32_t value = all[i].value;
      ids.clear();
      for (; i < all.size() && all[i].name == name && all[i].value == value; ++i) ids.push_back(all[i].series);
      if (k % kValuesPerBlock == 0) {
        append_le<std::uint32_t>(sparse, value);
        append_le<std::uint32_t>(sparse, static_cast<std::uint32_t>(data.size()));
        append_le<std::uint64_t>(sparse, postings.size());
        previous = value;
      }
      codec::append_varint(data, value - previous);
      previous = value;
      if (ids.size() == 1) {   // one series: its id stands in the dictionary itself
        codec::append_varint(data, 0);
        codec::append_varint(data, ids[0]);
      } else {
        const std::size_t begin = postings.size();
        append_postings(postings, ids);
        codec::append_varint(data, postings.size() - begin);
        postings.resize((postings.size() + kPostingsAlignment - 1) / kPostingsAlignment * kPostingsAlignment, '\0');
      }
    }
    value_section += sparse;
    value_section += data;
  }
  write_section(kLabelNames, std::move(name_section), names.size());
  write_section(kLabelValues, std::move(value_section), values);
  write_section(kPostings, std::move(postings), values);
}

void DayIndexBuilder::State::write_series_and_chunks() {
  for (const auto& [id, object] : objects) ordinals.emplace(id, static_cast<std::uint32_t>(ordinals.size()));
  std::string sparse, data, lists;
  std::uint32_t chunk = 0;
  std::vector<PlacedRef> placed;
  for (std::size_t id = 0; id < series.size(); ++id) {
    const Series& one = series[id];
    std::size_t shared = 0;
    if (id % kSeriesPerBlock == 0) {
      append_le<std::uint64_t>(sparse, data.size());
      append_le<std::uint64_t>(sparse, lists.size());
      append_le<std::uint32_t>(sparse, chunk);
      append_le<std::uint32_t>(sparse, 0);
    } else {
      const std::vector<Pair>& previous = series[id - 1].pairs;
      while (shared < one.pairs.size() && shared < previous.size() && one.pairs[shared].same(previous[shared])) ++shared;
    }
    codec::append_varint(data, shared);
    codec::append_varint(data, one.pairs.size() - shared);
    for (std::size_t i = shared; i < one.pairs.size(); ++i) {
      codec::append_varint(data, one.pairs[i].name);
      codec::append_varint(data, one.pairs[i].value);
    }
    placed.clear();
    for (const Entry& entry : one.chunks) placed.push_back({.object = ordinals.at(entry.chunk.object.id), .chunk = &entry.chunk});
    const std::size_t begin = lists.size();
    append_chunk_list(lists, header.day, placed);
    codec::append_varint(data, one.chunks.size());
    codec::append_varint(data, lists.size() - begin);
    chunk += static_cast<std::uint32_t>(one.chunks.size());
  }
  std::string section;
  append_le<std::uint32_t>(section, static_cast<std::uint32_t>(series.size()));
  append_le<std::uint32_t>(section, static_cast<std::uint32_t>((series.size() + kSeriesPerBlock - 1) / kSeriesPerBlock));
  section += sparse;
  section += data;
  write_section(kSeries, std::move(section), series.size());
  write_section(kChunkLists, std::move(lists), chunk);
}

Result<void> DayIndexBuilder::State::write_sketches() {
  std::string sparse, data, raw;
  std::uint32_t groups = 0, in_group = 0;
  const auto finish_group = [&]() -> Result<void> {
    append_le<std::uint64_t>(sparse, data.size());
    const std::size_t begin = data.size();
    SKALD_TRY_VOID(codec::compress_append(codec::Compression::kZstd, codec::kDefaultLevel, raw, data));
    append_le<std::uint32_t>(sparse, static_cast<std::uint32_t>(data.size() - begin));
    append_le<std::uint32_t>(sparse, static_cast<std::uint32_t>(raw.size()));
    raw.clear();
    in_group = 0;
    ++groups;
    return {};
  };
  for (const Series& one : series) {
    for (const Entry& entry : one.chunks) {
      raw += entry.sketch;
      if (++in_group == kSketchesPerGroup) SKALD_TRY_VOID(finish_group());
    }
  }
  if (in_group != 0) SKALD_TRY_VOID(finish_group());
  std::string section;
  append_le<std::uint32_t>(section, static_cast<std::uint32_t>(chunks));
  append_le<std::uint32_t>(section, groups);
  section += sparse;
  section += data;
  write_section(kSketches, std::move(section), groups);
  return {};
}

void DayIndexBuilder::State::write_objects_and_inputs() {
  std::string section;
  append_le<std::uint32_t>(section, static_cast<std::uint32_t>(objects.size()));
  append_le<std::uint32_t>(section, 0);
  for (const auto& [id, object] : objects) {
    section.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
    append_le<std::int64_t>(section, object.shard_start_ns);
    append_le<std::uint64_t>(section, object.length);
    append_le<std::uint64_t>(section, object.tail_offset);
  }
  write_section(kObjects, std::move(section), objects.size());
  std::string inputs;
  for (const Ulid& id : header.inputs) inputs.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  write_section(kInputs, std::move(inputs), header.inputs.size());
  if (!upkeep.empty()) write_section(kUpkeep, encode_upkeep(std::move(upkeep)), 0, 0);
}

Result<BuiltDayIndex> DayIndexBuilder::finish() {
  State& s = *state_;
  if (s.chunks > UINT32_MAX - kSketchesPerGroup || s.series.size() > UINT32_MAX - kSeriesPerBlock) {
    return Error(ErrorCode::kTooLarge, "index: too many streams or chunks in day " + std::to_string(s.header.day));
  }
  s.number_symbols();
  SKALD_TRY(std::string symbol_section, encode_symbols(s.symbols));
  s.rank_names();
  s.order_series();

  DayIndexHeader& header = s.header;
  header.series = static_cast<std::uint32_t>(s.series.size());
  header.chunks = static_cast<std::uint32_t>(s.chunks);
  header.objects = static_cast<std::uint32_t>(s.objects.size());
  std::sort(header.inputs.begin(), header.inputs.end());
  header.inputs.erase(std::unique(header.inputs.begin(), header.inputs.end()), header.inputs.end());
  bool first = true;
  for (const Series& one : s.series) {
    for (const Entry& entry : one.chunks) {
      const ChunkRef& ref = entry.chunk;
      header.min_ts_ns = first ? ref.min_ts_ns : std::min(header.min_ts_ns, ref.min_ts_ns);
      header.max_ts_ns = first ? ref.max_ts_ns : std::max(header.max_ts_ns, ref.max_ts_ns);
      first = false;
    }
  }
  s.out = encode_header(header);
  s.write_section(kSymbols, std::move(symbol_section), s.symbols.size());
  s.write_labels_and_postings();
  s.write_series_and_chunks();
  SKALD_TRY_VOID(s.write_sketches());
  s.write_objects_and_inputs();

  s.out.resize((s.out.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
  std::string table;
  for (const Section& section : s.sections) {
    append_le<std::uint16_t>(table, section.id);
    append_le<std::uint16_t>(table, section.flags);
    append_le<std::uint32_t>(table, section.crc);
    append_le<std::uint64_t>(table, section.offset);
    append_le<std::uint64_t>(table, section.length);
    append_le<std::uint64_t>(table, section.items);
  }
  const std::uint64_t table_offset = s.out.size();
  s.out += table;
  s.out += encode_trailer(header, table_offset, static_cast<std::uint32_t>(table.size()), codec::crc32c(table), s.out.size() + kTrailerBytes,
                          static_cast<std::uint32_t>(s.sections.size()));
  return BuiltDayIndex{.bytes = std::move(s.out), .header = header};
}

}  // namespace skald::index
