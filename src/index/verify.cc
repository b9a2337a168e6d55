#include "skald/index/verify.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "index/day_index_parts.h"

namespace skald::index {
namespace {

class Verifier {
 public:
  Verifier(const DayIndexReader& reader, std::size_t problems_max) : parts_(reader.parts()), problems_max_(problems_max) {}

  std::vector<std::string> run() {
    check_symbols();
    check_objects();
    rank_names();
    check_series();
    check_postings();
    return std::move(problems_);
  }

 private:
  bool full() const { return problems_.size() >= problems_max_; }
  void problem(std::string text) {
    if (!full()) problems_.push_back(std::move(text));
  }
  // True when `result` holds.
  bool holds(const Result<void>& result) {
    if (!result.ok()) problem(result.error().message());
    return result.ok();
  }

  void check_symbols() {
    std::vector<std::string> block;
    std::string previous;
    bool first = true;
    for (std::uint32_t b = 0; b < parts_.symbols.blocks() && !full(); ++b) {
      if (!holds(parts_.symbols.decode_block(b, block))) return;
      for (std::string& symbol : block) {
        if (!first && symbol <= previous) problem("symbols: not in order in block " + std::to_string(b));
        first = false;
        previous = std::move(symbol);
      }
    }
  }

  void check_objects() {
    for (std::size_t at = kObjectEntryBytes; at < parts_.objects.size(); at += kObjectEntryBytes) {
      if (read_object(parts_.objects.data() + at).id <= read_object(parts_.objects.data() + at - kObjectEntryBytes).id) {
        problem("objects: not in order at number " + std::to_string(at / kObjectEntryBytes));
      }
    }
  }

  // Names with few values come first in a series (docs/formats/index.md, "Series").
  void rank_names() {
    std::vector<std::uint32_t> order(parts_.names.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return parts_.names[a].values < parts_.names[b].values; });
    ranks_.resize(order.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) ranks_[order[i]] = i;
  }

  void check_series() {
    const DayIndexHeader& header = parts_.header();
    SeriesCursor cursor(parts_);
    std::vector<LabelPair> previous;
    std::set<Ulid> objects_used;
    std::uint64_t chunks = 0, list_bytes = 0;
    for (std::uint32_t id = 0; id < header.series && !full(); ++id) {
      if (!holds(cursor.seek(id))) return;
      const std::vector<LabelPair>& pairs = cursor.pairs();
      const std::string name = "series " + std::to_string(id);
      for (std::size_t i = 1; i < pairs.size(); ++i)
        if (ranks_[pairs[i].name] <= ranks_[pairs[i - 1].name]) problem(name + ": labels not in order");
      const auto before = [&](const LabelPair& a, const LabelPair& b) { return std::tuple(ranks_[a.name], a.value) < std::tuple(ranks_[b.name], b.value); };
      if (id > 0 && !std::lexicographical_compare(previous.begin(), previous.end(), pairs.begin(), pairs.end(), before)) problem(name + ": not in order");
      previous = pairs;
      for (const LabelPair& pair : pairs) expected_[{pair.name, pair.value}].push_back(id);
      if (cursor.entry().first_chunk != chunks) problem(name + ": number of its first chunk");
      check_chunks(cursor.entry(), name, objects_used);
      chunks += cursor.entry().chunks;
      list_bytes += cursor.entry().chunk_list.size();
    }
    if (full()) return;
    if (chunks != header.chunks) problem("header: " + std::to_string(header.chunks) + " chunks, the lists hold " + std::to_string(chunks));
    if (list_bytes != parts_.chunk_lists.size()) problem("chunk lists: bytes that belong to no series");
    if (objects_used.size() != header.objects) problem("objects: some are not used by any chunk");
    if (chunks != 0 && (min_ts_ns_ != header.min_ts_ns || max_ts_ns_ != header.max_ts_ns)) problem("header: time range differs from the chunks'");
  }

  void check_chunks(const SeriesEntry& series, const std::string& name, std::set<Ulid>& objects_used) {
    ChunkListReader list(series.chunk_list, parts_.header().day, parts_.objects);
    std::int64_t previous_ns = INT64_MIN;
    std::set<std::pair<Ulid, std::uint64_t>> places;
    for (std::uint32_t i = 0; i < series.chunks; ++i) {
      ChunkRef ref;
      if (!holds(list.next(ref))) return;
      const std::string chunk = name + ", chunk " + std::to_string(i);
      if (ref.min_ts_ns < previous_ns) problem(chunk + ": not in order");
      previous_ns = ref.min_ts_ns;
      if (day_of(ref.min_ts_ns) > parts_.header().day || day_of(ref.max_ts_ns) < parts_.header().day) problem(chunk + ": does not touch the day");
      if (ref.rows == 0) problem(chunk + ": no rows");
      if (!places.emplace(ref.object.id, ref.offset).second) problem(chunk + ": listed twice");
      objects_used.insert(ref.object.id);
      min_ts_ns_ = std::min(min_ts_ns_, ref.min_ts_ns);
      max_ts_ns_ = std::max(max_ts_ns_, ref.max_ts_ns);
      check_sketch(series.first_chunk + i, ref, chunk);
    }
    if (!list.at_end()) problem(name + ": bytes left over in its chunk list");
  }

