// Credentials that a service hands out: the security token service for a web identity, the container's agent, the
// instance's metadata (version 2, with a session token).
#include <rapidjson/document.h>

#include <algorithm>
#include <ctime>
#include <thread>

#include "objstore/aws_credentials.h"
#include "objstore/remote.h"
#include "objstore/s3_address.h"
#include "objstore/xml.h"

namespace skald::objstore {
namespace {

constexpr int kTries = 3;
constexpr std::int64_t kPauseNs = 100 * kNanosPerMilli;
constexpr std::uint64_t kAnswerBytesMax = 256 << 10;

Error failed(const char* what, const http::ClientResponse& response) {
  const std::string said = summarise_answer(response);
  return Error(response.status >= 500 || response.status == 429 ? ErrorCode::kUnavailable : ErrorCode::kPermissionDenied,
               std::string("s3 credentials: ") + what + " answered " + std::to_string(response.status) + (said.empty() ? "" : ": " + said));
}

// 2026-11-20T12:00:00Z, fractions of a second cut off.
Result<std::int64_t> parse_expiration(const std::string& text) {
  std::tm utc{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (end == nullptr) return Error(ErrorCode::kCorruption, "s3 credentials: expiration '" + text.substr(0, 40) + "' is no time");
  return static_cast<std::int64_t>(::timegm(&utc)) * kNanosPerSecond;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

// Keys in plain text go to this machine or the agents' own addresses only.
bool may_be_plain(std::string_view url) {
  url.remove_prefix(7);
  const std::string_view authority = url.substr(0, url.find_first_of("/?#"));
  for (const std::string_view host : {"127.0.0.1", "localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"}) {
    if (authority == host || (authority.starts_with(host) && authority.substr(host.size()).starts_with(':'))) return true;
  }
  return false;
}

}  // namespace

Result<AwsCredentials> parse_aws_credentials_json(std::string_view json) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) return Error(ErrorCode::kCorruption, "s3 credentials: the answer is no JSON object");
  const auto text = [&](const char* name) {
    const auto member = document.FindMember(name);
    return member != document.MemberEnd() && member->value.IsString() ? std::string(member->value.GetString(), member->value.GetStringLength()) : std::string();
  };
  if (const std::string code = text("Code"); !code.empty() && code != "Success") {
    return Error(ErrorCode::kPermissionDenied, "s3 credentials: " + code + ": " + text("Message").substr(0, 200));
  }
  AwsCredentials credentials{.access_key_id = text("AccessKeyId"), .secret_access_key = text("SecretAccessKey"), .session_token = text("Token")};
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) return Error(ErrorCode::kCorruption, "s3 credentials: the answer has no keys");
  if (const std::string expiration = text("Expiration"); !expiration.empty()) {
    SKALD_TRY(credentials.expires_ns, parse_expiration(expiration));
  }
  return credentials;
}

Result<AwsCredentials> parse_assumed_role(std::string_view xml) {
  SKALD_TRY(const XmlNode root, parse_xml(xml));
  const XmlNode* result = root.child("AssumeRoleWithWebIdentityResult");
  const XmlNode* found = result != nullptr ? result->child("Credentials") : nullptr;
  if (found == nullptr) return Error(ErrorCode::kCorruption, "s3 credentials: the token service's answer holds none");
  AwsCredentials credentials{.access_key_id = std::string(found->child_text("AccessKeyId")),
                             .secret_access_key = std::string(found->child_text("SecretAccessKey")),
                             .session_token = std::string(found->child_text("SessionToken"))};
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) return Error(ErrorCode::kCorruption, "s3 credentials: the token service's answer has no keys");
  SKALD_TRY(credentials.expires_ns, parse_expiration(std::string(found->child_text("Expiration"))));
  return credentials;
}

Result<http::Client*> AwsCredentialsSource::metadata_client() {
  if (metadata_client_ == nullptr) {
    http::ClientOptions options;
    options.connect_timeout_ns = kNanosPerSecond;
    options.request_timeout_ns = 2 * kNanosPerSecond;
    options.proxy = "none";
    SKALD_TRY(metadata_client_, http::Client::create(options));
  }
  return metadata_client_.get();
}

Result<http::Client*> AwsCredentialsSource::token_client() {
  if (token_client_ == nullptr) {
    http::ClientOptions options = client_options(options_.http);
    options.request_timeout_ns = 10 * kNanosPerSecond;
    SKALD_TRY(token_client_, http::Client::create(options));
  }
  return token_client_.get();
}

Result<http::ClientResponse> AwsCredentialsSource::ask(http::Client& client, const http::ClientRequest& request, const CallContext& ctx) const {
  for (int i = 1;; ++i) {
    Result<http::ClientResponse> response = client.call(request, ctx);
    const bool passing = response.ok() ? response->status >= 500 || response->status == 429
                                       : response.error().code() == ErrorCode::kUnavailable || response.error().code() == ErrorCode::kDeadlineExceeded;
    if (!passing || i == kTries || !ctx.check().ok()) return response;
    std::this_thread::sleep_for(std::chrono::nanoseconds(kPauseNs));
  }
}

