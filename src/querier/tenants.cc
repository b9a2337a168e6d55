#include "querier/tenants.h"

#include <algorithm>

#include "skald/base/check.h"

namespace skald::querier {

namespace {

model::Matcher exactly(std::string_view name, const std::string& value) {
  Result<model::Matcher> matcher = model::Matcher::make(model::MatchType::kEqual, std::string(name), value);
  SKALD_CHECK(matcher.ok());   // only regexes can fail
  return std::move(matcher).value();
}

}  // namespace

bool is_several(std::string_view tenant) { return tenant.find('|') != std::string_view::npos; }

std::vector<std::string> split_tenants(std::string_view tenant) {
  std::vector<std::string> tenants;
  for (std::size_t at = 0; at <= tenant.size();) {
    const std::size_t bar = std::min(tenant.find('|', at), tenant.size());
    tenants.emplace_back(tenant.substr(at, bar - at));
    at = bar + 1;
  }
  return tenants;
}

std::vector<TenantCall> calls_of(const CallContext& ctx, const rpc::SelectRequest& request) {
  rpc::SelectRequest inner{{}, request.start_ns, request.end_ns};
  std::vector<model::Matcher> choosing;
  for (const model::Matcher& matcher : request.matchers) {
    if (matcher.name() == kTenantLabel) {
      choosing.push_back(matcher);
    } else if (matcher.name() == kOriginalTenantLabel) {
      Result<model::Matcher> renamed = model::Matcher::make(matcher.type(), std::string(kTenantLabel), matcher.value());
      SKALD_CHECK(renamed.ok());   // its regex compiled before
      inner.matchers.push_back(std::move(renamed).value());
    } else {
      inner.matchers.push_back(matcher);
    }
  }
  std::vector<TenantCall> calls;
  for (std::string& tenant : split_tenants(ctx.tenant)) {
    const bool chosen = std::all_of(choosing.begin(), choosing.end(), [&](const model::Matcher& matcher) { return matcher.matches(tenant); });
    if (!chosen) continue;
    calls.push_back({ctx, inner});
    calls.back().ctx.tenant = std::move(tenant);
  }
  return calls;
}

model::LabelsPtr with_tenant(const model::LabelsPtr& labels, const std::string& tenant) {
  std::vector<model::Label> pairs;
  pairs.reserve(labels->labels.size() + 1);
  for (const model::Label& label : labels->labels.pairs())
    pairs.push_back({label.name == kTenantLabel ? std::string(kOriginalTenantLabel) : label.name, label.value});
  pairs.push_back({std::string(kTenantLabel), tenant});
  return model::intern(model::Labels::from_pairs(std::move(pairs)));
}

engine::Deletions with_tenant(const engine::Deletions& deletions, const std::string& tenant) {
  if (!deletions) return nullptr;
  auto out = std::make_shared<std::vector<engine::Deletion>>(*deletions);
  for (engine::Deletion& deletion : *out) deletion.selector.matchers.push_back(exactly(kTenantLabel, tenant));
  return out;
}

}  // namespace skald::querier
