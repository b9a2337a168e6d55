// Results of a query, in the engine's own form; api/ turns them into JSON.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "skald/chunk/block.h"
#include "skald/engine/label_set.h"
#include "skald/model/labels.h"

namespace skald::engine {

struct LogEntry {
  std::int64_t timestamp_ns = 0;
  std::string line;
  std::uint32_t order = 0;         // place among all entries of the result, over all streams
};
// Entries that share one label set (all categories). With categorize-labels the api regroups by stream labels only.
struct LogStream {
  ResultLabels labels;
  std::vector<LogEntry> entries;   // in query direction
};
struct LogResult { std::vector<LogStream> streams; };

struct Sample {
  std::int64_t timestamp_ms = 0;
  double value = 0;
};
struct Series {
  model::Labels labels;
  std::vector<Sample> samples;
};
struct VectorResult { std::vector<Series> series; bool ordered = false; };   // one sample each
struct MatrixResult { std::vector<Series> series; };
struct ScalarResult { Sample sample; };

struct QueryStats {
  // summary
  std::uint64_t bytes_processed = 0, lines_processed = 0, metadata_bytes_processed = 0;
  std::uint64_t post_filter_lines = 0, entries_returned = 0;
  std::int64_t exec_ns = 0, queue_ns = 0;
  std::uint64_t splits = 0, shards = 0, subqueries = 0;
  // where from
  std::uint64_t streams = 0;                                  // that the selectors found
  chunk::SelectStats select;
  std::uint64_t ingester_lines = 0, ingester_bytes = 0;       // head and in-memory blocks
  std::uint64_t store_lines = 0, store_decompressed_bytes = 0, store_compressed_bytes = 0, store_chunks_downloaded = 0;
  std::int64_t store_download_ns = 0;
};

struct QueryResult {
  std::variant<LogResult, VectorResult, MatrixResult, ScalarResult> data;
  QueryStats stats;
  std::vector<std::string> warnings;
};

}  // namespace skald::engine
