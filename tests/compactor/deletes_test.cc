// Delete requests carried out: exactly the rows that are meant go, the rest stays; how many went is told once.
#include <gtest/gtest.h>

#include "compactor/delete_rows.h"
#include "compactor/world.h"

namespace skald::compactor {
namespace {

using namespace testing;
using chunk::testing_rows::random_rows;

class Deletes : public ::testing::Test {
 protected:
  Deletes() {
    world.options.retention_enabled = true;
    world.options.flush = [this](const std::string& tenant) -> Result<void> {
      EXPECT_EQ(tenant, "t");
      ++flushes;
      return {};
    };
    world.deletes = std::make_unique<DeleteStore>(*world.bucket, world.clock, ids, kNanosPerDay);
    world.ctx.tenant = "t";
  }
  std::string add(const std::string& query, std::int64_t start_ns, std::int64_t end_ns) {
    const auto id = world.deletes->add(world.ctx, query, start_ns / kNanosPerSecond, end_ns / kNanosPerSecond);
    EXPECT_TRUE(id.ok()) << id.error().message();
    return *id;
  }
  std::shared_ptr<const DeleteRequest> request(const std::string& id) {
    const DeleteRequests all = world.deletes->of("t");
    for (const auto& one : *all)
      if (one->id == id) return one;
    return nullptr;
  }
  // All bytes of all chunk objects hold `text` nowhere. Only for text that is stored uncompressed.
  bool anywhere(const std::string& line) {
    for (const std::string& key : list_keys(*world.bucket, "t/chunks/")) {
      const Bytes bytes = world.bucket->get(key, {}, world.ctx).value();
      const auto tail = chunk::open_object_tail(bytes, bytes.size()).value();
      for (const auto& one : tail.chunks) {
        const auto reader = chunk::ChunkReader::open(std::make_shared<const Bytes>(bytes.substr(one.offset, one.length))).value();
        for (std::size_t b = 0; b < reader->blocks().size(); ++b) {
          const auto columns = reader->block(b)->load(chunk::kAllColumns, world.ctx).value();
          for (std::uint32_t r = 0; r < columns->rows; ++r)
            if (columns->line(r).find(line) != std::string_view::npos) return true;
        }
      }
    }
    return false;
  }

