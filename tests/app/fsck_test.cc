// fsck of buckets: a healthy one reports nothing, each damage exactly itself.
#include "app/fsck.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skald/compactor/delete_requests.h"
#include "skald/index/day_index.h"
#include "skald/io/memory_file_system.h"
#include "skald/objstore/encryption.h"
#include "skald/objstore/stores.h"
#include "skald/ruler/rule_store.h"
#include "store/bucket.h"

namespace skald::app {

void PrintTo(const Finding& finding, std::ostream* out) { *out << kind_name(finding.kind) << " " << finding.where << ": " << finding.what; }

namespace {

using store::testing::kStart;
using store::testing::labels;
using store::testing::make_rows;
using store::testing::StreamOf;
using store::testing::write_object;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kDay = kStart / kNanosPerDay;

class FsckBucket : public ::testing::Test {
 protected:
  FsckBucket() { ctx_.clock = &clock_; }

  static CallContext context_of(const std::string& tenant) {
    CallContext ctx;
    ctx.tenant = tenant;
    return ctx;
  }

  // Writes an index object of the entries' day; returns its key.
  std::string write_index(const std::string& tenant, const std::vector<index::IndexEntry>& entries, const Ulid& id, const std::vector<Ulid>& inputs = {},
                          index::Upkeep upkeep = {}, std::int64_t day = kDay) {
    index::DayIndexBuilder builder(tenant, day, id);
    for (const index::IndexEntry& entry : entries) EXPECT_TRUE(builder.add(entry.labels, entry.chunk).ok());
    for (const Ulid& input : inputs) builder.add_input(input);
    if (!upkeep.empty()) builder.set_upkeep(std::move(upkeep));
    auto built = builder.finish();
    EXPECT_TRUE(built.ok());
    const std::string key = index::day_index_key(tenant, day, id);
    EXPECT_TRUE(bucket_->put(key, built->bytes, ctx_).ok());
    return key;
  }
  std::string write_index(const std::string& tenant, const std::vector<index::IndexEntry>& entries) {
    return write_index(tenant, entries, Ulid::make(kStart, random_));
  }

  // One object with two single streams and a group of two, listed by one index.
  void write_small_bucket() {
    const std::vector<StreamOf> singles{{labels({{"app", "a"}}), make_rows("a", 300)}, {labels({{"app", "b"}}), make_rows("b", 20)}};
    const std::vector<StreamOf> group{{labels({{"app", "c"}}), make_rows("c", 5)}, {labels({{"app", "d"}}), make_rows("d", 7)}};
    entries_ = write_object(*bucket_, "t", singles, group);
    object_key_ = chunk::object_key("t", kStart, entries_[0].chunk.object.id);
    index_key_ = write_index("t", entries_);
  }

  FsckReport check(BucketCheckOptions options = {}) {
    Result<FsckReport> report = check_bucket(*bucket_, pool_, options, ctx_);
    EXPECT_TRUE(report.ok());
    return *std::move(report);
  }
  // The one problem there is, as "kind where".
  std::string only_problem(BucketCheckOptions options = {}) {
    const FsckReport report = check(options);
    EXPECT_EQ(report.problems.size(), 1U);
    for (std::size_t i = 1; i < report.problems.size(); ++i) ADD_FAILURE() << ::testing::PrintToString(report.problems[i]);
    if (report.problems.empty()) return {};
    what_ = report.problems[0].what;
    return std::string(kind_name(report.problems[0].kind)) + " " + report.problems[0].where;
  }

  Bytes read(const std::string& key) { return bucket_->get(key, {}, ctx_).value(); }
  void write(const std::string& key, ByteView bytes) { ASSERT_TRUE(bucket_->put(key, bytes, ctx_).ok()); }
  void remove(const std::string& key) { ASSERT_TRUE(bucket_->remove(key, ctx_).ok()); }

