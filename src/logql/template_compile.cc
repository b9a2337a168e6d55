#include <algorithm>
#include <charconv>
#include <cstdio>

#include "logql/template_program.h"
#include "model/utf8.h"
#include "skald/logql/regex.h"
#include "skald/logql/units.h"
#include "skald/model/labels.h"

namespace skald::logql {
namespace {

constexpr int kDepthMax = 100;

enum class T {
  kEnd, kAssign, kDeclare, kPipe, kString, kChar, kNumber, kVariable, kField, kDot, kIdentifier, kOpen, kClose, kComma,
  kKeyword, kBool, kNil, kOther,
};
struct Tok {
  T kind = T::kEnd;
  std::string_view text;
  std::size_t position = 0;
  bool space_before = false;
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(std::string_view text, std::size_t at) {
  if (at >= text.size()) return false;
  const auto c = static_cast<unsigned char>(text[at]);
  return c == '_' || is_digit(text[at]) || ((c | 32) >= 'a' && (c | 32) <= 'z') || c >= 0x80;
}

// U+0040 '@'
std::string rune_name(std::string_view text) {
  const model::Rune rune = model::decode_rune(text);
  char code[16];
  std::snprintf(code, sizeof code, "U+%04X", rune.length == 0 ? 0xFFFDu : rune.value);
  std::string out = code;
  if (rune.length > 0 && rune.value >= 0x20 && rune.value != 0x7F)
    out += " '" + std::string(text.substr(0, rune.length)) + "'";
  return out;
}

std::string quote(std::string_view text) {
  std::string out;
  model::append_go_quoted(out, text);
  return out;
}

// A Go string or character literal's content; false: not well formed.
bool unquote(std::string_view text, std::string& out) {
  if (text.size() < 2) return false;
  if (text[0] == '`') {
    for (const char c : text.substr(1, text.size() - 2))
      if (c != '\r') out += c;
    return true;
  }
  const char mark = text[0];
  text = text.substr(1, text.size() - 2);
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '\\') {
      out += text[at++];
      continue;
    }
    if (++at >= text.size()) return false;
    const char kind = text[at++];
    static constexpr std::string_view kSimple = "abfnrtv\\";
    static constexpr std::string_view kMeaning = "\a\b\f\n\r\t\v\\";
    if (const auto simple = kSimple.find(kind); simple != std::string_view::npos) {
      out += kMeaning[simple];
      continue;
    }
    if (kind == mark) {
      out += kind;
      continue;
    }
    std::size_t count = 0;
    int base = 16;
    if (kind >= '0' && kind <= '7') {
      base = 8;
      count = 3;
      --at;
    } else if (kind == 'x') {
      count = 2;
    } else if (kind == 'u') {
      count = 4;
    } else if (kind == 'U') {
      count = 8;
    } else {
      return false;
    }
    if (at + count > text.size()) return false;
    std::uint32_t value = 0;
    const char* end = text.data() + at + count;
    const auto parsed = std::from_chars(text.data() + at, end, value, base);
    if (parsed.ec != std::errc() || parsed.ptr != end) return false;
    at += count;
    if (kind == 'u' || kind == 'U') {
      if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return false;
      model::append_rune(out, value);
    } else {
      if (value > 255) return false;
      out += static_cast<char>(value);
    }
  }
  return true;
}

class Compiler {
 public:
  Compiler(std::string_view name, Template::Program& program)
      : name_(name), source_(program.source), program_(program) {}

  Result<void> run() {
    NamedTemplate main;
    SKALD_TRY(const Stop stop, list(main.nodes, true));
    if (stop != Stop::kEof) return fail(stop_at_, stop == Stop::kEnd ? "unexpected {{end}}" : "unexpected {{else}}");
    main.slot_count = slots_;
    program_.templates[std::string(name_)] = std::move(main);
    program_.main = &program_.templates.find(name_)->second;
    std::sort(program_.labels_read.begin(), program_.labels_read.end());
    program_.labels_read.erase(std::unique(program_.labels_read.begin(), program_.labels_read.end()),
                               program_.labels_read.end());
    return {};
  }

