// detected_labels, detected_fields and the values of a detected field.
#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <unordered_set>

#include "api/query_limits.h"
#include "api/query_run.h"
#include "api/read_context.h"
#include "api/read_fields.h"
#include "skald/api/json.h"
#include "skald/api/params.h"
#include "skald/logql/parser.h"

namespace skald::api {

namespace {

bool is_uuid(std::string_view value) {
  if (value.size() != 36) return false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (dash ? c != '-' : !hex) return false;
  }
  return true;
}

// Labels that only tell instances apart are noise to somebody who browses.
bool is_interesting(const std::string& name, const std::set<std::string_view>& values) {
  if (name == "cluster" || name == "namespace" || name == "instance" || name == "pod") return true;
  return !std::all_of(values.begin(), values.end(), is_uuid);
}

Result<http::Response> handle_labels(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(Bounds bounds, parse_bounds(request.form, request.now_ns));
  SKALD_TRY_VOID(check_length(*request.limits, bounds.end_ns - bounds.start_ns));
  if (!clamp_to_lookback(*request.limits, request.now_ns, bounds.start_ns, bounds.end_ns)) return metadata_response("{}");
  // Whole days, as for labels and their values.
  const std::int64_t day = kNanosPerDay;
  rpc::SelectRequest select{{}, bounds.start_ns - (bounds.start_ns % day + day) % day, bounds.end_ns - (bounds.end_ns % day + day) % day + day - 1};
  if (const std::string query(param(request.form, "query")); !query.empty() && query != "{}") { SKALD_TRY(select.matchers, parse_matchers(query)); }
  SKALD_TRY(const auto series, service.querier.series(request.ctx, select));
  std::map<std::string, std::set<std::string_view>> values;
  for (const auto& labels : series)
    for (const model::Label& label : labels->labels.pairs()) values[label.name].insert(label.value);
  std::string body = "{";
  bool first = true;
  for (const auto& [name, distinct] : values) {
    if (!is_interesting(name, distinct)) continue;
    body += first ? "\"detectedLabels\":[{\"label\":" : ",{\"label\":";
    first = false;
    append_json_string(body, name);
    body += ",\"cardinality\":" + std::to_string(distinct.size()) + "}";
  }
  if (!first) body += ']';
  body += '}';
  return metadata_response(std::move(body));
}

struct Field {
  std::string name;
  std::string_view type;
  std::unordered_set<std::string> values;
  std::vector<std::string> parsers;        // empty: structured metadata
  std::vector<std::string> path;
};

// Fields in the order they were met.
class FieldTable {
 public:
  explicit FieldTable(std::size_t limit) : limit_(limit) {}
  void add(const std::string& name, std::string_view value, std::string_view parser, const std::vector<std::string>& path) {
    auto it = index_.find(name);
    if (it == index_.end()) {
      if (fields_.size() >= limit_) return;
      it = index_.emplace(name, fields_.size()).first;
      fields_.push_back({name, {}, {}, {}, path});
    }
    Field& field = fields_[it->second];
    field.type = field_type(value);
    field.values.emplace(value);
    if (!parser.empty() && std::find(field.parsers.begin(), field.parsers.end(), parser) == field.parsers.end()) field.parsers.emplace_back(parser);
  }
  const std::vector<Field>& fields() const { return fields_; }

