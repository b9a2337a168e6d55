#include "skald/ruler/ruler.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>

#include "ruler/group.h"
#include "ruler/metrics.h"
#include "skald/obs/log.h"

namespace skald::ruler {
namespace {

constexpr std::uint64_t kRuleFileBytesMax = 4 << 20;
constexpr std::int64_t kSyncTimeoutNs = 5 * kNanosPerMinute;
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
// The wall clock may be set while a worker sleeps; it looks again at least this often.
constexpr std::int64_t kSleepMaxNs = 5 * kNanosPerSecond;

constexpr std::int64_t kOwnersLookNs = kNanosPerSecond;
// How long what is known of a group that moved is kept for its new owner. Longer than a restart takes.
constexpr std::int64_t kFormerKeptNs = 5 * kNanosPerMinute;

double seconds(std::int64_t ns) { return static_cast<double>(ns) / 1e9; }

// As Loki names a group in its metrics: <folder>/<tenant>/<namespace>;<group>.
std::string metric_group(const RulerOptions& options, const std::string& tenant, const std::string& name_space, const std::string& name) {
  if (options.disable_rule_group_label) return "";
  return options.rule_path + "/" + tenant + "/" + name_space + ";" + name;
}

}  // namespace

Ruler::Ruler(RulerDeps deps, RulerOptions options)
    : deps_(std::move(deps)), options_(std::move(options)), metrics_(std::make_unique<RulerMetrics>(deps_.registry)) {}

Ruler::~Ruler() { stop(); }

void Ruler::start() {
  const std::scoped_lock lock(mutex_);
  threads_.emplace_back([this] { poll(); });
  for (std::size_t i = 0; i < std::max<std::size_t>(1, options_.concurrent_groups); ++i) threads_.emplace_back([this] { work(); });
}

void Ruler::stop() {
  std::vector<std::thread> threads;
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    cancel_->cancel();
    threads.swap(threads_);
  }
  wake_.notify_all();
  idle_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void Ruler::poll() {
  const auto version = [this] { return deps_.owners_version ? deps_.owners_version() : 0; };
  const char* reason = "initial";
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    poll_now_ = false;
    lock.unlock();
    metrics_->syncs.with({reason}).add(1);
    const std::uint64_t before = version();   // before the sync: a change amid it is seen below
    if (const Result<void> read = sync(); !read.ok()) log::error("rules not read, those known stay", {{"err", read.error().message()}});
    reason = "periodic";
    const std::int64_t next_ns = system_clock().monotonic_ns() + options_.poll_interval_ns;
    lock.lock();
    while (!stopping_ && !poll_now_) {
      const std::int64_t left_ns = next_ns - system_clock().monotonic_ns();
      if (left_ns <= 0) break;
      wake_.wait_for(lock, std::chrono::nanoseconds(deps_.owners_version ? std::min(left_ns, kOwnersLookNs) : left_ns), [this] { return stopping_ || poll_now_; });
      if (stopping_ || poll_now_ || !deps_.owners_version) continue;
      lock.unlock();
      const bool moved = version() != before;
      lock.lock();
      if (!moved) continue;
      reason = "ring-change";
      break;
    }
  }
}

void Ruler::changed(const std::string&) {
  {
    const std::scoped_lock lock(mutex_);
    poll_now_ = true;
  }
  wake_.notify_all();
}

void Ruler::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::int64_t due_ns = 0, wait_until_ns = kNever;
    Key key;
    const std::shared_ptr<Group> group = take_due(due_ns, key, wait_until_ns);
    if (group == nullptr) {
      const std::int64_t wait_ns = wait_until_ns == kNever ? kSleepMaxNs : std::clamp<std::int64_t>(wait_until_ns - deps_.clock.now_ns(), 0, kSleepMaxNs);
      wake_.wait_for(lock, std::chrono::nanoseconds(wait_ns));
      continue;
    }
    lock.unlock();
    evaluate(group, due_ns, key);
    lock.lock();
  }
}

