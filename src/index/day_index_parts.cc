#include "index/day_index_parts.h"

#include <algorithm>

#include "skald/codec/compress.h"

namespace skald::index {

const LabelName* DayIndexReader::Parts::find_name(std::string_view name) const {
  const auto at = std::lower_bound(names.begin(), names.end(), name, [](const LabelName& a, std::string_view b) { return a.text < b; });
  return at != names.end() && at->text == name ? &*at : nullptr;
}

Result<void> DayIndexReader::Parts::decode_values(const LabelName& name, std::uint32_t block, std::vector<ValueEntry>& out) const {
  const char* sparse = name.sparse.data() + block * kValueSparseBytes;
  const auto begin = load_le<std::uint32_t>(sparse + 4);
  const bool is_last = (block + 1ULL) * kValueSparseBytes == name.sparse.size();
  const std::uint64_t end = is_last ? name.data.size() : load_le<std::uint32_t>(sparse + kValueSparseBytes + 4);
  if (begin > end || end > name.data.size()) return corrupt_index("label values of '" + name.text + "': block bounds");
  codec::ByteReader in(name.data.substr(begin, end - begin));
  std::uint64_t symbol = load_le<std::uint32_t>(sparse);
  std::uint64_t postings_at = load_le<std::uint64_t>(sparse + 8);
  const std::uint32_t count = std::min(kValuesPerBlock, name.values - block * kValuesPerBlock);
  out.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t delta = in.varint();
    const std::uint64_t postings_bytes = in.varint();
    if (!in.ok() || (i > 0 && delta == 0) || delta > symbols.count() || (symbol += delta) >= symbols.count()) {
      return corrupt_index("label values of '" + name.text + "': symbols");
    }
    ValueEntry value{.symbol = static_cast<std::uint32_t>(symbol), .single = 0, .postings = {}};
    if (postings_bytes == 0) {
      const std::uint64_t id = in.varint();
      if (!in.ok() || id >= header().series) return corrupt_index("label values of '" + name.text + "': series id");
      value.single = static_cast<std::uint32_t>(id);
    } else {
      if (postings_at > postings.size() || postings_bytes > postings.size() - postings_at) return corrupt_index("label values of '" + name.text + "': postings bounds");
      value.postings = postings.substr(postings_at, postings_bytes);
      postings_at = (postings_at + postings_bytes + kPostingsAlignment - 1) / kPostingsAlignment * kPostingsAlignment;
    }
    out.push_back(value);
  }
  if (!in.at_end()) return corrupt_index("label values of '" + name.text + "': bytes left over");
  return {};
}

Result<void> DayIndexReader::Parts::add_series_of(const ValueEntry& value, SeriesBitmap& set) const {
  if (value.postings.empty()) {
    set.set(value.single);
    return {};
  }
  SKALD_TRY(const PostingsView view, PostingsView::parse(value.postings, header().series));
  view.or_into(set);
  return {};
}

Result<bool> DayIndexReader::Parts::occurs_in(const ValueEntry& value, const SeriesBitmap& set) const {
  if (value.postings.empty()) return set.test(value.single);
  SKALD_TRY(const PostingsView view, PostingsView::parse(value.postings, header().series));
  return view.intersects(set);
}

Result<void> DayIndexReader::Parts::or_value(std::string_view name, std::string_view value, SeriesBitmap& out) const {
  const LabelName* found = find_name(name);
  if (found == nullptr) return {};
  SKALD_TRY(const std::optional<std::uint32_t> symbol, symbols.find(value));
  if (!symbol.has_value()) return {};
  std::size_t low = 0, high = found->sparse.size() / kValueSparseBytes;   // the last block that starts at or before the symbol
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (load_le<std::uint32_t>(found->sparse.data() + middle * kValueSparseBytes) <= *symbol) low = middle + 1;
    else high = middle;
  }
  if (low == 0) return {};
  std::vector<ValueEntry> values;
  SKALD_TRY_VOID(decode_values(*found, static_cast<std::uint32_t>(low - 1), values));
  const auto at = std::lower_bound(values.begin(), values.end(), *symbol, [](const ValueEntry& a, std::uint32_t b) { return a.symbol < b; });
  if (at == values.end() || at->symbol != *symbol) return {};
  return add_series_of(*at, out);
}

