#include "engine/dedupe.h"

#include <algorithm>

#include "skald/chunk/same_entry.h"

namespace skald::engine {

namespace {

// Copies of one chunk held by an ingester and by the store carry the same id but are two sources.
bool same_source(const chunk::BlockSlice& a, const chunk::BlockSlice& b) {
  return a.source_id == b.source_id && a.from_ingester == b.from_ingester;
}

// Calls f(rows of a, rows of b) for every time that both slices hold.
template <class F>
bool for_equal_times(const chunk::Columns& a, const chunk::BlockSlice& sa, const chunk::Columns& b, const chunk::BlockSlice& sb, F&& f) {
  const std::int64_t* ta = a.timestamps_ns.data();
  const std::int64_t* tb = b.timestamps_ns.data();
  std::uint32_t i = static_cast<std::uint32_t>(std::lower_bound(ta + sa.first_row, ta + sa.first_row + sa.rows, sb.min_ts_ns) - ta);
  std::uint32_t j = static_cast<std::uint32_t>(std::lower_bound(tb + sb.first_row, tb + sb.first_row + sb.rows, sa.min_ts_ns) - tb);
  const std::uint32_t end_a = sa.first_row + sa.rows, end_b = sb.first_row + sb.rows;
  while (i < end_a && j < end_b) {
    if (ta[i] < tb[j]) ++i;
    else if (tb[j] < ta[i]) ++j;
    else {
      std::uint32_t ni = i, nj = j;
      while (ni < end_a && ta[ni] == ta[i]) ++ni;
      while (nj < end_b && tb[nj] == tb[j]) ++nj;
      if (!f(i, ni, j, nj)) return true;
      i = ni;
      j = nj;
    }
  }
  return false;
}

}  // namespace

DuplicateFinder::DuplicateFinder(const chunk::StreamData& stream) : stream_(stream) {
  const auto& blocks = stream.blocks;
  for (std::size_t i = 1; i < blocks.size() && !any_; ++i) any_ = !same_source(blocks[0], blocks[i]);
  if (!any_) return;
  latest_ns_.resize(blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i)
    latest_ns_[i] = i == 0 ? blocks[i].max_ts_ns : std::max(latest_ns_[i - 1], blocks[i].max_ts_ns);
}

std::vector<std::size_t> DuplicateFinder::overlapping(std::size_t index, bool first_only) const {
  std::vector<std::size_t> found;
  const auto& blocks = stream_.blocks;
  for (std::size_t i = index; i-- > 0 && latest_ns_[i] >= blocks[index].min_ts_ns;) {
    if (blocks[i].max_ts_ns < blocks[index].min_ts_ns || same_source(blocks[i], blocks[index])) continue;
    found.push_back(i);
    if (first_only) break;
  }
  return found;
}

Result<std::vector<std::uint32_t>> DuplicateFinder::skip_rows(std::size_t index, const CallContext& ctx) const {
  std::vector<std::uint32_t> skip;
  if (!any_) return skip;
  const chunk::BlockSlice& mine = stream_.blocks[index];
  for (const std::size_t other_index : overlapping(index, false)) {
    SKALD_TRY_VOID(ctx.check());
    const chunk::BlockSlice& other = stream_.blocks[other_index];
    SKALD_TRY(auto my_times, mine.block->load(chunk::kTimestamps, ctx));
    SKALD_TRY(auto other_times, other.block->load(chunk::kTimestamps, ctx));
    const bool shared = for_equal_times(*my_times, mine, *other_times, other, [](auto...) { return false; });
    if (!shared) continue;
    const auto need = chunk::kTimestamps | chunk::kLevels | chunk::kLines | chunk::kMetadata;
    SKALD_TRY(auto mine_full, mine.block->load(need, ctx));
    SKALD_TRY(auto other_full, other.block->load(need, ctx));
    for_equal_times(*mine_full, mine, *other_full, other,
                    [&](std::uint32_t i, std::uint32_t ni, std::uint32_t j, std::uint32_t nj) {
                      for (std::uint32_t a = i; a < ni; ++a)
                        for (std::uint32_t b = j; b < nj; ++b)
                          if (chunk::same_entry(*mine_full, a, *other_full, b)) { skip.push_back(a); break; }
                      return true;
                    });
  }
  std::sort(skip.begin(), skip.end());
  skip.erase(std::unique(skip.begin(), skip.end()), skip.end());
  return skip;
}

}  // namespace skald::engine