  std::unique_ptr<objstore::ObjectStore> bucket_ = objstore::make_memory_store();
  FakeClock clock_{kStart + 10 * kNanosPerDay};
  SeededRandom random_{7};
  exec::Pool pool_{"test", 2};
  CallContext ctx_;
  std::vector<index::IndexEntry> entries_;
  std::string object_key_, index_key_, what_;
};

// Tenants, days, shards, groups, deletes and rules; some days with a merged index and what it replaced.
void fill_with_random_data(objstore::ObjectStore& bucket, std::uint64_t seed, const Clock& clock) {
  SeededRandom random(seed);
  const auto below = [&](std::uint64_t n) { return random.next_u64() % n; };
  for (const std::string tenant : {"anna", "bob"}) {
    CallContext ctx;
    ctx.tenant = tenant;
    for (int d = 0; d < 3; ++d) {
      std::vector<std::vector<index::IndexEntry>> shipped;
      for (std::uint64_t o = 0; o < 1 + below(4); ++o) {
        const std::int64_t shard = kStart + d * kNanosPerDay + static_cast<std::int64_t>(below(4)) * chunk::kTimeShardNs;
        std::vector<StreamOf> singles, group;
        for (std::uint64_t s = 0; s < 1 + below(4); ++s) {
          auto rows = make_rows("x", static_cast<int>(1 + below(200)), shard - kStart + static_cast<std::int64_t>(below(1000)) * kNanosPerSecond);
          (below(2) == 0 ? group : singles).push_back({labels({{"app", std::to_string(s)}, {"o", std::to_string(below(3))}}), rows});
        }
        shipped.push_back(write_object(bucket, tenant, singles, group, shard));
      }
      const std::int64_t day = kDay + d;
      std::vector<Ulid> ids;
      const auto ship = [&](const std::vector<index::IndexEntry>& entries, const Ulid& id, const std::vector<Ulid>& inputs, index::Upkeep upkeep) {
        index::DayIndexBuilder builder(tenant, day, id);
        for (const auto& entry : entries) ASSERT_TRUE(builder.add(entry.labels, entry.chunk).ok());
        for (const Ulid& input : inputs) builder.add_input(input);
        if (!upkeep.empty()) builder.set_upkeep(std::move(upkeep));
        ASSERT_TRUE(bucket.put(index::day_index_key(tenant, day, id), builder.finish()->bytes, ctx).ok());
      };
      for (const auto& entries : shipped) {
        ids.push_back(Ulid::make(kStart + d * kNanosPerDay, random));
        ship(entries, ids.back(), {}, {});
      }
      if (below(2) == 0) continue;
      // A merge that keeps the first object, has rewritten the others away, and has deleted one of them and one index.
      index::Upkeep upkeep;
      for (std::size_t i = 1; i < shipped.size(); ++i) {
        const index::ObjectRef& object = shipped[i][0].chunk.object;
        upkeep.retired_objects.push_back({.id = object.id, .shard_start_ns = object.shard_start_ns, .retired_at_ms = 1});
      }
      for (const Ulid& id : ids) upkeep.retired_indexes.push_back({.id = id, .retired_at_ms = 1});
      ship(shipped[0], index::merged_index_id(day, 1), ids, upkeep);
      if (shipped.size() > 2) {
        ASSERT_TRUE(bucket.remove(chunk::object_key(tenant, shipped[1][0].chunk.object.shard_start_ns, shipped[1][0].chunk.object.id), ctx).ok());
        ASSERT_TRUE(bucket.remove(index::day_index_key(tenant, day, ids[1]), ctx).ok());
      }
      // An ingester whose shipping was interrupted lists a rewritten object again.
      if (shipped.size() > 2) ship(shipped[1], Ulid::make(clock.now_ns(), random), {}, {});
    }
    compactor::DeleteStore deletes(bucket, clock, random, 0);
    ASSERT_TRUE(deletes.add(ctx, "{app=\"1\"} |= `x`", 1, 2).ok());
    ruler::RuleStore rules(bucket);
    ASSERT_TRUE(rules.set(ctx, "my rules", {.name = "group/1", .interval_ns = 0, .limit = 0, .rules = {}}).ok());
  }
}

TEST_F(FsckBucket, HealthyBucketsReportNothing) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    bucket_ = objstore::make_memory_store();
    fill_with_random_data(*bucket_, seed, clock_);
    const FsckReport report = check();
    EXPECT_THAT(report.problems, IsEmpty()) << "seed " << seed;
    EXPECT_THAT(report.notes, IsEmpty()) << "seed " << seed;
    EXPECT_GT(report.objects, 5U);
    EXPECT_GT(report.rows, 100U);
    EXPECT_EQ(report.delete_requests, 2U);
    EXPECT_EQ(report.rule_groups, 2U);
  }
}

