// Counting queries answered from the index alone give what reading the chunks gives, and read none where all is aligned.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "skald/engine/engine.h"
#include "skald/logql/parser.h"
#include "skald/model/level.h"
#include "skald/querier/querier.h"
#include "store/bucket.h"

namespace skald::querier {
namespace {

using store::testing::kStart;
using store::testing::labels;
using store::testing::Row;
using store::testing::StreamOf;

class NoIngester final : public rpc::IngesterClient {
 public:
  void push(const CallContext&, std::shared_ptr<const model::PushBatch>, std::function<void(Result<model::PushOutcome>)> done) override {
    done(Error(ErrorCode::kUnimplemented, "none"));
  }
  Result<chunk::SelectResult> select(const CallContext&, const rpc::SelectRequest&) override { return memory; }
  Result<std::vector<model::LabelsPtr>> series(const CallContext&, const rpc::SelectRequest&) override { return std::vector<model::LabelsPtr>(); }
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext&, const rpc::SelectRequest&) override { return std::vector<rpc::SeriesVolume>(); }
  Result<std::shared_ptr<void>> tail(const CallContext&, std::vector<model::Matcher>, rpc::TailSink) override { return std::shared_ptr<void>(); }
  chunk::SelectResult memory;
};

// The same data, always read.
class ReadingSource final : public engine::Source {
 public:
  explicit ReadingSource(Querier& inner) : inner_(inner) {}
  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override {
    rpc::SelectRequest plain = request;
    plain.counts = nullptr;
    return inner_.select(ctx, plain);
  }

 private:
  Querier& inner_;
};

class CountFromIndex : public store::testing::StoreTest {
 protected:
  static std::string run(engine::Source& source, exec::Pool& pool, const std::string& text, std::int64_t start_ns, std::int64_t end_ns, std::int64_t step_ns,
                         const std::string& tenant = "t") {
    const auto query = logql::parse(text);
    EXPECT_TRUE(query.ok()) << text;
    engine::QueryParams params{.instant = false, .start_ns = start_ns, .end_ns = end_ns, .step_ns = step_ns};
    engine::EngineLimits limits;
    limits.max_series = 100'000;
    const auto result = engine::Engine(source, pool).run(store::testing::context(tenant), *query, params, limits);
    EXPECT_TRUE(result.ok()) << text << ": " << result.error().message();
    if (!result.ok()) return "";
    std::vector<std::string> lines;
    for (const engine::Series& series : std::get<engine::MatrixResult>(result->data).series) {
      std::string line = series.labels.to_string();
      for (const engine::Sample& sample : series.samples) line += " " + std::to_string(sample.timestamp_ms) + "=" + std::to_string(sample.value);
      lines.push_back(line + "\n");
    }
    std::sort(lines.begin(), lines.end());
    std::string all;
    for (const std::string& line : lines) all += line;
    return all;
  }

