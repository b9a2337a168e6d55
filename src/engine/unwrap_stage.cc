#include "engine/unwrap_stage.h"

#include "skald/logql/units.h"

namespace skald::engine {
namespace {

double convert(std::string_view text, logql::UnwrapConversion conversion, std::string& error) {
  switch (conversion) {
    case logql::UnwrapConversion::kNone: {
      double value = 0;
      const auto status = logql::parse_go_float(text, value);
      if (status == logql::FloatStatus::kOk) return value;
      error = logql::go_float_error(text, status);
      return 0;
    }
    case logql::UnwrapConversion::kDuration: {
      const auto duration = logql::parse_go_duration_text(text);
      if (duration.ok()) return static_cast<double>(duration.value()) / 1e9;
      error = duration.error().message();
      return 0;
    }
    case logql::UnwrapConversion::kBytes: {
      const auto bytes = logql::parse_humanized_bytes(text);
      if (bytes.ok()) return static_cast<double>(bytes.value());
      error = bytes.error().message();
      return 0;
    }
  }
  return 0;
}

}  // namespace

Result<std::unique_ptr<const UnwrapConfig>> compile_unwrap(const logql::Unwrap& unwrap) {
  auto made = std::make_unique<UnwrapConfig>();
  made->label = unwrap.label;
  made->conversion = unwrap.conversion;
  for (const auto& filter : unwrap.post_filters) {
    SKALD_TRY(std::unique_ptr<FilterNode> node, compile_filter(*filter));
    made->post_filters.push_back(std::move(node));
  }
  return std::unique_ptr<const UnwrapConfig>(std::move(made));
}

UnwrapRunner::UnwrapRunner(const UnwrapConfig& config, LabelTable& labels)
    : config_(config), labels_(labels), slot_(&labels.slot(config.label)) {
  for (const auto& node : config.post_filters) filters_.push_back(std::make_unique<FilterRunner>(*node, labels));
}

void UnwrapRunner::run(Batch& batch, std::vector<double>& values) {
  // Values go by frame row first, since the filters behind may drop rows again.
  std::vector<double>& by_row = values;
  by_row.assign(batch.rows(), 0);
  std::string error;
  std::erase_if(batch.selection, [&](std::uint32_t row) {
    std::string_view text;
    if (!labels_.get(*slot_, row, text) || text.empty()) return true;   // no sample, no error
    error.clear();
    by_row[row] = convert(text, config_.conversion, error);
    if (!error.empty()) {
      by_row[row] = 0;
      batch.set_error(row, RowError::kSample, batch.arena.copy(error));
    }
    return false;
  });
  for (const auto& filter : filters_) filter->apply(batch, batch.selection);
  for (std::size_t i = 0; i < batch.selection.size(); ++i) by_row[i] = by_row[batch.selection[i]];   // row >= i
  by_row.resize(batch.selection.size());
}

}  // namespace skald::engine
