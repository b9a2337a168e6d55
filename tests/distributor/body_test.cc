#include <gtest/gtest.h>
#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include "distributor/decoded.h"
#include "distributor/fakes.h"
#include "skald/base/random.h"

namespace skald::distributor::testing {
namespace {

// window bits: -15 raw, 15 zlib, 31 gzip
std::string zlib_pack(const std::string& plain, int window_bits) {
  z_stream stream{};
  SKALD_CHECK(deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  SKALD_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
std::string zstd_pack(const std::string& plain) {
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 1));
  return out;
}
std::string lz4_pack(const std::string& plain) {
  std::string out(LZ4F_compressFrameBound(plain.size(), nullptr), '\0');
  out.resize(LZ4F_compressFrame(out.data(), out.size(), plain.data(), plain.size(), nullptr));
  return out;
}

Result<SharedBytes> undo(const std::string& body, const char* encoding, EncodingSet set, std::uint64_t limit = 1 << 20) {
  return undo_content_encoding(std::make_shared<const std::string>(body), encoding, set, limit);
}

struct Packing {
  const char* encoding;
  EncodingSet set;
  std::string (*pack)(const std::string&);
};
const Packing kPackings[] = {
    {"gzip", EncodingSet::kLoki, [](const std::string& plain) { return zlib_pack(plain, 31); }},
    {"gzip", EncodingSet::kOtlp, [](const std::string& plain) { return zlib_pack(plain, 31); }},
    {"deflate", EncodingSet::kLoki, [](const std::string& plain) { return zlib_pack(plain, -15); }},
    {"zstd", EncodingSet::kOtlp, zstd_pack},
    {"lz4", EncodingSet::kOtlp, lz4_pack}};

TEST(ContentEncoding, RoundTripsAndStopsAtTheLimit) {
  SeededRandom random(3);
  for (const std::size_t size : {0, 1, 1000, 70000, 300000}) {
    std::string plain;
    for (std::size_t i = 0; i < size; ++i) plain += static_cast<char>('a' + random.next_u64() % 4);
    for (const Packing& packing : kPackings) {
      const std::string packed = packing.pack(plain);
      const auto out = undo(packed, packing.encoding, packing.set);
      ASSERT_TRUE(out.ok()) << packing.encoding << size << out.error().message();
      EXPECT_EQ(**out, plain);
      EXPECT_TRUE(undo(packed, packing.encoding, packing.set, size).ok()) << packing.encoding << size;
      if (size > 0) {
        const auto refused = undo(packed, packing.encoding, packing.set, size - 1);
        ASSERT_FALSE(refused.ok()) << packing.encoding;
        EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge) << packing.encoding << size;
      }
    }
  }
}

TEST(ContentEncoding, BombsCostNoMoreThanTheLimit) {
  const std::string zeros(16 << 20, '\0');
  for (const Packing& packing : kPackings) {
    const auto refused = undo(packing.pack(zeros), packing.encoding, packing.set, 1 << 20);
    ASSERT_FALSE(refused.ok()) << packing.encoding;
    EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge) << packing.encoding;
    EXPECT_EQ(refused.error().message().rfind("request body too large", 0), 0u);
  }
}

TEST(ContentEncoding, TruncationsAreRefused) {
  const std::string plain = "some text some text some text some more text";
  for (const Packing& packing : kPackings) {
    const std::string packed = packing.pack(plain);
    for (std::size_t keep = 1; keep < packed.size(); ++keep)
      EXPECT_FALSE(undo(packed.substr(0, keep), packing.encoding, packing.set).ok()) << packing.encoding << keep;
  }
}