 private:
  enum class Stop { kEof, kEnd, kElse };

  Error fail(std::size_t position, std::string_view message) const {
    const auto line = 1 + std::count(source_.begin(), source_.begin() + static_cast<std::ptrdiff_t>(std::min(position, source_.size())), '\n');
    return Error(ErrorCode::kInvalidArgument,
                 "template: " + std::string(name_) + ":" + std::to_string(line) + ": " + std::string(message));
  }

  // ---- scanner

  // Text up to the next action. False at the end of the template.
  bool text_before_action(std::string& out) {
    const std::size_t open = std::min(source_.find("{{", at_), source_.size());
    std::string_view text = source_.substr(at_, open - at_);
    if (trim_next_) {
      while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    }
    trim_next_ = false;
    at_ = open;
    const bool action = open < source_.size();
    if (action && source_.substr(open + 2, 1) == "-" && open + 3 < source_.size() && is_space(source_[open + 3])) {
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    }
    out = text;
    return action;
  }

  // The tokens of one action; at_ moves behind its "}}". A comment has none and sets `comment`.
  Result<void> scan_action(bool& comment) {
    tokens_.clear();
    next_ = 0;
    action_start_ = at_;
    at_ += 2;
    if (at_ + 1 < source_.size() && source_[at_] == '-' && is_space(source_[at_ + 1])) at_ += 2;
    comment = false;
    if (source_.substr(at_, 2) == "/*") {
      comment = true;
      const std::size_t close = source_.find("*/", at_ + 2);
      if (close == std::string_view::npos) return fail(action_start_, "unclosed comment");
      at_ = close + 2;
      if (source_.substr(at_, 2) == "}}") {
        at_ += 2;
      } else if (at_ < source_.size() && is_space(source_[at_]) && source_.substr(at_ + 1, 3) == "-}}") {
        at_ += 4;
        trim_next_ = true;
      } else {
        return fail(action_start_, "comment ends before closing delimiter");
      }
      return {};
    }
    int depth = 0;
    while (true) {
      const std::size_t before = at_;
      while (at_ < source_.size() && is_space(source_[at_])) ++at_;
      const bool space = at_ > before;
      const bool trimmed = space && source_.substr(at_, 3) == "-}}";
      if (trimmed || source_.substr(at_, 2) == "}}") {
        if (depth > 0) return fail(at_, "unclosed left paren");
        tokens_.push_back({T::kEnd, "}}", at_, space});
        at_ += trimmed ? 3 : 2;
        trim_next_ = trimmed;
        return {};
      }
      if (at_ >= source_.size()) return fail(at_, "unclosed action");
      Tok token;
      token.position = at_;
      token.space_before = space;
      SKALD_TRY_VOID(scan_token(token, depth));
      token.text = source_.substr(token.position, at_ - token.position);
      if (token.kind == T::kIdentifier) {
        if (token.text == "true" || token.text == "false") token.kind = T::kBool;
        else if (token.text == "nil") token.kind = T::kNil;
        else
          for (const std::string_view word : {"if", "else", "end", "range", "with", "define", "block", "template", "break", "continue"})
            if (token.text == word) token.kind = T::kKeyword;
      }
      tokens_.push_back(token);
    }
  }

  bool at_terminator() const {
    if (at_ >= source_.size() || is_space(source_[at_])) return true;
    return std::string_view(".,|:)(").find(source_[at_]) != std::string_view::npos || source_.substr(at_, 2) == "}}";
  }

