#include "objstore/gcs_credentials.h"

#include <rapidjson/document.h>
#include <rapidjson/pointer.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <ctime>

#include "objstore/jwt.h"
#include "objstore/oauth.h"

namespace skald::objstore {
namespace {

constexpr const char* kScope = "https://www.googleapis.com/auth/devstorage.read_write";
constexpr const char* kCloudScope = "https://www.googleapis.com/auth/cloud-platform";   // to act as another account
constexpr const char* kTokenUrl = "https://oauth2.googleapis.com/token";
constexpr const char* kJwtGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
constexpr const char* kExchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange";
constexpr const char* kAccessTokenType = "urn:ietf:params:oauth:token-type:access_token";
constexpr std::int64_t kAssertionLifeS = 3600;   // the longest the service takes

Error bad(const std::string& source, const std::string& why) {
  return Error(ErrorCode::kInvalidArgument, "gcs credentials (" + source + "): " + why);
}

std::string text_at(const rapidjson::Value& json, const char* pointer) {
  const rapidjson::Value* value = rapidjson::Pointer(pointer).Get(json);
  return value != nullptr && value->IsString() ? std::string(value->GetString(), value->GetStringLength()) : std::string();
}

bool is_url(std::string_view text) { return text.starts_with("https://") || text.starts_with("http://"); }

using JsonText = rapidjson::StringBuffer;
void member(rapidjson::Writer<JsonText>& writer, const char* name, std::string_view value) {
  writer.Key(name);
  writer.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}

// --- service account key (RFC 7523)

struct ServiceAccount {
  std::string email, key_id, token_url;
  RsaKey key;
};

Result<std::string> assertion_of(const ServiceAccount& account, std::int64_t now_ns) {
  JsonText claims;
  rapidjson::Writer<JsonText> writer(claims);
  writer.StartObject();
  member(writer, "iss", account.email);
  member(writer, "scope", kScope);
  member(writer, "aud", account.token_url);
  writer.Key("iat");
  writer.Int64(now_ns / kNanosPerSecond);
  writer.Key("exp");
  writer.Int64(now_ns / kNanosPerSecond + kAssertionLifeS);
  writer.EndObject();
  return sign_jwt(account.key, account.key_id, {claims.GetString(), claims.GetSize()});
}

Result<std::unique_ptr<CachedToken>> from_service_account(const rapidjson::Value& json, const std::string& source, Remote& remote,
                                                          const Clock& clock) {
  const std::string email = text_at(json, "/client_email");
  if (email.empty()) return bad(source, "client_email is missing");
  auto key = RsaKey::from_pem(text_at(json, "/private_key"));
  if (!key.ok()) return bad(source, key.error().message());
  std::string token_url = text_at(json, "/token_uri");
  if (token_url.empty()) token_url = kTokenUrl;
  if (!is_url(token_url)) return bad(source, "token_uri is not a URL");
  const ServiceAccount account{.email = email, .key_id = text_at(json, "/private_key_id"), .token_url = token_url, .key = std::move(key).value()};
  const std::string what = "gcs service account " + email + " at " + origin_of(token_url);
  return std::make_unique<CachedToken>(
      what,
      [account, what, &remote, &clock](const CallContext& ctx) -> Result<Token> {
        SKALD_TRY(const std::string assertion, assertion_of(account, clock.now_ns()));
        const std::string form = form_encode({{"grant_type", kJwtGrant}, {"assertion", assertion}});
        SKALD_TRY(const http::ClientResponse response, ask(remote, form_request(account.token_url, form), ctx));
        return read_token(response, what, clock.now_ns());
      },
      clock);
}

// --- refresh token of a user ("gcloud auth application-default login")

Result<std::unique_ptr<CachedToken>> from_user(const rapidjson::Value& json, const std::string& source, Remote& remote, const Clock& clock) {
  std::string token_url = text_at(json, "/token_uri");
  if (token_url.empty()) token_url = kTokenUrl;
  const std::string client_id = text_at(json, "/client_id"), secret = text_at(json, "/client_secret"), refresh = text_at(json, "/refresh_token");
  if (client_id.empty() || secret.empty() || refresh.empty()) return bad(source, "client_id, client_secret or refresh_token is missing");
  const std::string what = "gcs user credentials (" + source + ") at " + origin_of(token_url);
  return std::make_unique<CachedToken>(
      what,
      [=, &remote, &clock](const CallContext& ctx) -> Result<Token> {
        const std::string form = form_encode(
            {{"grant_type", "refresh_token"}, {"client_id", client_id}, {"client_secret", secret}, {"refresh_token", refresh}});
        SKALD_TRY(const http::ClientResponse response, ask(remote, form_request(token_url, form), ctx));
        return read_token(response, what, clock.now_ns());
      },
      clock);
}

// --- workload identity federation (RFC 8693): a token of somebody else's, from a file or a URL, for one of Google's

struct External {
  std::string what, audience, subject_type, token_url, impersonation_url;
  std::string file, url, field;             // where the subject token is; `field` of a JSON object, or the whole text
  std::vector<http::Header> url_headers;
};

Result<std::string> subject_token(const External& external, const Environment& environment, Remote& remote, const CallContext& ctx) {
  std::string text;
  if (!external.file.empty()) {
    auto content = environment.read_file(external.file);
    if (!content.ok()) return Error(ErrorCode::kPermissionDenied, external.what + ": subject token: " + content.error().message());
    text = std::move(content).value();
  } else {
    http::ClientRequest request;
    request.url = external.url;
    request.headers = external.url_headers;
    SKALD_TRY(http::ClientResponse response, ask(remote, request, ctx));
    if (response.status != 200)
      return Error(ErrorCode::kPermissionDenied, external.what + ": the source of the subject token answered " + std::to_string(response.status));
    text = std::move(response.body);
  }
  if (!external.field.empty()) {
    rapidjson::Document json;
    json.Parse<rapidjson::kParseIterativeFlag>(text.data(), text.size());
    const auto found = json.HasParseError() || !json.IsObject() ? json.MemberEnd() : json.FindMember(external.field.c_str());
    if (json.HasParseError() || !json.IsObject() || found == json.MemberEnd() || !found->value.IsString())
      return Error(ErrorCode::kPermissionDenied, external.what + ": the subject token's source has no text '" + external.field + "'");
    text.assign(found->value.GetString(), found->value.GetStringLength());
  }
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  if (text.empty()) return Error(ErrorCode::kPermissionDenied, external.what + ": the subject token is empty");
  return text;
}

// {"accessToken": "…", "expireTime": "2026-11-20T12:00:00Z"}
Result<Token> impersonate(const External& external, const Token& own, Remote& remote, const CallContext& ctx, std::int64_t now_ns) {
  const std::string body = std::string(R"({"scope":[")") + kScope + R"("],"lifetime":"3600s"})";
  http::ClientRequest request = form_request(external.impersonation_url, body);
  request.headers = {{"Content-Type", "application/json"}, {"Authorization", "Bearer " + own.value}};
  SKALD_TRY(const http::ClientResponse response, ask(remote, request, ctx));
  if (response.status != 200) {
    auto refused = read_token(response, external.what + ": acting as the service account", now_ns);
    return std::move(refused).error();
  }
  rapidjson::Document json;
  json.Parse<rapidjson::kParseIterativeFlag>(response.body.data(), response.body.size());
  const bool readable = !json.HasParseError() && json.IsObject();
  Token token{.value = readable ? text_at(json, "/accessToken") : "", .expires_ns = 0};
  std::tm utc{};
  const std::string expires = readable ? text_at(json, "/expireTime") : "";
  if (token.value.empty() || ::strptime(expires.c_str(), "%Y-%m-%dT%H:%M:%S", &utc) == nullptr)
    return Error(ErrorCode::kUnavailable, external.what + ": the answer for the service account holds no accessToken and expireTime");
  token.expires_ns = ::timegm(&utc) * kNanosPerSecond;
  return token;
}

Result<std::unique_ptr<CachedToken>> from_external(const rapidjson::Value& json, const std::string& source, const Environment& environment,
                                                   Remote& remote, const Clock& clock) {
  External external{.what = {},
                    .audience = text_at(json, "/audience"),
                    .subject_type = text_at(json, "/subject_token_type"),
                    .token_url = text_at(json, "/token_url"),
                    .impersonation_url = text_at(json, "/service_account_impersonation_url"),
                    .file = text_at(json, "/credential_source/file"),
                    .url = text_at(json, "/credential_source/url"),
                    .field = text_at(json, "/credential_source/format/type") == "json"
                                 ? text_at(json, "/credential_source/format/subject_token_field_name")
                                 : "",
                    .url_headers = {}};
  if (external.audience.empty() || external.subject_type.empty() || !is_url(external.token_url))
    return bad(source, "external_account needs audience, subject_token_type and token_url");
  if (external.file.empty() && external.url.empty())
    return bad(source, "external_account: only credential_source.file and credential_source.url are supported");
  if (const rapidjson::Value* headers = rapidjson::Pointer("/credential_source/headers").Get(json); headers != nullptr && headers->IsObject()) {
    for (const auto& header : headers->GetObject())
      if (header.value.IsString()) external.url_headers.push_back({header.name.GetString(), header.value.GetString()});
  }
  external.what = "gcs workload identity federation at " + origin_of(external.token_url);
  return std::make_unique<CachedToken>(
      external.what,
      [external, environment, &remote, &clock](const CallContext& ctx) -> Result<Token> {
        SKALD_TRY(const std::string subject, subject_token(external, environment, remote, ctx));
        const bool acts = !external.impersonation_url.empty();
        const std::string form = form_encode({{"grant_type", kExchangeGrant},
                                              {"audience", external.audience},
                                              {"scope", acts ? kCloudScope : kScope},
                                              {"requested_token_type", kAccessTokenType},
                                              {"subject_token_type", external.subject_type},
                                              {"subject_token", subject}});
        SKALD_TRY(const http::ClientResponse response, ask(remote, form_request(external.token_url, form), ctx));
        SKALD_TRY(Token token, read_token(response, external.what, clock.now_ns()));
        if (acts) return impersonate(external, token, remote, ctx, clock.now_ns());
        return token;
      },
      clock);
}

// --- metadata server of the machine or the cluster

std::unique_ptr<CachedToken> from_metadata(const Environment& environment, Remote& remote, const Clock& clock) {
  std::string host = environment.variable("GCE_METADATA_HOST");
  if (host.empty()) host = "169.254.169.254";   // the address, not the name: no DNS search paths, no wildcard domains
  const std::string what = "gcs metadata server " + host;
  http::ClientRequest request;
  request.url = "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/token?" + form_encode({{"scopes", kScope}});
  request.headers = {{"Metadata-Flavor", "Google"}};
  return std::make_unique<CachedToken>(
      what,
      [=, &remote, &clock](const CallContext& ctx) -> Result<Token> {
        const char* elsewhere = "; outside Google Cloud give service_account or GOOGLE_APPLICATION_CREDENTIALS";
        auto response = ask(remote, request, ctx);
        if (!response.ok()) {
          if (response.error().code() != ErrorCode::kUnavailable) return response.error();
          return Error(ErrorCode::kUnavailable, what + ": " + response.error().message() + elsewhere);
        }
        const std::string* flavor = response->header("Metadata-Flavor");   // a captive portal does not say this
        if (flavor == nullptr || *flavor != "Google") return Error(ErrorCode::kUnavailable, what + ": this is not Google's" + elsewhere);
        return read_token(*response, what, clock.now_ns());
      },
      clock);
}

Result<std::unique_ptr<CachedToken>> from_json(const std::string& text, const std::string& source, const Environment& environment,
                                               Remote& remote, const Clock& clock) {
  rapidjson::Document json;
  json.Parse<rapidjson::kParseIterativeFlag>(text.data(), text.size());
  if (json.HasParseError() || !json.IsObject()) return bad(source, "not a JSON object");
  const std::string type = text_at(json, "/type");
  if (type == "service_account") return from_service_account(json, source, remote, clock);
  if (type == "authorized_user") return from_user(json, source, remote, clock);
  if (type == "external_account") return from_external(json, source, environment, remote, clock);
  return bad(source, "type '" + one_line(type, 40) + "' is none of service_account, authorized_user, external_account");
}

}  // namespace

Result<std::unique_ptr<CachedToken>> make_gcs_token(const config::GcsConfig& config, bool emulator, const Environment& environment,
                                                    const TokenRemotes& remotes, const Clock& clock) {
  if (!config.service_account.empty()) return from_json(config.service_account, "service_account", environment, *remotes.services, clock);
  if (const std::string file = environment.variable("GOOGLE_APPLICATION_CREDENTIALS"); !file.empty()) {
    auto text = environment.read_file(file);
    if (!text.ok()) return text.error().with_prefix("gcs: GOOGLE_APPLICATION_CREDENTIALS");
    return from_json(*text, file, environment, *remotes.services, clock);
  }
  if (emulator) return std::unique_ptr<CachedToken>();
  std::string folder = environment.variable("CLOUDSDK_CONFIG");
  if (folder.empty()) {
    const std::string home = environment.variable("HOME");
    if (!home.empty()) folder = home + "/.config/gcloud";
  }
  if (!folder.empty()) {
    const std::string file = folder + "/application_default_credentials.json";
    if (auto text = environment.read_file(file); text.ok()) return from_json(*text, file, environment, *remotes.services, clock);
  }
  return from_metadata(environment, *remotes.metadata, clock);
}

}  // namespace skald::objstore
