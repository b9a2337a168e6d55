#include "skald/ring/lifecycler.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>

#include "skald/obs/log.h"

namespace skald::ring {
namespace {

constexpr std::uint64_t kTokensFileBytesMax = 1 << 20;
constexpr std::int64_t kStoreCallNs = 10 * kNanosPerSecond;

CallContext store_call(const Clock& clock, std::shared_ptr<const CancelToken> cancel = nullptr) {
  CallContext ctx;
  ctx.cancel = std::move(cancel);
  ctx.clock = &clock;
  ctx.deadline_monotonic_ns = clock.monotonic_ns() + kStoreCallNs;
  return ctx;
}

// Tokens of `instance` that somebody else holds as well.
bool contested(const Desc& desc, const Instance& instance) {
  std::set<std::uint32_t> others;
  for (const auto& [id, other] : desc.instances)
    if (id != instance.id) others.insert(other.tokens.begin(), other.tokens.end());
  return std::any_of(instance.tokens.begin(), instance.tokens.end(), [&](std::uint32_t token) { return others.contains(token); });
}

}  // namespace

Lifecycler::Lifecycler(KvStore& kv, RingOptions ring, LifecyclerOptions options, io::FileSystem& fs, const Clock& clock, Random& random)
    : kv_(kv), ring_(std::move(ring)), options_(std::move(options)), fs_(fs), clock_(clock), random_(random), unregister_(options_.unregister_on_shutdown) {
  if (options_.registry == nullptr) return;
  obs::Registry& registry = *options_.registry;
  heartbeats_ = &registry.counter_family("loki_ring_member_heartbeats_total", "Heartbeats of this member that the store took.", {"name"}).with({ring_.name});
  tokens_owned_ = &registry.gauge_family("loki_ring_member_tokens_owned", "Tokens of this member.", {"name"}).with({ring_.name});
  registry.gauge_family("loki_ring_member_tokens_to_own", "Tokens that this member wants.", {"name"}).with({ring_.name}).set(static_cast<double>(options_.tokens));
  if (ring_.name == "ingester")
    forgotten_ = &registry.counter("loki_ingester_autoforget_unhealthy_ingesters_total", "Ingesters that were removed from the ring because they fell silent.");
}

Lifecycler::~Lifecycler() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  cancel_->cancel();
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<std::vector<std::uint32_t>> Lifecycler::tokens_from_file() const {
  std::vector<std::uint32_t> tokens;
  if (options_.tokens_file.empty()) return tokens;
  auto text = fs_.read_file(options_.tokens_file, kTokensFileBytesMax);
  if (!text.ok()) {
    if (text.error().code() == ErrorCode::kNotFound) return tokens;
    return text.error();
  }
  const std::size_t open = text->find('['), close = text->find(']');
  if (text->find("\"tokens\"") == std::string::npos || open == std::string::npos || close == std::string::npos || close < open)
    return Error(ErrorCode::kCorruption, "tokens file " + options_.tokens_file + ": not of the form {\"tokens\":[1,2,3]}");
  const char* at = text->data() + open + 1;
  const char* end = text->data() + close;
  while (at < end) {
    while (at < end && (*at == ' ' || *at == ',' || *at == '\n' || *at == '\r' || *at == '\t')) ++at;
    if (at == end) break;
    std::uint32_t token = 0;
    const auto [next, error] = std::from_chars(at, end, token);
    if (error != std::errc()) return Error(ErrorCode::kCorruption, "tokens file " + options_.tokens_file + ": not a list of 32 bit numbers");
    tokens.push_back(token);
    at = next;
  }
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

void Lifecycler::keep_tokens(const std::vector<std::uint32_t>& tokens) const {
  if (options_.tokens_file.empty()) return;
  std::string text = "{\"tokens\":[";
  for (std::size_t i = 0; i < tokens.size(); ++i) text += (i == 0 ? "" : ",") + std::to_string(tokens[i]);
  if (Result<void> kept = io::replace_file(fs_, options_.tokens_file, text + "]}"); !kept.ok())
    log::warn("ring tokens not kept", {{"file", options_.tokens_file}, {"err", kept.error().message()}});
}

// Fills up to the wanted number, each different from all tokens of the ring.
void Lifecycler::choose_tokens(const Desc& desc, std::vector<std::uint32_t>& tokens) {
  std::set<std::uint32_t> taken;
  for (const auto& [id, instance] : desc.instances)
    if (id != options_.id) taken.insert(instance.tokens.begin(), instance.tokens.end());
  std::erase_if(tokens, [&](std::uint32_t token) { return taken.contains(token); });
  std::set<std::uint32_t> own(tokens.begin(), tokens.end());
  while (own.size() < options_.tokens) {
    const auto token = static_cast<std::uint32_t>(random_.next_u64());
    if (!taken.contains(token)) own.insert(token);
  }
  tokens.assign(own.begin(), own.end());
}

// Removes members that are dead. Others may live while their heartbeats look old: their clock or ours has stepped. So what
// counts is also whether they were seen to move.
std::size_t Lifecycler::forget_the_silent(Desc& desc, std::int64_t now_s, std::int64_t monotonic_ns) {
  const std::int64_t after_ns = options_.auto_forget_after_ns;
  const std::int64_t watched_ns = ring_.heartbeat_timeout_ns > 0 ? std::min(after_ns, ring_.heartbeat_timeout_ns) : after_ns;
  // Who could not look at the store cannot say that nothing moved there.
  if (monotonic_ns - last_write_monotonic_ns_ > std::max(2 * options_.heartbeat_period_ns, kNanosPerSecond)) seen_.clear();
  std::erase_if(seen_, [&](const auto& item) { return !desc.instances.contains(item.first); });
  std::vector<std::string> gone;
  for (const auto& [id, other] : desc.instances) {
    if (id == options_.id) continue;
    Seen& seen = seen_.try_emplace(id, Seen{other.heartbeat_s, monotonic_ns}).first->second;
    if (seen.heartbeat_s != other.heartbeat_s) seen = {other.heartbeat_s, monotonic_ns};
    const std::int64_t still_ns = monotonic_ns - seen.since_monotonic_ns;
    if (still_ns >= after_ns || (still_ns >= watched_ns && (now_s - other.heartbeat_s) * kNanosPerSecond >= after_ns)) gone.push_back(id);
  }
  // Everybody but us silent at once is more likely our own trouble than theirs.
  if (gone.size() + 1 >= desc.instances.size()) return 0;
  for (const std::string& id : gone) {
    log::warn("forgetting a ring member without heartbeat", {{"ring", ring_.key}, {"instance", id}});
    desc.instances.erase(id);
  }
  return gone.size();
}

// One step of the entry's life, and its heartbeat.
Result<void> Lifecycler::write_entry(bool cancellable) {
  struct Entry {
    InstanceState state;
    std::vector<std::uint32_t> tokens;
    std::int64_t registered_s, joining_ns, heartbeat_s;
  } before, now;
  InstanceState wanted;
  std::int64_t begun_ns;
  const std::int64_t now_s = clock_.now_ns() / kNanosPerSecond, monotonic_ns = clock_.monotonic_ns();
  {
    const std::lock_guard lock(mutex_);
    wanted = wanted_, begun_ns = begun_monotonic_ns_;
    before = {state_, tokens_, registered_s_, joining_since_monotonic_ns_, now_s};
  }
  if (beat_s_ != 0) before.heartbeat_s = std::max(now_s, beat_s_ + (monotonic_ns - beat_monotonic_ns_) / kNanosPerSecond);
  std::size_t forgotten = 0;
  const auto change = [&](Desc& desc) -> Result<bool> {
    now = before;   // a second run must not build on the first
    const auto found = desc.instances.find(options_.id);
    if (now.registered_s == 0 && found != desc.instances.end() && found->second.state != InstanceState::kLeft) {
      // A restart under the same identity: the old place in the ring, unless it had not got that far.
      now.registered_s = found->second.registered_s;
      if (found->second.state == InstanceState::kActive || found->second.state == InstanceState::kLeaving) {
        now.tokens = found->second.tokens;
        now.state = InstanceState::kJoining;
      }
    }
    if (now.registered_s == 0) now.registered_s = now_s;
    if (wanted == InstanceState::kLeaving) {
      now.state = InstanceState::kLeaving;
    } else {
      if (now.state == InstanceState::kPending && monotonic_ns - begun_ns >= options_.join_after_ns) now.state = InstanceState::kJoining;
      if (now.state != InstanceState::kPending) {
        Instance mine;
        mine.id = options_.id, mine.tokens = now.tokens;
        if (now.tokens.size() < options_.tokens || (now.state == InstanceState::kJoining && contested(desc, mine))) {
          choose_tokens(desc, now.tokens);
          now.joining_ns = monotonic_ns;
        }
        if (now.joining_ns == 0) now.joining_ns = monotonic_ns;
        if (now.state == InstanceState::kJoining && wanted == InstanceState::kActive && monotonic_ns - now.joining_ns >= options_.observe_period_ns)
          now.state = InstanceState::kActive;
      }
    }
    Instance& entry = desc.instances[options_.id];
    entry.id = options_.id;
    entry.address = options_.address;
    entry.zone = options_.zone;
    entry.heartbeat_s = now.heartbeat_s = std::max(now.heartbeat_s, entry.heartbeat_s);   // what was there may be from a clock ahead of ours
    entry.state = now.state;
    entry.tokens = now.tokens;
    entry.registered_s = now.registered_s;
    forgotten = options_.auto_forget_after_ns > 0 ? forget_the_silent(desc, now_s, monotonic_ns) : 0;
    return true;
  };
  SKALD_TRY_VOID(kv_.update(ring_.key, change, store_call(clock_, cancellable ? cancel_ : nullptr)));
  last_write_monotonic_ns_ = monotonic_ns;
  if (heartbeats_ != nullptr) heartbeats_->add(), tokens_owned_->set(static_cast<double>(now.tokens.size()));
  if (forgotten_ != nullptr) forgotten_->add(static_cast<double>(forgotten));
  if (beat_s_ == 0 || now.heartbeat_s != beat_s_ + (monotonic_ns - beat_monotonic_ns_) / kNanosPerSecond) beat_s_ = now.heartbeat_s, beat_monotonic_ns_ = monotonic_ns;
  bool tokens_changed = false;
  {
    const std::lock_guard lock(mutex_);
    tokens_changed = tokens_ != now.tokens;
    state_ = now.state, tokens_ = now.tokens, registered_s_ = now.registered_s, joining_since_monotonic_ns_ = now.joining_ns, written_ = true;
  }
  if (tokens_changed) keep_tokens(now.tokens);
  return {};
}

Result<void> Lifecycler::start() {
  SKALD_TRY(std::vector<std::uint32_t> tokens, tokens_from_file());
  {
    const std::lock_guard lock(mutex_);
    tokens_ = std::move(tokens);
    if (!tokens_.empty()) state_ = InstanceState::kJoining;
    begun_monotonic_ns_ = clock_.monotonic_ns();
  }
  thread_ = std::thread([this] { run(); });
  return {};
}

void Lifecycler::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const Result<void> written = write_entry(true);
    lock.lock();
    if (stopping_) break;
    const std::string error = written.ok() ? "" : written.error().message();
    if (error != last_error_) {
      if (!error.empty()) log::warn("ring entry not written, trying again", {{"ring", ring_.key}, {"err", error}});
      else log::info("ring entry written again", {{"ring", ring_.key}});
      last_error_ = error;
    }
    const bool in_progress = state_ != wanted_ || !written.ok();
    const std::int64_t pause_ns = in_progress ? std::min<std::int64_t>(options_.heartbeat_period_ns, 200 * kNanosPerMilli) : options_.heartbeat_period_ns;
    const InstanceState before = wanted_;
    wake_.wait_for(lock, std::chrono::nanoseconds(pause_ns), [&] { return stopping_ || wanted_ != before; });
  }
}

