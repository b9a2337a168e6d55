#include "skald/index/verify.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "index/generate.h"
#include "index/reseal.h"
#include "index/walk.h"

namespace skald::index {
namespace {

using testing::Generator;
using testing::kDay;
using testing::kDayStart;

Bytes make_index(std::uint64_t seed, int streams) {
  Generator generate(seed);
  DayIndexBuilder builder("tenant", kDay, Ulid::make(kDayStart, generate.random()));
  builder.add_input(Ulid::make(kDayStart, generate.random()));
  std::vector<ObjectRef> objects;
  for (int i = 0; i < 5; ++i) objects.push_back(generate.object());
  for (int i = 0; i < streams; ++i) {
    ChunkRef ref = generate.chunk(objects[generate.below(objects.size())]);
    ref.rows = 0;
    ref.raw_bytes = 0;
    ref.sketch = generate.sketch(ref.min_ts_ns, 3);
    ref.sketch.rows_by_level.clear();
    for (std::size_t b = 0; b < ref.sketch.rows.size(); ++b) {
      ref.rows += ++ref.sketch.rows[b];
      ref.raw_bytes += ref.sketch.bytes[b];
    }
    EXPECT_TRUE(builder.add(generate.labels(), ref).ok());
  }
  auto built = builder.finish();
  EXPECT_TRUE(built.ok());
  return std::move(built->bytes);
}

TEST(VerifyDayIndex, WhatTheBuilderWroteIsSound) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(make_index(seed, 200)));
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ(verify_day_index(**reader), std::vector<std::string>());
    EXPECT_TRUE(testing::walk(**reader));
  }
}

TEST(VerifyDayIndex, DescribesItsParts) {
  const auto info = describe_day_index(std::make_shared<const Bytes>(make_index(4, 50)));
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->sections.size(), 9U);
  const std::string text = to_text(*info);
  for (const char* part : {"day 20000", "section 'postings'", "1 inputs", "label \"pod\"", "label \"env\": 3 values"}) EXPECT_NE(text.find(part), std::string::npos) << text;
}

// Checksums catch accidents; these are for what passes them: bugs of a writer, or somebody with access to the bucket.
TEST(VerifyDayIndex, DamageUnderRightChecksumsNeverCrashesAndIsMostlyFound) {
  const Bytes intact = make_index(5, 60);
  SeededRandom random(6);
  int opened = 0, found = 0, rounds = 0;
  for (int round = 0; round < 6'000; ++round) {
    Bytes bytes = intact;
    for (std::uint64_t flips = 1 + random.next_u64() % 3; flips > 0; --flips) {
      char& byte = bytes[random.next_u64() % bytes.size()];
      byte = static_cast<char>(random.next_u64() % 2 == 0 ? byte ^ (1 << random.next_u64() % 8) : static_cast<int>(random.next_u64()));
    }
    if (bytes == intact) continue;
    testing::reseal(bytes);
    ++rounds;
    const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(bytes));
    if (!reader.ok()) {
      ASSERT_EQ(reader.error().code(), ErrorCode::kCorruption);
      ++found;
      continue;
    }
    ++opened;
    found += !testing::walk(**reader);
  }
  EXPECT_GT(opened, rounds / 10) << "the checksums were not made right";
  EXPECT_GT(found, rounds / 3);
}

std::string render(const Bytes& bytes) {
  const auto info = describe_day_index(std::make_shared<const Bytes>(bytes));
  const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(bytes));
  if (!info.ok() || !reader.ok()) return "does not open";
  std::string text = to_text(*info);
  std::vector<StreamChunkRefs> streams;
  EXPECT_TRUE((*reader)->append_chunk_refs(SeriesBitmap(info->header.series, true), {INT64_MIN, INT64_MAX}, WithSketches::kYes, streams).ok());
  for (const auto& stream : streams)
    for (const ChunkRef& ref : stream.chunks) text += stream.labels->text + " " + testing::describe(ref, true) + "\n";
  EXPECT_EQ(verify_day_index(**reader), std::vector<std::string>());
  return text;
}

Bytes read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

// Version 1 bytes, written once; every later release must read them. SKALD_WRITE_GOLDEN=1 writes them anew, which is right
// only before the first release.
TEST(GoldenDayIndex, VersionOneStaysReadable) {
  const std::string path = std::string(SKALD_SOURCE_DIR) + "/tests/golden/index_v1";
  if (std::getenv("SKALD_WRITE_GOLDEN") != nullptr) {
    const Bytes bytes = make_index(2026, 40);
    std::ofstream(path + ".bin", std::ios::binary) << bytes;
    std::ofstream(path + ".txt") << render(bytes);
  }
  ASSERT_FALSE(read_bytes(path + ".bin").empty()) << path;
  EXPECT_EQ(render(read_bytes(path + ".bin")), read_bytes(path + ".txt"));
}

}  // namespace
}  // namespace skald::index
