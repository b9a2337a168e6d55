// Parser of push label text. One pass, no token list; positions are "line:column" in bytes as Prometheus counts them.
#include <cstdio>

#include "model/utf8.h"
#include "skald/model/labels.h"

namespace skald::model {
namespace {

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_char(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string quoted(std::string_view text) {
  std::string out;
  append_go_quoted(out, text);
  return out;
}

// %q of a rune
std::string quoted_rune(std::string_view text) {
  const Rune rune = decode_rune(text);
  if (rune.length == 0) return "'\xEF\xBF\xBD'";
  if (rune.value == '\'') return "'\\''";
  if (rune.value == '"') return "'\"'";
  std::string out = quoted(text.substr(0, rune.length));
  out.front() = out.back() = '\'';
  return out;
}

// %#U of a rune
std::string named_rune(std::string_view text) {
  Rune rune = decode_rune(text);
  if (rune.length == 0) rune.value = 0xFFFD;
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "U+%04X", rune.value);
  std::string out = buffer;
  if (is_printable(rune.value)) {
    out += " '";
    append_rune(out, rune.value);
    out += '\'';
  }
  return out;
}

enum class Kind { kEnd, kIdentifier, kString, kOperator, kComma, kRightBrace, kLeftBrace };

struct Token {
  Kind kind = Kind::kEnd;
  std::size_t at = 0;
  std::string_view raw;
  std::string value;  // of a string, unescaped
};

class LabelTextParser {
 public:
  explicit LabelTextParser(std::string_view text) : text_(text) {}

  Result<std::vector<Label>> parse() {
    std::vector<Label> pairs;
    skip_space();
    if (at_ < text_.size() && (is_name_start(text_[at_]) || text_[at_] == ':')) {
      const std::size_t begin = at_;
      while (at_ < text_.size() && (is_name_char(text_[at_]) || text_[at_] == ':')) ++at_;
      pairs.push_back({"__name__", std::string(text_.substr(begin, at_ - begin))});
      skip_space();
      if (at_ == text_.size()) return pairs;
    }
    if (at_ == text_.size()) return pairs;
    if (text_[at_] != '{') return fail(at_, "unexpected character: " + quoted_rune(text_.substr(at_)));
    ++at_;
    SKALD_TRY(Token token, next());
    while (token.kind != Kind::kRightBrace) {
      if (token.kind != Kind::kIdentifier && token.kind != Kind::kString)
        return unexpected(token, "identifier or \"}\"");
      Label label;
      const bool was_string = token.kind == Kind::kString;
      label.name = was_string ? std::move(token.value) : std::string(token.raw);
      SKALD_TRY(token, next());
      if (token.kind == Kind::kOperator && token.raw == "=") {
        SKALD_TRY(token, next());
        if (token.kind != Kind::kString) return unexpected(token, "string");
        label.value = std::move(token.value);
        SKALD_TRY(token, next());
      } else if (was_string && (token.kind == Kind::kComma || token.kind == Kind::kRightBrace)) {
        label.value = std::move(label.name);
        label.name = "__name__";
      } else {
        return unexpected(token, "\"=\"");
      }
      pairs.push_back(std::move(label));
      if (token.kind == Kind::kComma) {
        SKALD_TRY(token, next());
      } else if (token.kind != Kind::kRightBrace) {
        return unexpected(token, "\",\" or \"}\"");
      }
    }
    skip_space();
    if (at_ < text_.size()) {
      if (!is_name_start(text_[at_])) return fail(at_, "unexpected character: " + quoted_rune(text_.substr(at_)));
      const std::size_t begin = at_;
      while (at_ < text_.size() && is_name_char(text_[at_])) ++at_;
      return fail(begin, "unexpected identifier " + quoted(text_.substr(begin, at_ - begin)));
    }
    return pairs;
  }

 private:
  Error fail(std::size_t at, const std::string& what) const {
    std::size_t line = 1, column = 1;
    for (std::size_t i = 0; i < at && i < text_.size(); ++i) {
      if (text_[i] == '\n') {
        ++line;
        column = 1;
      } else {
        ++column;
      }
    }
    return Error(ErrorCode::kInvalidArgument,
                 std::to_string(line) + ":" + std::to_string(column) + ": parse error: " + what);
  }

  Error unexpected(const Token& token, const std::string& expected) const {
    std::string what = "unexpected ";
    switch (token.kind) {
      case Kind::kEnd: what += "end of input"; break;
      case Kind::kIdentifier: what += "identifier " + quoted(token.raw); break;
      case Kind::kString: {
        // Long values are shown by their first ten characters.
        std::size_t cut = 0, runes = 0;
        while (cut < token.raw.size() && runes < 10) {
          const Rune rune = decode_rune(token.raw.substr(cut));
          cut += rune.length == 0 ? 1 : rune.length;
          ++runes;
        }
        what += "string " + quoted(token.raw.substr(0, cut)) + (token.raw.size() > 10 ? "..." : "");
        break;
      }
      case Kind::kOperator: what += token.raw == "=" ? quoted(token.raw) : "<op:" + std::string(token.raw) + ">"; break;
      case Kind::kComma:
      case Kind::kRightBrace:
      case Kind::kLeftBrace: what += quoted(token.raw); break;
    }
    return fail(token.at, what + " in label set, expected " + expected);
  }

