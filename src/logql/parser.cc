#include "skald/logql/parser.h"

#include "logql/grammar.h"
#include "logql/validate.h"

namespace skald::logql {
namespace {

constexpr std::size_t kQueryBytesMax = 131'072;

Result<Query> parse_unchecked(std::string_view text) {
  if (text.size() >= kQueryBytesMax)
    return parse_error(0, 0, "input size too long (" + std::to_string(text.size()) + " > " +
                                 std::to_string(kQueryBytesMax) + ")");
  return Grammar(text).query();
}

}  // namespace

Result<Query> parse(std::string_view text) {
  SKALD_TRY(Query query, parse_unchecked(text));
  SKALD_TRY_VOID(validate(query));
  return query;
}

Result<std::vector<model::Matcher>> parse_selector(std::string_view text) {
  SKALD_TRY(Query query, parse_unchecked(text));
  if (!query.is_log()) return Error(ErrorCode::kInvalidArgument, "only label matchers are supported");
  SKALD_TRY_VOID(validate_matchers(query.log().matchers));
  if (!query.log().stages.empty()) return Error(ErrorCode::kInvalidArgument, "only label matchers are supported");
  return query.log().matchers;
}

}  // namespace skald::logql
