#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "chunk/content_id.h"
#include "chunk/rows.h"
#include "skald/chunk/builder.h"
#include "skald/chunk/reader.h"
#include "skald/chunk/same_entry.h"
#include "skald/codec/hash.h"
#include "skald/model/level.h"

namespace skald::chunk {
namespace {

using namespace testing_rows;

std::vector<Row> read_all(const ChunkReader& reader) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < reader.blocks().size(); ++i) {
    const auto columns = reader.block(i)->load(kAllColumns, {});
    EXPECT_TRUE(columns.ok()) << columns.error().message();
    if (!columns.ok()) return rows;
    EXPECT_GE((*columns)->text.capacity(), (*columns)->text_bytes + kBufferSlack);
    for (Row& row : to_rows(**columns)) rows.push_back(std::move(row));
  }
  return rows;
}

Result<BuiltChunk> build(const std::vector<std::vector<Row>>& blocks, const ChunkOptions& options = {}) {
  std::vector<std::shared_ptr<const Columns>> columns;
  for (const auto& rows : blocks) columns.push_back(to_columns(rows));
  return build_chunk(*labels_of("web"), columns, options);
}

std::shared_ptr<ChunkReader> open_whole(const BuiltChunk& chunk) {
  auto reader = ChunkReader::open(std::make_shared<const Bytes>(chunk.bytes));
  EXPECT_TRUE(reader.ok()) << reader.error().message();
  return std::move(reader).value();
}

