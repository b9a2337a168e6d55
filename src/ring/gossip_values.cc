#include "ring/gossip_values.h"

#include <optional>
#include <thread>

namespace skald::ring::gossip {
namespace {

constexpr int kTriesMax = 10;
constexpr std::size_t kKeysMax = 1024, kKeyBytesMax = 1024;

struct Entry {
  Desc desc;                                         // with tombstones
  std::uint64_t version = 0;                         // of this process
  bool deleted = false;
  std::int64_t updated_ms = 0;
};

std::set<std::string> ids_of(const Desc& desc) {
  std::set<std::string> out;
  for (const auto& [id, instance] : desc.instances) out.insert(id);
  return out;
}

}  // namespace

struct GossipValues::Shared {
  std::mutex mutex;                                  // guards all below, and the queues
  std::map<std::string, Entry> entries;
  std::condition_variable changed;
};

class GossipValues::KeyWatch final : public KvStore::Watch {
 public:
  KeyWatch(std::shared_ptr<Shared> shared, std::int64_t pause_ns, std::string key, std::function<void(const Desc&)> on_change)
      : shared_(std::move(shared)), pause_ns_(pause_ns), thread_([this, key = std::move(key), on_change = std::move(on_change)] { run(key, on_change); }) {}
  ~KeyWatch() override {
    {
      const std::lock_guard lock(shared_->mutex);
      stopped_ = true;
    }
    shared_->changed.notify_all();
    thread_.join();
  }

 private:
  void run(const std::string& key, const std::function<void(const Desc&)>& on_change) {
    std::optional<std::uint64_t> seen;
    std::unique_lock lock(shared_->mutex);
    const auto present = [&] {
      const auto found = shared_->entries.find(key);
      return found == shared_->entries.end() ? 0 : found->second.version;
    };
    while (true) {
      shared_->changed.wait(lock, [&] { return stopped_ || seen != present(); });
      if (stopped_) return;
      seen = present();
      const auto found = shared_->entries.find(key);
      const Desc value = found == shared_->entries.end() ? Desc{} : visible(found->second.desc);
      lock.unlock();
      on_change(value);
      lock.lock();
      if (pause_ns_ > 0 && shared_->changed.wait_for(lock, std::chrono::nanoseconds(pause_ns_), [&] { return stopped_; })) return;
    }
  }

