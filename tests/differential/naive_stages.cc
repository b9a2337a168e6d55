// Stages of the naive evaluator, applied to one row after another.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <memory>

#include <re2/re2.h>

#include "naive_row.h"
#include "skald/logql/regex.h"
#include "skald/logql/template.h"

namespace skald::differential {
namespace {

const re2::RE2& regex(const std::string& text) {
  static std::map<std::string, std::shared_ptr<const re2::RE2>> cache;
  auto& slot = cache[text];
  if (!slot) {
    auto compiled = logql::compile_regex(text);
    if (!compiled.ok()) throw NaiveError(false, compiled.error().message());
    slot = *compiled;
  }
  return *slot;
}

// Regexes over bytes that are no UTF-8 are the business of the regex library, not of the language.
void want_utf8(std::string_view text) {
  if (!valid_utf8(text)) throw Undefined("regex over bytes that are no UTF-8");
}

bool matcher_matches(const model::Matcher& m, const std::string& value) {
  const bool regex_kind = m.type() == model::MatchType::kRegex || m.type() == model::MatchType::kNotRegex;
  if (regex_kind && m.value().empty()) return m.type() == model::MatchType::kRegex;   // an empty regex holds for any value
  if (regex_kind && value.find('\n') != std::string::npos) throw Undefined("a regex over a label with a line feed");
  const auto whole = [&] { want_utf8(value); return re2::RE2::FullMatch(value, regex("^(?:" + m.value() + ")$")); };
  switch (m.type()) {
    case model::MatchType::kEqual: return value == m.value();
    case model::MatchType::kNotEqual: return value != m.value();
    case model::MatchType::kRegex: return whole();
    default: return !whole();
  }
}

bool compare(double value, logql::CompareOp op, double with) {
  switch (op) {
    case logql::CompareOp::kEqual: return value == with;
    case logql::CompareOp::kNotEqual: return value != with;
    case logql::CompareOp::kGreater: return value > with;
    case logql::CompareOp::kGreaterEqual: return value >= with;
    case logql::CompareOp::kLess: return value < with;
    default: return value <= with;
  }
}

bool line_filter_keeps(const logql::LineFilterStage& filter, const std::string& line) {
  const auto term = [&](const logql::LineFilterTerm& t) {
    if (t.ip) return ip_line_matches(t.text, line);
    switch (filter.op) {
      case logql::LineFilterOp::kContains:
      case logql::LineFilterOp::kNotContains: return line.find(t.text) != std::string::npos;
      case logql::LineFilterOp::kRegex:
      case logql::LineFilterOp::kNotRegex: want_utf8(line); return re2::RE2::PartialMatch(line, regex(t.text));
      default: return line_pattern_matches(t.text, line);
    }
  };
  // What an empty alternative means is an accident of the original: `|= "a" or ""`.
  if (filter.terms.size() > 1)
    for (const logql::LineFilterTerm& t : filter.terms)
      if (t.text.empty()) throw Undefined("empty text among alternatives");
  const bool any = std::any_of(filter.terms.begin(), filter.terms.end(), term);
  const bool negative = filter.op == logql::LineFilterOp::kNotContains || filter.op == logql::LineFilterOp::kNotRegex || filter.op == logql::LineFilterOp::kNotPattern;
  return any != negative;
}

// Where a parser puts a label; the first value of a name wins unless `overwrite`.
void add_parsed(Working& row, const std::string& name, const std::string& value, bool overwrite) {
  std::string target = name;
  if (row.row->labels.count(name) || row.metadata.count(name)) target += "_extracted";
  if (!overwrite && row.taken.count(target)) return;
  row.set_parsed(target, value);
}

bool is_own_label(const Working& row, const std::string& name) { return row.row->labels.count(name) || row.metadata.count(name); }

void run(const logql::JsonStage& stage, Working& row) {
  if (stage.extractions.empty()) {
    ParsedFields parsed = json_fields(row.line);
    for (const Field& f : parsed.fields) add_parsed(row, f.name, f.value, false);
    if (parsed.failed) row.fail("JSONParserErr", "Malformed JSON error", true);
    return;
  }
  if (row.line.empty()) return;
  if (row.line[0] != '{' && row.line[0] != '[' && row.line[0] != '"') return row.fail("JSONParserErr", "", true);
  for (const logql::LabelExtraction& e : stage.extractions) {
    std::optional<std::string> value = json_at(row.line, e.expression);
    if (value) add_parsed(row, e.label, *value, true);
    else if (!row.get(e.label)) row.set_parsed(e.label, "");
  }
}

void run(const logql::LogfmtStage& stage, Working& row) {
  LogfmtPairs parsed = logfmt_pairs(row.line, stage.strict);
  if (stage.extractions.empty()) {
    for (const LogfmtPair& p : parsed.pairs) {
      if (p.value.empty() && !stage.keep_empty) continue;
      const std::string name = label_name(p.key);
      if (!name.empty()) add_parsed(row, name, bad_utf8_to_spaces(p.value), false);
    }
  } else {
    for (const logql::LabelExtraction& e : stage.extractions)
      if (!is_own_label(row, e.label)) add_parsed(row, e.label, "", true);
    for (const LogfmtPair& p : parsed.pairs)
      for (const logql::LabelExtraction& e : stage.extractions)
        if (p.key == e.expression || p.key == e.label) add_parsed(row, e.label, valid_utf8(p.value) ? p.value : "", true);
  }
  if (parsed.failed) row.fail("LogfmtParserErr", "logfmt syntax error", true);
}

void run(const logql::RegexpStage& stage, Working& row) {
  want_utf8(row.line);
  const re2::RE2& re = regex(stage.regex);
  std::vector<re2::StringPiece> groups(static_cast<std::size_t>(re.NumberOfCapturingGroups()) + 1);
  if (!re.Match(row.line, 0, row.line.size(), re2::RE2::UNANCHORED, groups.data(), static_cast<int>(groups.size()))) return;
  for (const auto& [number, name] : re.CapturingGroupNames())
    add_parsed(row, name, std::string(groups[static_cast<std::size_t>(number)]), false);
}

void run(const logql::PatternStage& stage, Working& row) {
  for (const Field& f : pattern_fields(stage.pattern, row.line)) add_parsed(row, f.name, f.value, false);
}

void run(const logql::UnpackStage&, Working& row) {
  if (row.line.empty()) return;
  ParsedFields parsed = unpacked_fields(row.line);
  if (parsed.failed) return row.fail("JSONParserErr", "expecting json object(6), but it is not", true);
  const Field* entry = nullptr;
  std::map<std::string, std::string> members;   // of equal names the last one counts
  for (const Field& f : parsed.fields) {
    if (f.name == "_entry") entry = &f;
    else members[f.name] = f.value;
  }
  if (!entry) return;
  for (const auto& [name, value] : members) add_parsed(row, name, value, true);
  row.line = entry->value;
}

class RowInput final : public logql::TemplateInput {
 public:
  RowInput(const LabelMap& labels, const std::string& line, std::int64_t ts) : labels_(labels), line_(line), ts_(ts) {}
  bool label(std::string_view name, std::string_view& value) const override {
    auto it = labels_.find(std::string(name));
    if (it == labels_.end()) return false;
    value = it->second;
    return true;
  }
  std::string_view line() const override { return line_; }
  std::int64_t timestamp_ns() const override { return ts_; }
  std::vector<std::string_view> label_names() const override {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : labels_) names.push_back(name);
    return names;
  }