  Result<void> scan_token(Tok& token, int& depth) {
    const char c = source_[at_];
    const auto one = [&](T kind) {
      ++at_;
      token.kind = kind;
    };
    switch (c) {
      case '=': one(T::kAssign); return {};
      case ':':
        if (source_.substr(at_, 2) != ":=") return fail(at_, "expected :=");
        at_ += 2;
        token.kind = T::kDeclare;
        return {};
      case '|': one(T::kPipe); return {};
      case ',': one(T::kComma); return {};
      case '(':
        ++depth;
        one(T::kOpen);
        return {};
      case ')':
        if (--depth < 0) return fail(at_, "unexpected right paren");
        one(T::kClose);
        return {};
      case '"':
      case '\'': {
        token.kind = c == '"' ? T::kString : T::kChar;
        for (++at_; at_ < source_.size() && source_[at_] != '\n' && source_[at_] != c; ++at_)
          if (source_[at_] == '\\' && at_ + 1 < source_.size() && source_[at_ + 1] != '\n') ++at_;
        if (at_ >= source_.size() || source_[at_] != c)
          return fail(token.position, c == '"' ? "unterminated quoted string" : "unterminated character constant");
        ++at_;
        return {};
      }
      case '`': {
        token.kind = T::kString;
        const std::size_t close = source_.find('`', at_ + 1);
        if (close == std::string_view::npos) return fail(token.position, "unterminated raw quoted string");
        at_ = close + 1;
        return {};
      }
      case '$':
      case '.':
        if (c == '.' && at_ + 1 < source_.size() && is_digit(source_[at_ + 1])) break;
        ++at_;
        if (!is_word(source_, at_)) {
          token.kind = c == '$' ? T::kVariable : T::kDot;
          if (c == '$' && !at_terminator()) return fail(at_, "bad character " + rune_name(source_.substr(at_)));
          return {};
        }
        while (is_word(source_, at_)) ++at_;
        if (!at_terminator()) return fail(at_, "bad character " + rune_name(source_.substr(at_)));
        token.kind = c == '$' ? T::kVariable : T::kField;
        return {};
      default: break;
    }
    if (c == '+' || c == '-' || c == '.' || is_digit(c)) return scan_number(token);
    if (is_word(source_, at_)) {
      while (is_word(source_, at_)) ++at_;
      if (!at_terminator()) return fail(at_, "bad character " + rune_name(source_.substr(at_)));
      token.kind = T::kIdentifier;
      return {};
    }
    if (c > 0x20 && c < 0x7F) {
      one(T::kOther);
      return {};
    }
    return fail(at_, "unrecognized character in action: " + rune_name(source_.substr(at_)));
  }

  Result<void> scan_number(Tok& token) {
    token.kind = T::kNumber;
    if (source_[at_] == '+' || source_[at_] == '-') ++at_;
    std::string_view digits = "0123456789_";
    bool hex = false;
    if (at_ + 1 < source_.size() && source_[at_] == '0') {
      const char kind = static_cast<char>(source_[at_ + 1] | 32);
      if (kind == 'x' || kind == 'o' || kind == 'b') {
        hex = kind == 'x';
        digits = hex ? "0123456789abcdefABCDEF_" : kind == 'o' ? "01234567_" : "01_";
        at_ += 2;
      }
    }
    const auto run = [&](std::string_view set) {
      while (at_ < source_.size() && set.find(source_[at_]) != std::string_view::npos) ++at_;
    };
    run(digits);
    if (at_ < source_.size() && source_[at_] == '.') {
      ++at_;
      run(digits);
    }
    if (at_ < source_.size() && (source_[at_] | 32) == (hex ? 'p' : 'e') && digits.size() != 9 && digits.size() != 3) {
      ++at_;
      if (at_ < source_.size() && (source_[at_] == '+' || source_[at_] == '-')) ++at_;
      run("0123456789_");
    }
    if (is_word(source_, at_)) {
      ++at_;
      return fail(token.position, "bad number syntax: " + quote(source_.substr(token.position, at_ - token.position)));
    }
    return {};
  }

  // ---- parser

  const Tok& peek() const { return tokens_[std::min(next_, tokens_.size() - 1)]; }
  const Tok& take() { return tokens_[std::min(next_++, tokens_.size() - 1)]; }

  static std::string shown(const Tok& token) {
    if (token.kind == T::kKeyword) return "<" + std::string(token.text) + ">";
    if (token.text.size() > 10) return quote(token.text.substr(0, 10)) + "...";
    return quote(token.text);
  }
  Error unexpected(const Tok& token, std::string_view context) const {
    return fail(token.position, "unexpected " + shown(token) + " in " + std::string(context));
  }
  Result<void> end_of_action(std::string_view context) {
    const Tok& token = take();
    if (token.kind != T::kEnd) return unexpected(token, context);
    return {};
  }

