// A bucket of limited size, for one machine's disk: whole time shards go, the oldest of all tenants first, once it has more
// than so many bytes. A last resort beside retention: off unless storage_config.filesystem.max_size_bytes is set.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "skald/base/context.h"
#include "skald/objstore/object_store.h"

namespace skald::compactor {

struct ShardToDrop {
  std::string tenant;
  std::int64_t shard_start_ns = 0;
  std::uint64_t bytes = 0;      // of its chunk objects, replaced ones that are still there included
  bool operator==(const ShardToDrop&) const = default;
};

// Lists the bucket. Empty while all its objects (indexes, rules and the like included) have at most `max_bytes`; else the
// oldest shards that have to go, oldest first, until they have. A shard that is still being written (its two hours are
// not over at `now_ns`) is never chosen. Choosing again before the dropped ones are deleted chooses them again.
Result<std::vector<ShardToDrop>> shards_over_size(objstore::ObjectStore& objects, std::uint64_t max_bytes, std::int64_t now_ns, const CallContext& ctx);

struct DropReport {
  std::uint64_t shards = 0, chunks = 0, objects_deleted = 0, bytes_deleted = 0;
  std::uint64_t days_lost = 0;   // another compactor was at work; they are due again at the next look
};

struct DropOptions {
  bool may_overwrite = false;        // the store cannot create conditionally (day.h)
  std::function<void()> committed;   // after each change of an index, before objects are deleted; may be empty
};

// Takes the shards out of their days' indexes, then deletes their objects at once: space is what is missing. Queries that
// read them at this moment fail. Objects that no index lists are left to the search for orphans.
Result<DropReport> drop_shards(objstore::ObjectStore& objects, std::span<const ShardToDrop> shards, const DropOptions& options, const CallContext& ctx);

}  // namespace skald::compactor