TEST_F(FsckBucket, EncryptedBucketsToo) {
  bucket_ = objstore::with_encryption(std::move(bucket_), objstore::KeyRing::parse("k:" + std::string(64, '5'), "test").value());
  fill_with_random_data(*bucket_, 3, clock_);
  EXPECT_THAT(check().problems, IsEmpty());
  EXPECT_THAT(check({.young_ns = 0, .log_beside = false, .read_objects = false}).problems, IsEmpty());
}

TEST_F(FsckBucket, CountsWhatIsThere) {
  write_small_bucket();
  const FsckReport report = check();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.objects, 1U);
  EXPECT_EQ(report.indexes, 1U);
  EXPECT_EQ(report.chunks, 3U);
  EXPECT_EQ(report.rows, 332U);
  EXPECT_EQ(report.unlisted_chunks, 0U);
}

TEST_F(FsckBucket, FindsADamagedIndexAndNothingElse) {
  write_small_bucket();
  Bytes bytes = read(index_key_);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write(index_key_, bytes);
  EXPECT_EQ(only_problem(), "index_damaged " + index_key_);
  const FsckReport report = check();
  ASSERT_EQ(report.notes.size(), 1U);   // that orphans were not looked for
  EXPECT_EQ(report.notes[0].kind, FindingKind::kIndexSkipped);
  write(index_key_, "");
  EXPECT_EQ(only_problem(), "index_damaged " + index_key_);
}

TEST_F(FsckBucket, FindsALostIndex) {
  write_small_bucket();
  remove(index_key_);
  EXPECT_EQ(only_problem(), "object_unlisted " + object_key_);
}

TEST_F(FsckBucket, FindsAnIndexInTheWrongPlace) {
  write_small_bucket();
  const std::string other_day = index::day_index_key("t", kDay + 1, index::parse_day_index_key(index_key_)->id);
  write(other_day, read(index_key_));
  EXPECT_EQ(only_problem(), "index_misplaced " + other_day);
  EXPECT_EQ(what_, "its day is " + std::to_string(kDay));
  remove(other_day);
  const std::string other_tenant = "u" + index_key_.substr(1);
  write(other_tenant, read(index_key_));
  EXPECT_EQ(only_problem(), "index_misplaced " + other_tenant);
  EXPECT_EQ(what_, "it belongs to another tenant");
  remove(other_tenant);
  const std::string other_id = index::day_index_key("t", kDay, Ulid::make(kStart, random_));
  write(other_id, read(index_key_));
  EXPECT_EQ(only_problem(), "index_misplaced " + other_id);
}

TEST_F(FsckBucket, FindsAMissingObject) {
  write_small_bucket();
  remove(object_key_);
  EXPECT_EQ(only_problem(), "object_missing " + index_key_);
  EXPECT_EQ(what_, "names object " + object_key_ + ", which is not there");
  EXPECT_EQ(only_problem({.young_ns = 0, .log_beside = false, .read_objects = false}), "object_missing " + index_key_);
}

TEST_F(FsckBucket, FindsACutObject) {
  write_small_bucket();
  const Bytes whole = read(object_key_);
  for (const std::size_t keep : {std::size_t{0}, std::size_t{10}, whole.size() / 2, whole.size() - 1}) {
    write(object_key_, ByteView(whole).substr(0, keep));
    EXPECT_EQ(only_problem(), "object_length " + object_key_) << keep;
  }
  EXPECT_EQ(only_problem({.young_ns = 0, .log_beside = false, .read_objects = false}), "object_length " + object_key_);
}