  // Streams of all kinds: with and without levels, metadata, a level label; in single chunks and in groups.
  void fill(SeededRandom& random, store::Store& store, int objects, const std::string& tenant) {
    for (int object = 0; object < objects; ++object) {
      std::vector<StreamOf> singles, group;
      for (int s = 0; s < 6; ++s) {
        std::vector<model::Label> pairs{{"app", s % 2 == 0 ? "a" : "b"}, {"n", std::to_string(s)}};
        if (s == 3) pairs.push_back({"level", "from-stream"});
        StreamOf stream{labels(pairs), {}};
        const bool overlaps = random.next_u64() % 4 == 0;
        std::int64_t at = kStart + (overlaps ? 0 : object) * 20 * kNanosPerMinute + static_cast<std::int64_t>(random.next_u64() % 60) * kNanosPerSecond;
        const int rows = 1 + static_cast<int>(random.next_u64() % 120);
        for (int i = 0; i < rows; ++i) {
          Row row{.ts_ns = at, .line = std::string(random.next_u64() % 50, 'x') + std::to_string(random.next_u64()), .level = 0, .metadata = {}};
          if (s != 5) row.level = static_cast<std::uint8_t>(1 + random.next_u64() % 5);
          if (s == 1 && random.next_u64() % 3 == 0) row.metadata["level"] = "from-metadata";
          if (s == 2 && random.next_u64() % 9 == 0) row.level = 0, row.metadata["detected_level"] = "notice";
          stream.rows.push_back(std::move(row));
          const std::int64_t steps[] = {0, 1, kNanosPerSecond, kNanosPerSecond / 2, 7 * kNanosPerSecond, 20 * kNanosPerSecond};
          at += steps[random.next_u64() % 6];
        }
        (random.next_u64() % 2 == 0 ? singles : group).push_back(std::move(stream));
      }
      auto entries = store::testing::write_object(*memory_, tenant, singles, group);
      // As the ingester does: members of a group have sketches, too.
      for (index::IndexEntry& entry : entries) {
        if (!entry.chunk.group) continue;
        const StreamOf& member = *std::find_if(group.begin(), group.end(), [&](const StreamOf& stream) { return stream.labels == entry.labels; });
        const std::vector<std::shared_ptr<const chunk::Columns>> blocks = {store::testing::to_columns(member.rows)};
        entry.chunk.sketch = chunk::build_chunk(*member.labels, blocks, {})->meta.sketch;
      }
      store.add_pending(tenant, std::move(entries));
    }
    if (random.next_u64() % 2 == 0) ASSERT_TRUE(store.ship_pending(CallContext()).ok());
  }
};

TEST_F(CountFromIndex, EqualsWhatReadingGives) {
  const std::vector<std::string> ranges = {"1s", "10s", "30s", "1m", "5m", "7m", "2h"};
  const std::vector<std::int64_t> steps = {1, 10, 60, 60, 300, 300, 77, 3600};
  const std::vector<std::string> outers = {"sum", "sum by (app) ", "sum by (detected_level) ", "sum by (level, detected_level) ", "sum by (app, nothing) ",
                                           "sum by (n, detected_level) ", "max", "sum without (n) ", "", "count by (detected_level) "};
  const std::vector<std::string> inners = {"count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time"};
  const std::vector<std::string> tails = {"", "", " | drop __error__", " |= `1`"};
  std::size_t without_reading = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    SeededRandom random(seed);
    const std::string tenant = "t" + std::to_string(seed);
    const auto store = make_store();
    ASSERT_NO_FATAL_FAILURE(fill(random, *store, 4, tenant));
    NoIngester ingester;
    Querier querier(ingester, store.get());
    ReadingSource reading(querier);
    const auto pick = [&](const auto& from) { return from[random.next_u64() % from.size()]; };
    for (int i = 0; i < 60; ++i) {
      std::string offset;
      if (random.next_u64() % 4 == 0) offset = " offset " + std::to_string(random.next_u64() % 700) + "s";
      const std::string query = pick(outers) + "(" + pick(inners) + "({app=~\"a|b\"}" + pick(tails) + "[" + pick(ranges) + "]" + offset + "))";
      const std::int64_t step_ns = pick(steps) * kNanosPerSecond;
      std::int64_t start_ns = kStart + static_cast<std::int64_t>(random.next_u64() % 3600) * kNanosPerSecond;
      if (random.next_u64() % 8 == 0) start_ns += static_cast<std::int64_t>(random.next_u64() % kNanosPerSecond);
      else start_ns -= start_ns % step_ns;
      const std::int64_t end_ns = start_ns + std::min<std::int64_t>(400 * step_ns, 4 * kNanosPerHour);
      const auto fresh = make_store();   // nothing of it is in memory
      ASSERT_TRUE(fresh->refresh(CallContext()).ok());
      const std::string expected = run(reading, pool_, query, start_ns, end_ns, step_ns, tenant);
      const bool shipped = !fresh->series(store::testing::context(tenant), store::testing::everything())->empty();
      recording_.take_gets();
      Querier cold(ingester, shipped ? fresh.get() : store.get());
      const std::string counted = run(cold, pool_, query, start_ns, end_ns, step_ns, tenant);
      const auto differs = std::mismatch(counted.begin(), counted.end(), expected.begin(), expected.end());
      ASSERT_EQ(counted == expected, true) << query << " seed " << seed << " start " << start_ns << " step " << step_ns << " at ..."
                                           << std::string(differs.first, differs.first + std::min<std::ptrdiff_t>(60, counted.end() - differs.first)) << "... expected ..."
                                           << std::string(differs.second, differs.second + std::min<std::ptrdiff_t>(60, expected.end() - differs.second));
      if (!shipped) continue;
      without_reading += recording_.take_chunk_gets() == 0 && !expected.empty();
    }
  }
  EXPECT_GT(without_reading, 20U);
}

