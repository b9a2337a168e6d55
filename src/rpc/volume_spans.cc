#include "skald/rpc/volume_spans.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace skald::rpc {
namespace {

constexpr std::size_t kGroupMax = 256;   // more spans over each other than that are late rows, not copies

VolumeTotal even_share(const VolumeSpan& span, std::int64_t min_ts_ns, std::int64_t max_ts_ns) {
  if (min_ts_ns <= span.min_ts_ns && span.max_ts_ns <= max_ts_ns) return {.bytes = span.bytes, .entries = span.entries};
  const auto length = [](std::int64_t from, std::int64_t to) { return static_cast<double>(static_cast<__int128>(to) - from) + 1; };
  const double part = length(min_ts_ns, max_ts_ns) / length(span.min_ts_ns, span.max_ts_ns);
  const auto of = [&](std::uint64_t whole) { return static_cast<std::uint64_t>(std::llround(part * static_cast<double>(whole))); };
  return {.bytes = of(span.bytes), .entries = of(span.entries)};
}

// Spans that touch each other, at least two holders among them.
VolumeTotal add_up_group(std::span<const VolumeSpan> spans, const std::vector<std::size_t>& group, const SpanShare& share) {
  std::vector<std::int64_t> begins;   // of the intervals in which the same spans are
  for (const std::size_t i : group) {
    begins.push_back(spans[i].min_ts_ns);
    if (spans[i].max_ts_ns != INT64_MAX) begins.push_back(spans[i].max_ts_ns + 1);
  }
  std::sort(begins.begin(), begins.end());
  begins.erase(std::unique(begins.begin(), begins.end()), begins.end());
  VolumeTotal total;
  std::unordered_map<std::uint32_t, VolumeTotal> by_holder;
  for (std::size_t b = 0; b < begins.size(); ++b) {
    const std::int64_t min_ns = begins[b], max_ns = b + 1 < begins.size() ? begins[b + 1] - 1 : INT64_MAX;
    by_holder.clear();
    VolumeTotal most;
    for (const std::size_t i : group) {
      if (spans[i].min_ts_ns > min_ns || spans[i].max_ts_ns < min_ns) continue;
      const VolumeTotal part = share ? share(i, min_ns, std::min(max_ns, spans[i].max_ts_ns)) : even_share(spans[i], min_ns, std::min(max_ns, spans[i].max_ts_ns));
      VolumeTotal& sum = by_holder[spans[i].holder];
      sum.bytes += part.bytes;
      sum.entries += part.entries;
      most.bytes = std::max(most.bytes, sum.bytes);
      most.entries = std::max(most.entries, sum.entries);
    }
    total.bytes += most.bytes;
    total.entries += most.entries;
  }
  return total;
}

}  // namespace

VolumeTotal add_up(std::span<const VolumeSpan> spans, std::uint32_t copies, const SpanShare& share) {
  std::vector<std::size_t> order;
  std::unordered_set<std::uint64_t> known;
  for (std::size_t i = 0; i < spans.size(); ++i)
    if (spans[i].source_id == 0 || known.insert(spans[i].source_id).second) order.push_back(i);
  VolumeTotal total;
  const auto add_all = [&](const std::vector<std::size_t>& group) {
    for (const std::size_t i : group) {
      total.bytes += spans[i].bytes;
      total.entries += spans[i].entries;
    }
  };
  if (copies <= 1) {
    add_all(order);
    return total;
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return spans[a].min_ts_ns < spans[b].min_ts_ns; });
  std::vector<std::size_t> group;
  for (std::size_t at = 0; at < order.size();) {
    group.assign(1, order[at]);
    std::int64_t reach_ns = spans[order[at]].max_ts_ns;
    bool several = false;
    for (++at; at < order.size() && spans[order[at]].min_ts_ns <= reach_ns; ++at) {
      several |= spans[order[at]].holder != spans[group.front()].holder;
      reach_ns = std::max(reach_ns, spans[order[at]].max_ts_ns);
      group.push_back(order[at]);
    }
    if (!several || group.size() > kGroupMax) {
      add_all(group);
      continue;
    }
    const VolumeTotal part = add_up_group(spans, group, share);
    total.bytes += part.bytes;
    total.entries += part.entries;
  }
  return total;
}

std::uint64_t count_chunks(std::span<const VolumeSpan> spans) {
  std::unordered_set<std::uint64_t> sources;
  for (const VolumeSpan& span : spans) sources.insert(span.source_id);   // 0: all of memory
  return sources.size();
}

}  // namespace skald::rpc
