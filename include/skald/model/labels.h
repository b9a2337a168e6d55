// Labels: the sorted name/value pairs that identify a stream, and the interned form the write path passes around.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "skald/base/result.h"

namespace skald::model {

struct LabelView {
  std::string_view name;
  std::string_view value;
  auto operator<=>(const LabelView&) const = default;
};

struct Label {
  std::string name;
  std::string value;
  auto operator<=>(const Label&) const = default;
};

// Sorted by name (bytewise), names unique, no empty values (but see from_pairs_with_empty). A value type.
class Labels {
 public:
  Labels() = default;
  // Sorts, drops empty values; of duplicate names the last wins.
  static Labels from_pairs(std::vector<Label> pairs);
  // The same with empty values kept: what a metric grouped by a label shows when lines set it to "". Never a stream's.
  static Labels from_pairs_with_empty(std::vector<Label> pairs);

  const std::vector<Label>& pairs() const { return pairs_; }
  std::size_t size() const { return pairs_.size(); }
  bool empty() const { return pairs_.empty(); }
  // Empty when absent (as LogQL treats a missing label).
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const;

  // XXH3-64 over name 0xFF value 0xFF…; the stream hash of every format. Computed, not cached.
  std::uint64_t compute_hash() const;
  // {a="b", service_name="web"}: sorted, ", " between, values quoted as Go's strconv.Quote does.
  std::string to_string() const;

  auto operator<=>(const Labels&) const = default;

 private:
  std::vector<Label> pairs_;
};

// Go's strconv.Quote: \a \b \f \n \r \t \v \\ \" and \x.., \u...., printable runes as they are.
void append_go_quoted(std::string& out, std::string_view text);

// Immutable; shared by label cache, stream records, WAL and index.
struct InternedLabels {
  Labels labels;
  std::string text;        // labels.to_string()
  std::uint64_t hash = 0;  // labels.compute_hash()
};
using LabelsPtr = std::shared_ptr<const InternedLabels>;
LabelsPtr intern(Labels labels);

// Push label text (Prometheus grammar, reference: push-protocol §4): {a="b", c='d'}, foo{a="b"}, quoted names, trailing
// comma; "" is no labels. Duplicate names are kept in `pairs` so that the caller can name them.
// Errors (kInvalidArgument) read "1:7: parse error: unexpected end of input inside braces".
Result<std::vector<Label>> parse_label_text(std::string_view text);

}  // namespace skald::model
