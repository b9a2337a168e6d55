#include "skald/index/day_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "index/chunk_list.h"
#include "index/generate.h"
#include "skald/index/memory_index.h"

namespace skald::index {
namespace {

using testing::Generator;
using testing::kDay;
using testing::kDayStart;
using model::MatchType;

const TimeRange kAlways{.start_ns = INT64_MIN, .end_ns = INT64_MAX};

// Stream text → its chunks.
using Naive = std::map<std::string, std::pair<model::LabelsPtr, std::vector<ChunkRef>>>;

struct Corpus {
  Naive naive;
  BuiltDayIndex built;
  std::shared_ptr<const DayIndexReader> reader;
  MemoryIndex memory;
};

std::unique_ptr<Corpus> make_corpus(std::uint64_t seed, int streams, int chunks_per_stream) {
  auto corpus = std::make_unique<Corpus>();
  Generator generate(seed);
  DayIndexBuilder builder("tenant", kDay, Ulid::make(kDayStart, generate.random()));
  std::vector<ObjectRef> objects;
  for (int i = 0; i < 10; ++i) objects.push_back(generate.object());
  for (int i = 0; i < streams; ++i) {
    const model::LabelsPtr labels = generate.labels();
    auto& [kept, chunks] = corpus->naive[labels->text];
    kept = labels;
    for (int c = 0; c < chunks_per_stream; ++c) {
      const ChunkRef ref = generate.chunk(objects[generate.below(objects.size())]);
      const bool known = std::any_of(chunks.begin(), chunks.end(), [&](const ChunkRef& other) { return other.offset == ref.offset && other.object.id == ref.object.id; });
      if (!known) chunks.push_back(ref);
      EXPECT_TRUE(builder.add(labels, ref).ok());
      EXPECT_EQ(corpus->memory.add(labels, ref), !known);
      EXPECT_TRUE(builder.add(labels, chunks.back()).ok()) << "twice is once";
      EXPECT_FALSE(corpus->memory.add(labels, chunks.back()));
    }
  }
  auto built = builder.finish();
  EXPECT_TRUE(built.ok()) << built.error().message();
  corpus->built = std::move(*built);
  auto reader = DayIndexReader::open(std::make_shared<const Bytes>(corpus->built.bytes));
  EXPECT_TRUE(reader.ok()) << reader.error().message();
  corpus->reader = *reader;
  return corpus;
}

std::set<std::string> flatten(const std::vector<StreamChunkRefs>& streams, bool with_sketches) {
  std::set<std::string> lines;
  for (const StreamChunkRefs& stream : streams)
    for (const ChunkRef& ref : stream.chunks) EXPECT_TRUE(lines.insert(stream.labels->text + " " + testing::describe(ref, with_sketches)).second);
  return lines;
}

std::set<std::string> flatten(const Naive& naive, const std::vector<model::Matcher>& matchers, const TimeRange& range, bool with_sketches) {
  std::set<std::string> lines;
  for (const auto& [text, stream] : naive) {
    if (!model::matches_all(matchers, stream.first->labels)) continue;
    for (const ChunkRef& ref : stream.second)
      if (range.overlaps(ref.min_ts_ns, ref.max_ts_ns)) lines.insert(text + " " + testing::describe(ref, with_sketches));
  }
  return lines;
}

std::set<std::string> ask(const SeriesIndex& index, const std::vector<model::Matcher>& matchers, const TimeRange& range, bool with_sketches) {
  const auto matched = index.match(matchers);
  EXPECT_TRUE(matched.ok());
  std::vector<StreamChunkRefs> streams;
  const auto result = index.append_chunk_refs(*matched, range, with_sketches ? WithSketches::kYes : WithSketches::kNo, streams);
  EXPECT_TRUE(result.ok()) << result.error().message();
  return flatten(streams, with_sketches);
}

model::Matcher matcher(MatchType type, const char* name, const std::string& value) {
  auto made = model::Matcher::make(type, name, value);
  EXPECT_TRUE(made.ok()) << made.error().message();
  return *made;
}

std::vector<std::vector<model::Matcher>> matcher_sets() {
  const auto eq = MatchType::kEqual, ne = MatchType::kNotEqual, re = MatchType::kRegex, nre = MatchType::kNotRegex;
  std::vector<std::vector<model::Matcher>> sets = {
      {}, {matcher(eq, "env", "en-1")}, {matcher(eq, "env", "nothing")}, {matcher(eq, "nothing", "x")}, {matcher(eq, "nothing", "")},
      {matcher(ne, "nothing", "x")}, {matcher(ne, "nothing", "")}, {matcher(eq, "pod", "")}, {matcher(ne, "pod", "")}, {matcher(ne, "env", "en-0")},
      {matcher(re, "app", "ap-1|ap-2|absent")}, {matcher(nre, "app", "ap-1|ap-2|absent")}, {matcher(re, "app", "ap-1.*")}, {matcher(nre, "app", "ap-1.*")},
      {matcher(re, "pod", ".*")}, {matcher(re, "pod", ".+")}, {matcher(nre, "pod", ".*")}, {matcher(nre, "pod", ".+")}, {matcher(re, "pod", "po-1|")},
      {matcher(nre, "pod", "po-1|")}, {matcher(re, "pod", "(po-.5)?")}, {matcher(re, "nothing", "a?")}, {matcher(nre, "nothing", "a?")},
      {matcher(re, "odd", "(?s).*x")}, {matcher(eq, "odd", std::string("\xC3\xA4\n\"\0x", 6))}, {matcher(re, "env", "(?i)EN-2")},
      {matcher(eq, "env", "en-1"), matcher(re, "app", "ap-.")}, {matcher(re, "app", "ap-1.*"), matcher(ne, "pod", ""), matcher(nre, "namespace", "na-[0-2]")},
      {matcher(eq, "env", "en-1"), matcher(eq, "env", "en-2")}, {matcher(ne, "env", "en-1"), matcher(ne, "app", "ap-3"), matcher(eq, "empty_shared", "")}};
  return sets;
}

TEST(DayIndex, GivesBackEveryStreamAndReference) {
  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    const auto corpus = make_corpus(seed, static_cast<int>(seed * 90), 3);
    const auto expected = flatten(corpus->naive, {}, kAlways, true);
    EXPECT_EQ(ask(*corpus->reader, {}, kAlways, true), expected);
    EXPECT_EQ(ask(corpus->memory, {}, kAlways, true), expected);
    const DayIndexHeader& header = corpus->reader->header();
    EXPECT_EQ(header.id, corpus->built.header.id);
    EXPECT_EQ(header.day, kDay);
    EXPECT_EQ(header.series, corpus->naive.size());
    EXPECT_EQ(header.chunks, expected.size());
    EXPECT_EQ(header.objects, 10U);
  }
}

TEST(DayIndex, EveryMatcherAgreesWithFilteringEachStream) {
  const auto corpus = make_corpus(7, 400, 2);
  for (const auto& matchers : matcher_sets()) {
    std::string text;
    for (const model::Matcher& one : matchers) text += one.to_string() + ",";
    const auto expected = flatten(corpus->naive, matchers, kAlways, false);
    EXPECT_EQ(ask(*corpus->reader, matchers, kAlways, false), expected) << text;
    EXPECT_EQ(ask(corpus->memory, matchers, kAlways, false), expected) << text;
  }
}

TEST(DayIndex, ChunksAreChosenByTheirOwnTimes) {
  const auto corpus = make_corpus(8, 200, 4);
  Generator generate(9);
  for (int round = 0; round < 100; ++round) {
    TimeRange range;
    range.start_ns = kDayStart - kNanosPerHour + static_cast<std::int64_t>(generate.below(26 * kNanosPerHour));
    range.end_ns = range.start_ns + static_cast<std::int64_t>(generate.below(round % 2 == 0 ? kNanosPerMinute : 6 * kNanosPerHour));
    const auto expected = flatten(corpus->naive, {}, range, round % 3 == 0);
    EXPECT_EQ(ask(*corpus->reader, {}, range, round % 3 == 0), expected);
    EXPECT_EQ(ask(corpus->memory, {}, range, round % 3 == 0), expected);
    std::set<std::string> expected_series, series, restricted;
    for (const auto& [text, stream] : corpus->naive)
      if (std::any_of(stream.second.begin(), stream.second.end(), [&](const ChunkRef& ref) { return range.overlaps(ref.min_ts_ns, ref.max_ts_ns); })) expected_series.insert(text);
    for (const SeriesIndex* index : {static_cast<const SeriesIndex*>(corpus->reader.get()), static_cast<const SeriesIndex*>(&corpus->memory)}) {
      auto all = index->match({});
      std::vector<model::LabelsPtr> found;
      ASSERT_TRUE(index->append_series(*all, range, found).ok());
      std::set<std::string> texts;
      for (const auto& labels : found) texts.insert(labels->text);
      EXPECT_EQ(texts, expected_series);
      ASSERT_TRUE(index->restrict_to(range, *all).ok());
      EXPECT_EQ(all->count(), expected_series.size());
    }
  }
}

TEST(DayIndex, LabelNamesAndValuesAreThoseOfTheMatchingStreams) {
  const auto corpus = make_corpus(10, 300, 1);
  for (const auto& matchers : matcher_sets()) {
    std::set<std::string> names;
    std::map<std::string, std::set<std::string>> values;
    for (const auto& [text, stream] : corpus->naive) {
      if (!model::matches_all(matchers, stream.first->labels)) continue;
      for (const model::Label& label : stream.first->labels.pairs()) names.insert(label.name), values[label.name].insert(label.value);
    }
    for (const SeriesIndex* index : {static_cast<const SeriesIndex*>(corpus->reader.get()), static_cast<const SeriesIndex*>(&corpus->memory)}) {
      const auto matched = index->match(matchers);
      std::vector<std::string> found;
      ASSERT_TRUE(index->append_label_names(*matched, found).ok());
      EXPECT_EQ(std::set<std::string>(found.begin(), found.end()), names);
      EXPECT_EQ(found.size(), names.size());
      for (const char* name : {"env", "app", "namespace", "pod", "odd", "nothing"}) {
        found.clear();
        ASSERT_TRUE(index->append_label_values(name, *matched, found).ok());
        EXPECT_EQ(std::set<std::string>(found.begin(), found.end()), values[name]) << name;
        EXPECT_EQ(found.size(), values[name].size());
      }
    }
  }
}

TEST(DayIndex, EmptyIndexAndStreamWithoutLabelsWork) {
  Generator generate(11);
  const Ulid id = Ulid::make(kDayStart, generate.random());
  auto empty = DayIndexBuilder("t", kDay, id).finish();
  ASSERT_TRUE(empty.ok());
  const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(empty->bytes));
  ASSERT_TRUE(reader.ok()) << reader.error().message();
  EXPECT_TRUE(ask(**reader, {}, kAlways, true).empty());

