// Why rows were refused, and the answer's text for them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "skald/base/result.h"

namespace skald::distributor {

// Values of the metric label `reason`.
enum class Reason : std::uint8_t {
  kMissingLabels, kInvalidLabels, kMaxLabelNames, kLabelNameTooLong, kLabelValueTooLong, kDuplicateLabelNames,
  kMissingEnforcedLabels, kRateLimited, kLineTooLong, kTooOld, kTooFarInFuture, kMetadataDisallowed, kMetadataTooLarge,
  kMetadataTooMany, kBlocked, kBodyTooLarge,
};
inline constexpr std::size_t kReasonCount = 16;
std::string_view reason_name(Reason reason);

struct DiscardCounts {
  std::array<std::uint64_t, kReasonCount> samples{};
  std::array<std::uint64_t, kReasonCount> bytes{};
  void add(Reason reason, std::uint64_t sample_count, std::uint64_t byte_count) {
    samples[static_cast<std::size_t>(reason)] += sample_count;
    bytes[static_cast<std::size_t>(reason)] += byte_count;
  }
};

// One failure is its text; several are "<n> errors like: <text>; <m> errors like: <text>", equal texts together, in order
// of first appearance.
class GroupedErrors {
 public:
  void add(const std::string& text);
  bool empty() const { return total_ == 0; }
  std::string text() const;

 private:
  // A request of a million bad rows must not be answered with a gigabyte; what is beyond is only counted.
  static constexpr std::size_t kTextsMax = 1000;
  std::vector<std::pair<std::string, std::uint64_t>> groups_;
  std::unordered_map<std::string, std::size_t> index_;
  std::uint64_t total_ = 0, beyond_ = 0;
};

}  // namespace skald::distributor
