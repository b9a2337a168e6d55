#include "api/query_json.h"

#include <algorithm>
#include <map>

#include "skald/api/json.h"
#include "skald/model/time.h"

namespace skald::api {

namespace {

using engine::LabelCategory;

// Objects with commas in the right places.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }
  ObjectWriter& key(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += '"';
    out_ += name;
    out_ += "\":";
    return *this;
  }
  void number(std::string_view name, std::uint64_t value) { key(name); append_json_unsigned(out_, value); }
  void integer(std::string_view name, std::int64_t value) { key(name); append_json_integer(out_, value); }
  void real(std::string_view name, double value) { key(name); append_json_double(out_, value); }
  void boolean(std::string_view name, bool value) { key(name); out_ += value ? "true" : "false"; }
  void end() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

// What one side (store or ingesters) read.
struct SideStats {
  std::uint64_t refs = 0, downloaded = 0, decompressed_bytes = 0, decompressed_lines = 0, compressed_bytes = 0, head_bytes = 0, head_lines = 0,
                post_filter_lines = 0;
  std::int64_t download_ns = 0, refs_fetch_ns = 0;
};

void append_side(std::string& out, const SideStats& side) {
  ObjectWriter object(out);
  object.number("totalChunksRef", side.refs);
  object.number("totalChunksDownloaded", side.downloaded);
  object.integer("chunksDownloadTime", side.download_ns);
  object.boolean("queryReferencedStructuredMetadata", false);
  object.boolean("queryUsedV2Engine", false);
  object.key("chunk");
  {
    ObjectWriter chunk(out);
    chunk.number("headChunkBytes", side.head_bytes);
    chunk.number("headChunkLines", side.head_lines);
    chunk.number("decompressedBytes", side.decompressed_bytes);
    chunk.number("decompressedLines", side.decompressed_lines);
    chunk.number("compressedBytes", side.compressed_bytes);
    chunk.number("totalDuplicates", 0);
    chunk.number("postFilterLines", side.post_filter_lines);
    chunk.number("headChunkStructuredMetadataBytes", 0);
    chunk.number("decompressedStructuredMetadataBytes", 0);
    chunk.end();
  }
  object.integer("chunkRefsFetchTime", side.refs_fetch_ns);
  object.number("congestionControlLatency", 0);
  object.number("pipelineWrapperFilteredLines", 0);
  object.end();
}

void append_caches(std::string& out) {
  static constexpr std::string_view kCaches[] = {"chunk", "index", "result", "statsResult", "volumeResult", "seriesResult",
                                                 "labelResult", "instantMetricResult", "logResult", "taskResult"};
  static constexpr std::string_view kFields[] = {"entriesFound", "entriesRequested", "entriesStored", "bytesReceived",
                                                 "bytesSent", "requests", "downloadTime", "queryLengthServed"};
  ObjectWriter caches(out);
  for (const std::string_view name : kCaches) {
    caches.key(name);
    ObjectWriter cache(out);
    for (const std::string_view field : kFields) cache.number(field, 0);
    cache.end();
  }
  caches.end();
}

void append_sample(std::string& out, const engine::Sample& sample) {
  out += '[';
  append_seconds(out, sample.timestamp_ms);
  out += ",\"";
  append_decimal(out, sample.value);
  out += "\"]";
}

void append_streams(std::string& out, const engine::LogResult& logs, bool categorize) {
  const std::vector<StreamGroup> groups = group_streams(logs, categorize);
  std::vector<std::string> categories(categorize ? logs.streams.size() : 0);
  for (std::size_t i = 0; i < categories.size(); ++i) append_categories_json(categories[i], logs.streams[i].labels);
  std::size_t bytes = 0;
  for (const engine::LogStream& stream : logs.streams)
    for (const engine::LogEntry& entry : stream.entries) bytes += entry.line.size() + 40;
  out.reserve(out.size() + bytes + bytes / 8);
  out += '[';
  bool first = true;
  for (const StreamGroup& group : groups) {
    if (!first) out += ',';
    first = false;
    out += "{\"stream\":";
    append_json_labels(out, group.labels);
    out += ",\"values\":[";
    bool first_entry = true;
    for (const StreamGroup::Entry& entry : group.entries) {
      out += first_entry ? "[\"" : ",[\"";
      first_entry = false;
      append_json_integer(out, entry.entry->timestamp_ns);
      out += "\",";
      append_json_string(out, entry.entry->line);
      if (categorize) {
        out += ',';
        out += categories[entry.source];
      }
      out += ']';
    }
    out += "]}";
  }
  out += ']';
}

void append_result(std::string& out, const engine::QueryResult& result, bool categorize) {
  if (const auto* logs = std::get_if<engine::LogResult>(&result.data)) {
    out += "\"resultType\":\"streams\",\"result\":";
    append_streams(out, *logs, categorize);
  } else if (const auto* vector = std::get_if<engine::VectorResult>(&result.data)) {
    out += "\"resultType\":\"vector\",\"result\":[";
    bool first = true;
    for (const engine::Series& series : vector->series) {
      out += first ? "{\"metric\":" : ",{\"metric\":";
      first = false;
      append_json_labels(out, series.labels.pairs());
      out += ",\"value\":";
      append_sample(out, series.samples.front());
      out += '}';
    }
    out += ']';
  } else if (const auto* matrix = std::get_if<engine::MatrixResult>(&result.data)) {
    out += "\"resultType\":\"matrix\",\"result\":[";
    bool first = true;
    for (const engine::Series& series : matrix->series) {
      out += first ? "{\"metric\":" : ",{\"metric\":";
      first = false;
      append_json_labels(out, series.labels.pairs());
      out += ",\"values\":[";
      bool first_sample = true;
      for (const engine::Sample& sample : series.samples) {
        if (!first_sample) out += ',';
        first_sample = false;
        append_sample(out, sample);
      }
      out += "]}";
    }
    out += ']';
  } else {
    const engine::Sample& sample = std::get<engine::ScalarResult>(result.data).sample;
    out += "\"resultType\":\"scalar\",\"result\":[";
    append_json_integer(out, sample.timestamp_ms);   // milliseconds, unlike everywhere else: clients know Loki's quirk
    out += ",\"";
    append_decimal(out, sample.value);
    out += "\"]";
  }
}

}  // namespace

std::vector<StreamGroup> group_streams(const engine::LogResult& logs, bool stream_labels_only) {
  std::map<std::vector<model::Label>, std::uint32_t> index;
  std::vector<StreamGroup> groups;
  std::vector<char> mixed;
  for (std::uint32_t i = 0; i < logs.streams.size(); ++i) {
    const engine::LogStream& stream = logs.streams[i];
    std::vector<model::Label> labels;
    for (const engine::ResultLabel& label : stream.labels.labels)
      if (!stream_labels_only || label.category == LabelCategory::kStream) labels.push_back({label.name, label.value});
    const auto [it, fresh] = index.emplace(std::move(labels), static_cast<std::uint32_t>(groups.size()));
    if (fresh) {
      groups.push_back({it->first, {}});
      mixed.push_back(0);
    } else {
      mixed[it->second] = 1;
    }
    for (const engine::LogEntry& entry : stream.entries) groups[it->second].entries.push_back({&entry, i});
  }
  for (std::size_t g = 0; g < groups.size(); ++g)
    if (mixed[g])
      std::sort(groups[g].entries.begin(), groups[g].entries.end(),
                [](const StreamGroup::Entry& a, const StreamGroup::Entry& b) { return a.entry->order < b.entry->order; });
  std::sort(groups.begin(), groups.end(), [](const StreamGroup& a, const StreamGroup& b) { return a.labels < b.labels; });
  return groups;
}

void append_categories_json(std::string& out, const engine::ResultLabels& labels) {
  out += '{';
  bool first_part = true;
  for (const auto& [category, name] : {std::pair{LabelCategory::kMetadata, "structuredMetadata"}, std::pair{LabelCategory::kParsed, "parsed"}}) {
    bool first = true;
    for (const engine::ResultLabel& label : labels.labels) {
      if (label.category != category) continue;
      if (first) {
        if (!first_part) out += ',';
        first_part = false;
        out += '"';
        out += name;
        out += "\":{";
      } else {
        out += ',';
      }
      first = false;
      append_json_string(out, label.name);
      out += ':';
      append_json_string(out, label.value);
    }
    if (!first) out += '}';
  }
  out += '}';
}

void append_stats_json(std::string& out, const engine::QueryStats& stats) {
  const double seconds = static_cast<double>(stats.exec_ns) / 1e9;
  const auto per_second = [&](std::uint64_t n) { return seconds > 0 ? static_cast<std::uint64_t>(static_cast<double>(n) / seconds) : 0; };
  ObjectWriter object(out);
  object.key("summary");
  {
    ObjectWriter summary(out);
    summary.number("bytesProcessedPerSecond", per_second(stats.bytes_processed));
    summary.number("linesProcessedPerSecond", per_second(stats.lines_processed));
    summary.number("totalBytesProcessed", stats.bytes_processed);
    summary.number("totalLinesProcessed", stats.lines_processed);
    summary.real("execTime", seconds);
    summary.real("queueTime", static_cast<double>(stats.queue_ns) / 1e9);
    summary.number("subqueries", stats.subqueries);
    summary.number("totalEntriesReturned", stats.entries_returned);
    summary.number("splits", stats.splits);
    summary.number("shards", stats.shards);
    summary.number("totalPostFilterLines", stats.post_filter_lines);
    summary.number("totalStructuredMetadataBytesProcessed", stats.metadata_bytes_processed);
    summary.end();
  }
  object.key("querier");
  {
    SideStats side;
    side.refs = stats.select.store_chunk_refs;
    side.downloaded = stats.store_chunks_downloaded;
    side.download_ns = stats.store_download_ns;
    side.decompressed_bytes = stats.store_decompressed_bytes;
    side.decompressed_lines = stats.store_lines;
    side.compressed_bytes = stats.store_compressed_bytes;
    side.refs_fetch_ns = stats.select.chunk_refs_lookup_ns;
    side.post_filter_lines = stats.store_lines != 0 ? std::min(stats.post_filter_lines, stats.store_lines) : 0;
    ObjectWriter querier(out);
    querier.key("store");
    append_side(out, side);
    querier.real("querierExecTime", seconds);
    querier.end();
  }
  object.key("ingester");
  {
    SideStats side;
    side.head_bytes = stats.ingester_bytes;
    side.head_lines = stats.ingester_lines;
    ObjectWriter ingester(out);
    ingester.number("totalReached", 1);
    ingester.number("totalChunksMatched", stats.select.ingester_chunks_matched);
    ingester.number("totalBatches", stats.ingester_lines != 0 ? 1 : 0);
    ingester.number("totalLinesSent", stats.ingester_lines);
    ingester.number("recvWaitTime", 0);
    ingester.key("store");
    append_side(out, side);
    ingester.end();
  }
  object.key("cache");
  append_caches(out);
  object.key("index");
  {
    ObjectWriter index(out);
    index.number("totalChunks", stats.select.store_chunk_refs);
    index.number("postFilterChunks", stats.select.store_chunks_matched);
    index.number("shardsDuration", 0);
    index.boolean("usedBloomFilters", false);
    index.number("totalStreams", stats.streams);
    index.integer("chunkRefsLookupTime", stats.select.chunk_refs_lookup_ns);
    index.number("bloomFilterTime", 0);
    index.end();
  }
  object.end();
}

std::string query_result_json(engine::QueryResult result, bool categorize) {
  std::string out = "{\"status\":\"success\",\"data\":{";
  append_result(out, result, categorize);
  out += ",\"stats\":";
  append_stats_json(out, result.stats);
  if (categorize && std::holds_alternative<engine::LogResult>(result.data)) out += ",\"encodingFlags\":[\"categorize-labels\"]";
  out += '}';
  if (!result.warnings.empty()) {
    out += ",\"warnings\":[";
    for (std::size_t i = 0; i < result.warnings.size(); ++i) {
      if (i != 0) out += ',';
      append_json_string(out, result.warnings[i]);
    }
    out += ']';
  }
  out += '}';
  return out;
}

namespace {

std::string labels_text(const std::vector<model::Label>& labels) {
  std::string text = "{";
  for (const model::Label& label : labels) {
    if (text.size() > 1) text += ", ";
    text += label.name;
    text += '=';
    model::append_go_quoted(text, label.value);
  }
  text += '}';
  return text;
}

}  // namespace

std::string legacy_result_json(engine::QueryResult result) {
  std::string out = "{\"streams\":[";
  const auto& logs = std::get<engine::LogResult>(result.data);
  bool first = true;
  for (const StreamGroup& group : group_streams(logs, false)) {
    out += first ? "{\"labels\":" : ",{\"labels\":";
    first = false;
    append_json_string(out, labels_text(group.labels));
    out += ",\"entries\":[";
    bool first_entry = true;
    for (const StreamGroup::Entry& entry : group.entries) {
      out += first_entry ? "{\"ts\":\"" : ",{\"ts\":\"";
      first_entry = false;
      out += model::format_rfc3339_nano(entry.entry->timestamp_ns);
      out += "\",\"line\":";
      append_json_string(out, entry.entry->line);
      out += '}';
    }
    out += "]}";
  }
  out += "],\"stats\":";
  append_stats_json(out, result.stats);
  out += '}';
  return out;
}

}  // namespace skald::api
