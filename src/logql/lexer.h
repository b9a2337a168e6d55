// Query text → tokens, with the positions and error texts of Loki's scanner (reference logql.md §1).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "skald/base/result.h"

namespace skald::logql {

// In the order in which messages list them.
enum class Tok : std::uint8_t {
  kEnd, kBytes, kIdentifier, kString, kNumber, kFlag, kDuration, kRange,
  kEq, kRe, kNre, kNpa, kOpenBrace, kCloseBrace, kCloseBracket, kComma, kDot, kPipeMatch, kPipeExact, kPipePattern,
  kOpenParen, kCloseParen, kBy, kWithout,
  kCountOverTime, kRate, kRateCounter, kSum, kSort, kSortDesc, kAvg, kMax, kMin, kCount, kStddev, kStdvar, kBottomk,
  kTopk, kApproxTopk, kBytesOverTime, kBytesRate, kBool, kJson, kRegexp, kLogfmt, kPipe, kLineFormat, kLabelFormat,
  kUnwrap, kAvgOverTime, kSumOverTime, kMinOverTime, kMaxOverTime, kStdvarOverTime, kStddevOverTime,
  kQuantileOverTime, kBytesConv, kDurationConv, kDurationSecondsConv, kFirstOverTime, kLastOverTime, kAbsentOverTime,
  kVector, kLabelReplace, kUnpack, kOffset, kPattern, kIp, kOn, kIgnoring, kGroupLeft, kGroupRight, kDecolorize,
  kDrop, kKeep,
  kOr, kAnd, kUnless, kCmpEq, kNeq, kLt, kLte, kGt, kGte, kAdd, kSub, kMul, kDiv, kMod, kPow,
};

// As messages spell the token.
const char* token_name(Tok tok);

struct Token {
  Tok kind = Tok::kEnd;
  int line = 0, column = 0;     // as messages print them
  std::string text;             // identifiers and numbers as written, strings unquoted, flags, durations and sizes as written
  std::int64_t duration_ns = 0; // kDuration, kRange
  std::uint64_t bytes = 0;      // kBytes
  bool plain_name = false;      // kIdentifier: [A-Za-z_][A-Za-z0-9_]*
};

// "parse error at line 1, col 5: …"; both 0: "parse error : …".
Error parse_error(int line, int column, std::string_view message);

// The text between [ and ]: Prometheus' duration grammar, with its error texts. Nanoseconds.
Result<std::int64_t> parse_range_duration(std::string_view text);

class Lexer {
 public:
  // `text` must outlive the lexer.
  explicit Lexer(std::string_view text);
  Result<Token> next();

 private:
  struct Cursor {
    std::size_t at = 0;
    int line = 1, column = 1;  // of the rune at `at`
  };
  unsigned char peek(std::size_t ahead = 0) const {
    return cursor_.at + ahead < text_.size() ? static_cast<unsigned char>(text_[cursor_.at + ahead]) : 0;
  }
  bool at_end() const { return cursor_.at >= text_.size(); }
  void step();                   // over one rune
  void step(std::size_t bytes);  // over ASCII without line ends
  Result<void> skip_space_and_comments(Token& token);
  Result<void> number(Token& token);
  bool duration(Token& token, std::size_t start);
  bool size(Token& token, std::size_t start);
  Result<void> quoted(Token& token, char quote);
  Result<void> raw_string(Token& token);
  Result<void> range(Token& token);
  void word(Token& token);
  bool flag(Token& token);
  bool calls_ahead() const;
  Error fail(const Token& token, std::string_view message) const { return parse_error(token.line, token.column, message); }

  std::string_view text_;
  Cursor cursor_;
};

}  // namespace skald::logql
