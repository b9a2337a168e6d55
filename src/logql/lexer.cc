#include "logql/lexer.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "model/utf8.h"
#include "skald/logql/units.h"
#include "skald/model/labels.h"

namespace skald::logql {
namespace {

bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
bool is_hex(unsigned char c) { return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f'); }
bool is_letter(unsigned char c) { return ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_'; }
bool is_space(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

enum class Use : std::uint8_t { kWord, kFunction };
struct Keyword {
  std::string_view text;
  Tok tok;
  Use use;
};
// Functions are names unless a call follows; words are never names.
constexpr Keyword kKeywords[] = {
    {"and", Tok::kAnd, Use::kWord},
    {"absent_over_time", Tok::kAbsentOverTime, Use::kFunction},
    {"approx_topk", Tok::kApproxTopk, Use::kFunction},
    {"avg", Tok::kAvg, Use::kFunction},
    {"avg_over_time", Tok::kAvgOverTime, Use::kFunction},
    {"bool", Tok::kBool, Use::kWord},
    {"bottomk", Tok::kBottomk, Use::kFunction},
    {"by", Tok::kBy, Use::kWord},
    {"bytes", Tok::kBytesConv, Use::kFunction},
    {"bytes_over_time", Tok::kBytesOverTime, Use::kFunction},
    {"bytes_rate", Tok::kBytesRate, Use::kFunction},
    {"count", Tok::kCount, Use::kFunction},
    {"count_over_time", Tok::kCountOverTime, Use::kFunction},
    {"decolorize", Tok::kDecolorize, Use::kWord},
    {"drop", Tok::kDrop, Use::kWord},
    {"duration", Tok::kDurationConv, Use::kFunction},
    {"duration_seconds", Tok::kDurationSecondsConv, Use::kFunction},
    {"first_over_time", Tok::kFirstOverTime, Use::kFunction},
    {"group_left", Tok::kGroupLeft, Use::kWord},
    {"group_right", Tok::kGroupRight, Use::kWord},
    {"ignoring", Tok::kIgnoring, Use::kWord},
    {"ip", Tok::kIp, Use::kFunction},
    {"json", Tok::kJson, Use::kWord},
    {"keep", Tok::kKeep, Use::kWord},
    {"label_format", Tok::kLabelFormat, Use::kWord},
    {"label_replace", Tok::kLabelReplace, Use::kFunction},
    {"last_over_time", Tok::kLastOverTime, Use::kFunction},
    {"line_format", Tok::kLineFormat, Use::kWord},
    {"logfmt", Tok::kLogfmt, Use::kWord},
    {"max", Tok::kMax, Use::kFunction},
    {"max_over_time", Tok::kMaxOverTime, Use::kFunction},
    {"min", Tok::kMin, Use::kFunction},
    {"min_over_time", Tok::kMinOverTime, Use::kFunction},
    {"offset", Tok::kOffset, Use::kWord},
    {"on", Tok::kOn, Use::kWord},
    {"or", Tok::kOr, Use::kWord},
    {"pattern", Tok::kPattern, Use::kWord},
    {"quantile_over_time", Tok::kQuantileOverTime, Use::kFunction},
    {"rate", Tok::kRate, Use::kFunction},
    {"rate_counter", Tok::kRateCounter, Use::kFunction},
    {"regexp", Tok::kRegexp, Use::kWord},
    {"sort", Tok::kSort, Use::kFunction},
    {"sort_desc", Tok::kSortDesc, Use::kFunction},
    {"stddev", Tok::kStddev, Use::kFunction},
    {"stddev_over_time", Tok::kStddevOverTime, Use::kFunction},
    {"stdvar", Tok::kStdvar, Use::kFunction},
    {"stdvar_over_time", Tok::kStdvarOverTime, Use::kFunction},
    {"sum", Tok::kSum, Use::kFunction},
    {"sum_over_time", Tok::kSumOverTime, Use::kFunction},
    {"topk", Tok::kTopk, Use::kFunction},
    {"unless", Tok::kUnless, Use::kWord},
    {"unpack", Tok::kUnpack, Use::kWord},
    {"unwrap", Tok::kUnwrap, Use::kWord},
    {"vector", Tok::kVector, Use::kFunction},
    {"without", Tok::kWithout, Use::kWord},
};

constexpr std::size_t kLongestKeyword = 20;

const Keyword* find_keyword(std::string_view word) {
  if (word.size() > kLongestKeyword) return nullptr;
  char lowered[kLongestKeyword];
  for (std::size_t i = 0; i < word.size(); ++i)
    lowered[i] = word[i] >= 'A' && word[i] <= 'Z' ? static_cast<char>(word[i] + 32) : word[i];
  const std::string_view key(lowered, word.size());
  for (const Keyword& keyword : kKeywords)
    if (keyword.text == key) return &keyword;
  return nullptr;
}

// Bytes of the micro sign (U+00B5) at `at`, or 0.
std::size_t micro_at(std::string_view text, std::size_t at) { return text.substr(at, 2) == "\xC2\xB5" ? 2 : 0; }

std::string quoted_text(std::string_view text) {
  std::string out;
  model::append_go_quoted(out, text);
  return out;
}

const char* base_name(char prefix) {
  switch (prefix) {
    case 'x': return "hexadecimal literal";
    case 'o':
    case '0': return "octal literal";
    case 'b': return "binary literal";
    default: return "decimal literal";
  }
}

}  // namespace

const char* token_name(Tok tok) {
  static constexpr const char* kNames[] = {
      "$end", "BYTES", "IDENTIFIER", "STRING", "NUMBER", "FUNCTION_FLAG", "DURATION", "RANGE",
      "=", "=~", "!~", "!>", "{", "}", "]", ",", ".", "|~", "|=", "|>",
      "(", ")", "by", "without",
      "COUNT_OVER_TIME", "RATE", "RATE_COUNTER", "SUM", "SORT", "SORT_DESC", "AVG", "MAX", "MIN", "COUNT", "STDDEV",
      "STDVAR", "BOTTOMK", "TOPK", "APPROX_TOPK", "BYTES_OVER_TIME", "BYTES_RATE", "bool", "json", "regexp", "logfmt",
      "|", "line_format", "label_format", "unwrap", "AVG_OVER_TIME", "SUM_OVER_TIME", "MIN_OVER_TIME", "MAX_OVER_TIME",
      "STDVAR_OVER_TIME", "STDDEV_OVER_TIME", "QUANTILE_OVER_TIME", "BYTES_CONV", "DURATION_CONV",
      "DURATION_SECONDS_CONV", "FIRST_OVER_TIME", "LAST_OVER_TIME", "ABSENT_OVER_TIME", "vector", "label_replace",
      "unpack", "offset", "pattern", "ip", "on", "ignoring", "group_left", "group_right", "decolorize", "drop", "keep",
      "or", "and", "unless", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "^"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Tok::kPow) + 1);
  return kNames[static_cast<std::size_t>(tok)];
}

Error parse_error(int line, int column, std::string_view message) {
  std::string text = "parse error ";
  if (line != 0 || column != 0) text += "at line " + std::to_string(line) + ", col " + std::to_string(column);
  text += ": ";
  text += message;
  return Error(ErrorCode::kInvalidArgument, std::move(text));
}

Result<std::int64_t> parse_range_duration(std::string_view text) {
  const auto invalid = [&] {
    return Error(ErrorCode::kInvalidArgument, "not a valid duration string: " + quoted_text(text));
  };
  struct Unit { std::string_view name; int rank; std::int64_t ms; };
  static constexpr std::array<Unit, 7> kUnits{{{"ms", 7, 1}, {"s", 6, 1000}, {"m", 5, 60'000}, {"h", 4, 3'600'000},
                                              {"d", 3, 86'400'000}, {"w", 2, 604'800'000}, {"y", 1, 31'536'000'000}}};
  if (text == "0") return std::int64_t{0};
  if (text.empty()) return Error(ErrorCode::kInvalidArgument, "empty duration string");
  constexpr std::int64_t kMostMs = INT64_MAX / 1'000'000;
  std::int64_t total_ms = 0;
  int last_rank = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::size_t at = 0;
    std::int64_t value = 0;
    for (; at < rest.size() && is_digit(static_cast<unsigned char>(rest[at])); ++at) {
      if (value > INT64_MAX / 10 - 1) return invalid();
      value = value * 10 + (rest[at] - '0');
    }
    if (at == 0) return invalid();
    rest.remove_prefix(at);
    at = 0;
    while (at < rest.size() && !is_digit(static_cast<unsigned char>(rest[at]))) ++at;
    if (at == 0) return invalid();
    const std::string_view name = rest.substr(0, at);
    rest.remove_prefix(at);
    const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.name == name; });
    if (unit == kUnits.end())
      return Error(ErrorCode::kInvalidArgument,
                   "unknown unit " + quoted_text(name) + " in duration " + quoted_text(text));
    if (unit->rank <= last_rank) return invalid();
    last_rank = unit->rank;
    if (value > kMostMs / unit->ms || total_ms > kMostMs - value * unit->ms)
      return Error(ErrorCode::kInvalidArgument, "duration out of range");
    total_ms += value * unit->ms;
  }
  return total_ms * 1'000'000;
}

Lexer::Lexer(std::string_view text) : text_(text) {
  if (text_.substr(0, 3) == "\xEF\xBB\xBF") cursor_.at = 3;
  // Nothing at all has no position.
  if (cursor_.at == text_.size()) cursor_.line = cursor_.column = 0;
}

void Lexer::step() {
  const auto first = static_cast<unsigned char>(text_[cursor_.at]);
  if (first == '\n') {
    ++cursor_.line;
    cursor_.column = 1;
    ++cursor_.at;
    return;
  }
  const std::size_t length = first < 0x80 ? 1 : model::decode_rune(text_.substr(cursor_.at)).length;
  cursor_.at += length == 0 ? 1 : length;
  ++cursor_.column;
}

void Lexer::step(std::size_t bytes) {
  cursor_.at += bytes;
  cursor_.column += static_cast<int>(bytes);
}

Result<void> Lexer::skip_space_and_comments(Token& token) {
  while (!at_end()) {
    const unsigned char c = peek();
    if (is_space(c)) {
      step();
    } else if (c == '#' || (c == '/' && peek(1) == '/')) {
      while (!at_end() && peek() != '\n') step();
    } else if (c == '/' && peek(1) == '*') {
      token.line = cursor_.line;
      token.column = cursor_.column;
      step(2);
      while (!at_end() && !(peek() == '*' && peek(1) == '/')) step();
      if (at_end()) return fail(token, "comment not terminated");
      step(2);
    } else {
      break;
    }
  }
  return {};
}

Result<Token> Lexer::next() {
  Token token;
  SKALD_TRY_VOID(skip_space_and_comments(token));
  token.line = cursor_.line;
  token.column = cursor_.column;
  if (at_end()) return token;
  const unsigned char c = peek();
  const std::size_t start = cursor_.at;
  if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
    SKALD_TRY_VOID(number(token));
    return token;
  }
  if (c == '"') {
    SKALD_TRY_VOID(quoted(token, '"'));
    return token;
  }
  if (c == '`') {
    SKALD_TRY_VOID(raw_string(token));
    return token;
  }
  if (c == '\'') {  // a character literal to Loki's scanner; no token of the grammar
    SKALD_TRY_VOID(quoted(token, '\''));
    return token;
  }
  if (c == '[') {
    SKALD_TRY_VOID(range(token));
    return token;
  }
  if (c == '-') {
    if (flag(token)) return token;
    step(1);
    token.kind = Tok::kSub;
    duration(token, start);
    return token;
  }
  if (is_letter(c) || c >= 0x80) {
    if (c >= 0x80 && model::decode_rune(text_.substr(start)).length == 0)
      return fail(token, "invalid UTF-8 encoding");
    word(token);
    return token;
  }
  if (c == 0) return fail(token, "invalid character NUL");

  struct Pair { char first, second; Tok tok; };
  static constexpr Pair kPairs[] = {{'|', '=', Tok::kPipeExact}, {'|', '~', Tok::kPipeMatch}, {'|', '>', Tok::kPipePattern},
                                    {'!', '=', Tok::kNeq},       {'!', '~', Tok::kNre},       {'!', '>', Tok::kNpa},
                                    {'=', '~', Tok::kRe},        {'=', '=', Tok::kCmpEq},     {'>', '=', Tok::kGte},
                                    {'<', '=', Tok::kLte}};
  for (const Pair& pair : kPairs) {
    if (c == pair.first && peek(1) == static_cast<unsigned char>(pair.second)) {
      token.kind = pair.tok;
      token.line = 0;  // Loki loses the line of a token it reads in two steps
      step(2);
      return token;
    }
  }
  switch (c) {
    case '=': token.kind = Tok::kEq; break;
    case '{': token.kind = Tok::kOpenBrace; break;
    case '}': token.kind = Tok::kCloseBrace; break;
    case ']': token.kind = Tok::kCloseBracket; break;
    case ',': token.kind = Tok::kComma; break;
    case '.': token.kind = Tok::kDot; break;
    case '(': token.kind = Tok::kOpenParen; break;
    case ')': token.kind = Tok::kCloseParen; break;
    case '|': token.kind = Tok::kPipe; break;
    case '<': token.kind = Tok::kLt; break;
    case '>': token.kind = Tok::kGt; break;
    case '+': token.kind = Tok::kAdd; break;
    case '*': token.kind = Tok::kMul; break;
    case '/': token.kind = Tok::kDiv; break;
    case '%': token.kind = Tok::kMod; break;
    case '^': token.kind = Tok::kPow; break;
    default:
      token.kind = Tok::kIdentifier;
      token.text.assign(1, static_cast<char>(c));
      break;
  }
  step(1);
  return token;
}

// Go's number literals, then the longer readings as duration and size.
Result<void> Lexer::number(Token& token) {
  const std::size_t start = cursor_.at;
  char prefix = 0;
  bool any_digit = false, separated = false, is_float = false;
  char bad_digit = 0;
  const auto digits = [&](int base, bool check) {
    bool seen = false;
    while (is_digit(peek()) || peek() == '_' || (base == 16 && is_hex(peek()))) {
      const unsigned char c = peek();
      if (c == '_') {
        separated = true;
      } else {
        seen = true;
        if (check && base < 10 && c >= '0' + base && bad_digit == 0) bad_digit = static_cast<char>(c);
      }
      step(1);
    }
    return seen;
  };
  int base = 10;
  if (peek() != '.') {
    if (peek() == '0') {
      step(1);
      const char kind = static_cast<char>(peek() | 32);
      // 0B is a size here, not a binary number without digits.
      const bool zero_bytes = peek() == 'B' && !is_digit(peek(1)) && peek(1) != '_';
      if (kind == 'x' || kind == 'o' || (kind == 'b' && !zero_bytes)) {
        prefix = kind;
        base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
        step(1);
      } else {
        prefix = '0';
        base = 8;
        any_digit = true;
      }
    }
    any_digit |= digits(base, true);
  }
  if (peek() == '.') {
    is_float = true;
    step(1);
    if (prefix == 'o' || prefix == 'b') return fail(token, std::string("invalid radix point in ") + base_name(prefix));
    any_digit |= digits(base, true);
  }
  if (!any_digit) return fail(token, std::string(base_name(prefix)) + " has no digits");
  const unsigned char mark = peek() | 32;
  if (mark == 'e' || (mark == 'p' && prefix == 'x')) {
    if (mark == 'e' && prefix != 0 && prefix != '0')
      return fail(token, std::string("'") + static_cast<char>(peek()) + "' exponent requires decimal mantissa");
    is_float = true;
    step(1);
    if (peek() == '+' || peek() == '-') step(1);
    if (!digits(10, false)) return fail(token, "exponent has no digits");
  } else if (prefix == 'x' && is_float) {
    return fail(token, "hexadecimal mantissa requires a 'p' exponent");
  }
  if (!is_float && bad_digit != 0)
    return fail(token, std::string("invalid digit '") + bad_digit + "' in " + base_name(prefix));
  token.text = text_.substr(start, cursor_.at - start);
  if (separated) {
    for (std::size_t i = 0; i < token.text.size(); ++i) {
      if (token.text[i] != '_') continue;
      const bool after = i > 0 && (is_hex(static_cast<unsigned char>(token.text[i - 1])) || (i == 2 && prefix > '0'));
      const bool before = i + 1 < token.text.size() && is_hex(static_cast<unsigned char>(token.text[i + 1]));
      if (!after || !before) return fail(token, "'_' must separate successive digits");
    }
  }
  if (duration(token, start) || size(token, start)) return {};
  token.kind = Tok::kNumber;
  if (separated) std::erase(token.text, '_');
  return {};
}

// Extends the token from `start` to the longest run of duration characters, if that run is a duration.
bool Lexer::duration(Token& token, std::size_t start) {
  std::size_t end = cursor_.at;
  int columns = 0;
  while (end < text_.size()) {
    const auto c = static_cast<unsigned char>(text_[end]);
    std::size_t length = 1;
    if (!is_digit(c) && std::string_view(".numshdwy").find(static_cast<char>(c)) == std::string_view::npos) {
      length = micro_at(text_, end);
      if (length == 0) break;
    }
    end += length;
    ++columns;
  }
  if (end == cursor_.at) return false;
  const std::string_view run = text_.substr(start, end - start);
  std::int64_t value = 0;
  if (auto prometheus = parse_range_duration(run); prometheus.ok()) {
    value = *prometheus;
  } else {
    auto go = parse_go_duration_text(run);
    if (!go.ok()) return false;
    value = *go;
  }
  token.kind = Tok::kDuration;
  token.line = 0;
  token.text = run;
  token.duration_ns = value;
  cursor_.column += columns;
  cursor_.at = end;
  return true;
}

bool Lexer::size(Token& token, std::size_t start) {
  std::size_t end = cursor_.at;
  while (end < text_.size() && (is_digit(static_cast<unsigned char>(text_[end])) ||
                                std::string_view(".bBikKMGTP").find(text_[end]) != std::string_view::npos))
    ++end;
  if (end == cursor_.at) return false;
  const std::string_view run = text_.substr(start, end - start);
  const auto bytes = parse_query_bytes(run);
  if (!bytes) return false;
  token.kind = Tok::kBytes;
  token.line = 0;
  token.text = run;
  token.bytes = *bytes;
  step(end - cursor_.at);
  return true;
}

Result<void> Lexer::quoted(Token& token, char quote) {
  step(1);
  std::size_t runes = 0;
  while (true) {
    if (at_end() || peek() == '\n') return fail(token, "literal not terminated");
    const unsigned char c = peek();
    if (c == static_cast<unsigned char>(quote)) {
      step(1);
      break;
    }
    ++runes;
    if (c != '\\') {
      const model::Rune rune = model::decode_rune(text_.substr(cursor_.at));
      if (rune.length == 0) return fail(token, "invalid UTF-8 rune");
      if (c == 0) return fail(token, "invalid character NUL");
      token.text.append(text_.substr(cursor_.at, rune.length));
      step();
      continue;
    }
    step(1);
    const unsigned char kind = peek();
    static constexpr std::string_view kSimple = "abfnrtv\\";
    static constexpr std::string_view kMeaning = "\a\b\f\n\r\t\v\\";
    if (const auto simple = kSimple.find(static_cast<char>(kind)); kind != 0 && simple != std::string_view::npos) {
      token.text += kMeaning[simple];
      step(1);
      continue;
    }
    if (kind == static_cast<unsigned char>(quote)) {
      token.text += quote;
      step(1);
      continue;
    }
    unsigned base = 16;
    std::size_t count = 0;
    if (kind >= '0' && kind <= '7') {
      base = 8;
      count = 3;
    } else if (kind == 'x' || kind == 'u' || kind == 'U') {
      count = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
      step(1);
    } else {
      return fail(token, at_end() ? "literal not terminated" : "invalid char escape");
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const unsigned char d = peek();
      if (base == 8 ? (d < '0' || d > '7') : !is_hex(d)) return fail(token, "invalid char escape");
      value = value * base + (is_digit(d) ? d - '0' : (d | 32) - 'a' + 10u);
      step(1);
    }
    if (kind == 'u' || kind == 'U') {
      if (value > 0x10FFFF) return fail(token, "invalid syntax");
      model::append_rune(token.text, static_cast<std::uint32_t>(value));
    } else {
      if (value > 255) return fail(token, "invalid syntax");
      token.text += static_cast<char>(value);
    }
  }
  if (quote == '"') {
    token.kind = Tok::kString;
    return {};
  }
  if (runes != 1) return fail(token, "invalid char literal");
  token.kind = Tok::kIdentifier;
  return {};
}

Result<void> Lexer::raw_string(Token& token) {
  step(1);
  const std::size_t start = cursor_.at;
  while (!at_end() && peek() != '`') {
    if (peek() >= 0x80 && model::decode_rune(text_.substr(cursor_.at)).length == 0)
      return fail(token, "invalid UTF-8 rune");
    step();
  }
  if (at_end()) return fail(token, "literal not terminated");
  token.kind = Tok::kString;
  token.text = text_.substr(start, cursor_.at - start);
  step(1);
  return {};
}

Result<void> Lexer::range(Token& token) {
  token.line = 0;
  step(1);
  const std::size_t start = cursor_.at;
  while (!at_end() && peek() != ']') step();
  if (at_end()) return fail(token, "missing closing ']' in duration");
  const std::string_view text = text_.substr(start, cursor_.at - start);
  auto value = parse_range_duration(text);
  if (!value.ok()) return fail(token, value.error().message());
  step(1);
  token.kind = Tok::kRange;
  token.text = text;
  token.duration_ns = *value;
  return {};
}

// True when a call follows: "(", or by/without with its list.
bool Lexer::calls_ahead() const {
  std::size_t at = cursor_.at;
  const auto skip_space = [&] {
    while (at < text_.size() && is_space(static_cast<unsigned char>(text_[at]))) ++at;
  };
  skip_space();
  if (at < text_.size() && text_[at] == '(') return true;
  for (const std::string_view word : {std::string_view("by"), std::string_view("without")}) {
    if (at + word.size() > text_.size()) continue;
    bool same = true;
    for (std::size_t i = 0; i < word.size(); ++i) same &= (text_[at + i] | 32) == word[i];
    if (!same) continue;
    at += word.size();
    skip_space();
    return at < text_.size() && text_[at] == '(';
  }
  return false;
}

void Lexer::word(Token& token) {
  const std::size_t start = cursor_.at;
  bool plain = true;
  // A rune that is no letter stands alone; letters beyond ASCII join the word.
  const auto joins = [&] {
    const unsigned char c = peek();
    if (c < 0x80) return is_letter(c) || is_digit(c);
    const model::Rune rune = model::decode_rune(text_.substr(cursor_.at));
    const bool punctuation = (rune.value < 0xC0 && rune.value != 0xAA && rune.value != 0xB5 && rune.value != 0xBA) ||
                             rune.value == 0xD7 || rune.value == 0xF7 || (rune.value >= 0x2000 && rune.value < 0x2C00) ||
                             (rune.value >= 0x3000 && rune.value < 0x3005);
    return rune.length > 0 && !punctuation;
  };
  do {
    plain &= peek() < 0x80;
    step();
  } while (!at_end() && joins());
  token.text = text_.substr(start, cursor_.at - start);
  token.kind = Tok::kIdentifier;
  token.plain_name = plain;
  if (!plain) return;
  const Keyword* keyword = find_keyword(token.text);
  if (keyword == nullptr || (keyword->use == Use::kFunction && !calls_ahead())) return;
  token.kind = keyword->tok;
}

bool Lexer::flag(Token& token) {
  if (peek(1) != '-') return false;
  std::size_t end = cursor_.at;
  while (end < text_.size() && (is_letter(static_cast<unsigned char>(text_[end])) || text_[end] == '-')) ++end;
  const std::string_view word = text_.substr(cursor_.at, end - cursor_.at);
  if (word != "--strict" && word != "--keep-empty") return false;
  token.kind = Tok::kFlag;
  token.line = 0;
  token.text = word;
  step(word.size());
  return true;
}

}  // namespace skald::logql
