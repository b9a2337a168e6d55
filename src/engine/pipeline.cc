#include "skald/engine/pipeline.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "engine/frame.h"
#include "engine/pipeline_plan.h"

namespace skald::engine {
namespace {

// Names learned from lines and metadata are kept between runs; beyond this many everything is learned anew.
constexpr std::size_t kMaxSlots = 50'000;

class Runner final : public PipelineRunner {
 public:
  explicit Runner(std::shared_ptr<const PipelinePlan> plan) : plan_(std::move(plan)) { restart(); }

  bool begin_stream(const model::InternedLabels& labels) override {
    stream_ = &labels;
    state_->labels.begin_stream(labels.labels);
    return std::all_of(plan_->stream_filters.begin(), plan_->stream_filters.end(),
                       [&](const FilterNode* node) { return stream_may_pass(*node, labels.labels); });
  }

  chunk::ColumnMask stream_columns() const override {
    if (!plan_->needed || stream_ == nullptr) return plan_->columns;
    // Labels of the stream hide metadata and parsed labels of the same name: when it has all that are read, metadata
    // has no say.
    for (const std::string& name : *plan_->needed) {
      if (!stream_->labels.has(name) && name != kErrorLabel) return plan_->columns;
    }
    return static_cast<chunk::ColumnMask>(plan_->columns & ~(chunk::kMetadata | chunk::kLevels));
  }

  bool begin_block(std::shared_ptr<const chunk::Columns> columns) override {
    end_block();
    if (plan_->front.empty() || columns->rows == 0 || columns->line_offsets.size() <= columns->rows) return false;
    alive_.assign(columns->rows, 1);
    for (const auto& filter : plan_->front) filter->apply(*columns, 0, columns->rows, alive_, scratch_);
    for (std::uint32_t row = 0; row < columns->rows; ++row) {
      if (alive_[row] != 0) block_hits_.push_back(row);
    }
    block_ = std::move(columns);
    return plan_->stream_filters.empty();
  }

  void end_block() override {
    block_.reset();
    block_hits_.clear();
  }

  bool any_row(std::uint32_t first, std::uint32_t last) const override {
    const auto hit = std::lower_bound(block_hits_.begin(), block_hits_.end(), first);
    return hit != block_hits_.end() && *hit < last;
  }

  Result<Frame*> run(const chunk::Columns& columns, std::uint32_t first, std::uint32_t last, std::int64_t start_ns,
                     std::int64_t end_ns, std::span<const std::uint32_t> skip) override {
    if (first > last || last > columns.timestamps_ns.size()) return Error(ErrorCode::kInternal, "pipeline: row range outside of the block");
    if (plan_->reads_line && first < last && last >= columns.line_offsets.size()) return Error(ErrorCode::kInternal, "pipeline: block loaded without lines");
    if (state_->labels.size() > kMaxSlots) {
      restart();
      if (stream_ != nullptr) state_->labels.begin_stream(stream_->labels);
    }
    Batch& batch = state_->batch;
    batch.clear();
    state_->frame.begin_run();
    batch.columns = &columns;
    choose_rows(columns, first, last, start_ns, end_ns, skip);
    state_->labels.begin_run(columns, &batch.block_rows);
    batch.selection.resize(batch.block_rows.size());
    std::iota(batch.selection.begin(), batch.selection.end(), 0U);
    for (const auto& stage : state_->stages) {
      if (batch.selection.empty()) break;
      stage->run(batch);
    }
    if (state_->unwrap) state_->unwrap->run(batch, state_->frame.values);
    return static_cast<Frame*>(&state_->frame);
  }

 private:
  struct State {
    explicit State(const PipelinePlan& plan)
        : labels(plan.needed), batch(labels), frame(batch, plan.unwrap ? plan.unwrap->label : std::string()) {
      batch.preserve_parser_errors = plan.preserve_parser_errors;
      for (const StagePtr& stage : plan.stages) stages.push_back(stage->make_runner(labels));
      if (plan.unwrap) unwrap = std::make_unique<UnwrapRunner>(*plan.unwrap, labels);
    }
    LabelTable labels;
    Batch batch;
    FrameImpl frame;
    std::vector<std::unique_ptr<StageRunner>> stages;
    std::unique_ptr<UnwrapRunner> unwrap;
  };

  void restart() { state_ = std::make_unique<State>(*plan_); }

  // batch.block_rows: rows in the time range, not skipped, that pass the line filters in front.
  void choose_rows(const chunk::Columns& columns, std::uint32_t first, std::uint32_t last, std::int64_t start_ns,
                   std::int64_t end_ns, std::span<const std::uint32_t> skip) {
    const auto* const times = columns.timestamps_ns.data();
    first = static_cast<std::uint32_t>(std::lower_bound(times + first, times + last, start_ns) - times);
    last = static_cast<std::uint32_t>(std::lower_bound(times + first, times + last, end_ns) - times);
    RowList& rows = state_->batch.block_rows;
    if (first == last) return;
    if (plan_->front.empty() && skip.empty()) {
      rows.resize(last - first);
      std::iota(rows.begin(), rows.end(), first);
      return;
    }
    if (&columns == block_.get()) {
      const auto begin = std::lower_bound(block_hits_.begin(), block_hits_.end(), first);
      std::set_difference(begin, std::lower_bound(begin, block_hits_.end(), last), skip.begin(), skip.end(), std::back_inserter(rows));
      return;
    }
    alive_.assign(last - first, 1);
    for (const std::uint32_t row : skip) {
      if (row >= first && row < last) alive_[row - first] = 0;
    }
    for (const auto& filter : plan_->front) filter->apply(columns, first, last, alive_, scratch_);
    for (std::uint32_t i = 0; i < last - first; ++i) {
      if (alive_[i] != 0) rows.push_back(first + i);
    }
  }

  std::shared_ptr<const PipelinePlan> plan_;
  std::unique_ptr<State> state_;
  const model::InternedLabels* stream_ = nullptr;
  std::vector<std::uint8_t> alive_, scratch_;
  std::shared_ptr<const chunk::Columns> block_;   // of begin_block()
  std::vector<std::uint32_t> block_hits_;         // its rows that pass the line filters in front, ascending
};

class CompiledPipeline final : public Pipeline {
 public:
  explicit CompiledPipeline(std::shared_ptr<const PipelinePlan> plan) : plan_(std::move(plan)) {}
  chunk::ColumnMask columns() const override { return plan_->columns; }
  std::unique_ptr<PipelineRunner> make_runner() const override { return std::make_unique<Runner>(plan_); }

 private:
  std::shared_ptr<const PipelinePlan> plan_;
};

}  // namespace

Result<std::shared_ptr<const Pipeline>> Pipeline::compile(const std::vector<logql::Stage>& stages, const PipelineOptions& options) {
  SKALD_TRY(std::shared_ptr<const PipelinePlan> plan, make_plan(stages, options));
  return std::shared_ptr<const Pipeline>(std::make_shared<CompiledPipeline>(std::move(plan)));
}

}  // namespace skald::engine
