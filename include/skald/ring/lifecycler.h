// This process' own entry in a ring: registered with tokens, kept alive by heartbeats, taken out on the way down.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "skald/base/random.h"
#include "skald/io/file_system.h"
#include "skald/ring/ring.h"

namespace skald::ring {

struct LifecyclerOptions {
  std::string id;                              // the same after a restart: the same entry
  std::string address;                         // host:port that peers call
  std::string zone;
  std::size_t tokens = 128;
  std::int64_t heartbeat_period_ns = 5 * kNanosPerSecond;
  std::int64_t join_after_ns = 0;              // PENDING for so long before tokens are chosen
  std::int64_t observe_period_ns = 0;          // JOINING for so long, to see whether others chose the same tokens
  std::string tokens_file;                     // JSON {"tokens":[…]}; empty: none
  bool unregister_on_shutdown = true;
  std::int64_t final_sleep_ns = 0;
  // Entries of others without a heartbeat for so long are removed, unless that would leave this one alone. Whose heartbeat
  // moved within the ring's heartbeat timeout (or this, if shorter) of watching is not: clocks step. 0: never.
  std::int64_t auto_forget_after_ns = 0;
  obs::Registry* registry = nullptr;           // for metrics, outlives the lifecycler; null: none
};

// Thread-safe. Heartbeats go on evenly when the wall clock steps back: peers must not think that this member is gone.
class Lifecycler {
 public:
  // `kv`, `fs`, `clock` and `random` outlive it; `ring` describes the key and the timeouts.
  Lifecycler(KvStore& kv, RingOptions ring, LifecyclerOptions options, io::FileSystem& fs, const Clock& clock = system_clock(),
             Random& random = system_random());
  ~Lifecycler();   // stop()s without taking the entry out, as a crash would

  // Writes the entry (PENDING or as it was found), then keeps it alive in the background. A store that cannot be reached
  // is tried again there; the log says so. Until activate(), the state stops at JOINING.
  Result<void> start();
  // From now on ACTIVE: the data behind this entry is ready.
  void activate();
  // LEAVING; heartbeats go on while the owner flushes.
  void leave();
  // Takes the entry out (or leaves it LEAVING, by option) and ends the background thread.
  void stop();
  void set_unregister_on_shutdown(bool on);

  InstanceState state() const;
  // Why this entry is not yet a full member; empty: it is ACTIVE in the store.
  std::string not_ready() const;
  const LifecyclerOptions& options() const { return options_; }

 private:
  void run();
  Result<void> write_entry(bool cancellable);
  std::size_t forget_the_silent(Desc& desc, std::int64_t now_s, std::int64_t monotonic_ns);
  Result<std::vector<std::uint32_t>> tokens_from_file() const;
  void keep_tokens(const std::vector<std::uint32_t>& tokens) const;
  void choose_tokens(const Desc& desc, std::vector<std::uint32_t>& tokens);

  KvStore& kv_;
  const RingOptions ring_;
  LifecyclerOptions options_;
  io::FileSystem& fs_;
  const Clock& clock_;
  Random& random_;
  mutable std::mutex mutex_;                   // guards all below
  std::condition_variable wake_;
  InstanceState wanted_ = InstanceState::kJoining;
  InstanceState state_ = InstanceState::kPending;
  std::vector<std::uint32_t> tokens_;
  std::int64_t registered_s_ = 0;
  std::int64_t begun_monotonic_ns_ = 0, joining_since_monotonic_ns_ = 0;
  bool written_ = false, stopping_ = false, unregister_ = true;
  std::string last_error_;
  std::thread thread_;
  const std::shared_ptr<CancelToken> cancel_ = std::make_shared<CancelToken>();   // for a call under way when we stop

  // Of the thread alone, and of stop() after it.
  struct Seen {
    std::int64_t heartbeat_s = 0, since_monotonic_ns = 0;
  };
  std::map<std::string, Seen> seen_;                   // others
  obs::Counter *heartbeats_ = nullptr, *forgotten_ = nullptr;
  obs::Gauge* tokens_owned_ = nullptr;
  std::int64_t last_write_monotonic_ns_ = 0;
  std::int64_t beat_s_ = 0, beat_monotonic_ns_ = 0;    // a heartbeat, and when it was due
};

}  // namespace skald::ring
