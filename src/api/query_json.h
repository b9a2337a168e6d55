// Query results as JSON bodies.
#pragma once

#include <string>
#include <vector>

#include "skald/engine/result.h"

namespace skald::api {

// {"status":"success","data":{"resultType":…,"result":…,"stats":…}}
std::string query_result_json(engine::QueryResult result, bool categorize);
// {"streams":[{"labels":"{…}","entries":[{"ts":"…","line":"…"}]}],"stats":…}
std::string legacy_result_json(engine::QueryResult result);
// The value of "stats".
void append_stats_json(std::string& out, const engine::QueryStats& stats);

// Streams of a log result as one group of labels each: all categories merged, or stream labels only.
struct StreamGroup {
  std::vector<model::Label> labels;   // sorted; values may be empty (label_format x="")
  struct Entry {
    const engine::LogEntry* entry;
    std::uint32_t source;      // index into LogResult::streams
  };
  std::vector<Entry> entries;  // in result order
};
std::vector<StreamGroup> group_streams(const engine::LogResult& logs, bool stream_labels_only);
// {"structuredMetadata":{…},"parsed":{…}}, absent parts left out.
void append_categories_json(std::string& out, const engine::ResultLabels& labels);

}  // namespace skald::api