 private:
  const LabelMap& labels_;
  const std::string& line_;
  std::int64_t ts_;
};

const logql::Template& compiled(const std::string& text, const std::string& name) {
  static std::map<std::pair<std::string, std::string>, std::unique_ptr<logql::Template>> cache;
  auto& slot = cache[{text, name}];
  if (!slot) {
    auto parsed = logql::Template::parse(text, name);
    if (!parsed.ok()) throw NaiveError(false, parsed.error().message());
    slot = std::make_unique<logql::Template>(std::move(*parsed));
  }
  return *slot;
}

void run(const logql::LineFormatStage& stage, Working& row) {
  const LabelMap labels = row.shown();
  std::string out;
  auto done = compiled(stage.text, "line").execute(RowInput(labels, row.line, row.ts_ns), out);
  if (done.ok()) row.line = out;
  else row.fail("TemplateFormatErr", done.error().message(), false);
}

void run(const logql::LabelFormatStage& stage, Working& row) {
  std::optional<LabelMap> snapshot;
  for (const logql::LabelFormat& f : stage.formats) {
    if (f.rename) {
      const std::optional<std::string> value = row.get(f.value);
      if (!value) continue;
      row.erase(f.value);
      row.set_parsed(f.name, *value);
      continue;
    }
    if (!snapshot) snapshot = row.shown();
    std::string out;
    auto done = compiled(f.value, "label").execute(RowInput(*snapshot, row.line, row.ts_ns), out);
    if (done.ok()) row.set_parsed(f.name, out);
    else row.fail("TemplateFormatErr", done.error().message(), false);
  }
}

void run(const logql::DropStage& stage, Working& row) {
  for (const logql::DropKeepItem& item : stage.items) {
    if (item.name == "__error__" || item.name == "__error_details__") {
      std::string& state = item.name == "__error__" ? row.error : row.details;
      if (!item.matcher || item.matcher->matches(state)) state.clear();
      continue;
    }
    if (!item.matcher || item.matcher->matches(row.value(item.name))) row.erase(item.name);
  }
}

void run(const logql::KeepStage& stage, Working& row) {
  for (const auto& [name, value] : row.shown()) {
    if (name == "__error__" || name == "__error_details__") continue;
    const bool keep = std::any_of(stage.items.begin(), stage.items.end(), [&, &n = name, &v = value](const logql::DropKeepItem& item) {
      return item.name == n && (!item.matcher || item.matcher->matches(v));
    });
    if (!keep) row.erase(name);
  }
}

bool run_stage(const logql::Stage& stage, Working& row) {
  if (const auto* s = std::get_if<logql::LineFilterStage>(&stage)) return line_filter_keeps(*s, row.line);
  if (const auto* s = std::get_if<logql::LabelFilterStage>(&stage)) return label_filter_keeps(*s->filter, row);
  if (const auto* s = std::get_if<logql::JsonStage>(&stage)) run(*s, row);
  if (const auto* s = std::get_if<logql::LogfmtStage>(&stage)) run(*s, row);
  if (const auto* s = std::get_if<logql::RegexpStage>(&stage)) run(*s, row);
  if (const auto* s = std::get_if<logql::PatternStage>(&stage)) run(*s, row);
  if (const auto* s = std::get_if<logql::UnpackStage>(&stage)) run(*s, row);
  if (std::holds_alternative<logql::DecolorizeStage>(stage)) row.line = decolorized(row.line);
  if (const auto* s = std::get_if<logql::LineFormatStage>(&stage)) run(*s, row);
  if (const auto* s = std::get_if<logql::LabelFormatStage>(&stage)) run(*s, row);
  if (const auto* s = std::get_if<logql::DropStage>(&stage)) run(*s, row);
  if (const auto* s = std::get_if<logql::KeepStage>(&stage)) run(*s, row);
  return true;
}

}  // namespace

