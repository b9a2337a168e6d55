// Whose request it is: X-Scope-OrgID with authentication on, else "fake".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"
#include "skald/http/message.h"

namespace skald::api {

inline constexpr std::string_view kTenantHeader = "X-Scope-OrgID";
inline constexpr std::string_view kDefaultTenant = "fake";

// One tenant. kUnauthenticated "no org id"; kInvalidArgument for a bad id, and "multiple org IDs present" for `a|b`.
Result<std::string> resolve_tenant(const http::Request& request, bool auth_enabled);

// For multi-tenant reads: the ids of `a|b`, sorted, each once. Several ids without `multi_tenant`: as resolve_tenant.
Result<std::vector<std::string>> resolve_tenants(const http::Request& request, bool auth_enabled, bool multi_tenant);

// kInvalidArgument with Loki's text: bad characters, "." and "..", above 150 bytes.
Result<void> check_tenant_id(std::string_view id);

}  // namespace skald::api
