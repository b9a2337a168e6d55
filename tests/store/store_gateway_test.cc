// A reader whose index is kept by another process answers what a reader with its own index answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>


#include "skald/index/day_index.h"
#include "skald/rpc/index_gateway.h"
#include "skald/rpc/index_service.h"
#include "store/bucket.h"

namespace skald::store::testing {
namespace {

// Whoever is asked last must not be asked for chunks.
class Counted final : public rpc::IndexClient {
 public:
  explicit Counted(rpc::IndexClient& inner) : inner_(inner) {}
  Result<std::vector<index::StreamChunkRefs>> refs(const CallContext& ctx, const rpc::SelectRequest& request, index::WithSketches with_sketches, bool fresh) override {
    ++calls;
    freshened += fresh ? 1 : 0;
    if (down) return Error(ErrorCode::kUnavailable, "down");
    return inner_.refs(ctx, request, with_sketches, fresh);
  }
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override { return ask([&] { return inner_.series(ctx, request); }); }
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override { return ask([&] { return inner_.volumes(ctx, request); }); }
  Result<std::vector<std::string>> label_names(const CallContext& ctx, const rpc::SelectRequest& request) override { return ask([&] { return inner_.label_names(ctx, request); }); }
  Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) override {
    return ask([&] { return inner_.label_values(ctx, name, request); });
  }
  std::atomic<int> calls{0}, freshened{0};
  std::atomic<bool> down{false};

 private:
  template <class F>
  auto ask(F f) -> decltype(f()) {
    ++calls;
    if (down) return Error(ErrorCode::kUnavailable, "down");
    return f();
  }
  rpc::IndexClient& inner_;
};

class GatewayTest : public StoreTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    keeper_ = make_store();
    counted_ = std::make_shared<Counted>(keeper_->index());
    gateway_ = counted_;
    if (GetParam()) {
      server_ = start_server(service_);
      http_ = http::Client::create({.proxy = "none"}).value();
      addresses_ = {address_of(*server_)};
      gateway_ = rpc::make_index_gateway(*http_, texts_, registry_, {.addresses = [this] { return addresses_; }});
    }
    StoreOptions options;
    options.gateway = gateway_;
    reader_ = make_store(options);
    own_ = make_store();
  }
  void TearDown() override {
    reader_.reset();
    if (server_) server_->stop(1000);
  }
  std::unique_ptr<http::Server> start_server(std::unique_ptr<rpc::IndexService>& service) {
    service = std::make_unique<rpc::IndexService>(*counted_, registry_, system_clock(), rpc::IndexServiceOptions{.page_bytes = 700});
    auto server = std::make_unique<http::Server>(http::ServerOptions{.listen_address = "127.0.0.1", .port = 0, .io_threads = 1}, pool_, registry_);
    service->add_routes(*server);
    EXPECT_TRUE(server->start().ok());
    return server;
  }
  static std::string address_of(const http::Server& server) { return "http://127.0.0.1:" + std::to_string(server.port()); }

  // Objects of several days; group chunks among them.
  std::vector<StreamOf> fill(std::uint64_t seed, const std::string& tenant = "t") {
    SeededRandom random(seed);
    std::vector<StreamOf> all;
    for (int day = 0; day < 3; ++day) {
      std::vector<StreamOf> singles, group;
      for (int s = 0; s < 12; ++s) {
        StreamOf stream{labels({{"app", "a" + std::to_string(s % 4)}, {"n", std::to_string(s)}, {"day", std::to_string(day)}}),
                        make_rows("s" + std::to_string(s), 1 + static_cast<int>(random.next_u64() % 90), day * kNanosPerDay)};
        all.push_back(stream);
        (random.next_u64() % 2 == 0 ? singles : group).push_back(std::move(stream));
      }
      const auto writer = make_store();
      writer->add_pending(tenant, write_object(*memory_, tenant, singles, group, kStart + day * kNanosPerDay));
      EXPECT_TRUE(writer->ship_pending(CallContext()).ok());
    }
    EXPECT_TRUE(keeper_->refresh(CallContext()).ok());
    EXPECT_TRUE(own_->refresh(CallContext()).ok());
    return all;
  }
  static std::vector<std::string> volumes_text(Result<std::vector<rpc::SeriesVolume>> volumes) {
    EXPECT_TRUE(volumes.ok());
    std::vector<std::string> out;
    for (const auto& v : *volumes)
      out.push_back(v.labels->text + " " + std::to_string(v.bytes) + " " + std::to_string(v.entries) + " " + std::to_string(v.chunks) + " " + std::to_string(v.spans.size()));
    std::sort(out.begin(), out.end());
    return out;
  }

  obs::Registry registry_;
  rpc::LabelTexts texts_;
  std::unique_ptr<Store> keeper_, reader_, own_;
  std::shared_ptr<Counted> counted_;
  std::shared_ptr<rpc::IndexClient> gateway_;
  std::unique_ptr<rpc::IndexService> service_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<http::Client> http_;
  std::vector<std::string> addresses_;
};