  DayIndexBuilder builder("t", kDay, id);
  const model::LabelsPtr none = model::intern({});
  const ChunkRef ref = generate.chunk(generate.object());
  ASSERT_TRUE(builder.add(none, ref).ok());
  const auto built = builder.finish();
  const auto one = DayIndexReader::open(std::make_shared<const Bytes>(built->bytes));
  ASSERT_TRUE(one.ok()) << one.error().message();
  EXPECT_EQ(ask(**one, {}, kAlways, true).size(), 1U);
  EXPECT_EQ(ask(**one, {matcher(MatchType::kEqual, "a", "")}, kAlways, true).size(), 1U);
}

TEST(DayIndex, InputsAreListedSortedAndOnce) {
  Generator generate(12);
  const Ulid a = Ulid::make(kDayStart, generate.random()), b = Ulid::make(kDayStart + kNanosPerSecond, generate.random());
  DayIndexBuilder builder("t", kDay, Ulid::make(kDayStart, generate.random()));
  for (const Ulid& id : {b, a, b}) builder.add_input(id);
  const auto built = builder.finish();
  const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(built->bytes));
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->header().inputs, (std::vector<Ulid>{a, b}));
}

TEST(DayIndex, BuilderRefusesWhatTheFormatCannotHold) {
  Generator generate(13);
  DayIndexBuilder builder("t", kDay, Ulid::make(kDayStart, generate.random()));
  const model::LabelsPtr labels = generate.labels();
  ChunkRef good = generate.chunk(generate.object());
  const auto refused = [&](auto change) {
    ChunkRef bad = good;
    change(bad);
    const auto result = builder.add(labels, bad);
    return !result.ok() && result.error().code() == ErrorCode::kInvalidArgument;
  };
  ASSERT_TRUE(builder.add(labels, good).ok());
  EXPECT_TRUE(refused([](ChunkRef& ref) { ref.max_ts_ns = ref.min_ts_ns - 1; }));
  EXPECT_TRUE(refused([](ChunkRef& ref) { ref.min_ts_ns += 2 * kNanosPerDay, ref.max_ts_ns += 2 * kNanosPerDay; }));
  EXPECT_TRUE(refused([](ChunkRef& ref) { ref.offset += 1; }));
  EXPECT_TRUE(refused([](ChunkRef& ref) { ref.rows = 0; }));
  EXPECT_TRUE(refused([](ChunkRef& ref) { ref.hot_length = ref.length + 1; }));
  EXPECT_TRUE(refused([](ChunkRef& ref) { ref.offset = ref.object.length; }));
  EXPECT_TRUE(refused([](ChunkRef& ref) { ref.object.tail_offset += 1; }));
}