  void check_sketch(std::uint32_t number, const ChunkRef& ref, const std::string& chunk) {
    if (const std::uint32_t group = number / kSketchesPerGroup; group != sketch_group_) {
      sketch_group_ = group;
      const Result<void> read = parts_.read_sketch_group(group, sketches_);
      if (!read.ok()) sketches_.clear();
      holds(read);
    }
    if (number % kSketchesPerGroup >= sketches_.size()) return;
    const chunk::Sketch& sketch = sketches_[number % kSketchesPerGroup];
    if (sketch.width_s == 0) return;
    std::uint64_t rows = 0, bytes = 0, rows_with_level = 0;
    for (const std::uint32_t in_bucket : sketch.rows) rows += in_bucket;
    for (const std::uint64_t in_bucket : sketch.bytes) bytes += in_bucket;
    for (const auto& [level, of_level] : sketch.rows_by_level)
      for (const std::uint32_t in_bucket : of_level) rows_with_level += in_bucket;
    if (rows != ref.rows || bytes != ref.raw_bytes || rows_with_level > rows) problem(chunk + ": its sketch counts other rows or bytes");
  }

  void check_postings() {
    std::vector<ValueEntry> values;
    std::size_t seen = 0;
    for (std::uint32_t n = 0; n < parts_.names.size() && !full(); ++n) {
      const LabelName& name = parts_.names[n];
      for (std::uint32_t block = 0; block * kValuesPerBlock < name.values && !full(); ++block) {
        if (!holds(parts_.decode_values(name, block, values))) break;
        for (const ValueEntry& value : values) {
          const std::string text = "label '" + name.text + "', value symbol " + std::to_string(value.symbol);
          std::vector<std::uint32_t> ids = {value.single};
          if (!value.postings.empty()) {
            const auto view = PostingsView::parse(value.postings, parts_.header().series);
            if (!view.ok()) {
              problem(text + ": " + view.error().message());
              continue;
            }
            ids = view->to_vector();
          }
          const auto expected = expected_.find({n, value.symbol});
          if (expected == expected_.end() || expected->second != ids) problem(text + ": postings differ from the series");
          else ++seen;
        }
      }
    }
    if (!full() && problems_.empty() && seen != expected_.size()) problem("label values: some values of series are missing");
  }

  const DayIndexReader::Parts& parts_;
  const std::size_t problems_max_;
  std::vector<std::string> problems_;
  std::vector<std::uint32_t> ranks_;   // by position of the name
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<std::uint32_t>> expected_;   // (name, value) → series
  std::int64_t min_ts_ns_ = INT64_MAX, max_ts_ns_ = INT64_MIN;
  std::vector<chunk::Sketch> sketches_;
  std::uint32_t sketch_group_ = UINT32_MAX;
};

}  // namespace

Result<DayIndexInfo> describe_day_index(SharedBytes bytes) {
  SKALD_TRY(const std::shared_ptr<const DayIndexReader> reader, DayIndexReader::open(std::move(bytes)));
  DayIndexInfo info{.header = reader->header(), .size_bytes = reader->size_bytes(), .sections = {}, .labels = {}};
  for (std::uint16_t id = 1; id <= kKnownSections; ++id) {
    const Section& section = reader->parts().envelope.sections[id];
    if (section.id == 0) continue;
    info.sections.push_back({.name = section_name(id), .offset = section.offset, .bytes = section.length, .items = section.items});
  }
  std::sort(info.sections.begin(), info.sections.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  for (const LabelName& name : reader->parts().names) info.labels.push_back({.name = name.text, .values = name.values});
  return info;
}

std::string to_text(const DayIndexInfo& info) {
  const DayIndexHeader& header = info.header;
  std::string text = "daily index " + header.id.to_string() + ", format 1.0, " + std::to_string(info.size_bytes) + " bytes\n";
  text += "day " + std::to_string(header.day) + ", tenant hash " + std::to_string(header.tenant_hash) + ", times " + std::to_string(header.min_ts_ns) + " to " +
          std::to_string(header.max_ts_ns) + " ns\n";
  text += std::to_string(header.series) + " series, " + std::to_string(header.chunks) + " chunk entries, " + std::to_string(header.objects) + " objects, " +
          std::to_string(header.inputs.size()) + " inputs\n";
  for (const Ulid& id : header.inputs) text += "  replaces " + id.to_string() + "\n";
  for (const IndexSectionInfo& section : info.sections) {
    text += "  section '" + section.name + "' at " + std::to_string(section.offset) + ": " + std::to_string(section.bytes) + " bytes, " +
            std::to_string(section.items) + " items\n";
  }
  for (const DayIndexInfo::Label& label : info.labels) {
    text += "  label ";
    model::append_go_quoted(text, label.name);
    text += ": " + std::to_string(label.values) + " values\n";
  }
  return text;
}

std::vector<std::string> verify_day_index(const DayIndexReader& reader, std::size_t problems_max) { return Verifier(reader, problems_max).run(); }

}  // namespace skald::index
