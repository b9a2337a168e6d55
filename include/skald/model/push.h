// A decoded, validated push on its way from the distributor to ingesters. Views point into what the batch owns.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/model/labels.h"
#include "skald/model/level.h"

namespace skald::model {

struct PushEntry {
  std::int64_t timestamp_ns = 0;
  std::string_view line;
  std::uint32_t metadata_begin = 0;  // [begin, end) in PushBatch::metadata, sorted by name, no empty values
  std::uint32_t metadata_end = 0;
  Level level = Level::kNone;
};

struct PushStream {
  LabelsPtr labels;
  std::uint32_t entries_begin = 0;   // [begin, end) in PushBatch::entries
  std::uint32_t entries_end = 0;
};

// Built by one thread, then immutable and shared.
struct PushBatch {
  std::string tenant;
  std::vector<PushStream> streams;   // no stream is empty; one stream may appear twice
  std::vector<PushEntry> entries;
  std::vector<LabelView> metadata;

  // What the views point into.
  SharedBytes decoded;                 // decompressed body
  std::deque<std::string> owned;       // stable addresses: unescaped strings, truncated lines, normalised names

  // The body as it came, set only when it is snappy protobuf and walking it again yields exactly `streams` and
  // `entries` in order (nothing rejected, dropped, truncated or reordered). The WAL then stores it instead of encoding the
  // batch: stream k of the walk that has entries is streams[k]; names of structured metadata are normalised by the
  // same code (model/push_wire.h) on replay; labels and levels are recorded beside the body.
  SharedBytes received_body;

  std::uint64_t line_bytes = 0;        // sum of line sizes
  std::uint64_t metadata_bytes = 0;

  // From an ingester that leaves: its rows were accepted once. No limit on rate, streams or age applies, and entries that
  // memory holds already are not kept twice.
  bool handed_over = false;
};

// What an ingester says of a batch that passed validation.
struct PushOutcome {
  std::uint64_t accepted = 0;          // stored, and duplicates dropped silently
  std::uint64_t refused = 0;           // too far behind, per-stream rate, stream limit
  std::optional<Error> error;          // Loki's text for what was refused; kResourceExhausted = 429, else 400
};

}  // namespace skald::model
