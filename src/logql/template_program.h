// What a template is compiled to: a tree of nodes whose variables are slots and whose functions are pointers.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "logql/template_value.h"
#include "skald/base/result.h"
#include "skald/logql/template.h"

namespace re2 { class RE2; }

namespace skald::logql {

struct AlertTemplateData;

// What one run shares between nodes and functions.
struct Run {
  const TemplateInput* input = nullptr;
  const AlertTemplateData* alert = nullptr;   // templates of rules only
  Arena arena;
  std::size_t steps = 0;
  const re2::RE2* regex = nullptr;  // the call's first argument, when the template compiled it
};

// A function's answer, or the message behind "error calling NAME: ".
using FunctionResult = Result<Value>;
using Args = std::span<const Value>;

// How an argument is checked before the call.
enum class Param : char { kAny = 'a', kString = 's', kInt = 'i', kFloat = 'f', kTime = 't' };

struct Function {
  std::string_view name;
  const char* params;      // one Param letter per argument
  char variadic = '\0';    // letter of further arguments, or none
  FunctionResult (*call)(Run& run, Args args);
};
const Function* find_function(std::string_view name);
using FindFunction = const Function* (*)(std::string_view name);

struct Pipe;

struct Operand {
  enum class Kind : std::uint8_t { kDot, kField, kVariable, kConstant, kFunction, kPipe, kNil };
  Kind kind = Kind::kDot;
  std::size_t position = 0;           // byte in the template
  Value constant;                     // kConstant (text lives in `text`)
  bool integral = false;              // kConstant: a number that is a whole one, also when written 1e3
  std::string text;                   // as written, for messages
  std::string string;                 // kConstant strings
  std::vector<std::string> fields;    // .a.b behind the operand
  int slot = -1;                      // kVariable; -1 is $
  const Function* function = nullptr; // kFunction
  std::shared_ptr<Pipe> pipe;         // kPipe
};

struct Command {
  std::vector<Operand> operands;
  std::size_t position = 0;
  std::string text;                              // as messages quote it
  std::shared_ptr<const re2::RE2> regex;         // first argument, when a literal of a regex function compiles
};

struct Pipe {
  std::size_t position = 0;
  std::string text;
  std::vector<int> slots;   // variables declared or assigned
  std::vector<Command> commands;
};

struct Node {
  enum class Kind : std::uint8_t { kText, kField, kAction, kIf, kWith, kRange, kBreak, kContinue, kTemplate };
  Kind kind = Kind::kText;
  std::size_t position = 0;
  std::string text;               // kText; kField: the label; kTemplate: the name
  Pipe pipe;
  bool has_pipe = false;
  std::vector<Node> body, otherwise;
};

struct NamedTemplate {
  std::vector<Node> nodes;
  int slot_count = 0;
};

struct Template::Program {
  std::string name;    // "line" or "label"
  std::string source;
  std::map<std::string, NamedTemplate, std::less<>> templates;  // the main one under `name`
  const NamedTemplate* main = nullptr;
  std::vector<std::string> labels_read;
  bool uses_all_labels = false;
  FindFunction find = find_function;   // the functions of its dialect
};

// What templates of rules see, with the functions of Prometheus instead of Loki's.
Result<void> run_template(const Template::Program& program, const AlertTemplateData& data, const Value& dot, std::string& out);

// Fills a Program; errors read `template: line:1: unclosed action`.
Result<void> compile_template(std::string_view name, std::string_view text, Template::Program& program);

inline constexpr std::size_t kTemplateOutputMax = 4 << 20;  // bytes a run may produce; lines are far smaller
inline constexpr std::size_t kTemplateStepsMax = 200'000;

}  // namespace skald::logql
