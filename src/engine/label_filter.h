// `| label = "x"`, `| label > 5`, ip(), joined by and/or (reference logql.md §7).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "skald/base/result.h"
#include "skald/logql/ast.h"
#include "skald/logql/ip_filter.h"
#include "engine/stage.h"

namespace skald::engine {

// Immutable compiled form.
struct FilterNode {
  logql::LabelFilter::Kind kind = logql::LabelFilter::Kind::kString;
  std::string label;
  std::optional<model::Matcher> matcher;    // kString
  logql::CompareOp op = logql::CompareOp::kEqual;
  double number = 0;
  std::int64_t duration_ns = 0;
  std::uint64_t bytes = 0;
  std::optional<logql::IpFilter> ip;
  std::unique_ptr<FilterNode> left, right;
};
Result<std::unique_ptr<FilterNode>> compile_filter(const logql::LabelFilter& filter);
void collect_labels(const FilterNode& node, std::vector<std::string>& labels);

// False when the stream's own labels already decide that no row passes. Only for filters in front of which no stage
// changes or removes labels.
bool stream_may_pass(const FilterNode& node, const model::Labels& labels);

// Per-runner evaluator.
class FilterRunner {
 public:
  FilterRunner(const FilterNode& node, LabelTable& labels);
  // Keeps the rows of `rows` that pass; conversion failures set the row's error and pass.
  void apply(Batch& batch, RowList& rows);

 private:
  void apply_string(Batch& batch, RowList& rows);
  void apply_converted(Batch& batch, RowList& rows);
  void apply_or(Batch& batch, RowList& rows);

  const FilterNode& node_;
  LabelTable& labels_;
  LabelSlot* slot_ = nullptr;
  std::unique_ptr<FilterRunner> left_, right_;
  RowList scratch_;
};

Result<StagePtr> compile_label_filter(const logql::LabelFilterStage& stage);
// The tree of a stage made by compile_label_filter(); nullptr for others.
const FilterNode* filter_node_of(const CompiledStage& stage);

}  // namespace skald::engine