TEST_P(GatewayTest, AnswersAreThoseOfAnOwnIndex) {
  const std::vector<StreamOf> all = fill(1);
  const int lists = recording_.lists();
  for (const auto& matchers : std::vector<std::vector<model::Matcher>>{{}, {matcher(model::MatchType::kEqual, "app", "a1")}, {matcher(model::MatchType::kRegex, "n", "1.+")}}) {
    for (const std::int64_t end_ns : {INT64_MAX, kStart + kNanosPerDay + 30 * kNanosPerSecond}) {
      rpc::SelectRequest request{matchers, kStart + 10 * kNanosPerSecond, end_ns};
      EXPECT_EQ(select(*reader_, request), select(*own_, request));
      EXPECT_EQ(reader_->label_names(context(), request).value(), own_->label_names(context(), request).value());
      EXPECT_EQ(reader_->label_values(context(), "n", request).value(), own_->label_values(context(), "n", request).value());
      EXPECT_EQ(volumes_text(reader_->volumes(context(), request)), volumes_text(own_->volumes(context(), request)));
      EXPECT_EQ(reader_->series(context(), request)->size(), own_->series(context(), request)->size());
      request.spans_since_ns = kStart + kNanosPerDay;
      EXPECT_EQ(volumes_text(reader_->volumes(context(), request)), volumes_text(own_->volumes(context(), request)));
    }
  }
  EXPECT_EQ(select(*reader_, everything()), lines_of(all));
  EXPECT_TRUE(select(*reader_, everything(), "someone else").empty());
  EXPECT_EQ(recording_.lists(), lists);
  EXPECT_GT(counted_->calls, 20);
}

TEST_P(GatewayTest, ReferencesArriveAsTheyAre) {
  fill(2);
  for (const auto sketches : {index::WithSketches::kNo, index::WithSketches::kYes}) {
    auto mine = reader_->refs(context(), everything(), sketches).value(), theirs = own_->refs(context(), everything(), sketches).value();
    const auto by_text = [](const auto& a, const auto& b) { return a.labels->text < b.labels->text; };
    std::sort(mine.begin(), mine.end(), by_text), std::sort(theirs.begin(), theirs.end(), by_text);
    ASSERT_EQ(mine.size(), theirs.size());
    bool any_sketch = false;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      EXPECT_EQ(mine[i].labels->text, theirs[i].labels->text);
      ASSERT_EQ(mine[i].chunks.size(), theirs[i].chunks.size());
      for (std::size_t c = 0; c < mine[i].chunks.size(); ++c) {
        const index::ChunkRef &a = mine[i].chunks[c], &b = theirs[i].chunks[c];
        EXPECT_EQ(a.object, b.object);
        EXPECT_EQ(std::tie(a.offset, a.length, a.hot_length, a.min_ts_ns, a.max_ts_ns, a.rows, a.raw_bytes, a.content_id, a.group, a.first_row),
                  std::tie(b.offset, b.length, b.hot_length, b.min_ts_ns, b.max_ts_ns, b.rows, b.raw_bytes, b.content_id, b.group, b.first_row));
        EXPECT_EQ(std::tie(a.sketch.width_s, a.sketch.origin_ns, a.sketch.rows, a.sketch.bytes, a.sketch.rows_by_level),
                  std::tie(b.sketch.width_s, b.sketch.origin_ns, b.sketch.rows, b.sketch.bytes, b.sketch.rows_by_level));
        any_sketch |= a.sketch.width_s != 0;
      }
    }
    EXPECT_EQ(any_sketch, sketches == index::WithSketches::kYes);
  }
}

