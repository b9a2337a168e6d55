#include "skald/pattern/miner.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace skald::pattern {
namespace {

std::set<std::string> mine(const std::vector<std::string>& lines) {
  Miner miner;
  for (const std::string& line : lines) miner.add(line);
  std::set<std::string> out;
  for (std::uint32_t i = 0; i < miner.size(); ++i) out.insert(miner.text(i));
  return out;
}

TEST(Miner, WordsWithDigitsAreVariables) {
  EXPECT_EQ(mine({"connection from 10.0.1.7 port 22 accepted", "connection from 10.0.3.9 port 8080 accepted"}),
            (std::set<std::string>{"connection from <_> port <_> accepted"}));
}

TEST(Miner, WordsThatDifferBecomeVariables) {
  EXPECT_EQ(mine({"user alice logged in from home", "user bob logged in from work"}), (std::set<std::string>{"user <_> logged in from <_>"}));
}

TEST(Miner, LinesThatShareLittleStayApart) {
  EXPECT_EQ(mine({"disk is full", "job has ended"}).size(), 2U);
  EXPECT_EQ(mine({"a b", "a b c"}).size(), 2U);
}

TEST(Miner, TimesAreOneVariable) { EXPECT_EQ(mine({"at 10:22:01 ok"}), (std::set<std::string>{"at <_> ok"})); }

TEST(Miner, PunctuationAtTheEndOfAWordIsKept) { EXPECT_EQ(mine({"failed. retry -"}), (std::set<std::string>{"failed. retry -"})); }

TEST(Miner, NumberOfClustersIsBounded) {
  Miner miner;
  for (int i = 0; i < 5000; ++i) {
    std::string line;
    for (int k = 0; k <= i % 100; ++k) line += std::string(1, static_cast<char>('a' + (i + k) % 26)) + "x ";
    miner.add(line);
  }
  EXPECT_LE(miner.size(), kClustersMax);
}

TEST(Miner, LongLinesAndLongWordListsAreHandled) {
  Miner miner;
  EXPECT_EQ(miner.add(std::string(kLineBytesMax + 1, 'a')), Miner::kNone);
  std::string many;
  for (int i = 0; i < 500; ++i) many += "w ";
  ASSERT_NE(miner.add(many), Miner::kNone);
  EXPECT_TRUE(miner.text(0).ends_with("w <_>")) << miner.text(0);
}

}  // namespace
}  // namespace skald::pattern
