#include "objstore/azure_identity.h"

namespace skald::objstore {
namespace {

constexpr const char* kResource = "https://storage.azure.com/";          // the same in all clouds
constexpr const char* kScope = "https://storage.azure.com/.default";
constexpr const char* kMetadataHost = "http://169.254.169.254";
constexpr const char* kAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

Error missing(const std::string& what) { return Error(ErrorCode::kInvalidArgument, "azure: " + what); }

std::string first_of(std::string a, std::string b, std::string c = "") { return !a.empty() ? a : !b.empty() ? b : c; }

std::string trimmed(std::string text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  text.erase(0, std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

struct Application {
  std::string authority_host, tenant_id, client_id;
  std::string token_url() const {
    std::string host = authority_host;
    while (host.ends_with('/')) host.pop_back();
    return host + "/" + percent_encode(tenant_id) + "/oauth2/v2.0/token";
  }
};

Result<void> check(const Application& app, const std::string& kind) {
  if (app.tenant_id.empty()) return missing(kind + " needs tenant_id (or AZURE_TENANT_ID)");
  if (app.client_id.empty()) return missing(kind + " needs client_id (or AZURE_CLIENT_ID)");
  return {};
}

std::unique_ptr<CachedToken> with_secret(Application app, std::string secret, Remote& remote, const Clock& clock) {
  const std::string what = "azure service principal " + app.client_id + " at " + app.authority_host;
  return std::make_unique<CachedToken>(
      what,
      [=, &remote, &clock](const CallContext& ctx) -> Result<Token> {
        const std::string form = form_encode(
            {{"grant_type", "client_credentials"}, {"client_id", app.client_id}, {"client_secret", secret}, {"scope", kScope}});
        SKALD_TRY(const http::ClientResponse response, ask(remote, form_request(app.token_url(), form), ctx));
        return read_token(response, what, clock.now_ns());
      },
      clock);
}

// The platform renews the file, so each fetch reads it anew.
std::unique_ptr<CachedToken> with_workload_identity(Application app, std::string file, Environment environment, Remote& remote,
                                                    const Clock& clock) {
  const std::string what = "azure workload identity " + app.client_id + " at " + app.authority_host;
  return std::make_unique<CachedToken>(
      what,
      [=, &remote, &clock](const CallContext& ctx) -> Result<Token> {
        auto assertion = environment.read_file(file);
        if (!assertion.ok()) return Error(ErrorCode::kPermissionDenied, what + ": federated token file: " + assertion.error().message());
        const std::string text = trimmed(std::move(assertion).value());
        if (text.empty()) return Error(ErrorCode::kPermissionDenied, what + ": federated token file " + file + " is empty");
        const std::string form = form_encode({{"grant_type", "client_credentials"},
                                              {"client_id", app.client_id},
                                              {"client_assertion_type", kAssertionType},
                                              {"client_assertion", text},
                                              {"scope", kScope}});
        SKALD_TRY(const http::ClientResponse response, ask(remote, form_request(app.token_url(), form), ctx));
        return read_token(response, what, clock.now_ns());
      },
      clock);
}

std::unique_ptr<CachedToken> with_managed_identity(const std::string& identity, const Environment& environment, Remote& remote, const Clock& clock) {
  // A user-assigned identity by client id, or by resource id.
  const bool by_resource = identity.starts_with("/");
  http::ClientRequest request;
  std::string what = "azure managed identity" + (identity.empty() ? std::string() : " " + identity);
  const std::string endpoint = environment.variable("IDENTITY_ENDPOINT");
  const std::string secret = environment.variable("IDENTITY_HEADER");
  if (!endpoint.empty() && !secret.empty()) {   // App Service, Container Apps, Functions
    request.url = endpoint + (endpoint.find('?') == std::string::npos ? "?" : "&") +
                  form_encode({{"api-version", "2019-08-01"},
                               {"resource", kResource},
                               {"client_id", by_resource ? "" : identity},
                               {"mi_res_id", by_resource ? identity : ""}});
    request.headers = {{"X-IDENTITY-HEADER", secret}};
    what += " (IDENTITY_ENDPOINT)";
  } else {
    std::string host = first_of(environment.variable("AZURE_POD_IDENTITY_AUTHORITY_HOST"), kMetadataHost);
    while (host.ends_with('/')) host.pop_back();
    request.url = host + "/metadata/identity/oauth2/token?" +
                  form_encode({{"api-version", "2018-02-01"},
                               {"resource", kResource},
                               {"client_id", by_resource ? "" : identity},
                               {"msi_res_id", by_resource ? identity : ""}});
    request.headers = {{"Metadata", "true"}};
    what += " (metadata service " + origin_of(host) + ")";
  }
  return std::make_unique<CachedToken>(
      what,
      [=, &remote, &clock](const CallContext& ctx) -> Result<Token> {
        // While an identity is being attached to the machine, and while the service is updated (up to 70 s).
        const auto judge = [](const http::ClientResponse& answer) { return answer.status == 404 || answer.status == 410 ? Verdict::kRetry : Verdict::kDone; };
        auto response = ask(remote, request, ctx, judge);
        if (!response.ok()) {
          if (response.error().code() != ErrorCode::kUnavailable) return response.error();
          return Error(ErrorCode::kUnavailable, what + ": " + response.error().message() +
                                                    "; outside Azure give account_key, connection_string or a service principal");
        }
        return read_token(*response, what, clock.now_ns());
      },
      clock);
}

}  // namespace

Result<std::unique_ptr<CachedToken>> make_azure_token(const config::AzureConfig& config, const std::string& authority_host,
                                                      Environment environment, const TokenRemotes& remotes, const Clock& clock) {
  const auto variable = [&](const char* name) { return environment.variable(name); };
  const std::string token_file = variable("AZURE_FEDERATED_TOKEN_FILE");
  Application app{.authority_host = first_of(variable("AZURE_AUTHORITY_HOST"), authority_host),
                  .tenant_id = first_of(config.tenant_id, variable("AZURE_TENANT_ID")),
                  .client_id = first_of(config.client_id, variable("AZURE_CLIENT_ID"))};
  if (config.use_service_principal) {
    SKALD_TRY_VOID(check(app, "use_service_principal"));
    const std::string secret = first_of(config.client_secret, variable("AZURE_CLIENT_SECRET"));
    if (secret.empty()) return missing("use_service_principal needs client_secret (or AZURE_CLIENT_SECRET)");
    return with_secret(app, secret, *remotes.services, clock);
  }
  if (config.use_federated_token) {
    // The pod's webhook sets the client id; a user-assigned identity named in the configuration stands in for it.
    if (app.client_id.empty()) app.client_id = config.user_assigned_id;
    SKALD_TRY_VOID(check(app, "use_federated_token"));
    if (token_file.empty())
      return missing("use_federated_token needs AZURE_FEDERATED_TOKEN_FILE; is the pod labelled azure.workload.identity/use: \"true\"?");
    return with_workload_identity(app, token_file, std::move(environment), *remotes.services, clock);
  }
  if (config.use_managed_identity) return with_managed_identity(config.user_assigned_id, environment, *remotes.metadata, clock);
  const std::string secret = first_of(config.client_secret, variable("AZURE_CLIENT_SECRET"));
  if (!secret.empty() && !app.tenant_id.empty() && !app.client_id.empty()) return with_secret(app, secret, *remotes.services, clock);
  if (!token_file.empty() && !app.tenant_id.empty()) {
    if (!config.user_assigned_id.empty()) app.client_id = config.user_assigned_id;
    if (!app.client_id.empty()) return with_workload_identity(app, token_file, std::move(environment), *remotes.services, clock);
  }
  return with_managed_identity(config.user_assigned_id, environment, *remotes.metadata, clock);
}

}  // namespace skald::objstore
