// Three ingesters with replication 3, readers with listings of different age, a compactor: at no moment is a row missing or
// there twice. Members restart, go silent, flush without shipping; everything moves at random.
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <set>
#include <thread>

#include "skald/base/random.h"
#include "skald/compactor/compactor.h"
#include "skald/engine/engine.h"
#include "skald/ingester/ingester.h"
#include "skald/io/memory_file_system.h"
#include "skald/logql/parser.h"
#include "skald/objstore/stores.h"
#include "skald/obs/log.h"
#include "skald/querier/querier.h"
#include "skald/querier/recent_view.h"
#include "skald/rpc/ingester_service.h"
#include "skald/rpc/ingester_set.h"
#include "skald/rpc/remote_ingester.h"
#include "wal/wal_fixture.h"

namespace skald::querier {
namespace {

constexpr std::int64_t kT0 = 1'700'000'000LL * kNanosPerSecond;   // 2023-11-14T22:13:20Z: midnight is not far
constexpr std::int64_t kListingAge = 10 * kNanosPerMinute, kRecentKeep = 12 * kNanosPerMinute;
constexpr int kMembers = 3;

// The bucket as one process reaches it.
class Reached final : public objstore::ObjectStore {
 public:
  explicit Reached(objstore::ObjectStore& base) : base_(base) {}
  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override {
    if (no_index && key.find("/index/") != std::string_view::npos) return Error(ErrorCode::kUnavailable, "injected");
    return base_.put(key, body, ctx);
  }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return base_.create(key, body, ctx); }
  Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override { return base_.get(key, range, ctx); }
  Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override {
    return base_.list(prefix, next, depth, ctx);
  }
  Result<void> remove(std::string_view key, const CallContext& ctx) override { return base_.remove(key, ctx); }
  std::atomic<bool> no_index{false};

 private:
  objstore::ObjectStore& base_;
};

store::StoreOptions store_options() {
  store::StoreOptions options;
  options.recent_keep_ns = kRecentKeep;
  options.listing_age_max_ns = kListingAge;
  return options;
}

ingester::IngesterOptions ingester_options(int number) {
  ingester::IngesterOptions options;
  options.id = "i" + std::to_string(number);
  options.wal_directory = "/wal";
  options.durability = ingester::Durability::kAlways;
  options.flush_check_ns = kNanosPerHour;
  options.memory_soft_bytes = 1ULL << 30;
  return options;
}

// One run of a write process.
struct Process {
  Process(int number, io::FileSystem& files, Reached& bucket, exec::Pool& pool, const Clock& clock)
      : store(bucket, pool, registry, store_options()), ingester(ingester_options(number), files, bucket, store, pool, registry, clock), view(ingester, store.recent()) {}
  obs::Registry registry;
  store::Store store;
  ingester::Ingester ingester;
  RecentView view;
};

struct Limits final : config::LimitsProvider {
  config::LimitsPtr for_tenant(const std::string&) const override { return limits; }
  std::shared_ptr<config::Limits> limits = std::make_shared<config::Limits>();
};

class Cluster {
 public:
  Cluster(std::uint64_t seed, bool remote) : random_(seed), remote_(remote) {
    const auto joined = kv_->update("collectors/ring", [](ring::Desc& desc) -> Result<bool> {
      SeededRandom tokens(5);
      for (int i = 0; i < kMembers; ++i) {
        ring::Instance one;
        one.id = one.address = "i" + std::to_string(i);
        one.heartbeat_s = system_clock().now_ns() / kNanosPerSecond;
        for (int t = 0; t < 16; ++t) one.tokens.push_back(static_cast<std::uint32_t>(tokens.next_u64()));
        std::sort(one.tokens.begin(), one.tokens.end());
        desc.instances[one.id] = one;
      }
      return true;
    }, {});
    EXPECT_TRUE(joined.ok());
    ring_ = std::make_unique<ring::Ring>(*kv_, ring::RingOptions{.replication_factor = 3}, registry_);
    while (ring_->picture()->desc().instances.size() != kMembers) std::this_thread::yield();
    http_ = http::Client::create({.proxy = "none"}).value();
    for (int i = 0; i < kMembers; ++i) members_.push_back(std::make_shared<Member>(*this, i));
    for (auto& member : members_) member->start();
    set_ = std::make_unique<rpc::IngesterSet>(*ring_, [this](const ring::Instance& one) { return members_[static_cast<std::size_t>(one.id[1] - '0')]; }, peers_, registry_);
    reader_store_ = std::make_unique<store::Store>(*bucket_, pool_, reader_registry_, store_options());
    compactor::CompactorOptions options;
    options.retention_delete_delay_ns = 20 * kNanosPerMinute;
    options.shard_settle_ns = 0;
    options.index_merge_min = 2;
    options.lease_ns = kNanosPerMinute;
    compactor_ = std::make_unique<compactor::Compactor>(*bucket_, nullptr, limits_, pool_, compactor_registry_, clock_, random_, options);
    ctx_.tenant = "t";
    ctx_.clock = &clock_;
  }
  ~Cluster() {
    set_.reset();
    for (auto& member : members_) member->stop();
  }