  // Nodes up to {{end}}, {{else}} or the end of the template. Of {{else}} the action's other tokens are left unread.
  Result<Stop> list(std::vector<Node>& nodes, bool top = false) {
    if (++depth_ > kDepthMax) return fail(at_, "template is nested too deeply");
    while (true) {
      Node text;
      text.position = at_;
      const bool action = text_before_action(text.text);
      if (!text.text.empty()) nodes.push_back(std::move(text));
      if (!action) {
        --depth_;
        stop_at_ = source_.size();
        return Stop::kEof;
      }
      bool comment = false;
      SKALD_TRY_VOID(scan_action(comment));
      if (comment) continue;
      const Tok first = peek();
      if (first.kind == T::kKeyword && (first.text == "end" || first.text == "else")) {
        stop_at_ = first.position;
        take();
        if (first.text == "end") SKALD_TRY_VOID(end_of_action("end"));
        --depth_;
        return first.text == "end" ? Stop::kEnd : Stop::kElse;
      }
      if (first.kind == T::kKeyword && first.text == "define") {
        if (!top) return fail(first.position, "unexpected {{define}}");
        take();
        SKALD_TRY_VOID(define());
        continue;
      }
      Node node;
      SKALD_TRY_VOID(action_node(node));
      nodes.push_back(std::move(node));
    }
  }

  Result<std::string> template_name(std::string_view context) {
    const Tok& token = take();
    std::string name;
    if (token.kind != T::kString) return unexpected(token, context);
    if (!unquote(token.text, name)) return fail(token.position, "invalid syntax");
    return name;
  }

  // The body of {{define}} or {{block}}: variables and dot are its own.
  Result<void> named_body(const std::string& name, std::string_view context) {
    auto saved_variables = std::move(variables_);
    variables_.clear();
    const int saved_slots = std::exchange(slots_, 0);
    const bool saved_root = std::exchange(dot_is_root_, false);
    const int saved_ranges = std::exchange(ranges_, 0);
    NamedTemplate named;
    SKALD_TRY(const Stop stop, list(named.nodes));
    if (stop == Stop::kEof) return fail(stop_at_, "unexpected EOF");
    if (stop == Stop::kElse) return fail(stop_at_, "unexpected {{else}} in " + std::string(context));
    named.slot_count = slots_;
    // An empty definition does not replace a full one.
    const bool empty = std::all_of(named.nodes.begin(), named.nodes.end(), [](const Node& node) {
      return node.kind == Node::Kind::kText && std::all_of(node.text.begin(), node.text.end(), is_space);
    });
    if (!empty || program_.templates.count(name) == 0) program_.templates[name] = std::move(named);
    variables_ = std::move(saved_variables);
    slots_ = saved_slots;
    dot_is_root_ = saved_root;
    ranges_ = saved_ranges;
    return {};
  }

  Result<void> define() {
    SKALD_TRY(const std::string name, template_name("define clause"));
    SKALD_TRY_VOID(end_of_action("define clause"));
    return named_body(name, "define clause");
  }