TEST(DayIndex, ASketchTheFormatCannotHoldIsLeftOut) {
  Generator generate(14);
  ChunkRef ref = generate.chunk(generate.object());
  ref.sketch = generate.sketch(ref.min_ts_ns, 3);
  ref.sketch.origin_ns += 1;
  DayIndexBuilder builder("t", kDay, Ulid::make(kDayStart, generate.random()));
  ASSERT_TRUE(builder.add(generate.labels(), ref).ok());
  const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(builder.finish()->bytes));
  std::vector<StreamChunkRefs> streams;
  ASSERT_TRUE((*reader)->append_chunk_refs(SeriesBitmap(1, true), kAlways, WithSketches::kYes, streams).ok());
  ASSERT_EQ(streams.size(), 1U);
  EXPECT_EQ(streams[0].chunks.at(0).sketch.width_s, 0U);
}

TEST(DayIndex, SketchesAsEarlierVersionsMarkedThemAreReadTheSame) {
  chunk::Sketch sketch;
  sketch.width_s = 10;
  sketch.origin_ns = 20 * kNanosPerSecond;
  sketch.rows = {1, 2};
  sketch.bytes = {30, 40};
  std::string bytes;
  append_sketch(bytes, sketch);
  bytes[0] = static_cast<char>(bytes[0] | 0x80);
  std::vector<chunk::Sketch> read;
  ASSERT_TRUE(read_sketches(bytes, 1, read).ok());
  EXPECT_EQ(read.at(0).width_s, 10U);
  EXPECT_EQ(read.at(0).rows, sketch.rows);
  EXPECT_EQ(read.at(0).bytes, sketch.bytes);
  EXPECT_EQ(read_sketches(std::string(1, '\x80'), 1, read).error().code(), ErrorCode::kCorruption);
}