TEST_F(FsckBucket, FindsDamagedBlocks) {
  write_small_bucket();
  const Bytes whole = read(object_key_);
  for (const std::uint64_t at : {std::uint64_t{20}, entries_[0].chunk.offset + 5, entries_[0].chunk.offset + entries_[0].chunk.length / 2, entries_[0].chunk.object.tail_offset + 3,
                                 whole.size() - 2}) {
    Bytes bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    write(object_key_, bad);
    EXPECT_EQ(only_problem(), "object_damaged " + object_key_) << at;
  }
  EXPECT_THAT(check({.young_ns = 0, .log_beside = false, .read_objects = false}).problems, IsEmpty());   // objects are not read then
}

TEST_F(FsckBucket, FindsObjectsInTheWrongPlace) {
  write_small_bucket();
  const Ulid id = entries_[0].chunk.object.id;
  for (const std::string& elsewhere : {chunk::object_key("u", kStart, id), chunk::object_key("t", kStart + chunk::kTimeShardNs, id),
                                       chunk::object_key("t", kStart, Ulid::make(kStart, random_))}) {
    write(elsewhere, read(object_key_));
    EXPECT_EQ(only_problem(), "object_misplaced " + elsewhere);
    remove(elsewhere);
  }
}

TEST_F(FsckBucket, TellsOrphansFromWhatIsNotListedYet) {
  write_small_bucket();
  const auto orphan = write_object(*bucket_, "t", {{labels({{"app", "o"}}), make_rows("o", 3)}});
  const std::string key = chunk::object_key("t", kStart, orphan[0].chunk.object.id);
  EXPECT_EQ(only_problem(), "object_unlisted " + key);
  EXPECT_THAT(check({.young_ns = 11 * kNanosPerDay, .log_beside = false, .read_objects = true}).problems, IsEmpty());
  EXPECT_THAT(check({.young_ns = 0, .log_beside = true, .read_objects = true}).problems, IsEmpty());
  clock_.set_ns(kStart + kNanosPerHour);
  const FsckReport report = check();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.unlisted_objects, 1U);
}

TEST_F(FsckBucket, FindsReferencesThatLeadNowhere) {
  write_small_bucket();
  remove(index_key_);
  auto bad = entries_;
  bad[0].chunk.offset = (entries_[0].chunk.object.length / 64 + 1) * 64;
  for (auto& entry : bad) entry.chunk.object.length = 0;   // unknown: else no index could be written
  index_key_ = write_index("t", bad);
  EXPECT_EQ(only_problem(), "reference_broken " + index_key_);
  EXPECT_THAT(what_, HasSubstr("reaches beyond its end"));
  remove(index_key_);
  bad = entries_;
  bad[0].chunk.offset += 64;
  index_key_ = write_index("t", bad);
  EXPECT_EQ(only_problem(), "reference_broken " + index_key_);
  EXPECT_THAT(what_, HasSubstr("the object has no chunk there"));
}

