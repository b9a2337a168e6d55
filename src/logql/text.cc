#include "logql/text.h"

#include <cmath>
#include <cstdio>

#include "skald/logql/units.h"
#include "skald/model/labels.h"
#include "skald/model/time.h"

namespace skald::logql {
namespace {

std::string quote(std::string_view text) {
  std::string out;
  model::append_go_quoted(out, text);
  return out;
}

const char* line_filter_name(LineFilterOp op) {
  switch (op) {
    case LineFilterOp::kContains: return "|=";
    case LineFilterOp::kNotContains: return "!=";
    case LineFilterOp::kRegex: return "|~";
    case LineFilterOp::kNotRegex: return "!~";
    case LineFilterOp::kPattern: return "|>";
    case LineFilterOp::kNotPattern: return "!>";
  }
  return "";
}

const char* compare_name(CompareOp op) {
  switch (op) {
    case CompareOp::kEqual: return "==";
    case CompareOp::kNotEqual: return "!=";
    case CompareOp::kGreater: return ">";
    case CompareOp::kGreaterEqual: return ">=";
    case CompareOp::kLess: return "<";
    case CompareOp::kLessEqual: return "<=";
  }
  return "";
}

bool negated(LineFilterOp op) {
  return op == LineFilterOp::kNotContains || op == LineFilterOp::kNotRegex || op == LineFilterOp::kNotPattern;
}

std::string line_filter_text(const LineFilterStage& stage, Dialect dialect) {
  std::string out = line_filter_name(stage.op);
  const std::string joint =
      negated(stage.op) && dialect == Dialect::kLoki ? std::string(" ") + line_filter_name(stage.op) : " or";
  for (std::size_t i = 0; i < stage.terms.size(); ++i) {
    if (i > 0) out += joint;
    out += stage.terms[i].ip ? " ip(" + quote(stage.terms[i].text) + ")" : " " + quote(stage.terms[i].text);
  }
  return out;
}

std::string extractions_text(const std::vector<LabelExtraction>& list, Dialect dialect) {
  std::string out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    out += i == 0 ? " " : ",";
    out += list[i].label;
    if (list[i].written || dialect == Dialect::kLoki) out += "=" + quote(list[i].expression);
  }
  return out;
}

std::string items_text(const std::vector<DropKeepItem>& items) {
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ",";
    out += items[i].matcher ? items[i].matcher->to_string() : items[i].name;
  }
  return out;
}

std::string bytes_text(std::uint64_t bytes, Dialect dialect) {
  std::string rounded = format_humanized_bytes(bytes);
  if (dialect == Dialect::kLoki || parse_query_bytes(rounded) == bytes) return rounded;
  // The largest unit that loses nothing.
  for (const auto& [unit, factor] : {std::pair<const char*, std::uint64_t>{"GiB", 1u << 30}, {"GB", 1'000'000'000},
                                     {"MiB", 1u << 20}, {"MB", 1'000'000}, {"KiB", 1024}, {"kB", 1000}}) {
    if (bytes % factor == 0 && parse_query_bytes(std::to_string(bytes / factor) + unit) == bytes)
      return std::to_string(bytes / factor) + unit;
  }
  return std::to_string(bytes) + "B";
}

// A number that the grammar reads back as the same literal; what it has no spelling for becomes a sum that folds to it.
std::string literal_text(double value, Dialect dialect) {
  if (dialect == Dialect::kLoki) return format_go_float_g(value);
  if (std::isnan(value)) return "(0 / 0)";
  if (std::isinf(value)) return value > 0 ? "(1e308 * 10)" : "(-1e308 * 10)";
  if (value == 0 && std::signbit(value)) return "(0 * -1)";
  return format_go_float_g(value);
}

std::string join(const std::vector<std::string>& parts, const char* separator) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += separator;
    out += parts[i];
  }
  return out;
}

