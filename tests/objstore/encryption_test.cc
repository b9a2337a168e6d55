#include "skald/objstore/encryption.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "objstore/encryption_format.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

using encryption::kHeaderBytes;
using encryption::kSegmentBytes;
using encryption::kStoredSegmentBytes;
using encryption::kTagBytes;

const std::string kLineA = "a:" + std::string(63, '0') + "1\n";
const std::string kLineB = "b:" + std::string(62, '0') + "22\n";

std::shared_ptr<KeyRing> ring(const std::string& text) { return KeyRing::parse(text, "test keys").value(); }

Bytes random_bytes(std::size_t size, std::uint64_t seed) {
  SeededRandom random(seed);
  Bytes out(size, '\0');
  for (char& c : out) c = static_cast<char>(random.next_u64());
  return out;
}

// A borrowed store, so that tests can look behind the decorator.
class Borrowed final : public ObjectStore {
 public:
  explicit Borrowed(ObjectStore& store) : store_(store) {}
  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return store_.put(key, body, ctx); }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return store_.create(key, body, ctx); }
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override {
    ++gets;
    return store_.get(key, range, ctx);
  }
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override {
    return store_.list(prefix, next, depth, ctx);
  }
  Result<void> remove(std::string_view key, const CallContext& ctx) override { return store_.remove(key, ctx); }
  int gets = 0;

 private:
  ObjectStore& store_;
};

class Encryption : public testing::Test {
 protected:
  // A second view of the same bucket, with nothing remembered.
  std::unique_ptr<ObjectStore> open(const std::string& keys, EncryptionOptions options = {.allow_plaintext = false}) {
    auto borrowed = std::make_unique<Borrowed>(*bucket_);
    behind_ = borrowed.get();
    return with_encryption(std::move(borrowed), ring(keys), options);
  }
  Bytes stored(std::string_view key) { return bucket_->get(key, {}, ctx_).value(); }
  void store(std::string_view key, ByteView bytes) { ASSERT_TRUE(bucket_->put(key, bytes, ctx_).ok()); }

  std::unique_ptr<ObjectStore> bucket_ = make_memory_store();
  Borrowed* behind_ = nullptr;
  CallContext ctx_;
};

TEST_F(Encryption, GivesBackWhatWasPutAroundSegmentEdges) {
  for (const std::uint64_t size : {0ULL, 1ULL, 15ULL, 16ULL, 17ULL, 1000ULL, 65'535ULL, 65'536ULL, 65'537ULL, 131'071ULL, 131'072ULL, 131'073ULL, 1'000'000ULL}) {
    const Bytes plain = random_bytes(size, size);
    const auto writer = open(kLineA);
    ASSERT_TRUE(writer->put("t/o", plain, ctx_).ok());
    EXPECT_EQ(stored("t/o").size(), encryption::stored_size(size));
    EXPECT_EQ(encryption::plain_size(stored("t/o").size()), size);
    EXPECT_EQ(open(kLineA)->get("t/o", {}, ctx_).value(), plain) << size;
    EXPECT_EQ(list_objects(*writer, "", ctx_).value()[0].size, size);
    if (size >= 16) {
      EXPECT_EQ(stored("t/o").find(plain.substr(0, 16)), Bytes::npos);
    }
  }
}

TEST_F(Encryption, TheSamePlaintextIsNeverStoredTheSameTwice) {
  const auto writer = open(kLineA);
  ASSERT_TRUE(writer->put("x", "same", ctx_).ok());
  const Bytes first = stored("x");
  ASSERT_TRUE(writer->put("x", "same", ctx_).ok());
  EXPECT_NE(stored("x"), first);
}

TEST_F(Encryption, StoredSizesAreOneToOne) {
  std::uint64_t possible = 0;
  for (std::uint64_t bytes = 0; bytes < 3 * kStoredSegmentBytes; ++bytes) {
    const auto plain = encryption::plain_size(bytes);
    if (!plain) continue;
    ++possible;
    ASSERT_EQ(encryption::stored_size(*plain), bytes);
  }
  EXPECT_GT(possible, 2 * kSegmentBytes);
}

