#include "ring/broadcasts.h"

#include <algorithm>
#include <cmath>

namespace skald::ring::gossip {

bool Broadcasts::push(std::string topic, std::set<std::string> ids, Bytes message) {
  std::erase_if(items_, [&](const Item& item) {
    const bool superseded = item.topic == topic && std::includes(ids.begin(), ids.end(), item.ids.begin(), item.ids.end());
    if (superseded) bytes_ -= item.message.size();
    return superseded;
  });
  const bool full = items_.size() >= kItemsMax;
  if (full) {
    const auto most = std::max_element(items_.begin(), items_.end(), [](const Item& a, const Item& b) { return a.told < b.told; });
    bytes_ -= most->message.size();
    items_.erase(most);
  }
  bytes_ += message.size();
  items_.push_back({.topic = std::move(topic), .ids = std::move(ids), .message = std::move(message)});
  return !full;
}

void Broadcasts::take(std::size_t overhead, std::size_t& bytes_max, int times_max, std::vector<Bytes>& out) {
  std::stable_sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) { return a.told > b.told; });
  for (auto item = items_.rbegin(); item != items_.rend(); ++item) {
    if (item->message.size() + overhead > bytes_max) continue;
    bytes_max -= item->message.size() + overhead;
    out.push_back(item->message);
    ++item->told;
  }
  std::erase_if(items_, [&](const Item& item) {
    const bool done = item.told >= times_max;
    if (done) bytes_ -= item.message.size();
    return done;
  });
}

int tell_times(std::int64_t factor, std::size_t members) {
  return static_cast<int>(std::max<std::int64_t>(1, factor)) * static_cast<int>(std::ceil(std::log10(static_cast<double>(members + 1))));
}

}  // namespace skald::ring::gossip