void append_filter(std::string& out, const LabelFilter& filter, Dialect dialect) {
  switch (filter.kind) {
    case LabelFilter::Kind::kString: out += filter.matcher->to_string(); return;
    case LabelFilter::Kind::kIp:
      out += filter.label;
      out += filter.op == CompareOp::kEqual ? "=" : "!=";
      out += "ip(" + quote(filter.text) + ")";
      return;
    case LabelFilter::Kind::kNumber:
      out += filter.label + compare_name(filter.op);
      // -0 alone would read as a duration.
      out += filter.number == 0 && std::signbit(filter.number) ? "-0.0" : format_go_float_f(filter.number);
      return;
    case LabelFilter::Kind::kDuration:
      out += filter.label + compare_name(filter.op) + model::format_go_duration(filter.duration_ns);
      return;
    case LabelFilter::Kind::kBytes:
      out += filter.label + compare_name(filter.op) + bytes_text(filter.bytes, dialect);
      return;
    case LabelFilter::Kind::kAnd:
    case LabelFilter::Kind::kOr: break;
  }
  out += "( ";
  append_filter(out, *filter.left, dialect);
  if (filter.kind == LabelFilter::Kind::kOr) out += " or ";
  else out += dialect == Dialect::kLoki || filter.comma ? " , " : " and ";
  append_filter(out, *filter.right, dialect);
  out += " )";
}

}  // namespace

std::string filter_text(const LabelFilter& filter, Dialect dialect) {
  std::string out;
  append_filter(out, filter, dialect);
  return out;
}

std::string stage_text(const Stage& any, Dialect dialect) {
  return std::visit(
      [&](const auto& stage) -> std::string {
        using S = std::decay_t<decltype(stage)>;
        if constexpr (std::is_same_v<S, LineFilterStage>) {
          return line_filter_text(stage, dialect);
        } else if constexpr (std::is_same_v<S, JsonStage>) {
          return "| json" + extractions_text(stage.extractions, dialect);
        } else if constexpr (std::is_same_v<S, LogfmtStage>) {
          return std::string("| logfmt") + (stage.strict ? " --strict" : "") +
                 (stage.keep_empty ? " --keep-empty" : "") + extractions_text(stage.extractions, dialect);
        } else if constexpr (std::is_same_v<S, RegexpStage>) {
          return "| regexp " + quote(stage.regex);
        } else if constexpr (std::is_same_v<S, PatternStage>) {
          return "| pattern " + quote(stage.pattern);
        } else if constexpr (std::is_same_v<S, UnpackStage>) {
          return "| unpack";
        } else if constexpr (std::is_same_v<S, DecolorizeStage>) {
          return "| decolorize";
        } else if constexpr (std::is_same_v<S, LabelFilterStage>) {
          return "| " + filter_text(*stage.filter, dialect);
        } else if constexpr (std::is_same_v<S, LineFormatStage>) {
          return "| line_format " + quote(stage.text);
        } else if constexpr (std::is_same_v<S, LabelFormatStage>) {
          std::string out = "| label_format ";
          for (std::size_t i = 0; i < stage.formats.size(); ++i) {
            const LabelFormat& format = stage.formats[i];
            out += (i > 0 ? "," : "") + format.name + "=" + (format.rename ? format.value : quote(format.value));
          }
          return out;
        } else if constexpr (std::is_same_v<S, DropStage>) {
          return "| drop " + items_text(stage.items);
        } else {
          return "| keep " + items_text(stage.items);
        }
      },
      any);
}

std::string matchers_text(const std::vector<model::Matcher>& matchers) {
  std::string out = "{";
  for (std::size_t i = 0; i < matchers.size(); ++i) {
    if (i > 0) out += ", ";
    out += matchers[i].to_string();
  }
  return out + "}";
}

std::string selector_text(const LogSelector& selector, Dialect dialect) {
  std::string out = matchers_text(selector.matchers);
  for (const Stage& stage : selector.stages) out += " " + stage_text(stage, dialect);
  return out;
}

std::string unwrap_text(const Unwrap& unwrap, Dialect dialect) {
  std::string out = "| unwrap ";
  out += unwrap.conversion_name.empty() ? unwrap.label : unwrap.conversion_name + "(" + unwrap.label + ")";
  for (const auto& filter : unwrap.post_filters) out += " | " + filter_text(*filter, dialect);
  return out;
}

std::string range_text(const LogRange& range, Dialect dialect) {
  std::string out = selector_text(range.selector, dialect);
  if (range.unwrap) out += " " + unwrap_text(*range.unwrap, dialect);
  out += "[" + model::format_prom_duration(range.range_ns) + "]";
  if (range.offset_ns != 0) out += " offset " + model::format_go_duration(range.offset_ns);
  return out;
}

