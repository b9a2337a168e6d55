#include "rpc/index_wire.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "skald/base/random.h"

namespace skald::rpc {
namespace {

model::LabelsPtr labels(const std::string& app) { return model::intern(model::Labels::from_pairs({{"app", app}, {"odd", "\xff\"\n"}})); }

std::vector<index::StreamChunkRefs> random_refs(SeededRandom& random, int streams, int days) {
  std::vector<index::StreamChunkRefs> out;
  const std::int64_t start_ns = 1'700'000'000LL * kNanosPerSecond;
  const auto draw = [&](std::uint64_t below) { return random.next_u64() % below; };
  for (int s = 0; s < streams; ++s) {
    index::StreamChunkRefs stream{labels("a" + std::to_string(s)), {}};
    for (int c = 0; c < 1 + static_cast<int>(draw(4)); ++c) {
      index::ChunkRef ref;
      ref.object = {.id = Ulid::make(start_ns, random), .shard_start_ns = start_ns, .length = (1 << 24) + draw(1 << 20), .tail_offset = (1 << 23) + draw(1 << 10)};
      ref.offset = 64 * draw(1000);
      ref.length = static_cast<std::uint32_t>(2048 + draw(1 << 20));
      ref.hot_length = static_cast<std::uint32_t>(draw(1 << 10));
      ref.min_ts_ns = start_ns + static_cast<std::int64_t>(draw(static_cast<std::uint64_t>(days) * 86'400'000'000'000ULL));
      ref.max_ts_ns = ref.min_ts_ns + static_cast<std::int64_t>(draw(3'600'000'000'000ULL));
      ref.rows = static_cast<std::uint32_t>(1 + draw(5000));
      ref.raw_bytes = draw(1 << 20);
      ref.content_id = random.next_u64();
      ref.group = draw(2) == 0;
      ref.first_row = ref.group ? static_cast<std::uint32_t>(draw(100)) : 0;
      stream.chunks.push_back(std::move(ref));
    }
    std::sort(stream.chunks.begin(), stream.chunks.end(), [](const auto& a, const auto& b) { return a.min_ts_ns < b.min_ts_ns; });
    out.push_back(std::move(stream));
  }
  return out;
}

TEST(IndexWire, QueriesRoundTrip) {
  IndexQuery query{.select = {{model::Matcher::make(model::MatchType::kRegex, "app", "a.*").value()}, -5, 99}, .with_sketches = true, .fresh = true, .name = "n", .after = "{a=\"b\"}"};
  query.select.copies = 3, query.select.spans_since_ns = 7;
  const auto back = decode_index_query(encode_index_query(query));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->select.matchers.size(), 1U);
  EXPECT_EQ(std::tie(back->select.start_ns, back->select.end_ns, back->select.copies, back->select.spans_since_ns), std::make_tuple(-5, 99, 3U, 7));
  EXPECT_EQ(std::tie(back->with_sketches, back->fresh, back->name, back->after), std::tie(query.with_sketches, query.fresh, query.name, query.after));
  const auto plain = decode_index_query(encode_index_query({.select = {{}, 0, 1}}));
  EXPECT_FALSE(plain->with_sketches || plain->fresh);
  EXPECT_TRUE(plain->name.empty() && plain->after.empty());
}

TEST(IndexWire, PagesTogetherHoldEveryReferenceOnce) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SeededRandom random(seed);
    std::vector<index::StreamChunkRefs> streams = random_refs(random, 1 + static_cast<int>(random.next_u64() % 30), 3);
    std::vector<index::StreamChunkRefs> got;
    std::string after;
    int pages = 0;
    do {
      const auto message = encode_refs_page("t", streams, after, 1 + random.next_u64() % 2000);
      ASSERT_TRUE(message.ok()) << message.error().message();
      auto page = decode_refs_page("t", *message, index::WithSketches::kYes);
      ASSERT_TRUE(page.ok()) << page.error().message();
      EXPECT_FALSE(page->streams.empty());
      got.insert(got.end(), page->streams.begin(), page->streams.end());
      after = page->after;
      ++pages;
    } while (!after.empty());
    EXPECT_GT(pages, streams.size() > 10 ? 1 : 0);
    std::sort(got.begin(), got.end(), [](const auto& a, const auto& b) { return a.labels->text < b.labels->text; });
    ASSERT_EQ(got.size(), streams.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].labels->text, streams[i].labels->text);
      ASSERT_EQ(got[i].chunks.size(), streams[i].chunks.size());
      for (std::size_t c = 0; c < got[i].chunks.size(); ++c) {
        EXPECT_EQ(got[i].chunks[c].object, streams[i].chunks[c].object);
        EXPECT_EQ(got[i].chunks[c].content_id, streams[i].chunks[c].content_id);
        EXPECT_EQ(got[i].chunks[c].first_row, streams[i].chunks[c].first_row);
      }
    }
  }
  std::vector<index::StreamChunkRefs> none;
  EXPECT_TRUE(decode_refs_page("t", *encode_refs_page("t", none, "", 1), index::WithSketches::kNo)->streams.empty());
}

TEST(IndexWire, DamagedMessagesNeverCrashNorLie) {
  SeededRandom random(3);
  std::vector<index::StreamChunkRefs> streams = random_refs(random, 3, 1);
  const Bytes page = encode_refs_page("t", streams, "", 1 << 20).value();
  EXPECT_EQ(decode_refs_page("u", page, index::WithSketches::kNo).error().code(), ErrorCode::kCorruption) << "another tenant's";
  const Bytes query = encode_index_query({.select = {{model::Matcher::make(model::MatchType::kEqual, "a", "b").value()}, 1, 2}, .name = "x", .after = "y"});
  const Bytes texts = encode_texts({"one", "", "three"});
  EXPECT_EQ(decode_texts(texts).value(), (std::vector<std::string>{"one", "", "three"}));
  for (const Bytes& good : {page, query, texts}) {
    const auto read = [&](ByteView message) {
      (void)decode_refs_page("t", message, index::WithSketches::kYes);
      (void)decode_index_query(message);
      (void)decode_texts(message);
    };
    for (std::size_t cut = 0; cut < good.size(); ++cut) read(ByteView(good).substr(0, cut));
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      Bytes bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      read(bad);
    }
  }
  // A flipped bit inside of an index object is found by its checksums: what comes through is what was sent.
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < page.size() * 8; ++bit) {
    Bytes bad = page;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    refused += decode_refs_page("t", bad, index::WithSketches::kYes).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, page.size() * 8 * 9 / 10);
}

}  // namespace
}  // namespace skald::rpc
