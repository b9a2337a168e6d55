// How long a tenant's streams are kept: retention_stream by selector and priority, else retention_period.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "skald/config/limits.h"
#include "skald/index/chunk_ref.h"
#include "skald/model/matcher.h"

namespace skald::compactor {

// Immutable.
class RetentionRules {
 public:
  RetentionRules() = default;   // everything is kept for ever
  // A selector that does not parse is left out with a line in the log (a configuration is checked before it gets here).
  static RetentionRules make(const std::string& tenant, const config::Limits& limits);

  bool keeps_everything() const { return default_ns_ == 0 && rules_.empty(); }
  // 0: for ever. Of several matching rules the highest priority wins, of equal ones the shortest period.
  std::int64_t period_ns(const model::Labels& labels) const;
  std::int64_t longest_ns() const { return longest_ns_; }   // of any stream; 0: for ever
  // When the chunk may go, or INT64_MAX.
  std::int64_t expires_ns(const model::Labels& labels, const index::ChunkRef& chunk) const;
  std::uint64_t fingerprint() const { return fingerprint_; }   // changes with the rules

 private:
  struct Rule {
    std::vector<model::Matcher> matchers;
    std::int64_t priority = 0;
    std::int64_t period_ns = 0;
  };
  std::vector<Rule> rules_;       // highest priority first, then shortest period: the first match decides
  std::int64_t default_ns_ = 0;
  std::int64_t longest_ns_ = 0;
  std::uint64_t fingerprint_ = 0;
};

}  // namespace skald::compactor
