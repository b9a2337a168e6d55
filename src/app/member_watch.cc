#include "member_watch.h"

#include <chrono>
#include <map>

namespace skald::app {
namespace {

constexpr std::chrono::milliseconds kLook(500);

}  // namespace

MemberWatch::MemberWatch(const ring::Ring& ring, Gone gone) : ring_(ring), gone_(std::move(gone)), thread_([this] { run(); }) {}

MemberWatch::~MemberWatch() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void MemberWatch::run() {
  std::map<std::string, ring::InstanceState> known;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kLook, [this] { return stops_; })) {
    lock.unlock();
    // A member that is not heard of is not asked either.
    const auto picture = ring_.picture();
    std::map<std::string, ring::InstanceState> now;
    for (const auto& [id, instance] : picture->desc().instances)
      if (picture->healthy(instance, ring::Operation::kRead, ring_.now_s())) now.emplace(id, instance.state);
    bool some = false, crashed = false;
    for (const auto& [id, state] : known) {
      if (now.contains(id)) continue;
      some = true;
      // One that is back already, replaying its log, kept what it had.
      const auto entry = picture->desc().instances.find(id);
      const bool returns = entry != picture->desc().instances.end() && entry->second.state == ring::InstanceState::kJoining;
      crashed = crashed || (state == ring::InstanceState::kActive && !returns);
    }
    if (some) gone_(crashed);
    known = std::move(now);
    lock.lock();
  }
}

}  // namespace skald::app
