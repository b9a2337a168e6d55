// Interned label sets: results are grouped by a dense number, strings are made once per distinct set.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skald/logql/ast.h"
#include "skald/model/labels.h"

namespace skald::engine {

// Where a label of a row came from; also the bucket of `categorize-labels` responses.
enum class LabelCategory : std::uint8_t { kStream = 0, kMetadata = 1, kParsed = 2 };

struct ResultLabel {
  std::string name;
  std::string value;
  LabelCategory category = LabelCategory::kStream;
};

// One distinct label set of a result, sorted by name.
struct ResultLabels {
  std::vector<ResultLabel> labels;
  model::Labels plain() const;       // names and values only, without empty ones
  model::Labels plain_with_empty() const;
};

// Not thread-safe: one per worker, merged by plain labels at the end.
class LabelSetTable {
 public:
  // Sorted (name, value, category) triples → dense id. Views are copied when the set is new.
  struct View { std::string_view name; std::string_view value; LabelCategory category; };
  std::uint32_t intern(const std::vector<View>& sorted);
  const ResultLabels& at(std::uint32_t id) const { return *sets_[id]; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(sets_.size()); }
  std::uint64_t bytes() const { return bytes_; }   // held by the sets, about

 private:
  std::vector<std::unique_ptr<ResultLabels>> sets_;
  std::uint64_t bytes_ = 0;
  static constexpr std::uint32_t kFree = 0xFFFFFFFF;
  struct Place { std::uint64_t hash = 0; std::uint32_t id = kFree; };
  void grow();
  std::vector<Place> places_;   // open addressing; a power of two, at most half full
};

}  // namespace skald::engine
