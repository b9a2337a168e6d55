// Regular expressions of LogQL: Go's dialect on RE2, with Go's error texts.
#pragma once

#include <memory>
#include <string_view>

#include "skald/base/result.h"

namespace re2 { class RE2; }

namespace skald::logql {

struct RegexOptions {
  bool dot_matches_newline = false;  // stream selectors only
};

// Unanchored unless the caller uses FullMatch. kInvalidArgument: "error parsing regexp: missing closing ): `(`".
Result<std::shared_ptr<const re2::RE2>> compile_regex(std::string_view pattern, RegexOptions options = {});

// The expression of `| regexp`: at least one named group, names unique. The error is the cause alone.
Result<std::shared_ptr<const re2::RE2>> compile_regexp_parser(std::string_view pattern);

}  // namespace skald::logql