  void step() {
    switch (pick(11)) {
      case 0: case 1: case 2: return push();
      case 3: return clock_.advance_ns(static_cast<std::int64_t>(pick(9)) * kNanosPerMinute);
      case 4: case 5: {
        Member& member = any();
        member.bucket.no_index = pick(3) == 0;
        (void)member.process->ingester.flush_all(ctx_);   // fails when the index cannot be shipped
        member.bucket.no_index = false;
        return;
      }
      case 6: ASSERT_TRUE(any().process->store.refresh(ctx_).ok()); return;
      case 7: ASSERT_TRUE(reader_store_->refresh(ctx_).ok()); return;
      case 8: {
        Member& member = any();
        member.stop();
        push();
        check();
        member.start();
        return;
      }
      case 9: {
        const auto report = compactor_->run_once(ctx_);
        ASSERT_TRUE(report.ok()) << report.error().message();
        rewritten += report->objects_out;
        return;
      }
      case 10: any().process->store.ship_pending(ctx_).ok(); return;
    }
  }

  // What readers, and write processes that are asked, answer.
  void check() {
    Member& silent = any();
    const bool was_silent = silent.silent.exchange(down() ? silent.silent.load() : pick(3) == 0);
    Querier reader(*set_, reader_store_.get());
    compare(reader, "reader");
    std::vector<Member*> up;
    for (auto& member : members_)
      if (!member->silent) up.push_back(member.get());
    Querier member(*set_, &up[pick(up.size())]->process->store);
    compare(member, "member");
    silent.silent = was_silent;
  }

  // How many rows the volume calls know of, as part of what there is.
  double known_part() {
    double worst_low = 1, worst_high = 1;
    for (store::Store* store : {reader_store_.get(), &any().process->store}) {
      Querier querier(*set_, store, {.copies = kMembers});
      const auto volumes = querier.volumes(ctx_, {{}, kT0 - kNanosPerHour, clock_.now_ns() + kNanosPerHour});
      EXPECT_TRUE(volumes.ok());
      double entries = 0;
      for (const rpc::SeriesVolume& volume : *volumes) entries += static_cast<double>(volume.entries);
      const double part = entries / static_cast<double>(rows_.size());
      worst_low = std::min(worst_low, part);
      worst_high = std::max(worst_high, part);
    }
    return worst_high > 2 - worst_low ? worst_high : worst_low;
  }
  void fill_in_order() {
    for (int i = 0; i < 40; ++i) {
      clock_.advance_ns(kNanosPerSecond);
      std::vector<test::StreamOfRows> streams;
      for (const char* app : {"x", "y"}) {
        const std::string line = std::string(app) + " line " + std::to_string(++lines_);
        streams.push_back({{{"app", app}}, {{.ts = clock_.now_ns(), .line = line}}});
        rows_.emplace(line, std::make_pair(std::string("{app=\"") + app + "\"}", clock_.now_ns()));
      }
      std::promise<Result<model::PushOutcome>> answer;
      set_->push(ctx_, test::make_batch("t", streams), [&](Result<model::PushOutcome> outcome) { answer.set_value(std::move(outcome)); });
      ASSERT_TRUE(answer.get_future().get().ok());
    }
  }
  void flush(std::size_t member) { ASSERT_TRUE(members_[member]->process->ingester.flush_all(ctx_).ok()); }
  void list() { ASSERT_TRUE(reader_store_->refresh(ctx_).ok()); }
  void wait(std::int64_t ns) { clock_.advance_ns(ns); }

  std::uint64_t rewritten = 0;