TEST(DayIndex, LabelsOfASeriesAreMadeOnce) {
  Generator generate(16);
  DayIndexBuilder builder("t", kDay, Ulid::make(kDayStart, generate.random()));
  ASSERT_TRUE(builder.add(generate.labels(), generate.chunk(generate.object())).ok());
  auto reader = DayIndexReader::open(std::make_shared<const Bytes>(builder.finish()->bytes));
  std::vector<StreamChunkRefs> first, second;
  std::vector<model::LabelsPtr> series;
  const SeriesBitmap all(1, true);
  ASSERT_TRUE((*reader)->append_chunk_refs(all, kAlways, WithSketches::kNo, first).ok());
  ASSERT_TRUE((*reader)->append_chunk_refs(all, kAlways, WithSketches::kYes, second).ok());
  ASSERT_TRUE((*reader)->append_series(all, kAlways, series).ok());
  ASSERT_EQ(first.size() + second.size() + series.size(), 3U);
  EXPECT_EQ(first[0].labels, second[0].labels);
  EXPECT_EQ(first[0].labels, series[0]);
}

TEST(DayIndexKey, ComesBackAndRefusesOtherKeys) {
  Generator generate(15);
  const Ulid id = Ulid::make(kDayStart, generate.random());
  const std::string key = day_index_key("team-a", 20'001, id);
  EXPECT_EQ(key, "team-a/index/index_20001/" + id.to_string());
  const auto parsed = parse_day_index_key(key);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->tenant, "team-a");
  EXPECT_EQ(parsed->day, 20'001);
  EXPECT_EQ(parsed->id, id);
  const std::string ulid = id.to_string();
  for (const std::string& other : {"team/index/bloom_20001/" + ulid, "/index/index_1/" + ulid, std::string("team/index/index_1/short"), "team/index/index_x/" + ulid,
                                   "team/index/index_1" + ulid, "team/chunks/index/index_1/" + ulid, std::string()}) {
    EXPECT_FALSE(parse_day_index_key(other).has_value()) << other;
  }
}

// Damage. Cheap queries over everything, so that a checksum that misses something is noticed by a wrong answer.
void walk(const DayIndexReader& reader) {
  const auto all = reader.match({});
  if (!all.ok()) return;
  std::vector<StreamChunkRefs> streams;
  if (!reader.append_chunk_refs(*all, kAlways, WithSketches::kYes, streams).ok()) return;
  std::vector<std::string> texts;
  if (!reader.append_label_values("pod", *all, texts).ok()) return;
}

TEST(DayIndexDamage, EveryTruncationIsDetected) {
  const auto corpus = make_corpus(20, 40, 2);
  const Bytes& bytes = corpus->built.bytes;
  for (std::size_t keep = 0; keep < bytes.size(); ++keep) {
    const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(bytes.substr(0, keep)));
    ASSERT_FALSE(reader.ok()) << "cut at byte " << keep;
    ASSERT_EQ(reader.error().code(), ErrorCode::kCorruption);
  }
  EXPECT_FALSE(DayIndexReader::open(std::make_shared<const Bytes>(bytes + '\0')).ok());
}