TEST(ContentEncoding, Names) {
  EXPECT_EQ(undo("x", "br", EncodingSet::kLoki).error().message(), "Content-Encoding \"br\" not supported");
  EXPECT_EQ(undo("x", "identity", EncodingSet::kLoki).error().message(), "Content-Encoding \"identity\" not supported");
  EXPECT_EQ(undo("not gzip at all", "gzip", EncodingSet::kLoki).error().message(), "gzip: invalid header");
  EXPECT_EQ(undo(zlib_pack("{}", 15), "deflate", EncodingSet::kLoki).error().message(), "EOF");
  EXPECT_EQ(**undo("plain", "snappy", EncodingSet::kLoki), "plain");
}

TEST(ContentEncoding, AllFormatsAndEncodingsGiveTheSameRows) {
  SeededRandom random(5);
  for (int round = 0; round < 30; ++round) {
    Bench bench;
    std::vector<Row> entries;
    for (std::uint64_t n = 1 + random.next_u64() % 20; n > 0; --n) {
      Row row{kNow + static_cast<std::int64_t>(random.next_u64() % 1000000), ""};
      for (std::uint64_t k = random.next_u64() % 60; k > 0; --k) row.line += static_cast<char>(random.next_u64() % 127);
      for (std::uint64_t k = random.next_u64() % 4; k > 0; --k)
        row.metadata.emplace_back("m" + std::to_string(random.next_u64() % 9), "v\"" + std::to_string(k));
      entries.push_back(std::move(row));
    }
    std::string json = R"({"streams":[{"stream":{"app":"a\"b"},"values":[)";
    for (const Row& row : entries) {
      if (json.back() != '[') json += ',';
      json += "[\"" + std::to_string(row.timestamp_ns) + "\"," + json_string(row.line);
      std::string metadata;
      for (const auto& [name, value] : row.metadata) metadata += (metadata.empty() ? "" : ",") + json_string(name) + ":" + json_string(value);
      if (!metadata.empty()) json += ",{" + metadata + "}";
      json += "]";
    }
    json += "]}]}";
    const std::string proto = snappy(proto_stream("{app=\"a\\\"b\"}", entries));
    ASSERT_TRUE(bench.push(PushFormat::kLokiProtobuf, proto, "snappy").ok());
    const auto expected = rows(bench.last());
    ASSERT_EQ(expected.size(), entries.size());
    const auto same = [&](PushFormat format, const std::string& body, const char* encoding) {
      const auto answer = bench.push(format, body, encoding);
      ASSERT_TRUE(answer.ok()) << answer.error().message() << json;
      EXPECT_EQ(rows(bench.last()), expected);
    };
    same(PushFormat::kLokiProtobuf, zlib_pack(proto, 31), "gzip");
    same(PushFormat::kLokiProtobuf, zlib_pack(proto, -15), "deflate");
    same(PushFormat::kLokiJson, json, "");
    same(PushFormat::kLokiJson, json, "snappy");
    same(PushFormat::kLokiJson, zlib_pack(json, 31), "gzip");
    same(PushFormat::kLokiJson, zlib_pack(json, -15), "deflate");
  }
}

TEST(ProtoPush, EveryTruncationAndBitFlipIsAnAnswer) {
  Bench bench;
  const std::string packed = snappy(proto_stream("{app=\"a\"}", {{kNow, "line one"}, {kNow + 1, "line two", {{"k", "v"}}}}));
  for (std::size_t keep = 0; keep < packed.size(); ++keep)
    EXPECT_EQ(bench.push(PushFormat::kLokiProtobuf, packed.substr(0, keep)).error().message(), "snappy: corrupt input");
  for (std::size_t bit = 0; bit < packed.size() * 8; ++bit) {
    std::string damaged = packed;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    (void)bench.push(PushFormat::kLokiProtobuf, damaged).ok();
  }
  EXPECT_EQ(bench.push(PushFormat::kLokiProtobuf, "").error().message(), "snappy: corrupt input");
  EXPECT_EQ(bench.push(PushFormat::kLokiProtobuf, snappy("")).error().code(), ErrorCode::kUnprocessable);
}

}  // namespace
}  // namespace skald::distributor::testing
