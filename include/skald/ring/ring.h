// Who holds what: tokens on a circle, looked up without locks in an immutable picture of the ring.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "skald/base/clock.h"
#include "skald/obs/metrics.h"
#include "skald/ring/kv.h"

namespace skald::ring {

// FNV-1 (not 1a), 32 bits, of the tenant and the canonical label text: where a stream lies on the circle.
std::uint32_t stream_token(std::string_view tenant, std::string_view labels);
// FNV-1a, 32 bits; rule groups: user, 0, namespace, separator, group.
std::uint32_t fnv1a_token(std::string_view bytes);

enum class Operation {
  kWrite,           // ACTIVE members; one that is not, or not heard of, is replaced by the next on the circle
  kWriteNoExtend,   // ACTIVE members of the set itself
  kRead,            // ACTIVE, PENDING, LEAVING
};

// Members to call. Pointers live as long as the picture they come from (see Ring::picture()).
struct ReplicationSet {
  std::vector<const Instance*> members;
  std::size_t min_success = 0;             // of the calls
  std::size_t max_failures() const { return members.size() - min_success; }
};

// Members to read from so that every acknowledged write is among the answers.
struct ReadSet {
  std::vector<const Instance*> members;
  std::size_t max_failures = 0;            // members that may fail; without zones
  std::size_t max_failing_zones = 0;       // with zones: all members of so many zones may fail
  bool by_zone = false;
};

struct RingOptions {
  std::string key = "collectors/ring";
  std::string name = "ingester";           // as the metrics call it
  std::size_t replication_factor = 3;
  bool zone_awareness = false;
  std::int64_t heartbeat_timeout_ns = kNanosPerMinute;   // 0: everybody is healthy
};

// An immutable picture of the ring.
class Picture {
 public:
  // `heard_s`: when members were last heard of, by the clock that `now_s` below comes from; of those that are not named,
  // their heartbeat says it.
  Picture(Desc desc, const RingOptions& options, const std::map<std::string, std::int64_t>& heard_s = {});
  const Desc& desc() const { return desc_; }
  bool healthy(const Instance& instance, Operation operation, std::int64_t now_s) const;
  bool heard_of(const Instance& instance, std::int64_t now_s) const;   // lately; `instance` is one of desc()
  // kUnavailable "at least 2 live replicas required, could only find 1 - unhealthy instances: a,b", or "empty ring".
  Result<ReplicationSet> members_for(std::uint32_t token, Operation operation, std::int64_t now_s) const;
  Result<ReadSet> members_for_all(Operation operation, std::int64_t now_s) const;
  // The member a token belongs to, of those that are healthy; nullptr: nobody. For rings with one owner per key.
  const Instance* owner_of(std::uint32_t token, std::int64_t now_s) const;
  // Share of the circle that belongs to each instance, by id; sums to 1.
  std::vector<std::pair<std::string, double>> ownership() const;
  // A stable choice of `size` instances for a name (a tenant); all when size is 0 or not below the members. Zones get
  // equal shares. Adding or losing one member changes at most one member of a choice.
  std::vector<const Instance*> shuffle_shard(std::string_view name, std::size_t size) const;

 private:
  struct Token {
    std::uint32_t value;
    const Instance* owner;
  };
  std::size_t first_after(std::uint32_t token) const;

  Desc desc_;
  RingOptions options_;
  std::vector<Token> tokens_;   // sorted
  std::size_t zones_ = 0;
  std::unordered_map<const Instance*, std::int64_t> heard_s_;
};

// Follows a ring in its store. Thread-safe.
//
// Heartbeats are times of other machines' clocks, and clocks step. So time here is the wall clock's at the start plus what
// has passed since, and a member whose heartbeat was seen to move twice within the timeout is alive whatever it says.
class Ring {
 public:
  // `kv`, `registry` and `clock` outlive the ring.
  Ring(KvStore& kv, RingOptions options, obs::Registry& registry, const Clock& clock = system_clock());
  ~Ring();
  std::shared_ptr<const Picture> picture() const;
  // Unix seconds for what a Picture is asked: they do not step with the wall clock, and stand still when the store says nothing
  // any more: that all members fall silent at once is more likely its trouble, or this process', than theirs.
  std::int64_t now_s() const;
  std::int64_t wall_ns() const { return clock_.now_ns(); }
  const RingOptions& options() const { return options_; }
  // Waits until the store has told the ring's value once. kDeadlineExceeded, kCancelled.
  Result<void> wait_until_known(const CallContext& ctx) const;
  // Removes an entry: for instances that will not come back.
  Result<void> forget(const std::string& id, const CallContext& ctx);

 private:
  void set(const Desc& desc);
  void count(const Picture& picture) const;
  std::int64_t steady_s() const { return (began_ns_ + clock_.monotonic_ns() - began_monotonic_ns_) / kNanosPerSecond; }
  std::int64_t patience_s() const { return options_.heartbeat_timeout_ns / kNanosPerSecond / 2; }

  KvStore& kv_;
  const RingOptions options_;
  const Clock& clock_;
  const std::int64_t began_ns_, began_monotonic_ns_;
  obs::GaugeFamily &members_, &tokens_, &oldest_, &ownership_;
  mutable std::atomic<std::int64_t> counted_s_{0};
  struct Heard {
    std::int64_t heartbeat_s = 0, at_s = 0;            // at_s: by now_s()
    std::int64_t moved_s = 0;                          // when the heartbeat was last seen to move; 0: never
  };
  std::map<std::string, Heard> heard_;                 // of the store's thread alone
  mutable std::mutex mutex_;   // guards picture_
  std::shared_ptr<const Picture> picture_;
  std::atomic<bool> known_{false};
  std::atomic<std::int64_t> told_s_{0};                // when the store last said something, by steady_s()
  std::unique_ptr<KvStore::Watch> watch_;   // last: its calls use the rest
};

}  // namespace skald::ring
