#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "skald/base/random.h"
#include "skald/codec/bitpack.h"
#include "skald/codec/compress.h"
#include "skald/codec/crc32c.h"
#include "skald/codec/hash.h"
#include "skald/codec/varint.h"

namespace skald::codec {
namespace {

constexpr Compression kAll[] = {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                                Compression::kLz4,  Compression::kZstd, Compression::kZlib};

Bytes random_text(SeededRandom& random, std::size_t size, unsigned alphabet) {
  Bytes text(size, '\0');
  for (char& c : text) c = static_cast<char>('a' + random.next_u64() % alphabet);
  return text;
}

TEST(Crc32c, MatchesThePublishedVectors) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(Bytes(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(Bytes(32, '\xff')), 0x62A8AB43U);
}

TEST(Crc32c, HardwareAndTableAgreeAtEveryLengthAndChain) {
  SeededRandom random(1);
  const Bytes data = random_text(random, 300, 26);
  for (std::size_t n = 0; n <= data.size(); ++n) {
    const ByteView view = ByteView(data).substr(0, n);
    ASSERT_EQ(crc32c(view), crc32c_scalar(view)) << n;
    ASSERT_EQ(crc32c(view.substr(n / 3), crc32c(view.substr(0, n / 3))), crc32c(view)) << n;
  }
}

TEST(Hash, IsXxh3WithTheSeedsWeDocument) {
  EXPECT_EQ(xxh3_64(""), 0x2D06800538D394C2ULL);   // published test vector: empty input, seed 0
  Bytes words;
  append_le<std::uint64_t>(words, 7);
  append_le<std::uint64_t>(words, 9);
  EXPECT_EQ(xxh3_words(7, 9), xxh3_64(words));
  EXPECT_EQ(xxh3_64_seeded("abc", 0), xxh3_64("abc"));
}

TEST(Varint, RoundTripsAndRefusesEveryTruncation) {
  for (int shift = 0; shift < 64; ++shift) {
    for (const std::int64_t nudge : {-1, 0, 1}) {
      const std::uint64_t value = (1ULL << shift) + static_cast<std::uint64_t>(nudge);
      Bytes out;
      append_varint(out, value);
      ASSERT_EQ(out.size(), varint_size(value));
      const char* p = out.data();
      std::uint64_t back = 0;
      ASSERT_TRUE(read_varint(p, out.data() + out.size(), back));
      ASSERT_EQ(back, value);
      ASSERT_EQ(p, out.data() + out.size());
      for (std::size_t keep = 0; keep < out.size(); ++keep) {
        p = out.data();
        ASSERT_FALSE(read_varint(p, out.data() + keep, back));
      }
      ASSERT_EQ(unzigzag(zigzag(static_cast<std::int64_t>(value))), static_cast<std::int64_t>(value));
    }
  }
}

TEST(Varint, RefusesMoreThan64Bits) {
  const Bytes too_long(11, '\xff');
  const char* p = too_long.data();
  std::uint64_t value = 0;
  EXPECT_FALSE(read_varint(p, p + too_long.size(), value));
  ByteReader reader(too_long);
  EXPECT_EQ(reader.varint(), 0U);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.fixed<std::uint8_t>(), 0);
}

TEST(Bitpack, RoundTripsEveryWidthAndLength) {
  SeededRandom random(2);
  for (unsigned width = 0; width <= 64; ++width) {
    for (const std::size_t count : {0UL, 1UL, 2UL, 127UL, 128UL, 129UL, 700UL}) {
      std::vector<std::int64_t> values(count);
      for (auto& v : values) {
        const std::uint64_t bits = width == 64 ? random.next_u64() : random.next_u64() & ((1ULL << width) - 1);
        v = static_cast<std::int64_t>(bits - (width < 64 ? 1000 : 0));
      }
      Bytes out;
      bitpack_append<std::int64_t>(values, out);
      ASSERT_EQ(out.size(), compute_bitpack_size<std::int64_t>(values));
      ASSERT_LE(out.size(), bitpack_bytes_max(count));
      std::vector<std::int64_t> back(count, -7);
      ASSERT_TRUE(bitpack_read<std::int64_t>(out, back)) << width << " " << count;
      ASSERT_EQ(back, values);
      for (std::size_t keep = 0; keep < out.size(); keep += 1 + out.size() / 50) {
        ASSERT_FALSE(bitpack_read<std::int64_t>(ByteView(out).substr(0, keep), back));
      }
      out.push_back('x');
      ASSERT_FALSE(bitpack_read<std::int64_t>(out, back));
    }
  }
}

TEST(Bitpack, HoldsTheExtremes) {
  const std::vector<std::int64_t> values = {std::numeric_limits<std::int64_t>::min(), 0, -1,
                                            std::numeric_limits<std::int64_t>::max()};
  Bytes out;
  bitpack_append<std::int64_t>(values, out);
  std::vector<std::int64_t> back(4);
  ASSERT_TRUE(bitpack_read<std::int64_t>(out, back));
  EXPECT_EQ(back, values);
}

TEST(Bitpack, NarrowTypesShareTheDiskForm) {
  const std::vector<std::uint32_t> words = {1, 0xFFFFFFFF, 3};
  const std::vector<std::int64_t> wide = {1, 0xFFFFFFFF, 3};
  Bytes a;
  Bytes b;
  bitpack_append<std::uint32_t>(words, a);
  bitpack_append<std::int64_t>(wide, b);
  EXPECT_EQ(a, b);
  std::vector<std::uint32_t> back(3);
  ASSERT_TRUE(bitpack_read<std::uint32_t>(a, back));
  EXPECT_EQ(back, words);
}

TEST(Compress, EveryCodecRoundTripsExactly) {
  SeededRandom random(3);
  for (const Compression codec : kAll) {
    for (const std::size_t size : {0UL, 1UL, 100UL, 70'000UL, 300'000UL}) {
      const Bytes text = random_text(random, size, 4);
      Bytes packed = "keep";
      ASSERT_TRUE(compress_append(codec, kDefaultLevel, text, packed).ok() || (size == 0 && codec == Compression::kNone));
      ASSERT_EQ(packed.substr(0, 4), "keep");
      packed.erase(0, 4);
      const auto back = decompress_exact(codec, packed, size);
      ASSERT_TRUE(back.ok()) << compression_name(codec) << size << back.error().message();
      ASSERT_EQ(*back, text);
      EXPECT_FALSE(decompress_exact(codec, packed, size + 1).ok()) << compression_name(codec);
      if (size > 0) {
        EXPECT_FALSE(decompress_exact(codec, packed, size - 1).ok()) << compression_name(codec);
      }
    }
  }
}

TEST(Compress, TruncatedInputNeverPasses) {
  SeededRandom random(4);
  const Bytes text = random_text(random, 2'000, 4);
  for (const Compression codec : kAll) {
    const Bytes packed = compress(codec, text).value();
    for (std::size_t keep = 0; keep < packed.size(); ++keep) {
      const ByteView cut = ByteView(packed).substr(0, keep);
      ASSERT_FALSE(decompress_exact(codec, cut, text.size()).ok()) << compression_name(codec) << " " << keep;
      if (codec != Compression::kNone && codec != Compression::kLz4) {
        ASSERT_FALSE(decompress_bounded(codec, cut, 1 << 20).ok() && keep > 0) << compression_name(codec) << " " << keep;
      }
    }
  }
}

TEST(Compress, BitFlipsNeverCrashOrOverrun) {
  SeededRandom random(5);
  const Bytes text = random_text(random, 5'000, 5);
  for (const Compression codec : kAll) {
    const Bytes packed = compress(codec, text).value();
    for (int i = 0; i < 300; ++i) {
      Bytes flipped = packed;
      flipped[random.next_u64() % flipped.size()] ^= static_cast<char>(1U << (random.next_u64() % 8));
      const auto exact = decompress_exact(codec, flipped, text.size());
      if (exact.ok()) {
        ASSERT_EQ(exact->size(), text.size());
      }
      const auto bounded = decompress_bounded(codec, flipped, 6'000);
      if (bounded.ok()) {
        ASSERT_LE(bounded->size(), 6'000U);
      }
    }
  }
}

TEST(Compress, BoundedStopsAtTheLimit) {
  const Bytes zeros(10 << 20, '\0');
  for (const Compression codec : {Compression::kGzip, Compression::kZlib, Compression::kZstd, Compression::kSnappy}) {
    const Bytes bomb = compress(codec, zeros).value();
    const auto refused = decompress_bounded(codec, bomb, zeros.size() - 1);
    ASSERT_FALSE(refused.ok()) << compression_name(codec);
    EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge) << compression_name(codec);
    const auto exact = decompress_bounded(codec, bomb, zeros.size());
    ASSERT_TRUE(exact.ok()) << compression_name(codec) << exact.error().message();
    EXPECT_EQ(exact->size(), zeros.size());
  }
}

TEST(Compress, GzipMembersConcatenate) {
  const Bytes two = compress(Compression::kGzip, "one ").value() + compress(Compression::kGzip, "two").value();
  EXPECT_EQ(decompress_bounded(Compression::kGzip, two, 100).value(), "one two");
}

}  // namespace
}  // namespace skald::codec
