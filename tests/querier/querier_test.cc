#include "skald/querier/querier.h"

#include <gtest/gtest.h>

#include "querier/fake_clients.h"
#include "skald/logql/parser.h"

namespace skald::querier {
namespace {

using testing::FakeIngester;
using testing::FakeStore;

constexpr std::int64_t kSecond = 1'000'000'000;

class QuerierTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_.data.add(R"({app="a"})", {{1 * kSecond, "one"}, {2 * kSecond, "two"}}, 7, 10, false);
    ingester_.data.add(R"({app="a"})", {{2 * kSecond, "two"}, {3 * kSecond, "three"}}, 7, 10, true);
    ingester_.data.add(R"({app="b", env="x"})", {{3 * kSecond, "b"}}, 8);
    store_.data.add(R"({app="c", env="y"})", {{1 * kSecond, "cc"}}, 9, 10, false);
  }
  FakeIngester ingester_;
  FakeStore store_;
  CallContext ctx_;
  rpc::SelectRequest all_{{}, 0, 10 * kSecond};
};

TEST_F(QuerierTest, AsksTheIngesterFirst) {
  std::vector<std::string> calls;
  ingester_.calls = store_.calls = &calls;
  Querier querier(ingester_, &store_);
  ASSERT_TRUE(querier.select(ctx_, all_).ok());
  EXPECT_EQ(calls, (std::vector<std::string>{"ingester", "store"}));
}

TEST_F(QuerierTest, MergesBlocksOfOneStreamByTime) {
  Querier querier(ingester_, &store_);
  const auto selected = querier.select(ctx_, all_);
  ASSERT_TRUE(selected.ok());
  ASSERT_EQ(selected->streams.size(), 3U);
  for (const chunk::StreamData& stream : selected->streams) {
    if (stream.labels->text != R"({app="a"})") continue;
    ASSERT_EQ(stream.blocks.size(), 2U);
    EXPECT_FALSE(stream.blocks[0].from_ingester);
    EXPECT_TRUE(stream.blocks[1].from_ingester);
    EXPECT_LE(stream.blocks[0].min_ts_ns, stream.blocks[1].min_ts_ns);
  }
}

TEST_F(QuerierTest, LabelsSeriesAndVolumesOfBoth) {
  Querier querier(ingester_, &store_);
  EXPECT_EQ(*querier.label_names(ctx_, all_), (std::vector<std::string>{"app", "env"}));
  EXPECT_EQ(*querier.label_values(ctx_, "app", all_), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(*querier.label_values(ctx_, "env", all_), (std::vector<std::string>{"x", "y"}));
  const auto series = querier.series(ctx_, all_);
  ASSERT_TRUE(series.ok());
  ASSERT_EQ(series->size(), 3U);
  EXPECT_EQ((*series)[0]->text, R"({app="a"})");
  const auto stats = querier.stats(ctx_, all_);
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->streams, 3U);
  EXPECT_EQ(stats->entries, 6U);
  EXPECT_EQ(stats->bytes, 0U);   // each stream rounds to whole KiB
  const auto volumes = querier.volumes(ctx_, all_);
  ASSERT_TRUE(volumes.ok());
  std::uint64_t bytes = 0;
  for (const rpc::SeriesVolume& volume : *volumes) bytes += volume.bytes;
  EXPECT_EQ(bytes, 3U + 3 + 3 + 5 + 1 + 2);
}

class SeveralTenants : public QuerierTest {
 protected:
  void SetUp() override {
    ingester_.tenants["a"].add(R"({app="web"})", {{1 * kSecond, "of a"}}, 1);
    ingester_.tenants["b"].add(R"({app="web", __tenant_id__="own"})", {{2 * kSecond, "of b"}, {3 * kSecond, "more"}}, 1);
    ctx_.tenant = "a|b";
  }
  rpc::SelectRequest selecting(const std::string& selector) {
    rpc::SelectRequest request = all_;
    request.matchers = *logql::parse_selector(selector);
    return request;
  }
  std::vector<std::string> found(const std::string& selector) {
    std::vector<std::string> texts;
    const auto series = querier_.series(ctx_, selecting(selector));
    for (const model::LabelsPtr& labels : *series) texts.push_back(labels->text);
    return texts;
  }
  Querier querier_{ingester_, nullptr};
};

