#include <algorithm>

#include "logql/template_program.h"
#include "skald/logql/template.h"

namespace skald::logql {
namespace {

constexpr int kCallDepthMax = 50;

enum class Flow { kNext, kBreak, kContinue };

class Runner {
 public:
  Runner(const Template::Program& program, const TemplateInput& input, std::string& out)
      : program_(program), out_(out), out_start_(out.size()) {
    run_.input = &input;
    root_ = Value::of(run_.input);
  }
  Runner(const Template::Program& program, const AlertTemplateData& data, const Value& dot, std::string& out)
      : program_(program), out_(out), out_start_(out.size()), root_(dot) {
    run_.alert = &data;
  }

  Result<void> execute() {
    if (program_.main->slot_count > 0) variables_.resize(static_cast<std::size_t>(program_.main->slot_count));
    SKALD_TRY_VOID(walk(program_.main->nodes, root_));
    return {};
  }

 private:
  // "template: line:1:3: executing "line" at <div 1 0>: …"
  Error fail(std::size_t position, std::string_view context, std::string_view message) const {
    const std::string_view before = std::string_view(program_.source).substr(0, position);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = newline == std::string_view::npos ? position : position - newline - 1;
    std::string text = "template: " + program_.name + ":" + std::to_string(line) + ":" + std::to_string(column) +
                       ": executing \"" + program_.name + "\" at <";
    text += context.size() > 20 ? std::string(context.substr(0, 20)) + "..." : std::string(context);
    text += ">: ";
    text += message;
    return Error(ErrorCode::kInvalidArgument, std::move(text));
  }

  Result<void> step(const Node& node) {
    if (++run_.steps > kTemplateStepsMax) return fail(node.position, node.pipe.text, "template runs too long");
    if (out_.size() - out_start_ > kTemplateOutputMax || run_.arena.bytes() > 4 * kTemplateOutputMax)
      return fail(node.position, node.pipe.text, "template output is too large");
    return {};
  }

  Result<Flow> walk(const std::vector<Node>& nodes, const Value& dot) {
    for (const Node& node : nodes) {
      SKALD_TRY_VOID(step(node));
      switch (node.kind) {
        case Node::Kind::kText: out_ += node.text; break;
        case Node::Kind::kField:
          if (dot.kind == Kind::kLabels) {
            std::string_view value;
            if (dot.labels->label(node.text, value)) out_ += value;
            break;
          }
          [[fallthrough]];
        case Node::Kind::kAction: {
          SKALD_TRY(const Value value, pipe(node.pipe, dot));
          if (!node.pipe.slots.empty()) break;
          if (value.kind == Kind::kNil) out_ += "<no value>";
          else append_value(out_, value);
          break;
        }
        case Node::Kind::kIf:
        case Node::Kind::kWith: {
          SKALD_TRY(const Value value, pipe(node.pipe, dot));
          const bool taken = truth(value);
          const Value& inner = taken && node.kind == Node::Kind::kWith ? value : dot;
          SKALD_TRY(const Flow flow, walk(taken ? node.body : node.otherwise, inner));
          if (flow != Flow::kNext) return flow;
          break;
        }
        case Node::Kind::kRange: {
          SKALD_TRY(const Flow flow, range(node, dot));
          if (flow != Flow::kNext) return flow;
          break;
        }
        case Node::Kind::kBreak: return Flow::kBreak;
        case Node::Kind::kContinue: return Flow::kContinue;
        case Node::Kind::kTemplate: SKALD_TRY_VOID(invoke(node, dot)); break;
      }
    }
    return Flow::kNext;
  }

  Result<void> invoke(const Node& node, const Value& dot) {
    const auto found = program_.templates.find(node.text);
    const std::string context = "{{template \"" + node.text + "\"}}";
    if (found == program_.templates.end())
      return fail(node.position, context, "template \"" + node.text + "\" not defined");
    if (++calls_ > kCallDepthMax) return fail(node.position, context, "exceeded maximum template depth (50)");
    Value inner;
    if (node.has_pipe) {
      SKALD_TRY(inner, pipe(node.pipe, dot));
    }
    const std::size_t saved_frame = std::exchange(frame_, variables_.size());
    const Value saved_root = std::exchange(root_, inner);
    variables_.resize(frame_ + static_cast<std::size_t>(found->second.slot_count));
    SKALD_TRY_VOID(walk(found->second.nodes, inner));
    variables_.resize(frame_);
    frame_ = saved_frame;
    root_ = saved_root;
    --calls_;
    return {};
  }

