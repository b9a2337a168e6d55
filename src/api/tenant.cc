#include "skald/api/tenant.h"

#include <algorithm>

namespace skald::api {
namespace {

constexpr std::size_t kTenantIdBytesMax = 150;

bool is_allowed(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!-_.*'()").find(c) != std::string_view::npos;
}

}  // namespace

Result<void> check_tenant_id(std::string_view id) {
  for (std::size_t i = 0; i < id.size(); ++i) {
    if (is_allowed(id[i])) continue;
    std::size_t length = 1;  // show the whole character, not its first byte
    while (i + length < id.size() && (static_cast<unsigned char>(id[i + length]) & 0xC0) == 0x80) ++length;
    return Error(ErrorCode::kInvalidArgument, "tenant ID '" + std::string(id) + "' contains unsupported character '" +
                                                  std::string(id.substr(i, length)) + "'");
  }
  if (id == "." || id == "..") return Error(ErrorCode::kInvalidArgument, "tenant ID is '.' or '..'");
  if (id.size() > kTenantIdBytesMax)
    return Error(ErrorCode::kInvalidArgument, "tenant ID is too long: max 150 characters");
  return {};
}

Result<std::vector<std::string>> resolve_tenants(const http::Request& request, const TenantPolicy& policy, bool multi_tenant) {
  if (!policy.auth_enabled) return std::vector<std::string>{policy.no_auth_tenant};
  const std::string* const header = request.header(kTenantHeader);
  if (header == nullptr || header->empty()) return Error(ErrorCode::kUnauthenticated, "no org id");
  std::vector<std::string> ids;
  for (std::size_t at = 0; at <= header->size();) {
    const std::size_t bar = std::min(header->find('|', at), header->size());
    std::string id = header->substr(at, bar - at);
    SKALD_TRY_VOID(check_tenant_id(id));
    ids.push_back(std::move(id));
    at = bar + 1;
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  if (ids.size() > 1) {
    std::erase(ids, std::string());
    if (!multi_tenant || ids.empty()) return Error(ErrorCode::kInvalidArgument, "multiple org IDs present");
  }
  if (ids[0].empty()) return Error(ErrorCode::kUnauthenticated, "no org id");
  return ids;
}

Result<std::string> resolve_tenant(const http::Request& request, const TenantPolicy& policy) {
  SKALD_TRY(std::vector<std::string> ids, resolve_tenants(request, policy, false));
  return std::move(ids[0]);
}

}  // namespace skald::api
