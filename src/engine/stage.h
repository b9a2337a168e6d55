// A stage of a compiled pipeline, split like the pipeline itself: the immutable half is shared, the runner half belongs to
// one worker. One virtual call per stage and run, none per row.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/batch.h"

namespace skald::engine {

class StageRunner {
 public:
  virtual ~StageRunner() = default;
  // Works on the rows of batch.selection and narrows it.
  virtual void run(Batch& batch) = 0;
};

// What the pipeline's planner must know of a stage.
struct StageTraits {
  std::vector<std::string> reads;     // labels whose values it looks at
  bool reads_all_labels = false;
  bool reads_line = false;
  bool writes_line = false;
  bool changes_labels = false;        // other than adding parsed ones (label_format, drop, keep)
  bool parser = false;                // adds labels; may be left out when nothing reads any
};

class CompiledStage {
 public:
  virtual ~CompiledStage() = default;
  virtual const StageTraits& traits() const = 0;
  // `labels` outlives the runner.
  virtual std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const = 0;
};
using StagePtr = std::unique_ptr<const CompiledStage>;

}  // namespace skald::engine
