#include "skald/ruler/peers.h"

#include <algorithm>
#include <map>

#include "ruler/states_wire.h"
#include "skald/codec/hash.h"
#include "skald/obs/log.h"
#include "skald/rpc/ingester_service.h"

namespace skald::ruler {
namespace {

constexpr const char* kFormerHeader = "X-Skald-Former";   // groups given up lately are asked for as well
constexpr std::uint64_t kStatesBytesMax = 64ULL << 20;
constexpr std::int64_t kInheritNs = 3 * kNanosPerSecond;   // evaluation waits for it

bool is_member(const ring::Picture& picture, const ring::Instance& instance, bool leaving_too, std::int64_t now_s) {
  const bool serves = instance.state == ring::InstanceState::kActive || (leaving_too && instance.state == ring::InstanceState::kLeaving);
  return serves && picture.heard_of(instance, now_s);
}

}  // namespace

std::uint32_t group_token(const std::string& tenant, const std::string& name_space, const std::string& group) {
  return ring::fnv1a_token(tenant + '\0' + name_space + '\0' + group);
}

Peers::Peers(const ring::Ring& ring, http::Client& client, PeersOptions options, obs::Registry& registry)
    : ring_(ring), client_(client), options_(std::move(options)),
      check_errors_(registry.counter("loki_ruler_ring_check_errors_total", "Looks at the ring that found nobody to evaluate rules.")),
      clients_(registry.gauge("loki_ruler_clients", "Other rulers that are asked for their rules.")) {}

void Peers::share(RulerDeps& deps) {
  deps.owns = [this](const std::string& tenant, const std::string& name_space, const std::string& group) { return owns(tenant, name_space, group); };
  deps.owners_version = [this] { return version(); };
  deps.inherit = [this](const std::string& tenant) { return inherit(tenant); };
}

std::shared_ptr<const ring::Picture> Peers::picture(std::int64_t& now_s) const {
  auto now = ring_.picture();
  now_s = ring_.now_s();
  const auto& members = now->desc().instances;
  const bool somebody = std::any_of(members.begin(), members.end(), [&](const auto& item) { return is_member(*now, item.second, false, now_s); });
  const std::lock_guard lock(mutex_);
  if (somebody) {
    good_ = now;
    good_s_ = now_s;
  } else if (good_) {
    now = good_;
    now_s = good_s_;
  }
  return now;
}

bool Peers::owns(const std::string& tenant, const std::string& name_space, const std::string& group) const {
  std::int64_t now_s = 0;
  const auto now = picture(now_s);
  const ring::Instance* owner = now->owner_of(group_token(tenant, name_space, group), now_s);
  if (owner == nullptr) check_errors_.add();
  return owner != nullptr && owner->id == options_.own_id;
}

std::uint64_t Peers::version() const {
  std::int64_t now_s = 0;
  const auto now = picture(now_s);
  std::uint64_t hash = 0;
  for (const auto& [id, instance] : now->desc().instances) {
    if (!now->healthy(instance, ring::Operation::kWrite, now_s)) continue;
    hash = codec::xxh3_words(hash, codec::xxh3_64(id));
    hash = codec::xxh3_words(hash, codec::xxh3_64(std::string_view(reinterpret_cast<const char*>(instance.tokens.data()), instance.tokens.size() * sizeof(std::uint32_t))));
  }
  return hash;
}

std::vector<Peers::Peer> Peers::others(bool leaving_too) const {
  std::int64_t now_s = 0;
  const auto now = picture(now_s);
  std::vector<Peer> out;
  for (const auto& [id, instance] : now->desc().instances)
    if (id != options_.own_id && is_member(*now, instance, leaving_too, now_s))
      out.push_back({id, options_.url_of ? options_.url_of(instance) : "http://" + instance.address});
  clients_.set(static_cast<double>(out.size()));
  return out;
}

std::vector<Result<std::vector<GroupStatus>>> Peers::ask(const std::vector<Peer>& peers, const CallContext& ctx, bool with_former) const {
  CallContext call = ctx;
  call.deadline_monotonic_ns = std::min(ctx.deadline_monotonic_ns, system_clock().monotonic_ns() + options_.timeout_ns);
  std::vector<std::unique_ptr<http::Client::Running>> running;
  for (const Peer& peer : peers) {
    http::ClientRequest request;
    request.method = "POST";
    request.url = peer.url + rpc::kPathPrefix + "ruler/states";
    request.headers.push_back({"X-Scope-OrgID", ctx.tenant});
    if (with_former) request.headers.push_back({kFormerHeader, "1"});
    request.response_bytes_max = kStatesBytesMax;
    running.push_back(client_.start(request, call));
  }
  std::vector<Result<std::vector<GroupStatus>>> out;
  for (std::size_t i = 0; i < running.size(); ++i) {
    const Result<http::ClientResponse> response = running[i]->take();
    Result<std::vector<GroupStatus>> states = Error(ErrorCode::kUnavailable, "");
    if (!response.ok()) states = response.error();
    else if (response->status != 200) states = Error(ErrorCode::kUnavailable, "status " + std::to_string(response->status) + ": " + response->body.substr(0, 200));
    else states = decode_states(response->body);
    if (!states.ok())
      states = Error(ErrorCode::kUnavailable, "unable to retrieve rules from ruler " + peers[i].id + " (" + peers[i].url + "): " + states.error().message());
    out.push_back(std::move(states));
  }
  return out;
}

Result<std::vector<GroupStatus>> Peers::status(const CallContext& ctx) const {
  SKALD_TRY(std::vector<GroupStatus> all, local_->status(ctx));
  for (Result<std::vector<GroupStatus>>& states : ask(others(false), ctx, false)) {
    if (!states.ok()) return states.error();
    std::move(states->begin(), states->end(), std::back_inserter(all));
  }
  // While a group moves, two rulers may have it: the one that evaluated last knows.
  std::sort(all.begin(), all.end(), [](const GroupStatus& a, const GroupStatus& b) {
    return std::tie(a.name_space, a.name, b.last_evaluation_ns) < std::tie(b.name_space, b.name, a.last_evaluation_ns);
  });
  all.erase(std::unique(all.begin(), all.end(), [](const GroupStatus& a, const GroupStatus& b) { return a.name_space == b.name_space && a.name == b.name; }), all.end());
  return all;
}

std::vector<GroupStatus> Peers::inherit(const std::string& tenant) const {
  CallContext ctx;
  ctx.tenant = tenant;
  ctx.deadline_monotonic_ns = system_clock().monotonic_ns() + kInheritNs;
  std::map<std::pair<std::string, std::string>, GroupStatus> newest;
  for (Result<std::vector<GroupStatus>>& states : ask(others(true), ctx, true)) {
    if (!states.ok()) {
      log::debug("alerts of another ruler's groups not taken over", {{"user", tenant}, {"err", states.error().message()}});
      continue;
    }
    for (GroupStatus& group : *states) {
      GroupStatus& known = newest[{group.name_space, group.name}];
      if (group.last_evaluation_ns > known.last_evaluation_ns) known = std::move(group);
    }
  }
  std::vector<GroupStatus> out;
  for (auto& [name, group] : newest)
    if (group.last_evaluation_ns != 0) out.push_back(std::move(group));
  return out;
}

void Peers::changed(const std::string& tenant) {
  local_->changed(tenant);
  for (const Peer& peer : others(false)) {
    CallContext ctx;
    ctx.tenant = tenant;
    ctx.deadline_monotonic_ns = system_clock().monotonic_ns() + options_.timeout_ns;
    http::ClientRequest request{.method = "POST", .url = peer.url + rpc::kPathPrefix + "ruler/changed", .headers = {{"X-Scope-OrgID", tenant}}};
    client_.call_then(std::move(request), std::make_shared<const Bytes>(), ctx, [id = peer.id](const Result<http::ClientResponse>& told) {
      if (!told.ok() || told->status != 200)
        log::debug("a ruler was not told of changed rules, it finds out at its next poll", {{"instance", id}, {"err", told.ok() ? std::to_string(told->status) : told.error().message()}});
    });
  }
}

void Peers::add_routes(http::Server& server) {
  const auto add = [&](const char* method, auto handle) {
    http::Route route;
    route.methods = {"POST"};
    route.pattern = std::string(rpc::kPathPrefix) + method;
    route.name = "skald_rpc_v1_" + std::string(method);
    std::replace(route.name.begin(), route.name.end(), '/', '_');
    route.handler = [handle](std::shared_ptr<http::Request> request, http::Responder respond) { respond(rpc::answer(handle(*request))); };
    server.add(std::move(route));
  };
  add("ruler/states", [this](const http::Request& request) -> Result<Bytes> {
    const CallContext ctx = rpc::context_of(request, system_clock());
    SKALD_TRY(std::vector<GroupStatus> groups, local_->status(ctx));
    if (request.header(kFormerHeader) != nullptr) {
      std::vector<GroupStatus> former = local_->former(ctx.tenant);
      std::move(former.begin(), former.end(), std::back_inserter(groups));
    }
    return encode_states(groups);
  });
  add("ruler/changed", [this](const http::Request& request) -> Result<Bytes> {
    local_->changed(rpc::context_of(request, system_clock()).tenant);
    return Bytes();
  });
}

}  // namespace skald::ruler
