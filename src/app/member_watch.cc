#include "member_watch.h"

#include <algorithm>
#include <chrono>

namespace skald::app {
namespace {

constexpr std::chrono::milliseconds kLook(500);

}  // namespace

MemberWatch::MemberWatch(const ring::Ring& ring, std::function<void()> gone) : ring_(ring), gone_(std::move(gone)), thread_([this] { run(); }) {}

MemberWatch::~MemberWatch() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void MemberWatch::run() {
  std::set<std::string> known;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kLook, [this] { return stops_; })) {
    lock.unlock();
    // A member that is not heard of is not asked either.
    const auto picture = ring_.picture();
    std::set<std::string> now;
    for (const auto& [id, instance] : picture->desc().instances)
      if (picture->healthy(instance, ring::Operation::kRead, ring_.now_s())) now.insert(id);
    if (!std::includes(now.begin(), now.end(), known.begin(), known.end())) gone_();
    known = std::move(now);
    lock.lock();
  }
}

}  // namespace skald::app
