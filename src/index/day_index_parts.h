// The opened sections of a daily index object and how to walk them; behind DayIndexReader and verify.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "index/chunk_list.h"
#include "index/day_index_format.h"
#include "index/labels_cache.h"
#include "index/symbols.h"
#include "skald/codec/varint.h"
#include "skald/index/day_index.h"

namespace skald::index {

struct LabelName {
  std::string text;
  std::uint32_t symbol = 0;
  std::uint32_t values = 0;
  ByteView sparse;   // of this name's values
  ByteView data;
};

// Label of a series: position in the label names, symbol of the value.
struct LabelPair {
  std::uint32_t name = 0;
  std::uint32_t value = 0;
  bool operator==(const LabelPair&) const = default;
};

// A value of a label and where its series are.
struct ValueEntry {
  std::uint32_t symbol = 0;
  std::uint32_t single = 0;   // the only series, when postings is empty
  ByteView postings;
};

struct SeriesEntry {
  std::uint32_t id = 0;
  std::uint32_t chunks = 0;
  std::uint32_t first_chunk = 0;   // number of its first chunk in the index
  ByteView chunk_list;
};

struct DayIndexReader::Parts {
  SharedBytes bytes;
  Envelope envelope;
  SymbolView symbols;
  std::vector<LabelName> names;   // sorted by text
  ByteView postings;
  std::uint32_t series_blocks = 0;
  ByteView series_sparse, series_data;
  ByteView chunk_lists;
  std::uint32_t sketch_groups = 0;
  ByteView sketch_sparse, sketch_data;
  ByteView objects;               // entries of 40 bytes
  Upkeep upkeep;
  LabelsCache made_labels;

  const DayIndexHeader& header() const { return envelope.header; }
  const LabelName* find_name(std::string_view name) const;

  // Values of a name, one block of 64.
  Result<void> decode_values(const LabelName& name, std::uint32_t block, std::vector<ValueEntry>& out) const;
  // Adds (asks for) the series of a value.
  Result<void> add_series_of(const ValueEntry& value, SeriesBitmap& set) const;
  Result<bool> occurs_in(const ValueEntry& value, const SeriesBitmap& set) const;

  Result<void> read_sketch_group(std::uint32_t group, std::vector<chunk::Sketch>& out) const;

  // For match_series().
  Result<void> or_value(std::string_view name, std::string_view value, SeriesBitmap& out) const;
  template <class Predicate>
  Result<void> or_values_if(std::string_view name, const Predicate& accepts, SeriesBitmap& out) const;
};

// Walks series in id order; skipping whole blocks is free.
class SeriesCursor {
 public:
  explicit SeriesCursor(const DayIndexReader::Parts& parts) : parts_(parts) {}
  // Moves to series `id`, which must not be before the last one asked for.
  Result<void> seek(std::uint32_t id);
  const SeriesEntry& entry() const { return entry_; }
  const std::vector<LabelPair>& pairs() const { return pairs_; }

 private:
  Result<void> enter_block(std::uint32_t block);
  Result<void> step();
  const DayIndexReader::Parts& parts_;
  codec::ByteReader in_{ByteView()};
  std::uint32_t block_ = UINT32_MAX;
  std::uint32_t next_id_ = 0;        // series that step() decodes
  std::uint32_t next_chunk_ = 0;
  std::uint64_t next_list_ = 0, lists_end_ = 0;
  SeriesEntry entry_;
  std::vector<LabelPair> pairs_;
};

// Makes labels of series; neighbours share most of them, so their texts are decoded once.
class LabelsMaker {
 public:
  explicit LabelsMaker(const DayIndexReader::Parts& parts) : parts_(parts), symbols_(parts.symbols) {}
  Result<model::LabelsPtr> make(const std::vector<LabelPair>& pairs);

 private:
  const DayIndexReader::Parts& parts_;
  SymbolCursor symbols_;
  std::vector<LabelPair> pairs_;
  std::vector<model::Label> labels_;   // of pairs_, same order
};

template <class Predicate>
Result<void> DayIndexReader::Parts::or_values_if(std::string_view name, const Predicate& accepts, SeriesBitmap& out) const {
  const LabelName* found = find_name(name);
  if (found == nullptr) return {};
  SymbolCursor cursor(symbols);
  std::vector<ValueEntry> values;
  for (std::uint32_t block = 0; block * kValuesPerBlock < found->values; ++block) {
    SKALD_TRY_VOID(decode_values(*found, block, values));
    for (const ValueEntry& value : values) {
      SKALD_TRY(const std::string_view text, cursor.text(value.symbol));
      if (accepts(text)) SKALD_TRY_VOID(add_series_of(value, out));
    }
  }
  return {};
}

}  // namespace skald::index
