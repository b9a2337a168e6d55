// `| unwrap label`, the last stage: turns a label into the row's value.
#pragma once

#include <memory>
#include <vector>

#include "skald/base/result.h"
#include "skald/logql/ast.h"
#include "engine/label_filter.h"

namespace skald::engine {

struct UnwrapConfig {
  std::string label;
  logql::UnwrapConversion conversion = logql::UnwrapConversion::kNone;
  std::vector<std::unique_ptr<FilterNode>> post_filters;
};
Result<std::unique_ptr<const UnwrapConfig>> compile_unwrap(const logql::Unwrap& unwrap);

class UnwrapRunner {
 public:
  UnwrapRunner(const UnwrapConfig& config, LabelTable& labels);
  // Narrows the selection; `values` by position in it.
  void run(Batch& batch, std::vector<double>& values);

 private:
  const UnwrapConfig& config_;
  LabelTable& labels_;
  LabelSlot* slot_;
  std::vector<std::unique_ptr<FilterRunner>> filters_;
  RowList kept_;
};

}  // namespace skald::engine
