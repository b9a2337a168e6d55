// Pipeline::compile: stages in the order they run, and what they need.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "skald/engine/pipeline.h"
#include "engine/filter.h"
#include "engine/label_filter.h"
#include "engine/stage.h"
#include "engine/unwrap_stage.h"

namespace skald::engine {

// Everything compiled; immutable.
struct PipelinePlan {
  std::vector<std::unique_ptr<const LineFilter>> front;   // line filters over the block's own text, cheapest first
  std::vector<StagePtr> stages;
  std::vector<const FilterNode*> stream_filters;          // of `stages`; may decide a whole stream
  std::unique_ptr<const UnwrapConfig> unwrap;
  std::optional<std::vector<std::string>> needed;         // labels somebody reads; nullopt: all
  bool preserve_parser_errors = false;
  bool reads_line = false;
  chunk::ColumnMask columns = chunk::kTimestamps;
};

Result<std::shared_ptr<const PipelinePlan>> make_plan(const std::vector<logql::Stage>& stages, const PipelineOptions& options);

}  // namespace skald::engine
