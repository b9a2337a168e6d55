#include "engine/filter_regex.h"

#include <cstring>

#include "engine/scan.h"

namespace skald::engine {
namespace {

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }
bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

// Escapes that stand for one byte; 0: something else.
char escaped_byte(char c) {
  if (static_cast<unsigned char>(c) < 0x80 && !is_word(c)) return c;
  switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'f': return '\f';
    case 'v': return '\v';
    default: return 0;
  }
}

// Length of a group's opening: "(", "(?:", "(?P<name>", "(?<name>"; 0 for flags and anything else.
std::size_t group_opening(std::string_view text) {
  if (!text.starts_with("(")) return 0;
  if (!text.starts_with("(?")) return 1;
  if (text.starts_with("(?:")) return 3;
  if (text.starts_with("(?P<") || text.starts_with("(?<")) {
    const std::size_t close = text.find('>');
    return close == std::string_view::npos ? 0 : close + 1;
  }
  return 0;
}

// One past the class that starts at text[at] == '['.
std::size_t skip_class(std::string_view text, std::size_t at) {
  ++at;
  if (at < text.size() && text[at] == '^') ++at;
  if (at < text.size() && text[at] == ']') ++at;
  while (at < text.size() && text[at] != ']') {
    if (text[at] == '\\') ++at;
    else if (text.substr(at).starts_with("[:")) {
      const std::size_t close = text.find(":]", at);
      if (close != std::string_view::npos) at = close + 1;
    }
    ++at;
  }
  return at + 1;
}

// One past the ')' that closes text[at] == '('; npos when there is none.
std::size_t skip_group(std::string_view text, std::size_t at) {
  int depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '\\') at += 2;
    else if (c == '[') at = skip_class(text, at);
    else {
      ++at;
      if (c == '(') ++depth;
      if (c == ')' && --depth == 0) return at;
    }
  }
  return std::string_view::npos;
}

std::string_view strip_groups(std::string_view regex) {
  for (;;) {
    const std::size_t opening = group_opening(regex);
    if (opening == 0 || skip_group(regex, 0) != regex.size()) return regex;
    regex = regex.substr(opening, regex.size() - opening - 1);
  }
}

// The literal one alternative stands for, ".*" at its ends removed. `any` when it was only ".*".
bool read_alternative(std::string_view text, std::string& literal, bool& any) {
  bool stripped = false;
  for (;;) {
    if (text.starts_with(".*?")) text.remove_prefix(3);
    else if (text.starts_with(".*")) text.remove_prefix(2);
    else break;
    if (!text.empty() && (text[0] == '+' || text[0] == '*' || text[0] == '{')) return false;
    stripped = true;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '.' && text.substr(i) == ".*") {
      stripped = true;
      break;
    }
    if (c == '\\') {
      if (++i == text.size()) return false;
      const char byte = escaped_byte(text[i]);
      if (byte == 0) return false;
      literal.push_back(byte);
    } else if (std::strchr(".^$*+?()[{|", c) != nullptr && c != '\0') {
      return false;
    } else {
      literal.push_back(c);
    }
  }
  any = literal.empty() && stripped;
  return !literal.empty() || any;
}

// Collects candidate literals of one group's content.
class LiteralCollector {
 public:
  explicit LiteralCollector(bool fold) : fold_(fold) {}

