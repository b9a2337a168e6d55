#include "engine/pipeline_plan.h"

#include <algorithm>

#include "engine/drop_keep.h"
#include "engine/format_stage.h"
#include "engine/json_stage.h"
#include "engine/logfmt_stage.h"
#include "engine/text_stages.h"

namespace skald::engine {
namespace {

template <class... F>
struct Overloaded : F... { using F::operator()...; };
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

// Line filters run before the other stages of their segment; a segment ends at a label filter, line_format or unpack.
// (So `| decolorize |= "x"` looks at the coloured line, as Loki does.)
std::vector<const logql::Stage*> hoist_line_filters(const std::vector<logql::Stage>& stages) {
  std::vector<const logql::Stage*> ordered;
  std::size_t segment = 0;   // where line filters of the current segment go
  for (const logql::Stage& stage : stages) {
    if (std::holds_alternative<logql::LineFilterStage>(stage)) {
      ordered.insert(ordered.begin() + static_cast<std::ptrdiff_t>(segment), &stage);
      ++segment;
      continue;
    }
    ordered.push_back(&stage);
    if (std::holds_alternative<logql::LabelFilterStage>(stage) || std::holds_alternative<logql::LineFormatStage>(stage) ||
        std::holds_alternative<logql::UnpackStage>(stage)) {
      segment = ordered.size();
    }
  }
  return ordered;
}

Result<StagePtr> compile_stage(const logql::Stage& stage) {
  return std::visit(Overloaded{
                        [](const logql::LineFilterStage& s) -> Result<StagePtr> {
                          SKALD_TRY(std::unique_ptr<const LineFilter> filter, LineFilter::make(s));
                          return StagePtr(std::move(filter));
                        },
                        [](const logql::JsonStage& s) { return compile_json(s); },
                        [](const logql::LogfmtStage& s) { return compile_logfmt(s); },
                        [](const logql::RegexpStage& s) { return compile_regexp(s); },
                        [](const logql::PatternStage& s) { return compile_pattern(s); },
                        [](const logql::UnpackStage&) -> Result<StagePtr> { return compile_unpack(); },
                        [](const logql::DecolorizeStage&) -> Result<StagePtr> { return compile_decolorize(); },
                        [](const logql::LabelFilterStage& s) { return compile_label_filter(s); },
                        [](const logql::LineFormatStage& s) { return compile_line_format(s); },
                        [](const logql::LabelFormatStage& s) { return compile_label_format(s); },
                        [](const logql::DropStage& s) -> Result<StagePtr> { return compile_drop(s); },
                        [](const logql::KeepStage& s) -> Result<StagePtr> { return compile_keep(s); },
                    },
                    stage);
}

void find_needed_labels(PipelinePlan& plan, const PipelineOptions& options) {
  if (!options.needed_labels) return;
  std::vector<std::string> needed = *options.needed_labels;
  for (const StagePtr& stage : plan.stages) {
    if (stage->traits().reads_all_labels) return;
    needed.insert(needed.end(), stage->traits().reads.begin(), stage->traits().reads.end());
  }
  if (plan.unwrap) {
    needed.push_back(plan.unwrap->label);
    for (const auto& filter : plan.unwrap->post_filters) collect_labels(*filter, needed);
  }
  std::sort(needed.begin(), needed.end());
  needed.erase(std::unique(needed.begin(), needed.end()), needed.end());
  plan.preserve_parser_errors = std::binary_search(needed.begin(), needed.end(), std::string(kErrorLabel));
  plan.needed = std::move(needed);
}

// Stages without an effect anybody can see: parsers when no label is read (a malformed line then raises no error, as
// dashboards counting mixed streams expect), and rewritten lines nobody looks at.
void drop_useless_stages(PipelinePlan& plan, const PipelineOptions& options) {
  if (plan.needed && plan.needed->empty()) {
    std::erase_if(plan.stages, [](const StagePtr& stage) { return stage->traits().parser; });
  }
  bool line_read = options.needs_line;
  for (std::size_t i = plan.stages.size(); i-- > 0;) {
    const StageTraits& traits = plan.stages[i]->traits();
    if (traits.writes_line && !traits.parser && !line_read) {
      plan.stages.erase(plan.stages.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    line_read |= traits.reads_line;
  }
}

void find_columns(PipelinePlan& plan, const PipelineOptions& options) {
  plan.reads_line = options.needs_line || !plan.front.empty();
  for (const StagePtr& stage : plan.stages) plan.reads_line |= stage->traits().reads_line;
  chunk::ColumnMask mask = chunk::kTimestamps;
  if (plan.reads_line) mask = mask | chunk::kLines | chunk::kLineLengths;
  const bool labels = !plan.needed || std::any_of(plan.needed->begin(), plan.needed->end(), [](const std::string& name) {
    return name != kErrorLabel && name != kErrorDetailsLabel && name != kPreserveErrorLabel;
  });
  // A level that is none of the known words travels as ordinary metadata, so the two go together.
  if (labels) mask = mask | chunk::kMetadata | chunk::kLevels;
  plan.columns = mask;
}

}  // namespace

Result<std::shared_ptr<const PipelinePlan>> make_plan(const std::vector<logql::Stage>& stages, const PipelineOptions& options) {
  auto plan = std::make_shared<PipelinePlan>();
  bool in_front = true;
  for (const logql::Stage* const stage : hoist_line_filters(stages)) {
    const auto* const line_filter = std::get_if<logql::LineFilterStage>(stage);
    if (line_filter == nullptr) in_front = false;
    if (in_front) {
      SKALD_TRY(std::unique_ptr<const LineFilter> filter, LineFilter::make(*line_filter));
      if (!filter->keeps_all()) plan->front.push_back(std::move(filter));
      continue;
    }
    SKALD_TRY(StagePtr compiled, compile_stage(*stage));
    plan->stages.push_back(std::move(compiled));
  }
  std::stable_sort(plan->front.begin(), plan->front.end(), [](const auto& a, const auto& b) { return a->cost() < b->cost(); });
  if (options.unwrap) {
    SKALD_TRY(plan->unwrap, compile_unwrap(*options.unwrap));
  }
  find_needed_labels(*plan, options);
  drop_useless_stages(*plan, options);
  for (const StagePtr& stage : plan->stages) {
    if (stage->traits().changes_labels) break;
    if (const FilterNode* const node = filter_node_of(*stage)) plan->stream_filters.push_back(node);
  }
  find_columns(*plan, options);
  return std::shared_ptr<const PipelinePlan>(std::move(plan));
}

}  // namespace skald::engine
