#include "logql/grammar.h"
#include "skald/logql/pattern.h"
#include "skald/logql/regex.h"
#include "skald/logql/units.h"

namespace skald::logql {
namespace {

std::optional<LineFilterOp> line_filter_op(Tok tok) {
  switch (tok) {
    case Tok::kPipeExact: return LineFilterOp::kContains;
    case Tok::kNeq: return LineFilterOp::kNotContains;
    case Tok::kPipeMatch: return LineFilterOp::kRegex;
    case Tok::kNre: return LineFilterOp::kNotRegex;
    case Tok::kPipePattern: return LineFilterOp::kPattern;
    case Tok::kNpa: return LineFilterOp::kNotPattern;
    default: return std::nullopt;
  }
}

Error at_token(const Token& token, std::string_view message) {
  return parse_error(token.line, token.column, message);
}
Error unplaced(std::string_view message) { return parse_error(0, 0, message); }

}  // namespace

Result<void> Grammar::Depth::check() const {
  if (grammar_.depth_ > kDepthMax)
    return unplaced("query is nested too deeply, at most " + std::to_string(kDepthMax) + " levels are allowed");
  return {};
}

Result<Tok> Grammar::peek() {
  if (!ahead_) {
    SKALD_TRY(Token token, lexer_.next());
    ahead_ = std::move(token);
  }
  return ahead_->kind;
}

Token Grammar::take() {
  Token token = std::move(*ahead_);
  ahead_.reset();
  return token;
}

Error Grammar::unexpected(std::initializer_list<Tok> expected) const {
  std::string message = std::string("syntax error: unexpected ") + token_name(ahead_->kind);
  const char* separator = ", expecting ";
  for (const Tok tok : expected) {
    message += separator;
    message += token_name(tok);
    separator = " or ";
  }
  return parse_error(ahead_->line, ahead_->column, message);
}

Result<Token> Grammar::expect(Tok want, std::initializer_list<Tok> expected) {
  SKALD_TRY(const Tok kind, peek());
  if (kind != want) return unexpected(expected);
  return take();
}

Result<Token> Grammar::name(std::initializer_list<Tok> expected) {
  SKALD_TRY(Token token, expect(Tok::kIdentifier, expected));
  if (!token.plain_name) return at_token(token, "syntax error: unexpected IDENTIFIER");
  return token;
}

Result<LogSelector> Grammar::selector() {
  SKALD_TRY_VOID(expect(Tok::kOpenBrace, {Tok::kOpenBrace}));
  LogSelector selector;
  SKALD_TRY(Tok kind, peek());
  if (kind == Tok::kCloseBrace) {
    take();
    return selector;
  }
  while (true) {
    const bool first = selector.matchers.empty();
    SKALD_TRY(const Token label, first ? expect(Tok::kIdentifier, {Tok::kIdentifier, Tok::kCloseBrace})
                                       : expect(Tok::kIdentifier, {Tok::kIdentifier}));
    SKALD_TRY(model::Matcher matcher, matcher_after(label, first));
    selector.matchers.push_back(std::move(matcher));
    SKALD_TRY(kind, peek());
    if (kind == Tok::kCloseBrace) break;
    if (kind != Tok::kComma) return unexpected({Tok::kCloseBrace, Tok::kComma});
    take();
  }
  take();
  return selector;
}

Result<model::Matcher> Grammar::matcher_after(const Token& label, bool first) {
  SKALD_TRY(const Tok op, peek());
  model::MatchType type;
  switch (op) {
    case Tok::kEq: type = model::MatchType::kEqual; break;
    case Tok::kNeq: type = model::MatchType::kNotEqual; break;
    case Tok::kRe: type = model::MatchType::kRegex; break;
    case Tok::kNre: type = model::MatchType::kNotRegex; break;
    default: return unexpected({Tok::kEq, Tok::kRe, Tok::kNre, Tok::kNeq});
  }
  take();
  SKALD_TRY(Token value, expect(Tok::kString, {Tok::kString}));
  // Loki re-reads the query it printed, where such a name is a quoted string.
  if (!label.plain_name)
    return at_token(label, first ? "syntax error: unexpected STRING, expecting IDENTIFIER or }"
                                 : "syntax error: unexpected STRING, expecting IDENTIFIER");
  auto matcher = model::Matcher::make(type, label.text, std::move(value.text));
  if (!matcher.ok()) return unplaced(matcher.error().message());
  return std::move(matcher).value();
}

Result<void> Grammar::stages(LogSelector& selector, std::optional<Unwrap>* unwrapped) {
  while (true) {
    SKALD_TRY(Tok kind, peek());
    if (line_filter_op(kind)) {
      SKALD_TRY(LineFilterStage filter, line_filter());
      selector.stages.emplace_back(std::move(filter));
      continue;
    }
    if (kind != Tok::kPipe) return {};
    take();
    SKALD_TRY(kind, peek());
    if (kind == Tok::kUnwrap && unwrapped != nullptr) {
      take();
      SKALD_TRY(Unwrap found, unwrap());
      *unwrapped = std::move(found);
      return {};
    }
    SKALD_TRY(Stage stage, pipe_stage());
    selector.stages.push_back(std::move(stage));
  }
}

Result<LineFilterStage> Grammar::line_filter() {
  LineFilterStage stage;
  stage.op = *line_filter_op(take().kind);
  while (true) {
    SKALD_TRY(const Tok kind, peek());
    LineFilterTerm term;
    if (kind == Tok::kString) {
      term.text = take().text;
    } else if (kind == Tok::kIp) {
      take();
      term.ip = true;
      SKALD_TRY_VOID(expect(Tok::kOpenParen, {Tok::kOpenParen}));
      SKALD_TRY(Token address, expect(Tok::kString, {Tok::kString}));
      SKALD_TRY_VOID(expect(Tok::kCloseParen, {Tok::kCloseParen}));
      term.text = std::move(address.text);
    } else {
      return unexpected({Tok::kString, Tok::kIp});
    }
    stage.terms.push_back(std::move(term));
    SKALD_TRY(const Tok next, peek());
    if (next != Tok::kOr) return stage;
    take();
  }
}

Result<Stage> Grammar::pipe_stage() {
  SKALD_TRY(Tok kind, peek());
  switch (kind) {
    case Tok::kJson: {
      take();
      SKALD_TRY(auto list, extractions());
      return Stage(JsonStage{std::move(list)});
    }
    case Tok::kLogfmt: {
      take();
      LogfmtStage stage;
      SKALD_TRY(kind, peek());
      while (kind == Tok::kFlag) {
        (take().text == "--strict" ? stage.strict : stage.keep_empty) = true;
        SKALD_TRY(kind, peek());
      }
      SKALD_TRY(stage.extractions, extractions());
      return Stage(std::move(stage));
    }
    case Tok::kRegexp: {
      take();
      SKALD_TRY(Token text, expect(Tok::kString, {Tok::kString}));
      if (auto regex = compile_regexp_parser(text.text); !regex.ok())
        return unplaced("invalid regexp parser: " + regex.error().message());
      return Stage(RegexpStage{std::move(text.text)});
    }
    case Tok::kPattern: {
      take();
      SKALD_TRY(Token text, expect(Tok::kString, {Tok::kString}));
      if (auto pattern = parse_pattern(text.text); !pattern.ok())
        return unplaced("invalid pattern parser: " + pattern.error().message());
      return Stage(PatternStage{std::move(text.text)});
    }
    case Tok::kUnpack: take(); return Stage(UnpackStage{});
    case Tok::kDecolorize: take(); return Stage(DecolorizeStage{});
    case Tok::kLineFormat: {
      take();
      SKALD_TRY(Token text, expect(Tok::kString, {Tok::kString}));
      return Stage(LineFormatStage{std::move(text.text)});
    }
    case Tok::kLabelFormat: {
      take();
      SKALD_TRY(auto stage, label_format());
      return Stage(std::move(stage));
    }
    case Tok::kDrop: {
      take();
      SKALD_TRY(auto items, named_list());
      return Stage(DropStage{std::move(items)});
    }
    case Tok::kKeep: {
      take();
      SKALD_TRY(auto items, named_list());
      return Stage(KeepStage{std::move(items)});
    }
    case Tok::kIdentifier:
    case Tok::kOpenParen: {
      SKALD_TRY(auto filter, label_filter(0));
      return Stage(LabelFilterStage{std::move(filter)});
    }
    default: return unexpected();
  }
}

Result<std::vector<LabelExtraction>> Grammar::extractions() {
  std::vector<LabelExtraction> list;
  SKALD_TRY(Tok kind, peek());
  if (kind != Tok::kIdentifier) return list;
  while (true) {
    SKALD_TRY(Token label, name({Tok::kIdentifier}));
    LabelExtraction extraction{label.text, label.text, false};
    SKALD_TRY(kind, peek());
    if (kind == Tok::kEq) {
      take();
      SKALD_TRY(Token expression, expect(Tok::kString, {Tok::kString}));
      extraction.expression = std::move(expression.text);
      extraction.written = true;
      SKALD_TRY(kind, peek());
    }
    list.push_back(std::move(extraction));
    if (kind != Tok::kComma) return list;
    take();
  }
}

Result<LabelFormatStage> Grammar::label_format() {
  LabelFormatStage stage;
  while (true) {
    SKALD_TRY(Token label, name({Tok::kIdentifier}));
    SKALD_TRY_VOID(expect(Tok::kEq, {Tok::kEq}));
    SKALD_TRY(const Tok kind, peek());
    if (kind != Tok::kIdentifier && kind != Tok::kString) return unexpected({Tok::kIdentifier, Tok::kString});
    const bool rename = kind == Tok::kIdentifier;
    Token value;
    if (rename) {
      SKALD_TRY(value, name({}));
    } else {
      value = take();
    }
    stage.formats.push_back({std::move(label.text), rename, std::move(value.text)});
    SKALD_TRY(const Tok next, peek());
    if (next != Tok::kComma) return stage;
    take();
  }
}

Result<std::vector<DropKeepItem>> Grammar::named_list() {
  std::vector<DropKeepItem> items;
  while (true) {
    SKALD_TRY(const Token label, name({Tok::kIdentifier}));
    DropKeepItem item{label.text, std::nullopt};
    SKALD_TRY(Tok kind, peek());
    if (kind == Tok::kEq || kind == Tok::kRe || kind == Tok::kNre || kind == Tok::kNeq) {
      SKALD_TRY(model::Matcher matcher, matcher_after(label, false));
      item.matcher = std::move(matcher);
      SKALD_TRY(kind, peek());
    }
    items.push_back(std::move(item));
    if (kind != Tok::kComma) return items;
    take();
  }
}

// ---- label filters: `and` binds tighter than `or`; a comma, or nothing at all, takes only the primary on its left and
// everything on its right (reference logql.md §2).

Result<std::shared_ptr<const LabelFilter>> Grammar::join(LabelFilter::Kind kind,
                                                         std::shared_ptr<const LabelFilter> left,
                                                         std::shared_ptr<const LabelFilter> right, bool comma) {
  if (++nodes_ > kNodesMax)
    return unplaced("query is too complex, at most " + std::to_string(kNodesMax) + " operators are allowed");
  auto filter = std::make_shared<LabelFilter>();
  filter->kind = kind;
  filter->left = std::move(left);
  filter->right = std::move(right);
  filter->comma = comma;
  return std::shared_ptr<const LabelFilter>(std::move(filter));
}

Result<std::shared_ptr<const LabelFilter>> Grammar::label_filter(int floor) {
  const Depth depth(*this);
  SKALD_TRY_VOID(depth.check());
  SKALD_TRY(auto left, label_filter_primary());
  SKALD_TRY(Tok kind, peek());
  if (kind == Tok::kComma || kind == Tok::kIdentifier || kind == Tok::kOpenParen) {
    if (kind == Tok::kComma) {
      take();
      SKALD_TRY(kind, peek());
      if (kind != Tok::kIdentifier && kind != Tok::kOpenParen) return unexpected({Tok::kIdentifier, Tok::kOpenParen});
    }
    SKALD_TRY(auto right, label_filter(0));
    return join(LabelFilter::Kind::kAnd, std::move(left), std::move(right), true);
  }
  while (true) {
    const int strength = kind == Tok::kOr ? 1 : kind == Tok::kAnd ? 2 : 0;
    if (strength == 0 || strength <= floor) return left;
    take();
    SKALD_TRY(const Tok next, peek());
    if (next != Tok::kIdentifier && next != Tok::kOpenParen) return unexpected({Tok::kIdentifier, Tok::kOpenParen});
    SKALD_TRY(auto right, label_filter(strength));
    SKALD_TRY(left, join(strength == 1 ? LabelFilter::Kind::kOr : LabelFilter::Kind::kAnd, std::move(left),
                         std::move(right), false));
    SKALD_TRY(kind, peek());
  }
}

Result<std::shared_ptr<const LabelFilter>> Grammar::label_filter_primary() {
  SKALD_TRY(const Tok kind, peek());
  if (kind != Tok::kOpenParen) return label_comparison();
  take();
  SKALD_TRY(const Tok inner, peek());
  if (inner != Tok::kIdentifier && inner != Tok::kOpenParen) return unexpected({Tok::kIdentifier, Tok::kOpenParen});
  SKALD_TRY(auto filter, label_filter(0));
  SKALD_TRY_VOID(expect(Tok::kCloseParen, {}));
  return filter;
}

Result<std::shared_ptr<const LabelFilter>> Grammar::label_comparison() {
  SKALD_TRY(const Token label, expect(Tok::kIdentifier, {}));
  auto filter = std::make_shared<LabelFilter>();
  filter->label = label.text;
  SKALD_TRY(const Tok op, peek());
  const bool may_be_text = op == Tok::kEq || op == Tok::kNeq;
  switch (op) {
    case Tok::kRe:
    case Tok::kNre: break;
    case Tok::kEq:
    case Tok::kCmpEq: filter->op = CompareOp::kEqual; break;
    case Tok::kNeq: filter->op = CompareOp::kNotEqual; break;
    case Tok::kGt: filter->op = CompareOp::kGreater; break;
    case Tok::kGte: filter->op = CompareOp::kGreaterEqual; break;
    case Tok::kLt: filter->op = CompareOp::kLess; break;
    case Tok::kLte: filter->op = CompareOp::kLessEqual; break;
    default: return unexpected();
  }
  const Token op_token = take();
  SKALD_TRY(Tok kind, peek());
  if (op == Tok::kRe || op == Tok::kNre || (may_be_text && kind == Tok::kString)) {
    SKALD_TRY(Token value, expect(Tok::kString, {Tok::kString}));
    const auto type = op == Tok::kRe    ? model::MatchType::kRegex
                      : op == Tok::kNre ? model::MatchType::kNotRegex
                      : op == Tok::kEq  ? model::MatchType::kEqual
                                        : model::MatchType::kNotEqual;
    if (!label.plain_name) return at_token(label, "syntax error: unexpected IDENTIFIER");
    auto matcher = model::Matcher::make(type, label.text, std::move(value.text));
    if (!matcher.ok()) return unplaced(matcher.error().message());
    filter->kind = LabelFilter::Kind::kString;
    filter->matcher = std::move(matcher).value();
    return std::shared_ptr<const LabelFilter>(std::move(filter));
  }
  if (!label.plain_name) return at_token(label, "syntax error: unexpected IDENTIFIER");
  if (may_be_text && kind == Tok::kIp) {
    take();
    SKALD_TRY_VOID(expect(Tok::kOpenParen, {Tok::kOpenParen}));
    SKALD_TRY(Token address, expect(Tok::kString, {Tok::kString}));
    SKALD_TRY_VOID(expect(Tok::kCloseParen, {Tok::kCloseParen}));
    filter->kind = LabelFilter::Kind::kIp;
    filter->text = std::move(address.text);
    return std::shared_ptr<const LabelFilter>(std::move(filter));
  }
  if (kind == Tok::kDuration) {
    const Token value = take();
    filter->kind = LabelFilter::Kind::kDuration;
    filter->duration_ns = value.duration_ns;
    filter->number = static_cast<double>(value.duration_ns) / 1e9;
    filter->text = value.text;
    return std::shared_ptr<const LabelFilter>(std::move(filter));
  }
  if (kind == Tok::kBytes) {
    const Token value = take();
    filter->kind = LabelFilter::Kind::kBytes;
    filter->bytes = value.bytes;
    filter->number = static_cast<double>(value.bytes);
    filter->text = value.text;
    return std::shared_ptr<const LabelFilter>(std::move(filter));
  }
  bool negative = false, sign = false;
  if (kind == Tok::kAdd || kind == Tok::kSub) {
    negative = kind == Tok::kSub;
    sign = true;
    take();
    SKALD_TRY(kind, peek());
  }
  if (kind != Tok::kNumber) return sign ? unexpected({Tok::kNumber}) : unexpected();
  const Token number = take();
  if (const FloatStatus status = parse_go_float(number.text, filter->number); status != FloatStatus::kOk)
    return unplaced("unable to parse literal as a float: " + go_float_error(number.text, status));
  if (negative) filter->number = -filter->number;
  filter->kind = LabelFilter::Kind::kNumber;
  filter->text = (negative ? "-" : "") + number.text;
  return std::shared_ptr<const LabelFilter>(std::move(filter));
}

Result<Unwrap> Grammar::unwrap() {
  Unwrap unwrapped;
  SKALD_TRY(Tok kind, peek());
  if (kind == Tok::kBytesConv || kind == Tok::kDurationConv || kind == Tok::kDurationSecondsConv) {
    unwrapped.conversion = kind == Tok::kBytesConv ? UnwrapConversion::kBytes : UnwrapConversion::kDuration;
    unwrapped.conversion_name =
        kind == Tok::kBytesConv ? "bytes" : kind == Tok::kDurationConv ? "duration" : "duration_seconds";
    take();
    SKALD_TRY_VOID(expect(Tok::kOpenParen, {Tok::kOpenParen}));
    SKALD_TRY(Token label, name({Tok::kIdentifier}));
    SKALD_TRY_VOID(expect(Tok::kCloseParen, {Tok::kCloseParen}));
    unwrapped.label = std::move(label.text);
  } else {
    SKALD_TRY(Token label, name({Tok::kIdentifier, Tok::kBytesConv, Tok::kDurationConv, Tok::kDurationSecondsConv}));
    unwrapped.label = std::move(label.text);
  }
  while (true) {
    SKALD_TRY(kind, peek());
    if (kind != Tok::kPipe) return unwrapped;
    take();
    SKALD_TRY(kind, peek());
    if (kind != Tok::kIdentifier && kind != Tok::kOpenParen) return unexpected({Tok::kIdentifier, Tok::kOpenParen});
    SKALD_TRY(auto filter, label_filter(0));
    unwrapped.post_filters.push_back(std::move(filter));
  }
}

}  // namespace skald::logql
