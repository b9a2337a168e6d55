#include "skald/ring/ring.h"

#include <chrono>
#include <thread>

namespace skald::ring {

Ring::Ring(KvStore& kv, RingOptions options, obs::Registry& registry, const Clock& clock)
    : kv_(kv), options_(std::move(options)), clock_(clock),
      members_(registry.gauge_family("loki_ring_members", "Number of members in the ring.", {"name", "state"})),
      picture_(std::make_shared<const Picture>(Desc{}, options_)), watch_(kv.watch(options_.key, [this](const Desc& desc) { set(desc); })) {}

Ring::~Ring() { watch_.reset(); }

std::shared_ptr<const Picture> Ring::picture() const {
  const std::lock_guard lock(mutex_);
  return picture_;
}

void Ring::set(const Desc& desc) {
  auto picture = std::make_shared<const Picture>(visible(desc), options_);
  std::map<std::string, int> counts;
  for (const char* state : {"ACTIVE", "JOINING", "LEAVING", "PENDING", "Unhealthy"}) counts[state] = 0;
  for (const auto& [id, instance] : picture->desc().instances) ++counts[picture->heard_of(instance, now_s()) ? state_name(instance.state) : "Unhealthy"];
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
