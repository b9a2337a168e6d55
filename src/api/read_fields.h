// Fields of a log line found by guessing: JSON first, then logfmt.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "skald/model/labels.h"

namespace skald::api {

struct FoundField {
  std::string name;                 // as a label
  std::string value;
  std::vector<std::string> path;    // JSON: keys as they are in the document
};

// Scalars of a JSON object, nested names joined with '_'. False: not a JSON object; `fields` is then untouched.
bool find_json_fields(std::string_view line, std::vector<FoundField>& fields);
// key=value pairs with a value. False: none.
bool find_logfmt_fields(std::string_view line, std::vector<FoundField>& fields);

// int, float, boolean, duration, bytes or string.
std::string_view field_type(std::string_view value);

// Label name of a parsed key: white space trimmed, '_' before a leading digit and for every other rune.
std::string field_name(std::string_view key);

}  // namespace skald::api
