#include "objstore/azure_request.h"

#include "objstore/azure_signing.h"
#include "objstore/azure_xml.h"
#include "objstore/oauth.h"

namespace skald::objstore {
namespace {

// From 2020-10-02 on, listings say which entries are directories (hierarchical namespace).
constexpr const char* kVersion = "2021-12-02";
constexpr std::int64_t kSkewWorthMentionS = 30;   // the service refuses above 15 minutes

std::string subject_of(const AzureAccount& account, const std::string& container) {
  return "azure container '" + container + "' of " + account.base_url;
}

}  // namespace

AzureContainer::AzureContainer(AzureAccount account, std::string container, std::unique_ptr<Remote> remote,
                               std::unique_ptr<CachedToken> token, const Clock& clock)
    : account_(std::move(account)),
      container_(std::move(container)),
      subject_(subject_of(account_, container_)),
      remote_(std::move(remote)),
      token_(std::move(token)),
      clock_(clock) {}

Result<http::ClientRequest> AzureContainer::build(const Call& call, const CallContext& ctx, std::string& used_token) const {
  http::ClientRequest request;
  request.method = call.method;
  request.url = account_.base_url + "/" + container_;
  if (!call.key.empty()) request.url += "/" + percent_encode(call.key, "/");
  if (!call.query.empty()) request.url += "?" + call.query;
  request.headers = call.headers;
  request.headers.push_back({"x-ms-date", http_date(clock_.now_ns())});
  request.headers.push_back({"x-ms-version", kVersion});
  if (!call.body.empty() || std::string_view(call.method) == "PUT") request.headers.push_back({"Content-Type", "application/octet-stream"});
  request.body = call.body;
  request.response_bytes_max = call.response_bytes_max;
  if (!account_.key.empty()) {
    SKALD_TRY_VOID(azure_sign(request, account_.name, account_.key));
  } else if (!account_.sas.empty()) {
    request.url += (call.query.empty() ? "?" : "&") + account_.sas;
  } else {
    SKALD_TRY(used_token, token_->get(ctx));
    request.headers.push_back({"Authorization", "Bearer " + used_token});
  }
  return request;
}

Result<http::ClientResponse> AzureContainer::send(const Call& call, const CallContext& ctx, int* tries) {
  const RemoteOperation operation{.name = call.operation, .hedge = call.hedge};
  for (bool again = false;; again = true) {
    std::string used_token;
    int sent = 0;
    auto response = remote_->run(operation, [&]() -> Result<http::ClientRequest> { return build(call, ctx, used_token); }, ctx, &sent);
    if (tries != nullptr) *tries += sent;
    if (!response.ok() || response->status != 401 || used_token.empty() || again) return response;
    token_->reject(used_token);
  }
}

std::string azure_error_code(const http::ClientResponse& response) {
  if (const std::string* code = response.header("x-ms-error-code"); code != nullptr && !code->empty()) return one_line(*code, 64);
  return one_line(parse_azure_error(response.body).code, 64);
}

std::string AzureContainer::credential() const {
  if (!account_.key.empty()) return "the account key of '" + account_.name + "' (shared key)";
  if (!account_.sas.empty()) return "the SharedAccessSignature of the connection string";
  return token_->what();
}

std::string AzureContainer::skew(const http::ClientResponse& response) const {
  const std::string* date = response.header("Date");
  const auto theirs_ns = date == nullptr ? std::nullopt : parse_http_date_ns(*date);
  if (!theirs_ns.has_value()) return "";
  const std::int64_t ahead_s = (*theirs_ns - clock_.now_ns()) / kNanosPerSecond;
  if (std::abs(ahead_s) < kSkewWorthMentionS) return "; clocks agree";
  return "; this machine's clock is " + std::to_string(std::abs(ahead_s)) + " s " + (ahead_s > 0 ? "behind" : "ahead of") +
         " the service's: synchronise it";
}

Error AzureContainer::failure(const Call& call, const http::ClientResponse& response) const {
  const std::string code = azure_error_code(response);
  const std::string* id = response.header("x-ms-request-id");
  std::string message = subject_ + ": " + call.operation;
  if (!call.key.empty()) message += " '" + std::string(call.key) + "'";
  message += ": " + std::to_string(response.status) + (code.empty() ? "" : " " + code);
  std::string reason = parse_azure_error(response.body).message;
  reason = one_line(std::string_view(reason).substr(0, reason.find("RequestId:")), 200);   // said below, from the header
  const std::string tail = (reason.empty() ? "" : " (" + reason + ")") + (id == nullptr ? "" : ", request " + one_line(*id, 64));
  if (response.status == 401 || response.status == 403) {
    std::string advice;
    if (code == "AuthenticationFailed" || reason.starts_with("Server failed to authenticate")) {   // Azurite's code is another
      advice = account_.key.empty() ? ": check that it is valid, unexpired and made for this account" : ": check account_name and account_key";
    } else if (code.starts_with("AuthorizationPermissionMismatch")) {
      advice = ": it needs the role 'Storage Blob Data Contributor' on the container";
    } else if (code == "AuthorizationFailure") {
      advice = ": the account's firewall or network rules may refuse this machine";
    } else if (code == "KeyBasedAuthenticationNotPermitted") {
      advice = ": the account allows no shared keys; use a managed or workload identity";
    }
    return Error(ErrorCode::kPermissionDenied, message + ": authorized with " + credential() + advice + skew(response) + tail);
  }
  if (code == "ContainerNotFound")
    return Error(ErrorCode::kInvalidArgument, message + ": the container does not exist; create it first (az storage container create --name " +
                                                  container_ + ")" + tail);
  if (code == "ContainerBeingDeleted") return Error(ErrorCode::kUnavailable, message + tail);
  if (response.status == 404 && !call.key.empty())
    return Error(ErrorCode::kNotFound, subject_ + ": object '" + std::string(call.key) + "' does not exist");
  if (response.status == 413) return Error(ErrorCode::kTooLarge, message + tail);
  if (code == "Md5Mismatch") return Error(ErrorCode::kUnavailable, message + ": the body was damaged on its way" + tail);
  return Error(ErrorCode::kInternal, message + tail);
}

}  // namespace skald::objstore
