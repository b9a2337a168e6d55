// Rows hidden by delete requests that the compactor has not carried out yet.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "skald/engine/pipeline.h"
#include "skald/engine/source.h"

namespace skald::engine {

// One per query; immutable, thread-safe.
class DeletionFilter {
 public:
  // Most tenants have no deletions: asking then costs one null check.
  static Result<DeletionFilter> make(Source& source, const std::string& tenant);
  bool empty() const { return items_.empty(); }

  // Adds the rows of the slice that are deleted to `skip`, which stays sorted and without repeats.
  Result<void> add_deleted(const chunk::StreamData& stream, const chunk::BlockSlice& slice, const CallContext& ctx,
                           std::vector<std::uint32_t>& skip) const;

 private:
  struct Item {
    const Deletion* deletion;
    std::shared_ptr<const Pipeline> pipeline;   // null: every row of the matching streams
  };
  Result<void> add_matching(const Item& item, const chunk::StreamData& stream, const chunk::BlockSlice& slice, const CallContext& ctx,
                            std::vector<std::uint32_t>& skip) const;
  Deletions deletions_;
  std::vector<Item> items_;
};

}  // namespace skald::engine
