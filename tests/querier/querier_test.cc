#include "skald/querier/querier.h"

#include <gtest/gtest.h>

#include "querier/fake_clients.h"

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
