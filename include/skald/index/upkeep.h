// What the compactor notes in the index objects it writes, and the names it gives them. Queries need none of this.
// Bytes: docs/formats/index.md, "Merged index objects" and section 10.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/random.h"
#include "skald/base/result.h"

namespace skald::index {

// A chunk object that nothing lists any more. It stays until readers with an older view of the day are gone.
struct RetiredObject {
  Ulid id;
  std::int64_t shard_start_ns = 0;
  std::int64_t retired_at_ms = 0;
  bool operator==(const RetiredObject&) const = default;
};

// An index object that was replaced; deleted later for the same reason.
struct RetiredIndex {
  Ulid id;
  std::int64_t retired_at_ms = 0;
  bool operator==(const RetiredIndex&) const = default;
};

// A chunk object of the day that compaction wrote, so that nobody has to open it to know.
struct CompactedObject {
  Ulid id;
  std::uint32_t level = 0;
  bool operator==(const CompactedObject&) const = default;
};

// A delete request whose rows of the day are gone, and how many these were. Written with the very index object that lets
// go of them, so that a crash neither forgets nor repeats the count.
struct AppliedDelete {
  std::uint32_t request = 0;   // the request's id, eight hex digits
  std::uint64_t lines = 0;
  std::uint64_t bytes = 0;     // of these lines
  bool complete = true;        // false: some of the day's objects were not looked at yet
  bool operator==(const AppliedDelete&) const = default;
};

struct Upkeep {
  std::vector<RetiredObject> retired_objects;     // each list sorted by id
  std::vector<RetiredIndex> retired_indexes;
  std::vector<CompactedObject> compacted;
  std::vector<AppliedDelete> deletes;
  bool empty() const { return retired_objects.empty() && retired_indexes.empty() && compacted.empty() && deletes.empty(); }
  bool operator==(const Upkeep&) const = default;
};

Bytes encode_upkeep(Upkeep upkeep);                  // sorts
Result<Upkeep> decode_upkeep(ByteView bytes);        // kCorruption; entries of unknown kinds are left out

// The id of a day's merged index object: a function of day and generation alone, so that of several compactors which want
// to write the same generation exactly one can create it. Sorts by generation within a day.
Ulid merged_index_id(std::int64_t day, std::uint64_t generation);
// nullopt: an index object that an ingester wrote.
std::optional<std::uint64_t> merged_generation(std::int64_t day, const Ulid& id);

}  // namespace skald::index
