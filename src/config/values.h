// Scalars of the configuration: from YAML or flag text to a typed member and back to text.
#pragma once

#include <string>
#include <string_view>

#include "skald/base/result.h"
#include "yaml_tree.h"

namespace skald::config {

// What a key holds, which is also the C++ type of its member.
enum class Kind {
  kBool,          // bool
  kInt,           // int64; whole numbers also as 1.5e+06
  kFloat,         // double
  kString,        // string
  kSecret,        // string, shown as ********
  kSecretUrl,     // string, its password shown as ********
  kDuration,      // int64 ns; Go or Prometheus form
  kPromDuration,  // the same, shown in the Prometheus form
  kSize,          // int64 bytes; 3MB, powers of 1024
  kList,          // vector<string>; a YAML list or one comma-separated text
  kLogLevel,      // string; debug info warn error
  kAny,           // anything; never stored
};

// `target` points to the member of `kind`'s type. Errors say what was wanted, without line.
Result<void> set_from_text(Kind kind, const std::string& text, void* target);
// The same from a YAML value; errors carry "line N: ". Null leaves the member as it is.
Result<void> set_from_yaml(Kind kind, const YamlNode& node, void* target);
// Canonical YAML text of the member (already quoted; lists in flow form). Secrets masked unless empty.
std::string to_yaml(Kind kind, const void* member);
// Canonical text that set_from_text() takes.
std::string to_text(Kind kind, const void* member);
// Checks without a member and gives the canonical text; for keys that steer nothing.
Result<std::string> canonical_text(Kind kind, const YamlNode& node);

Result<std::int64_t> parse_size(std::string_view text);
std::string format_size(std::int64_t bytes);  // largest unit that divides: 256KB, 0B
Result<std::int64_t> parse_duration(std::string_view text);
std::vector<std::string> split_list(std::string_view text);  // at commas, trimmed, empty parts left out

}  // namespace skald::config
