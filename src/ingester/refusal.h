// Texts of refused entries, as Loki words them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "skald/base/result.h"

namespace skald::ingester {

// Collects what was refused of one stream in one push; lists at most ten entries.
class StreamRefusals {
 public:
  void too_far_behind(std::int64_t timestamp_ns, std::int64_t oldest_ns);
  void out_of_order(std::int64_t timestamp_ns);
  void over_rate(std::int64_t timestamp_ns, std::uint64_t limit_bytes, std::uint64_t line_bytes, const std::string& stream);
  std::uint64_t count() const { return count_; }
  // The status follows the last refusal: 429 for rate, 400 for order.
  Error error(const std::string& tenant, const std::string& stream, std::uint64_t entries) const;

 private:
  void add(std::int64_t timestamp_ns, const std::string& reason);
  std::string text_;
  std::uint64_t count_ = 0;
  bool last_was_rate_ = false;
};

Error stream_limit_error(const std::string& tenant, const std::string& stream);
std::string size_text(std::uint64_t bytes);           // 3MB, 1KB, 1500B
std::string go_time_text(std::int64_t timestamp_ns);  // 2026-01-01 00:00:00 +0000 UTC

}  // namespace skald::ingester
