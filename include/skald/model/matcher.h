// A label matcher of a stream selector. Regexes are fully anchored and compiled once.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"
#include "skald/model/labels.h"

namespace re2 { class RE2; }

namespace skald::model {

enum class MatchType { kEqual, kNotEqual, kRegex, kNotRegex };

// Copyable, immutable, thread-safe.
class Matcher {
 public:
  // kInvalidArgument: the regex does not compile (text of the regex library, in Go's wording where known).
  static Result<Matcher> make(MatchType type, std::string name, std::string value);
  MatchType type() const { return type_; }
  const std::string& name() const { return name_; }
  const std::string& value() const { return value_; }
  bool matches(std::string_view label_value) const;      // a missing label is ""
  bool matches_empty() const { return matches(""); }
  // Literal alternatives when a regex is just `a|b|c` (or one literal); empty otherwise. For index look-ups.
  const std::vector<std::string>& literals() const { return literals_; }
  std::string to_string() const;                          // name=~"value"
 private:
  MatchType type_ = MatchType::kEqual;
  std::string name_, value_;
  std::shared_ptr<const re2::RE2> regex_;
  std::vector<std::string> literals_;
};

bool matches_all(const std::vector<Matcher>& matchers, const Labels& labels);

}  // namespace skald::model