  Result<Flow> range(const Node& node, const Value& dot) {
    SKALD_TRY(const Value over, pipe(node.pipe, dot, false));
    const auto& slots = node.pipe.slots;
    std::size_t rounds = 0;
    // Runs the body once; false: the loop ends.
    const auto round = [&](const Value& key, const Value& element) -> Result<bool> {
      ++rounds;
      SKALD_TRY_VOID(step(node));
      if (slots.size() == 1) variable(slots[0]) = element;
      if (slots.size() == 2) {
        variable(slots[0]) = key;
        variable(slots[1]) = element;
      }
      SKALD_TRY(const Flow flow, walk(node.body, element));
      return flow != Flow::kBreak;
    };
    switch (over.kind) {
      case Kind::kNil: break;
      case Kind::kInt:
      case Kind::kInt64:
      case Kind::kInt32:
      case Kind::kUint8:
        for (std::int64_t i = 0; i < over.integer; ++i) {
          SKALD_TRY(const bool more, round(Value::of_int(i), Value::of_int(i)));
          if (!more) break;
        }
        break;
      case Kind::kList:
        for (std::size_t i = 0; i < over.list->size(); ++i) {
          SKALD_TRY(const bool more, round(Value::of_int(static_cast<std::int64_t>(i)), (*over.list)[i]));
          if (!more) break;
        }
        break;
      case Kind::kMap:
        for (const auto& [key, element] : *over.map) {
          SKALD_TRY(const bool more, round(Value::of(key), element));
          if (!more) break;
        }
        break;
      case Kind::kLabels:
        for (const std::string_view name : over.labels->label_names()) {
          std::string_view text;
          over.labels->label(name, text);
          SKALD_TRY(const bool more, round(Value::of(name), Value::of(text)));
          if (!more) break;
        }
        break;
      default: {
        std::string shown;
        append_value(shown, over);
        return fail(node.pipe.position, node.pipe.text, "range can't iterate over " + shown);
      }
    }
    if (rounds == 0) return walk(node.otherwise, dot);
    return Flow::kNext;
  }

  Value& variable(int slot) { return variables_[frame_ + static_cast<std::size_t>(slot)]; }

  // `sets`: whether the pipeline's variables take its value (those of a range take the elements instead).
  Result<Value> pipe(const Pipe& pipe, const Value& dot, bool sets = true) {
    Value value;
    bool piped = false;
    for (const Command& command : pipe.commands) {
      SKALD_TRY(value, this->command(command, dot, piped ? &value : nullptr));
      piped = true;
    }
    if (sets)
      for (const int slot : pipe.slots) variable(slot) = value;
    return value;
  }

  Result<Value> command(const Command& command, const Value& dot, const Value* final) {
    const Operand& first = command.operands[0];
    if (first.kind == Operand::Kind::kFunction) {
      SKALD_TRY(Value value, call(command, dot, final));
      return fields(value, first, 0, first.text);
    }
    if (command.operands.size() > 1 || final != nullptr)
      return fail(first.position, first.text, "can't give argument to non-function " + first.text);
    if (first.kind == Operand::Kind::kNil) return fail(first.position, "nil", "nil is not a command");
    return operand(first, dot);
  }

  Result<Value> operand(const Operand& operand, const Value& dot) {
    switch (operand.kind) {
      case Operand::Kind::kDot: return dot;
      case Operand::Kind::kNil: return Value::nil();
      case Operand::Kind::kConstant:
        return operand.constant.is_string() ? Value::of(std::string_view(operand.string)) : operand.constant;
      case Operand::Kind::kField: return fields(dot, operand, 0, operand.text);
      case Operand::Kind::kVariable: return fields(operand.slot < 0 ? root_ : variable(operand.slot), operand, 0, operand.text);
      case Operand::Kind::kPipe: {
        SKALD_TRY(const Value value, pipe(*operand.pipe, dot));
        return fields(value, operand, 0, operand.text);
      }
      case Operand::Kind::kFunction: {
        Command alone;
        alone.position = operand.position;
        alone.text = operand.text;
        SKALD_TRY(const Value value, call_function(*operand.function, alone, dot, {}, nullptr));
        return fields(value, operand, 0, operand.text);
      }
    }
    return Value::nil();
  }

  Result<Value> fields(Value value, const Operand& operand, std::size_t from, std::string_view context) {
    for (std::size_t i = from; i < operand.fields.size(); ++i) {
      const std::string& name = operand.fields[i];
      switch (value.kind) {
        case Kind::kLabels: {
          std::string_view text;
          value.labels->label(name, text);
          value = Value::of(text);
          break;
        }
        case Kind::kMap: {
          const auto it = std::lower_bound(value.map->begin(), value.map->end(), std::string_view(name),
                                           [](const auto& entry, std::string_view key) { return entry.first < key; });
          value = it != value.map->end() && it->first == name ? it->second : Value::nil();
          break;
        }
        case Kind::kNil:
          return fail(operand.position, context, i == 0 ? "nil data; no entry for key \"" + name + "\""
                                                        : "nil pointer evaluating interface {}." + name);
        default:
          return fail(operand.position, context, "can't evaluate field " + name + " in type " + type_name(value));
      }
    }
    return value;
  }

  Result<Value> call(const Command& command, const Value& dot, const Value* final) {
    return call_function(*command.operands[0].function, command, dot, std::span(command.operands).subspan(1), final);
  }