 private:
  const std::size_t limit_;
  std::map<std::string, std::size_t> index_;
  std::vector<Field> fields_;
};

std::vector<std::string_view> parsers_of(const logql::LogSelector& selector) {
  std::vector<std::string_view> parsers;
  for (const logql::Stage& stage : selector.stages) {
    if (std::holds_alternative<logql::JsonStage>(stage)) parsers.push_back("json");
    if (std::holds_alternative<logql::LogfmtStage>(stage)) parsers.push_back("logfmt");
    if (std::holds_alternative<logql::RegexpStage>(stage)) parsers.push_back("regexp");
    if (std::holds_alternative<logql::PatternStage>(stage)) parsers.push_back("pattern");
    if (std::holds_alternative<logql::UnpackStage>(stage)) parsers.push_back("unpack");
  }
  return parsers;
}

void collect(const engine::LogResult& logs, const std::vector<std::string_view>& parsers, FieldTable& table) {
  std::vector<FoundField> found;
  for (const engine::LogStream& stream : logs.streams) {
    std::set<std::string_view> taken;   // names a parsed field must not hide
    for (const engine::ResultLabel& label : stream.labels.labels)
      if (label.category != engine::LabelCategory::kParsed) taken.insert(label.name);
    for (const engine::LogEntry& entry : stream.entries) {
      for (const engine::ResultLabel& label : stream.labels.labels)
        if (label.category == engine::LabelCategory::kMetadata) table.add(label.name, label.value, {}, {});
      if (!parsers.empty()) {
        for (const engine::ResultLabel& label : stream.labels.labels) {
          if (label.category != engine::LabelCategory::kParsed || label.name.starts_with("__error")) continue;
          for (const std::string_view parser : parsers) table.add(label.name, label.value, parser, {});
        }
        continue;
      }
      found.clear();
      std::string_view parser = "json";
      if (!find_json_fields(entry.line, found)) {
        parser = "logfmt";
        find_logfmt_fields(entry.line, found);
      }
      for (FoundField& field : found) {
        if (taken.count(field.name) != 0) field.name += "_extracted";
        table.add(field.name, field.value, parser, field.path);
      }
    }
  }
}

struct Detection {
  FieldTable table;
  std::uint32_t limit;
};

Result<Detection> detect(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(const Bounds bounds, parse_bounds(request.form, request.now_ns));
  if (bounds.end_ns < bounds.start_ns)
    return Error(ErrorCode::kInvalidArgument, "end timestamp must not be before or equal to start time");
  SKALD_TRY(const std::uint32_t line_limit, parse_limit(request.form, "line_limit", 100));
  SKALD_TRY(const std::uint32_t field_limit, parse_limit(request.form, "field_limit", 1000));
  SKALD_TRY(const std::uint32_t limit, parse_limit(request.form, "limit", field_limit));
  RangeParams params;
  params.query = std::string(param(request.form, "query"));
  params.start_ns = bounds.start_ns;
  params.end_ns = bounds.end_ns;
  params.limit = line_limit;
  SKALD_TRY(const logql::Query query, logql::parse(params.query));
  if (!query.is_log()) return Error(ErrorCode::kInvalidArgument, "only log selector is supported");
  SKALD_TRY(const engine::QueryResult result, run_range_query(service, request, query, params));
  Detection detection{FieldTable(limit), limit};
  collect(std::get<engine::LogResult>(result.data), parsers_of(query.log()), detection.table);
  return detection;
}

void append_strings(std::string& out, const std::vector<std::string>& strings) {
  out += '[';
  for (std::size_t i = 0; i < strings.size(); ++i) {
    if (i != 0) out += ',';
    append_json_string(out, strings[i]);
  }
  out += ']';
}

Result<http::Response> handle_fields(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(const Detection detection, detect(service, request));
  if (detection.table.fields().empty()) return metadata_response("{}");
  std::string body = "{\"fields\":[";
  bool first = true;
  for (const Field& field : detection.table.fields()) {
    body += first ? "{\"label\":" : ",{\"label\":";
    first = false;
    append_json_string(body, field.name);
    body += ",\"type\":\"";
    body += field.type;
    body += "\",\"cardinality\":" + std::to_string(field.values.size()) + ",\"parsers\":";
    if (field.parsers.empty()) body += "null";
    else append_strings(body, field.parsers);
    if (!field.path.empty()) {
      body += ",\"jsonPath\":";
      append_strings(body, field.path);
    }
    body += '}';
  }
  body += "],\"limit\":" + std::to_string(detection.limit) + "}";
  return metadata_response(std::move(body));
}

Result<http::Response> handle_values(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(const Detection detection, detect(service, request));
  std::vector<std::string> values;
  for (const Field& field : detection.table.fields())
    if (field.name == request.http.path_params.at(0)) values.assign(field.values.begin(), field.values.end());
  std::sort(values.begin(), values.end());
  if (values.size() > detection.limit) values.resize(detection.limit);
  std::string body = "{\"limit\":" + std::to_string(detection.limit) + ",\"values\":";
  append_strings(body, values);
  body += '}';
  return metadata_response(std::move(body));
}

}  // namespace

void add_detected_routes(http::Server& server, ReadService& service) {
  add_read_route(server, service, "/loki/api/v1/detected_labels", "loki_api_v1_detected_labels", handle_labels);
  add_query_route(server, service, "/loki/api/v1/detected_fields", "loki_api_v1_detected_fields", handle_fields);
  add_query_route(server, service, "/loki/api/v1/detected_field/{name}/values", "loki_api_v1_detected_field_name_values", handle_values);
}

}  // namespace skald::api
