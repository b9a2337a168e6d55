// Index objects in the bucket → what queries look at. The only place that lists.
#include <algorithm>
#include <set>

#include "skald/obs/log.h"
#include "store/store_state.h"

namespace skald::store {
namespace {

Result<std::vector<std::string>> list_tenants(objstore::ObjectStore& objects, const CallContext& ctx) {
  SKALD_TRY(std::vector<std::string> tenants, objstore::list_folders(objects, "", ctx));
  for (std::string& tenant : tenants) tenant.pop_back();   // the '/'
  return tenants;
}

Result<std::vector<IndexObjectPtr>> list_indexes(objstore::ObjectStore& objects, const CallContext& ctx, const std::string& tenant,
                                                 std::optional<std::int64_t> only_day) {
  std::string prefix = tenant + "/index/";
  if (only_day.has_value()) prefix += "index_" + std::to_string(*only_day) + "/";
  SKALD_TRY(std::vector<objstore::ObjectInfo> found, objstore::list_objects(objects, prefix, ctx));
  std::vector<IndexObjectPtr> listed;
  for (objstore::ObjectInfo& object : found) {
    const std::optional<index::DayIndexKey> name = index::parse_day_index_key(object.key);
    if (name.has_value() && name->tenant == tenant) listed.push_back(std::make_shared<IndexObject>(std::move(object.key), name->id, name->day));
  }
  return listed;
}

std::vector<IndexObjectPtr> objects_in(const TenantView& view, std::int64_t first_day, std::int64_t last_day) {
  std::vector<IndexObjectPtr> found;
  for (auto day = view.days->lower_bound(first_day); day != view.days->end() && day->first <= last_day; ++day)
    found.insert(found.end(), day->second.begin(), day->second.end());
  return found;
}

// Ids that objects among `objects` replace, as far as they have been opened; sorted.
std::vector<Ulid> replaced_by(const std::vector<IndexObjectPtr>& objects) {
  std::vector<Ulid> replaced;
  for (const IndexObjectPtr& object : objects)
    if (const auto inputs = object->inputs(); inputs != nullptr) replaced.insert(replaced.end(), inputs->begin(), inputs->end());
  std::sort(replaced.begin(), replaced.end());
  return replaced;
}

bool is_among(const std::vector<Ulid>& sorted, const Ulid& id) { return std::binary_search(sorted.begin(), sorted.end(), id); }

}  // namespace

Result<void> Store::State::list_tenant(const CallContext& ctx, const std::string& tenant, std::optional<std::int64_t> only_day) {
  const std::shared_ptr<TenantIndex> known = find(tenant);
  const std::uint64_t listing_began = known == nullptr ? 0 : known->ship_sequence();
  const std::int64_t began_ns = ctx.clock->monotonic_ns();
  auto listed = list_indexes(objects, ctx, tenant, only_day);
  if (!listed.ok()) return listed.error().with_prefix("tenant " + tenant + ": list index");
  if (listed->empty() && known == nullptr) return {};   // chunks without an index yet, or something else altogether
  find_or_add(tenant)->replace_listed(*listed, listing_began, only_day, began_ns);
  return {};
}

Result<void> Store::State::list_again(const CallContext& ctx, const TenantView& seen, std::optional<std::int64_t> only_day) {
  const std::lock_guard refreshing(refresh_mutex);
  const std::shared_ptr<TenantIndex> tenant = find(ctx.tenant);
  if (tenant == nullptr || tenant->view().listing != seen.listing) return {};   // somebody else did meanwhile
  auto done = list_tenant(ctx, ctx.tenant, only_day);
  syncs.with({"store", done.ok() ? "success" : "failure", "query"}).add();
  return done;
}

Result<void> Store::State::list_if_old(const CallContext& ctx) {
  if (listing_age_max_ns <= 0) return {};
  const auto is_young = [&] {
    const std::shared_ptr<TenantIndex> tenant = find(ctx.tenant);
    // What a listing of all tenants did not find was not there then.
    const std::int64_t listed_ns = tenant == nullptr ? tenants_listed_ns.load() : tenant->listed_ns();
    return listed_ns != INT64_MIN && ctx.clock->monotonic_ns() - listed_ns <= listing_age_max_ns;
  };
  if (is_young()) return {};
  const std::lock_guard refreshing(refresh_mutex);
  if (is_young()) return {};
  auto done = list_tenant(ctx, ctx.tenant, std::nullopt);
  syncs.with({"store", done.ok() ? "success" : "failure", "query"}).add();
  if (done.ok() || done.error().code() == ErrorCode::kCancelled || done.error().code() == ErrorCode::kDeadlineExceeded) return done;
  return Error(ErrorCode::kUnavailable, "the bucket's index has not been listed for too long: " + done.error().message());
}

Result<void> Store::State::list_now(const CallContext& ctx) {
  const std::shared_ptr<TenantIndex> known = find(ctx.tenant);
  if (known != nullptr) return list_again(ctx, known->view(), std::nullopt);
  const std::lock_guard refreshing(refresh_mutex);
  return list_tenant(ctx, ctx.tenant, std::nullopt);
}

Result<QuerySources> Store::State::sources(const CallContext& ctx, const TenantIndex& tenant, const index::TimeRange& range, Objects which) {
  const std::int64_t first_day = index::day_of(range.start_ns), last_day = index::day_of(range.end_ns);
  for (bool listed_again = false;; listed_again = true) {
    QuerySources out{.view = tenant.view(), .readers = {}, .all = {}, .retired = {}};
    const std::vector<IndexObjectPtr> all = objects_in(out.view, first_day, last_day);
    const std::vector<Ulid> known_replaced = replaced_by(all);
    std::vector<IndexObjectPtr> wanted;
    for (const IndexObjectPtr& object : all) {
      if (which == Objects::kMerged && !index::merged_generation(object->day(), object->id()).has_value()) continue;
      if (!is_among(known_replaced, object->id())) wanted.push_back(object);
    }
    std::vector<std::optional<Result<IndexReaderPtr>>> opened(wanted.size());
    const auto open_one = [&](std::size_t i) { opened[i] = index_objects.open(ctx, wanted[i]); };
    std::vector<std::size_t> absent;   // from memory
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (index_objects.find(*wanted[i]) != nullptr) open_one(i);
      else absent.push_back(i);
    }
    if (absent.size() == 1) open_one(absent.front());
    else pool.parallel_for(absent.size(), [&](std::size_t i) { open_one(absent[i]); });

    // Opening told more of what is replaced: an error of such an object is nobody's business.
    const std::vector<Ulid> replaced = replaced_by(all);
    std::optional<std::int64_t> vanished_day;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (is_among(replaced, wanted[i]->id())) continue;
      if (opened[i]->ok()) {
        out.readers.push_back(**opened[i]);
        out.all.push_back({.index = out.readers.back().get(), .whole_days = true});
        for (const index::RetiredObject& object : out.readers.back()->upkeep().retired_objects) out.retired.push_back(object.id);
        continue;
      }
      const Error& error = opened[i]->error();
      if (error.code() != ErrorCode::kNotFound) return error;
      if (listed_again) return Error(ErrorCode::kCorruption, error.message());
      vanished_day = wanted[i]->day();
    }
    if (vanished_day.has_value()) {
      // A compactor replaced it since we listed, and by what only a listing tells. Usually one day; else all of them.
      const bool several = std::any_of(wanted.begin(), wanted.end(), [&](const IndexObjectPtr& object) { return object->day() != *vanished_day; });
      SKALD_TRY_VOID(list_again(ctx, out.view, several ? std::nullopt : vanished_day));
      continue;
    }
    std::sort(out.retired.begin(), out.retired.end());
    for (const auto& pending : out.view.pending)
      if (pending->chunk_count() != 0) out.all.push_back({.index = pending.get(), .whole_days = false});
    return out;
  }
}

