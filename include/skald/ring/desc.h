// The value a ring store holds: who is in the ring, with which tokens, in which state, last heard of when. The bytes are
// those of Grafana's dskit (protobuf Desc, snappy block), so that a mixed cluster shares one ring.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::ring {

// The numbers are those of the stored form.
enum class InstanceState { kActive = 0, kLeaving = 1, kPending = 2, kJoining = 3, kLeft = 4 };
const char* state_name(InstanceState state);

struct Instance {
  std::string id;
  std::string address;                       // host:port that peers call
  std::string zone;
  std::int64_t heartbeat_s = 0;              // Unix seconds
  InstanceState state = InstanceState::kActive;
  std::vector<std::uint32_t> tokens;         // sorted, distinct
  std::int64_t registered_s = 0;
  std::int64_t read_only_updated_s = 0;
  bool read_only = false;
  std::map<std::uint64_t, std::uint64_t> versions;
  bool operator==(const Instance&) const = default;
};

struct Desc {
  std::map<std::string, Instance> instances;   // by id
  bool operator==(const Desc&) const = default;
};

inline constexpr std::size_t kDescBytesMax = 20 << 20;   // unpacked

Bytes encode(const Desc& desc);
// kCorruption: not snappy, not a Desc, or larger than kDescBytesMax. Unknown fields are dropped.
Result<Desc> decode(ByteView bytes);

// Commutative, associative, idempotent: whoever merges the same news in whatever order ends with the same ring.
//   newer heartbeat wins; of equal ones LEFT wins; a LEFT entry keeps no tokens and stays as a tombstone;
//   a token two instances claim goes to the one that is not leaving, else to the smaller id.
// Returns what changed in `ours`, as the entries to tell others about; empty: nothing.
Desc merge(Desc& ours, const Desc& theirs);
// Turns `ours` into `changed`, an edited copy of it: entries that are missing there become LEFT tombstones with the given
// time. Returns the change as above.
Desc merge_local(Desc& ours, const Desc& changed, std::int64_t now_s);
// Forgets tombstones older than `before_s`.
void remove_tombstones(Desc& desc, std::int64_t before_s);
// Without tombstones: what users of a ring see.
Desc visible(const Desc& desc);

}  // namespace skald::ring