  Result<void> action_node(Node& node) {
    const Tok first = peek();
    node.position = first.position;
    if (first.kind != T::kKeyword) {
      node.kind = Node::Kind::kAction;
      SKALD_TRY_VOID(pipeline(node.pipe, "command", T::kEnd));
      const Pipe& pipe = node.pipe;
      if (pipe.slots.empty() && pipe.commands.size() == 1 && pipe.commands[0].operands.size() == 1) {
        const Operand& operand = pipe.commands[0].operands[0];
        if (operand.kind == Operand::Kind::kField && operand.fields.size() == 1) {
          node.kind = Node::Kind::kField;
          node.text = operand.fields[0];
        }
      }
      return {};
    }
    take();
    if (first.text == "if") return control(node, Node::Kind::kIf, "if");
    if (first.text == "with") return control(node, Node::Kind::kWith, "with");
    if (first.text == "range") return control(node, Node::Kind::kRange, "range");
    if (first.text == "break" || first.text == "continue") {
      const std::string word(first.text);
      SKALD_TRY_VOID(end_of_action("{{" + word + "}}"));
      if (ranges_ == 0) return fail(first.position, "{{" + word + "}} outside {{range}}");
      node.kind = word == "break" ? Node::Kind::kBreak : Node::Kind::kContinue;
      return {};
    }
    if (first.text == "template" || first.text == "block") {
      const bool block = first.text == "block";
      node.kind = Node::Kind::kTemplate;
      SKALD_TRY(node.text, template_name(block ? "block clause" : "template clause"));
      if (block || peek().kind != T::kEnd) {
        node.has_pipe = true;
        SKALD_TRY_VOID(pipeline(node.pipe, block ? "block clause" : "template clause", T::kEnd));
      } else {
        take();
      }
      if (block) return named_body(node.text, "block clause");
      return {};
    }
    return unexpected(first, "command");
  }

  Result<void> control(Node& node, Node::Kind kind, std::string_view context) {
    node.kind = kind;
    if (++depth_ > kDepthMax) return fail(node.position, "template is nested too deeply");
    const std::size_t scope = variables_.size();
    SKALD_TRY_VOID(pipeline(node.pipe, context, T::kEnd));
    node.has_pipe = true;
    const bool outer_root = dot_is_root_;
    if (kind != Node::Kind::kIf) dot_is_root_ = false;
    if (kind == Node::Kind::kRange) ++ranges_;
    SKALD_TRY(Stop stop, list(node.body));
    if (kind == Node::Kind::kRange) --ranges_;
    dot_is_root_ = outer_root;
    if (stop == Stop::kElse) {
      const bool chains = peek().kind == T::kKeyword && kind != Node::Kind::kRange && peek().text == context;
      if (chains) {  // {{else if}}: an `if` inside the else, sharing its {{end}}
        Node inner;
        inner.position = peek().position;
        take();
        SKALD_TRY_VOID(control(inner, kind, context));
        node.otherwise.push_back(std::move(inner));
        variables_.resize(scope);
        --depth_;
        return {};
      }
      SKALD_TRY_VOID(end_of_action("else"));
      SKALD_TRY(stop, list(node.otherwise));
      if (stop == Stop::kElse) return fail(stop_at_, "expected end; found {{else}}");
    }
    if (stop == Stop::kEof) return fail(stop_at_, "unexpected EOF");
    variables_.resize(scope);
    --depth_;
    return {};
  }

  Result<void> pipeline(Pipe& pipe, std::string_view context, T end) {
    if (++depth_ > kDepthMax) return fail(peek().position, "template is nested too deeply");
    pipe.position = peek().position;
    std::vector<std::string> declared;
    // $x :=, $x =, and for range $k, $v :=
    if (peek().kind == T::kVariable) {
      const std::size_t back = next_;
      std::vector<Tok> names{take()};
      while (peek().kind == T::kComma && context == "range" && names.size() < 2 &&
             tokens_[std::min(next_ + 1, tokens_.size() - 1)].kind == T::kVariable) {
        take();
        names.push_back(take());
      }
      if (peek().kind == T::kComma)
        return fail(peek().position, context == "range" ? "range can only initialize variables"
                                                        : "too many declarations in " + std::string(context));
      if (peek().kind == T::kDeclare || peek().kind == T::kAssign) {
        const bool declares = take().kind == T::kDeclare;
        for (const Tok& variable : names) {
          pipe.text += (pipe.text.empty() ? "" : ", ") + std::string(variable.text);
          if (declares) {
            declared.emplace_back(variable.text);
            pipe.slots.push_back(slots_++);
          } else {
            SKALD_TRY(const int slot, find_variable(variable));
            if (slot < 0) return fail(variable.position, "undefined variable " + quote(variable.text));
            pipe.slots.push_back(slot);
          }
        }
        pipe.text += declares ? " := " : " = ";
      } else {
        next_ = back;
      }
    }
    while (true) {
      const Tok token = peek();
      if (token.kind == end) {
        take();
        break;
      }
      if (token.kind == T::kEnd || token.kind == T::kClose) return unexpected(take(), context);
      Command command;
      bool piped = false;
      SKALD_TRY_VOID(this->command(command, end, context, piped));
      if (!pipe.commands.empty()) pipe.text += " | ";
      pipe.text += command.text;
      pipe.commands.push_back(std::move(command));
      if (piped && (peek().kind == end)) return fail(peek().position, "missing value for " + std::string(context));
    }
    if (pipe.commands.empty()) return fail(pipe.position, "missing value for " + std::string(context));
    for (std::size_t i = 1; i < pipe.commands.size(); ++i) {
      const Operand::Kind kind = pipe.commands[i].operands[0].kind;
      if (kind == Operand::Kind::kConstant || kind == Operand::Kind::kNil ||
          (kind == Operand::Kind::kDot && pipe.commands[i].operands[0].fields.empty()))
        return fail(pipe.commands[i].position, "non executable command in pipeline stage " + std::to_string(i + 1));
    }
    for (std::size_t i = 0; i < declared.size(); ++i) variables_.emplace_back(declared[i], pipe.slots[i]);
    --depth_;
    return {};
  }

