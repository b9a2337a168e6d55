// The frame of a call: headers and errors.
#include <charconv>

#include "rpc/call.h"

#include "skald/http/status.h"
#include "skald/rpc/ingester_service.h"

namespace skald::rpc {
namespace {

constexpr ErrorCode kCodes[] = {
    ErrorCode::kInvalidArgument, ErrorCode::kUnauthenticated, ErrorCode::kPermissionDenied, ErrorCode::kNotFound, ErrorCode::kAlreadyExists,
    ErrorCode::kTooLarge, ErrorCode::kUnprocessable, ErrorCode::kResourceExhausted, ErrorCode::kCancelled, ErrorCode::kInternal,
    ErrorCode::kUnimplemented, ErrorCode::kUnavailable, ErrorCode::kDeadlineExceeded, ErrorCode::kCorruption, ErrorCode::kIo,
};

}  // namespace

CallContext context_of(const http::Request& request, const Clock& clock) {
  CallContext ctx;
  ctx.clock = &clock;
  ctx.cancel = request.cancel;
  if (const std::string* tenant = request.header("X-Scope-OrgID")) ctx.tenant = *tenant;
  if (const std::string* left = request.header(kTimeoutHeader)) {
    std::int64_t left_ms = 0;
    const auto [end, error] = std::from_chars(left->data(), left->data() + left->size(), left_ms);
    if (error == std::errc() && left_ms >= 0 && left_ms < INT64_MAX / kNanosPerMilli - request.received_monotonic_ns / kNanosPerMilli)
      ctx.deadline_monotonic_ns = request.received_monotonic_ns + left_ms * kNanosPerMilli;
  }
  return ctx;
}

http::Response answer(Result<Bytes> message) {
  http::Response response;
  response.compressible = false;   // rows are packed already
  if (message.ok()) {
    response.content_type = "application/x-protobuf";
    response.body = std::move(message).value();
    return response;
  }
  response.status = http::status_of(message.error().code());
  response.content_type = "text/plain; charset=utf-8";
  response.headers.push_back({kErrorHeader, error_code_name(message.error().code())});
  response.body = std::move(message).error().message();
  return response;
}

http::ClientRequest call_request(const std::string& base_url, std::string_view method, const CallContext& ctx) {
  http::ClientRequest request;
  request.method = "POST";
  request.url = base_url + kPathPrefix + std::string(method);
  request.headers.push_back({"Content-Type", "application/x-protobuf"});
  if (!ctx.tenant.empty()) request.headers.push_back({"X-Scope-OrgID", ctx.tenant});
  if (ctx.deadline_monotonic_ns != std::numeric_limits<std::int64_t>::max()) {
    const std::int64_t left_ms = std::max<std::int64_t>(1, (ctx.deadline_monotonic_ns - ctx.clock->monotonic_ns()) / kNanosPerMilli);
    request.headers.push_back({kTimeoutHeader, std::to_string(left_ms)});
  }
  request.response_bytes_max = kMessageBytesMax;
  return request;
}

Result<Bytes> read_answer(Result<http::ClientResponse> response, const std::string& peer) {
  if (!response.ok()) return std::move(response).error().with_prefix("peer " + peer);
  if (response->status == 200) return std::move(response->body);
  const std::string* name = response->header(kErrorHeader);
  if (name != nullptr)
    for (const ErrorCode code : kCodes)
      if (*name == error_code_name(code)) return Error(code, response->body);
  // Not one of ours: a proxy in between, or a process that does not serve this.
  const ErrorCode code = response->status >= 500 || response->status == 404 ? ErrorCode::kUnavailable : ErrorCode::kInternal;
  return Error(code, "peer " + peer + " answered " + std::to_string(response->status) + ": " + response->body.substr(0, 200));
}

}  // namespace skald::rpc