TEST_F(CountFromIndex, ADaysHistogramReadsNoChunk) {
  std::vector<StreamOf> singles, group;
  for (int s = 0; s < 3; ++s) {
    StreamOf stream{labels({{"app", "big"}, {"n", std::to_string(s)}}), {}};
    for (int i = 0; i < 7000; ++i)
      stream.rows.push_back({.ts_ns = kStart + i * kNanosPerSecond + s, .line = "line " + std::to_string(i), .level = static_cast<std::uint8_t>(1 + i % 4), .metadata = {}});
    singles.push_back(std::move(stream));
  }
  const auto writer = make_store();
  writer->add_pending("t", store::testing::write_object(*memory_, "t", singles));
  ASSERT_TRUE(writer->ship_pending(CallContext()).ok());
  NoIngester ingester;
  for (const std::string query : {"sum by (detected_level) (count_over_time({app=`big`} | drop __error__ [5m]))", "sum by (n) (count_over_time({app=`big`}[5m]))",
                                  "sum(rate({app=`big`}[1m]))", "sum(bytes_over_time({app=`big`}[5m]))", "sum by (detected_level) (count_over_time({app=`big`}[1h]))"}) {
    const auto store = make_store();
    ASSERT_TRUE(store->refresh(CallContext()).ok());
    Querier querier(ingester, store.get());
    ReadingSource reading(querier);
    recording_.take_gets();
    const std::string counted = run(querier, pool_, query, kStart, kStart + 2 * kNanosPerHour, 5 * kNanosPerMinute);
    EXPECT_EQ(recording_.take_chunk_gets(), 0U) << query;
    EXPECT_EQ(counted, run(reading, pool_, query, kStart, kStart + 2 * kNanosPerHour, 5 * kNanosPerMinute)) << query;
    EXPECT_FALSE(counted.empty());
    EXPECT_GT(recording_.take_chunk_gets(), 0U);
  }
}

TEST_F(CountFromIndex, RowsThatMemoryHoldsTooAreCountedOnce) {
  const std::vector<StreamOf> streams = {{labels({{"app", "a"}}), store::testing::make_rows("x", 600)}};
  const auto store = make_store();
  store->add_pending("t", store::testing::write_object(*memory_, "t", streams));
  NoIngester ingester;
  // The ingester has not let go of the second half.
  ingester.memory = *store->select(store::testing::context(), store::testing::everything());
  const auto half = store::testing::to_columns(std::vector<Row>(streams[0].rows.begin() + 300, streams[0].rows.end()));
  class Held final : public chunk::Block {
   public:
    explicit Held(std::shared_ptr<const chunk::Columns> columns) : columns_(std::move(columns)) {}
    Result<std::shared_ptr<const chunk::Columns>> load(chunk::ColumnMask, const CallContext&) const override { return columns_; }
    std::shared_ptr<const chunk::Columns> columns_;
  };
  ingester.memory.streams.at(0).blocks = {{.block = std::make_shared<Held>(half), .first_row = 0, .rows = 300, .min_ts_ns = half->timestamps_ns.front(),
                                           .max_ts_ns = half->timestamps_ns.back(), .raw_bytes = 1, .source_id = 1, .from_ingester = true}};
  Querier querier(ingester, store.get());
  EXPECT_NE(run(querier, pool_, "sum(count_over_time({app=`a`}[10m]))", kStart + 10 * kNanosPerMinute, kStart + 10 * kNanosPerMinute, kNanosPerMinute).find("=599.0"), std::string::npos)
      << "(start, start + 10m]: all but the first row";
}

}  // namespace
}  // namespace skald::querier