  void skip_space() {
    while (at_ < text_.size() && (is_space(text_[at_]) || text_[at_] == '#')) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else {
        ++at_;
      }
    }
  }

  // Next token inside braces.
  Result<Token> next() {
    skip_space();
    Token token;
    token.at = at_;
    if (at_ == text_.size()) return fail(at_, "unexpected end of input inside braces");
    const char c = text_[at_];
    const auto take = [&](Kind kind, std::size_t length) {
      token.kind = kind;
      token.raw = text_.substr(at_, length);
      at_ += length;
    };
    const char after = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (is_name_start(c)) {
      std::size_t length = 1;
      while (at_ + length < text_.size() && is_name_char(text_[at_ + length])) ++length;
      take(Kind::kIdentifier, length);
    } else if (c == '"' || c == '\'') {
      SKALD_TRY_VOID(quoted_string(token));
    } else if (c == '`') {
      SKALD_TRY_VOID(raw_string(token));
    } else if (c == ',') {
      take(Kind::kComma, 1);
    } else if (c == '}') {
      take(Kind::kRightBrace, 1);
    } else if (c == '=') {
      take(Kind::kOperator, after == '~' ? 2 : 1);
    } else if (c == '!') {
      if (after != '~' && after != '=')
        return fail(at_, "unexpected character after '!' inside braces: " +
                             (at_ + 1 < text_.size() ? quoted_rune(text_.substr(at_ + 1)) : std::string("'\xEF\xBF\xBD'")));
      take(Kind::kOperator, 2);
    } else if (c == '{') {
      return fail(at_, "unexpected left brace '{'");
    } else {
      return fail(at_, "unexpected character inside braces: " + quoted_rune(text_.substr(at_)));
    }
    return token;
  }

  Result<void> raw_string(Token& token) {
    const std::size_t begin = at_++;
    while (true) {
      if (at_ == text_.size()) return fail(begin, "unterminated raw string");
      if (text_[at_] == '`') break;
      const Rune rune = decode_rune(text_.substr(at_));
      if (rune.length == 0 || rune.value == 0xFFFD) return fail(begin, "invalid UTF-8 rune");
      if (text_[at_] != '\r') token.value.append(text_.substr(at_, rune.length));
      at_ += rune.length;
    }
    ++at_;
    token.kind = Kind::kString;
    token.raw = text_.substr(begin, at_ - begin);
    return {};
  }

  Result<void> quoted_string(Token& token) {
    const std::size_t begin = at_;
    const char quote = text_[at_++];
    while (true) {
      if (at_ == text_.size() || text_[at_] == '\n') return fail(begin, "unterminated quoted string");
      const char c = text_[at_];
      if (c == quote) break;
      if (c == '\\') {
        ++at_;
        SKALD_TRY_VOID(escape(begin, quote, token.value));
        continue;
      }
      const Rune rune = decode_rune(text_.substr(at_));
      if (rune.length == 0 || rune.value == 0xFFFD) return fail(begin, "invalid UTF-8 rune");
      token.value.append(text_.substr(at_, rune.length));
      at_ += rune.length;
    }
    ++at_;
    token.kind = Kind::kString;
    token.raw = text_.substr(begin, at_ - begin);
    return {};
  }

  Result<void> escape(std::size_t string_begin, char quote, std::string& out) {
    if (at_ == text_.size()) return fail(string_begin, "escape sequence not terminated");
    const char c = text_[at_];
    static constexpr std::string_view kFrom = "abfnrtv\\";
    static constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\";
    if (const auto known = kFrom.find(c); known != std::string_view::npos) {
      out += kTo[known];
      ++at_;
      return {};
    }
    if (c == quote) {
      out += c;
      ++at_;
      return {};
    }
    std::size_t digits = 0;
    std::uint32_t base = 16, most = 255;
    if (c >= '0' && c <= '7') { digits = 3; base = 8; }
    else if (c == 'x') { digits = 2; ++at_; }
    else if (c == 'u') { digits = 4; most = 0x10FFFF; ++at_; }
    else if (c == 'U') { digits = 8; most = 0x10FFFF; ++at_; }
    else return fail(string_begin, "unknown escape sequence " + named_rune(text_.substr(at_)));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < digits; ++i, ++at_) {
      if (at_ == text_.size()) return fail(string_begin, "escape sequence not terminated");
      const char d = text_[at_];
      std::uint32_t digit = 16;
      if (d >= '0' && d <= '9') digit = static_cast<std::uint32_t>(d - '0');
      else if (d >= 'a' && d <= 'f') digit = static_cast<std::uint32_t>(d - 'a' + 10);
      else if (d >= 'A' && d <= 'F') digit = static_cast<std::uint32_t>(d - 'A' + 10);
      if (digit >= base)
        return fail(string_begin, "illegal character " + named_rune(text_.substr(at_)) + " in escape sequence");
      value = value * base + digit;
    }
    if (value > most || (value >= 0xD800 && value < 0xE000))
      return fail(string_begin, "escape sequence is an invalid Unicode code point");
    if (most == 255) out += static_cast<char>(value);
    else append_rune(out, static_cast<std::uint32_t>(value));
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::vector<Label>> parse_label_text(std::string_view text) { return LabelTextParser(text).parse(); }

}  // namespace skald::model
