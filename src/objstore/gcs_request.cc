#include "objstore/gcs_request.h"

#include <rapidjson/document.h>
#include <rapidjson/pointer.h>

#include "objstore/oauth.h"

namespace skald::objstore {
namespace {

struct GcsError {
  std::string message, reason;
};

// {"error":{"code":403,"message":"…","errors":[{"reason":"forbidden"}]}}; downloads answer plain text.
GcsError read_error(const http::ClientResponse& response) {
  rapidjson::Document json;
  json.Parse<rapidjson::kParseIterativeFlag>(response.body.data(), response.body.size());
  GcsError error;
  if (json.HasParseError() || !json.IsObject()) {
    error.message = one_line(response.body);
    return error;
  }
  const auto text = [&](const char* pointer) {
    const rapidjson::Value* value = rapidjson::Pointer(pointer).Get(json);
    return value != nullptr && value->IsString() ? one_line({value->GetString(), value->GetStringLength()}) : std::string();
  };
  error.message = text("/error/message");
  error.reason = text("/error/errors/0/reason");
  if (error.message.empty()) error.message = text("/error_description");
  return error;
}

// Most come as 429; some as 403.
bool rate_limited(const http::ClientResponse& response) {
  if (response.status != 403) return false;
  const std::string reason = read_error(response).reason;
  return reason == "rateLimitExceeded" || reason == "userRateLimitExceeded";
}

}  // namespace

Result<GcsEndpoint> resolve_gcs_endpoint(const std::string& endpoint, const Environment& environment) {
  std::string wanted = endpoint.empty() ? environment.variable("STORAGE_EMULATOR_HOST") : endpoint;
  if (wanted.empty()) return GcsEndpoint{.origin = "https://storage.googleapis.com", .emulator = false};
  // The variable's tradition is host:port over plain http; an endpoint without a scheme is https.
  if (wanted.find("://") == std::string::npos) wanted.insert(0, endpoint.empty() ? "http://" : "https://");
  const std::string origin = origin_of(wanted);
  const bool http = origin.starts_with("http://"), https = origin.starts_with("https://");
  if ((!http && !https) || origin.size() <= (http ? 7U : 8U) || origin.find_first_of(" \t\r\n") != std::string::npos)
    return Error(ErrorCode::kInvalidArgument, "gcs: endpoint '" + one_line(wanted, 100) + "' is not http(s)://host[:port]");
  const bool google = origin.ends_with(".googleapis.com") || origin.find(".googleapis.com:") != std::string::npos;
  return GcsEndpoint{.origin = origin, .emulator = !google};
}

GcsBucket::GcsBucket(GcsEndpoint endpoint, std::string bucket, std::unique_ptr<Remote> remote, std::unique_ptr<CachedToken> token)
    : endpoint_(std::move(endpoint)),
      bucket_(std::move(bucket)),
      subject_("gcs bucket '" + bucket_ + "' at " + endpoint_.origin),
      remote_(std::move(remote)),
      token_(std::move(token)) {}

std::string GcsBucket::bucket_target(std::string_view query) const { return "/storage/v1/b/" + percent_encode(bucket_) + "/o?" + std::string(query); }
std::string GcsBucket::upload_target(std::string_view query) const { return "/upload" + bucket_target(query); }
std::string GcsBucket::object_target(std::string_view key, std::string_view query) const {
  return "/storage/v1/b/" + percent_encode(bucket_) + "/o/" + percent_encode(key) + (query.empty() ? "" : "?") + std::string(query);
}

Result<http::ClientResponse> GcsBucket::send(const Call& call, const CallContext& ctx, int* tries) {
  const RemoteOperation operation{.name = call.method, .hedge = call.hedge, .retry = call.retry, .judge = [](const http::ClientResponse& response) {
                                    return rate_limited(response) ? Verdict::kRetry : Verdict::kDone;
                                  }};
  for (bool again = false;; again = true) {
    std::string used_token;
    const auto build = [&]() -> Result<http::ClientRequest> {
      http::ClientRequest request;
      request.method = call.method;
      request.url = endpoint_.origin + call.target;
      request.headers = call.headers;
      request.body = call.body;
      request.response_bytes_max = call.response_bytes_max;
      if (token_) {
        SKALD_TRY(used_token, token_->get(ctx));
        request.headers.push_back({"Authorization", "Bearer " + used_token});
      }
      return request;
    };
    int sent = 0;
    auto response = remote_->run(operation, build, ctx, &sent);
    if (tries != nullptr) *tries += sent;
    if (!response.ok() || response->status != 401 || used_token.empty() || again) return response;
    token_->reject(used_token);
  }
}

Error GcsBucket::failure(const Call& call, const http::ClientResponse& response) const {
  const GcsError error = read_error(response);
  std::string message = subject_ + ": " + call.what;
  if (!call.key.empty()) message += " '" + std::string(call.key) + "'";
  message += ": " + std::to_string(response.status) + (error.reason.empty() ? "" : " " + error.reason) +
             (error.message.empty() ? "" : ": " + error.message);
  if (response.status == 401 || response.status == 403) {
    if (rate_limited(response)) return Error(ErrorCode::kUnavailable, message);
    return Error(ErrorCode::kPermissionDenied, message + " (authorized with " + (token_ ? token_->what() : "nothing: no credentials are configured") +
                                                   "; the role Storage Object User on the bucket is enough)");
  }
  if (response.status == 404) {
    if (call.key.empty() || error.message.starts_with("The specified bucket does not exist"))
      return Error(ErrorCode::kInvalidArgument, message + "; the bucket does not exist: create it first (gcloud storage buckets create gs://" + bucket_ + ")");
    return Error(ErrorCode::kNotFound, subject_ + ": object '" + std::string(call.key) + "' does not exist");
  }
  if (response.status == 413) return Error(ErrorCode::kTooLarge, message);
  return Error(ErrorCode::kInternal, message);
}

}  // namespace skald::objstore