TEST_F(Encryption, AnswersEveryRangeOfASmallObject) {
  const Bytes plain = random_bytes(70, 1);
  const auto writer = open(kLineA);
  ASSERT_TRUE(writer->put("small", plain, ctx_).ok());
  for (std::uint64_t begin = 0; begin <= 72; ++begin)
    for (std::uint64_t end = begin; end <= 74; ++end) {
      const auto found = writer->get("small", {begin, end}, ctx_);
      if (begin > plain.size()) EXPECT_EQ(found.error().code(), ErrorCode::kInvalidArgument);
      else ASSERT_EQ(found.value(), plain.substr(begin, end - begin)) << begin << " " << end;
    }
  EXPECT_EQ(writer->get("small", {5, 4}, ctx_).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(writer->get("small", {1ULL << 63, ~0ULL}, ctx_).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(writer->get("none", {}, ctx_).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(writer->get("none", {10ULL << 20, 11ULL << 20}, ctx_).error().code(), ErrorCode::kNotFound);
}

TEST_F(Encryption, AnswersRangesAroundSegmentEdgesInAtMostTwoRequests) {
  for (const std::uint64_t size : {3 * kSegmentBytes, 20 * kSegmentBytes, 20 * kSegmentBytes + 1, 20 * kSegmentBytes - 1}) {
    const Bytes plain = random_bytes(size, size);
    ASSERT_TRUE(open(kLineA)->put("large", plain, ctx_).ok());
    std::vector<std::uint64_t> edges;
    for (std::uint64_t segment = 0; segment <= size / kSegmentBytes + 1; segment += segment < 3 ? 1 : 4)
      for (const int by : {-1, 0, 1}) edges.push_back(segment * kSegmentBytes + static_cast<std::uint64_t>(segment == 0 && by < 0 ? 7 : by));
    for (const std::uint64_t near : {size - 1, size, size + 1}) edges.push_back(near);
    edges.push_back(std::numeric_limits<std::uint64_t>::max());
    for (const std::uint64_t begin : edges)
      for (const std::uint64_t end : edges) {
        if (end < begin) continue;
        const auto reader = open(kLineA);
        for (int time = 0; time < 2; ++time) {   // the second time with what is remembered
          behind_->gets = 0;
          const auto found = reader->get("large", {begin, end}, ctx_);
          if (begin > size) ASSERT_EQ(found.error().code(), ErrorCode::kInvalidArgument) << begin;
          else ASSERT_EQ(found.value(), plain.substr(begin, end - begin)) << size << ": " << begin << " " << end;
          // Only a range at or beyond the very end may need one more, to see that it is the end.
          if (begin < size) ASSERT_LE(behind_->gets, time == 0 ? 2 : 1);
          else ASSERT_LE(behind_->gets, 4);
        }
      }
  }
}

TEST_F(Encryption, CutAtAnyByteItDoesNotOpen) {
  const Bytes plain = random_bytes(300, 2);
  ASSERT_TRUE(open(kLineA)->put("o", plain, ctx_).ok());
  const Bytes whole = stored("o");
  for (std::size_t keep = 0; keep < whole.size(); ++keep) {
    store("o", ByteView(whole).substr(0, keep));
    ASSERT_FALSE(open(kLineA)->get("o", {}, ctx_).ok()) << keep;
    // Where plain objects are allowed, only a cut in the magic passes for one.
    ASSERT_EQ(open(kLineA, {.allow_plaintext = true})->get("o", {}, ctx_).ok(), keep < 4) << keep;
  }
}

TEST_F(Encryption, CutAtASegmentBoundaryItDoesNotOpen) {
  const Bytes plain = random_bytes(12 * kSegmentBytes, 3);
  ASSERT_TRUE(open(kLineA)->put("o", plain, ctx_).ok());
  const Bytes whole = stored("o");
  for (std::uint64_t segments = 0; segments < 12; ++segments) {
    store("o", ByteView(whole).substr(0, encryption::segment_offset(segments)));
    EXPECT_EQ(open(kLineA)->get("o", {}, ctx_).error().code(), ErrorCode::kCorruption) << segments;
    const std::uint64_t end = segments * kSegmentBytes;
    // Neither does a range that ends or begins where the segments now end.
    EXPECT_FALSE(open(kLineA)->get("o", {end, end + 10}, ctx_).ok()) << segments;
    if (segments == 0) continue;
    EXPECT_FALSE(open(kLineA)->get("o", {end - 10, end + 10}, ctx_).ok()) << segments;
    EXPECT_FALSE(open(kLineA)->get("o", {end - 10, end}, ctx_).ok()) << segments;
  }
}

TEST_F(Encryption, EveryFlippedBitIsNoticed) {
  const Bytes plain = random_bytes(200, 4);
  ASSERT_TRUE(open(kLineA)->put("o", plain, ctx_).ok());
  const Bytes whole = stored("o");
  for (const bool allow_plaintext : {false, true}) {
    const auto reader = open(kLineA, {.allow_plaintext = allow_plaintext});
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      Bytes bad = whole;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      store("o", bad);
      const auto found = reader->get("o", {}, ctx_);
      ASSERT_FALSE(found.ok()) << bit;
      ASSERT_EQ(found.error().code(), ErrorCode::kCorruption) << found.error().message();
    }
  }
}

TEST_F(Encryption, AFlippedBitDeepInsideIsNoticedByRangedReads) {
  const Bytes plain = random_bytes(30 * kSegmentBytes, 5);
  const auto store_a = open(kLineA);
  ASSERT_TRUE(store_a->put("o", plain, ctx_).ok());
  Bytes bad = stored("o");
  const std::size_t at = encryption::segment_offset(25) + 100;
  bad[at] = static_cast<char>(bad[at] ^ 4);
  store("o", bad);
  EXPECT_EQ(store_a->get("o", {25 * kSegmentBytes + 7, 25 * kSegmentBytes + 8}, ctx_).error().code(), ErrorCode::kCorruption);
  EXPECT_EQ(store_a->get("o", {24 * kSegmentBytes, 24 * kSegmentBytes + 8}, ctx_).value(), plain.substr(24 * kSegmentBytes, 8));
}

TEST_F(Encryption, SegmentsCannotBeSwappedDroppedOrDoubled) {
  const Bytes plain = random_bytes(4 * kSegmentBytes, 6);
  ASSERT_TRUE(open(kLineA)->put("o", plain, ctx_).ok());
  const Bytes whole = stored("o");
  const auto segment = [&](std::uint64_t number) { return whole.substr(encryption::segment_offset(number), kStoredSegmentBytes); };
  const Bytes header = whole.substr(0, kHeaderBytes);
  for (const Bytes& forged : {header + segment(1) + segment(0) + segment(2) + segment(3), header + segment(0) + segment(2) + segment(3),
                              header + segment(0) + segment(0) + segment(1) + segment(2) + segment(3), header + segment(3)}) {
    store("o", forged);
    EXPECT_EQ(open(kLineA)->get("o", {}, ctx_).error().code(), ErrorCode::kCorruption);
  }
  store("o", header + segment(0) + segment(1) + segment(2) + segment(3));
  EXPECT_EQ(open(kLineA)->get("o", {}, ctx_).value(), plain);
}

TEST_F(Encryption, AnObjectUnderAnotherNameDoesNotOpen) {
  const auto both = open(kLineA);
  ASSERT_TRUE(both->put("tenant-a/o", "secret of a", ctx_).ok());
  ASSERT_TRUE(both->put("tenant-b/o", "secret of b", ctx_).ok());
  store("tenant-b/o", stored("tenant-a/o"));
  EXPECT_EQ(both->get("tenant-b/o", {}, ctx_).error().code(), ErrorCode::kCorruption);
  // Nor does one body with another's header.
  ASSERT_TRUE(both->put("p", "1234", ctx_).ok());
  ASSERT_TRUE(both->put("q", "5678", ctx_).ok());
  store("p", stored("q").substr(0, kHeaderBytes) + stored("p").substr(kHeaderBytes));
  EXPECT_EQ(both->get("p", {}, ctx_).error().code(), ErrorCode::kCorruption);
}

TEST_F(Encryption, OldObjectsStayReadableAfterRotation) {
  ASSERT_TRUE(open(kLineA)->put("old", "1", ctx_).ok());
  const auto rotated = open(kLineA + kLineB);
  ASSERT_TRUE(rotated->put("new", "2", ctx_).ok());
  EXPECT_EQ(rotated->get("old", {}, ctx_).value(), "1");
  EXPECT_EQ(open(kLineB)->get("new", {}, ctx_).value(), "2");
  const auto refused = open(kLineB)->get("old", {}, ctx_);
  EXPECT_EQ(refused.error().code(), ErrorCode::kInternal);
  EXPECT_EQ(refused.error().message(),
            "object 'old' is encrypted with key 'a', which is not in the key ring; add its line to the key file and reload");
  // The right id with another key.
  EXPECT_EQ(open("a:" + std::string(64, '7'))->get("old", {}, ctx_).error().code(), ErrorCode::kCorruption);
}

TEST_F(Encryption, PlainObjectsAreReadOnlyWhereAllowed) {
  const Bytes plain = random_bytes(40 * kSegmentBytes, 7);
  store("plain", plain);
  store("empty", "");
  const auto lenient = open(kLineA, {.allow_plaintext = true});
  EXPECT_EQ(lenient->get("plain", {}, ctx_).value(), plain);
  EXPECT_EQ(lenient->get("empty", {}, ctx_).value(), "");
  for (const ByteRange range : {ByteRange{3, 9}, ByteRange{65'530, 65'540}, ByteRange{2'000'000, 2'000'010}, ByteRange{plain.size(), plain.size() + 1}})
    EXPECT_EQ(lenient->get("plain", range, ctx_).value(), plain.substr(range.begin, range.end - range.begin));
  EXPECT_EQ(lenient->get("plain", {plain.size() + 1, plain.size() + 2}, ctx_).error().code(), ErrorCode::kInvalidArgument);
  const auto strict = open(kLineA, {.allow_plaintext = false});
  EXPECT_EQ(strict->get("plain", {}, ctx_).error().code(), ErrorCode::kInternal);
  EXPECT_EQ(strict->get("plain", {2'000'000, 2'000'010}, ctx_).error().code(), ErrorCode::kInternal);
}

TEST_F(Encryption, AReplacedObjectIsReadThroughAnOldHeader) {
  const Bytes first = random_bytes(30 * kSegmentBytes, 8), second = random_bytes(29 * kSegmentBytes, 9);
  const auto reader = open(kLineA);
  ASSERT_TRUE(reader->put("o", first, ctx_).ok());
  const ByteRange deep{20 * kSegmentBytes + 1, 21 * kSegmentBytes + 1};
  EXPECT_EQ(reader->get("o", deep, ctx_).value(), first.substr(deep.begin, kSegmentBytes));
  Borrowed* const behind_reader = behind_;
  ASSERT_TRUE(open(kLineA)->put("o", second, ctx_).ok());   // another process
  behind_reader->gets = 0;
  EXPECT_EQ(reader->get("o", deep, ctx_).value(), second.substr(deep.begin, kSegmentBytes));
  EXPECT_EQ(behind_reader->gets, 3);
}

TEST_F(Encryption, RemembersOnlySoManyHeaders) {
  const auto reader = open(kLineA, {.allow_plaintext = false, .headers_max = 2});
  const Bytes plain = random_bytes(20 * kSegmentBytes, 10);
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(reader->put(key, plain, ctx_).ok());
  const auto requests_for = [&](const char* key) {
    behind_->gets = 0;
    EXPECT_EQ(reader->get(key, {15 * kSegmentBytes, 15 * kSegmentBytes + 1}, ctx_).value(), plain.substr(15 * kSegmentBytes, 1));
    return behind_->gets;
  };
  EXPECT_EQ(requests_for("c"), 1);
  EXPECT_EQ(requests_for("a"), 2);
  EXPECT_EQ(requests_for("c"), 1);
  EXPECT_EQ(requests_for("b"), 2);
  EXPECT_EQ(requests_for("a"), 2);
}

TEST_F(Encryption, CreateKeepsWhatIsThere) {
  const auto writer = open(kLineA);
  ASSERT_TRUE(writer->create("lock", "mine", ctx_).ok());
  EXPECT_EQ(writer->create("lock", "yours", ctx_).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(writer->get("lock", {}, ctx_).value(), "mine");
  EXPECT_TRUE(writer->remove_all(std::vector<std::string>{"lock"}, ctx_).ok());
  EXPECT_EQ(writer->get("lock", {}, ctx_).error().code(), ErrorCode::kNotFound);
}

TEST(EncryptionHeader, RoundTripAndEveryRefusal) {
  encryption::Header header{.key_id = "k-1.x_Y", .salt = {}};
  header.salt[0] = 7;
  const Bytes bytes = encryption::encode_header(header);
  ASSERT_EQ(bytes.size(), kHeaderBytes);
  EXPECT_EQ(encryption::decode_header(bytes).value(), header);
  EXPECT_EQ(encryption::decode_header("").value(), std::nullopt);
  EXPECT_EQ(encryption::decode_header(Bytes(200, 'x')).value(), std::nullopt);
  EXPECT_EQ(encryption::decode_header(bytes.substr(0, 95)).error().message(), "encryption header: cut off");
}

TEST(KeyRings, ReadKeyFilesAndSayWhatIsWrong) {
  const auto parsed = ring("# comment\n\n  " + kLineA + "\r\n" + kLineB + "#end");
  EXPECT_EQ(parsed->ids(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(parsed->writing_key().id, "b");
  EXPECT_EQ(parsed->find("c"), nullptr);
  const std::string digits = kLineA.substr(2, 64);
  const auto why = [](const std::string& text) { return KeyRing::parse(text, "f").error().message(); };
  EXPECT_EQ(why("# nothing"), "f: holds no key; make one with: echo \"k1:$(openssl rand -hex 32)\"");
  EXPECT_EQ(why("\n\nabc"), "f line 3: expected 'id:64 hex digits'");
  EXPECT_EQ(why("a b:" + digits), "f line 1: a key id has 1 to 31 letters, digits, '.', '_' or '-'");
  EXPECT_EQ(why(std::string(32, 'k') + ":" + digits), "f line 1: a key id has 1 to 31 letters, digits, '.', '_' or '-'");
  EXPECT_EQ(why("a:" + digits + "0"), "f line 1: a key has 64 hex digits (32 bytes); make one with: openssl rand -hex 32");
  EXPECT_EQ(why("a:" + digits.substr(1) + "g"), "f line 1: a key has hex digits only");
  EXPECT_EQ(why("a:" + std::string(64, '0')), "f line 1: a key of zeros protects nothing; make one with: openssl rand -hex 32");
  EXPECT_EQ(why(kLineA + "a:" + std::string(64, '3')), "f line 2: key id 'a' comes twice; a new key needs a new id");
}

TEST(KeyRings, ReloadTakesAppendedKeysAndKeepsTheOldOnFailure) {
  char pattern[] = "/tmp/skald-keys-XXXXXX";
  const std::string directory = ::mkdtemp(pattern);
  const std::string path = directory + "/keys";
  const auto write = [&](const std::string& text) { std::ofstream(path, std::ios::trunc) << text; };
  write(kLineA);
  const auto keys = KeyRing::open({.enabled = true, .key_file = path, .key_env = ""}).value();
  write(kLineA + kLineB);
  EXPECT_EQ(keys->writing_key().id, "a");
  ASSERT_TRUE(keys->reload().ok());
  EXPECT_EQ(keys->writing_key().id, "b");
  write("nonsense");
  EXPECT_FALSE(keys->reload().ok());
  EXPECT_EQ(keys->writing_key().id, "b");
  std::filesystem::remove_all(directory);
  EXPECT_FALSE(keys->reload().ok());
  EXPECT_FALSE(KeyRing::open({.enabled = true, .key_file = path, .key_env = ""}).ok());
  EXPECT_FALSE(KeyRing::open({.enabled = true, .key_file = "", .key_env = ""}).ok());
  EXPECT_FALSE(KeyRing::open({.enabled = true, .key_file = path, .key_env = "X"}).ok());
}

TEST(KeyRings, ReadTheEnvironment) {
  ASSERT_EQ(::setenv("SKALD_TEST_KEYS", kLineA.c_str(), 1), 0);
  const config::EncryptionConfig config{.enabled = true, .key_file = "", .key_env = "SKALD_TEST_KEYS"};
  EXPECT_EQ(KeyRing::open(config).value()->writing_key().id, "a");
  ASSERT_EQ(::unsetenv("SKALD_TEST_KEYS"), 0);
  EXPECT_EQ(KeyRing::open(config).error().message(), "encryption: environment variable SKALD_TEST_KEYS is not set");
}

}  // namespace
}  // namespace skald::objstore