Result<void> Store::State::open_ahead(const CallContext& ctx, const std::string& tenant) {
  const std::shared_ptr<TenantIndex> known = find(tenant);
  if (known == nullptr || query_ready_days <= 0) return {};
  const std::int64_t today = index::day_of(ctx.clock->now_ns());
  const TenantView view = known->view();
  const std::vector<IndexObjectPtr> wanted = objects_in(view, today - std::min(query_ready_days, today), today);
  std::vector<Result<void>> results(wanted.size());
  pool.parallel_for(wanted.size(), [&](std::size_t i) {
    auto opened = index_objects.open(ctx, wanted[i]);
    // Gone since the listing: whoever needs the day will list again.
    if (!opened.ok() && opened.error().code() != ErrorCode::kNotFound) results[i] = opened.error();
  });
  const std::vector<Ulid> replaced = replaced_by(wanted);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (results[i].ok() || is_among(replaced, wanted[i]->id())) continue;
    log::error("index object not opened", {{"tenant", tenant}, {"key", wanted[i]->key()}, {"err", results[i].error().message()}});
    return results[i];
  }
  return {};
}

Result<void> Store::refresh(const CallContext& ctx) {
  const std::lock_guard refreshing(state_->refresh_mutex);
  const std::int64_t began_ns = ctx.clock->monotonic_ns();
  const auto report = [&](Result<void> result) {
    state_->syncs.with({"store", result.ok() ? "success" : "failure", "periodic"}).add();
    return result;
  };
  auto tenants = list_tenants(state_->objects, ctx);
  if (!tenants.ok()) return report(tenants.error());
  state_->tenants_listed_ns = began_ns;
  std::set<std::string> names(tenants->begin(), tenants->end());
  if (state_->recent_keep_ns > 0) {
    const std::lock_guard lock(state_->adopt_mutex);
    if (!std::exchange(state_->adoption_began, true)) state_->not_adopted = names;
  }
  // A tenant whose last object is gone is listed no more, but must be emptied.
  for (const auto& [tenant, tenant_index] : state_->all()) {
    tenant_index->drop_expired(began_ns);
    names.insert(tenant);
  }

  std::optional<Error> first_error;
  for (const std::string& tenant : names) {
    CallContext tenant_ctx = ctx;
    tenant_ctx.tenant = tenant;
    Result<void> done = state_->list_tenant(tenant_ctx, tenant, std::nullopt);
    if (!done.ok()) state_->find_or_add(tenant);   // known, but not listed
    if (done.ok()) done = state_->adopt_recent(tenant_ctx, tenant);
    if (done.ok()) done = state_->open_ahead(tenant_ctx, tenant);
    if (auto stopped = ctx.check(); !stopped.ok()) return report(std::move(stopped));
    if (!done.ok() && !first_error.has_value()) first_error = std::move(done).error();
  }
  state_->index_objects.prune();
  if (first_error.has_value()) return report(*first_error);
  return report({});
}

}  // namespace skald::store
