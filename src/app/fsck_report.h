// What fsck found, for people and for programs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace skald::app {

enum class FindingKind {
  // Problems: something is lost, wrong or in the way.
  kUnreadable,         // the store or the file system does not hand it out
  kIndexDamaged,       // an index object's bytes do not check out
  kIndexMisplaced,     // its header names another tenant, day or id than its key
  kObjectMissing,      // an index names a chunk object that is not there
  kObjectLength,       // it is there with another length
  kObjectDamaged,      // its bytes do not check out
  kObjectMisplaced,    // its header names another tenant, time shard or id than its key
  kObjectUnlisted,     // an old one that no index names
  kReferenceBroken,    // an index names a chunk where the object has none
  kIndexDisagrees,     // index and chunk say different things about a stream's rows
  kDeleteRequest,      // does not parse
  kRuleGroup,          // does not parse
  kLogDamaged,         // frames of a write-ahead log
  // Notes: worth knowing, nothing wrong.
  kForeign,            // not a name of ours
  kIndexSkipped,       // orphans of a day were not looked for, because an index of it cannot be read
};
const char* kind_name(FindingKind kind);   // "object_missing"
inline bool is_note(FindingKind kind) { return kind >= FindingKind::kForeign; }

struct Finding {
  FindingKind kind = FindingKind::kForeign;
  std::string where;   // key of the object, or path of the file
  std::string what;
  bool operator==(const Finding&) const = default;
};

struct FsckReport {
  std::uint64_t files = 0;                  // or objects of any kind
  std::uint64_t objects = 0, indexes = 0, replaced_indexes = 0, segments = 0, other = 0;
  std::uint64_t chunks = 0, blocks = 0, rows = 0, wal_frames = 0;
  std::uint64_t delete_requests = 0, rule_groups = 0;
  std::uint64_t torn_tail_bytes = 0;        // what a crash leaves at a log's end; replay cuts it off
  std::uint64_t unlisted_objects = 0;       // in no index, but young enough (or with a log beside them) to be listed yet
  std::uint64_t retired_objects = 0;        // replaced by compaction, kept until readers with an older view are gone
  std::uint64_t unlisted_chunks = 0;        // in objects that an index names for other chunks; deletion leaves such
  std::vector<Finding> problems;
  std::vector<Finding> notes;

  void add(FindingKind kind, std::string where, std::string what);
  void merge(FsckReport other);
};

// One line per finding, then a summary line.
std::string to_text(const FsckReport& report);
// One object: {"ok":true,"problems":[{"kind","where","what"}],"notes":[…],"counts":{…}} and a line feed.
std::string to_json(const FsckReport& report);

}  // namespace skald::app
