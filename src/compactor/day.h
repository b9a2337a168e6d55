// A day of a tenant as its index objects tell it at one moment, what is to be changed about it, and the change itself: one
// conditional creation of the next generation's index object (docs/design/compaction.md).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "skald/index/day_index.h"
#include "skald/objstore/object_store.h"

namespace skald::compactor {

struct DayListing {
  std::int64_t day = 0;
  std::vector<Ulid> ids;   // of index objects, sorted
};

using RefVisitor = std::function<Result<void>(const model::LabelsPtr&, index::ChunkRef&)>;

// Immutable once loaded. Index objects are held in memory as a whole.
class DayState {
 public:
  // kUnavailable: the day changed while it was read; try again. kCorruption: the merged index cannot be read; nothing may
  // be changed then.
  static Result<DayState> load(objstore::ObjectStore& objects, const CallContext& ctx, std::string tenant, const DayListing& listing);

  const std::string& tenant() const { return tenant_; }
  std::int64_t day() const { return day_; }
  std::uint64_t generation() const { return generation_; }          // 0: nothing merged yet
  const std::vector<std::shared_ptr<const index::DayIndexReader>>& fresh() const { return fresh_; }   // not merged yet
  const std::vector<Ulid>& unreadable() const { return unreadable_; }   // fresh ones that do not check out; left alone
  const std::vector<Ulid>& present() const { return present_; }     // all index objects listed
  const index::Upkeep& upkeep() const { return upkeep_; }
  bool is_retired(const Ulid& object) const { return retired_.contains(object); }
  // 0: an ingester wrote it.
  std::uint32_t level_of(const Ulid& object) const;
  // Every object that some index lists and that is not retired.
  const std::map<Ulid, index::ObjectRef>& objects() const { return objects_; }
  // Objects that index objects not merged yet list, retired ones too.
  const std::set<Ulid>& fresh_objects() const { return fresh_objects_; }
  std::uint64_t index_bytes() const;

  void forget_present(const std::set<Ulid>& removed);               // index objects that were deleted

  // Calls `visit` for each chunk entry of objects that are not retired; entries that two indexes list come twice.
  Result<void> for_each(const CallContext& ctx, index::WithSketches with_sketches, const RefVisitor& visit) const;

 private:
  friend class DayCommit;
  std::string tenant_;
  std::int64_t day_ = 0;
  std::uint64_t generation_ = 0;
  std::shared_ptr<const index::DayIndexReader> base_;
  std::vector<std::shared_ptr<const index::DayIndexReader>> fresh_;
  std::vector<Ulid> unreadable_, present_;
  index::Upkeep upkeep_;
  std::set<Ulid> retired_;
  std::map<Ulid, index::ObjectRef> objects_;
  std::set<Ulid> fresh_objects_;
  void gather_objects();
};

struct DayEdit {
  std::set<Ulid> replaced;                              // objects whose rows moved into `added`, or went
  std::function<bool(const model::LabelsPtr&, const index::ChunkRef&)> drop;   // may be empty
  std::vector<index::IndexEntry> added;
  std::vector<index::CompactedObject> compacted;        // of objects in `added`
  std::vector<index::RetiredObject> retired;            // besides those that are listed no more
  std::vector<index::AppliedDelete> deletes;            // all notes, those of earlier generations too
  std::function<bool(const index::RetiredObject&)> forget;   // true: was deleted and need not be remembered
};

struct DayChange {
  DayState state;                       // after
  std::uint64_t merged_indexes = 0;     // index objects replaced
  std::uint64_t dropped_chunks = 0;     // entries that `drop` took, besides those of replaced objects
  std::uint64_t retired_objects = 0;
  std::uint64_t index_bytes = 0;
};

enum class CommitOutcome { kDone, kLost };   // kLost: somebody else wrote this generation; nothing has changed

struct CommitOptions {
  std::int64_t now_ms = 0;
  // For stores without conditional creation: put() under the lease, after a look. Set by the caller once it holds one.
  bool may_overwrite = false;
};

// Writes the next generation. An error that is neither outcome leaves open whether it was written (an answer may have been
// lost); the caller must not remove what `edit.added` points to then. kUnimplemented: the store cannot create
// conditionally; nothing was written.
Result<CommitOutcome> commit(objstore::ObjectStore& objects, const CallContext& ctx, const DayState& before, const DayEdit& edit, const CommitOptions& options,
                             DayChange& change);

}  // namespace skald::compactor
