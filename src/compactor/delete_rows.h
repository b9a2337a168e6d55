// Which rows delete requests take: the requests' selectors run over stored blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compactor/shard_merge.h"
#include "skald/compactor/delete_requests.h"
#include "skald/engine/pipeline.h"

namespace skald::compactor {

// Of one tenant and day. Not thread-safe.
class DeleteRows final : public DeletionRows {
 public:
  // kInvalidArgument: a request's pipeline cannot be run.
  Result<void> add(std::shared_ptr<const DeleteRequest> request);
  bool empty() const { return items_.empty(); }

  bool touches(const model::InternedLabels& labels, const index::ChunkRef& chunk) const override;
  // Every row of the chunk goes, whatever the rows are; the mark of the request, or 0.
  chunk::ColumnMask columns() const;   // that mark() reads
  std::uint16_t covers(const model::InternedLabels& labels, const index::ChunkRef& chunk) const;
  Result<void> mark(const model::InternedLabels& labels, const chunk::Columns& columns, std::uint32_t first, std::uint32_t last,
                    std::vector<std::uint16_t>& marks) override;
  void count(std::uint16_t mark, std::uint64_t line_bytes) override;
  void count(std::uint16_t mark, std::uint64_t lines, std::uint64_t bytes);
  void forget_counts();   // after what was counted has been noted, or was in vain

  struct Count {
    std::shared_ptr<const DeleteRequest> request;
    std::uint64_t lines = 0, bytes = 0;
  };
  std::vector<Count> counts() const;   // per request

 private:
  struct Item {
    std::shared_ptr<const DeleteRequest> request;
    std::int64_t start_ns = 0, end_ns = 0;                 // both inclusive
    std::shared_ptr<const engine::Pipeline> pipeline;      // null: every row of the matching streams
    std::unique_ptr<engine::PipelineRunner> runner;
    std::uint64_t lines = 0, bytes = 0;
  };
  bool touches(const Item& item, const model::InternedLabels& labels, const index::ChunkRef& chunk) const;
  std::vector<Item> items_;   // mark = position + 1
};

// Whether `deletions` take a row of these chunks of one object; reads no further than to the first one found.
Result<bool> has_deleted_row(objstore::ObjectStore& objects, exec::Pool& pool, const std::string& tenant,
                             const std::vector<std::pair<model::LabelsPtr, index::ChunkRef>>& chunks, DeleteRows& deletions, std::uint64_t memory_bytes,
                             const CallContext& ctx);

}  // namespace skald::compactor