  Result<Value> call_function(const Function& function, const Command& command, const Value& dot,
                              std::span<const Operand> operands, const Value* final) {
    const auto error = [&](const std::string& message) { return fail(command.position, command.text, message); };
    if (++run_.steps > kTemplateStepsMax) return error("template runs too long");
    const std::size_t given = operands.size() + (final != nullptr ? 1 : 0);
    const std::string_view params = function.params;
    const std::string name(function.name);
    if (function.variadic != '\0' ? given < params.size() : given != params.size())
      return error("wrong number of args for " + name + ": want " + (function.variadic != '\0' ? "at least " : "") +
                   std::to_string(params.size()) + " got " + std::to_string(given));

    // and, or: the first operand that decides, the others are not even evaluated.
    if (function.call == nullptr) {
      const bool decides = function.name == "or";
      Value value;
      for (std::size_t i = 0; i < operands.size(); ++i) {
        SKALD_TRY(value, operand(operands[i], dot));
        if (truth(value) == decides) return value;
      }
      return final != nullptr ? *final : value;
    }

    constexpr std::size_t kInline = 6;
    Value inline_args[kInline];
    std::vector<Value> heap_args;
    Value* args = inline_args;
    if (given > kInline) {
      heap_args.resize(given);
      args = heap_args.data();
    }
    for (std::size_t i = 0; i < given; ++i) {
      const auto param = static_cast<Param>(i < params.size() ? params[i] : function.variadic);
      const Operand* source = i < operands.size() ? &operands[i] : nullptr;
      if (source != nullptr) {
        SKALD_TRY(args[i], operand(*source, dot));
      } else {
        args[i] = *final;
      }
      SKALD_TRY_VOID(check_argument(args[i], param, source, command));
    }
    run_.regex = command.regex.get();
    auto result = function.call(run_, std::span<const Value>(args, given));
    if (!result.ok()) return error("error calling " + name + ": " + result.error().message());
    return std::move(result).value();
  }

  Result<void> check_argument(Value& value, Param param, const Operand* source, const Command& command) {
    if (param == Param::kAny) return {};
    const bool constant = source != nullptr && source->kind == Operand::Kind::kConstant;
    const char* wanted = "";
    switch (param) {
      case Param::kAny: return {};
      case Param::kString:
        if (value.kind == Kind::kString) return {};
        wanted = "string";
        break;
      case Param::kInt:
        if (constant && source->integral) {
          if (value.kind == Kind::kFloat) value = Value::of_int(static_cast<std::int64_t>(value.number));
          return {};
        }
        if (value.kind == Kind::kInt) return {};
        wanted = constant ? "integer" : "int";
        break;
      case Param::kFloat:
        if (value.kind == Kind::kFloat) return {};
        if (constant && value.is_integer()) {
          value = Value::of(static_cast<double>(value.integer));
          return {};
        }
        wanted = constant ? "float" : "float64";
        break;
      case Param::kTime:
        if (value.kind == Kind::kTime) return {};
        wanted = "time.Time";
        break;
    }
    const std::size_t position = source != nullptr ? source->position : command.position;
    const std::string_view context = source != nullptr ? std::string_view(source->text) : std::string_view(command.text);
    if (constant && param != Param::kTime)
      return fail(position, context, std::string("expected ") + wanted + "; found " + source->text);
    if (source != nullptr && source->kind == Operand::Kind::kNil)
      return fail(position, context, std::string("cannot assign nil to ") + wanted);
    if (value.kind == Kind::kNil) return fail(position, context, std::string("invalid value; expected ") + wanted);
    return fail(position, context,
                std::string("wrong type for value; expected ") + wanted + "; got " + type_name(value));
  }

  const Template::Program& program_;
  std::string& out_;
  const std::size_t out_start_;
  Run run_;
  Value root_;
  std::vector<Value> variables_;
  std::size_t frame_ = 0;
  int calls_ = 0;
};

}  // namespace

Template::Template(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

Result<Template> Template::parse(std::string_view text, std::string_view name) {
  auto program = std::make_unique<Program>();
  SKALD_TRY_VOID(compile_template(name, text, *program));
  return Template(std::move(program));
}

Result<void> Template::execute(const TemplateInput& input, std::string& out) const {
  const std::size_t before = out.size();
  Runner runner(*program_, input, out);
  auto result = runner.execute();
  if (!result.ok()) out.resize(before);
  return result;
}

Result<void> run_template(const Template::Program& program, const AlertTemplateData& data, const Value& dot, std::string& out) {
  const std::size_t before = out.size();
  auto result = Runner(program, data, dot, out).execute();
  if (!result.ok()) out.resize(before);
  return result;
}

const std::vector<std::string>& Template::labels_read() const { return program_->labels_read; }
bool Template::uses_all_labels() const { return program_->uses_all_labels; }

}  // namespace skald::logql
