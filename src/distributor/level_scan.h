// Which level a line speaks of (push-protocol §7, rule 5). Runs once per line on the write path: no allocation, one pass
// for plain lines, an early end for JSON and logfmt lines whose level field comes early.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skald/model/level.h"

namespace skald::distributor {

// The tenant's log_level_fields, made quick to look up. Immutable.
class LevelFields {
 public:
  explicit LevelFields(const std::vector<std::string>& names);
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  const std::vector<std::string>& names() const { return names_; }
  bool exact(std::string_view key) const {
    if (key.size() >= by_length_.size() || by_length_[key.size()] == 0) return key.size() >= by_length_.size() && slow_exact(key);
    return slow_exact(key);
  }
  // Place in the list of the first field equal to `key` without regard to case, or kNone.
  std::size_t fold(std::string_view key) const {
    if (key.size() < by_length_.size() && by_length_[key.size()] == 0) return kNone;
    return slow_fold(key);
  }

 private:
  bool slow_exact(std::string_view key) const;
  std::size_t slow_fold(std::string_view key) const;
  std::vector<std::string> names_;
  std::array<std::uint8_t, 64> by_length_{};  // 1: a field of that length exists
};

// trace trc debug dbg info inf information warn wrn warning error err critical fatal, any case; kNone for other words.
model::Level level_from_word(std::string_view word);

// Rule 4: the text of severity_number.
model::Level level_from_severity_number(std::string_view text);

// Never kNone. `json_depth_max` <= 0: unlimited.
model::Level detect_line_level(std::string_view line, const LevelFields& fields, std::int64_t json_depth_max);

// The earliest bounded level word of the line; kUnknown without one. Two ways that must agree.
model::Level scan_keywords(std::string_view line);
model::Level scan_keywords_plain(std::string_view line);

}  // namespace skald::distributor
