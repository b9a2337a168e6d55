#include "skald/logql/pattern.h"

#include <algorithm>

namespace skald::logql {
namespace {

bool name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool name_char(char c) { return name_start(c) || (c >= '0' && c <= '9'); }

// Length of `<name>` at the start of `text`, or 0.
std::size_t capture_length(std::string_view text) {
  if (text.size() < 3 || text[0] != '<' || !name_start(text[1])) return 0;
  std::size_t at = 2;
  while (at < text.size() && name_char(text[at])) ++at;
  return at < text.size() && text[at] == '>' ? at + 1 : 0;
}

PatternExpression split(std::string_view text) {
  PatternExpression parts;
  std::size_t literal_start = 0, at = 0;
  const auto end_literal = [&] {
    if (at > literal_start) parts.push_back({false, std::string(text.substr(literal_start, at - literal_start))});
  };
  while (at < text.size()) {
    const std::size_t length = capture_length(text.substr(at));
    if (length == 0) {
      ++at;
      continue;
    }
    end_literal();
    parts.push_back({true, std::string(text.substr(at + 1, length - 2))});
    at += length;
    literal_start = at;
  }
  end_literal();
  return parts;
}

Result<void> check_not_consecutive(const PatternExpression& parts) {
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (parts[i].capture && parts[i - 1].capture)
      return Error(ErrorCode::kInvalidArgument, "found consecutive capture '<" + parts[i - 1].text + "><" +
                                                    parts[i].text + ">': invalid expression");
  }
  return {};
}

}  // namespace

Result<PatternExpression> parse_pattern(std::string_view text) {
  if (text.empty())
    return Error(ErrorCode::kInvalidArgument,
                 "parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL");
  PatternExpression parts = split(text);
  std::vector<std::string_view> names;
  for (const PatternPart& part : parts)
    if (part.capture && !part.discard()) names.push_back(part.text);
  if (names.empty()) return Error(ErrorCode::kInvalidArgument, "at least one capture is required");
  SKALD_TRY_VOID(check_not_consecutive(parts));
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    return Error(ErrorCode::kInvalidArgument, "duplicate capture name (" + std::string(*twice) + "): invalid expression");
  return parts;
}

Result<PatternExpression> parse_line_pattern(std::string_view text) {
  PatternExpression parts = split(text);
  SKALD_TRY_VOID(check_not_consecutive(parts));
  for (const PatternPart& part : parts) {
    if (part.capture && !part.discard())
      return Error(ErrorCode::kInvalidArgument, "named captures are not allowed: found '<" + part.text + ">'");
  }
  return parts;
}

}  // namespace skald::logql