TEST_F(FsckBucket, FindsEveryDisagreementOfIndexAndChunk) {
  write_small_bucket();
  const std::vector<std::pair<const char*, std::function<void(std::vector<index::IndexEntry>&)>>> lies{
      {"it has 300 rows of the stream", [](auto& e) { e[0].chunk.rows = 299; }},
      {"its times differ", [](auto& e) { e[0].chunk.min_ts_ns += 1; }},
      {"its times differ", [](auto& e) { e[3].chunk.max_ts_ns += 1; }},
      {"its bytes of lines differ", [](auto& e) { e[0].chunk.raw_bytes += 1; }},
      {"content ids differ", [](auto& e) { e[1].chunk.content_id ^= 1; }},
      {"lengths differ", [](auto& e) { e[1].chunk.length -= 1; }},
      {"it holds the stream {app=\"b\"}", [](auto& e) { e[1].labels = labels({{"app", "z"}}); }},
      {"the stream is not among the group's", [](auto& e) { e[3].labels = labels({{"app", "z"}}); }},
      {"rows of the stream", [](auto& e) { e[3].chunk.first_row += 1; }},
      {"it is not a group chunk", [](auto& e) { e[0].chunk.group = true; }},
      {"the object's tail begins elsewhere", [](auto& e) { for (auto& entry : e) entry.chunk.object.tail_offset -= 64; }},
  };
  for (const auto& [why, lie] : lies) {
    remove(index_key_);
    auto bad = entries_;
    for (auto& entry : bad) entry.chunk.sketch = {};
    lie(bad);
    index_key_ = write_index("t", bad);
    const FsckReport report = check();
    ASSERT_FALSE(report.problems.empty()) << why;
    for (const Finding& finding : report.problems) {
      EXPECT_EQ(finding.kind, FindingKind::kIndexDisagrees) << why;
      EXPECT_EQ(finding.where, index_key_);
      EXPECT_THAT(finding.what, HasSubstr(why));
    }
    EXPECT_EQ(report.problems.size(), std::string_view(why).find("tail") == std::string_view::npos ? 1U : entries_.size()) << why;
  }
}

TEST_F(FsckBucket, ReplacedIndexesMayNameWhatIsGone) {
  write_small_bucket();
  const auto newer = write_object(*bucket_, "t", {{labels({{"app", "a"}}), make_rows("a", 30)}});
  index::Upkeep upkeep;
  upkeep.retired_objects.push_back({.id = entries_[0].chunk.object.id, .shard_start_ns = kStart, .retired_at_ms = 5});
  write_index("t", newer, index::merged_index_id(kDay, 1), {index::parse_day_index_key(index_key_)->id}, upkeep);
  FsckReport report = check();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.retired_objects, 1U);
  EXPECT_EQ(report.replaced_indexes, 1U);
  remove(object_key_);   // the grace period is over
  report = check();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.retired_objects, 0U);
}

TEST_F(FsckBucket, FindsDeleteRequestsAndRulesThatDoNotParse) {
  fill_with_random_data(*bucket_, 1, clock_);
  write("anna/deletes/0000000a", "not a request");
  EXPECT_EQ(only_problem(), "delete_request anna/deletes/0000000a");
  remove("anna/deletes/0000000a");
  const std::string rule = "bob/rules/" + ruler::encode_name("my rules") + "/" + ruler::encode_name("broken");
  write(rule, "[");
  EXPECT_EQ(only_problem(), "rule_group " + rule);
  write(rule, "name: another\nrules: []\n");
  EXPECT_EQ(only_problem(), "rule_group " + rule);
  EXPECT_THAT(what_, HasSubstr("holds the group 'another'"));
}

TEST_F(FsckBucket, NotesForeignKeys) {
  write_small_bucket();
  for (const char* key : {"readme.txt", "t/notes/x", "t/chunks/today/x", "t/index/index_5/x", "t/index/other/x", "t/rules/x", "t/file"}) write(key, "?");
  const std::string lower = object_key_.substr(0, object_key_.size() - 1) + "!";
  write(lower, "?");
  const FsckReport report = check();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.notes.size(), 8U);
  for (const Finding& note : report.notes) EXPECT_EQ(note.kind, FindingKind::kForeign);
}

// A compactor commits between the listing of indexes and the look at objects.
TEST_F(FsckBucket, LooksAgainWhenIndexesChangeMeanwhile) {
  write_small_bucket();
  const auto newer = write_object(*bucket_, "t", {{labels({{"app", "a"}}), make_rows("a", 30)}});
  auto plan = std::make_shared<objstore::FaultPlan>();
  auto faulty = objstore::with_faults(std::move(bucket_), plan);
  objstore::ObjectStore* const watched = faulty.get();
  bucket_ = std::move(faulty);
  bool done = false;
  plan->set_hook([&](objstore::Operation operation, std::string_view prefix) {
    if (done || operation != objstore::Operation::kList || prefix.find("chunks/2") == std::string_view::npos) return;
    done = true;
    write_index("t", newer, index::merged_index_id(kDay, 1), {index::parse_day_index_key(index_key_)->id});
    ASSERT_TRUE(watched->remove(index_key_, ctx_).ok());
    ASSERT_TRUE(watched->remove(object_key_, ctx_).ok());
  });
  EXPECT_THAT(check().problems, IsEmpty());
  EXPECT_TRUE(done);
}

