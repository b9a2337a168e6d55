#include "api/results_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <optional>

#include "skald/base/random.h"
#include "skald/codec/compress.h"
#include "skald/logql/parser.h"

namespace skald::api {
namespace {

constexpr std::int64_t kDay = 1'800'000'000LL / 86'400 * 86'400 * kNanosPerSecond;

class MapCache final : public cache::Cache {
 public:
  std::vector<SharedBytes> fetch(const CallContext&, std::span<const std::string> keys) override {
    std::vector<SharedBytes> values;
    for (const std::string& key : keys) values.push_back(items.contains(key) ? items[key] : nullptr);
    return values;
  }
  void store(std::vector<cache::Item> stored) override {
    for (cache::Item& item : stored) items[item.key] = item.value;
  }
  std::map<std::string, SharedBytes> items;
};

// Three series whose points depend on time only; some steps have none.
std::optional<double> value_at(int series, std::int64_t ts_ns) {
  const std::uint64_t second = static_cast<std::uint64_t>(ts_ns / kNanosPerSecond);
  const std::uint64_t mixed = second * 0x9E3779B97F4A7C15ULL >> 40;
  if (series == 1 && mixed % 3 == 0) return std::nullopt;
  if (series == 2 && second % 7200 < 6000) return std::nullopt;
  return series == 0 && mixed % 11 == 0 ? std::nan("") : static_cast<double>(mixed % 1000) / 8 + series;
}

engine::QueryResult truth(std::int64_t start_ns, std::int64_t end_ns, std::int64_t step_ns) {
  engine::MatrixResult matrix;
  for (int s = 0; s < 3; ++s) {
    engine::Series series{model::Labels::from_pairs({{"n", std::to_string(s)}, {"quote", "\"\\"}}), {}};
    for (std::int64_t t = start_ns; t <= end_ns; t += step_ns)
      if (const auto value = value_at(s, t)) series.samples.push_back({t / kNanosPerMilli, *value});
    if (!series.samples.empty()) matrix.series.push_back(std::move(series));
  }
  engine::QueryResult result;
  result.data = std::move(matrix);
  return result;
}

std::string text_of(const engine::QueryResult& result) {
  std::string text;
  for (const engine::Series& series : std::get<engine::MatrixResult>(result.data).series) {
    text += series.labels.to_string();
    for (const engine::Sample& sample : series.samples) text += " " + std::to_string(sample.timestamp_ms) + "=" + std::to_string(sample.value);
    text += "\n";
  }
  return text;
}

class ResultsCacheTest : public ::testing::Test {
 protected:
  ResultsCache::Query query(std::int64_t start_ns, std::int64_t end_ns, std::int64_t step_ns, std::int64_t keep_until_ns = INT64_MAX / 4) {
    ResultsCache::Query q;
    q.tenant = "t";
    q.generation = "0";
    q.text = "rate({a=\"b\"}[1m])";
    q.start_ns = start_ns;
    q.end_ns = end_ns;
    q.step_ns = step_ns;
    q.keep_until_ns = keep_until_ns;
    q.bucket_ns = kNanosPerHour;
    return q;
  }
  // The answer as text; steps_ holds how many steps had to be computed.
  std::string ask(const ResultsCache::Query& q) {
    steps_ = 0;
    const auto result = results_.run(CallContext(), q, [&](std::int64_t start_ns, std::int64_t end_ns) -> Result<engine::QueryResult> {
      EXPECT_EQ((start_ns - q.start_ns) % q.step_ns, 0);
      steps_ += (end_ns - start_ns) / q.step_ns + 1;
      return truth(start_ns, end_ns, q.step_ns);
    });
    EXPECT_TRUE(result.ok());
    return text_of(*result);
  }
  std::shared_ptr<MapCache> cache_ = std::make_shared<MapCache>();
  obs::Registry registry_;
  ResultsCache results_{cache_, registry_};
  std::int64_t steps_ = 0;
};

TEST_F(ResultsCacheTest, OnlyWhatIsNewIsComputed) {
  const std::int64_t minute = kNanosPerMinute;
  EXPECT_EQ(ask(query(kDay, kDay + 600 * minute, minute)), text_of(truth(kDay, kDay + 600 * minute, minute)));
  EXPECT_EQ(steps_, 601);
  EXPECT_EQ(ask(query(kDay, kDay + 600 * minute, minute)), text_of(truth(kDay, kDay + 600 * minute, minute)));
  EXPECT_EQ(steps_, 0);
  EXPECT_EQ(ask(query(kDay + 5 * minute, kDay + 610 * minute, minute)), text_of(truth(kDay + 5 * minute, kDay + 610 * minute, minute)));
  EXPECT_EQ(steps_, 10);
  EXPECT_EQ(ask(query(kDay - 30 * minute, kDay + 620 * minute, minute)), text_of(truth(kDay - 30 * minute, kDay + 620 * minute, minute)));
  EXPECT_EQ(steps_, 40);
  EXPECT_EQ(ask(query(kDay + 100 * minute, kDay + 200 * minute, minute)), text_of(truth(kDay + 100 * minute, kDay + 200 * minute, minute)));
  EXPECT_EQ(steps_, 0);
}

TEST_F(ResultsCacheTest, TheNewestIsComputedEachTime) {
  const std::int64_t minute = kNanosPerMinute, now = kDay + 300 * minute;
  for (int i = 0; i < 3; ++i) {
    ask(query(kDay, now, minute, now - 10 * minute));
    EXPECT_EQ(steps_, i == 0 ? 301 : 10);
  }
  ask(query(kDay, now, minute, kDay - minute));
  EXPECT_EQ(steps_, 10) << "what is kept stays";
}

TEST_F(ResultsCacheTest, OtherQueriesTenantsStepsAndGenerationsHaveTheirOwn) {
  const ResultsCache::Query base = query(kDay, kDay + kNanosPerHour, kNanosPerMinute);
  ask(base);
  for (int what = 0; what < 5; ++what) {
    ResultsCache::Query other = base;
    if (what == 0) other.tenant = "u";
    if (what == 1) other.generation = "1";
    if (what == 2) other.text = "rate({a=\"c\"}[1m])";
    if (what == 3) other.step_ns = 30 * kNanosPerSecond;
    if (what == 4) other.start_ns += 7 * kNanosPerSecond;
    EXPECT_EQ(ask(other), text_of(truth(other.start_ns, other.end_ns, other.step_ns)));
    EXPECT_GT(steps_, 50) << what;
  }
}

TEST_F(ResultsCacheTest, AnyHistoryOfQueriesGivesTheTruth) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    cache_->items.clear();
    SeededRandom random(seed);
    const std::int64_t steps[] = {1, 7, 15, 60, 300};
    const std::int64_t step_ns = steps[random.next_u64() % 5] * kNanosPerSecond;
    for (int i = 0; i < 40; ++i) {
      std::int64_t start_ns = kDay + static_cast<std::int64_t>(random.next_u64() % 2000) * step_ns;
      start_ns -= start_ns % step_ns;
      const std::int64_t end_ns = start_ns + static_cast<std::int64_t>(random.next_u64() % 600) * step_ns + static_cast<std::int64_t>(random.next_u64() % 2) * kNanosPerMilli;
      const std::int64_t keep_until_ns = kDay + static_cast<std::int64_t>(random.next_u64() % 2500) * step_ns;
      ASSERT_EQ(ask(query(start_ns, end_ns, step_ns, keep_until_ns)), text_of(truth(start_ns, end_ns, step_ns))) << "seed " << seed << " query " << i;
      // A cache may lose anything, and hold rubbish.
      if (!cache_->items.empty() && random.next_u64() % 4 == 0) {
        auto victim = std::next(cache_->items.begin(), static_cast<std::ptrdiff_t>(random.next_u64() % cache_->items.size()));
        if (random.next_u64() % 2 == 0) cache_->items.erase(victim);
        else victim->second = std::make_shared<const Bytes>(victim->second->substr(0, victim->second->size() / 2));
      }
    }
  }
}

