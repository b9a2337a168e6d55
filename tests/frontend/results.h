// Results as text that differs whenever they do.
#pragma once

#include <bit>
#include <cmath>
#include <cstdio>
#include <string>

#include "skald/engine/result.h"

namespace skald::frontend::testing {

inline std::string hex(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(value)));
  // Which NaN it is, an addition may change; nobody sees it.
  return std::isnan(value) ? "nan" : text;
}

inline std::string text_of(const engine::Series& series) {
  std::string text;
  for (const model::Label& label : series.labels.pairs()) text += label.name + "=" + label.value + ",";
  for (const engine::Sample& sample : series.samples) text += " " + std::to_string(sample.timestamp_ms) + ":" + hex(sample.value);
  return text + "\n";
}

inline std::string text_of(const engine::QueryResult& result, bool with_stats = false) {
  std::string text;
  if (const auto* logs = std::get_if<engine::LogResult>(&result.data)) {
    text = "logs\n";
    for (const engine::LogStream& stream : logs->streams) {
      for (const engine::ResultLabel& label : stream.labels.labels) text += label.name + "=" + label.value + "/" + std::to_string(static_cast<int>(label.category)) + ",";
      text += "\n";
      for (const engine::LogEntry& entry : stream.entries)
        text += "  " + std::to_string(entry.order) + " " + std::to_string(entry.timestamp_ns) + " " + entry.line + "\n";
    }
  } else if (const auto* vector = std::get_if<engine::VectorResult>(&result.data)) {
    text = vector->ordered ? "ordered vector\n" : "vector\n";
    for (const engine::Series& series : vector->series) text += text_of(series);
  } else if (const auto* matrix = std::get_if<engine::MatrixResult>(&result.data)) {
    text = "matrix\n";
    for (const engine::Series& series : matrix->series) text += text_of(series);
  } else {
    text = "scalar" + text_of(engine::Series{{}, {std::get<engine::ScalarResult>(result.data).sample}});
  }
  for (const std::string& warning : result.warnings) text += "warning " + warning + "\n";
  if (!with_stats) return text;
  const engine::QueryStats& s = result.stats;
  for (const std::uint64_t one : {s.bytes_processed, s.lines_processed, s.metadata_bytes_processed, s.post_filter_lines, s.entries_returned, s.splits, s.shards,
                                  s.subqueries, s.streams, s.select.ingester_chunks_matched, s.select.store_chunk_refs, s.select.store_chunks_matched,
                                  s.ingester_lines, s.ingester_bytes, s.store_lines, s.store_decompressed_bytes, s.store_compressed_bytes,
                                  s.store_chunks_downloaded, static_cast<std::uint64_t>(s.exec_ns), static_cast<std::uint64_t>(s.queue_ns),
                                  static_cast<std::uint64_t>(s.select.chunk_refs_lookup_ns), static_cast<std::uint64_t>(s.store_download_ns)})
    text += " " + std::to_string(one);
  return text;
}

}  // namespace skald::frontend::testing