void Lifecycler::activate() {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = InstanceState::kActive;
  }
  wake_.notify_all();
}

void Lifecycler::leave() {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = InstanceState::kLeaving;
  }
  wake_.notify_all();
}

void Lifecycler::set_unregister_on_shutdown(bool on) {
  const std::lock_guard lock(mutex_);
  unregister_ = on;
}

void Lifecycler::stop() {
  bool unregister;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wanted_ = InstanceState::kLeaving;
    unregister = unregister_ && written_;
  }
  cancel_->cancel();
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  Result<void> done;
  if (unregister) done = kv_.update(ring_.key, [&](Desc& desc) -> Result<bool> { return desc.instances.erase(options_.id) != 0; }, store_call(clock_));
  else if (written_) done = write_entry(false);
  if (!done.ok()) log::warn("ring entry not taken out; others see it as unhealthy until it is forgotten", {{"ring", ring_.key}, {"err", done.error().message()}});
  if (options_.final_sleep_ns > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(options_.final_sleep_ns));
}

InstanceState Lifecycler::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::string Lifecycler::not_ready() const {
  const std::lock_guard lock(mutex_);
  if (!written_) return last_error_.empty() ? "not in the ring yet" : "ring store: " + last_error_;
  if (state_ != InstanceState::kActive) return "instance " + options_.id + " in state " + state_name(state_);
  if (tokens_.empty() && options_.tokens > 0) return "this instance owns no tokens";
  return "";
}

}  // namespace skald::ring