Result<void> DayIndexReader::Parts::read_sketch_group(std::uint32_t group, std::vector<chunk::Sketch>& out) const {
  if (group >= sketch_groups) return corrupt_index("sketch group " + std::to_string(group) + " does not exist");
  const char* entry = sketch_sparse.data() + group * kSketchGroupEntryBytes;
  const auto offset = load_le<std::uint64_t>(entry);
  const auto stored = load_le<std::uint32_t>(entry + 8), raw_bytes = load_le<std::uint32_t>(entry + 12);
  if (offset > sketch_data.size() || stored > sketch_data.size() - offset || raw_bytes > kSketchGroupRawBytesMax) {
    return corrupt_index("bounds of sketch group " + std::to_string(group));
  }
  SKALD_TRY(const Bytes raw, codec::decompress_exact(codec::Compression::kZstd, sketch_data.substr(offset, stored), raw_bytes));
  const std::uint32_t count = std::min(kSketchesPerGroup, header().chunks - group * kSketchesPerGroup);
  return read_sketches(raw, count, out);
}

Result<void> SeriesCursor::enter_block(std::uint32_t block) {
  const char* sparse = parts_.series_sparse.data() + block * kSeriesSparseBytes;
  const bool is_last = block + 1 == parts_.series_blocks;
  const auto begin = load_le<std::uint64_t>(sparse);
  const std::uint64_t end = is_last ? parts_.series_data.size() : load_le<std::uint64_t>(sparse + kSeriesSparseBytes);
  next_list_ = load_le<std::uint64_t>(sparse + 8);
  lists_end_ = is_last ? parts_.chunk_lists.size() : load_le<std::uint64_t>(sparse + kSeriesSparseBytes + 8);
  next_chunk_ = load_le<std::uint32_t>(sparse + 16);
  if (begin > end || end > parts_.series_data.size() || next_list_ > lists_end_ || lists_end_ > parts_.chunk_lists.size()) {
    return corrupt_index("bounds of series block " + std::to_string(block));
  }
  in_ = codec::ByteReader(parts_.series_data.substr(begin, end - begin));
  block_ = block;
  next_id_ = block * kSeriesPerBlock;
  pairs_.clear();
  return {};
}

Result<void> SeriesCursor::step() {
  const std::uint64_t shared = in_.varint(), added = in_.varint();
  if (!in_.ok() || shared > pairs_.size() || added > kLabelsPerSeriesMax || shared + added > kLabelsPerSeriesMax) {
    return corrupt_index("labels of series " + std::to_string(next_id_));
  }
  pairs_.resize(shared);
  for (std::uint64_t i = 0; i < added; ++i) {
    const std::uint64_t name = in_.varint(), value = in_.varint();
    if (!in_.ok() || name >= parts_.names.size() || value >= parts_.symbols.count()) return corrupt_index("labels of series " + std::to_string(next_id_));
    pairs_.push_back({.name = static_cast<std::uint32_t>(name), .value = static_cast<std::uint32_t>(value)});
  }
  const std::uint64_t chunks = in_.varint(), list_bytes = in_.varint();
  if (!in_.ok() || chunks == 0 || chunks > parts_.header().chunks || next_chunk_ > parts_.header().chunks - chunks ||
      list_bytes > lists_end_ - next_list_) {
    return corrupt_index("chunk list of series " + std::to_string(next_id_));
  }
  entry_ = {.id = next_id_, .chunks = static_cast<std::uint32_t>(chunks), .first_chunk = next_chunk_, .chunk_list = parts_.chunk_lists.substr(next_list_, list_bytes)};
  next_list_ += list_bytes;
  next_chunk_ += entry_.chunks;
  ++next_id_;
  return {};
}

Result<void> SeriesCursor::seek(std::uint32_t id) {
  SKALD_CHECK(id < parts_.header().series);
  if (block_ != id / kSeriesPerBlock) SKALD_TRY_VOID(enter_block(id / kSeriesPerBlock));
  while (next_id_ <= id) SKALD_TRY_VOID(step());
  return {};
}

Result<model::LabelsPtr> LabelsMaker::make(const std::vector<LabelPair>& pairs) {
  std::size_t same = 0;
  while (same < pairs.size() && same < pairs_.size() && pairs[same] == pairs_[same]) ++same;
  pairs_ = pairs;
  labels_.resize(pairs.size());
  for (std::size_t i = same; i < pairs.size(); ++i) {
    SKALD_TRY(const std::string_view value, symbols_.text(pairs[i].value));
    labels_[i] = {.name = parts_.names[pairs[i].name].text, .value = std::string(value)};
  }
  return model::intern(model::Labels::from_pairs(labels_));
}

}  // namespace skald::index
