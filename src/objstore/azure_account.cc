#include "objstore/azure_account.h"

#include <algorithm>
#include <array>
#include <map>

#include "objstore/jwt.h"

namespace skald::objstore {
namespace {

struct Cloud {
  std::string_view name, suffix, authority;
};
constexpr std::array<Cloud, 4> kClouds{{
    {"AzureGlobal", "core.windows.net", "https://login.microsoftonline.com"},
    {"AzureChinaCloud", "core.chinacloudapi.cn", "https://login.chinacloudapi.cn"},
    {"AzureGermanCloud", "core.cloudapi.de", "https://login.microsoftonline.de"},
    {"AzureUSGovernment", "core.usgovcloudapi.net", "https://login.microsoftonline.us"},
}};

// The emulator's account; Microsoft publishes its key.
constexpr std::string_view kEmulatorAccount = "devstoreaccount1";
constexpr std::string_view kEmulatorKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

Error bad(const std::string& why) { return Error(ErrorCode::kInvalidArgument, "azure: " + why); }

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string without_slash(std::string_view url) {
  while (url.ends_with('/')) url.remove_suffix(1);
  return std::string(url);
}

bool is_url(std::string_view text) { return text.starts_with("http://") || text.starts_with("https://"); }

// Account names are 3 to 24 lower-case letters and digits; emulators are laxer. The name becomes part of a host.
bool is_account_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

Result<Bytes> decode_key(std::string_view text, const char* where) {
  auto key = base64_decode(trim(text));
  if (!key.ok() || key->empty()) return bad(std::string(where) + " is not base64 (copy it from the portal, \"Access keys\")");
  return std::move(key).value();
}

// "blob.core.windows.net", "core.windows.net" (as in connection strings) or a URL (an emulator: the account is in the path).
Result<std::string> url_of(std::string_view account, std::string_view scheme, std::string_view suffix) {
  if (!is_account_name(account)) return bad("account name '" + std::string(account) + "' is not made of lower-case letters and digits");
  if (is_url(suffix)) return without_slash(suffix) + "/" + std::string(account);
  while (suffix.starts_with('.')) suffix.remove_prefix(1);
  if (suffix.empty() || suffix.find_first_of("/?# @\r\n") != std::string_view::npos) return bad("endpoint suffix '" + std::string(suffix) + "' is not a host");
  return std::string(scheme) + "://" + std::string(account) + (suffix.starts_with("core.") ? ".blob." : ".") + without_slash(suffix);
}

Result<std::map<std::string, std::string>> parse_pairs(std::string_view text) {
  std::map<std::string, std::string> pairs;
  while (!text.empty()) {
    const std::size_t end = text.find(';');
    const std::string_view pair = trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');   // values may hold more of them
    if (equals == std::string_view::npos || equals == 0)
      return bad("connection_string: expected Name=Value pairs separated by ';' (pair " + std::to_string(pairs.size() + 1) + " is none)");
    if (!pairs.emplace(lower(trim(pair.substr(0, equals))), trim(pair.substr(equals + 1))).second)
      return bad("connection_string: '" + std::string(trim(pair.substr(0, equals))) + "' is given twice");
  }
  return pairs;
}

Result<AzureAccount> from_connection_string(std::string_view text, const Cloud& cloud) {
  SKALD_TRY(const auto pairs, parse_pairs(text));
  const auto value = [&](const char* name) {
    const auto found = pairs.find(name);
    return found == pairs.end() ? std::string() : found->second;
  };
  AzureAccount account;
  account.authority_host = cloud.authority;
  if (lower(value("usedevelopmentstorage")) == "true") {
    const std::string proxy = value("developmentstorageproxyuri");
    account.base_url = (proxy.empty() ? "http://127.0.0.1" : without_slash(proxy)) + ":10000/" + std::string(kEmulatorAccount);
    account.name = kEmulatorAccount;
    SKALD_TRY(account.key, base64_decode(kEmulatorKey));
    return account;
  }
  account.name = value("accountname");
  account.sas = value("sharedaccesssignature");
  while (account.sas.starts_with('?') || account.sas.starts_with('&')) account.sas.erase(0, 1);
  if (account.sas.find_first_of("# \r\n") != std::string::npos) return bad("connection_string: SharedAccessSignature is not a query string");
  if (const std::string key = value("accountkey"); !key.empty()) {
    SKALD_TRY(account.key, decode_key(key, "connection_string: AccountKey"));
    if (account.name.empty()) return bad("connection_string: AccountKey without AccountName");
  }
  if (account.key.empty() && account.sas.empty()) return bad("connection_string: needs AccountKey or SharedAccessSignature");
  std::string scheme = lower(value("defaultendpointsprotocol"));
  if (scheme.empty()) scheme = "https";
  if (scheme != "http" && scheme != "https") return bad("connection_string: DefaultEndpointsProtocol is 'http' or 'https'");
  std::string endpoint = value("blobendpoint");
  if (!endpoint.empty()) {
    if (!is_url(endpoint)) endpoint = scheme + "://" + endpoint;
    if (const std::size_t query = endpoint.find('?'); query != std::string::npos) {   // the portal's "Blob SAS URL"
      if (account.sas.empty()) account.sas = endpoint.substr(query + 1);
      endpoint.resize(query);
    }
    account.base_url = without_slash(endpoint);
    return account;
  }
  if (account.name.empty()) return bad("connection_string: needs BlobEndpoint or AccountName");
  const std::string suffix = value("endpointsuffix");
  SKALD_TRY(account.base_url, url_of(account.name, scheme, suffix.empty() ? cloud.suffix : std::string_view(suffix)));
  return account;
}

}  // namespace

Result<AzureAccount> resolve_azure_account(const config::AzureConfig& config) {
  const std::string_view wanted = config.environment.empty() ? "AzureGlobal" : std::string_view(config.environment);
  const auto* cloud = std::find_if(kClouds.begin(), kClouds.end(), [&](const Cloud& c) { return c.name == wanted; });
  if (cloud == kClouds.end())
    return bad("environment '" + config.environment + "' is none of AzureGlobal, AzureChinaCloud, AzureGermanCloud, AzureUSGovernment");
  if (!config.connection_string.empty()) return from_connection_string(config.connection_string, *cloud);
  if (config.account_name.empty()) return bad("account_name (or connection_string) is missing");
  AzureAccount account{.base_url = {}, .name = config.account_name, .key = {}, .sas = {}, .authority_host = std::string(cloud->authority)};
  SKALD_TRY(account.base_url, url_of(config.account_name, "https", config.endpoint_suffix.empty() ? cloud->suffix : std::string_view(config.endpoint_suffix)));
  // Asking for an identity is the stronger word: a key may be left over in the file.
  const bool identity = config.use_managed_identity || config.use_federated_token || config.use_service_principal;
  if (!config.account_key.empty() && !identity) { SKALD_TRY(account.key, decode_key(config.account_key, "account_key")); }
  return account;
}

}  // namespace skald::objstore