  // False: give up.
  bool walk(std::string_view text) {
    std::string run;
    for (std::size_t i = 0; i < text.size();) {
      const char c = text[i];
      std::string unit;                       // the literal this element stands for
      std::string_view inner;                 // a group's content
      if (c == '|') return false;             // alternatives: nothing is required at this level
      if (c == '\\') {
        if (i + 1 >= text.size()) return false;
        const char e = text[i + 1];
        if (const char byte = escaped_byte(e)) unit.assign(1, byte);
        else if (std::strchr("dDwWsSbBAz", e) == nullptr) return false;
        i += 2;
      } else if (c == '[') {
        i = skip_class(text, i);
      } else if (c == '(') {
        const std::size_t opening = group_opening(text.substr(i));
        const std::size_t end = skip_group(text, i);
        if (opening == 0 || end == std::string_view::npos) return false;
        inner = text.substr(i + opening, end - i - opening - 1);
        i = end;
      } else if (c == '.' || c == '^' || c == '$') {
        ++i;
      } else if (c == '*' || c == '+' || c == '?' || c == ')') {
        return false;
      } else {
        std::size_t size = 1;                 // a whole rune: a quantifier applies to all its bytes
        while (i + size < text.size() && (static_cast<unsigned char>(text[i + size]) & 0xC0) == 0x80) ++size;
        unit = text.substr(i, size);
        i += size;
      }
      const char quantifier = i < text.size() ? text[i] : '\0';
      const bool optional = quantifier == '*' || quantifier == '?' || quantifier == '{';
      const bool repeated = optional || quantifier == '+';
      if (repeated) {
        if (quantifier == '{') {
          const std::size_t close = text.find('}', i);
          i = close == std::string_view::npos ? text.size() : close + 1;
        } else {
          ++i;
        }
        if (i < text.size() && text[i] == '?') ++i;   // lazy
      }
      if (!inner.empty() || unit.empty() || optional || !usable(unit)) {
        offer(run);
        run.clear();
        if (!inner.empty() && !optional) {
          LiteralCollector nested(fold_);
          if (nested.walk(inner)) offer(nested.best_);
        }
        continue;
      }
      run += unit;
      if (repeated) {
        offer(run);
        run.clear();
      }
    }
    offer(run);
    return true;
  }

  const std::string& best() const { return best_; }

 private:
  // Under (?i) `k` also matches U+212A and `s` U+017F, other ASCII letters only their own other case.
  bool usable(std::string_view unit) const {
    if (!fold_) return true;
    const char c = unit[0];
    return unit.size() == 1 && static_cast<unsigned char>(c) < 0x80 && std::strchr("kKsS", c) == nullptr;
  }
  static int score(std::string_view literal) {
    int sum = 0;
    for (const char c : literal) sum += 300 - byte_commonness(static_cast<unsigned char>(c));
    return sum;
  }
  void offer(const std::string& run) {
    if (score(run) > score(best_)) best_ = run;
  }

  bool fold_;
  std::string best_;
};

bool strip_fold_flag(std::string_view& regex) {
  if (!regex.starts_with("(?i)")) return false;
  regex.remove_prefix(4);
  return true;
}

}  // namespace

std::optional<LiteralRegex> reduce_to_literals(std::string_view regex) {
  LiteralRegex result;
  if (regex.empty()) {
    result.match_all = true;
    return result;
  }
  result.fold_case = strip_fold_flag(regex);
  regex = strip_groups(regex);
  if (regex.find('\0') != std::string_view::npos) return std::nullopt;
  bool some_any = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= regex.size(); ++i) {
    if (i < regex.size() && regex[i] == '\\') {
      ++i;
      continue;
    }
    if (i < regex.size() && regex[i] != '|') continue;
    std::string literal;
    bool any = false;
    if (!read_alternative(regex.substr(begin, i - begin), literal, any)) return std::nullopt;
    if (any) some_any = true;
    else result.literals.push_back(std::move(literal));
    begin = i + 1;
  }
  if (result.literals.empty()) {
    if (!some_any) return std::nullopt;
    result.match_all = true;
  }
  if (result.fold_case) {
    for (const std::string& literal : result.literals) {
      if (!is_ascii(literal)) return std::nullopt;   // the regex engine folds these properly
    }
  }
  return result;
}

std::optional<RequiredLiteral> required_literal(std::string_view regex) {
  const bool fold = strip_fold_flag(regex);
  LiteralCollector collector(fold);
  if (!collector.walk(strip_groups(regex)) || collector.best().size() < 2) return std::nullopt;
  return RequiredLiteral{collector.best(), fold};
}

}  // namespace skald::engine