TEST(Chunk, RoundTripsRandomRowsWithEveryCodec) {
  SeededRandom random(11);
  for (const Codec codec : {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    for (int i = 0; i < 40; ++i) {
      const std::vector<Row> rows = random_rows(random, 1 + random.next_u64() % (i % 4 == 0 ? 1500 : 60));
      const auto chunk = build({rows}, {.codec = codec});
      ASSERT_TRUE(chunk.ok()) << chunk.error().message();
      ASSERT_EQ(chunk->meta.length, chunk->bytes.size());
      const auto reader = open_whole(*chunk);
      ASSERT_EQ(read_all(*reader), rows);
      ASSERT_EQ(reader->meta().content_id, chunk->meta.content_id);
      ASSERT_EQ(reader->meta().rows, rows.size());
      ASSERT_EQ(reader->meta().min_ts_ns, rows.front().ts_ns);
      ASSERT_EQ(reader->meta().max_ts_ns, rows.back().ts_ns);
    }
  }
}

TEST(Chunk, KeepsBlocksInOrderAndSaysWhatEachHolds) {
  SeededRandom random(12);
  std::vector<std::vector<Row>> blocks;
  std::vector<Row> all;
  for (int b = 0; b < 5; ++b) {
    blocks.push_back(random_rows(random, 300, kShardStart + b * 1'000'000'000'000, 1'000'000'000'000));
    all.insert(all.end(), blocks.back().begin(), blocks.back().end());
  }
  const auto chunk = build(blocks).value();
  const auto reader = open_whole(chunk);
  ASSERT_EQ(reader->blocks().size(), 5U);
  EXPECT_EQ(reader->blocks()[3].first_row, 900U);
  EXPECT_EQ(reader->blocks()[3].rows, 300U);
  EXPECT_EQ(reader->blocks()[3].min_ts_ns, blocks[3].front().ts_ns);
  EXPECT_EQ(reader->blocks()[3].max_ts_ns, blocks[3].back().ts_ns);
  EXPECT_EQ(read_all(*reader), all);
}

TEST(Chunk, CutsOversizedInputAndHoldsLongLines) {
  std::vector<Row> rows;
  for (int i = 0; i < 20'000; ++i) rows.push_back({kShardStart + i, "short", 0, {}});
  rows.push_back({kShardStart + 20'000, std::string(3 << 20, 'y'), 0, {}});
  rows.push_back({kShardStart + 20'001, "after", 0, {}});
  const auto chunk = build({rows}).value();
  const auto reader = open_whole(chunk);
  EXPECT_GE(reader->blocks().size(), 3U);
  for (const BlockSummary& block : reader->blocks()) EXPECT_LE(block.rows, kBlockRowsMax);
  EXPECT_EQ(read_all(*reader), rows);
}

TEST(Chunk, HoldsTimesBefore1970) {
  std::vector<Row> rows;
  for (int i = 0; i < 300; ++i) rows.push_back({-kTimeShardNs + i * 1'000'000'000LL * (1 + i % 2), "old", 0, {}});
  std::sort(rows.begin(), rows.end());
  const auto chunk = build({rows}).value();
  EXPECT_EQ(read_all(*open_whole(chunk)), rows);
}

TEST(Chunk, RefusesRowsAcrossAShardEdge) {
  const auto chunk = build({{{kShardStart - 1, "a", 0, {}}, {kShardStart, "b", 0, {}}}});
  ASSERT_FALSE(chunk.ok());
  EXPECT_EQ(chunk.error().code(), ErrorCode::kInvalidArgument);
}

TEST(Chunk, RefusesBrokenColumns) {
  const auto good = to_columns({{kShardStart, "a", 0, {}}, {kShardStart, "b", 0, {}}});
  const auto refused = [&](auto&& spoil) {
    Columns bad = *good;
    spoil(bad);
    return !encode_block(bad, {}).ok();
  };
  EXPECT_FALSE(refused([](Columns&) {}));
  EXPECT_TRUE(refused([](Columns& c) { c.rows = 0; }));
  EXPECT_TRUE(refused([](Columns& c) { c.rows = 3; }));
  EXPECT_TRUE(refused([](Columns& c) { c.line_offsets[1] = 4; }));
  EXPECT_TRUE(refused([](Columns& c) { c.line_offsets[1] = 0; }));
  EXPECT_TRUE(refused([](Columns& c) { c.text[1] = 'x'; }));
  EXPECT_TRUE(refused([](Columns& c) { c.levels = {9, 9}; }));
  EXPECT_TRUE(refused([](Columns& c) { c.metadata.push_back({"n", {}}); }));
}

TEST(Chunk, ContentIdIsTheDocumentedSumWhateverTheLayout) {
  SeededRandom random(13);
  std::vector<Row> rows = random_rows(random, 400);
  rows[7].metadata = {{"zz", "1"}, {"aa", "2"}};
  rows[7].level = 4;
  std::uint64_t expected = 0;
  for (const Row& row : rows) {
    std::map<std::string, std::string> pairs = row.metadata;
    if (row.level != 0) pairs["detected_level"] = model::level_text(static_cast<model::Level>(row.level));
    std::uint64_t h = codec::xxh3_words(static_cast<std::uint64_t>(row.ts_ns), codec::xxh3_64(row.line));
    for (const auto& [name, value] : pairs) h = codec::xxh3_words(h, codec::xxh3_64(name), codec::xxh3_64(value));
    expected += h;
  }
  EXPECT_EQ(build({rows})->meta.content_id, expected);
  const std::vector<Row> head(rows.begin(), rows.begin() + 150);
  const std::vector<Row> tail(rows.begin() + 150, rows.end());
  EXPECT_EQ(build({head, tail}, {.codec = Codec::kLz4})->meta.content_id, expected);
  std::vector<Row> other = rows;
  other[0].line += "x";
  EXPECT_NE(build({other})->meta.content_id, expected);
}

TEST(Chunk, EncodedBlocksAnswerAndAssembleIntoTheSameBytes) {
  SeededRandom random(14);
  const auto labels = labels_of("web");
  std::vector<std::shared_ptr<const Columns>> columns;
  std::vector<EncodedBlockPtr> encoded;
  for (int b = 0; b < 4; ++b) {
    const std::vector<Row> rows = random_rows(random, 200, kShardStart + b * 100'000'000'000, 100'000'000'000);
    columns.push_back(to_columns(rows));
    encoded.push_back(encode_block(*columns.back(), {}).value());
    const auto back = as_block(encoded.back())->load(kAllColumns, {}).value();
    ASSERT_EQ(to_rows(*back), rows);
    EXPECT_GT(memory_bytes(*encoded.back()), 100U);
    EXPECT_EQ(content_id(*encoded.back()), compute_content_id(*columns.back()));
  }
  const auto direct = build_chunk(*labels, columns, {}).value();
  const auto assembled = assemble_chunk(*labels, encoded, {}).value();
  EXPECT_EQ(direct.bytes, assembled.bytes);
  EXPECT_EQ(direct.meta.sketch.rows, assembled.meta.sketch.rows);
  EXPECT_EQ(direct.meta.sketch.bytes, assembled.meta.sketch.bytes);
  EXPECT_EQ(direct.meta.sketch.rows_by_level, assembled.meta.sketch.rows_by_level);
}

// Records which bytes were asked for.
struct Recorder {
  Bytes bytes;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> asked;
  ChunkFetch fetch() {
    return [this](std::uint64_t begin, std::uint64_t end, const CallContext&) -> Result<Bytes> {
      asked.emplace_back(begin, end);
      return bytes.substr(begin, end - begin);
    };
  }
};

TEST(Chunk, ReadsOnlyTheBytesAPlanNeeds) {
  SeededRandom random(15);
  std::vector<Row> rows;
  for (int i = 0; i < 2'000; ++i) {
    rows.push_back({kShardStart + i * 1'000'003LL, random_hex(random, 80 + i % 7), static_cast<std::uint8_t>(1 + i % 3), {{"trace_id", random_hex(random, 32)}}});
  }
  const auto chunk = build({rows}).value();
  Recorder recorder{chunk.bytes, {}};
  const auto reader = ChunkReader::open(recorder.fetch(), chunk.meta.length, chunk.meta.hot_length, {}).value();
  ASSERT_EQ(recorder.asked, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{0, chunk.meta.hot_length}}));
  EXPECT_LT(chunk.meta.hot_length, chunk.meta.length / 10);

  const auto hot = reader->block(0)->load(kTimestamps | kLevels, {}).value();
  EXPECT_EQ(recorder.asked.size(), 1U);   // nothing beyond the head
  EXPECT_EQ(hot->timestamps_ns[1999], rows[1999].ts_ns);
  EXPECT_EQ(hot->levels[1999], rows[1999].level);
  EXPECT_TRUE(hot->line_offsets.empty());
  EXPECT_TRUE(hot->metadata.empty());

  const auto lengths = reader->block(0)->load(kLineLengths, {}).value();
  ASSERT_EQ(recorder.asked.size(), 3U);   // the column tables, then one page
  EXPECT_LT(recorder.asked[2].second - recorder.asked[2].first, 2'000U);
  EXPECT_EQ(lengths->line_offsets.back(), to_columns(rows)->text_bytes);
  EXPECT_TRUE(lengths->text.empty());

  const auto lines = reader->block(0)->load(kLines, {}).value();
  ASSERT_EQ(recorder.asked.size(), 4U);
  EXPECT_TRUE(lines->metadata.empty());
  const auto metadata = reader->block(0)->load(kMetadata, {}).value();
  ASSERT_EQ(recorder.asked.size(), 5U);
  EXPECT_LE(recorder.asked[3].second, recorder.asked[4].first);   // text and metadata are apart
  EXPECT_TRUE(metadata->text.empty());
  EXPECT_EQ(metadata->metadata.at(0).values[5], rows[5].metadata.at("trace_id"));
}

TEST(Chunk, StoresAValueThatLinesRepeatOnce) {
  SeededRandom random(22);
  std::vector<Row> rows;
  for (int i = 0; i < 1'000; ++i) {
    const std::string id = random_hex(random, 32);
    rows.push_back({kShardStart + i, i % 10 == 0 ? "no id here" : "{\"trace_id\":\"" + id + "\",\"again\":\"" + id.substr(0, 16) + "\"}", 0, {{"trace_id", id}, {"zone", "a"}}});
  }
  rows[3].metadata.erase("trace_id");
  const auto chunk = build({rows}).value();
  EXPECT_LT(chunk.bytes.size(), 1'000U * (16 + 8 + 4));   // 16 bytes of id, 8 to 9 of its repeated half, the rest
  EXPECT_EQ(read_all(*open_whole(chunk)), rows);
  Recorder recorder{chunk.bytes, {}};
  const auto reader = ChunkReader::open(recorder.fetch(), chunk.meta.length, chunk.meta.hot_length, {}).value();
  const auto lines = reader->block(0)->load(kLines, {}).value();
  EXPECT_EQ(recorder.asked.size(), 3U);          // head, tables, one range: the id column lies beside the text
  EXPECT_TRUE(lines->metadata.empty());
  for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(lines->line(static_cast<std::uint32_t>(i)), rows[i].line);
  // Every control character in use: stored as it is.
  for (Row& row : rows) row.line += std::string("\x01\x02\x03\x04\x05\x06\xff\xfe");
  EXPECT_EQ(read_all(*open_whole(build({rows}).value())), rows);
}

TEST(Chunk, SharesOneDecodingWhileItIsHeld) {
  SeededRandom random(16);
  const auto reader = open_whole(build({random_rows(random, 100)}).value());
  const auto first = reader->block(0)->load(kAllColumns, {}).value();
  const auto second = reader->block(0)->load(kLines, {}).value();
  EXPECT_EQ(first.get(), second.get());
}

TEST(Chunk, ServesManyThreadsFromOneReader) {
  SeededRandom random(23);
  std::vector<std::vector<Row>> blocks;
  for (int b = 0; b < 3; ++b) blocks.push_back(random_rows(random, 200, kShardStart + b * 1'000'000'000, 1'000'000'000));
  const auto chunk = build(blocks).value();
  const ChunkFetch fetch = [&](std::uint64_t begin, std::uint64_t end, const CallContext&) -> Result<Bytes> { return chunk.bytes.substr(begin, end - begin); };
  const auto reader = ChunkReader::open(fetch, chunk.meta.length, chunk.meta.hot_length, {}).value();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 60; ++i) {
        const std::size_t b = (i + t) % 3;
        const auto columns = reader->block(b)->load(i % 2 == 0 ? kAllColumns : kLines, {});
        if (!columns.ok() || (*columns)->line(i) != blocks[b][i].line) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Chunk, StopsWhenCancelledAndPassesFetchErrorsOn) {
  SeededRandom random(17);
  const auto chunk = build({random_rows(random, 100)}).value();
  bool fail = false;
  const ChunkFetch fetch = [&](std::uint64_t begin, std::uint64_t end, const CallContext&) -> Result<Bytes> {
    if (fail) return Error(ErrorCode::kUnavailable, "store is away");
    return chunk.bytes.substr(begin, end - begin);
  };
  const auto reader = ChunkReader::open(fetch, chunk.meta.length, chunk.meta.hot_length, {}).value();
  fail = true;
  EXPECT_EQ(reader->block(0)->load(kLines, {}).error().code(), ErrorCode::kUnavailable);
  fail = false;
  EXPECT_TRUE(reader->block(0)->load(kLines, {}).ok());
  auto cancel = std::make_shared<CancelToken>();
  cancel->cancel();
  CallContext ctx;
  ctx.cancel = cancel;
  EXPECT_EQ(reader->block(0)->load(kLines, ctx).error().code(), ErrorCode::kCancelled);
}

TEST(Chunk, SameEntryGoesByLineLevelAndMetadata) {
  const Row row{kShardStart, "line", 4, {{"a", "1"}, {"b", ""}}};
  const auto same = [&](Row other) { return same_entry(*to_columns({{kShardStart, "other", 4, {}}, row}), 1, *to_columns({std::move(other)}), 0); };
  EXPECT_TRUE(same(row));
  EXPECT_TRUE(same({kShardStart + 1, "line", 4, row.metadata})) << "times are the caller's";
  EXPECT_FALSE(same({kShardStart, "lines", 4, row.metadata}));
  EXPECT_FALSE(same({kShardStart, "line", 0, row.metadata}));
  EXPECT_FALSE(same({kShardStart, "line", 4, {{"a", "1"}}})) << "an empty value is not an absent one";
  EXPECT_FALSE(same({kShardStart, "line", 4, {{"a", "2"}, {"b", ""}}}));
  EXPECT_FALSE(same({kShardStart, "line", 4, {{"a", "1"}, {"b", ""}, {"c", "1"}}}));
}

TEST(Chunk, SketchCountsRowsInLeftOpenBuckets) {
  std::vector<Row> rows;
  const std::int64_t second = 1'000'000'000;
  rows.push_back({kShardStart, "ab", 4, {}});                     // exactly on a border: the bucket that ends there
  rows.push_back({kShardStart + 1, "c", 4, {}});
  rows.push_back({kShardStart + second, "d", 6, {}});
  rows.push_back({kShardStart + second + 1, "e", 0, {}});
  const Sketch sketch = build({rows})->meta.sketch;
  EXPECT_EQ(sketch.width_s, 1U);
  EXPECT_EQ(sketch.origin_ns, kShardStart - second);
  EXPECT_EQ(sketch.rows, (std::vector<std::uint32_t>{1, 2, 1}));
  EXPECT_EQ(sketch.bytes, (std::vector<std::uint64_t>{2, 2, 1}));
  ASSERT_EQ(sketch.rows_by_level.size(), 2U);
  EXPECT_EQ(sketch.rows_by_level[0].first, 4);
  EXPECT_EQ(sketch.rows_by_level[0].second, (std::vector<std::uint32_t>{1, 1, 0}));
  EXPECT_EQ(sketch.rows_by_level[1].second, (std::vector<std::uint32_t>{0, 1, 0}));
}

TEST(Chunk, MembersOfAGroupWithSomeRowsHaveSketchesOfTheirOwn) {
  std::vector<StreamRows> streams;
  for (int s = 0; s < 4; ++s) {
    std::vector<Row> rows;
    for (int i = 0; i < (s == 3 ? 7 : 128 + s); ++i) rows.push_back({kShardStart + 1 + i * 15'000'000'000LL * s, "line", 4, {}});
    streams.push_back({model::intern(model::Labels::from_pairs({{"s", std::to_string(s)}})), to_columns(rows)});
  }
  const auto built = build_group_chunk(streams, {});
  ASSERT_TRUE(built.ok());
  ASSERT_EQ(built->meta.member_sketches.size(), 4U);
  for (std::size_t m = 0; m < 4; ++m) {
    const Sketch& sketch = built->meta.member_sketches[m];
    if (built->meta.members[m].rows < 8) {
      EXPECT_EQ(sketch.width_s, 0U);
      continue;
    }
    std::uint64_t rows = 0;
    for (const std::uint32_t in_bucket : sketch.rows) rows += in_bucket;
    EXPECT_EQ(rows, built->meta.members[m].rows);
    EXPECT_LE(sketch.rows.size(), 73U);
    EXPECT_NE(sketch.width_s, 0U);
  }
  for (StreamRows& stream : streams) stream.rows = to_columns({{kShardStart, "line", 4, {}}});
  EXPECT_TRUE(build_group_chunk(streams, {})->meta.member_sketches.empty());
}

TEST(Chunk, SketchOfAWholeShardFitsAndAddsUp) {
  SeededRandom random(18);
  const std::vector<Row> rows = random_rows(random, 3'000);
  const auto chunk = build({rows}).value();
  const Sketch& sketch = chunk.meta.sketch;
  ASSERT_NE(sketch.width_s, 0U);
  ASSERT_LE(sketch.rows.size(), 512U);
  std::vector<std::uint32_t> expected(sketch.rows.size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::int64_t low = sketch.origin_ns + static_cast<std::int64_t>(i) * sketch.width_s * 1'000'000'000LL;
      if (row.ts_ns > low && row.ts_ns <= low + sketch.width_s * 1'000'000'000LL) ++expected[i];
    }
  }
  EXPECT_EQ(sketch.rows, expected);
}

TEST(GroupChunk, KeepsEachStreamsRowsTogether) {
  SeededRandom random(19);
  std::vector<StreamRows> streams;
  std::map<std::uint64_t, std::vector<Row>> expected;
  for (int s = 0; s < 120; ++s) {
    const auto labels = labels_of("app-" + std::to_string(s));
    const std::vector<Row> rows = random_rows(random, 1 + random.next_u64() % 300);
    expected[labels->hash] = rows;
    streams.push_back({labels, to_columns(rows)});
  }
  const auto chunk = build_group_chunk(streams, {}).value();
  EXPECT_TRUE(chunk.meta.group);
  ASSERT_EQ(chunk.meta.members.size(), 120U);
  const auto reader = open_whole(chunk);
  const std::vector<Row> all = read_all(*reader);
  ASSERT_GT(reader->blocks().size(), 1U);
  ASSERT_EQ(reader->meta().members.size(), 120U);
  std::uint64_t previous = 0;
  for (const GroupMember& member : reader->meta().members) {
    const std::vector<Row> rows(all.begin() + member.first_row, all.begin() + member.first_row + member.rows);
    ASSERT_EQ(rows, expected.at(member.stream_hash));
    EXPECT_EQ(member.min_ts_ns, rows.front().ts_ns);
    EXPECT_EQ(member.max_ts_ns, rows.back().ts_ns);
    std::uint64_t bytes = 0;
    for (const Row& row : rows) bytes += row.line.size();
    EXPECT_EQ(member.raw_bytes, bytes);
    EXPECT_GT(member.stream_hash, previous);
    previous = member.stream_hash;
  }
  streams.push_back(streams.front());
  EXPECT_FALSE(build_group_chunk(streams, {}).ok());
}

TEST(Codec, NamesOfChunkEncoding) {
  EXPECT_EQ(codec_from_name("snappy").value(), Codec::kSnappy);
  EXPECT_EQ(codec_from_name("lz4-256k").value(), Codec::kLz4);
  EXPECT_EQ(codec_from_name("flate").value(), Codec::kGzip);
  EXPECT_FALSE(codec_from_name("brotli").ok());
}

// The two tests below are the contract with damaged disks: an error or the truth, never a crash or invented rows.

std::vector<Row> rows_of_damage_test(SeededRandom& random) {
  std::vector<Row> rows = random_rows(random, 60);
  for (Row& row : rows) row.metadata["k"] = random_hex(random, 16);
  return rows;
}

TEST(ChunkDamage, EveryTruncationIsRefused) {
  SeededRandom random(20);
  const auto chunk = build({rows_of_damage_test(random)}).value();
  for (std::size_t keep = 0; keep < chunk.bytes.size(); ++keep) {
    ASSERT_FALSE(ChunkReader::open(std::make_shared<const Bytes>(chunk.bytes.substr(0, keep))).ok()) << keep;
  }
  // The index promises bytes that the object no longer has.
  for (std::size_t keep = 0; keep < chunk.bytes.size(); ++keep) {
    const ChunkFetch fetch = [&](std::uint64_t begin, std::uint64_t end, const CallContext&) -> Result<Bytes> {
      const std::uint64_t have = std::min<std::uint64_t>(end, keep);
      return begin >= have ? Bytes() : chunk.bytes.substr(begin, have - begin);
    };
    const auto reader = ChunkReader::open(fetch, chunk.meta.length, chunk.meta.hot_length, {});
    if (reader.ok() && keep < chunk.bytes.size() - 32) {
      ASSERT_FALSE((*reader)->block(0)->load(kAllColumns, {}).ok()) << keep;
    }
  }
}

TEST(ChunkDamage, EveryBitFlipIsNoticedOrHarmless) {
  SeededRandom random(21);
  for (const bool group : {false, true}) {
    const std::vector<Row> rows = rows_of_damage_test(random);
    const auto chunk = group ? build_group_chunk({{labels_of("a"), to_columns(rows)}}, {}).value() : build({rows}, {.codec = Codec::kNone}).value();
    std::size_t harmless = 0;
    for (std::size_t byte = 0; byte < chunk.bytes.size(); ++byte) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        Bytes flipped = chunk.bytes;
        flipped[byte] = static_cast<char>(flipped[byte] ^ (1 << bit));
        const auto reader = ChunkReader::open(std::make_shared<const Bytes>(std::move(flipped)));
        if (!reader.ok()) continue;
        const auto columns = (*reader)->block(0)->load(kAllColumns, {});
        if (!columns.ok()) continue;
        ASSERT_EQ(to_rows(**columns), rows) << "byte " << byte;
        ++harmless;
      }
    }
    EXPECT_LE(harmless, 32 * 8U);   // only the footer, which verification reads
  }
}

}  // namespace
}  // namespace skald::chunk
