#include "skald/rpc/wire.h"

#include <gtest/gtest.h>

#include "fake_ingester.h"
#include "skald/base/random.h"
#include "skald/rpc/ingester_service.h"

namespace skald::rpc {
namespace {

using testing::batch_of;
using testing::columns_of;
using testing::labels;
using testing::Row;

class Wire : public ::testing::Test {
 protected:
  InternText intern() {
    return [this](std::string_view text) { return texts_.intern(text); };
  }
  LabelTexts texts_{100};
};

std::vector<Row> random_rows(SeededRandom& random, std::size_t count) {
  std::vector<Row> rows;
  std::int64_t at = 1'700'000'000'000'000'000;
  for (std::size_t i = 0; i < count; ++i) {
    at += static_cast<std::int64_t>(random.next_u64() % 1'000'000);
    Row row{at, std::string(random.next_u64() % 80, static_cast<char>('a' + i % 26)), {}, static_cast<model::Level>(random.next_u64() % model::kLevelCount)};
    if (random.next_u64() % 3 == 0) row.metadata.push_back({"trace_id", std::to_string(random.next_u64())});
    if (random.next_u64() % 5 == 0) row.metadata.push_back({"user", ""});
    rows.push_back(row);
  }
  return rows;
}

std::string text_of(const chunk::Columns& columns) {
  std::string out;
  for (std::uint32_t row = 0; row < columns.rows; ++row) {
    out += std::to_string(columns.timestamps_ns[row]) + " " + (columns.levels.empty() ? "-" : std::to_string(columns.levels[row])) + " " + std::string(columns.line(row));
    for (const auto& column : columns.metadata)
      if (column.values[row].data() != nullptr) out += " " + column.name + "=" + std::string(column.values[row]);
    out += "\n";
  }
  return out;
}

TEST_F(Wire, ColumnsRoundTrip) {
  SeededRandom random(11);
  for (const std::size_t count : {0U, 1U, 2U, 100U, 3000U}) {
    const auto columns = columns_of(random_rows(random, count));
    const auto back = decode_columns(encode_columns(*columns, 0, columns->rows, chunk::kAllColumns).value());
    ASSERT_TRUE(back.ok()) << back.error().message();
    EXPECT_EQ(text_of(**back), text_of(*columns));
    if (count < 10) continue;
    const auto part = decode_columns(encode_columns(*columns, 5, 4, chunk::kAllColumns).value());
    ASSERT_EQ((*part)->rows, 4U);
    EXPECT_EQ((*part)->line(0), columns->line(5));
    EXPECT_EQ((*part)->timestamps_ns[3], columns->timestamps_ns[8]);
    const auto times = decode_columns(encode_columns(*columns, 0, columns->rows, chunk::kTimestamps).value());
    EXPECT_TRUE((*times)->line_offsets.empty());
    EXPECT_EQ((*times)->timestamps_ns, columns->timestamps_ns);
    const auto lengths = decode_columns(encode_columns(*columns, 0, columns->rows, chunk::kLineLengths).value());
    EXPECT_EQ((*lengths)->line_offsets, columns->line_offsets);
    EXPECT_EQ((*lengths)->text_bytes, 0U);
  }
  EXPECT_FALSE(encode_columns(*columns_of({}), 0, 1, chunk::kAllColumns).ok());
}

TEST_F(Wire, DamagedColumnsNeverCrash) {
  SeededRandom random(12);
  const auto columns = columns_of(random_rows(random, 40));
  for (const std::uint32_t rows : {3U, 40U}) {   // plain and compressed
    const Bytes good = encode_columns(*columns, 0, rows, chunk::kAllColumns).value();
    for (std::size_t cut = 0; cut < good.size(); ++cut) EXPECT_FALSE(decode_columns(ByteView(good).substr(0, cut)).ok()) << cut;
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      Bytes bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      (void)decode_columns(bad);
    }
  }
}

TEST_F(Wire, PushesRoundTrip) {
  SeededRandom random(13);
  const auto a = labels({{"app", "web"}, {"odd", "\xff\"\n"}}), b = labels({{"app", "db"}});
  const auto batch = batch_of("t1", {{a, random_rows(random, 3)}, {b, random_rows(random, 200)}, {a, random_rows(random, 1)}});
  const auto back = decode_push("t1", encode_push(*batch).value(), intern());
  ASSERT_TRUE(back.ok()) << back.error().message();
  testing::FakeIngester left, right;
  left.push({}, batch, [](auto) {});
  right.push({}, *back, [](auto) {});
  for (const auto& stream : {a, b}) EXPECT_EQ(left.rows_of("t1", stream->text), right.rows_of("t1", stream->text));
  const auto some = decode_push("t1", encode_push(*batch, {1}).value(), intern());
  ASSERT_EQ((*some)->streams.size(), 1U);
  EXPECT_EQ((*some)->streams[0].labels->text, b->text);
  EXPECT_EQ((*some)->entries.size(), 200U);
}

TEST_F(Wire, VolumesRoundTripWithTheirSpans) {
  const auto a = labels({{"app", "web"}});
  const auto back = decode_volumes(encode_volumes({{a, 1, 2, 3, {{77, 2, -5, 900, 10, 20}, {0, 1, 3, 3, 1, 1}}}}), intern());
  ASSERT_TRUE(back.ok());
  ASSERT_EQ(back->at(0).spans.size(), 2U);
  const VolumeSpan& span = back->at(0).spans[0];
  EXPECT_EQ(std::tie(span.source_id, span.holder, span.min_ts_ns, span.max_ts_ns, span.bytes, span.entries), std::make_tuple(77U, 2U, -5, 900, 10U, 20U));
  SelectRequest request{{}, 1, 2};
  request.copies = 3, request.spans_since_ns = -9;
  EXPECT_EQ(decode_select(encode_select(request))->copies, 3U);
  EXPECT_EQ(decode_select(encode_select(request))->spans_since_ns, -9);
  EXPECT_EQ(decode_select(encode_select({{}, 1, 2}))->spans_since_ns, INT64_MAX);
  EXPECT_FALSE(decode_volumes(encode_volumes({{a, 0, 0, 0, {{1, 0, 5, 4, 1, 1}}}}), intern()).ok()) << "ends before it begins";
}

TEST_F(Wire, DamagedMessagesNeverCrash) {
  SeededRandom random(14);
  const auto a = labels({{"app", "web"}});
  RemoteSelect select{.handle = 7, .streams = {{a, {{3, 1, 2, 100, 9, true, "xyz", 0}, {5, -4, 8, 10, 11, false, "", 77}}}}, .stats = {1, 2, 3, 4}};
  std::vector<model::Matcher> matchers{model::Matcher::make(model::MatchType::kRegex, "app", "w.*").value()};
  const std::vector<Bytes> messages{
      encode_push(*batch_of("t", {{a, random_rows(random, 5)}})).value(), encode_select({matchers, -5, 10}), encode_remote_select(select),
      encode_volumes({{a, 1, 2, 3, {{77, 2, -5, 900, 10, 20}, {0, 1, 3, 3, 1, 1}}}}), encode_blocks_request({5, chunk::kLines, {1, 2, 300}}), encode_blocks({"ab", "c"}),
      encode_tail_batch({{a, {{5, "line", {{"k", "v"}}}}}}), encode_push_outcome({1, 2, Error(ErrorCode::kResourceExhausted, "slow")})};
  const auto read = [&](ByteView message) {
    (void)decode_push("t", message, intern());
    (void)decode_select(message);
    (void)decode_remote_select(message, intern());
    (void)decode_volumes(message, intern());
    (void)decode_blocks_request(message);
    (void)decode_blocks(message);
    (void)decode_tail_batch(message, intern());
    (void)decode_push_outcome(message);
    (void)decode_series(message, intern());
  };
  for (const Bytes& good : messages) {
    for (std::size_t cut = 0; cut <= good.size(); ++cut) read(ByteView(good).substr(0, cut));
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      Bytes bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      read(bad);
    }
  }
}

