// The ruler: evaluates the rule groups of all tenants, each at its own interval, and tells Alertmanagers what fires.
//
//   rule store, rule files ──sync()──→ groups ──workers──→ QueryRunner
//                                         └→ AlertSink (Notifier), SampleSink
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "skald/base/clock.h"
#include "skald/io/file_system.h"
#include "skald/obs/metrics.h"
#include "skald/ruler/evaluation.h"
#include "skald/ruler/options.h"
#include "skald/ruler/rule_store.h"

namespace skald::ruler {

class Group;
struct RulerMetrics;

// What the ruler works with. All of it outlives the ruler; `samples` may be null: results of recording rules are checked and
// counted, but go nowhere.
struct RulerDeps {
  RuleStore& rules;
  io::FileSystem& files;
  QueryRunner& queries;
  AlertSink& alerts;
  SampleSink* samples = nullptr;
  obs::Registry& registry;
  const Clock& clock = system_clock();
  // Which groups this process evaluates; null: all. Asked at each sync(). Must be quick.
  std::function<bool(const std::string& tenant, const std::string& name_space, const std::string& group)> owns = nullptr;
  // Another number whenever owns() may answer differently: looked at every second. Null: never.
  std::function<std::uint64_t()> owners_version = nullptr;
  // What others know of a tenant's groups, asked when a group of theirs becomes ours: its alerts go on. May wait for them.
  std::function<std::vector<GroupStatus>(const std::string& tenant)> inherit = nullptr;
};

// Thread-safe.
class Ruler final : public RuleStates {
 public:
  Ruler(RulerDeps deps, RulerOptions options);
  ~Ruler() override;

  // Starts the poller and the workers. What is known is evaluated from the next slot of each group on.
  void start();
  // Cancels queries that run, waits for them. Once; start() cannot follow.
  void stop();

  // Reads rules of all tenants, starts and ends groups. A tenant whose rules cannot be read keeps those it had; the first
  // such error is returned. Called by the poller every poll_interval.
  Result<void> sync();
  // Evaluates every group that is due, on the calling thread; for tests with a clock of their own. How many.
  std::size_t run_due();

  Result<std::vector<GroupStatus>> status(const CallContext& ctx) const override { return status(ctx.tenant); }
  std::vector<GroupStatus> status(const std::string& tenant) const;
  // Groups that became another ruler's within the last minutes, as they were then.
  std::vector<GroupStatus> former(const std::string& tenant) const;
  void changed(const std::string& tenant) override;

 private:
  struct Key {
    std::string tenant, name_space, name;
    auto operator<=>(const Key&) const = default;
  };
  struct Entry {
    std::shared_ptr<Group> group;
    std::string text;                // canonical, to see changes
    std::int64_t next_ns = 0;
    bool running = false;
  };
  using Groups = std::map<std::string, std::vector<RuleGroup>>;   // namespace → groups

  void poll();
  void work();
  // The most overdue group that nobody runs, marked running; nullptr with `wait_until_ns` set when none is due.
  std::shared_ptr<Group> take_due(std::int64_t& due_ns, Key& key, std::int64_t& wait_until_ns);   // mutex_ held
  void evaluate(const std::shared_ptr<Group>& group, std::int64_t due_ns, const Key& key);
  Result<std::vector<std::string>> tenants(const CallContext& ctx) const;
  Result<Groups> groups_of(const CallContext& ctx, const std::string& tenant) const;
  // Returns the namespaces (file names) that could not be read: their groups stay as they are.
  std::set<std::string> add_files(const std::string& tenant, Groups& groups) const;
  void replace(const std::string& tenant, const Groups& groups, const std::set<std::string>& keep);
  std::map<Key, GroupStatus> inherited_by(const std::string& tenant, const std::map<Key, const RuleGroup*>& wanted);

  const RulerDeps deps_;
  const RulerOptions options_;
  const std::unique_ptr<RulerMetrics> metrics_;
  const std::shared_ptr<CancelToken> cancel_ = std::make_shared<CancelToken>();
  std::mutex sync_mutex_;               // one sync at a time
  mutable std::mutex mutex_;            // guards all below
  std::condition_variable wake_, idle_; // something may be due or changed; a group ended
  std::map<Key, Entry> entries_;
  std::set<Key> elsewhere_;             // known, and another ruler's
  struct Former {
    GroupStatus status;
    std::int64_t since_ns = 0;          // monotonic
  };
  std::map<Key, Former> former_;
  bool poll_now_ = false, stopping_ = false, synced_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace skald::ruler