TEST_F(ResultsCacheTest, WarningsAndTooManySeriesAreNotPutTogether) {
  const ResultsCache::Query q = query(kDay, kDay + kNanosPerHour, kNanosPerMinute);
  for (int i = 0; i < 2; ++i) {
    const auto partial = results_.run(CallContext(), q, [&](std::int64_t start_ns, std::int64_t end_ns) -> Result<engine::QueryResult> {
      engine::QueryResult result = truth(start_ns, end_ns, q.step_ns);
      result.warnings.push_back("cut");
      return result;
    });
    EXPECT_EQ(partial->warnings.size(), 1U);
    EXPECT_TRUE(cache_->items.empty());
  }
  ask(q);
  ResultsCache::Query longer = query(kDay, kDay + 2 * kNanosPerHour, kNanosPerMinute);
  longer.series_max = 2;
  std::vector<std::int64_t> starts;
  const auto refused = results_.run(CallContext(), longer, [&](std::int64_t start_ns, std::int64_t end_ns) -> Result<engine::QueryResult> {
    starts.push_back(start_ns);
    if (start_ns == longer.start_ns) return Error(ErrorCode::kInvalidArgument, "too many series");
    return truth(start_ns, end_ns, longer.step_ns);
  });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(starts.size(), 2U) << "the missing part, then all of it";
}

