// The slow, obvious reading of LogQL: one row at a time, maps and strings, nothing shared with the engine.
// Written from the language's description; the engine's answers are compared with it on random input.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "skald/logql/ast.h"

namespace skald::differential {

using LabelMap = std::map<std::string, std::string>;

// One entry as it was pushed.
struct Row {
  std::size_t stream = 0;   // which stream, for questions of order
  LabelMap labels;
  std::int64_t ts_ns = 0;
  std::string line;
  LabelMap metadata;
  std::string level;        // "" none
};

// The query fails; `internal` is a 500, else a 400.
struct NaiveError : std::runtime_error {
  NaiveError(bool is_internal, const std::string& what) : std::runtime_error(what), internal(is_internal) {}
  bool internal;
};
// The language leaves the answer open (ties and the like): nothing to compare.
struct Undefined : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Field {
  std::string name, value;
};

// ---- text -----------------------------------------------------------------------------------------------------------

// Length of the UTF-8 rune at `at`; 0 when the bytes there are none (then one byte is to be skipped).
std::size_t rune_length(std::string_view text, std::size_t at);
std::string bad_utf8_to_spaces(std::string_view text);
bool valid_utf8(std::string_view text);
std::string label_name_part(std::string_view key);       // every rune outside [A-Za-z0-9_] becomes _, blanks around trimmed
std::string label_name(std::string_view key);            // and a leading digit gets a _ in front; "" when nothing is left

struct ParsedFields {
  std::vector<Field> fields;
  bool failed = false;
};
ParsedFields json_fields(std::string_view line);
// nullopt: absent. Throws Undefined where the text is no clean JSON.
std::optional<std::string> json_at(std::string_view line, std::string_view path);
ParsedFields unpacked_fields(std::string_view line);
struct LogfmtPair {
  std::string key, value;
  bool bare = false;
};
struct LogfmtPairs {
  std::vector<LogfmtPair> pairs;
  bool failed = false;   // strict only
};
LogfmtPairs logfmt_pairs(std::string_view line, bool strict);
std::vector<Field> pattern_fields(std::string_view pattern, std::string_view line);
bool line_pattern_matches(std::string_view pattern, std::string_view line);
std::string decolorized(std::string_view line);

bool ip_text_matches(std::string_view filter, std::string_view address, bool& is_address);
bool ip_line_matches(std::string_view filter, std::string_view line);
std::optional<double> number_of(std::string_view text);            // Go's ParseFloat
std::optional<double> duration_seconds_of(std::string_view text);  // Go's ParseDuration
std::optional<double> bytes_of(std::string_view text);             // 10kb, 1.5 MiB

// ---- a row on its way through the stages ---------------------------------------------------------------------------

struct Working {
  const Row* row = nullptr;
  std::int64_t ts_ns = 0;
  std::string line;
  LabelMap stream, metadata, parsed;
  std::set<std::string> taken;    // names some stage has already produced
  std::string error, details;
  bool parser_failed = false;   // once it has, a later error changes nothing about it

  std::optional<std::string> get(const std::string& name) const;
  std::string value(const std::string& name) const { return get(name).value_or(""); }
  void erase(const std::string& name);
  void set_parsed(const std::string& name, const std::string& value);
  void fail(const char* type, const std::string& text, bool parser);
  // What a result shows, errors included.
  LabelMap shown() const;
};

Working start_row(const Row& row);
// False: the row is dropped.
bool run_stages(const std::vector<logql::Stage>& stages, Working& row);
bool label_filter_keeps(const logql::LabelFilter& filter, Working& row);

}  // namespace skald::differential
