#include "skald/model/push_wire.h"

#include <gtest/gtest.h>
#include <snappy.h>

#include "skald/base/random.h"

namespace skald::model {
namespace {

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
void append_bytes(std::string& out, int field, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}
std::string timestamp(std::int64_t seconds, int nanos) {
  std::string out = "\x08";
  append_varint(out, static_cast<std::uint64_t>(seconds));
  out += "\x10";
  append_varint(out, static_cast<std::uint64_t>(nanos));
  return out;
}
std::string entry(std::int64_t seconds, int nanos, std::string_view line, std::string_view name = "") {
  std::string out;
  append_bytes(out, 1, timestamp(seconds, nanos));
  append_bytes(out, 2, line);
  if (!name.empty()) {
    std::string pair;
    append_bytes(pair, 1, name);
    append_bytes(pair, 2, "v");
    append_bytes(out, 3, pair);
  }
  return out;
}
std::string sample_body() {
  std::string stream, body;
  append_bytes(stream, 1, "{a=\"b\"}");
  append_bytes(stream, 2, entry(1700000000, 5, "one", "trace"));
  append_bytes(stream, 2, entry(-1, 999999999, "two"));
  append_varint(stream, 3 << 3);  // hash, ignored
  append_varint(stream, 77);
  append_bytes(body, 1, stream);
  append_bytes(body, 2, "loki");
  append_bytes(body, 1, "");
  return body;
}

TEST(WalkPush, ReadsStreamsEntriesAndMetadataAsSent) {
  const std::string body = sample_body();
  WirePush push;
  ASSERT_TRUE(walk_push(body, push).ok());
  ASSERT_EQ(push.streams.size(), 2u);
  EXPECT_EQ(push.streams[0].labels_text, "{a=\"b\"}");
  ASSERT_EQ(push.entries.size(), 2u);
  EXPECT_EQ(push.entries[0].timestamp_ns, 1700000000'000000005);
  EXPECT_EQ(push.entries[1].timestamp_ns, -1);
  EXPECT_EQ(push.entries[1].line, "two");
  ASSERT_EQ(push.metadata.size(), 1u);
  EXPECT_EQ(push.metadata[0], (LabelView{"trace", "v"}));
  EXPECT_EQ(push.streams[1].entries_begin, push.streams[1].entries_end);
}

TEST(WalkPush, TruncationsAndBitFlipsNeverEscapeTheBody) {
  const std::string body = sample_body();
  WirePush push;
  for (std::size_t keep = 0; keep < body.size(); ++keep) {
    const std::string cut = body.substr(0, keep);
    (void)walk_push(cut, push).ok();
    for (const WireEntry& one : push.entries) {
      if (!one.line.empty()) {
        EXPECT_GE(one.line.data(), cut.data());
        EXPECT_LE(one.line.data() + one.line.size(), cut.data() + cut.size());
      }
    }
  }
  for (std::size_t bit = 0; bit < body.size() * 8; ++bit) {
    std::string flipped = body;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    (void)walk_push(flipped, push).ok();
  }
  EXPECT_EQ(walk_push("zzz", push).error().message(), "unexpected EOF");
}

TEST(WalkPush, TimesBeyondInt64BecomeItsEnds) {
  std::string stream, body;
  append_bytes(stream, 2, entry(253402300799, 0, "x"));
  append_bytes(stream, 2, entry(-62135596800, 0, "x"));
  append_bytes(body, 1, stream);
  WirePush push;
  ASSERT_TRUE(walk_push(body, push).ok());
  EXPECT_EQ(push.entries[0].timestamp_ns, std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(push.entries[1].timestamp_ns, std::numeric_limits<std::int64_t>::min());
}

TEST(SnappyUncompress, RoundTripsAndRefusesBombsAndDamage) {
  SeededRandom random(7);
  std::string plain;
  for (int i = 0; i < 5000; ++i) plain += static_cast<char>('a' + random.next_u64() % 5);
  std::string packed;
  snappy::Compress(plain.data(), plain.size(), &packed);
  EXPECT_EQ(snappy_uncompress(packed, 1 << 20).value(), plain);
  EXPECT_EQ(snappy_uncompress(packed, 4999).error().code(), ErrorCode::kTooLarge);
  for (std::size_t keep = 0; keep < packed.size(); keep += 7)
    EXPECT_EQ(snappy_uncompress(packed.substr(0, keep), 1 << 20).error().message(), "snappy: corrupt input");
  EXPECT_EQ(snappy_uncompress(std::string("\xFF\xFF\xFF\xFF\x0F", 5), 1ULL << 40).error().message(),
            "snappy: corrupt input");
}

TEST(MetadataName, Normalises) {
  const std::pair<const char*, const char*> cases[] = {
      {"a-b", "a_b"}, {"a..b", "a_b"}, {"a__b", "a_b"}, {"0e", "key_0e"}, {"__x__", "__x__"}, {"cl\xC3\xA9", "cl_"},
      {"__a.b__", "__a_b__"}, {"_x", "_x"}, {"9lives", "key_9lives"}, {"__x", "_x"}, {"1.2", "key_1_2"}};
  for (const auto& [from, to] : cases) {
    std::string out = from;
    ASSERT_TRUE(normalize_metadata_name(from, out).ok()) << from;
    EXPECT_EQ(out, to) << from;
  }
  std::string untouched = "same";
  EXPECT_TRUE(normalize_metadata_name("trace_id", untouched).value());
  EXPECT_EQ(untouched, "same");
  const auto refused = normalize_metadata_name("___", untouched);
  EXPECT_EQ(refused.error(), Error(ErrorCode::kInternal,
                                   "normalization for label name \"___\" resulted in invalid name \"_\""));
}

}  // namespace
}  // namespace skald::model
