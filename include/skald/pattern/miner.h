// Pattern mining: groups lines that differ only in their variable parts. A fixed-depth parse tree after Drain (He, Zhu,
// Zheng, Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017), with our own tokens:
// a word is a run of letters, digits, '.', '_' and '-'; a word with a digit is variable from the start.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace skald::pattern {

inline constexpr std::size_t kLineBytesMax = 3000;     // longer lines are not mined
inline constexpr std::size_t kWordsMax = 128;          // the rest of a line is one variable
inline constexpr std::size_t kClustersMax = 300;       // of one miner; further shapes are counted but not kept apart
inline constexpr double kSimilarityMin = 0.5;          // share of equal words that makes two lines one pattern

// Not thread-safe. Memory is bounded by kClustersMax clusters of kWordsMax words.
class Miner {
 public:
  // Returns the number of the line's cluster (dense, from 0), or kNone when the line is not mined.
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  std::uint32_t add(std::string_view line);

  std::size_t size() const { return clusters_.size(); }
  // "connection from <_> port <_> accepted"
  std::string text(std::uint32_t cluster) const;

 private:
  struct Cluster {
    std::vector<std::string> words;       // empty = variable
    std::vector<std::string> gaps;        // between words: gaps[0] word[0] gaps[1] … ; words.size() + 1 of them
  };
  void split(std::string_view line);
  std::uint64_t shape_hash() const;

  // Scratch of split(): views into the line.
  std::vector<std::string_view> words_;
  std::vector<std::string_view> gaps_;
  std::vector<Cluster> clusters_;
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> by_shape_;   // number of words, gaps, first word
};

}  // namespace skald::pattern
