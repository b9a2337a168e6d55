#include "cache/resolver.h"

#include <algorithm>
#include <chrono>

#include "skald/base/clock.h"
#include "skald/obs/log.h"

namespace skald::cache {

std::vector<ResolvedServer> resolve(const std::vector<ServerSpec>& specs, const NameService& names, bool& failed) {
  std::vector<ResolvedServer> out;
  failed = false;
  for (const ServerSpec& spec : specs) {
    if (auto done = io::resolve_name(spec, names, out); !done.ok()) {
      failed = true;
      log::warn("cache servers not looked up", {{"name", spec.name}, {"err", done.error().message()}});
    }
  }
  return out;
}

ServerWatch::ServerWatch(std::vector<ServerSpec> specs, std::int64_t interval_ns, NameService names,
                         std::function<void(std::vector<ResolvedServer>)> changed)
    : specs_(std::move(specs)), interval_ns_(interval_ns), names_(std::move(names)), changed_(std::move(changed)) {
  if (std::all_of(specs_.begin(), specs_.end(), [](const ServerSpec& spec) { return spec.is_literal(); })) {
    bool failed = false;
    changed_(resolve(specs_, names_, failed));
    return;
  }
  thread_ = std::thread([this] { run(); });
}

ServerWatch::~ServerWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ServerWatch::run() {
  bool known = false;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    bool failed = false;
    std::vector<ResolvedServer> servers = resolve(specs_, names_, failed);
    if (!servers.empty() && (!failed || !known)) {
      known = known || !failed;
      changed_(std::move(servers));
    }
    lock.lock();
    // Until every name is known we ask more often: at start a cluster's names come up one after the other.
    const std::int64_t pause_ns = known ? std::max<std::int64_t>(interval_ns_, kNanosPerSecond) : std::min<std::int64_t>(std::max<std::int64_t>(interval_ns_, kNanosPerMilli), 5 * kNanosPerSecond);
    wake_.wait_for(lock, std::chrono::nanoseconds(pause_ns), [&] { return stopping_; });
  }
}

}  // namespace skald::cache
