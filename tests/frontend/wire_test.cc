// Subqueries and results between processes.
#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "frontend/results.h"
#include "skald/base/random.h"
#include "skald/codec/proto_writer.h"
#include "skald/frontend/subquery.h"

namespace skald::frontend {
namespace {

using testing::text_of;

std::string random_text(SeededRandom& random, std::size_t length_max) {
  std::string text(random.next_u64() % (length_max + 1), '\0');
  for (char& c : text) c = static_cast<char>(random.next_u64());
  return text;
}

double random_double(SeededRandom& random) {
  static const double odd[] = {0, -0.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 0.1, 5e-324, 1e308};
  return random.next_u64() % 3 == 0 ? odd[random.next_u64() % std::size(odd)] : std::bit_cast<double>(random.next_u64());
}

engine::Series random_series(SeededRandom& random, std::size_t samples) {
  std::vector<model::Label> labels;
  for (std::uint64_t i = random.next_u64() % 4; i > 0; --i) labels.push_back({"l" + std::to_string(i), random_text(random, 6)});
  engine::Series series{model::Labels::from_pairs_with_empty(std::move(labels)), {}};
  for (std::size_t i = 0; i < samples; ++i) series.samples.push_back({static_cast<std::int64_t>(random.next_u64()), random_double(random)});
  return series;
}

engine::QueryStats random_stats(SeededRandom& random) {
  engine::QueryStats stats;
  for (std::uint64_t* one : {&stats.bytes_processed, &stats.lines_processed, &stats.metadata_bytes_processed, &stats.post_filter_lines, &stats.entries_returned,
                             &stats.splits, &stats.shards, &stats.subqueries, &stats.streams, &stats.select.ingester_chunks_matched,
                             &stats.select.store_chunk_refs, &stats.select.store_chunks_matched, &stats.ingester_lines, &stats.ingester_bytes,
                             &stats.store_lines, &stats.store_decompressed_bytes, &stats.store_compressed_bytes, &stats.store_chunks_downloaded})
    *one = random.next_u64() >> (random.next_u64() % 64);
  for (std::int64_t* one : {&stats.exec_ns, &stats.queue_ns, &stats.select.chunk_refs_lookup_ns, &stats.store_download_ns})
    *one = static_cast<std::int64_t>(random.next_u64() >> 1 >> (random.next_u64() % 63));
  return stats;
}

engine::QueryResult random_result(SeededRandom& random) {
  engine::QueryResult result;
  switch (random.next_u64() % 4) {
    case 0: {
      engine::LogResult logs;
      for (std::uint64_t i = random.next_u64() % 4; i > 0; --i) {
        engine::LogStream stream;
        for (std::uint64_t l = random.next_u64() % 3; l > 0; --l)
          stream.labels.labels.push_back({random_text(random, 5), random_text(random, 5), static_cast<engine::LabelCategory>(random.next_u64() % 3)});
        for (std::uint64_t e = random.next_u64() % 5; e > 0; --e)
          stream.entries.push_back({static_cast<std::int64_t>(random.next_u64()), random_text(random, 20), static_cast<std::uint32_t>(random.next_u64())});
        logs.streams.push_back(std::move(stream));
      }
      result.data = std::move(logs);
      break;
    }
    case 1: {
      engine::VectorResult vector;
      vector.ordered = random.next_u64() % 2 == 0;
      for (std::uint64_t i = random.next_u64() % 4; i > 0; --i) vector.series.push_back(random_series(random, 1));
      result.data = std::move(vector);
      break;
    }
    case 2: {
      engine::MatrixResult matrix;
      for (std::uint64_t i = random.next_u64() % 4; i > 0; --i) matrix.series.push_back(random_series(random, random.next_u64() % 6));
      result.data = std::move(matrix);
      break;
    }
    default: result.data = engine::ScalarResult{{static_cast<std::int64_t>(random.next_u64()), random_double(random)}};
  }
  result.stats = random_stats(random);
  for (std::uint64_t i = random.next_u64() % 3; i > 0; --i) result.warnings.push_back(random_text(random, 12));
  return result;
}

Subquery random_subquery(SeededRandom& random) {
  Subquery out;
  out.tenant = "a|b";
  out.query = random_text(random, 60);
  out.params.instant = random.next_u64() % 2 == 0;
  out.params.direction = random.next_u64() % 2 == 0 ? engine::Direction::kForward : engine::Direction::kBackward;
  for (std::int64_t* one : {&out.params.start_ns, &out.params.end_ns, &out.params.step_ns, &out.params.interval_ns, &out.read.cardinality_limit,
                            &out.read.max_chunks_per_query, &out.read.max_query_bytes_read, &out.read.max_querier_bytes_read,
                            &out.read.split_queries_by_interval})
    *one = static_cast<std::int64_t>(random.next_u64());
  out.params.limit = static_cast<std::uint32_t>(random.next_u64());
  out.limits = {static_cast<std::uint32_t>(random.next_u64()), random.next_u64() % 2 == 0, random.next_u64() % 2 == 0, random.next_u64() % 2 == 0};
  return out;
}

std::string text_of(const Subquery& s) {
  std::string text = s.tenant + "/" + s.query;
  for (const std::int64_t one : {s.params.start_ns, s.params.end_ns, s.params.step_ns, s.params.interval_ns, static_cast<std::int64_t>(s.params.limit),
                                 static_cast<std::int64_t>(s.params.instant), static_cast<std::int64_t>(s.params.direction),
                                 static_cast<std::int64_t>(s.limits.max_series), static_cast<std::int64_t>(s.limits.allow_approx_topk),
                                 static_cast<std::int64_t>(s.limits.allow_variants), static_cast<std::int64_t>(s.limits.partial_results)})
    text += "/" + std::to_string(one);
  return text;
}

TEST(FrontendWire, SubqueriesRoundTrip) {
  SeededRandom random(1);
  for (int i = 0; i < 200; ++i) {
    const Subquery subquery = random_subquery(random);
    const auto back = decode_subquery("a|b", encode_subquery(subquery));
    ASSERT_TRUE(back.ok()) << back.error().message();
    EXPECT_EQ(text_of(*back), text_of(subquery));
    EXPECT_EQ(back->read, subquery.read);
  }
  const auto plain = decode_subquery("t", encode_subquery(Subquery{}));
  EXPECT_EQ(plain->params.limit, 100U);
  EXPECT_EQ(plain->limits.max_series, 500U);
}

TEST(FrontendWire, ResultsRoundTripBitByBit) {
  SeededRandom random(2);
  for (int i = 0; i < 300; ++i) {
    const engine::QueryResult result = random_result(random);
    auto back = decode_result(encode_result(result));
    ASSERT_TRUE(back.ok()) << back.error().message();
    ASSERT_TRUE(back->ok());
    EXPECT_EQ(text_of(**back, true), text_of(result, true));
  }
}

TEST(FrontendWire, ErrorsKeepCodeAndText) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kIo); ++code) {
    const Error error(static_cast<ErrorCode>(code), "line one\nline two \xff");
    auto back = decode_result(encode_result(error));
    ASSERT_TRUE(back.ok());
    ASSERT_FALSE(back->ok());
    EXPECT_EQ(back->error(), error);
  }
}