std::string grouping_text(const Grouping& grouping, const char* separator) {
  return (grouping.without ? " without (" : " by (") + join(grouping.labels, separator) + ")";
}

std::string operator_text(const BinaryExpr& binary, Dialect dialect) {
  std::string out = binary_op_name(binary.op);
  if (binary.return_bool) out += " bool";
  const VectorMatching& matching = binary.matching;
  const bool grouped = matching.card != VectorMatching::Card::kOneToOne;
  if (!matching.given || (dialect == Dialect::kLoki && !matching.on && matching.labels.empty() && !grouped)) return out;
  out += matching.on ? " on (" : " ignoring (";
  out += join(matching.labels, ",") + ")";
  if (!grouped) return out;
  out += matching.card == VectorMatching::Card::kManyToOne ? " group_left" : " group_right";
  // Without a list, a parenthesis behind the word would be taken for one.
  const bool parenthesis_follows = std::holds_alternative<BinaryExpr>(binary.right->node);
  if (!matching.include.empty() || parenthesis_follows || dialect == Dialect::kExact) out += " (" + join(matching.include, ",") + ")";
  return out;
}

namespace {
int strength(BinaryOp op) {
  switch (op) {
    case BinaryOp::kOr: return 1;
    case BinaryOp::kAnd:
    case BinaryOp::kUnless: return 2;
    case BinaryOp::kAdd:
    case BinaryOp::kSub: return 4;
    case BinaryOp::kMul:
    case BinaryOp::kDiv:
    case BinaryOp::kMod: return 5;
    case BinaryOp::kPow: return 6;
    default: return 3;  // comparisons
  }
}
}  // namespace

bool needs_parentheses(const BinaryExpr& outer, const MetricExpr& inner, bool on_the_right) {
  const auto* binary = std::get_if<BinaryExpr>(&inner.node);
  if (binary == nullptr) return false;
  const int mine = strength(binary->op), around = strength(outer.op);
  if (mine != around) return mine < around;
  return on_the_right != (outer.op == BinaryOp::kPow);
}

std::string metric_text(const MetricExpr& metric, Dialect dialect) {
  return std::visit(
      [&](const auto& node) -> std::string {
        using Node = std::decay_t<decltype(node)>;
        if constexpr (std::is_same_v<Node, RangeAggregation>) {
          std::string out = std::string(range_op_name(node.op)) + "(";
          if (node.parameter) out += format_go_float_f(*node.parameter) + ",";
          out += range_text(node.range, dialect) + ")";
          if (node.grouping) out += grouping_text(*node.grouping, ",");
          return out;
        } else if constexpr (std::is_same_v<Node, VectorAggregation>) {
          std::string out = vector_op_name(node.op);
          if (node.grouping) out += grouping_text(*node.grouping, ",");
          out += "(";
          if (node.parameter) out += std::to_string(*node.parameter) + ",";
          return out + metric_text(*node.inner, dialect) + ")";
        } else if constexpr (std::is_same_v<Node, BinaryExpr>) {
          return "(" + metric_text(*node.left, dialect) + " " + operator_text(node, dialect) + " " +
                 metric_text(*node.right, dialect) + ")";
        } else if constexpr (std::is_same_v<Node, LabelReplace>) {
          return "label_replace(" + metric_text(*node.inner, dialect) + "," + quote(node.destination) + "," +
                 quote(node.replacement) + "," + quote(node.source) + "," + quote(node.regex) + ")";
        } else if constexpr (std::is_same_v<Node, Literal>) {
          return literal_text(node.value, dialect);
        } else {
          static_assert(std::is_same_v<Node, VectorLiteral>);
          char fixed[400];
          std::snprintf(fixed, sizeof fixed, "%f", node.value);
          double back = 0;
          if (dialect == Dialect::kLoki || (parse_go_float(fixed, back) == FloatStatus::kOk && back == node.value))
            return std::string("vector(") + fixed + ")";
          return "vector(" + format_go_float_g(node.value) + ")";
        }
      },
      metric.node);
}

}  // namespace skald::logql