std::size_t Ruler::run_due() {
  std::size_t count = 0;
  for (;; ++count) {
    std::int64_t due_ns = 0, wait_until_ns = kNever;
    Key key;
    std::unique_lock lock(mutex_);
    const std::shared_ptr<Group> group = take_due(due_ns, key, wait_until_ns);
    if (group == nullptr) return count;
    lock.unlock();
    evaluate(group, due_ns, key);
  }
}

std::shared_ptr<Group> Ruler::take_due(std::int64_t& due_ns, Key& key, std::int64_t& wait_until_ns) {
  const std::int64_t now_ns = deps_.clock.now_ns();
  Entry* best = nullptr;
  for (auto& [entry_key, entry] : entries_) {
    if (entry.running) continue;
    // The clock was set back: the next slot is not an hour away.
    if (entry.next_ns - now_ns > entry.group->interval_ns()) entry.next_ns = entry.group->slot_at_or_after(now_ns);
    wait_until_ns = std::min(wait_until_ns, entry.next_ns);
    if (entry.next_ns <= now_ns && (best == nullptr || entry.next_ns < best->next_ns)) {
      best = &entry;
      key = entry_key;
    }
  }
  if (best == nullptr) return nullptr;
  best->running = true;
  due_ns = best->next_ns;
  return best->group;
}

void Ruler::evaluate(const std::shared_ptr<Group>& group, std::int64_t due_ns, const Key& key) {
  CallContext ctx;
  ctx.tenant = key.tenant;
  ctx.cancel = cancel_;
  ctx.clock = &deps_.clock;
  const EvaluationCounts counts = group->evaluate(ctx, due_ns, deps_.queries, deps_.alerts, deps_.samples);

  const std::int64_t now_ns = deps_.clock.now_ns();
  const std::int64_t slots = std::max<std::int64_t>(1, (now_ns - due_ns) / group->interval_ns());
  const std::vector<std::string> labels = {key.tenant, metric_group(options_, key.tenant, key.name_space, key.name)};
  metrics_->iterations.with(labels).add(static_cast<double>(slots));
  metrics_->iterations_missed.with(labels).add(static_cast<double>(slots - 1));
  metrics_->evaluations.with(labels).add(static_cast<double>(counts.rules));
  metrics_->failures.with(labels).add(static_cast<double>(counts.failures));
  metrics_->last_evaluation_samples.with(labels).set(static_cast<double>(counts.samples));
  const GroupStatus status = group->status();
  metrics_->last_duration_seconds.with(labels).set(seconds(status.evaluation_ns));
  metrics_->last_evaluation_timestamp_seconds.with(labels).set(seconds(status.last_evaluation_ns));
  {
    const std::scoped_lock lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end() && found->second.group == group) {
      found->second.running = false;
      found->second.next_ns = due_ns + slots * group->interval_ns();
    }
  }
  idle_.notify_all();
  wake_.notify_all();
}

Result<std::vector<std::string>> Ruler::tenants(const CallContext& ctx) const {
  SKALD_TRY(const std::vector<std::string> folders, deps_.rules.tenants(ctx));
  std::set<std::string> out(folders.begin(), folders.end());
  if (!options_.local_directory.empty()) {
    const Result<std::vector<io::DirEntry>> entries = deps_.files.list(options_.local_directory);
    // No directory yet is no rules yet: whoever puts the first file there makes it.
    if (!entries.ok() && entries.error().code() != ErrorCode::kNotFound) return entries.error();
    if (entries.ok())
      for (const io::DirEntry& entry : *entries)
        if (entry.is_directory && !entry.name.starts_with(".")) out.insert(entry.name);
  }
  std::erase_if(out, [this](const std::string& tenant) { return !options_.serves(tenant); });
  return std::vector<std::string>(out.begin(), out.end());
}