TEST_F(FsckBucket, SaysWhatTheStoreDoesNotHandOut) {
  write_small_bucket();
  auto plan = std::make_shared<objstore::FaultPlan>();
  bucket_ = objstore::with_faults(std::move(bucket_), plan);
  plan->set_hook([&](objstore::Operation operation, std::string_view key) {
    if (operation == objstore::Operation::kGet && key == index_key_) plan->fail_nth(objstore::Operation::kGet, 1, {});
  });
  // The object is read after the index, and fails.
  EXPECT_EQ(only_problem(), "unreadable " + object_key_);
  plan->set_hook(nullptr);
  plan->clear();
  plan->fail_always(objstore::Operation::kList);
  EXPECT_FALSE(check_bucket(*bucket_, pool_, {}, ctx_).ok());
}

TEST(FsckDirectory, FindsBucketsAndLeavesThemAlone) {
  io::MemoryFileSystem files;
  FakeClock clock(kStart + 10 * kNanosPerDay);
  {
    auto bucket = objstore::open_filesystem_store(files, "/data/chunks").value();
    fill_with_random_data(*bucket, 2, clock);
  }
  ASSERT_TRUE(files.create("/data/chunks/.skald-tmp/upload").value()->append("half").ok());
  for (const char* directory : {"/data", "/data/chunks"}) {
    const FsckReport report = fsck(files, directory, {}, clock);
    EXPECT_THAT(report.problems, IsEmpty());
    EXPECT_THAT(report.notes, IsEmpty());
    EXPECT_GT(report.objects, 5U) << directory;
  }
  EXPECT_EQ(files.list("/data/chunks/.skald-tmp")->size(), 1U);
  // A copy without the folder for uploads is a bucket all the same.
  ASSERT_TRUE(files.remove("/data/chunks/.skald-tmp/upload").ok());
  ASSERT_TRUE(files.remove("/data/chunks/.skald-tmp").ok());
  const FsckReport copy = fsck(files, "/data", {}, clock);
  EXPECT_THAT(copy.problems, IsEmpty());
  EXPECT_EQ(copy.delete_requests, 2U);
  ASSERT_TRUE(files.make_directories("/data/chunks/anna/deletes").ok());
  ASSERT_TRUE(files.create("/data/chunks/anna/deletes/00000001").value()->append("?").ok());
  const FsckReport damaged = fsck(files, "/data", {}, clock);
  ASSERT_EQ(damaged.problems.size(), 1U);
  EXPECT_EQ(damaged.problems[0].where, "/data/chunks/anna/deletes/00000001");
}

TEST(FsckReport, AsTextAndJson) {
  FsckReport report;
  report.objects = 2;
  EXPECT_THAT(to_json(report), HasSubstr("{\"ok\":true,\"problems\":[],\"notes\":[],\"counts\":{\"files\":0,\"objects\":2,"));
  report.add(FindingKind::kObjectMissing, "a\"b", "gone");
  report.add(FindingKind::kForeign, "x", "odd");
  EXPECT_THAT(to_json(report), HasSubstr("{\"ok\":false,\"problems\":[{\"kind\":\"object_missing\",\"where\":\"a\\\"b\",\"what\":\"gone\"}],\"notes\":[{\"kind\":\"foreign\""));
  EXPECT_THAT(to_text(report), HasSubstr("a\"b: gone\nnote: x: odd\n"));
  EXPECT_THAT(to_text(report), HasSubstr("; 1 problems\n"));
}

}  // namespace
}  // namespace skald::app
