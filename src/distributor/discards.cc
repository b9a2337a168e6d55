#include "distributor/discards.h"

namespace skald::distributor {

std::string_view reason_name(Reason reason) {
  static constexpr std::array<std::string_view, kReasonCount> kNames = {
      "missing_labels", "invalid_labels", "max_label_names_per_series", "label_name_too_long", "label_value_too_long",
      "duplicate_label_names", "missing_enforced_labels", "rate_limited", "line_too_long", "greater_than_max_sample_age",
      "too_far_in_future", "disallowed_structured_metadata", "structured_metadata_too_large",
      "structured_metadata_too_many", "blocked_ingestion", "request_body_too_large"};
  return kNames[static_cast<std::size_t>(reason)];
}

void GroupedErrors::add(const std::string& text) {
  ++total_;
  if (const auto it = index_.find(text); it != index_.end()) {
    ++groups_[it->second].second;
  } else if (groups_.size() == kTextsMax) {
    ++beyond_;
  } else {
    index_.emplace(text, groups_.size());
    groups_.emplace_back(text, 1);
  }
}

std::string GroupedErrors::text() const {
  if (total_ == 1) return groups_[0].first;
  std::string out;
  for (const auto& [text, count] : groups_) {
    if (!out.empty()) out += "; ";
    out += std::to_string(count) + " errors like: " + text;
  }
  if (beyond_ > 0) out += "; " + std::to_string(beyond_) + " more errors";
  return out;
}

}  // namespace skald::distributor
