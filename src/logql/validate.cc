#include "logql/validate.h"

#include <set>

#include "logql/lexer.h"
#include "logql/text.h"
#include "skald/logql/ip_filter.h"
#include "skald/logql/json_path.h"
#include "skald/logql/pattern.h"
#include "skald/logql/regex.h"
#include "skald/logql/template.h"

namespace skald::logql {
namespace {

Error unplaced(std::string_view message) { return parse_error(0, 0, message); }
Error cause(std::string message) { return Error(ErrorCode::kInvalidArgument, std::move(message)); }

Error no_matchers() {
  return unplaced(
      "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For "
      "instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will");
}

Result<void> check(const LineFilterStage& stage) {
  for (const LineFilterTerm& term : stage.terms) {
    if (term.ip) {
      if (stage.op != LineFilterOp::kContains && stage.op != LineFilterOp::kNotContains)
        return cause("ip: invalid operation");
      SKALD_TRY_VOID(IpFilter::parse(term.text));
      continue;
    }
    switch (stage.op) {
      case LineFilterOp::kRegex:
      case LineFilterOp::kNotRegex: SKALD_TRY_VOID(compile_regex(term.text)); break;
      case LineFilterOp::kPattern:
      case LineFilterOp::kNotPattern: SKALD_TRY_VOID(parse_line_pattern(term.text)); break;
      case LineFilterOp::kContains:
      case LineFilterOp::kNotContains: break;
    }
  }
  return {};
}

Result<void> check(const JsonStage& stage) {
  for (const LabelExtraction& extraction : stage.extractions) SKALD_TRY_VOID(parse_json_path(extraction.expression));
  return {};
}

Result<void> check(const LogfmtStage& stage) {
  for (const LabelExtraction& extraction : stage.extractions) SKALD_TRY_VOID(parse_logfmt_key(extraction.expression));
  return {};
}

Result<void> check_filter(const LabelFilter& filter) {
  if (filter.left) SKALD_TRY_VOID(check_filter(*filter.left));
  if (filter.right) SKALD_TRY_VOID(check_filter(*filter.right));
  if (filter.kind == LabelFilter::Kind::kIp) SKALD_TRY_VOID(IpFilter::parse(filter.text));
  return {};
}
Result<void> check(const LabelFilterStage& stage) { return check_filter(*stage.filter); }

Result<void> check(const LineFormatStage& stage) {
  if (auto parsed = Template::parse(stage.text); !parsed.ok())
    return cause("invalid line template: " + parsed.error().message());
  return {};
}

Result<void> check(const LabelFormatStage& stage) {
  std::set<std::string_view> names;
  for (const LabelFormat& format : stage.formats) {
    if (format.name == "__error__") return cause("__error__ cannot be formatted");
    if (!names.insert(format.name).second)
      return cause("multiple label name '" + format.name + "' not allowed in a single format operation");
  }
  for (const LabelFormat& format : stage.formats) {
    if (format.rename) continue;
    if (auto parsed = Template::parse(format.value, "label"); !parsed.ok())
      return cause("invalid template for label '" + format.name + "': " + parsed.error().message());
  }
  return {};
}

// Checked while parsing, or nothing to check.
Result<void> check(const RegexpStage&) { return {}; }
Result<void> check(const PatternStage&) { return {}; }
Result<void> check(const UnpackStage&) { return {}; }
Result<void> check(const DecolorizeStage&) { return {}; }
Result<void> check(const DropStage&) { return {}; }
Result<void> check(const KeepStage&) { return {}; }


Error in_stage(const std::string& text, const Error& error) {
  return unplaced("stage '" + text + "' : " + error.message());
}

Result<void> validate_stages(const LogSelector& selector) {
  for (const Stage& stage : selector.stages) {
    if (auto result = std::visit([](const auto& s) { return check(s); }, stage); !result.ok())
      return in_stage(stage_text(stage, Dialect::kLoki), result.error());
  }
  return {};
}

// Some aggregations look for the selector below them and complain when there is a bare number instead.
bool needs_selector(VectorOp op) { return op != VectorOp::kTopk && op != VectorOp::kBottomk; }

Result<void> validate_metric(const MetricExpr& metric) {
  if (const auto* range = std::get_if<RangeAggregation>(&metric.node))
    return validate_matchers(range->range.selector.matchers);
  if (const auto* vector = std::get_if<VectorAggregation>(&metric.node)) {
    if (std::holds_alternative<Literal>(vector->inner->node) && needs_selector(vector->op)) return no_matchers();
    return validate_metric(*vector->inner);
  }
  if (const auto* replace = std::get_if<LabelReplace>(&metric.node)) return validate_metric(*replace->inner);
  if (const auto* binary = std::get_if<BinaryExpr>(&metric.node)) {
    SKALD_TRY_VOID(validate_metric(*binary->left));
    return validate_metric(*binary->right);
  }
  return {};
}

Result<void> validate_unwraps(const MetricExpr& metric) {
  if (const auto* range = std::get_if<RangeAggregation>(&metric.node)) {
    if (!range->range.unwrap) return {};
    for (const auto& filter : range->range.unwrap->post_filters) {
      if (auto result = check_filter(*filter); !result.ok())
        return in_stage("| " + filter_text(*filter, Dialect::kLoki), result.error());
    }
  } else if (const auto* vector = std::get_if<VectorAggregation>(&metric.node)) {
    return validate_unwraps(*vector->inner);
  } else if (const auto* replace = std::get_if<LabelReplace>(&metric.node)) {
    return validate_unwraps(*replace->inner);
  } else if (const auto* binary = std::get_if<BinaryExpr>(&metric.node)) {
    SKALD_TRY_VOID(validate_unwraps(*binary->left));
    return validate_unwraps(*binary->right);
  }
  return {};
}

}  // namespace

Result<void> validate_matchers(const std::vector<model::Matcher>& matchers) {
  for (const model::Matcher& matcher : matchers) {
    const bool positive = matcher.type() == model::MatchType::kEqual || matcher.type() == model::MatchType::kRegex;
    if (positive && !matcher.matches_empty()) return {};
  }
  return no_matchers();
}

Result<void> validate(const Query& query) {
  if (query.is_log()) SKALD_TRY_VOID(validate_matchers(query.log().matchers));
  else SKALD_TRY_VOID(validate_metric(query.metric()));
  for (const LogSelector* selector : selectors_of(query)) SKALD_TRY_VOID(validate_stages(*selector));
  if (!query.is_log()) SKALD_TRY_VOID(validate_unwraps(query.metric()));
  return {};
}

}  // namespace skald::logql
