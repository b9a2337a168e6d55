#include "model/regex_text.h"

#include <re2/re2.h>

#include <algorithm>
#include <optional>

namespace skald::model {
namespace {

constexpr std::size_t kLiteralsMax = 256;
constexpr int kDepthMax = 16;

class LiteralParser {
 public:
  explicit LiteralParser(std::string_view pattern) : pattern_(pattern) {}

  std::optional<std::vector<std::string>> parse() {
    auto all = alternatives(0);
    if (!all || at_ != pattern_.size()) return std::nullopt;
    return all;
  }

 private:
  using Set = std::vector<std::string>;

  std::optional<Set> alternatives(int depth) {
    if (depth > kDepthMax) return std::nullopt;
    Set all;
    while (true) {
      auto one = sequence(depth);
      if (!one) return std::nullopt;
      all.insert(all.end(), one->begin(), one->end());
      if (all.size() > kLiteralsMax) return std::nullopt;
      if (at_ == pattern_.size() || pattern_[at_] != '|') return all;
      ++at_;
    }
  }

  std::optional<Set> sequence(int depth) {
    Set heads{std::string()};
    while (at_ < pattern_.size() && pattern_[at_] != '|' && pattern_[at_] != ')') {
      const char c = pattern_[at_];
      Set tails;
      if (c == '(') {
        ++at_;
        if (pattern_.substr(at_, 2) == "?:") at_ += 2;
        else if (at_ < pattern_.size() && pattern_[at_] == '?') return std::nullopt;
        auto inner = alternatives(depth + 1);
        if (!inner || at_ == pattern_.size()) return std::nullopt;
        ++at_;  // ')'
        tails = std::move(*inner);
      } else if (c == '\\') {
        if (at_ + 1 == pattern_.size()) return std::nullopt;
        const auto escaped = static_cast<unsigned char>(pattern_[at_ + 1]);
        if (escaped >= 0x80 || std::isalnum(escaped)) return std::nullopt;  // classes, anchors, codes
        tails.emplace_back(1, static_cast<char>(escaped));
        at_ += 2;
      } else if (std::string_view("*+?{}[].^$").find(c) != std::string_view::npos) {
        return std::nullopt;
      } else {
        tails.emplace_back(1, c);
        ++at_;
      }
      // A repetition behind the atom makes the set something else.
      if (at_ < pattern_.size() && std::string_view("*+?{").find(pattern_[at_]) != std::string_view::npos)
        return std::nullopt;
      if (heads.size() * tails.size() > kLiteralsMax) return std::nullopt;
      if (tails.size() == 1) {
        for (std::string& head : heads) head += tails[0];
        continue;
      }
      Set product;
      product.reserve(heads.size() * tails.size());
      for (const std::string& head : heads)
        for (const std::string& tail : tails) product.push_back(head + tail);
      heads = std::move(product);
    }
    return heads;
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
};

}  // namespace

std::string go_to_re2(std::string_view pattern) {
  if (pattern.find("(?<") == std::string_view::npos) return std::string(pattern);
  std::string out;
  out.reserve(pattern.size() + 8);
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && pattern.substr(i, 2) == "\\Q") {
      const std::size_t end = std::min(pattern.find("\\E", i), pattern.size());
      out.append(pattern.substr(i, end - i));
      i = end - 1;
      continue;
    }
    if (c == '\\' && i + 1 < pattern.size()) {
      out += c;
      out += pattern[++i];
      continue;
    }
    if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += pattern[++i];  // a first ']' is itself
      continue;
    } else if (c == '(' && pattern.substr(i, 3) == "(?<") {
      const char next = i + 3 < pattern.size() ? pattern[i + 3] : '\0';
      if (next != '=' && next != '!') {
        out += "(?P<";
        i += 2;
        continue;
      }
    }
    out += c;
  }
  return out;
}

std::string regex_error_text(const re2::RE2& regex, std::string_view pattern) {
  std::string what;
  std::string arg = regex.error_arg();
  switch (regex.error_code()) {
    case re2::RE2::ErrorBadEscape: what = "invalid escape sequence"; break;
    case re2::RE2::ErrorBadCharClass: what = "invalid character class"; break;
    case re2::RE2::ErrorBadCharRange: what = "invalid character class range"; break;
    case re2::RE2::ErrorMissingBracket: what = "missing closing ]"; break;
    case re2::RE2::ErrorMissingParen: what = "missing closing )"; arg = pattern; break;
    case re2::RE2::ErrorUnexpectedParen: what = "unexpected )"; arg = pattern; break;
    case re2::RE2::ErrorTrailingBackslash: what = "trailing backslash at end of expression"; arg.clear(); break;
    case re2::RE2::ErrorRepeatArgument: what = "missing argument to repetition operator"; break;
    case re2::RE2::ErrorRepeatSize: what = "invalid repeat count"; break;
    case re2::RE2::ErrorRepeatOp: what = "invalid nested repetition operator"; break;
    case re2::RE2::ErrorBadPerlOp: what = "invalid or unsupported Perl syntax"; break;
    case re2::RE2::ErrorBadUTF8: what = "invalid UTF-8"; break;
    case re2::RE2::ErrorBadNamedCapture: what = "invalid named capture"; break;
    case re2::RE2::ErrorPatternTooLarge: what = "expression too large"; arg = pattern; break;
    default: what = regex.error(); break;
  }
  return "error parsing regexp: " + what + ": `" + arg + "`";
}

std::vector<std::string> regex_literals(std::string_view pattern) {
  auto all = LiteralParser(pattern).parse();
  if (!all || std::find(all->begin(), all->end(), std::string()) != all->end()) return {};
  std::sort(all->begin(), all->end());
  all->erase(std::unique(all->begin(), all->end()), all->end());
  return std::move(*all);
}

}  // namespace skald::model
