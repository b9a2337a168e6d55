#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "skald/rpc/ingester_service.h"

namespace skald::rpc {
namespace {

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using Texts = std::unordered_map<std::string, model::LabelsPtr, TextHash, std::equal_to<>>;

}  // namespace

// Two generations: what is asked for again moves to the young one; when that is full, the old one is dropped.
struct LabelTexts::State {
  std::size_t generation_max = 0;
  std::shared_mutex mutex;   // guards both
  Texts young, old;
};

LabelTexts::LabelTexts(std::size_t entries_max) : state_(std::make_unique<State>()) { state_->generation_max = std::max<std::size_t>(1, entries_max / 2); }
LabelTexts::~LabelTexts() = default;

Result<model::LabelsPtr> LabelTexts::intern(std::string_view text) {
  {
    const std::shared_lock lock(state_->mutex);
    if (const auto found = state_->young.find(text); found != state_->young.end()) return found->second;
  }
  model::LabelsPtr labels;
  const std::unique_lock lock(state_->mutex);
  if (const auto found = state_->old.find(text); found != state_->old.end()) {
    labels = found->second;
  } else {
    SKALD_TRY(std::vector<model::Label> pairs, model::parse_label_text(text));
    labels = model::intern(model::Labels::from_pairs(std::move(pairs)));
  }
  if (state_->young.size() >= state_->generation_max) {
    state_->old = std::move(state_->young);
    state_->young.clear();
  }
  state_->young.emplace(std::string(text), labels);
  return labels;
}

}  // namespace skald::rpc