TEST(FrontendWire, EveryTruncationIsNoticed) {
  SeededRandom random(3);
  for (int i = 0; i < 20; ++i) {
    const Bytes result = encode_result(random_result(random)), subquery = encode_subquery(random_subquery(random));
    for (std::size_t keep = 0; keep < result.size(); ++keep) EXPECT_FALSE(decode_result(ByteView(result).substr(0, keep)).ok()) << keep;
    for (std::size_t keep = 0; keep < subquery.size(); ++keep) EXPECT_FALSE(decode_subquery("t", ByteView(subquery).substr(0, keep)).ok()) << keep;
  }
}

TEST(FrontendWire, FlippedBitsNeverCrash) {
  SeededRandom random(4);
  for (int i = 0; i < 12; ++i) {
    for (const Bytes& good : {encode_result(random_result(random)), encode_subquery(random_subquery(random))}) {
      for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        Bytes bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
        (void)decode_result(bad);
        (void)decode_subquery("t", bad);
      }
    }
  }
}

TEST(FrontendWire, WhatANewerBinaryAddsIsSkipped) {
  SeededRandom random(5);
  const engine::QueryResult result = random_result(random);
  Bytes message = encode_result(result);
  codec::append_proto_bytes(message, 99, "new");
  codec::append_proto_varint(message, 98, 7);
  codec::append_proto_fixed64(message, 97, 7);
  EXPECT_EQ(text_of(**decode_result(message), true), text_of(result, true));
  Bytes unknown_code;
  codec::append_proto_varint(unknown_code, 1, 4000);
  codec::append_proto_bytes(unknown_code, 2, "odd");
  codec::append_proto_varint(unknown_code, 15, 1);
  EXPECT_EQ(decode_result(unknown_code)->error(), Error(ErrorCode::kInternal, "odd"));
}

TEST(FrontendWire, CountsThatNothingCoversAreRefused) {
  Bytes series, message;
  codec::append_proto_bytes(series, 2, std::string(2, '\0'));
  codec::append_proto_bytes(series, 3, std::string(24, '\0'));   // three values, two times
  codec::append_proto_varint(message, 3, 3);
  codec::append_proto_bytes(message, 5, series);
  codec::append_proto_varint(message, 15, 1);
  EXPECT_FALSE(decode_result(message).ok());
  Bytes scalar;
  codec::append_proto_varint(scalar, 3, 4);
  codec::append_proto_varint(scalar, 15, 1);
  EXPECT_FALSE(decode_result(scalar).ok());
}

TEST(FrontendWire, StatisticsOfPartsAddUp) {
  engine::QueryStats sum;
  engine::QueryStats part;
  part.lines_processed = 3;
  part.streams = 5;
  part.store_chunks_downloaded = 2;
  add_stats(sum, part);
  part.streams = 4;
  add_stats(sum, part);
  EXPECT_EQ(sum.lines_processed, 6U);
  EXPECT_EQ(sum.store_chunks_downloaded, 4U);
  EXPECT_EQ(sum.streams, 5U);
}

}  // namespace
}  // namespace skald::frontend
