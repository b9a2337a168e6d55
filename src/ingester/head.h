// Records of a head, and their way into columns.
//
// Record: varint zigzag(ts − highest ts so far) · u8 (level | 0x80 when metadata follows) · varint line length · line
//         [· varint pairs · (varint name number · varint length · bytes)…]
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ingester/slab.h"
#include "skald/chunk/block.h"
#include "skald/model/push.h"

namespace skald::ingester {

// Names of structured metadata of one tenant, interned. Thread-safe; names are never forgotten.
class NameTable {
 public:
  std::uint32_t number_of(std::string_view name);
  std::string name_of(std::uint32_t number) const;

 private:
  mutable std::shared_mutex mutex_;  // guards all below
  std::unordered_map<std::string, std::uint32_t> numbers_;
  std::vector<const std::string*> names_;  // keys of numbers_
};
using NameTablePtr = std::shared_ptr<NameTable>;

// Name numbers of consecutive entries: they are nearly always the same names in the same order.
class NameCache {
 public:
  explicit NameCache(NameTable& table) : table_(table) {}
  std::uint32_t number_of(std::size_t position, std::string_view name);

 private:
  NameTable& table_;
  std::vector<std::pair<std::string, std::uint32_t>> seen_;
};

// Appends one record; returns its size. `reference_ns` is the highest timestamp so far in this head (0 when empty).
std::uint32_t append_record(SlabChain& chain, std::int64_t reference_ns, const model::PushEntry& entry, const model::LabelView* metadata,
                            NameCache& names);
// Of time, line and metadata: what makes two entries the same.
std::uint64_t entry_hash(const model::PushEntry& entry, const model::LabelView* metadata);

// A part of a chain that no longer changes.
struct HeadView {
  ChainRef chain;
  std::uint32_t length = 0;
  std::uint32_t rows = 0;
  bool ascending = true;   // timestamps strictly rise: sorted already, and free of duplicates
  NameTablePtr names;
};
// Sorted by time (stable), exact duplicates dropped.
std::shared_ptr<const chunk::Columns> decode_head(const HeadView& view);

// Decodes on the first load and keeps the result.
class HeadBlock final : public chunk::Block {
 public:
  explicit HeadBlock(HeadView view) : view_(std::move(view)) {}
  Result<std::shared_ptr<const chunk::Columns>> load(chunk::ColumnMask need, const CallContext& ctx) const override;
  std::shared_ptr<const chunk::Columns> columns() const;

 private:
  mutable std::mutex mutex_;  // guards all below
  mutable HeadView view_;     // released once decoded
  mutable std::shared_ptr<const chunk::Columns> columns_;
};

// Rows of all sources merged by time (stable: earlier sources first among equals), exact duplicates dropped, cut at time
// shard edges and at `rows_max` rows or `raw_bytes_target` bytes. Metadata views keep their source alive.
struct ShardRows {
  std::int64_t shard_start_ns = 0;
  std::vector<std::shared_ptr<const chunk::Columns>> blocks;
  std::uint64_t raw_bytes = 0;
  std::uint64_t rows = 0;
};
std::vector<ShardRows> merge_rows(const std::vector<std::shared_ptr<const chunk::Columns>>& sources, std::uint32_t rows_max,
                                  std::uint64_t raw_bytes_target);

}  // namespace skald::ingester
