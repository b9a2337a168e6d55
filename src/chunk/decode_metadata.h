// Structured-metadata columns of one block.
#pragma once

#include <memory>

#include "chunk/layout.h"
#include "skald/chunk/block.h"

namespace skald::chunk {

class MetadataDecoder {
 public:
  explicit MetadataDecoder(const BlockEntry& block) : block_(block) {}
  // Holds for the values with the same ref that follow.
  Result<void> add_presence(const TableEntry& entry, ByteView stored);
  Result<void> add_values(const TableEntry& entry, const std::string& name, ByteView stored, Columns& columns);

 private:
  const BlockEntry& block_;
  Bytes presence_;
  std::uint32_t presence_ref_ = ~0U;
  std::uint32_t present_rows_ = 0;
};

}  // namespace skald::chunk