  World world;
  SeededRandom ids{77};
  int flushes = 0;
};

TEST_F(Deletes, TakeExactlyTheLinesThatMatchAndSayHowMany) {
  std::vector<Row> rows = rows_at(kShard, 600, "user=7 ok");
  for (std::size_t i = 0; i < rows.size(); i += 7) rows[i].line = "user=9 secret " + std::to_string(i);
  world.put({{stream("a"), rows}, {stream("b"), rows}}, {{stream("g1"), {rows.begin(), rows.begin() + 20}}, {stream("g2"), {rows.begin(), rows.begin() + 20}}});
  Contents expected = read_all(*world.bucket, "t").contents;
  std::uint64_t lines = 0, bytes = 0;
  for (const char* app : {"a", "g1"}) {
    auto& of_stream = expected.at(stream(app)->text);
    for (const Row& row : of_stream) {
      if (row.line.find("secret") == std::string::npos || row.ts_ns > kShard + 300 * kNanosPerSecond) continue;
      ++lines;
      bytes += row.line.size();
    }
    std::erase_if(of_stream, [](const Row& row) { return row.line.find("secret") != std::string::npos && row.ts_ns <= kShard + 300 * kNanosPerSecond; });
  }
  const std::string id = add(R"({app=~"a|g1"} |= `secret`)", kShard, kShard + 300 * kNanosPerSecond);
  world.clock.advance_ns(kNanosPerDay);
  EXPECT_EQ(world.run_clean().lines_deleted, 0U) << "it may still be cancelled";
  EXPECT_EQ(flushes, 0);
  world.clock.advance_ns(kNanosPerSecond);
  const RunReport report = world.run_clean();
  EXPECT_EQ(flushes, 1);
  EXPECT_EQ(report.lines_deleted, lines);
  EXPECT_EQ(report.deletes_processed, 1U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, expected);
  EXPECT_EQ(request(id)->status, DeleteStatus::kProcessed);
  EXPECT_EQ(request(id)->lines_removed, lines);
  EXPECT_EQ(request(id)->bytes_removed, bytes);
  EXPECT_EQ(request(id)->finished_ms, world.clock.now_ns() / kNanosPerMilli);
  EXPECT_EQ(status_text(*request(id)), "processed");
  EXPECT_NE(world.registry.expose_text().find("loki_compactor_deleted_lines{user=\"t\"} " + std::to_string(lines)), std::string::npos);
  EXPECT_NE(world.registry.expose_text().find("loki_compactor_delete_requests_processed_total{user=\"t\"} 1"), std::string::npos);
  EXPECT_EQ(world.deletes->hiding("t")->size(), 1U) << "somebody may still read the old chunks";
  world.clock.advance_ns(4 * kNanosPerHour);
  EXPECT_TRUE(world.deletes->hiding("t")->empty());
  world.run_clean();
  EXPECT_EQ(list_keys(*world.bucket, "t/chunks/"), read_all(*world.bucket, "t").object_keys);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, expected);
  verify_objects(*world.bucket, "t");
  // Everybody else learns of it from the bucket.
  DeleteStore elsewhere(*world.bucket, world.clock, ids, kNanosPerDay);
  ASSERT_TRUE(elsewhere.refresh(world.ctx).ok());
  EXPECT_EQ(elsewhere.of("t")->front()->lines_removed, lines);
}

TEST_F(Deletes, OfWholeStreamsReadNothingOfThem) {
  world.put({{stream("gone"), rows_at(kShard, 100, "secret")}, {stream("stays"), rows_at(kShard, 100, "x")}});
  world.put({{stream("gone"), rows_at(kShard, 100, "secret")}});   // a replica
  const std::string id = add(R"({app="gone"})", kShard - kNanosPerHour, kShard + kNanosPerHour);
  world.clock.advance_ns(kNanosPerDay + kNanosPerSecond);
  world.run_clean();
  EXPECT_EQ(request(id)->lines_removed, 100U) << "copies count once";
  EXPECT_EQ(read_all(*world.bucket, "t").contents.size(), 1U);
  world.clock.advance_ns(2 * kNanosPerHour);
  world.run_clean();
  EXPECT_FALSE(anywhere("secret"));
}

TEST_F(Deletes, CancelledInTimeNothingHappens) {
  world.put({{stream("a"), rows_at(kShard, 50, "x")}});
  const Contents before = read_all(*world.bucket, "t").contents;
  const std::string id = add(R"({app="a"})", kShard, kShard + kNanosPerHour);
  DeleteStore elsewhere(*world.bucket, world.clock, ids, kNanosPerDay);
  ASSERT_TRUE(elsewhere.refresh(world.ctx).ok());
  ASSERT_TRUE(elsewhere.cancel(world.ctx, id, false).ok()) << "any node may do that";
  world.clock.advance_ns(2 * kNanosPerDay);
  EXPECT_EQ(world.run_clean().lines_deleted, 0U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, before);
  EXPECT_TRUE(world.deletes->of("t")->empty());
}

TEST_F(Deletes, WithoutAnIngesterAtHandWaitForTheHorizon) {
  world.options.flush = nullptr;
  world.options.delete_horizon_ns = 30 * kNanosPerHour;
  world.put({{stream("a"), rows_at(kShard, 50, "x")}});
  add(R"({app="a"})", kShard, kShard + kNanosPerHour);
  world.clock.advance_ns(29 * kNanosPerHour);
  EXPECT_EQ(world.run_clean().lines_deleted, 0U);
  world.clock.advance_ns(kNanosPerHour);
  EXPECT_EQ(world.run_clean().lines_deleted, 50U);
}

TEST_F(Deletes, AreNotCarriedOutForTenantsThatOnlyFilter) {
  world.limits.limits->deletion_mode = "filter-only";
  world.put({{stream("a"), rows_at(kShard, 50, "x")}});
  const std::string id = add(R"({app="a"})", kShard, kShard + kNanosPerHour);
  world.clock.advance_ns(3 * kNanosPerDay);
  EXPECT_EQ(world.run_clean().lines_deleted, 0U);
  EXPECT_EQ(request(id)->status, DeleteStatus::kReceived);
  EXPECT_EQ(world.deletes->hiding("t")->size(), 1U);
}

TEST_F(Deletes, AFlushThatFailsPostponesThem) {
  world.options.flush = [](const std::string&) -> Result<void> { return Error(ErrorCode::kUnavailable, "disk full"); };
  world.put({{stream("a"), rows_at(kShard, 50, "x")}});
  add(R"({app="a"})", kShard, kShard + kNanosPerHour);
  world.clock.advance_ns(2 * kNanosPerDay);
  const RunReport report = world.run();
  EXPECT_EQ(report.lines_deleted, 0U);
  ASSERT_EQ(report.errors.size(), 1U);
  EXPECT_NE(report.errors.front().find("disk full"), std::string::npos);
}

TEST_F(Deletes, DaysThatFailAreTriedAgainAndProgressIsShown) {
  world.put({{stream("a"), rows_at(kShard, 50, "secret")}});
  world.put({{stream("a"), rows_at(kShard + kNanosPerDay, 70, "secret")}});
  const std::string id = add(R"({app="a"} |= `secret`)", kShard, kShard + 2 * kNanosPerDay);
  world.clock.set_ns(kShard + 4 * kNanosPerDay);
  const std::string key = *list_keys(*world.bucket, "t/chunks/20261121T06/").begin();
  const Bytes good = world.bucket->get(key, {}, world.ctx).value();
  Bytes bad = good;
  bad[64] = 'x';
  ASSERT_TRUE(world.bucket->put(key, bad, world.ctx).ok());
  EXPECT_EQ(world.run().lines_deleted, 50U);
  EXPECT_EQ(status_text(*request(id)), "50% Complete");
  ASSERT_TRUE(world.bucket->put(key, good, world.ctx).ok());
  EXPECT_EQ(world.run_clean().lines_deleted, 70U);
  EXPECT_EQ(request(id)->lines_removed, 120U);
  EXPECT_EQ(status_text(*request(id)), "processed");
}

// What an ingester wrote before the request came and nobody had listed does not bring the rows back.
TEST_F(Deletes, RowsOfAnObjectThatTurnsUpLaterAreTakenToo) {
  world.put({{stream("a"), rows_at(kShard, 50, "secret")}});
  std::vector<Row> rows = rows_at(kShard, 60, "fine");
  rows[3].line = "secret again";
  write_object(*world.bucket, world.random, "t", {{stream("a"), rows}, {stream("b"), rows}}, {}, world.clock.now_ns());
  add(R"({app="a"} |= `secret`)", kShard, kShard + kNanosPerHour);
  world.options.adopt_grace_ns = 40 * kNanosPerHour;
  world.clock.advance_ns(kNanosPerDay + kNanosPerSecond);
  EXPECT_EQ(world.run_clean().deletes_processed, 1U);
  world.clock.advance_ns(20 * kNanosPerHour);
  EXPECT_EQ(world.run_clean().objects_adopted, 1U);
  const Contents after = read_all(*world.bucket, "t").contents;
  EXPECT_EQ(after.at(stream("a")->text).size(), 59U);
  EXPECT_EQ(after.at(stream("b")->text).size(), 60U);
  world.clock.advance_ns(10 * kNanosPerHour);
  EXPECT_EQ(world.run_clean().objects_adopted, 0U);
  EXPECT_EQ(read_all(*world.bucket, "t").contents, after);
}

// Random streams and requests against a plain filter; and a crash at every write on the way.
TEST_F(Deletes, MatchAPlainFilterOnRandomRowsAlsoWhenInterrupted) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    World one(seed);
    one.options.retention_enabled = true;
    one.options.flush = [](const std::string&) { return Result<void>(); };
    one.ctx.tenant = "t";
    SeededRandom random(seed), request_ids(seed + 5);
    one.deletes = std::make_unique<DeleteStore>(*one.bucket, one.clock, request_ids, kNanosPerDay);
    for (int i = 0; i < 4; ++i) {
      one.put({{stream("a"), random_rows(random, 1 + random.next_u64() % 60, kShard, kNanosPerHour)}, {stream("b"), random_rows(random, 20)}},
              {{stream("g"), random_rows(random, 9)}, {stream("h"), random_rows(random, 9)}});
    }
    Contents expected = read_all(*one.bucket, "t").contents;
    struct Wanted {
      const char* query;
      bool (*takes)(const std::string& text, const Row& row);
    };
    static const Wanted kQueries[] = {
        {R"({env="prod"} |= `users`)", [](const std::string&, const Row& row) { return row.line.find("users") != std::string::npos; }},
        {R"({app="a"})", [](const std::string& text, const Row&) { return text.find("\"a\"") != std::string::npos; }},
        {R"({app=~"g|b"} != `reset`)", [](const std::string& text, const Row& row) { return (text.find("\"g\"") != std::string::npos || text.find("\"b\"") != std::string::npos) && row.line.find("reset") == std::string::npos; }},
        {R"({env="prod"} | pod="pod-3")", [](const std::string&, const Row& row) { const auto pod = row.metadata.find("pod"); return pod != row.metadata.end() && pod->second == "pod-3"; }},
    };
    const Wanted& wanted = kQueries[seed % 4];
    const std::int64_t from_s = kShard / kNanosPerSecond + static_cast<std::int64_t>(random.next_u64() % 1800), to_s = from_s + 1 + static_cast<std::int64_t>(random.next_u64() % 7200);
    const std::string id = *one.deletes->add(one.ctx, wanted.query, from_s, to_s);
    std::uint64_t lines = 0;
    for (auto& [text, rows] : expected) {
      lines += std::erase_if(rows, [&, &labels = text](const Row& row) {
        return row.ts_ns >= from_s * kNanosPerSecond && row.ts_ns <= to_s * kNanosPerSecond && wanted.takes(labels, row);
      });
    }
    std::erase_if(expected, [](const auto& entry) { return entry.second.empty(); });
    one.clock.set_ns(kShard + 3 * kNanosPerDay);
    if (seed % 2 == 1) {   // every write fails once, one after the other; half of them after they took effect
      auto plan = std::make_shared<objstore::FaultPlan>();
      struct Borrowed final : objstore::ObjectStore {
        explicit Borrowed(objstore::ObjectStore& store) : inner(store) {}
        Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return inner.put(key, body, ctx); }
        Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return inner.create(key, body, ctx); }
        Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override { return inner.get(key, range, ctx); }
        Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override { return inner.list(prefix, next, depth, ctx); }
        Result<void> remove(std::string_view key, const CallContext& ctx) override { return inner.remove(key, ctx); }
        objstore::ObjectStore& inner;
      };
      const auto faulty = objstore::with_faults(std::make_unique<Borrowed>(*one.bucket), plan);
      auto* const healthy = one.deletes.get();
      auto crashing = std::make_unique<DeleteStore>(*faulty, one.clock, request_ids, kNanosPerDay);
      for (std::uint64_t n = 1; n < 6; ++n) {
        plan->fail_nth(objstore::Operation::kPut, n, {.code = ErrorCode::kUnavailable, .message = "crash", .after_effect = (seed / 2 + n) % 2 == 0, .torn_bytes = std::nullopt});
        SeededRandom run_random(seed * 100 + n);
        Compactor compactor(*faulty, crashing.get(), one.limits, one.pool, one.registry, one.clock, run_random, one.options);
        (void)compactor.run_once(one.ctx);
        plan->clear();
      }
      ASSERT_TRUE(healthy->refresh(one.ctx).ok());
    }
    one.run_clean();
    ASSERT_EQ(read_all(*one.bucket, "t").contents, expected) << "seed " << seed << " " << wanted.query;
    const DeleteRequests requests = one.deletes->of("t");
    ASSERT_EQ(requests->front()->status, DeleteStatus::kProcessed);
    EXPECT_EQ(requests->front()->lines_removed, lines) << "seed " << seed << " " << wanted.query;
    one.clock.advance_ns(30 * kNanosPerHour);
    one.run_clean();
    one.clock.advance_ns(30 * kNanosPerHour);
    one.run_clean();
    EXPECT_EQ(list_keys(*one.bucket, "t/chunks/"), read_all(*one.bucket, "t").object_keys) << "seed " << seed;
    EXPECT_EQ(read_all(*one.bucket, "t").contents, expected);
    if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace skald::compactor
