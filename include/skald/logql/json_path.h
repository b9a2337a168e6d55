// Expressions of `| json label="path"` and `| logfmt label="key"`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"

namespace skald::logql {

struct JsonPathStep {
  bool is_index = false;
  std::string key;            // member name, unescaped
  std::uint64_t index = 0;    // array position
  bool operator==(const JsonPathStep&) const = default;
};
using JsonPath = std::vector<JsonPathStep>;  // at least one step

// a.b["quoted key"][0]. kInvalidArgument: "cannot parse expression [a[]: syntax error: unexpected $end, …".
Result<JsonPath> parse_json_path(std::string_view text);

// A single key of a logfmt line. kInvalidArgument as above.
Result<std::string> parse_logfmt_key(std::string_view text);

}  // namespace skald::logql
