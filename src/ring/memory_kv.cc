#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "skald/ring/kv.h"

namespace skald::ring {
namespace {

struct State {
  std::mutex mutex;                                  // guards all below
  std::map<std::string, std::pair<Desc, std::uint64_t>> values;   // with a version
  std::condition_variable changed;
};

class MemoryWatch final : public KvStore::Watch {
 public:
  MemoryWatch(std::shared_ptr<State> state, std::string key, std::function<void(const Desc&)> on_change)
      : state_(std::move(state)), thread_([this, key = std::move(key), on_change = std::move(on_change)] { run(key, on_change); }) {}
  ~MemoryWatch() override {
    {
      const std::lock_guard lock(state_->mutex);
      stopped_ = true;
    }
    state_->changed.notify_all();
    thread_.join();
  }

 private:
  void run(const std::string& key, const std::function<void(const Desc&)>& on_change) {
    std::optional<std::uint64_t> seen;
    std::unique_lock lock(state_->mutex);
    while (true) {
      state_->changed.wait(lock, [&] { return stopped_ || seen != state_->values[key].second; });
      if (stopped_) return;
      const auto [value, version] = state_->values[key];
      seen = version;
      lock.unlock();
      on_change(value);
      lock.lock();
    }
  }

  const std::shared_ptr<State> state_;
  bool stopped_ = false;   // guarded by state_->mutex
  std::thread thread_;
};

class MemoryKv final : public KvStore {
 public:
  Result<Desc> get(const std::string& key, const CallContext&) override {
    const std::lock_guard lock(state_->mutex);
    return state_->values[key].first;
  }

  Result<void> update(const std::string& key, const Change& change, const CallContext&) override {
    {
      const std::lock_guard lock(state_->mutex);
      auto& [value, version] = state_->values[key];
      Desc edited = value;
      SKALD_TRY(const bool changed, change(edited));
      if (!changed) return {};
      value = std::move(edited);
      ++version;
    }
    state_->changed.notify_all();
    return {};
  }

  std::unique_ptr<Watch> watch(const std::string& key, std::function<void(const Desc&)> on_change) override {
    return std::make_unique<MemoryWatch>(state_, key, std::move(on_change));
  }

 private:
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace

std::unique_ptr<KvStore> make_memory_kv() { return std::make_unique<MemoryKv>(); }

}  // namespace skald::ring
