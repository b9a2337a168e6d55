// Looking things up in a picture of the ring.
#include <algorithm>
#include <cmath>
#include <set>

#include "skald/codec/hash.h"
#include "skald/ring/ring.h"

namespace skald::ring {
namespace {

constexpr std::uint32_t kFnvPrime = 16'777'619, kFnvStart = 2'166'136'261;

bool state_serves(InstanceState state, Operation operation) {
  if (operation == Operation::kRead) return state == InstanceState::kActive || state == InstanceState::kPending || state == InstanceState::kLeaving;
  return state == InstanceState::kActive;
}

std::string joined_ids(std::vector<std::string> ids) {
  std::sort(ids.begin(), ids.end());
  std::string out;
  for (const std::string& id : ids) out += (out.empty() ? "" : ",") + id;
  return out;
}

}  // namespace

std::uint32_t stream_token(std::string_view tenant, std::string_view labels) {
  std::uint32_t hash = kFnvStart;
  for (const std::string_view part : {tenant, labels})
    for (const char c : part) hash = (hash * kFnvPrime) ^ static_cast<unsigned char>(c);
  return hash;
}

std::uint32_t fnv1a_token(std::string_view bytes) {
  std::uint32_t hash = kFnvStart;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * kFnvPrime;
  return hash;
}

Picture::Picture(Desc desc, const RingOptions& options, const std::map<std::string, std::int64_t>& heard_s) : desc_(std::move(desc)), options_(options) {
  std::set<std::string_view> zones;
  for (const auto& [id, instance] : desc_.instances) {
    zones.insert(instance.zone);
    if (const auto heard = heard_s.find(id); heard != heard_s.end()) heard_s_.emplace(&instance, heard->second);
    for (const std::uint32_t token : instance.tokens) tokens_.push_back({token, &instance});
  }
  std::sort(tokens_.begin(), tokens_.end(), [](const Token& a, const Token& b) { return a.value < b.value; });
  zones_ = zones.size();
}

bool Picture::heard_of(const Instance& instance, std::int64_t now_s) const {
  if (options_.heartbeat_timeout_ns <= 0) return true;
  const auto heard = heard_s_.find(&instance);
  return now_s - (heard == heard_s_.end() ? instance.heartbeat_s : heard->second) <= options_.heartbeat_timeout_ns / kNanosPerSecond;
}

bool Picture::healthy(const Instance& instance, Operation operation, std::int64_t now_s) const {
  return state_serves(instance.state, operation) && heard_of(instance, now_s) && !(operation != Operation::kRead && instance.read_only);
}

// A key belongs to the first token greater than it.
std::size_t Picture::first_after(std::uint32_t token) const {
  const auto at = std::upper_bound(tokens_.begin(), tokens_.end(), token, [](std::uint32_t key, const Token& t) { return key < t.value; });
  return at == tokens_.end() ? 0 : static_cast<std::size_t>(at - tokens_.begin());
}

Result<ReplicationSet> Picture::members_for(std::uint32_t token, Operation operation, std::int64_t now_s) const {
  if (tokens_.empty()) return Error(ErrorCode::kUnavailable, "empty ring");
  const std::size_t wanted = options_.replication_factor;
  const std::size_t quorum = wanted / 2 + 1;
  ReplicationSet set;
  std::vector<const Instance*> seen;
  std::vector<std::string> unhealthy;
  std::vector<std::string_view> zones_used;
  std::size_t places = wanted;   // grows when a member is replaced by the next
  const std::size_t begin = first_after(token);
  for (std::size_t i = 0; i < tokens_.size() && seen.size() < places; ++i) {
    const Instance* instance = tokens_[(begin + i) % tokens_.size()].owner;
    if (std::find(seen.begin(), seen.end(), instance) != seen.end()) continue;
    const bool zoned = options_.zone_awareness && !instance->zone.empty();
    if (zoned && std::find(zones_used.begin(), zones_used.end(), instance->zone) != zones_used.end()) continue;
    seen.push_back(instance);
    const bool usable = healthy(*instance, operation, now_s);
    if (usable) {
      set.members.push_back(instance);
    } else if (state_serves(instance->state, operation)) {
      unhealthy.push_back(instance->id);
    }
    if (!usable && operation == Operation::kWrite) ++places;   // the next one stands in; the zone stays free for it
    else if (zoned) zones_used.push_back(instance->zone);
  }
  if (set.members.size() < quorum) {
    std::string text = "at least " + std::to_string(quorum) + " live replicas required" + (options_.zone_awareness ? " across different availability zones" : "") +
                       ", could only find " + std::to_string(set.members.size());
    if (!unhealthy.empty()) text += " - unhealthy instances: " + joined_ids(std::move(unhealthy));
    return Error(ErrorCode::kUnavailable, std::move(text));
  }
  // Two of three copies are what a read that misses one member still finds; more members than asked do not raise that.
  set.min_success = quorum;
  return set;
}

Result<ReadSet> Picture::members_for_all(Operation operation, std::int64_t now_s) const {
  if (desc_.instances.empty()) return Error(ErrorCode::kUnavailable, "empty ring");
  ReadSet set;
  set.by_zone = options_.zone_awareness && zones_ > 1;
  std::set<std::string_view> failing_zones;
  std::size_t tolerated = options_.replication_factor / 2, missing = 0;
  for (const auto& [id, instance] : desc_.instances) {
    // One that has no tokens never got a write.
    if (instance.tokens.empty() && instance.state != InstanceState::kLeaving) continue;
    if (healthy(instance, operation, now_s)) {
      set.members.push_back(&instance);
    } else {
      ++missing;
      failing_zones.insert(instance.zone);
    }
  }
  const Error too_many(ErrorCode::kUnavailable, "too many unhealthy instances in the ring");
  if (set.by_zone) {
    tolerated = std::min(zones_, options_.replication_factor) / 2;
    if (failing_zones.size() > tolerated) return too_many;
    set.max_failing_zones = tolerated - failing_zones.size();
    std::erase_if(set.members, [&](const Instance* instance) { return failing_zones.contains(instance->zone); });
  } else {
    // Members this process does not know of (yet) may hold what it looks for: the news of a ring travels.
    const std::size_t known = set.members.size() + missing;
    if (known < options_.replication_factor) missing += options_.replication_factor - known;
    if (missing > tolerated) return too_many;
    set.max_failures = tolerated - missing;
  }
  if (set.members.empty()) return too_many;
  return set;
}

const Instance* Picture::owner_of(std::uint32_t token, std::int64_t now_s) const {
  const std::size_t begin = first_after(token);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const Instance* instance = tokens_[(begin + i) % tokens_.size()].owner;
    if (healthy(*instance, Operation::kWrite, now_s)) return instance;
  }
  return nullptr;
}