TEST(DayIndexDamage, EveryFlippedBitIsDetected) {
  const auto corpus = make_corpus(21, 12, 1);
  Bytes bytes = corpus->built.bytes;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; bit += at % 3 + 1) {
      bytes[at] = static_cast<char>(bytes[at] ^ 1 << bit);
      const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(bytes));
      ASSERT_FALSE(reader.ok()) << "bit " << bit << " of byte " << at;
      ASSERT_EQ(reader.error().code(), ErrorCode::kCorruption);
      bytes[at] = static_cast<char>(bytes[at] ^ 1 << bit);
    }
  }
  const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(bytes));
  ASSERT_TRUE(reader.ok());
  walk(**reader);
}

TEST(DayIndexSize, AHundredThousandSeries) {
  Generator generate(30);
  DayIndexBuilder builder("tenant", kDay, Ulid::make(kDayStart, generate.random()));
  const ObjectRef object = generate.object();
  std::string pod = "web-7d9f8b6c5d-";
  constexpr int kSeries = 100'000;
  for (int i = 0; i < kSeries; ++i) {
    const auto labels = model::intern(model::Labels::from_pairs({{"cluster", i % 2 == 0 ? "eu-west-1" : "us-east-1"}, {"namespace", "ns-" + std::to_string(i % 50)},
                                                                 {"app", "app-" + std::to_string(i % 400)}, {"container", "c-" + std::to_string(i % 5)},
                                                                 {"pod", pod + std::to_string(i)}, {"stream", i % 3 == 0 ? "stderr" : "stdout"}}));
    ChunkRef ref = generate.chunk(object);
    ref.offset = static_cast<std::uint64_t>(i) * 64;
    ref.sketch = {};
    ASSERT_TRUE(builder.add(labels, ref).ok());
  }
  const auto built = builder.finish();
  ASSERT_TRUE(built.ok());
  const double per_series = static_cast<double>(built->bytes.size()) / kSeries;
  RecordProperty("bytes_per_series", std::to_string(per_series));
  std::printf("100000 series with 6 labels and one chunk each: %zu bytes, %.1f per series\n", built->bytes.size(), per_series);
  EXPECT_LT(per_series, 80.0);
  const auto reader = DayIndexReader::open(std::make_shared<const Bytes>(built->bytes));
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->match(std::vector{matcher(MatchType::kEqual, "app", "app-7"), matcher(MatchType::kNotEqual, "stream", "stderr")})->count(), 167U);
  EXPECT_EQ((*reader)->match(std::vector{matcher(MatchType::kEqual, "pod", pod + "777")})->count(), 1U);
  EXPECT_EQ((*reader)->match(std::vector{matcher(MatchType::kRegex, "pod", ".*-9999.")})->count(), 10U);
}

}  // namespace
}  // namespace skald::index
