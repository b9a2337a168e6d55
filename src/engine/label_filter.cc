#include "engine/label_filter.h"

#include <algorithm>
#include <cmath>

#include "skald/logql/units.h"

namespace skald::engine {
namespace {

using Kind = logql::LabelFilter::Kind;
using logql::CompareOp;

template <class T>
bool compare(T value, CompareOp op, T limit) {
  switch (op) {
    case CompareOp::kEqual: return value == limit;
    case CompareOp::kNotEqual: return value != limit;
    case CompareOp::kGreater: return value > limit;
    case CompareOp::kGreaterEqual: return value >= limit;
    case CompareOp::kLess: return value < limit;
    case CompareOp::kLessEqual: return value <= limit;
  }
  return false;
}

// The decision for one value; an error text (in `error`) when the value cannot be converted.
bool decide(const FilterNode& node, std::string_view value, std::string& error) {
  switch (node.kind) {
    case Kind::kNumber: {
      double number = 0;
      const auto status = logql::parse_go_float(value, number);
      if (status != logql::FloatStatus::kOk) {
        error = logql::go_float_error(value, status);
        return true;
      }
      return compare(number, node.op, node.number);
    }
    case Kind::kDuration: {
      const auto duration = logql::parse_go_duration_text(value);
      if (!duration.ok()) {
        error = duration.error().message();
        return true;
      }
      return compare(duration.value(), node.op, node.duration_ns);
    }
    case Kind::kBytes: {
      const auto bytes = logql::parse_humanized_bytes(value);
      if (!bytes.ok()) {
        error = bytes.error().message();
        return true;
      }
      return compare(bytes.value(), node.op, node.bytes);
    }
    case Kind::kIp: {
      // Text that is no address is simply outside: no error, observed.
      return node.ip->contains_text(value) == (node.op == CompareOp::kEqual);
    }
    default: return false;
  }
}

}  // namespace

Result<std::unique_ptr<FilterNode>> compile_filter(const logql::LabelFilter& filter) {
  auto made = std::make_unique<FilterNode>();
  made->kind = filter.kind;
  made->op = filter.op;
  made->label = filter.label;
  made->number = filter.number;
  made->duration_ns = filter.duration_ns;
  made->bytes = filter.bytes;
  switch (filter.kind) {
    case Kind::kString:
      if (!filter.matcher) return Error(ErrorCode::kInternal, "label filter without matcher");
      made->matcher = filter.matcher;
      made->label = filter.matcher->name();
      break;
    case Kind::kIp: {
      SKALD_TRY(logql::IpFilter ip, logql::IpFilter::parse(filter.text));
      made->ip = ip;
      break;
    }
    case Kind::kAnd:
    case Kind::kOr: {
      SKALD_TRY(made->left, compile_filter(*filter.left));
      SKALD_TRY(made->right, compile_filter(*filter.right));
      break;
    }
    default: break;
  }
  return made;
}

void collect_labels(const FilterNode& node, std::vector<std::string>& labels) {
  if (node.left) collect_labels(*node.left, labels);
  if (node.right) collect_labels(*node.right, labels);
  if (!node.label.empty()) labels.push_back(node.label);
}

bool stream_may_pass(const FilterNode& node, const model::Labels& labels) {
  switch (node.kind) {
    case Kind::kAnd: return stream_may_pass(*node.left, labels) && stream_may_pass(*node.right, labels);
    case Kind::kOr: return stream_may_pass(*node.left, labels) || stream_may_pass(*node.right, labels);
    case Kind::kString:
      if (node.matcher->value().empty() && node.matcher->type() == model::MatchType::kRegex) return true;
      return !labels.has(node.label) || node.matcher->matches(labels.get(node.label));
    default: return true;   // conversion errors keep rows
  }
}

FilterRunner::FilterRunner(const FilterNode& node, LabelTable& labels) : node_(node), labels_(labels) {
  if (node.left) left_ = std::make_unique<FilterRunner>(*node.left, labels);
  if (node.right) right_ = std::make_unique<FilterRunner>(*node.right, labels);
  if (!node.label.empty()) slot_ = &labels.slot(node.label);
}

void FilterRunner::apply(Batch& batch, RowList& rows) {
  switch (node_.kind) {
    case Kind::kAnd:
      left_->apply(batch, rows);
      right_->apply(batch, rows);
      return;
    case Kind::kOr: return apply_or(batch, rows);
    case Kind::kString: return apply_string(batch, rows);
    default: return apply_converted(batch, rows);
  }
}

void FilterRunner::apply_or(Batch& batch, RowList& rows) {
  RowList passed = rows;
  left_->apply(batch, passed);
  scratch_.clear();   // what the left side refused; both lists ascend
  std::set_difference(rows.begin(), rows.end(), passed.begin(), passed.end(), std::back_inserter(scratch_));
  right_->apply(batch, scratch_);
  rows.clear();
  std::merge(passed.begin(), passed.end(), scratch_.begin(), scratch_.end(), std::back_inserter(rows));
}

void FilterRunner::apply_string(Batch& batch, RowList& rows) {
  const model::Matcher& matcher = *node_.matcher;
  if (matcher.value().empty() && matcher.type() == model::MatchType::kRegex) return;   // an empty regex holds for any value
  if (matcher.value().empty() && matcher.type() == model::MatchType::kNotRegex) return rows.clear();
  if (node_.label == kErrorLabel) {
    std::erase_if(rows, [&](std::uint32_t row) { return !matcher.matches(row_error_text(batch.error(row))); });
    return;
  }
  if (node_.label == kErrorDetailsLabel) {   // always seen as empty
    if (!matcher.matches("")) rows.clear();
    return;
  }
  const LabelTable::Constant constant = labels_.constant(*slot_);
  if (constant.known) {
    if (!matcher.matches(constant.present ? constant.value : std::string_view())) rows.clear();
    return;
  }
  // Values repeat: the latest decision is kept, and a dictionary's views compare by address first.
  std::string_view last_value;
  bool last_match = matcher.matches("");
  std::erase_if(rows, [&](std::uint32_t row) {
    std::string_view value;
    if (!labels_.get(*slot_, row, value)) value = {};
    const bool same = value.size() == last_value.size() && (value.data() == last_value.data() || value == last_value);
    if (!same) {
      last_value = value;
      last_match = matcher.matches(value);
    }
    return !last_match;
  });
}

void FilterRunner::apply_converted(Batch& batch, RowList& rows) {
  std::string error;
  std::erase_if(rows, [&](std::uint32_t row) {
    std::string_view value;
    if (!labels_.get(*slot_, row, value)) return true;
    error.clear();
    const bool pass = decide(node_, value, error);
    // A row that failed before is judged like any other, but its first error stays.
    if (!error.empty() && batch.error(row) == RowError::kNone) {
      batch.set_error(row, RowError::kLabelFilter, batch.arena.copy(error));
    }
    return !pass;
  });
}

namespace {

class FilterStageRunner final : public StageRunner {
 public:
  FilterStageRunner(const FilterNode& node, LabelTable& labels) : filter_(node, labels) {}
  void run(Batch& batch) override { filter_.apply(batch, batch.selection); }

 private:
  FilterRunner filter_;
};

class LabelFilterStage final : public CompiledStage {
 public:
  explicit LabelFilterStage(std::unique_ptr<FilterNode> node) : node_(std::move(node)) { collect_labels(*node_, traits_.reads); }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override {
    return std::make_unique<FilterStageRunner>(*node_, labels);
  }
  const FilterNode& node() const { return *node_; }

 private:
  std::unique_ptr<FilterNode> node_;
  StageTraits traits_;
};

}  // namespace

Result<StagePtr> compile_label_filter(const logql::LabelFilterStage& stage) {
  SKALD_TRY(std::unique_ptr<FilterNode> node, compile_filter(*stage.filter));
  return StagePtr(std::make_unique<LabelFilterStage>(std::move(node)));
}

const FilterNode* filter_node_of(const CompiledStage& stage) {
  const auto* const filter = dynamic_cast<const LabelFilterStage*>(&stage);
  return filter == nullptr ? nullptr : &filter->node();
}

}  // namespace skald::engine