TEST_F(ResultsCacheTest, ErrorsPass) {
  const auto failed = results_.run(CallContext(), query(kDay, kDay + kNanosPerHour, kNanosPerMinute),
                                   [](std::int64_t, std::int64_t) -> Result<engine::QueryResult> { return Error(ErrorCode::kUnavailable, "not now"); });
  ASSERT_FALSE(failed.ok());
  EXPECT_TRUE(cache_->items.empty());
}

TEST_F(ResultsCacheTest, AGenerationNeverComesBack) {
  const auto some = std::make_shared<const std::vector<engine::Deletion>>(1, engine::Deletion{1, 2, logql::parse("{a=\"b\"}")->log()});
  const std::string none = results_.generation("t", nullptr, "");
  EXPECT_EQ(results_.generation("t", nullptr, ""), none);
  const std::string hidden = results_.generation("t", some, "");
  EXPECT_NE(hidden, none);
  EXPECT_EQ(results_.generation("t", some, ""), hidden);
  const std::string carried_out = results_.generation("t", nullptr, "");
  EXPECT_NE(carried_out, none);
  EXPECT_NE(carried_out, hidden);
  EXPECT_EQ(results_.generation("u", nullptr, ""), none) << "other tenants keep theirs";
  EXPECT_EQ(results_.generation("v", some, "7"), results_.generation("v", nullptr, "7")) << "who knows all requests decides";
  EXPECT_NE(results_.generation("v", nullptr, "7"), results_.generation("v", nullptr, "8"));
  const std::string given = results_.generation("w", nullptr, "7");
  results_.increase_generation("w");
  EXPECT_NE(results_.generation("w", nullptr, "7"), given);
}

TEST_F(ResultsCacheTest, ChoosesWhatCanBePutTogether) {
  const auto can = [](const std::string& text, std::int64_t start_ns = kDay, std::int64_t step_ns = kNanosPerMinute) {
    return ResultsCache::can_cache(*logql::parse(text), start_ns, start_ns + kNanosPerHour, step_ns);
  };
  EXPECT_TRUE(can("sum by (a) (rate({a=\"b\"}[1m] offset 5m))"));
  EXPECT_FALSE(can("{a=\"b\"}"));
  EXPECT_FALSE(can("rate({a=\"b\"}[1m] offset -5m)"));
  EXPECT_FALSE(can("rate({a=\"b\"}[1m])", kDay + 1));
  EXPECT_FALSE(can("rate({a=\"b\"}[1m])", kDay, 1));
  EXPECT_FALSE(can("rate({a=\"b\"}[1m])", INT64_MIN));
}

TEST(Extents, RoundTripAndEveryDamageIsNoticedOrHarmless) {
  const auto result = truth(kDay, kDay + kNanosPerHour, kNanosPerMinute);
  const Extent extent{kDay, kDay + kNanosPerHour, std::get<engine::MatrixResult>(result.data).series};
  const Bytes bytes = encode_extent(extent);
  const auto back = decode_extent(bytes, kDay, kDay + 2 * kNanosPerHour);
  ASSERT_TRUE(back.has_value());
  engine::QueryResult again;
  again.data = engine::MatrixResult{back->series};
  EXPECT_EQ(text_of(again), text_of(result));
  EXPECT_FALSE(decode_extent(bytes, kDay + 1, kDay + 2 * kNanosPerHour).has_value());
  EXPECT_FALSE(decode_extent(bytes, kDay, kDay + kNanosPerHour).has_value());
  for (std::size_t keep = 0; keep < bytes.size(); ++keep) EXPECT_FALSE(decode_extent(ByteView(bytes).substr(0, keep), kDay, kDay + 2 * kNanosPerHour).has_value());
  // Damage below the compression, which has no checksum of its own.
  Bytes raw = *codec::decompress_exact(codec::Compression::kZstd, ByteView(bytes).substr(9), load_le<std::uint64_t>(bytes.data() + 1));
  SeededRandom random(3);
  for (int i = 0; i < 3000; ++i) {
    Bytes damaged = raw;
    for (int n = 0; n < 3; ++n) damaged[random.next_u64() % damaged.size()] = static_cast<char>(random.next_u64());
    Bytes packed(1, bytes[0]);
    append_le<std::uint64_t>(packed, damaged.size());
    ASSERT_TRUE(codec::compress_append(codec::Compression::kZstd, 0, damaged, packed).ok());
    (void)decode_extent(packed, kDay, kDay + 2 * kNanosPerHour);   // ends, and reserves no more than the bytes explain
  }
}

}  // namespace
}  // namespace skald::api
