#include "skald/model/matcher.h"

#include <re2/re2.h>

#include <algorithm>

#include "model/regex_text.h"

namespace skald::model {
namespace {
// RE2 splits this between program and DFA caches; beyond it, it falls back to slower matching, never to more memory.
constexpr std::int64_t kRegexMemoryBytes = 16 << 20;
// More alternatives than this are quicker through the DFA.
constexpr std::size_t kLinearLiterals = 8;
}  // namespace

Result<Matcher> Matcher::make(MatchType type, std::string name, std::string value) {
  Matcher matcher;
  matcher.type_ = type;
  matcher.name_ = std::move(name);
  matcher.value_ = std::move(value);
  if (type == MatchType::kRegex || type == MatchType::kNotRegex) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_dot_nl(true);
    options.set_max_mem(kRegexMemoryBytes);
    auto regex = std::make_shared<re2::RE2>(go_to_re2(matcher.value_), options);
    if (!regex->ok()) return Error(ErrorCode::kInvalidArgument, regex_error_text(*regex, matcher.value_));
    matcher.regex_ = std::move(regex);
    matcher.literals_ = regex_literals(matcher.value_);
  }
  return matcher;
}

bool Matcher::matches(std::string_view label_value) const {
  switch (type_) {
    case MatchType::kEqual: return label_value == value_;
    case MatchType::kNotEqual: return label_value != value_;
    case MatchType::kRegex:
    case MatchType::kNotRegex: break;
  }
  bool hit = false;
  if (!literals_.empty() && literals_.size() <= kLinearLiterals)
    hit = std::find(literals_.begin(), literals_.end(), label_value) != literals_.end();
  else
    hit = re2::RE2::FullMatch(re2::StringPiece(label_value.data(), label_value.size()), *regex_);
  return hit == (type_ == MatchType::kRegex);
}

std::string Matcher::to_string() const {
  std::string out = name_;
  switch (type_) {
    case MatchType::kEqual: out += "="; break;
    case MatchType::kNotEqual: out += "!="; break;
    case MatchType::kRegex: out += "=~"; break;
    case MatchType::kNotRegex: out += "!~"; break;
  }
  append_go_quoted(out, value_);
  return out;
}

bool matches_all(const std::vector<Matcher>& matchers, const Labels& labels) {
  for (const Matcher& matcher : matchers) {
    if (!matcher.matches(labels.get(matcher.name()))) return false;
  }
  return true;
}

}  // namespace skald::model
