#include "compactor/lease.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "skald/obs/log.h"

namespace skald::compactor {
namespace {

constexpr std::size_t kEpochDigits = 20;

struct Found {
  std::uint64_t epoch = 0;   // the newest; 0: none
  std::vector<std::string> older;
};

Result<Found> look(objstore::ObjectStore& objects, const CallContext& ctx, const std::string& folder) {
  SKALD_TRY(const std::vector<objstore::ObjectInfo> listed, objstore::list_objects(objects, folder, ctx));
  Found found;
  std::string newest;
  for (const objstore::ObjectInfo& object : listed) {
    const std::string_view name = std::string_view(object.key).substr(folder.size());
    std::uint64_t epoch = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), epoch);
    if (name.size() != kEpochDigits || error != std::errc() || end != name.data() + name.size() || epoch == 0) continue;
    if (!newest.empty()) found.older.push_back(newest);   // listed in order
    newest = object.key;
    found.epoch = epoch;
  }
  return found;
}

}  // namespace

std::string Leases::key_of(const std::string& tenant, std::uint64_t epoch) const { return fmt::format("{}/compactor/{:020}", tenant, epoch); }
Bytes Leases::content_of(const Held& held) const { return fmt::format("skald-lease-1 {} {}\n", holder_, held.renewals); }

Result<bool> Leases::take(const CallContext& ctx, const std::string& tenant, std::uint64_t epoch) {
  const Held held{.epoch = epoch, .renewals = 0, .renewed_ns = ctx.clock->monotonic_ns()};
  const Result<void> created = objects_.create(key_of(tenant, epoch), content_of(held), ctx);
  if (!created.ok() && created.error().code() == ErrorCode::kAlreadyExists) return false;
  // Without conditional creation the last of several wins; they will see it when they renew.
  if (!created.ok() && created.error().code() == ErrorCode::kUnimplemented) SKALD_TRY_VOID(objects_.put(key_of(tenant, epoch), content_of(held), ctx));
  else if (!created.ok()) return created.error();
  held_[tenant] = held;
  seen_.erase(tenant);
  return true;
}

Result<bool> Leases::renew(const CallContext& ctx, const std::string& tenant, Held& held) {
  SKALD_TRY(const Found found, look(objects_, ctx, tenant + "/compactor/"));
  const auto lost = [&] {
    log::warn("compaction lease lost", {{"tenant", tenant}, {"epoch", held.epoch}, {"newest", found.epoch}});
    held_.erase(tenant);
    return false;
  };
  if (found.epoch != held.epoch) return lost();
  const Result<Bytes> content = objects_.get(key_of(tenant, held.epoch), {}, ctx);
  if (!content.ok() && content.error().code() != ErrorCode::kNotFound) return content.error();
  if (!content.ok() || *content != content_of(held)) return lost();
  ++held.renewals;
  held.renewed_ns = ctx.clock->monotonic_ns();
  if (Result<void> put = objects_.put(key_of(tenant, held.epoch), content_of(held), ctx); !put.ok()) {
    held_.erase(tenant);   // what is stored now is not known
    return put.error();
  }
  for (const std::string& key : found.older) SKALD_TRY_VOID(objects_.remove(key, ctx));
  return true;
}

Result<bool> Leases::hold(const CallContext& ctx, const std::string& tenant) {
  if (lease_ns_ <= 0) return true;
  const std::lock_guard lock(mutex_);
  if (const auto held = held_.find(tenant); held != held_.end()) return renew(ctx, tenant, held->second);
  SKALD_TRY(const Found found, look(objects_, ctx, tenant + "/compactor/"));
  if (found.epoch == 0) return take(ctx, tenant, 1);
  Result<Bytes> content = objects_.get(key_of(tenant, found.epoch), {}, ctx);
  if (!content.ok() && content.error().code() == ErrorCode::kNotFound) return false;   // just given back; next time
  if (!content.ok()) return content.error();
  const std::int64_t now_ns = ctx.clock->monotonic_ns();
  Seen& seen = seen_[tenant];
  if (seen.epoch != found.epoch || seen.content != *content) {
    seen = {.epoch = found.epoch, .content = std::move(*content), .since_ns = now_ns};
    return false;
  }
  if (now_ns - seen.since_ns < lease_ns_) return false;
  log::warn("compaction lease taken over from one who is silent", {{"tenant", tenant}, {"epoch", found.epoch + 1}, {"held_by", std::string_view(seen.content).substr(0, 120)}});
  SKALD_TRY(const bool taken, take(ctx, tenant, found.epoch + 1));
  if (taken) SKALD_TRY_VOID(objects_.remove(key_of(tenant, found.epoch), ctx));
  return taken;
}

Result<bool> Leases::keep(const CallContext& ctx, const std::string& tenant) {
  if (lease_ns_ <= 0) return true;
  const std::lock_guard lock(mutex_);
  const auto held = held_.find(tenant);
  if (held == held_.end()) return false;
  if (ctx.clock->monotonic_ns() - held->second.renewed_ns < lease_ns_ / 3) return true;
  return renew(ctx, tenant, held->second);
}

void Leases::release_all(const CallContext& ctx) {
  const std::lock_guard lock(mutex_);
  for (const auto& [tenant, held] : held_) {
    const Result<Bytes> content = objects_.get(key_of(tenant, held.epoch), {}, ctx);
    if (content.ok() && *content == content_of(held)) (void)objects_.remove(key_of(tenant, held.epoch), ctx);
  }
  held_.clear();
}

}  // namespace skald::compactor