// A typing error in one file must silence neither the others nor what it said before.
std::set<std::string> Ruler::add_files(const std::string& tenant, Groups& groups) const {
  std::set<std::string> unreadable;
  const std::string directory = options_.local_directory + "/" + tenant;
  const Result<std::vector<io::DirEntry>> entries = deps_.files.list(directory);
  if (!entries.ok()) return unreadable;
  for (const io::DirEntry& entry : *entries) {
    if (entry.is_directory || entry.name.starts_with(".")) continue;   // mounted ConfigMaps keep their versions in "..data"
    const std::string path = directory + "/" + entry.name;
    const Result<Bytes> text = deps_.files.read_file(path, kRuleFileBytesMax);
    const Result<std::vector<RuleGroup>> read = text.ok() ? parse_rule_file(*text) : Result<std::vector<RuleGroup>>(text.error());
    if (!read.ok()) {
      log::error("rule file not read, its rules stay as they were", {{"path", path}, {"err", read.error().message()}});
      metrics_->reload_successful.with({tenant}).set(0);
      unreadable.insert(entry.name);
      continue;
    }
    groups[entry.name] = *read;
  }
  return unreadable;
}

Result<Ruler::Groups> Ruler::groups_of(const CallContext& ctx, const std::string& tenant) const {
  CallContext of_tenant = ctx;
  of_tenant.tenant = tenant;
  SKALD_TRY(Groups groups, deps_.rules.list(of_tenant, ""));
  return groups;
}

Result<void> Ruler::sync() {
  const std::scoped_lock one(sync_mutex_);
  CallContext ctx;
  ctx.cancel = cancel_;
  ctx.deadline_monotonic_ns = system_clock().monotonic_ns() + kSyncTimeoutNs;
  SKALD_TRY(const std::vector<std::string> found, tenants(ctx));
  std::optional<Error> trouble;
  std::set<std::string> known(found.begin(), found.end());
  for (const std::string& tenant : found) {
    Result<Groups> groups = groups_of(ctx, tenant);
    if (!groups.ok()) {
      if (cancel_->cancelled()) return groups.error();
      metrics_->reload_successful.with({tenant}).set(0);
      log::error("rules of a tenant not read, those known stay", {{"user", tenant}, {"err", groups.error().message()}});
      if (!trouble) trouble = groups.error().with_prefix("tenant " + tenant);
      continue;
    }
    metrics_->reload_successful.with({tenant}).set(1);
    std::set<std::string> unreadable;
    if (!options_.local_directory.empty()) unreadable = add_files(tenant, *groups);
    if (groups->empty() && unreadable.empty()) metrics_->reload_successful.remove({tenant});   // a folder that is no tenant's rules
    replace(tenant, *groups, unreadable);
  }
  std::set<std::string> gone;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [key, entry] : entries_)
      if (!known.contains(key.tenant)) gone.insert(key.tenant);
  }
  for (const std::string& tenant : gone) replace(tenant, {}, {});
  std::set<std::string> active;
  {
    const std::scoped_lock lock(mutex_);
    synced_ = true;
    for (const auto& [key, entry] : entries_) active.insert(key.tenant);
  }
  metrics_->managers.set(static_cast<double>(active.size()));
  wake_.notify_all();
  if (trouble) return *trouble;
  return {};
}

// What others know of groups that become ours now. Without the lock: they are asked over the network.
std::map<Ruler::Key, GroupStatus> Ruler::inherited_by(const std::string& tenant, const std::map<Key, const RuleGroup*>& wanted) {
  std::map<Key, GroupStatus> out;
  if (!deps_.inherit) return out;
  {
    const std::scoped_lock lock(mutex_);
    // Of the first look after a start, all groups are: a restart may have moved them here.
    const bool some = std::any_of(wanted.begin(), wanted.end(), [&](const auto& item) {
      return !entries_.contains(item.first) && (!synced_ || elsewhere_.contains(item.first));
    });
    if (!some) return out;
  }
  for (GroupStatus& group : deps_.inherit(tenant)) {
    const Key key{tenant, group.name_space, group.name};
    if (wanted.contains(key)) out[key] = std::move(group);
  }
  return out;
}

