#include "skald/rpc/volume_spans.h"

#include <gtest/gtest.h>

namespace skald::rpc {
namespace {

VolumeSpan span(std::uint64_t source, std::uint32_t holder, std::int64_t from, std::int64_t to, std::uint64_t entries) {
  return {.source_id = source, .holder = holder, .min_ts_ns = from, .max_ts_ns = to, .bytes = entries * 10, .entries = entries};
}

TEST(VolumeSpans, AChunkCountsOnceWhoeverTellsOfIt) {
  const std::vector<VolumeSpan> spans = {span(5, 1, 0, 99, 100), span(5, 9, 0, 99, 100), span(0, 1, 100, 199, 50), span(0, 1, 150, 199, 7)};
  EXPECT_EQ(add_up(spans, 1).entries, 157U);
  EXPECT_EQ(add_up(spans, 1).bytes, 1570U);
  EXPECT_EQ(add_up(spans, 3).entries, 157U) << "one holder's spans are different rows";
  EXPECT_EQ(count_chunks(spans), 2U);
}

TEST(VolumeSpans, OfCopiesTheMostCounts) {
  // One has stored all, one the first half, one has all in memory and missed a third of it.
  const std::vector<VolumeSpan> spans = {span(1, 100, 0, 199, 200), span(2, 101, 0, 99, 100), span(0, 2, 100, 199, 100), span(0, 3, 0, 199, 133)};
  EXPECT_EQ(add_up(spans, 3).entries, 200U);
  EXPECT_EQ(add_up(spans, 1).entries, 533U);
  EXPECT_EQ(add_up(std::vector{span(1, 1, 0, 9, 10), span(2, 2, 10, 19, 10)}, 3).entries, 20U) << "side by side";
}

TEST(VolumeSpans, ASharesOwnerMayKnowBetter) {
  const std::vector<VolumeSpan> spans = {span(1, 1, 0, 199, 200), span(2, 2, 100, 199, 180)};
  const auto late = [&](std::size_t i, std::int64_t from, std::int64_t to) {   // nine tenths of both lie in the second half
    const std::uint64_t first = i == 0 && from < 100 ? 20 : 0, second = to >= 100 ? 180 : 0;
    return VolumeTotal{.bytes = 0, .entries = first + second};
  };
  EXPECT_EQ(add_up(spans, 2, late).entries, 200U);
  EXPECT_EQ(add_up(spans, 2).entries, 280U);
}

TEST(VolumeSpans, EdgesOfTimeDoNotOverflow) {
  const std::vector<VolumeSpan> spans = {span(1, 1, INT64_MIN, INT64_MAX, 8), span(2, 2, INT64_MAX, INT64_MAX, 1), span(3, 3, INT64_MIN, INT64_MIN, 1)};
  const VolumeTotal total = add_up(spans, 3);
  EXPECT_GE(total.entries, 8U);
  EXPECT_LE(total.entries, 10U);
}

}  // namespace
}  // namespace skald::rpc
