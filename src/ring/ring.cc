#include "skald/ring/ring.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace skald::ring {

Ring::Ring(KvStore& kv, RingOptions options, obs::Registry& registry, const Clock& clock)
    : kv_(kv), options_(std::move(options)), clock_(clock), began_ns_(clock.now_ns()), began_monotonic_ns_(clock.monotonic_ns()),
      members_(registry.gauge_family("loki_ring_members", "Number of members in the ring.", {"name", "state"})),
      picture_(std::make_shared<const Picture>(Desc{}, options_)), watch_(kv.watch(options_.key, [this](const Desc& desc) { set(desc); })) {}

Ring::~Ring() { watch_.reset(); }

std::shared_ptr<const Picture> Ring::picture() const {
  const std::lock_guard lock(mutex_);
  return picture_;
}

void Ring::set(const Desc& desc) {
  const std::int64_t now = now_s(), timeout_s = options_.heartbeat_timeout_ns / kNanosPerSecond;
  std::map<std::string, std::int64_t> heard_s;
  std::erase_if(heard_, [&](const auto& item) { return !desc.instances.contains(item.first); });
  for (const auto& [id, instance] : desc.instances) {
    const auto [at, is_new] = heard_.try_emplace(id);
    Heard& heard = at->second;
    if (is_new || instance.heartbeat_s < heard.heartbeat_s) {
      // Who speaks from the future is heard of now, and later only if it goes on speaking.
      heard = {.heartbeat_s = instance.heartbeat_s, .at_s = std::min(instance.heartbeat_s, now), .moved_s = 0};
    } else if (instance.heartbeat_s > heard.heartbeat_s) {
      // One move may be old news that came late (from a part of the cluster that was cut off).
      const bool again = heard.moved_s != 0 && now - heard.moved_s <= timeout_s;
      heard.heartbeat_s = instance.heartbeat_s;
      heard.at_s = std::max(heard.at_s, again ? now : std::min(instance.heartbeat_s, now));
      heard.moved_s = now;
    }
    heard_s[id] = heard.at_s;
  }
  auto picture = std::make_shared<const Picture>(visible(desc), options_, heard_s);
  std::map<std::string, int> counts;
  for (const char* state : {"ACTIVE", "JOINING", "LEAVING", "PENDING", "Unhealthy"}) counts[state] = 0;
  for (const auto& [id, instance] : picture->desc().instances) ++counts[picture->heard_of(instance, now) ? state_name(instance.state) : "Unhealthy"];
  for (const auto& [state, count] : counts) members_.with({options_.name, state}).set(count);
  {
    const std::lock_guard lock(mutex_);
    picture_.swap(picture);
  }
  known_.store(true, std::memory_order_release);
}

Result<void> Ring::wait_until_known(const CallContext& ctx) const {
  while (!known_.load(std::memory_order_acquire)) {
    SKALD_TRY_VOID(ctx.check());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return {};
}

Result<void> Ring::forget(const std::string& id, const CallContext& ctx) {
  return kv_.update(options_.key, [&](Desc& desc) -> Result<bool> { return desc.instances.erase(id) != 0; }, ctx);
}

}  // namespace skald::ring
