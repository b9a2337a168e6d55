#include "skald/ring/ring.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace skald::ring {

namespace {
constexpr std::int64_t kCountEveryS = 5;
}

Ring::Ring(KvStore& kv, RingOptions options, obs::Registry& registry, const Clock& clock)
    : kv_(kv), options_(std::move(options)), clock_(clock), began_ns_(clock.now_ns()), began_monotonic_ns_(clock.monotonic_ns()),
      members_(registry.gauge_family("loki_ring_members", "Number of members in the ring.", {"name", "state"})),
      tokens_(registry.gauge_family("loki_ring_tokens_total", "Tokens in the ring.", {"name"})),
      oldest_(registry.gauge_family("loki_ring_oldest_member_timestamp", "Heartbeat of the member that was heard of longest ago; 0: none.", {"name", "state"})),
      ownership_(registry.gauge_family("loki_ring_member_ownership_percent", "Share of the ring that is a member's, 0 to 1.", {"member", "name"})),
      picture_(std::make_shared<const Picture>(Desc{}, options_)), watch_(kv.watch(options_.key, [this](const Desc& desc) { set(desc); })) {
  if (options_.name == "ingester")
    registry.gauge("loki_distributor_replication_factor", "Ingesters that each stream goes to.").set(static_cast<double>(options_.replication_factor));
}

Ring::~Ring() { watch_.reset(); }

std::shared_ptr<const Picture> Ring::picture() const {
  std::shared_ptr<const Picture> picture;
  {
    const std::lock_guard lock(mutex_);
    picture = picture_;
  }
  // Members fall silent without a word from the store.
  std::int64_t counted_s = counted_s_.load(std::memory_order_relaxed);
  if (now_s() - counted_s >= kCountEveryS && counted_s_.compare_exchange_strong(counted_s, now_s(), std::memory_order_relaxed)) count(*picture);
  return picture;
}

void Ring::count(const Picture& picture) const {
  const std::int64_t now = now_s();
  struct State {
    int members = 0;
    std::int64_t oldest_s = 0;
  };
  std::map<std::string, State> states;
  for (const char* state : {"ACTIVE", "JOINING", "LEAVING", "PENDING", "Unhealthy"}) states[state] = {};
  std::size_t tokens = 0;
  for (const auto& [id, instance] : picture.desc().instances) {
    State& state = states[picture.heard_of(instance, now) ? state_name(instance.state) : "Unhealthy"];
    if (state.members++ == 0 || instance.heartbeat_s < state.oldest_s) state.oldest_s = instance.heartbeat_s;
    tokens += instance.tokens.size();
  }
  for (const auto& [name, state] : states) {
    members_.with({options_.name, name}).set(state.members);
    oldest_.with({options_.name, name}).set(static_cast<double>(state.oldest_s));
  }
  tokens_.with({options_.name}).set(static_cast<double>(tokens));
}

std::int64_t Ring::now_s() const {
  const std::int64_t now = steady_s();
  const std::int64_t told = told_s_.load(std::memory_order_acquire);
  return told == 0 || options_.heartbeat_timeout_ns <= 0 ? now : std::min(now, told + patience_s());
}

void Ring::set(const Desc& desc) {
  const std::int64_t now = steady_s(), timeout_s = options_.heartbeat_timeout_ns / kNanosPerSecond;
  const bool was_silent = known_.load(std::memory_order_acquire) && now - told_s_ > patience_s();
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
    // Time in which nobody was heard does not count.
    if (was_silent) heard.at_s = std::min(heard.at_s + (now - told_s_), now);
    heard_s[id] = heard.at_s;
  }
  told_s_.store(now, std::memory_order_release);
  auto picture = std::make_shared<const Picture>(visible(desc), options_, heard_s);
  count(*picture);
  const auto shares = picture->ownership();
  {
    const std::lock_guard lock(mutex_);
    picture_.swap(picture);
  }
  for (const auto& [id, unused] : picture->desc().instances)   // the one before
    if (!desc.instances.contains(id)) ownership_.remove({id, options_.name});
  for (const auto& [id, share] : shares) ownership_.with({id, options_.name}).set(share);
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