TEST_F(Wire, OtherMessagesRoundTrip) {
  const auto a = labels({{"app", "web"}});
  const auto select = decode_select(encode_select({{model::Matcher::make(model::MatchType::kNotRegex, "x", "a|b").value()}, INT64_MIN, INT64_MAX})).value();
  EXPECT_EQ(select.start_ns, INT64_MIN);
  EXPECT_EQ(select.end_ns, INT64_MAX);
  EXPECT_EQ(select.matchers[0].to_string(), "x!~\"a|b\"");
  const auto outcome = decode_push_outcome(encode_push_outcome({4, 2, Error(ErrorCode::kInvalidArgument, "too old")})).value();
  EXPECT_EQ(outcome.accepted, 4U);
  EXPECT_EQ(outcome.error, Error(ErrorCode::kInvalidArgument, "too old"));
  EXPECT_FALSE(decode_push_outcome(encode_push_outcome({4, 0, std::nullopt}))->error.has_value());
  const auto volumes = decode_volumes(encode_volumes({{a, 10, 20, 30}}), intern()).value();
  EXPECT_EQ(volumes[0].entries, 20U);
  const auto request = decode_blocks_request(encode_blocks_request({99, chunk::kLines, {0, 5, 70'000}})).value();
  EXPECT_EQ(request.blocks, (std::vector<std::uint32_t>{0, 5, 70'000}));
  EXPECT_EQ(request.mask, chunk::kLines);
  const auto tailed = decode_tail_batch(encode_tail_batch({{a, {{5, "line", {{"k", "v"}}}, {6, "", {}}}}}), intern()).value();
  EXPECT_EQ(tailed[0].entries[0].metadata, (std::vector<model::Label>{{"k", "v"}}));
  EXPECT_EQ(tailed[0].entries[1].timestamp_ns, 6);
}

// A newer binary may send what we do not know.
TEST_F(Wire, UnknownFieldsAreSkipped) {
  Bytes message = encode_select({{}, 5, 6});
  message += std::string("\xa2\x06\x03new\xa8\x06\x01", 9);   // fields 100 and 101
  EXPECT_EQ(decode_select(message)->end_ns, 6);
}

TEST_F(Wire, LabelTextsStayBounded) {
  LabelTexts texts(10);
  const auto first = texts.intern("{a=\"0\"}").value();
  EXPECT_EQ(texts.intern("{a=\"0\"}").value(), first);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(texts.intern("{a=\"" + std::to_string(i) + "\"}").ok());
  EXPECT_NE(texts.intern("{a=\"0\"}").value(), first);   // dropped meanwhile, made anew
  EXPECT_FALSE(texts.intern("{a=").ok());
}

}  // namespace
}  // namespace skald::rpc
