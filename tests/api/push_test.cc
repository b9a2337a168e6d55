#include "skald/api/push.h"

#include <gtest/gtest.h>

#include "skald/api/status.h"
#include "skald/api/tenant.h"
#include "skald/http/status.h"

namespace skald::api {
namespace {

using distributor::PushFormat;

http::Request request_with(std::vector<http::Header> headers) {
  http::Request request;
  request.headers = std::move(headers);
  request.body = std::make_shared<const std::string>("body");
  return request;
}

std::string tenant_of(const char* header) {
  const auto tenant = resolve_tenant(request_with({{"x-scope-orgid", header}}), true);
  return tenant.ok() ? *tenant : tenant.error().message();
}

TEST(Tenant, Header) {
  EXPECT_EQ(*resolve_tenant(request_with({{"X-Scope-OrgID", "a"}}), false), "fake");
  EXPECT_EQ(resolve_tenant(request_with({}), true).error(), Error(ErrorCode::kUnauthenticated, "no org id"));
  EXPECT_EQ(tenant_of(""), "no org id");
  EXPECT_EQ(tenant_of("ok-1.2_(x)'!*"), "ok-1.2_(x)'!*");
  EXPECT_EQ(tenant_of("a/b"), "tenant ID 'a/b' contains unsupported character '/'");
  EXPECT_EQ(tenant_of(".."), "tenant ID is '.' or '..'");
  EXPECT_EQ(tenant_of(std::string(151, 'a').c_str()), "tenant ID is too long: max 150 characters");
  EXPECT_EQ(tenant_of("a|b"), "multiple org IDs present");
  EXPECT_EQ(tenant_of("a|a"), "a");
  EXPECT_EQ(*resolve_tenants(request_with({{"X-Scope-OrgID", "b|a|b"}}), true, true), (std::vector<std::string>{"a", "b"}));
}

struct TypeCase {
  const char* type;
  const char* answer;  // format or error
};

std::string format_of(const char* type, PushPath path) {
  const auto job = make_push_job(request_with({{"Content-Type", type}}), path);
  if (!job.ok()) return job.error().message();
  switch (job->format) {
    case PushFormat::kLokiProtobuf: return "proto";
    case PushFormat::kLokiJson: return "json";
    case PushFormat::kLegacyJson: return "legacy";
    case PushFormat::kOtlpProtobuf: return "otlp proto";
    case PushFormat::kOtlpJson: return "otlp json";
  }
  return "?";
}

TEST(ContentType, ChoosesTheDecoder) {
  const TypeCase cases[] = {{"application/json", "json"}, {"Application/JSON; charset=utf-8", "json"},
                            {"application/x-protobuf", "proto"}, {"text/plain", "proto"}, {"", "mime: no media type"},
                            {"a/b/c;;", "mime: unexpected content after media subtype"},
                            {"a b", "mime: expected slash after first token"}, {"a/", "mime: expected token after slash"},
                            {"application/json; x", "mime: invalid media parameter"}};
  for (const TypeCase& one : cases) EXPECT_EQ(format_of(one.type, PushPath::kLoki), one.answer) << one.type;
  EXPECT_EQ(format_of("application/json", PushPath::kLegacy), "legacy");
  EXPECT_EQ(format_of("application/json", PushPath::kOtlp), "otlp json");
  EXPECT_EQ(format_of("application/x-protobuf", PushPath::kOtlp), "otlp proto");
  EXPECT_EQ(format_of("application/json; charset=utf-8", PushPath::kOtlp),
            "content type: application/json; charset=utf-8 is not supported");
  EXPECT_EQ(make_push_job(request_with({}), PushPath::kLoki).error().message(), "mime: no media type");
  EXPECT_EQ(make_push_job(request_with({{"Content-Type", "application/json"}, {"Content-Encoding", "br"}}), PushPath::kLoki)
                .error().message(), "Content-Encoding \"br\" not supported");
  EXPECT_FALSE(make_push_job(request_with({{"Content-Type", "a/b"}, {"X-Loki-Backfill-Shard", "\xFF"}}), PushPath::kLoki).ok());
}

TEST(PushResponse, StatusesAndBodies) {
  EXPECT_EQ(push_response({}, PushPath::kLoki, 0).status, 204);
  EXPECT_EQ(push_response({}, PushPath::kLoki, 0).body, "");
  const auto text = push_response(Error(ErrorCode::kResourceExhausted, "slow down"), PushPath::kLoki, 0);
  EXPECT_EQ(text.status, 429);
  EXPECT_EQ(text.body, "slow down\n");
  const auto otlp = push_response(Error(ErrorCode::kInvalidArgument, "unexpected EOF"), PushPath::kOtlp, 0);
  EXPECT_EQ(otlp.status, 400);
  EXPECT_EQ(otlp.body, "\x12\x0eunexpected EOF");
  EXPECT_EQ(otlp.content_type, "application/octet-stream");
  EXPECT_EQ(push_response(Error(ErrorCode::kInternal, "x"), PushPath::kOtlp, 0).status, 503);
  EXPECT_EQ(push_response(Error(ErrorCode::kInternal, "x"), PushPath::kLoki, 0).status, 500);
  EXPECT_EQ(push_response(Error(ErrorCode::kPermissionDenied, "blocked"), PushPath::kLoki, 260).status, 260);
  const auto full = push_response(Error(ErrorCode::kUnavailable, "the disk is full"), PushPath::kLoki, 0);
  EXPECT_EQ(full.status, 503);
  const auto retry_after = [](const http::Response& response) {
    for (const http::Header& header : response.headers)
      if (header.name == "Retry-After") return header.value;
    return std::string();
  };
  EXPECT_EQ(retry_after(full), "5");
  EXPECT_EQ(retry_after(push_response(Error(ErrorCode::kUnavailable, "x"), PushPath::kOtlp, 0)), "5");
  EXPECT_EQ(retry_after(text), "");
  const auto longer = push_response(Error(ErrorCode::kInvalidArgument, std::string(300, 'e')), PushPath::kOtlp, 0);
  EXPECT_EQ(longer.body.substr(0, 3), std::string("\x12\xAC\x02"));
}

TEST(Status, EveryCodeHasOne) {
  const std::pair<ErrorCode, int> cases[] = {{ErrorCode::kInvalidArgument, 400}, {ErrorCode::kUnauthenticated, 401},
      {ErrorCode::kNotFound, 404}, {ErrorCode::kTooLarge, 413}, {ErrorCode::kUnprocessable, 422},
      {ErrorCode::kResourceExhausted, 429}, {ErrorCode::kCancelled, 499}, {ErrorCode::kInternal, 500},
      {ErrorCode::kUnavailable, 503}, {ErrorCode::kDeadlineExceeded, 504}, {ErrorCode::kCorruption, 500}, {ErrorCode::kIo, 500}};
  for (const auto& [code, status] : cases) EXPECT_EQ(http::status_of(code), status);
}

}  // namespace
}  // namespace skald::api
