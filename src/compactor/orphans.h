// Chunk objects that no index lists: left behind by a compactor that died before its commit, or by an ingester that died
// between writing an object and shipping the index of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compactor/chunk_writer.h"
#include "compactor/day.h"
#include "compactor/day_run.h"

namespace skald::compactor {

struct Orphans {
  std::vector<index::IndexEntry> adopted;          // of ingesters' objects, to be listed again
  std::uint64_t objects_adopted = 0;
  std::vector<std::string> outputs;                // objects written in place of adopted ones with deleted rows
  std::vector<index::CompactedObject> compacted;   // of these outputs
  std::vector<index::RetiredObject> retired;       // what they replace
  std::vector<std::string> condemned;              // keys of compactors' objects, to be deleted after the next commit
  std::int64_t next_due_ns = INT64_MAX;            // when the youngest that was too young now will be old enough
};

// `listed`: all chunk objects of the day in the bucket, listed before `state` was loaded or after; `processed`: delete
// requests carried out already, whose rows must not come back with an adopted object.
Result<void> find_orphans(const DayEnvironment& env, const DayState& state, const std::vector<index::ObjectRef>& listed,
                          const std::vector<std::shared_ptr<const DeleteRequest>>& processed, const WriterOptions& writer, const CallContext& ctx, Orphans& found);

}  // namespace skald::compactor
