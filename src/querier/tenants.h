// Reads over several tenants: the tenant of a call is then "a|b" (ids cannot contain a bar), and every stream carries the
// label __tenant_id__. Selectors on that label choose tenants; a stream's own label of the name is original___tenant_id__.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "skald/base/context.h"
#include "skald/engine/source.h"
#include "skald/model/labels.h"
#include "skald/model/matcher.h"
#include "skald/rpc/ingester_client.h"

namespace skald::querier {

inline constexpr std::string_view kTenantLabel = "__tenant_id__";
inline constexpr std::string_view kOriginalTenantLabel = "original___tenant_id__";

bool is_several(std::string_view tenant);
std::vector<std::string> split_tenants(std::string_view tenant);

// What one of the tenants is asked.
struct TenantCall {
  CallContext ctx;
  rpc::SelectRequest request;
};
// The tenants that the matchers on kTenantLabel let through, asked with the other matchers.
std::vector<TenantCall> calls_of(const CallContext& ctx, const rpc::SelectRequest& request);

model::LabelsPtr with_tenant(const model::LabelsPtr& labels, const std::string& tenant);
// Each tenant's deletions, restricted to its own streams.
engine::Deletions with_tenant(const engine::Deletions& deletions, const std::string& tenant);

}  // namespace skald::querier
