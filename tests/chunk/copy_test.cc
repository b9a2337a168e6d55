// What compaction asks of chunks: copies byte for byte, objects that name their inputs, blocks larger than a flush makes.
#include <gtest/gtest.h>

#include "chunk/rows.h"
#include "chunk/row_appender.h"
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

BuiltChunk make_chunk(std::uint64_t seed, std::size_t rows) {
  SeededRandom random(seed);
  const std::vector<std::shared_ptr<const Columns>> blocks = {to_columns(random_rows(random, rows))};
  return build_chunk(*labels_of("a"), blocks, {}).value();
}

TEST(CopyChunk, GivesTheSameBytesMetaAndSketch) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const BuiltChunk built = make_chunk(seed, 1 + seed * 7);
    const auto copied = copy_chunk(built.bytes);
    ASSERT_TRUE(copied.ok()) << copied.error().message();
    EXPECT_EQ(copied->bytes, built.bytes);
    EXPECT_EQ(copied->meta.content_id, built.meta.content_id);
    EXPECT_EQ(copied->meta.rows, built.meta.rows);
    EXPECT_EQ(copied->meta.raw_bytes, built.meta.raw_bytes);
    EXPECT_EQ(copied->meta.hot_length, built.meta.hot_length);
    EXPECT_EQ(copied->meta.sketch.width_s, built.meta.sketch.width_s);
    EXPECT_EQ(copied->meta.sketch.origin_ns, built.meta.sketch.origin_ns);
    EXPECT_EQ(copied->meta.sketch.rows, built.meta.sketch.rows);
    EXPECT_EQ(copied->meta.sketch.bytes, built.meta.sketch.bytes);
    EXPECT_EQ(copied->meta.sketch.rows_by_level, built.meta.sketch.rows_by_level);
  }
}

TEST(CopyChunk, GroupsKeepTheirMembers) {
  SeededRandom random(9);
  std::vector<StreamRows> streams;
  for (int i = 0; i < 5; ++i) streams.push_back({labels_of("m" + std::to_string(i)), to_columns(random_rows(random, 20))});
  const BuiltChunk built = build_group_chunk(streams, {}).value();
  const auto copied = copy_chunk(built.bytes);
  ASSERT_TRUE(copied.ok());
  EXPECT_TRUE(copied->meta.group);
  EXPECT_EQ(copied->meta.members.size(), 5U);
}

TEST(CopyChunk, NoDamageIsCarriedOn) {
  const BuiltChunk built = make_chunk(3, 20);
  for (std::size_t at = 0; at < built.bytes.size(); ++at) {
    Bytes damaged = built.bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    const auto copied = copy_chunk(damaged);
    // Stream hash, content id and rows are told twice: the footer's own copies have no say.
    if (at < built.bytes.size() - 32 || at >= built.bytes.size() - 12) { EXPECT_FALSE(copied.ok()) << at; }
  }
  for (std::size_t keep = 0; keep < built.bytes.size(); ++keep) EXPECT_FALSE(copy_chunk(built.bytes.substr(0, keep)).ok()) << keep;
}

TEST(Object, TellsItsLevelAndWhatItReplaces) {
  ObjectBuilder builder("fake", kShardStart, id_of(1));
  builder.set_level(3);
  builder.add_input(id_of(7));
  builder.add_input(id_of(5));
  builder.add_input(id_of(7));
  builder.add(make_chunk(1, 10), std::vector<model::LabelsPtr>{labels_of("a")});
  const auto object = builder.finish().value();
  EXPECT_EQ(read_object_header(object.bytes)->level, 3U);
  const auto tail = open_object_tail(object.bytes, object.bytes.size());
  ASSERT_TRUE(tail.ok()) << tail.error().message();
  std::vector<Ulid> expected = {id_of(5), id_of(7)};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(tail->inputs, expected);
  EXPECT_TRUE(verify_object(object.bytes).problems.empty());
}

TEST(Blocks, OfSixtyFiveThousandRowsAreReadBack) {
  RowAppender appender(65'536, 4 << 20);
  std::vector<Row> rows;
  for (int i = 0; i < 70'000; ++i) rows.push_back({.ts_ns = kShardStart + i * 1000, .line = "l" + std::to_string(i), .level = 4, .metadata = {}});
  const auto source = to_columns(rows);
  const std::uint32_t fits = appender.fit(*source, 0, source->rows);
  EXPECT_EQ(fits, 65'536U);
  appender.append(*source, 0, fits);
  const Columns columns = appender.take();
  const std::vector<EncodedBlockPtr> blocks = {encode_block(columns, {}).value()};
  const auto built = assemble_chunk(*labels_of("a"), blocks, {});
  ASSERT_TRUE(built.ok()) << built.error().message();
  EXPECT_TRUE(verify_chunk(built->bytes).problems.empty());
  const auto reader = ChunkReader::open(std::make_shared<const Bytes>(built->bytes)).value();
  const auto read = reader->block(0)->load(kAllColumns, CallContext()).value();
  ASSERT_EQ(read->rows, 65'536U);
  EXPECT_EQ(read->line(65'535), "l65535");
}

}  // namespace
}  // namespace skald::chunk
