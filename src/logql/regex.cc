#include "skald/logql/regex.h"

#include <re2/re2.h>

#include <set>
#include <string>

#include "model/regex_text.h"

namespace skald::logql {
namespace {
// RE2 falls back to slower matching, never to more memory.
constexpr std::int64_t kRegexMemoryBytes = 16 << 20;
}  // namespace

Result<std::shared_ptr<const re2::RE2>> compile_regex(std::string_view pattern, RegexOptions options) {
  re2::RE2::Options re2_options;
  re2_options.set_log_errors(false);
  re2_options.set_dot_nl(options.dot_matches_newline);
  re2_options.set_max_mem(kRegexMemoryBytes);
  auto regex = std::make_shared<re2::RE2>(model::go_to_re2(pattern), re2_options);
  if (!regex->ok()) return Error(ErrorCode::kInvalidArgument, model::regex_error_text(*regex, pattern));
  return std::shared_ptr<const re2::RE2>(std::move(regex));
}

Result<std::shared_ptr<const re2::RE2>> compile_regexp_parser(std::string_view pattern) {
  SKALD_TRY(auto regex, compile_regex(pattern));
  const auto& names = regex->CapturingGroupNames();
  if (names.empty()) return Error(ErrorCode::kInvalidArgument, "at least one named capture must be supplied");
  std::set<std::string> seen;
  for (const auto& [group, name] : names) {
    if (!seen.insert(name).second)
      return Error(ErrorCode::kInvalidArgument, "duplicate extracted label name '" + name + "'");
  }
  return regex;
}

}  // namespace skald::logql
