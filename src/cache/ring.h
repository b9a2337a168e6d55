// Which of several servers keeps a key. Ketama-like: each server has 160 points on a circle of 64-bit hashes, a key
// belongs to the next point. A server that comes or goes moves only its own share of the keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skald::cache {

// Immutable; the order of `names` does not matter, their number and spelling do.
class Ring {
 public:
  Ring() = default;
  // `consistent` false: hash modulo number of servers, as clients without a ring do.
  Ring(std::vector<std::string> names, bool consistent);

  const std::vector<std::string>& names() const { return names_; }   // sorted
  // Index into names(). Not for an empty ring.
  std::size_t find(std::string_view key) const;

 private:
  std::vector<std::string> names_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> points_;   // empty: modulo
};

}  // namespace skald::cache