std::vector<std::pair<std::string, double>> Picture::ownership() const {
  std::map<std::string, double> shares;
  for (const auto& [id, instance] : desc_.instances) shares[id] = 0;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    // From the token before (included) up to this one; unsigned arithmetic wraps where the circle does.
    const std::uint32_t before = tokens_[i == 0 ? tokens_.size() - 1 : i - 1].value;
    const double share = tokens_.size() == 1 ? 1.0 : static_cast<double>(static_cast<std::uint32_t>(tokens_[i].value - before)) / 4294967296.0;
    shares[tokens_[i].owner->id] += share;
  }
  return {shares.begin(), shares.end()};
}

// Rendezvous hashing: each instance gets a number from (name, id), the smallest win. Needs no random walk, and a member
// that comes or goes moves only its own place.
std::vector<const Instance*> Picture::shuffle_shard(std::string_view name, std::size_t size) const {
  std::map<std::string_view, std::vector<std::pair<std::uint64_t, const Instance*>>> by_zone;
  const std::uint64_t seed = codec::xxh3_64(name);
  for (const auto& [id, instance] : desc_.instances)
    by_zone[options_.zone_awareness ? std::string_view(instance.zone) : std::string_view()].emplace_back(codec::xxh3_words(seed, codec::xxh3_64(id)), &instance);
  std::vector<const Instance*> chosen;
  if (by_zone.empty()) return chosen;
  const std::size_t per_zone = size == 0 ? desc_.instances.size() : (size + by_zone.size() - 1) / by_zone.size();
  for (auto& [zone, candidates] : by_zone) {
    std::sort(candidates.begin(), candidates.end());
    for (std::size_t i = 0; i < candidates.size() && i < per_zone; ++i) chosen.push_back(candidates[i].second);
  }
  return chosen;
}

}  // namespace skald::ring
