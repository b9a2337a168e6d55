// What is still to be told to others, each piece a limited number of times; the least told go first.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "skald/base/bytes.h"

namespace skald::ring::gossip {

// Not thread-safe: its owner locks.
class Broadcasts {
 public:
  static constexpr std::size_t kItemsMax = 1024;

  // `topic` and `ids` say what the message is about: it replaces older ones of the topic about some of the same ids only.
  // A full queue loses the piece that was told most often; returns false then.
  bool push(std::string topic, std::set<std::string> ids, Bytes message);
  // Appends to `out` messages of at most `bytes_max` together (which shrinks), `overhead` bytes added for each. Each counts
  // as told once more; those told `times_max` times are done.
  void take(std::size_t overhead, std::size_t& bytes_max, int times_max, std::vector<Bytes>& out);
  std::size_t size() const { return items_.size(); }
  std::size_t bytes() const { return bytes_; }
  void clear() { items_.clear(), bytes_ = 0; }

 private:
  struct Item {
    std::string topic;
    std::set<std::string> ids;
    Bytes message;
    int told = 0;
  };
  std::deque<Item> items_;   // newest last
  std::size_t bytes_ = 0;
};

// How often each piece is told: factor * ceil(log10(members + 1)).
int tell_times(std::int64_t factor, std::size_t members);

}  // namespace skald::ring::gossip