  Result<void> command(Command& command, T end, std::string_view context, bool& piped) {
    command.position = peek().position;
    while (true) {
      const Tok token = peek();
      if (token.kind == end || token.kind == T::kEnd || token.kind == T::kClose) break;
      if (token.kind == T::kPipe) {
        take();
        piped = true;
        break;
      }
      if (!command.operands.empty() && !token.space_before) return unexpected(token, "operand");
      Operand operand;
      SKALD_TRY_VOID(this->operand(operand, context));
      if (!command.text.empty()) command.text += ' ';
      command.text += operand.text;
      command.operands.push_back(std::move(operand));
    }
    if (command.operands.empty()) return fail(command.position, "empty command");
    // A bad literal regex is an error of each run, not of the template.
    const Operand& first = command.operands[0];
    if (first.kind == Operand::Kind::kFunction && command.operands.size() > 1 &&
        (first.function->name == "count" || first.function->name == "regexReplaceAll" ||
         first.function->name == "regexReplaceAllLiteral") &&
        command.operands[1].kind == Operand::Kind::kConstant && command.operands[1].constant.is_string()) {
      if (auto regex = compile_regex(command.operands[1].string); regex.ok()) command.regex = std::move(regex).value();
    }
    return {};
  }

  Result<int> find_variable(const Tok& token) const {
    if (token.text == "$") return -1;
    for (auto it = variables_.rbegin(); it != variables_.rend(); ++it)
      if (it->first == token.text) return it->second;
    return fail(token.position, "undefined variable " + quote(token.text));
  }

  void reads(const std::string& label) {
    if (dot_is_root_) program_.labels_read.push_back(label);
  }

