#include "skald/logql/json_path.h"

#include "model/utf8.h"

namespace skald::logql {
namespace {

bool name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool name_char(char c) { return name_start(c) || is_digit(c); }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

struct Token {
  enum Kind { kEnd, kDot, kOpen, kClose, kField, kString, kIndex } kind = kEnd;
  std::string text;
  std::uint64_t number = 0;
};

const char* name_of(Token::Kind kind) {
  switch (kind) {
    case Token::kEnd: return "$end";
    case Token::kDot: return "DOT";
    case Token::kOpen: return "LSB";
    case Token::kClose: return "RSB";
    case Token::kField: return "FIELD";
    case Token::kString: return "STRING";
    case Token::kIndex: return "INDEX";
  }
  return "";
}

std::string first_rune(std::string_view text) {
  const model::Rune rune = model::decode_rune(text);
  return rune.length == 0 ? "\xEF\xBF\xBD" : std::string(text.substr(0, rune.length));
}

class PathParser {
 public:
  explicit PathParser(std::string_view text) : text_(text) {}

  Result<JsonPath> parse() {
    JsonPath path;
    SKALD_TRY_VOID(advance());
    if (token_.kind == Token::kField) {
      SKALD_TRY_VOID(take_field(path));
    } else if (token_.kind == Token::kOpen && !inside_) {
      SKALD_TRY_VOID(take_bracket(path));
    } else {
      return unexpected("LSB or FIELD");
    }
    while (token_.kind != Token::kEnd) {
      if (token_.kind == Token::kDot) {
        SKALD_TRY_VOID(advance());
        if (token_.kind != Token::kField) return unexpected("FIELD");
        SKALD_TRY_VOID(take_field(path));
      } else if (token_.kind == Token::kOpen) {
        SKALD_TRY_VOID(take_bracket(path));
      } else {
        return unexpected("DOT or LSB");
      }
    }
    return path;
  }

 private:
  Error fail(std::string what) const {
    return Error(ErrorCode::kInvalidArgument, "cannot parse expression [" + std::string(text_) + "]: " + std::move(what));
  }
  Error unexpected(const char* expected) const {
    return fail(std::string("syntax error: unexpected ") + name_of(token_.kind) + ", expecting " + expected);
  }

  Result<void> take_field(JsonPath& path) {
    path.push_back({false, std::move(token_.text), 0});
    return advance();
  }

  Result<void> take_bracket(JsonPath& path) {
    inside_ = true;
    SKALD_TRY_VOID(advance());
    if (token_.kind == Token::kString) path.push_back({false, std::move(token_.text), 0});
    else if (token_.kind == Token::kIndex) path.push_back({true, {}, token_.number});
    else return unexpected("STRING or INDEX");
    SKALD_TRY_VOID(advance());
    if (token_.kind != Token::kClose) return unexpected("RSB");
    inside_ = false;
    return advance();
  }

  // What is no token at all ends the expression, as in Loki's scanner.
  Result<void> advance() {
    token_ = {};
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    if (at_ == text_.size()) return {};
    const char c = text_[at_];
    if (c == '.') { token_.kind = Token::kDot; ++at_; return {}; }
    if (c == '[') { token_.kind = Token::kOpen; ++at_; return {}; }
    if (c == ']') { token_.kind = Token::kClose; ++at_; return {}; }
    if (name_start(c)) return field();
    if (c == '"') return string();
    if (is_digit(c) && inside_) return index();
    return {};
  }

  Result<void> field() {
    token_.kind = Token::kField;
    const std::size_t start = at_;
    while (at_ < text_.size() && name_char(text_[at_])) ++at_;
    if (at_ < text_.size() && text_[at_] != '.' && text_[at_] != '[' && text_[at_] != ']' && !is_space(text_[at_]))
      return fail("unexpected char " + first_rune(text_.substr(at_)));
    token_.text = text_.substr(start, at_ - start);
    return {};
  }

  Result<void> index() {
    token_.kind = Token::kIndex;
    for (; at_ < text_.size() && is_digit(text_[at_]); ++at_) {
      if (token_.number > 100'000'000'000) return fail("index too large");
      token_.number = token_.number * 10 + static_cast<std::uint64_t>(text_[at_] - '0');
    }
    if (at_ < text_.size() && text_[at_] != ']' && !is_space(text_[at_]))
      return fail("unexpected char " + first_rune(text_.substr(at_)));
    return {};
  }

  Result<void> string() {
    token_.kind = Token::kString;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return {};
      }
      if (c == '\\' && at_ + 1 < text_.size() && (text_[at_ + 1] == '"' || text_[at_ + 1] == '\\')) {
        token_.text += text_[++at_];
        continue;
      }
      token_.text += c;
    }
    return fail("unterminated string");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool inside_ = false;  // between [ and ]
  Token token_;
};

}  // namespace

Result<JsonPath> parse_json_path(std::string_view text) { return PathParser(text).parse(); }

Result<std::string> parse_logfmt_key(std::string_view text) {
  const auto fail = [&](std::string what) {
    return Error(ErrorCode::kInvalidArgument, "cannot parse expression [" + std::string(text) + "]: " + std::move(what));
  };
  std::string key;
  std::size_t at = 0;
  while (true) {
    while (at < text.size() && is_space(text[at])) ++at;
    if (at == text.size()) break;
    if (!name_start(text[at])) {
      if (!key.empty()) break;
      return fail("syntax error: unexpected $end, expecting KEY");
    }
    const std::size_t start = at;
    while (at < text.size() && name_char(text[at])) ++at;
    if (at < text.size() && !is_space(text[at])) return fail("unexpected char " + first_rune(text.substr(at)));
    if (!key.empty()) return fail("syntax error: unexpected KEY");
    key = text.substr(start, at - start);
  }
  if (key.empty()) return fail("syntax error: unexpected $end, expecting KEY");
  return key;
}

}  // namespace skald::logql