std::optional<std::string> Working::get(const std::string& name) const {
  if (name == "__error__") return error.empty() ? std::nullopt : std::optional<std::string>(error);
  for (const LabelMap* from : {&parsed, &metadata, &stream})
    if (auto it = from->find(name); it != from->end()) return it->second;
  return std::nullopt;
}
void Working::erase(const std::string& name) {
  parsed.erase(name);
  metadata.erase(name);
  stream.erase(name);
}
void Working::set_parsed(const std::string& name, const std::string& value) {
  metadata.erase(name);
  parsed[name] = value;
  taken.insert(name);
}
void Working::fail(const char* type, const std::string& text, bool parser) {
  error = type;
  if (!text.empty()) details = text;   // an error without a text leaves the one there was
  parser_failed = parser_failed || parser;
}
LabelMap Working::shown() const {
  LabelMap all = stream;
  for (const auto& [name, value] : metadata) all[name] = value;
  for (const auto& [name, value] : parsed) all[name] = value;
  if (!error.empty()) all["__error__"] = error;
  if (!details.empty()) all["__error_details__"] = details;
  return all;
}

Working start_row(const Row& row) {
  Working w;
  w.row = &row;
  w.ts_ns = row.ts_ns;
  w.line = row.line;
  w.stream = row.labels;
  for (const auto& [name, value] : row.metadata) w.metadata[row.labels.count(name) ? name + "_extracted" : name] = value;
  if (!row.level.empty()) w.metadata[row.labels.count("detected_level") ? "detected_level_extracted" : "detected_level"] = row.level;
  return w;
}

