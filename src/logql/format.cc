#include "skald/logql/format.h"

#include "logql/text.h"
#include "skald/logql/units.h"
#include "skald/model/labels.h"
#include "skald/model/time.h"

namespace skald::logql {
namespace {

// What fits on a line of this many characters stays on it.
constexpr std::size_t kLineMax = 100;

std::string indent(int level) { return std::string(static_cast<std::size_t>(level) * 2, ' '); }

std::string pretty_selector(const LogSelector& selector, int level) {
  const std::string line = selector_text(selector, Dialect::kLoki);
  if (line.size() <= kLineMax || selector.stages.empty()) return indent(level) + line;
  std::string out = indent(level) + matchers_text(selector.matchers);
  for (const Stage& stage : selector.stages) out += "\n" + indent(level + 1) + stage_text(stage, Dialect::kLoki);
  return out;
}

std::string pretty_range(const LogRange& range, int level) {
  std::string out = pretty_selector(range.selector, level);
  if (range.unwrap) out += "\n" + indent(level + 1) + unwrap_text(*range.unwrap, Dialect::kLoki);
  out += " [" + model::format_prom_duration(range.range_ns) + "]";
  if (range.offset_ns > 0) out += " offset " + model::format_prom_duration(range.offset_ns);
  else if (range.offset_ns < 0) out += " offset " + model::format_go_duration(range.offset_ns);
  return out;
}

std::string pretty_metric(const MetricExpr& metric, int level) {
  const std::string line = metric_text(metric, Dialect::kLoki);
  if (line.size() <= kLineMax) return indent(level) + line;
  // Arguments of a call, one per line.
  const auto call = [&](std::string head, const std::vector<std::string>& arguments) {
    std::string out = indent(level) + std::move(head) + "(\n";
    for (std::size_t i = 0; i < arguments.size(); ++i) out += arguments[i] + (i + 1 < arguments.size() ? ",\n" : "\n");
    return out + indent(level) + ")";
  };
  const auto quoted = [&](std::string_view text) {
    std::string out = indent(level + 1);
    model::append_go_quoted(out, text);
    return out;
  };
  return std::visit(
      [&](const auto& node) -> std::string {
        using Node = std::decay_t<decltype(node)>;
        if constexpr (std::is_same_v<Node, RangeAggregation>) {
          std::vector<std::string> arguments;
          if (node.parameter) arguments.push_back(indent(level + 1) + format_go_float_g(*node.parameter));
          arguments.push_back(pretty_range(node.range, level + 1));
          std::string out = call(range_op_name(node.op), arguments);
          if (node.grouping) out += grouping_text(*node.grouping, ", ");
          return out;
        } else if constexpr (std::is_same_v<Node, VectorAggregation>) {
          std::vector<std::string> arguments;
          if (node.parameter) arguments.push_back(indent(level + 1) + std::to_string(*node.parameter));
          arguments.push_back(pretty_metric(*node.inner, level + 1));
          std::string head = vector_op_name(node.op);
          if (node.grouping) head += grouping_text(*node.grouping, ", ");
          return call(std::move(head), arguments);
        } else if constexpr (std::is_same_v<Node, BinaryExpr>) {
          const auto leg = [&](const MetricExpr& side, bool right) {
            // A leg that fits on its line brings its own parentheses.
            const bool split = metric_text(side, Dialect::kLoki).size() > kLineMax;
            if (!split || !needs_parentheses(node, side, right)) return pretty_metric(side, level + 1);
            return indent(level + 1) + "(\n" + pretty_metric(side, level + 2) + "\n" + indent(level + 1) + ")";
          };
          return leg(*node.left, false) + "\n" + indent(level) + operator_text(node, Dialect::kLoki) + "\n" +
                 leg(*node.right, true);
        } else if constexpr (std::is_same_v<Node, LabelReplace>) {
          return call("label_replace", {pretty_metric(*node.inner, level + 1), quoted(node.destination),
                                        quoted(node.replacement), quoted(node.source), quoted(node.regex)});
        } else {
          return indent(level) + line;
        }
      },
      metric.node);
}

}  // namespace

std::string format_pretty(const Query& query) {
  return query.is_log() ? pretty_selector(query.log(), 0) : pretty_metric(query.metric(), 0);
}

std::string format_line(const Query& query) {
  return query.is_log() ? selector_text(query.log(), Dialect::kExact) : metric_text(query.metric(), Dialect::kExact);
}

}  // namespace skald::logql
