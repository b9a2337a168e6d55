// Looking into a daily index object for people and for fsck: what is in it, and whether its parts agree.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/index/day_index.h"

namespace skald::index {

struct IndexSectionInfo {
  std::string name;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t items = 0;
};

struct DayIndexInfo {
  DayIndexHeader header;
  std::uint64_t size_bytes = 0;
  std::vector<IndexSectionInfo> sections;
  struct Label {
    std::string name;
    std::uint32_t values = 0;
  };
  std::vector<Label> labels;
};

// Opens the object (so: all checksums and bounds) and lists its parts; does not look into them.
Result<DayIndexInfo> describe_day_index(SharedBytes bytes);
// Several lines of text, ending with a newline.
std::string to_text(const DayIndexInfo& info);

// Decodes everything and compares what is told twice: postings against the labels of the series, header against chunk
// lists, sketches against rows, all orders. Returns what is wrong, at most `problems_max` sentences; empty: all is well.
std::vector<std::string> verify_day_index(const DayIndexReader& reader, std::size_t problems_max = 20);

}  // namespace skald::index
