#include "skald/pattern/miner.h"

#include <array>
#include <functional>

namespace skald::pattern {
namespace {

enum CharClass : std::uint8_t { kGap = 0, kWord = 1, kDigit = 2 };

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    if (c >= '0' && c <= '9') classes[static_cast<std::size_t>(c)] = kDigit;
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-' || c >= 0x80) classes[static_cast<std::size_t>(c)] = kWord;
  }
  return classes;
}
constexpr auto kClasses = make_classes();

std::uint64_t mix(std::uint64_t hash, std::string_view text) {
  return (hash ^ std::hash<std::string_view>{}(text)) * 0x9e3779b97f4a7c15ULL + 0x7f4a7c15;
}

bool joins_variables(std::string_view gap) { return gap == ":" || gap == "," || gap == "/"; }

// A dot or dash that ends a word is punctuation: "failed." is the word "failed".
std::size_t trim_tail(std::string_view word) {
  std::size_t size = word.size();
  while (size > 1 && (word[size - 1] == '.' || word[size - 1] == '-')) --size;
  return size;
}

}  // namespace

void Miner::split(std::string_view line) {
  words_.clear();
  gaps_.clear();
  std::size_t gap_start = 0;
  std::size_t at = 0;
  while (at < line.size()) {
    if (kClasses[static_cast<unsigned char>(line[at])] == kGap) {
      ++at;
      continue;
    }
    if (words_.size() == kWordsMax) break;
    const std::size_t word_start = at;
    bool digit = false;
    while (at < line.size() && kClasses[static_cast<unsigned char>(line[at])] != kGap) {
      digit |= kClasses[static_cast<unsigned char>(line[at])] == kDigit;
      ++at;
    }
    const std::size_t size = trim_tail(line.substr(word_start, at - word_start));
    at = word_start + size;
    gaps_.push_back(line.substr(gap_start, word_start - gap_start));
    words_.push_back(digit ? std::string_view() : line.substr(word_start, size));
    // What trim_tail left belongs to the gap.
    gap_start = at;
    while (at < line.size() && (line[at] == '.' || line[at] == '-')) ++at;
  }
  if (at < line.size() && words_.size() == kWordsMax) words_.back() = {};   // the rest is one variable
  else at = line.size();
  gaps_.push_back(words_.size() == kWordsMax && at < line.size() ? std::string_view() : line.substr(gap_start));
}

std::uint64_t Miner::shape_hash() const {
  std::uint64_t hash = words_.size();
  for (const std::string_view gap : gaps_) hash = mix(hash, gap);
  // The first constant word parts the tree once more: most lines name their event there.
  return words_.empty() ? hash : mix(hash, words_.front());
}

std::uint32_t Miner::add(std::string_view line) {
  if (line.size() > kLineBytesMax || line.empty()) return kNone;
  split(line);
  std::vector<std::uint32_t>& candidates = by_shape_[shape_hash()];
  std::uint32_t best = kNone;
  std::size_t best_equal = 0;
  for (const std::uint32_t candidate : candidates) {
    const Cluster& cluster = clusters_[candidate];
    std::size_t equal = 0;
    for (std::size_t i = 0; i < words_.size(); ++i) equal += cluster.words[i] == words_[i] ? 1 : 0;
    if (best == kNone || equal > best_equal) {
      best = candidate;
      best_equal = equal;
    }
  }
  if (best != kNone && static_cast<double>(best_equal) >= kSimilarityMin * static_cast<double>(words_.size())) {
    Cluster& cluster = clusters_[best];
    if (best_equal != words_.size()) {
      for (std::size_t i = 0; i < words_.size(); ++i) {
        if (cluster.words[i] != words_[i]) cluster.words[i].clear();
      }
    }
    return best;
  }
  if (clusters_.size() >= kClustersMax) {
    if (candidates.empty()) by_shape_.erase(shape_hash());
    return best;   // the nearest one of its shape, or none
  }
  Cluster cluster;
  for (const std::string_view word : words_) cluster.words.emplace_back(word);
  for (const std::string_view gap : gaps_) cluster.gaps.emplace_back(gap);
  clusters_.push_back(std::move(cluster));
  candidates.push_back(static_cast<std::uint32_t>(clusters_.size() - 1));
  return candidates.back();
}

std::string Miner::text(std::uint32_t number) const {
  const Cluster& cluster = clusters_[number];
  std::string out = cluster.gaps.front();
  bool last_was_variable = false;
  for (std::size_t i = 0; i < cluster.words.size(); ++i) {
    const bool variable = cluster.words[i].empty();
    if (variable && last_was_variable && joins_variables(cluster.gaps[i])) {
      out.resize(out.size() - cluster.gaps[i].size());   // 10:22:01 is one variable
    } else {
      out += variable ? std::string("<_>") : cluster.words[i];
    }
    last_was_variable = variable;
    out += cluster.gaps[i + 1];
  }
  return out;
}

}  // namespace skald::pattern