bool label_filter_keeps(const logql::LabelFilter& f, Working& row) {
  using Kind = logql::LabelFilter::Kind;
  switch (f.kind) {
    case Kind::kAnd: return label_filter_keeps(*f.left, row) && label_filter_keeps(*f.right, row);
    case Kind::kOr: return label_filter_keeps(*f.left, row) || label_filter_keeps(*f.right, row);
    case Kind::kString: {
      const model::Matcher& m = *f.matcher;
      return matcher_matches(m, m.name() == "__error_details__" ? "" : row.value(m.name()));
    }
    default: break;
  }
  const std::optional<std::string> text = row.get(f.label);
  if (!text) return false;
  if (f.kind == Kind::kIp) {
    bool is_address = false;
    const bool inside = ip_text_matches(f.text, *text, is_address);
    return (f.op == logql::CompareOp::kEqual) == inside;
  }
  const std::optional<double> value = f.kind == Kind::kNumber ? number_of(*text) : f.kind == Kind::kBytes ? bytes_of(*text) : duration_seconds_of(*text);
  if (!value) {
    if (row.error.empty()) row.fail("LabelFilterErr", "not convertible", false);
    return true;
  }
  const double with = f.kind == Kind::kDuration ? static_cast<double>(f.duration_ns) / 1e9 : f.kind == Kind::kBytes ? static_cast<double>(f.bytes) : f.number;
  return compare(*value, f.op, with);
}

bool run_stages(const std::vector<logql::Stage>& stages, Working& row) {
  // Line filters come first within their segment; label filters, line_format and unpack end one.
  std::size_t begin = 0;
  while (begin < stages.size()) {
    std::size_t end = begin;
    const auto ends_segment = [](const logql::Stage& s) {
      return std::holds_alternative<logql::LabelFilterStage>(s) || std::holds_alternative<logql::LineFormatStage>(s) || std::holds_alternative<logql::UnpackStage>(s);
    };
    while (end < stages.size() && !ends_segment(stages[end])) ++end;
    for (std::size_t i = begin; i < end; ++i)
      if (std::holds_alternative<logql::LineFilterStage>(stages[i]) && !run_stage(stages[i], row)) return false;
    for (std::size_t i = begin; i < end; ++i)
      if (!std::holds_alternative<logql::LineFilterStage>(stages[i]) && !run_stage(stages[i], row)) return false;
    if (end < stages.size() && !run_stage(stages[end], row)) return false;
    begin = end + 1;
  }
  return true;
}

}  // namespace skald::differential