TEST_F(SeveralTenants, StreamsSayWhoseTheyAre) {
  EXPECT_EQ(found(R"({app="web"})"), (std::vector<std::string>{R"({__tenant_id__="a", app="web"})", R"({__tenant_id__="b", app="web", original___tenant_id__="own"})"}));
  const auto selected = querier_.select(ctx_, selecting(R"({app="web"})"));
  ASSERT_TRUE(selected.ok());
  ASSERT_EQ(selected->streams.size(), 2U);
  EXPECT_EQ(selected->streams[1].labels->labels.get("__tenant_id__"), "b");
  EXPECT_EQ(querier_.volumes(ctx_, all_)->size(), 2U);
  EXPECT_EQ(querier_.stats(ctx_, all_)->entries, 3U);
}

TEST_F(SeveralTenants, SelectorsChooseAmongThem) {
  EXPECT_EQ(found(R"({__tenant_id__="a"})").size(), 1U);
  EXPECT_EQ(found(R"({__tenant_id__=~"a|b"})").size(), 2U);
  EXPECT_EQ(found(R"({__tenant_id__!="a", app="web"})"), (std::vector<std::string>{R"({__tenant_id__="b", app="web", original___tenant_id__="own"})"}));
  EXPECT_EQ(found(R"({original___tenant_id__="own"})").size(), 1U);
  EXPECT_TRUE(found(R"({__tenant_id__="c"})").empty()) << "nobody asked about";
}

TEST_F(SeveralTenants, NamesAndValues) {
  EXPECT_EQ(*querier_.label_names(ctx_, all_), (std::vector<std::string>{"__tenant_id__", "app", "original___tenant_id__"}));
  EXPECT_EQ(*querier_.label_values(ctx_, "__tenant_id__", all_), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(*querier_.label_values(ctx_, "original___tenant_id__", all_), (std::vector<std::string>{"own"}));
  EXPECT_EQ(*querier_.label_values(ctx_, "app", all_), (std::vector<std::string>{"web"}));
}

TEST_F(SeveralTenants, DeletionsHoldForTheirTenantOnly) {
  querier_.set_deletions([](const std::string& tenant) -> engine::Deletions {
    if (tenant != "a") return nullptr;
    return std::make_shared<const std::vector<engine::Deletion>>(1, engine::Deletion{0, 9 * kSecond, logql::parse(R"({app="web"})")->log()});
  });
  exec::Pool pool("test", 2);
  engine::Engine engine(querier_, pool);
  engine::QueryParams params;
  params.end_ns = 9 * kSecond;
  const auto result = engine.run(ctx_, *logql::parse(R"({app="web"})"), params, {});
  ASSERT_TRUE(result.ok());
  const auto& streams = std::get<engine::LogResult>(result->data).streams;
  ASSERT_EQ(streams.size(), 1U);
  EXPECT_EQ(streams[0].entries.size(), 2U);
}

TEST_F(QuerierTest, OneSideOnly) {
  Querier memory(ingester_, &store_, {.ingester_only = true}), stored(ingester_, &store_, {.store_only = true});
  EXPECT_EQ(*memory.label_values(ctx_, "app", all_), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(*stored.label_values(ctx_, "app", all_), (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(memory.select(ctx_, all_)->streams.size(), 2U);
  EXPECT_EQ(stored.select(ctx_, all_)->streams.size(), 2U);
}

TEST_F(QuerierTest, WorksWithoutAStore) {
  Querier querier(ingester_, nullptr);
  EXPECT_EQ(querier.select(ctx_, all_)->streams.size(), 2U);
  EXPECT_EQ(*querier.label_values(ctx_, "app", all_), (std::vector<std::string>{"a", "b"}));
}

TEST_F(QuerierTest, EntriesHeldByBothCountOnce) {
  Querier querier(ingester_, &store_);
  exec::Pool pool("test", 2);
  engine::Engine engine(querier, pool);
  engine::QueryParams params;
  params.start_ns = 0;
  params.end_ns = 10 * kSecond;
  const auto query = logql::parse(R"({app="a"})");
  ASSERT_TRUE(query.ok());
  const auto result = engine.run(ctx_, *query, params, {});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(std::get<engine::LogResult>(result->data).streams.at(0).entries.size(), 3U);
}

}  // namespace
}  // namespace skald::querier
