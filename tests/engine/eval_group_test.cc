// Streams that share blocks: what one search of a whole block finds must be what each stream's rows give alone.
#include "engine/eval_fixture.h"

namespace skald::engine::testing {
namespace {

class GroupTest : public EvalTest {
 protected:
  using Members = std::vector<std::pair<std::string, std::vector<Entry>>>;

  static Members make_members(std::uint64_t seed, std::size_t streams) {
    SeededRandom random(seed);
    const std::vector<std::string> words = {"needle", "hay", "status=500", "{\"a\":1}", "", "need le"};
    const std::vector<std::string> levels = {"info", "warn", "error"};
    Members members;
    for (std::size_t s = 0; s < streams; ++s) {
      std::vector<Entry> entries;
      std::int64_t ts = kSecond;
      for (std::uint64_t n = 1 + random.next_u64() % 6; n > 0; --n) {
        ts += static_cast<std::int64_t>(random.next_u64() % 20) * kSecond;
        Entry entry{ts, words[random.next_u64() % words.size()] + " " + std::to_string(random.next_u64() % 10)};
        if (random.next_u64() % 3 != 0) entry.metadata.push_back({"level", levels[random.next_u64() % levels.size()]});
        entries.push_back(std::move(entry));
      }
      members.emplace_back("{job=\"t\", pod=\"p" + std::to_string(s) + "\", ns=\"n" + std::to_string(s % 4) + "\"}", std::move(entries));
    }
    return members;
  }
};

TEST_F(GroupTest, SharedBlocksAnswerLikeBlocksOfTheirOwn) {
  const std::vector<std::string> queries = {
      R"(sum(count_over_time({job="t"} |= "needle" [200s])))",
      R"(sum by (ns) (count_over_time({job="t"} |= "needle" [50s])))",
      R"(sum by (ns) (count_over_time({job="t"}[30s])))",
      R"(sum by (level) (count_over_time({job="t"}[200s])))",
      R"(sum by (level, ns) (bytes_over_time({job="t"} != "hay" [100s])))",
      R"(count_over_time({job="t", ns=~"n[12]"} |= "needle" [200s]))",
      R"(sum by (pod) (count_over_time({job="t"} |= "needle" | ns="n1" [200s])))",
      R"(sum by (pod) (count_over_time({job="t"} |~ "need ?le" !~ "[0-4]$" [200s])))",
      R"(sum(count_over_time({job="t"} |= "absent" [200s])))",
      R"(sum by (ns) (sum_over_time({job="t"} |= "{" | pattern "{<_>} <n>" | unwrap n [200s])))",
  };
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const Members members = make_members(seed, 10 + 20 * (seed % 3));
    MemorySource apart, shared;
    for (const auto& [labels, entries] : members) apart.add(labels, entries, 1, 1000, false);
    const std::size_t half = members.size() / 2;
    shared.add_group({members.begin(), members.begin() + static_cast<std::ptrdiff_t>(half)}, 1);
    shared.add_group({members.begin() + static_cast<std::ptrdiff_t>(half), members.end()}, 2);
    for (const std::string& query : queries) {
      source_ = apart;
      const auto expected = vector(query, 130 * kSecond);
      source_ = shared;
      EXPECT_EQ(vector(query, 130 * kSecond), expected) << query << ", seed " << seed;
    }
  }
}

TEST_F(GroupTest, ABlockIsLoadedOnceForAllItsStreams) {
  const Members members = make_members(7, 40);
  source_.add_group(members);
  const auto found = vector(R"(sum(count_over_time({job="t"} |= "needle" [200s])))", 150 * kSecond);
  double lines = 0;
  for (const auto& [labels, entries] : members)
    for (const Entry& entry : entries) lines += entry.line.find("needle") != std::string::npos && entry.ts <= 150 * kSecond;
  ASSERT_EQ(found.size(), lines == 0 ? 0U : 1U);
  ASSERT_GT(lines, 0);
  EXPECT_EQ(found.begin()->second, lines);
  EXPECT_EQ(source_.loads, 1U);
}

}  // namespace
}  // namespace skald::engine::testing
