// Whose request it is: X-Scope-OrgID with authentication on, else the tenant of no_auth_tenant ("fake").
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"
#include "skald/http/message.h"

namespace skald::api {

inline constexpr std::string_view kTenantHeader = "X-Scope-OrgID";
inline constexpr std::string_view kDefaultTenant = "fake";

// How a request names its tenant.
struct TenantPolicy {
  bool auth_enabled = true;                                  // false: the header is not looked at
  std::string no_auth_tenant = std::string(kDefaultTenant);  // whose everything then is

  TenantPolicy() = default;
  TenantPolicy(bool enabled) : auth_enabled(enabled) {}      // implicit: most callers know no more
  TenantPolicy(bool enabled, std::string tenant) : auth_enabled(enabled), no_auth_tenant(std::move(tenant)) {}
};

// One tenant. kUnauthenticated "no org id"; kInvalidArgument for a bad id, and "multiple org IDs present" for `a|b`.
Result<std::string> resolve_tenant(const http::Request& request, const TenantPolicy& policy);

// For multi-tenant reads: the ids of `a|b`, sorted, each once. Several ids without `multi_tenant`: as resolve_tenant.
Result<std::vector<std::string>> resolve_tenants(const http::Request& request, const TenantPolicy& policy, bool multi_tenant);

// kInvalidArgument with Loki's text: bad characters, "." and "..", above 150 bytes.
Result<void> check_tenant_id(std::string_view id);

}  // namespace skald::api
