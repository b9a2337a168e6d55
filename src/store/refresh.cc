// Index objects in the bucket → opened readers. The only place that lists.
#include <algorithm>
#include <set>

#include "skald/obs/log.h"
#include "store/store_state.h"

namespace skald::store {
namespace {

struct Listed {
  index::DayIndexKey name;
  std::string key;
};

Result<std::vector<std::string>> list_tenants(objstore::ObjectStore& objects, const CallContext& ctx) {
  SKALD_TRY(std::vector<std::string> tenants, objstore::list_folders(objects, "", ctx));
  for (std::string& tenant : tenants) tenant.pop_back();   // the '/'
  return tenants;
}

Result<std::vector<Listed>> list_indexes(objstore::ObjectStore& objects, const CallContext& ctx, const std::string& tenant) {
  SKALD_TRY(std::vector<objstore::ObjectInfo> found, objstore::list_objects(objects, tenant + "/index/", ctx));
  std::vector<Listed> listed;
  for (objstore::ObjectInfo& object : found) {
    std::optional<index::DayIndexKey> name = index::parse_day_index_key(object.key);
    if (name.has_value() && name->tenant == tenant) listed.push_back({.name = std::move(*name), .key = std::move(object.key)});
  }
  return listed;
}

Result<std::shared_ptr<const index::DayIndexReader>> open_index(objstore::ObjectStore& objects, const CallContext& ctx, const Listed& listed) {
  auto bytes = objects.get(listed.key, {}, ctx);
  if (!bytes.ok()) return bytes.error().with_prefix("index object " + listed.key);
  auto reader = index::DayIndexReader::open(std::make_shared<const Bytes>(std::move(*bytes)));
  if (!reader.ok()) return reader.error().with_prefix("index object " + listed.key);
  const index::DayIndexHeader& header = (*reader)->header();
  if (header.id != listed.name.id || header.day != listed.name.day) {
    return Error(ErrorCode::kCorruption, "index object " + listed.key + ": its header names day " + std::to_string(header.day) + " and object " +
                                             header.id.to_string());
  }
  return reader;
}

// Removed between listing and reading: a compactor replaced it, and the next listing knows by what.
bool is_gone(objstore::ObjectStore& objects, const CallContext& ctx, const std::string& key) {
  const auto found = objstore::list_objects(objects, key, ctx);
  return found.ok() && std::none_of(found->begin(), found->end(), [&](const auto& object) { return object.key == key; });
}

std::shared_ptr<const index::DayIndexReader> find_open(const DayObjects& days, const index::DayIndexKey& name) {
  const auto day = days.find(name.day);
  if (day == days.end()) return nullptr;
  const auto found = std::find_if(day->second.begin(), day->second.end(), [&](const DayObject& object) { return object.id == name.id; });
  return found == day->second.end() ? nullptr : found->reader;
}

}  // namespace

Result<void> Store::refresh(const CallContext& ctx) {
  const std::lock_guard refreshing(state_->refresh_mutex);
  const auto report = [&](Result<void> result) {
    state_->syncs.with({"store", result.ok() ? "success" : "failure", "periodic"}).add();
    return result;
  };
  auto tenants = list_tenants(state_->objects, ctx);
  if (!tenants.ok()) return report(tenants.error());
  // A tenant whose last object is gone is listed no more, but must be emptied.
  std::set<std::string> names(tenants->begin(), tenants->end());
  for (const auto& [tenant, tenant_index] : state_->all()) names.insert(tenant);

  std::unique_ptr<Error> first_error;
  for (const std::string& tenant : names) {
    CallContext tenant_ctx = ctx;
    tenant_ctx.tenant = tenant;
    const std::shared_ptr<TenantIndex> known = state_->find(tenant);
    const std::uint64_t listing_began = known == nullptr ? 0 : known->ship_sequence();
    auto listed = list_indexes(state_->objects, tenant_ctx, tenant);
    if (!listed.ok()) {
      if (first_error == nullptr) first_error = std::make_unique<Error>(listed.error().with_prefix("tenant " + tenant + ": list index"));
      continue;
    }
    if (listed->empty() && known == nullptr) continue;   // chunks without an index yet, or something else altogether
    const std::shared_ptr<TenantIndex> tenant_index = state_->find_or_add(tenant);
    const TenantView view = tenant_index->view();
    std::vector<DayObject> opened(listed->size());
    std::vector<char> gone(listed->size(), 0);
    state_->pool.parallel_for(listed->size(), [&](std::size_t i) {
      const Listed& one = (*listed)[i];
      opened[i] = {.key = one.key, .id = one.name.id, .reader = find_open(*view.days, one.name), .failure = nullptr};
      if (opened[i].reader != nullptr) return;
      auto reader = open_index(state_->objects, tenant_ctx, one);
      if (reader.ok()) {
        opened[i].reader = std::move(*reader);
      } else if (reader.error().code() == ErrorCode::kNotFound && is_gone(state_->objects, tenant_ctx, one.key)) {
        gone[i] = 1;
      } else {
        const ErrorCode code = reader.error().code() == ErrorCode::kNotFound ? ErrorCode::kCorruption : reader.error().code();
        opened[i].failure = std::make_shared<const Error>(code, reader.error().message());
      }
    });
    // A refresh that was told to stop has learnt nothing about what it did not read.
    if (auto stopped = ctx.check(); !stopped.ok()) return report(std::move(stopped));
    DayObjects days;
    for (std::size_t i = 0; i < opened.size(); ++i) {
      if (gone[i] != 0) continue;
      if (opened[i].failure != nullptr) {
        log::error("index object not opened", {{"tenant", tenant}, {"key", opened[i].key}, {"err", opened[i].failure->message()}});
        if (first_error == nullptr) first_error = std::make_unique<Error>(*opened[i].failure);
      }
      days[(*listed)[i].name.day].push_back(std::move(opened[i]));   // listed in key order, so sorted by id within a day
    }
    tenant_index->replace_listed(std::move(days), listing_began);
  }
  if (first_error != nullptr) return report(*first_error);
  return report({});
}

}  // namespace skald::store
