#include "skald/index/postings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "skald/base/random.h"

namespace skald::index {
namespace {

std::vector<std::uint32_t> random_ids(SeededRandom& random, std::uint32_t size, int kind) {
  std::set<std::uint32_t> ids;
  if (kind == 0) {   // scattered
    for (int i = 0; i < 300; ++i) ids.insert(static_cast<std::uint32_t>(random.next_u64() % size));
  } else if (kind == 1) {   // runs
    for (int i = 0; i < 20; ++i) {
      const auto begin = static_cast<std::uint32_t>(random.next_u64() % size);
      for (std::uint32_t k = begin; k < size && k < begin + random.next_u64() % 3000; ++k) ids.insert(k);
    }
    ids.insert(size - 1);
  } else {   // dense noise: bitmaps
    for (std::uint32_t i = 0; i < size; ++i)
      if (random.next_u64() % 3 != 0) ids.insert(i);
  }
  return {ids.begin(), ids.end()};
}

TEST(Postings, EveryKindOfContainerComesBack) {
  SeededRandom random(1);
  for (const std::uint32_t size : {64U, 1000U, 65'536U, 65'537U, 400'000U}) {
    for (int kind = 0; kind < 3; ++kind) {
      const std::vector<std::uint32_t> ids = random_ids(random, size, kind);
      std::string bytes;
      append_postings(bytes, ids);
      const auto view = PostingsView::parse(bytes, size);
      ASSERT_TRUE(view.ok()) << view.error().message();
      EXPECT_EQ(view->count(), ids.size());
      EXPECT_EQ(view->to_vector(), ids) << size << " " << kind;
      SeriesBitmap set(size);
      EXPECT_FALSE(view->intersects(set));
      set.set(ids[ids.size() / 2]);
      EXPECT_TRUE(view->intersects(set));
      SeriesBitmap members(size), others(size, true);
      for (const std::uint32_t id : ids) members.set(id);
      others.and_not(members);
      EXPECT_FALSE(view->intersects(others));
      for (const std::uint32_t id : {ids.front(), ids.back()}) {
        SeriesBitmap one(size);
        one.set(id);
        EXPECT_TRUE(view->intersects(one));
      }
    }
  }
}

// The bytes other roaring libraries write and read (RoaringFormatSpec, examples worked by hand).
TEST(Postings, BytesAreThePortableRoaringLayout) {
  std::string array;
  append_postings(array, std::vector<std::uint32_t>{1, 3, 0x10005});
  const std::string expected_array("\x3A\x30\0\0\x02\0\0\0" "\0\0\x01\0" "\x01\0\0\0" "\x18\0\0\0" "\x1C\0\0\0" "\x01\0\x03\0" "\x05\0", 30);
  EXPECT_EQ(array, expected_array);
  std::string runs;
  std::vector<std::uint32_t> ids;
  for (std::uint32_t id = 10; id < 110; ++id) ids.push_back(id);
  append_postings(runs, ids);
  const std::string expected_runs("\x3B\x30\0\0" "\x01" "\0\0\x63\0" "\x01\0" "\x0A\0\x63\0", 15);
  EXPECT_EQ(runs, expected_runs);
}

TEST(Postings, TruncatedBytesAreRefused) {
  SeededRandom random(2);
  for (int kind = 0; kind < 3; ++kind) {
    std::string bytes;
    append_postings(bytes, random_ids(random, 70'000, kind));
    for (std::size_t keep = 0; keep < bytes.size(); keep += bytes.size() > 2000 ? 37 : 1) EXPECT_FALSE(PostingsView::parse(ByteView(bytes).substr(0, keep), 70'000).ok()) << keep;
    EXPECT_FALSE(PostingsView::parse(bytes + "x", 70'000).ok());
    EXPECT_FALSE(PostingsView::parse(bytes, 30).ok()) << "ids beyond the index";
  }
}

TEST(Postings, ChangedBytesNeverYieldIdsBeyondTheIndex) {
  SeededRandom random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes;
    append_postings(bytes, random_ids(random, 2000, round % 3));
    for (int flips = 0; flips < 3; ++flips) bytes[random.next_u64() % bytes.size()] = static_cast<char>(random.next_u64());
    const auto view = PostingsView::parse(bytes, 2000);
    if (!view.ok()) continue;
    const std::vector<std::uint32_t> ids = view->to_vector();
    EXPECT_EQ(ids.size(), view->count());
    EXPECT_TRUE(ids.empty() || ids.back() < 2000);
  }
}

TEST(SeriesBitmap, SetOperationsAgreeWithANaiveSet) {
  SeededRandom random(4);
  for (const std::uint32_t size : {0U, 1U, 63U, 64U, 65U, 1000U}) {
    SeriesBitmap a(size), b(size);
    std::vector<bool> naive_a(size), naive_b(size);
    for (std::uint32_t i = 0; i < size; ++i) {
      if (random.next_u64() % 2 == 0) a.set(i), naive_a[i] = true;
      if (random.next_u64() % 2 == 0) b.set(i), naive_b[i] = true;
    }
    SeriesBitmap both = a, only_a = a, not_a = a;
    both &= b;
    only_a.and_not(b);
    not_a.invert();
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < size; ++i) {
      EXPECT_EQ(both.test(i), naive_a[i] && naive_b[i]);
      EXPECT_EQ(only_a.test(i), naive_a[i] && !naive_b[i]);
      EXPECT_EQ(not_a.test(i), !naive_a[i]);
      count += naive_a[i];
    }
    EXPECT_EQ(a.count(), count);
    EXPECT_EQ(not_a.count(), size - count);
    std::uint32_t seen = 0;
    for (std::uint32_t id = a.next(0); id < size; id = a.next(id + 1)) ++seen;
    EXPECT_EQ(seen, count);
    EXPECT_EQ(SeriesBitmap(size, true).count(), size);
  }
}

TEST(SeriesBitmap, RangesReachExactlyTheirEnds) {
  for (std::uint32_t begin = 0; begin < 200; begin += 7) {
    for (std::uint32_t end = begin; end <= 200; end += 5) {
      SeriesBitmap set(200);
      set.set_range(begin, end);
      EXPECT_EQ(set.count(), end - begin);
      EXPECT_TRUE(end == begin || (set.test(begin) && set.test(end - 1)));
      EXPECT_FALSE(set.any_in_range(0, begin));
      EXPECT_FALSE(set.any_in_range(end, 200));
    }
  }
}

}  // namespace
}  // namespace skald::index