AwsCredentialsSource::Found AwsCredentialsSource::from_web_identity(const std::string& role, const std::string& token_file, const CallContext& ctx) {
  Result<Bytes> token = environment_.read_file(token_file);   // anew each time: the kubelet rotates it
  if (!token.ok()) return std::move(token).error().with_prefix("s3 credentials: web identity token");
  std::string session = environment_.variable("AWS_ROLE_SESSION_NAME");
  if (session.empty()) session = "skald";
  std::string url = options_.sts_endpoint.empty() ? "https://sts." + options_.region + "." + aws_domain(options_.region) : options_.sts_endpoint;
  if (!url.starts_with("http://") && !url.starts_with("https://")) url.insert(0, "https://");
  if (url.find('/', url.find("//") + 2) == std::string::npos) url += "/";
  const std::string body = aws_query({{"Action", "AssumeRoleWithWebIdentity"}, {"RoleArn", role}, {"RoleSessionName", session},
                                 {"Version", "2011-06-15"}, {"WebIdentityToken", trimmed(*token)}});
  SKALD_TRY(http::Client * client, token_client());
  const http::ClientRequest request{.method = "POST", .url = url, .headers = {{"Content-Type", "application/x-www-form-urlencoded"}, {"Accept", "application/xml"}},
                                    .body = body, .response_bytes_max = kAnswerBytesMax};
  Result<http::ClientResponse> response = ask(*client, request, ctx);
  if (!response.ok()) return std::move(response).error().with_prefix("s3 credentials: token service for role " + role);
  if (response->status != 200) return failed(("the token service for role " + role).c_str(), *response);
  SKALD_TRY(AwsCredentials credentials, parse_assumed_role(response->body));
  return std::optional(std::move(credentials));
}

AwsCredentialsSource::Found AwsCredentialsSource::from_container(std::string& notes, const CallContext& ctx) {
  std::string url = environment_.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (const std::string relative = environment_.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); !relative.empty()) {
    url = "http://169.254.170.2" + relative;
  }
  if (url.empty()) {
    notes += "; container: AWS_CONTAINER_CREDENTIALS_FULL_URI is not set";
    return std::optional<AwsCredentials>();
  }
  if (url.starts_with("http://") ? !may_be_plain(url) : !url.starts_with("https://")) {
    return Error(ErrorCode::kPermissionDenied, "s3 credentials: AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to this machine or the agent's address");
  }
  http::ClientRequest request{.method = "GET", .url = url, .headers = {{"Accept", "application/json"}}, .response_bytes_max = kAnswerBytesMax};
  std::string authorization = environment_.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const std::string file = environment_.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !file.empty()) {
    Result<Bytes> text = environment_.read_file(file);
    if (!text.ok()) return std::move(text).error().with_prefix("s3 credentials: container token");
    authorization = trimmed(*std::move(text));
  }
  if (!authorization.empty()) request.headers.push_back({"Authorization", authorization});
  SKALD_TRY(http::Client * client, metadata_client());
  Result<http::ClientResponse> response = ask(*client, request, ctx);
  if (!response.ok()) return std::move(response).error().with_prefix("s3 credentials: container");
  if (response->status != 200) return failed("the container's agent", *response);
  SKALD_TRY(AwsCredentials credentials, parse_aws_credentials_json(response->body));
  return std::optional(std::move(credentials));
}

AwsCredentialsSource::Found AwsCredentialsSource::from_instance(std::string& notes, const CallContext& ctx) {
  if (environment_.variable("AWS_EC2_METADATA_DISABLED") == "true") {
    notes += "; instance: AWS_EC2_METADATA_DISABLED is true";
    return std::optional<AwsCredentials>();
  }
  std::string base = options_.instance_endpoint;
  if (base.empty()) base = environment_.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (base.empty()) base = "http://169.254.169.254";
  while (base.ends_with('/')) base.pop_back();
  SKALD_TRY(http::Client * client, metadata_client());
  http::ClientRequest request{.method = "PUT", .url = base + "/latest/api/token", .headers = {{"X-aws-ec2-metadata-token-ttl-seconds", "21600"}},
                              .response_bytes_max = kAnswerBytesMax};
  Result<http::ClientResponse> session = client->call(request, ctx);   // once: elsewhere than at AWS nobody answers, and all wait
  if (!session.ok()) {
    SKALD_TRY_VOID(ctx.check());
    notes += "; instance: " + session.error().message();
    return std::optional<AwsCredentials>();
  }
  if (session->status != 200) return failed("the instance's metadata service", *session);
  request.method = "GET";
  request.headers = {{"X-aws-ec2-metadata-token", trimmed(session->body)}};
  request.url = base + "/latest/meta-data/iam/security-credentials/";
  SKALD_TRY(const http::ClientResponse roles, ask(*client, request, ctx));
  if (roles.status == 404) {
    notes += "; instance: it has no role";
    return std::optional<AwsCredentials>();
  }
  if (roles.status != 200) return failed("the instance's metadata service", roles);
  request.url += aws_uri_encode(trimmed(roles.body.substr(0, roles.body.find('\n'))), false);
  SKALD_TRY(const http::ClientResponse keys, ask(*client, request, ctx));
  if (keys.status != 200) return failed("the instance's metadata service", keys);
  SKALD_TRY(AwsCredentials credentials, parse_aws_credentials_json(keys.body));
  return std::optional(std::move(credentials));
}

}  // namespace skald::objstore