 private:
  struct Member final : rpc::IngesterClient {
    Member(Cluster& cluster_in, int number_in) : cluster(cluster_in), number(number_in), bucket(*cluster_in.bucket_) {}
    void start() {
      process = std::make_unique<Process>(number, *files, bucket, cluster.pool_, cluster.clock_);
      CallContext ctx;
      ctx.clock = &cluster.clock_;
      ASSERT_TRUE(process->ingester.start().ok());
      // Before it has listed, it does not say what it does not know.
      ctx.tenant = "t";
      EXPECT_EQ(process->view.select(ctx, {{}, 0, INT64_MAX}).error().code(), ErrorCode::kUnavailable);
      ASSERT_TRUE(process->store.refresh(ctx).ok());
      client = std::shared_ptr<rpc::IngesterClient>(&process->view, [](rpc::IngesterClient*) {});
      if (cluster.remote_) {
        service = std::make_unique<rpc::IngesterService>(process->view, process->registry, cluster.clock_, rpc::IngesterServiceOptions{.inline_block_bytes = 300});
        server = std::make_unique<http::Server>(http::ServerOptions{.listen_address = "127.0.0.1", .port = 0, .io_threads = 1}, cluster.serving_, process->registry);
        service->add_routes(*server);
        ASSERT_TRUE(server->start().ok());
        client = rpc::make_remote_ingester(*cluster.http_, "http://127.0.0.1:" + std::to_string(server->port()), cluster.texts_);
      }
      silent = false;
    }
    void stop() {
      silent = true;
      client.reset();
      if (server) server->stop(1000);
      service.reset();
      server.reset();
      if (process) process->ingester.stop();
      process.reset();
    }
    template <class T, class F>
    Result<T> ask(F f) {
      if (silent) return Error(ErrorCode::kUnavailable, "silent");
      return f(*client);
    }
    void push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) override {
      if (silent) return done(Error(ErrorCode::kUnavailable, "silent"));
      client->push(ctx, std::move(batch), std::move(done));
    }
    Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override {
      auto result = ask<chunk::SelectResult>([&](rpc::IngesterClient& to) { return to.select(ctx, request); });
      if (!result.ok() || cluster.remote_) return result;
      // There is one ingester in a process; here are three that count their sources alike.
      for (chunk::StreamData& stream : result->streams)
        for (chunk::BlockSlice& slice : stream.blocks)
          if (slice.from_ingester) slice.source_id += static_cast<std::uint64_t>(number) << 48;
      return result;
    }
    Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override {
      return ask<std::vector<model::LabelsPtr>>([&](rpc::IngesterClient& to) { return to.series(ctx, request); });
    }
    Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override {
      return ask<std::vector<rpc::SeriesVolume>>([&](rpc::IngesterClient& to) { return to.volumes(ctx, request); });
    }
    Result<std::shared_ptr<void>> tail(const CallContext&, std::vector<model::Matcher>, rpc::TailSink) override { return Error(ErrorCode::kUnimplemented, "not here"); }

    Cluster& cluster;
    const int number;
    Reached bucket;
    std::unique_ptr<io::FileSystem> files = std::make_unique<io::MemoryFileSystem>();
    std::atomic<bool> silent{true};
    std::unique_ptr<Process> process;
    std::unique_ptr<rpc::IngesterService> service;
    std::unique_ptr<http::Server> server;
    std::shared_ptr<rpc::IngesterClient> client;
  };

  std::uint64_t pick(std::uint64_t count) { return random_.next_u64() % count; }
  Member& any() { return *members_[pick(members_.size())]; }
  bool down() const {
    return std::any_of(members_.begin(), members_.end(), [](const auto& member) { return member->silent.load(); });
  }

  void push() {
    std::vector<test::StreamOfRows> streams;
    for (std::uint64_t s = pick(4); s < 4; ++s) {
      test::StreamOfRows stream{{{"app", "a" + std::to_string(s)}}, {}};
      std::int64_t ts = clock_.now_ns() - static_cast<std::int64_t>(pick(pick(3) == 0 ? 40 : 3) * kNanosPerMinute);
      for (std::uint64_t i = pick(20); i < 20; ++i) {
        ts += static_cast<std::int64_t>(pick(5)) * kNanosPerSecond;
        const std::string line = "line " + std::to_string(++lines_);
        stream.rows.push_back({.ts = ts, .line = line});
        rows_.emplace(line, std::make_pair("{app=\"a" + std::to_string(s) + "\"}", ts));
      }
      streams.push_back(std::move(stream));
    }
    Member& late = any();
    const bool misses_it = !down() && pick(4) == 0;
    if (misses_it) late.silent = true;
    std::promise<Result<model::PushOutcome>> answer;
    set_->push(ctx_, test::make_batch("t", streams), [&](Result<model::PushOutcome> outcome) { answer.set_value(std::move(outcome)); });
    const auto outcome = answer.get_future().get();
    if (misses_it) late.silent = false;
    ASSERT_TRUE(outcome.ok()) << outcome.error().message();
    ASSERT_EQ(outcome->refused, 0U) << outcome->error->message();
  }

