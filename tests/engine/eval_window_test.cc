// The engine's windows against an evaluator that looks at every row for every step.
#include <cmath>
#include <functional>

#include "eval_fixture.h"

namespace skald::engine::testing {
namespace {

struct Sample2 {
  std::int64_t ts;
  double value;
  std::size_t bytes;
};

using Function = std::function<double(const std::vector<Sample2>&, double range_s, std::int64_t after_ns, std::int64_t until_ns)>;

double naive_quantile(std::vector<double> v, double q) {
  std::sort(v.begin(), v.end());
  const double rank = q * static_cast<double>(v.size() - 1);
  const auto low = static_cast<std::size_t>(std::floor(rank));
  const std::size_t high = std::min(low + 1, v.size() - 1);
  const double w = rank - std::floor(rank);
  return v[low] * (1 - w) + v[high] * w;
}

double variance(const std::vector<Sample2>& s) {
  double mean = 0, sum = 0;
  for (const auto& x : s) mean += x.value;
  mean /= static_cast<double>(s.size());
  for (const auto& x : s) sum += (x.value - mean) * (x.value - mean);
  return sum / static_cast<double>(s.size());
}

double naive_counter_rate(const std::vector<Sample2>& s, double range_s, std::int64_t after_ns, std::int64_t until_ns) {
  if (s.size() < 2) return 0;
  double increase = 0;
  for (std::size_t i = 1; i < s.size(); ++i) increase += s[i].value < s[i - 1].value ? s[i].value : s[i].value - s[i - 1].value;
  const double d = static_cast<double>(s.back().ts - s.front().ts) / 1e9, average = d / static_cast<double>(s.size() - 1);
  double gap_start = static_cast<double>(s.front().ts - after_ns) / 1e9, gap_end = static_cast<double>(until_ns - s.back().ts) / 1e9;
  if (increase > 0 && s.front().value >= 0) gap_start = std::min(gap_start, d * s.front().value / increase);
  if (gap_start >= 1.1 * average) gap_start = average / 2;
  if (gap_end >= 1.1 * average) gap_end = average / 2;
  return increase * (d + gap_start + gap_end) / d / range_s;
}

const std::map<std::string, Function>& functions() {
  static const std::map<std::string, Function> all = {
      {"count_over_time", [](const auto& s, double, auto, auto) { return static_cast<double>(s.size()); }},
      {"rate", [](const auto& s, double r, auto, auto) { return static_cast<double>(s.size()) / r; }},
      {"bytes_over_time", [](const auto& s, double, auto, auto) { double b = 0; for (const auto& x : s) b += static_cast<double>(x.bytes); return b; }},
      {"bytes_rate", [](const auto& s, double r, auto, auto) { double b = 0; for (const auto& x : s) b += static_cast<double>(x.bytes); return b / r; }},
      {"sum_over_time", [](const auto& s, double, auto, auto) { double b = 0; for (const auto& x : s) b += x.value; return b; }},
      {"avg_over_time", [](const auto& s, double, auto, auto) { double b = 0; for (const auto& x : s) b += x.value; return b / static_cast<double>(s.size()); }},
      {"min_over_time", [](const auto& s, double, auto, auto) { double b = s[0].value; for (const auto& x : s) b = std::min(b, x.value); return b; }},
      {"max_over_time", [](const auto& s, double, auto, auto) { double b = s[0].value; for (const auto& x : s) b = std::max(b, x.value); return b; }},
      {"first_over_time", [](const auto& s, double, auto, auto) { return s.front().value; }},
      {"last_over_time", [](const auto& s, double, auto, auto) { return s.back().value; }},
      {"stdvar_over_time", [](const auto& s, double, auto, auto) { return variance(s); }},
      {"stddev_over_time", [](const auto& s, double, auto, auto) { return std::sqrt(variance(s)); }},
      {"quantile_over_time", [](const auto& s, double, auto, auto) {
         std::vector<double> v;
         for (const auto& x : s) v.push_back(x.value);
         return naive_quantile(v, 0.7);
       }},
      {"rate_counter", naive_counter_rate},
  };
  return all;
}

class WindowTest : public EvalTest {};

TEST_F(WindowTest, RandomDataRandomWindows) {
  SeededRandom random(42);
  const auto pick = [&](std::uint64_t n) { return static_cast<std::int64_t>(random.next_u64() % n); };
  const std::string label = R"({app="a"})";
  for (int round = 0; round < 40; ++round) {
    source_ = MemorySource();
    const std::int64_t base = 1'000'000 * kSecond, unit = pick(2) == 0 ? kSecond : 1'000'000;
    std::vector<Sample2> samples;
    std::vector<Entry> entries;
    std::int64_t ts = base;
    for (std::int64_t n = 1 + pick(400); n > 0; --n) {
      ts += (1 + pick(pick(10) == 0 ? 40 : 5)) * unit;   // distinct times, some gaps
      const double value = static_cast<double>(pick(100000)) / 100;
      std::string line = "v=" + std::to_string(value);
      samples.push_back({ts, std::stod(line.substr(2)), line.size()});
      entries.push_back({ts, std::move(line)});
    }
    // Two chunks of one stream, rows dealt out at random, and blocks of random size.
    std::vector<Entry> first, second;
    for (const Entry& e : entries) (pick(2) == 0 ? first : second).push_back(e);
    if (!first.empty()) source_.add(label, first, 1, static_cast<std::size_t>(1 + pick(60)));
    if (!second.empty()) source_.add(label, second, 2, static_cast<std::size_t>(1 + pick(60)));

    const std::int64_t range_ns = (1 + pick(120)) * unit, step_ns = (1 + pick(60)) * unit, offset_ns = (pick(30) - 15) * unit;
    const std::int64_t start = base + pick(200) * unit + (pick(2) == 0 ? 1 : 0), end = start + pick(300) * unit;
    if (range_ns % 1'000'000 != 0) continue;
    const std::string window = "[" + std::to_string(range_ns / 1'000'000) + "ms] offset " + std::to_string(offset_ns / 1'000'000) + "ms";
    for (const auto& [name, function] : functions()) {
      const bool plain = name == "count_over_time" || name == "rate" || name.starts_with("bytes");
      const std::string parameter = name == "quantile_over_time" ? "0.7, " : "";
      const std::string query = name + "(" + parameter + label + (plain ? "" : " | logfmt | unwrap v ") + window + ")";
      const auto result = range(query, start, end, step_ns);
      ASSERT_TRUE(result.ok()) << query << ": " << result.error().message();
      std::map<std::int64_t, double> actual, expected;
      for (const Series& s : std::get<MatrixResult>(result->data).series)
        for (std::size_t i = 0; i < s.samples.size(); ++i) actual[s.samples[i].timestamp_ms] = s.samples[i].value;
      for (std::int64_t t = start; t <= end; t += step_ns) {
        std::vector<Sample2> inside;
        for (const Sample2& s : samples)
          if (s.ts > t - offset_ns - range_ns && s.ts <= t - offset_ns) inside.push_back(s);
        if (!inside.empty()) expected[t / 1'000'000] = function(inside, static_cast<double>(range_ns) / 1e9, t - offset_ns - range_ns, t - offset_ns);
      }
      ASSERT_EQ(actual.size(), expected.size()) << query << " round " << round;
      for (const auto& [t, value] : expected) {
        ASSERT_TRUE(actual.count(t)) << query << " at " << t;
        ASSERT_NEAR(actual[t], value, 1e-9 * std::max(1.0, std::abs(value))) << query << " at " << t << " round " << round;
      }
    }
  }
}

// What overlapping sources hold twice counts once, whatever is asked.
TEST_F(WindowTest, DuplicatesCountOnce) {
  SeededRandom random(11);
  std::vector<Entry> entries;
  for (int i = 0; i < 500; ++i) entries.push_back({(1000 + i / 3) * kSecond, "v=" + std::to_string(i)});
  std::vector<Entry> copy;
  for (const Entry& e : entries)
    if (random.next_u64() % 2 == 0) copy.push_back(e);
  source_.add(R"({app="a"})", entries, 1, 37);
  source_.add(R"({app="a"})", copy, 2, 53);
  source_.add(R"({app="a"})", copy, 1, 11, false);   // the same chunk id, but from the store
  EXPECT_EQ(vector(R"(sum(count_over_time({app="a"}[1h])))", 2000 * kSecond).at("{}"), 500);
  EXPECT_EQ(vector(R"(sum(sum_over_time({app="a"} | logfmt | unwrap v [1h])))", 2000 * kSecond).at("{}"), 499.0 * 500 / 2);
  double total = 0;
  const auto result = range(R"(sum(count_over_time({app="a"}[10s])))", 1000 * kSecond, 1300 * kSecond, 10 * kSecond);
  ASSERT_TRUE(result.ok());
  for (const Sample& s : std::get<MatrixResult>(result->data).series.at(0).samples) total += s.value;
  EXPECT_EQ(total, 500);
}

}  // namespace
}  // namespace skald::engine::testing