TEST_P(GatewayTest, AChunkThatIsGoneIsAskedForOnceMoreAfterAListing) {
  fill(3, "other");
  std::vector<StreamOf> streams = {{labels({{"app", "x"}}), make_rows("x", 20)}};
  const auto old = write_object(*memory_, "t", streams);
  const auto writer = make_store();
  writer->add_pending("t", old);
  ASSERT_TRUE(writer->ship_pending(CallContext()).ok());
  const std::vector<std::string> inputs = keys("t/index/");
  ASSERT_TRUE(keeper_->refresh(CallContext()).ok());
  ASSERT_EQ(select(*reader_, everything()), lines_of(streams));
  // A compactor rewrites it.
  const auto rewritten = write_object(*memory_, "t", {streams[0], {labels({{"app", "y"}}), make_rows("y", 2)}});
  index::DayIndexBuilder merged("t", index::day_of(kStart), index::merged_index_id(index::day_of(kStart), 1));
  for (const index::IndexEntry& entry : rewritten) ASSERT_TRUE(merged.add(entry.labels, entry.chunk).ok());
  merged.add_input(index::parse_day_index_key(inputs.front())->id);
  const auto built = merged.finish();
  ASSERT_TRUE(memory_->put(index::day_index_key("t", index::day_of(kStart), built->header.id), built->bytes, CallContext()).ok());
  ASSERT_TRUE(memory_->remove(chunk::object_key("t", old.front().chunk.object.shard_start_ns, old.front().chunk.object.id), CallContext()).ok());
  StoreOptions options;
  options.gateway = gateway_;
  const auto fresh_reader = make_store(options);   // nothing of the chunk is cached
  EXPECT_EQ(select(*fresh_reader, everything()).size(), 2U);
  EXPECT_EQ(counted_->freshened, 1);
}

TEST_P(GatewayTest, WithoutAGatewayTheBucketIsListed) {
  const std::vector<StreamOf> all = fill(4);
  counted_->down = true;
  EXPECT_EQ(select(*reader_, everything()), lines_of(all));
  EXPECT_EQ(reader_->series(context(), everything())->size(), all.size());
  EXPECT_EQ(reader_->label_values(context(), "app", everything())->size(), 4U);
  EXPECT_EQ(volumes_text(reader_->volumes(context(), everything())), volumes_text(own_->volumes(context(), everything())));
  counted_->down = false;
  EXPECT_EQ(select(*reader_, everything()), lines_of(all));
}

TEST_P(GatewayTest, TheNextOneIsAskedWhenOneIsSilent) {
  if (!GetParam()) GTEST_SKIP() << "one gateway in this process";
  const std::vector<StreamOf> all = fill(5);
  std::unique_ptr<rpc::IndexService> second;
  auto other = start_server(second);
  addresses_.push_back(address_of(*other));
  for (const std::string tenant : {"t", "u", "v", "w", "x"}) EXPECT_TRUE(reader_->series(context(tenant), everything()).ok());
  server_->stop(0);
  const int lists = recording_.lists();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(select(*reader_, everything()), lines_of(all));
  for (const std::string tenant : {"t", "u", "v", "w", "x"}) EXPECT_TRUE(reader_->series(context(tenant), everything()).ok());
  EXPECT_EQ(recording_.lists(), lists) << "the other one answered";
  other->stop(1000);
}

INSTANTIATE_TEST_SUITE_P(All, GatewayTest, ::testing::Bool(), [](const auto& info) { return info.param ? "remote" : "local"; });

}  // namespace
}  // namespace skald::store::testing
