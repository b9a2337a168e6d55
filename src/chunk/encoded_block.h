// A block as it will lie in a chunk, before it lies in one.
#pragma once

#include <string>
#include <vector>

#include "chunk/decode.h"
#include "chunk/layout.h"
#include "skald/chunk/builder.h"

namespace skald::chunk {

class EncodedBlock final : public Block {
 public:
  static Result<EncodedBlockPtr> encode(const Columns& columns, const ChunkOptions& options);

  Result<std::shared_ptr<const Columns>> load(ColumnMask need, const CallContext& ctx) const override;

  BlockEntry entry;              // offsets are zero until the block is placed in a chunk
  Bytes hot;
  Bytes table;
  Bytes data;
  std::uint64_t content_id = 0;
  std::uint64_t metadata_bytes = 0;
  std::uint32_t longest_line_bytes = 0;
  std::uint8_t min_level = 0, max_level = 0;   // of rows that have one
  bool sorted = true;
  std::vector<std::string> names;

 private:
  ColumnTable parsed_table_;
  mutable DecodedBlock decoded_;
};

}  // namespace skald::chunk
