// Random logs and random queries about them. The same seed gives the same pair.
#pragma once

#include <string>
#include <vector>

#include "naive_row.h"
#include "skald/base/random.h"
#include "skald/engine/engine.h"

namespace skald::differential {

inline constexpr std::int64_t kSecondNs = 1'000'000'000;
inline constexpr std::int64_t kBaseNs = 1'699'999'800 * kSecondNs;   // inside one two-hour shard, with an hour behind it

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  // In order of arrival, streams mixed; no two rows of a stream are equal in time, line and metadata.
  std::vector<Row> rows();
  std::string query();                        // always well formed
  engine::QueryParams params(bool log_query);
  // A delete request in one of a few pairs: text of a selector and the range it hides.
  struct Deletion {
    std::string selector;   // "": none
    std::int64_t start_ns = 0, end_ns = 0;
  };
  Deletion deletion();
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_.next_u64() % n); }

 private:
  using Choices = std::vector<const char*>;
  bool one_in(std::size_t n) { return below(n) == 0; }
  std::string pick(const Choices& choices) { return choices[below(choices.size())]; }

  // logs
  std::string line(std::size_t kind);
  std::string field();
  std::string value_of(const std::string& field);
  std::string json_object(int depth);
  std::string json_value(int depth, const std::string& field);
  std::string quoted(const std::string& text);
  std::string json_quoted(const std::string& text);

  // queries
  std::string name();
  std::string number_name();
  std::string selector();
  std::string stage();
  std::string parser();
  std::string pipeline(std::size_t stages_max, bool wants_parser);
  std::string line_filter();
  std::string label_filter(int depth);
  std::string comparison();
  std::string template_text();
  std::string grouping(bool may_be_empty);
  std::string range_aggregation();
  std::string log_range(bool unwrapped);
  std::string vector_expression(int depth);
  std::string metric(int depth);
  std::string matching();

  SeededRandom random_;
  bool clean_ = false;      // few malformed lines and bad values in this data set
};

}  // namespace skald::differential
