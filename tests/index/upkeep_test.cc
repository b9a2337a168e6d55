#include "skald/index/upkeep.h"

#include <gtest/gtest.h>

#include "index/generate.h"
#include "index/reseal.h"
#include "skald/index/day_index.h"
#include "skald/index/verify.h"

namespace skald::index {
namespace {

using testing::Generator;
using testing::kDay;
using testing::kDayStart;

Ulid ulid(Generator& generate) { return Ulid::make(kDayStart, generate.random()); }

Upkeep random_upkeep(Generator& generate) {
  Upkeep upkeep;
  for (std::uint64_t i = generate.below(5); i > 0; --i) upkeep.retired_objects.push_back({ulid(generate), kDayStart, static_cast<std::int64_t>(generate.below(1000))});
  for (std::uint64_t i = generate.below(5); i > 0; --i) upkeep.retired_indexes.push_back({ulid(generate), static_cast<std::int64_t>(generate.below(1000))});
  for (std::uint64_t i = generate.below(5); i > 0; --i) upkeep.compacted.push_back({ulid(generate), static_cast<std::uint32_t>(generate.below(9))});
  for (std::uint32_t i = 0; i < generate.below(5); ++i) upkeep.deletes.push_back({i * 77, generate.below(1ULL << 40), generate.below(1ULL << 40), i < 2});
  const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
  std::sort(upkeep.retired_objects.begin(), upkeep.retired_objects.end(), by_id);
  std::sort(upkeep.retired_indexes.begin(), upkeep.retired_indexes.end(), by_id);
  std::sort(upkeep.compacted.begin(), upkeep.compacted.end(), by_id);
  return upkeep;
}

TEST(Upkeep, ComesBackAsWritten) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Generator generate(seed);
    const Upkeep upkeep = random_upkeep(generate);
    const auto read = decode_upkeep(encode_upkeep(upkeep));
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(*read, upkeep) << seed;
  }
}

TEST(Upkeep, EveryTruncationIsRefused) {
  Generator generate(3);
  Upkeep upkeep = random_upkeep(generate);
  upkeep.compacted.push_back({ulid(generate), 1});
  const Bytes bytes = encode_upkeep(upkeep);
  for (std::size_t keep = 0; keep < bytes.size(); ++keep) EXPECT_FALSE(decode_upkeep(ByteView(bytes).substr(0, keep)).ok()) << keep;
}

TEST(Upkeep, UnknownKindsAreLeftOut) {
  Upkeep upkeep;
  upkeep.compacted.push_back({Ulid{}, 7});
  Bytes bytes = encode_upkeep(upkeep);
  bytes[8] = 99;
  const auto read = decode_upkeep(bytes);
  ASSERT_TRUE(read.ok());
  EXPECT_TRUE(read->empty());
}

TEST(Upkeep, TravelsInAnIndexObjectAndMayBeMissing) {
  Generator generate(5);
  Upkeep upkeep;
  upkeep.retired_objects.push_back({ulid(generate), kDayStart, 5});
  for (const bool with : {false, true}) {
    for (const bool with_chunks : {false, true}) {
      DayIndexBuilder builder("tenant", kDay, merged_index_id(kDay, 3));
      if (with_chunks) {
        ChunkRef chunk = generate.chunk(generate.object());
        chunk.sketch = {};   // random ones do not add up
        ASSERT_TRUE(builder.add(generate.labels(), chunk).ok());
      }
      if (with) builder.set_upkeep(upkeep);
      const auto built = builder.finish();
      ASSERT_TRUE(built.ok());
      const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(built->bytes));
      ASSERT_TRUE(reader.ok()) << reader.error().message();
      EXPECT_EQ((*reader)->upkeep(), with ? upkeep : Upkeep{});
      EXPECT_EQ((*reader)->header().chunks, with_chunks ? 1U : 0U);
      EXPECT_TRUE(verify_day_index(**reader).empty());
      EXPECT_EQ(describe_day_index(std::make_shared<const Bytes>(built->bytes))->sections.size(), with ? 10U : 9U);
    }
  }
}

// A reader of the first release knows nine sections: it skips the tenth because it carries no flag.
TEST(Upkeep, IsASectionThatMayBeSkipped) {
  Generator generate(6);
  DayIndexBuilder builder("tenant", kDay, merged_index_id(kDay, 1));
  ASSERT_TRUE(builder.add(generate.labels(), generate.chunk(generate.object())).ok());
  Upkeep upkeep;
  upkeep.compacted.push_back({ulid(generate), 1});
  builder.set_upkeep(upkeep);
  Bytes bytes = builder.finish()->bytes;
  const std::size_t entry = bytes.size() - kTrailerBytes - kSectionEntryBytes;
  EXPECT_EQ(load_le<std::uint16_t>(&bytes[entry]), kUpkeep);
  EXPECT_EQ(load_le<std::uint16_t>(&bytes[entry + 2]), 0);
  store_le<std::uint16_t>(&bytes[entry], 77);   // as unknown to us as 10 is to them
  testing::reseal(bytes);
  EXPECT_TRUE(DayIndexReader::open(std::make_shared<const Bytes>(bytes)).ok());
}

TEST(MergedIndexId, NamesDayAndGenerationAndNothingElse) {
  for (const std::int64_t day : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{-106'751}, std::int64_t{106'751}, kDay}) {
    Ulid previous;
    for (const std::uint64_t generation : {1ULL, 2ULL, 255ULL, 256ULL, 1ULL << 40, ~0ULL}) {
      const Ulid id = merged_index_id(day, generation);
      EXPECT_EQ(merged_generation(day, id), generation);
      EXPECT_FALSE(merged_generation(day + 1, id).has_value());
      EXPECT_EQ(*Ulid::parse(id.to_string()), id);
      if (generation > 1) { EXPECT_LT(previous, id); }
      previous = id;
    }
  }
  Generator generate(1);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(merged_generation(kDay, ulid(generate)).has_value());
}

}  // namespace
}  // namespace skald::index