void Ruler::replace(const std::string& tenant, const Groups& groups, const std::set<std::string>& keep) {
  std::map<Key, const RuleGroup*> wanted;
  std::set<Key> others;
  for (const auto& [name_space, list] : groups)
    for (const RuleGroup& group : list) {
      const Key key{tenant, name_space, group.name};
      if (!deps_.owns || deps_.owns(tenant, name_space, group.name)) wanted[key] = &group;
      else others.insert(key);
    }
  const auto inherited = inherited_by(tenant, wanted);

  bool changes = false;
  const auto labels_of = [&](const Key& key) { return std::vector<std::string>{key.tenant, metric_group(options_, key.tenant, key.name_space, key.name)}; };
  std::unique_lock lock(mutex_);
  const auto wait_until_idle = [&](const Key& key) {
    idle_.wait(lock, [&] {
      const auto at = entries_.find(key);
      return stopping_ || at == entries_.end() || !at->second.running;
    });
  };
  std::vector<Key> gone;
  for (auto at = entries_.lower_bound({tenant, "", ""}); at != entries_.end() && at->first.tenant == tenant; ++at)
    if (!wanted.contains(at->first) && !keep.contains(at->first.name_space)) gone.push_back(at->first);
  for (const Key& key : gone) {
    wait_until_idle(key);
    if (const auto at = entries_.find(key); at != entries_.end() && others.contains(key))
      former_[key] = {at->second.group->status(), deps_.clock.monotonic_ns()};
    entries_.erase(key);
    if (!options_.disable_rule_group_label) metrics_->forget(tenant, labels_of(key)[1]);
    changes = true;
  }
  for (const auto& [key, definition] : wanted) {
    std::string text = format_rule_group(*definition);
    const auto known = entries_.find(key);
    if (known != entries_.end() && known->second.text == text) continue;
    changes = true;
    Entry entry;
    entry.group = std::make_shared<Group>(tenant, key.name_space, *definition, options_);
    entry.text = std::move(text);
    if (known != entries_.end()) {
      wait_until_idle(key);
      if (stopping_) return;
      entry.group->take_state(*entries_.at(key).group);
    } else if (const auto known_elsewhere = inherited.find(key); known_elsewhere != inherited.end()) {
      entry.group->take_alerts(known_elsewhere->second);
    } else if (synced_ && !elsewhere_.contains(key)) {
      entry.group->start_anew();
    }
    entry.next_ns = entry.group->slot_at_or_after(deps_.clock.now_ns());
    metrics_->rules.with(labels_of(key)).set(static_cast<double>(definition->rules.size()));
    metrics_->interval_seconds.with(labels_of(key)).set(seconds(entry.group->interval_ns()));
    metrics_->iterations_missed.with(labels_of(key));   // there from the start, so that rates see the first one
    metrics_->failures.with(labels_of(key));
    entries_[key] = std::move(entry);
  }
  std::erase_if(elsewhere_, [&](const Key& key) { return key.tenant == tenant && !others.contains(key) && !keep.contains(key.name_space); });
  elsewhere_.insert(others.begin(), others.end());
  const std::int64_t oldest_ns = deps_.clock.monotonic_ns() - kFormerKeptNs;
  std::erase_if(former_, [&](const auto& item) { return item.second.since_ns < oldest_ns; });
  lock.unlock();
  if (!changes) return;
  metrics_->updates.with({tenant}).add(1);
  metrics_->reload_successful_seconds.with({tenant}).set(seconds(deps_.clock.now_ns()));
}

std::vector<GroupStatus> Ruler::status(const std::string& tenant) const {
  std::vector<std::shared_ptr<Group>> groups;
  {
    const std::scoped_lock lock(mutex_);
    for (auto at = entries_.lower_bound({tenant, "", ""}); at != entries_.end() && at->first.tenant == tenant; ++at) groups.push_back(at->second.group);
  }
  std::vector<GroupStatus> out;
  for (const std::shared_ptr<Group>& group : groups) out.push_back(group->status());
  return out;
}

std::vector<GroupStatus> Ruler::former(const std::string& tenant) const {
  const std::scoped_lock lock(mutex_);
  std::vector<GroupStatus> out;
  for (auto at = former_.lower_bound({tenant, "", ""}); at != former_.end() && at->first.tenant == tenant; ++at) out.push_back(at->second.status);
  return out;
}

}  // namespace skald::ruler
