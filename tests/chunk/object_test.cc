#include <gtest/gtest.h>

#include "chunk/rows.h"
#include "skald/chunk/builder.h"
#include "skald/chunk/object_reader.h"
#include "skald/chunk/reader.h"
#include "skald/chunk/verify.h"

namespace skald::chunk {
namespace {

using namespace testing_rows;

Ulid id_of(std::uint64_t seed) {
  SeededRandom random(seed);
  return Ulid::make(kShardStart, random);
}

ObjectBuilder::Object make_object(std::uint64_t seed, std::size_t singles, bool group, std::size_t rows = 50) {
  SeededRandom random(seed);
  ObjectBuilder builder("fake", kShardStart, id_of(seed));
  for (std::size_t i = 0; i < singles; ++i) {
    const auto labels = labels_of("single-" + std::to_string(i));
    const std::vector<std::shared_ptr<const Columns>> blocks = {to_columns(random_rows(random, rows))};
    builder.add(build_chunk(*labels, blocks, {}).value(), std::vector<model::LabelsPtr>{labels});
  }
  if (group) {
    std::vector<StreamRows> streams;
    std::vector<model::LabelsPtr> labels;
    for (int i = 0; i < 5; ++i) {
      labels.push_back(labels_of("member-" + std::to_string(i)));
      streams.push_back({labels.back(), to_columns(random_rows(random, rows / 5 + 1))});
    }
    builder.add(build_group_chunk(streams, {}).value(), labels);
  }
  return builder.finish().value();
}

TEST(Object, HoldsChunksOnAlignedOffsetsAndDescribesItself) {
  const ObjectBuilder::Object object = make_object(1, 3, true);
  EXPECT_EQ(object.key, "fake/chunks/20261120T06/" + id_of(1).to_string());
  ASSERT_EQ(object.chunks.size(), 4U);
  for (const PlacedChunk& placed : object.chunks) {
    EXPECT_EQ(placed.offset % 64, 0U);
    const auto reader = ChunkReader::open(std::make_shared<const Bytes>(object.bytes.substr(placed.offset, placed.meta.length)));
    ASSERT_TRUE(reader.ok()) << reader.error().message();
    EXPECT_EQ((*reader)->meta().content_id, placed.meta.content_id);
  }
  const auto header = read_object_header(object.bytes).value();
  EXPECT_EQ(header.id, id_of(1));
  EXPECT_EQ(header.chunks, 4U);

  // From the tail alone, as a rebuild reads it.
  const ByteView tail_bytes = ByteView(object.bytes).substr(object.tail_offset);
  const auto tail = open_object_tail(tail_bytes, object.bytes.size());
  ASSERT_TRUE(tail.ok()) << tail.error().message();
  EXPECT_EQ(tail->trailer.tail_offset, object.tail_offset);
  EXPECT_EQ(tail->labels.size(), 8U);
  ASSERT_EQ(tail->chunks.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    const ChunkMeta& meta = object.chunks[i].meta;
    EXPECT_EQ(tail->chunks[i].offset, object.chunks[i].offset);
    EXPECT_EQ(tail->chunks[i].content_id, meta.content_id);
    EXPECT_EQ(tail->chunks[i].hot_length, meta.hot_length);
    EXPECT_EQ(tail->chunks[i].group, i == 3);
    EXPECT_LE(tail->chunks[i].min_ts_ns, meta.min_ts_ns);
    EXPECT_GE(tail->chunks[i].max_ts_ns, meta.max_ts_ns);
    EXPECT_GE(tail->chunks[i].raw_bytes, meta.raw_bytes);
  }
  EXPECT_EQ(tail->labels.at(tail->chunks[1].stream_hash)->labels.get("app"), "single-1");
  EXPECT_EQ(open_object_tail(tail_bytes.substr(1), object.bytes.size()).error().code(), ErrorCode::kInvalidArgument);
}

TEST(Object, RefusesChunksOfAnotherShardOrWithoutLabels) {
  SeededRandom random(2);
  const auto labels = labels_of("x");
  const std::vector<std::shared_ptr<const Columns>> blocks = {to_columns(random_rows(random, 5))};
  ObjectBuilder elsewhere("fake", kShardStart + kTimeShardNs, id_of(2));
  elsewhere.add(build_chunk(*labels, blocks, {}).value(), std::vector<model::LabelsPtr>{labels});
  EXPECT_FALSE(elsewhere.finish().ok());
  ObjectBuilder anonymous("fake", kShardStart, id_of(2));
  anonymous.add(build_chunk(*labels, blocks, {}).value(), {});
  EXPECT_FALSE(anonymous.finish().ok());
  EXPECT_FALSE(ObjectBuilder("fake", kShardStart, id_of(2)).finish().ok());
}

TEST(Object, KeysRoundTrip) {
  for (const std::int64_t shard : {kShardStart, std::int64_t{0}, -kTimeShardNs}) {
    const auto parsed = parse_object_key(object_key("a..b", shard, id_of(3)));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->tenant, "a..b");
    EXPECT_EQ(parsed->shard_start_ns, shard);
    EXPECT_EQ(parsed->id, id_of(3));
  }
  const std::string good = object_key("fake", kShardStart, id_of(3));
  for (const std::string& bad : {std::string(), good.substr(1, 10), good + "x", "/chunks" + good, good.substr(0, good.size() - 1), std::string("fake/index/index_1/x")}) {
    EXPECT_FALSE(parse_object_key(bad).ok()) << bad;
  }
}

TEST(Verify, FindsNothingInWhatWeWrite) {
  const ObjectBuilder::Object object = make_object(4, 4, true, 300);
  const VerifyReport report = verify_object(object.bytes);
  for (const Problem& problem : report.problems) ADD_FAILURE() << problem.offset << ": " << problem.what;
  EXPECT_EQ(report.chunks, 5U);
  EXPECT_GT(report.rows, 1'400U);
  const std::string text = describe_object(object.bytes);
  EXPECT_NE(text.find("single-2"), std::string::npos);
  EXPECT_NE(text.find("group chunk"), std::string::npos);
  EXPECT_NE(text.find("lines"), std::string::npos);
}

TEST(Verify, NamesTheDamagedChunkAndReadsOn) {
  ObjectBuilder::Object object = make_object(5, 3, false, 300);
  const std::uint64_t middle = object.chunks[1].offset + object.chunks[1].meta.length / 2;
  object.bytes[middle] = static_cast<char>(object.bytes[middle] ^ 1);
  const VerifyReport report = verify_object(object.bytes);
  ASSERT_FALSE(report.problems.empty());
  for (const Problem& problem : report.problems) {
    EXPECT_GE(problem.offset, object.chunks[1].offset);
    EXPECT_LT(problem.offset, object.chunks[2].offset);
  }
  EXPECT_EQ(report.rows, 600U);   // of the two others
}

TEST(Verify, EveryFlippedByteOfAnObjectIsFound) {
  const ObjectBuilder::Object object = make_object(6, 1, true, 12);
  const VerifyReport clean = verify_object(object.bytes);
  ASSERT_TRUE(clean.problems.empty());
  SeededRandom random(7);
  std::size_t unnoticed = 0;
  for (std::size_t byte = 0; byte < object.bytes.size(); ++byte) {
    Bytes flipped = object.bytes;
    flipped[byte] = static_cast<char>(flipped[byte] ^ (1 << (random.next_u64() % 8)));
    if (verify_object(flipped).problems.empty()) ++unnoticed;
    (void)describe_object(flipped);
  }
  // Only padding between chunks, and the section this release does not read, are not covered by a checksum.
  EXPECT_LE(unnoticed, 63U * 2 + 16);
}

TEST(Verify, EveryTruncationOfAnObjectIsFound) {
  const ObjectBuilder::Object object = make_object(8, 1, true, 12);
  for (std::size_t keep = 0; keep < object.bytes.size(); ++keep) {
    const ByteView cut = ByteView(object.bytes).substr(0, keep);
    ASSERT_FALSE(verify_object(cut).problems.empty()) << keep;
    ASSERT_FALSE(verify_chunk(cut).problems.empty()) << keep;
    ASSERT_FALSE(describe_object(cut).empty());
  }
}

}  // namespace
}  // namespace skald::chunk