  Result<void> operand(Operand& operand, std::string_view context) {
    const Tok token = take();
    operand.position = token.position;
    operand.text = token.text;
    switch (token.kind) {
      case T::kIdentifier:
        operand.kind = Operand::Kind::kFunction;
        operand.function = program_.find(token.text);
        if (operand.function == nullptr) return fail(token.position, "function " + quote(token.text) + " not defined");
        break;
      case T::kDot: operand.kind = Operand::Kind::kDot; break;
      case T::kNil: operand.kind = Operand::Kind::kNil; break;
      case T::kVariable: {
        operand.kind = Operand::Kind::kVariable;
        SKALD_TRY(operand.slot, find_variable(token));
        break;
      }
      case T::kField:
        operand.kind = Operand::Kind::kField;
        operand.fields.emplace_back(token.text.substr(1));
        break;
      case T::kBool:
        operand.kind = Operand::Kind::kConstant;
        operand.constant = Value::of(token.text == "true");
        break;
      case T::kChar:
      case T::kNumber: SKALD_TRY_VOID(number(operand, token)); break;
      case T::kString:
        operand.kind = Operand::Kind::kConstant;
        if (!unquote(token.text, operand.string)) return fail(token.position, "invalid syntax");
        operand.constant = Value::of(std::string_view());
        break;
      case T::kOpen: {
        operand.kind = Operand::Kind::kPipe;
        operand.pipe = std::make_shared<Pipe>();
        SKALD_TRY_VOID(pipeline(*operand.pipe, "parenthesized pipeline", T::kClose));
        operand.text = "(" + operand.pipe->text + ")";
        break;
      }
      default: return unexpected(token, context == "command" || context == "parenthesized pipeline" ? "operand" : context);
    }
    while (peek().kind == T::kField && !peek().space_before) {
      if (operand.kind == Operand::Kind::kConstant || operand.kind == Operand::Kind::kNil ||
          operand.kind == Operand::Kind::kDot)
        return fail(peek().position, "unexpected . after term " + quote(operand.text));
      const Tok& field = take();
      operand.fields.emplace_back(field.text.substr(1));
      operand.text += field.text;
    }
    if (operand.kind == Operand::Kind::kField) reads(operand.fields[0]);
    if (operand.kind == Operand::Kind::kDot && dot_is_root_) program_.uses_all_labels = true;
    if (operand.kind == Operand::Kind::kVariable && operand.slot < 0) {
      if (operand.fields.empty()) program_.uses_all_labels = true;
      else program_.labels_read.push_back(operand.fields[0]);
    }
    return {};
  }

  Result<void> number(Operand& operand, const Tok& token) {
    operand.kind = Operand::Kind::kConstant;
    if (token.kind == T::kChar) {
      std::string text;
      const bool fits = unquote(token.text, text);
      const model::Rune rune = model::decode_rune(text);
      if (!fits || rune.length == 0 || rune.length != text.size())
        return fail(token.position, "malformed character constant: " + std::string(token.text));
      operand.constant = Value::of_int(rune.value, Kind::kInt32);
      operand.integral = true;
      return {};
    }
    std::string text;
    for (const char c : token.text)
      if (c != '_') text += c;
    std::string_view body = text;
    const bool negative = body[0] == '-';
    if (body[0] == '-' || body[0] == '+') body.remove_prefix(1);
    int base = 10;
    if (body.size() > 1 && body[0] == '0') {
      const char kind = static_cast<char>(body[1] | 32);
      base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
      body.remove_prefix(kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1);
    }
    std::uint64_t magnitude = 0;
    const auto parsed = std::from_chars(body.data(), body.data() + body.size(), magnitude, base);
    if (!body.empty() && parsed.ptr == body.data() + body.size()) {
      if (parsed.ec != std::errc() || magnitude > (std::uint64_t{1} << 63) - (negative ? 0 : 1))
        return fail(token.position, "integer overflow: " + quote(token.text));
      operand.constant = Value::of_int(static_cast<std::int64_t>(negative ? ~magnitude + 1 : magnitude));
      operand.integral = true;
      return {};
    }
    double value = 0;
    if (parse_go_float(token.text, value) != FloatStatus::kOk)
      return fail(token.position, "bad number syntax: " + quote(token.text));
    operand.constant = Value::of(value);
    operand.integral = value >= -9.2e18 && value <= 9.2e18 && static_cast<double>(static_cast<std::int64_t>(value)) == value;
    return {};
  }

  std::string_view name_;
  std::string_view source_;
  Template::Program& program_;
  std::size_t at_ = 0;
  std::size_t action_start_ = 0, stop_at_ = 0;
  bool trim_next_ = false;
  std::vector<Tok> tokens_;
  std::size_t next_ = 0;
  std::vector<std::pair<std::string, int>> variables_;
  int slots_ = 0, ranges_ = 0, depth_ = 0;
  bool dot_is_root_ = true;
};

}  // namespace

Result<void> compile_template(std::string_view name, std::string_view text, Template::Program& program) {
  program.name = name;
  program.source = text;
  return Compiler(program.name, program).run();
}

}  // namespace skald::logql