  const std::shared_ptr<Shared> shared_;
  const std::int64_t pause_ns_;
  bool stopped_ = false;                             // guarded by shared_->mutex
  std::thread thread_;
};

GossipValues::GossipValues(ValuesOptions options, obs::Registry& registry)
    : options_(options),
      shared_(std::make_shared<Shared>()),
      times_(registry, "memberlist"),
      cas_attempts_(registry.counter("loki_memberlist_client_cas_attempt_total", "Attempts to change a gossiped value.")),
      cas_successes_(registry.counter("loki_memberlist_client_cas_success_total", "Successful changes of gossiped values.")),
      cas_failures_(registry.counter("loki_memberlist_client_cas_failure_total", "Failed changes of gossiped values.")),
      dropped_(registry.counter("loki_memberlist_client_messages_to_broadcast_dropped_total", "News dropped because too many were waiting.")) {}

GossipValues::~GossipValues() = default;

Result<Desc> GossipValues::get(const std::string& key, const CallContext&) {
  const std::lock_guard lock(shared_->mutex);
  const auto found = shared_->entries.find(key);
  return found == shared_->entries.end() ? Desc{} : visible(found->second.desc);
}

void GossipValues::spread(const std::string& key, const Desc& change, Broadcasts& queue) {
  Entry& entry = shared_->entries[key];
  ++entry.version;
  KeyValue pair{.key = key, .value = encode(change), .codec = std::string(kRingCodec), .deleted = entry.deleted, .updated_ms = entry.updated_ms};
  if (!queue.push(key, ids_of(change), encode(Message(User{encode(pair)})))) dropped_.add();
  shared_->changed.notify_all();
}

Result<void> GossipValues::update(const std::string& key, const Change& wanted, const CallContext& ctx) {
  return times_.measure("CAS", key, [&] { return change(key, wanted, ctx); });
}

Result<void> GossipValues::change(const std::string& key, const Change& change, const CallContext& ctx) {
  if (key.size() > kKeyBytesMax) return Error(ErrorCode::kInvalidArgument, "memberlist: a key of " + std::to_string(key.size()) + " bytes");
  for (int attempt = 0; attempt < kTriesMax; ++attempt) {
    SKALD_TRY_VOID(ctx.check());
    cas_attempts_.add();
    Desc edited;
    std::uint64_t version = 0;
    {
      const std::lock_guard lock(shared_->mutex);
      const Entry& entry = shared_->entries[key];
      edited = visible(entry.desc);
      version = entry.version;
    }
    SKALD_TRY(const bool wanted, change(edited));
    if (!wanted) return {};
    const std::lock_guard lock(shared_->mutex);
    Entry& entry = shared_->entries[key];
    if (entry.version != version) continue;          // news came in between: `change` has to look at them
    const Desc done = merge_local(entry.desc, edited, now_s());
    if (!done.instances.empty()) {
      entry.deleted = false;
      entry.updated_ms = options_.clock->now_ns() / kNanosPerMilli;
      spread(key, done, own_);
    }
    cas_successes_.add();
    return {};
  }
  cas_failures_.add();
  return Error(ErrorCode::kUnavailable, "memberlist: " + key + " changed too often while it was edited");
}

std::unique_ptr<KvStore::Watch> GossipValues::watch(const std::string& key, std::function<void(const Desc&)> on_change) {
  return std::make_unique<KeyWatch>(shared_, options_.notify_interval_ns, key, std::move(on_change));
}

Result<void> GossipValues::hear(const KeyValue& news) {
  if (news.codec != kRingCodec) return Error(ErrorCode::kUnimplemented, "gossip: a value of codec '" + news.codec.substr(0, 64) + "'");
  if (news.key.empty() || news.key.size() > kKeyBytesMax) return Error(ErrorCode::kCorruption, "gossip: a value without a fitting key");
  Desc theirs;
  if (!news.value.empty()) {
    SKALD_TRY(theirs, decode(news.value));
  }
  const std::lock_guard lock(shared_->mutex);
  if (!shared_->entries.contains(news.key) && shared_->entries.size() >= kKeysMax) return Error(ErrorCode::kResourceExhausted, "gossip: too many keys");
  Entry& entry = shared_->entries[news.key];
  if (entry.deleted && news.updated_ms <= entry.updated_ms) return {};
  if (news.deleted) {
    if (news.updated_ms <= entry.updated_ms) return {};
    const Desc gone = entry.desc;
    entry.desc = {};
    entry.deleted = true;
    entry.updated_ms = news.updated_ms;
    spread(news.key, gone, forwarded_);
    return {};
  }
  Desc change = merge(entry.desc, theirs);
  // Tombstones that are due would come back for ever from peers whose clocks run late.
  const std::int64_t before_s = now_s() - options_.tombstone_ns / kNanosPerSecond;
  remove_tombstones(entry.desc, before_s);
  remove_tombstones(change, before_s);
  if (change.instances.empty()) return {};
  entry.deleted = false;
  entry.updated_ms = std::max(entry.updated_ms, news.updated_ms);
  spread(news.key, change, forwarded_);
  return {};
}

Bytes GossipValues::state() const {
  const std::lock_guard lock(shared_->mutex);
  Bytes out;
  for (const auto& [key, entry] : shared_->entries)
    append_state(out, {.key = key, .value = encode(entry.desc), .codec = std::string(kRingCodec), .deleted = entry.deleted, .updated_ms = entry.updated_ms});
  return out;
}

void GossipValues::pass_time() {
  const std::int64_t now_ns = options_.clock->now_ns();
  const std::lock_guard lock(shared_->mutex);
  for (auto& [key, entry] : shared_->entries) remove_tombstones(entry.desc, (now_ns - options_.tombstone_ns) / kNanosPerSecond);
  std::erase_if(shared_->entries, [&](const auto& item) {
    return item.second.deleted && item.second.updated_ms * kNanosPerMilli < now_ns - options_.deleted_ns;
  });
}

void GossipValues::take_broadcasts(std::size_t overhead, std::size_t& bytes_max, int times_max, std::vector<Bytes>& out) {
  const std::lock_guard lock(shared_->mutex);
  own_.take(overhead, bytes_max, times_max, out);
  forwarded_.take(overhead, bytes_max, times_max, out);
}

std::size_t GossipValues::own_waiting() const {
  const std::lock_guard lock(shared_->mutex);
  return own_.size();
}

std::vector<Memberlist::Value> GossipValues::values() const {
  const std::lock_guard lock(shared_->mutex);
  std::vector<Memberlist::Value> out;
  for (const auto& [key, entry] : shared_->entries)
    if (!entry.deleted) out.push_back({.key = key, .codec = std::string(kRingCodec), .version = entry.version, .updated_ms = entry.updated_ms, .desc = entry.desc, .bytes = encode(entry.desc).size()});
  return out;
}

}  // namespace skald::ring::gossip