  void compare(Querier& querier, const std::string& who) {
    const std::int64_t from_ns = kT0 - kNanosPerHour, until_ns = clock_.now_ns() + kNanosPerHour;
    engine::EngineLimits limits;
    engine::Engine engine(querier, pool_);
    const auto log = engine.run(ctx_, *logql::parse("{app=~`.+`}"), {.start_ns = from_ns, .end_ns = until_ns, .limit = 1'000'000}, limits);
    ASSERT_TRUE(log.ok()) << who << ": " << log.error().message();
    std::set<std::string> seen;
    for (const engine::LogStream& stream : std::get<engine::LogResult>(log->data).streams)
      for (const engine::LogEntry& entry : stream.entries) {
        EXPECT_TRUE(seen.insert(entry.line).second) << who << ": doubled: " << entry.line;
        ASSERT_TRUE(rows_.contains(entry.line)) << who;
        EXPECT_EQ(rows_.at(entry.line).second, entry.timestamp_ns);
      }
    for (const auto& [line, where] : rows_) EXPECT_TRUE(seen.contains(line)) << who << ": lost: " << line << " of " << where.first << " at " << where.second - kT0;
    // From the index where that is possible.
    for (const std::int64_t window_m : {1440, 30, 5}) {
      const std::int64_t at_ns = until_ns - until_ns % kNanosPerMinute - static_cast<std::int64_t>(pick(120)) * kNanosPerMinute;
      std::map<std::string, double> expected, counted;
      for (const auto& [line, where] : rows_)
        if (where.second <= at_ns && where.second > at_ns - window_m * kNanosPerMinute) ++expected[where.first];
      const auto result = engine.run(ctx_, *logql::parse("sum by (app) (count_over_time({app=~`.+`}[" + std::to_string(window_m) + "m]))"),
                                     {.instant = true, .start_ns = at_ns, .end_ns = at_ns}, limits);
      ASSERT_TRUE(result.ok()) << who << ": " << result.error().message();
      for (const engine::Series& series : std::get<engine::VectorResult>(result->data).series) counted[series.labels.to_string()] = series.samples.front().value;
      EXPECT_EQ(counted, expected) << who << ", " << window_m << " minutes";
    }
    const auto series = querier.series(ctx_, {{}, from_ns, until_ns});
    ASSERT_TRUE(series.ok());
    std::set<std::string> streams, expected;
    for (const model::LabelsPtr& labels : *series) streams.insert(labels->text);
    for (const auto& [line, where] : rows_) expected.insert(where.first);
    EXPECT_EQ(streams, expected) << who;
  }

  SeededRandom random_;
  const bool remote_;
  FakeClock clock_{kT0};
  CallContext ctx_;
  obs::Registry registry_, reader_registry_, compactor_registry_;
  exec::Pool pool_{"test", 2}, serving_{"serving", 4}, peers_{"peers", 6};
  std::unique_ptr<objstore::ObjectStore> bucket_ = objstore::make_memory_store();
  std::unique_ptr<ring::KvStore> kv_ = ring::make_memory_kv();
  std::unique_ptr<ring::Ring> ring_;
  std::unique_ptr<http::Client> http_;
  rpc::LabelTexts texts_;
  std::vector<std::shared_ptr<Member>> members_;
  std::unique_ptr<rpc::IngesterSet> set_;
  std::unique_ptr<store::Store> reader_store_;
  Limits limits_;
  std::unique_ptr<compactor::Compactor> compactor_;
  std::map<std::string, std::pair<std::string, std::int64_t>> rows_;   // line → stream, time
  std::uint64_t lines_ = 0;
};

void run(std::uint64_t first_seed, std::uint64_t seeds, bool remote, int steps) {
  std::uint64_t rewritten = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Cluster cluster(seed, remote);
    for (int i = 0; i < steps; ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      cluster.step();
      if (::testing::Test::HasFailure()) return;
      cluster.check();
      if (::testing::Test::HasFailure()) return;
    }
    rewritten += cluster.rewritten;
  }
  EXPECT_GT(rewritten, 0U) << "the compactor had nothing to do";
}

TEST(ClusterReads, NoRowIsMissingOrThereTwice) { run(1, 12, false, 50); }
TEST(ClusterReads, NorOverHttp) { run(100, 3, true, 50); }

TEST(ClusterReads, VolumesCountCopiesOnce) {
  for (const bool remote : {false, true}) {
    Cluster cluster(7, remote);
    const auto check = [&](const char* when) { EXPECT_NEAR(cluster.known_part(), 1, 0.02) << when; };
    cluster.list();
    cluster.fill_in_order();
    check("all in memory");
    cluster.flush(0);
    check("one has stored it, its readers have not listed that");
    cluster.list();
    check("they have");
    cluster.fill_in_order();
    cluster.flush(1);
    check("two have stored it, at different times");
    cluster.flush(0), cluster.flush(2);
    check("all have");
    cluster.list();
    check("and it is listed");
    cluster.wait(kRecentKeep);
    cluster.list();
    check("and ingesters show it no more");
  }
}

}  // namespace
}  // namespace skald::querier
