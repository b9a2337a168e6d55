// A block of rows as the engine sees it, whatever it was made from: a page of a stored chunk, a block an ingester holds
// in memory, or a snapshot of a stream's head. This is the seam between storage and the query engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/context.h"
#include "skald/base/result.h"
#include "skald/model/labels.h"

namespace skald::chunk {

// One column of structured metadata. values[row].data() == nullptr: the row has no such name.
struct MetadataColumn {
  std::string name;
  std::vector<std::string_view> values;
};

// Decoded columns of one block, rows sorted by (stream,) time; equal times keep arrival order. Immutable once built.
struct Columns {
  std::uint32_t rows = 0;
  std::vector<std::int64_t> timestamps_ns;     // rows
  std::vector<std::uint8_t> levels;            // rows, model::Level; empty = no row has one
  std::vector<std::uint32_t> line_offsets;     // rows + 1; line i = text[o[i], o[i+1]-1): each line is followed by '\n'
  std::string text;                            // kBufferSlack readable bytes follow text_bytes
  std::size_t text_bytes = 0;
  std::vector<MetadataColumn> metadata;        // without detected_level that `levels` carries
  std::vector<std::shared_ptr<const void>> keep_alive;  // what the metadata views point into

  std::string_view line(std::uint32_t row) const {
    return {text.data() + line_offsets[row], line_offsets[row + 1] - line_offsets[row] - 1};
  }
};

enum ColumnMask : std::uint8_t {
  kTimestamps = 1,   // always loaded
  kLevels = 2,
  kLineLengths = 4,  // line_offsets without text
  kLines = 8,        // line_offsets and text
  kMetadata = 16,
  kAllColumns = 31,
};
inline ColumnMask operator|(ColumnMask a, ColumnMask b) { return static_cast<ColumnMask>(static_cast<int>(a) | static_cast<int>(b)); }

// Thread-safe; load() may read storage and decode, or hand out what it already has.
class Block {
 public:
  virtual ~Block() = default;
  virtual Result<std::shared_ptr<const Columns>> load(ColumnMask need, const CallContext& ctx) const = 0;
};

// The rows of one stream in a block (a group chunk's block holds rows of many streams).
struct BlockSlice {
  std::shared_ptr<const Block> block;
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
  std::int64_t min_ts_ns = 0;     // of these rows, inclusive
  std::int64_t max_ts_ns = 0;
  std::uint64_t raw_bytes = 0;    // line bytes (estimated by share in group blocks)
  std::uint64_t source_id = 0;    // same chunk = same id; rows of one source never duplicate each other
  bool from_ingester = false;
  // Equal where the rows are, so that copies that replicas hold are known without being read; 0: not known. Of rows in memory:
  // these rows. Stored: the whole chunk.
  std::uint64_t content_id = 0;
};

// What a selector found of one stream.
struct StreamData {
  model::LabelsPtr labels;
  std::vector<BlockSlice> blocks;  // sorted by min_ts_ns. Slices of different sources may overlap in time and may then
                                   // hold the same entry twice: the engine deduplicates by (time, line, metadata).
};

struct SelectStats {
  std::uint64_t ingester_chunks_matched = 0;  // chunks still held in memory
  std::uint64_t store_chunk_refs = 0;
  std::uint64_t store_chunks_matched = 0;
  std::int64_t chunk_refs_lookup_ns = 0;
};

struct SelectResult {
  std::vector<StreamData> streams;  // unique labels; order unspecified
  SelectStats stats;
};

}  // namespace skald::chunk
