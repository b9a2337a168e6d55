#include "objstore/dynamo_table.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "objstore/s3_address.h"
#include "skald/obs/log.h"

namespace skald::objstore {
namespace {

constexpr std::uint64_t kAnswerBytesMax = 4 << 20;   // a page has at most 1 MB of items, a third more in base64
constexpr std::int64_t kCreationNs = 2 * kNanosPerMinute;
constexpr std::chrono::milliseconds kCreationPause{200};

// Throttling comes as 400.
bool is_throttled(const std::string& code) {
  for (const char* one : {"ProvisionedThroughputExceededException", "ThrottlingException", "Throttling", "RequestLimitExceeded", "TransactionInProgressException"})
    if (code == one) return true;
  return false;
}
bool is_expired(const std::string& code) { return code == "ExpiredTokenException" || code == "UnrecognizedClientException" || code == "ExpiredToken"; }

// 3 to 255 letters, digits, '.', '-', '_'.
bool is_table_name(std::string_view name) {
  return name.size() >= 3 && name.size() <= 255 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  });
}

std::string host_of(const std::string& origin) { return origin.substr(origin.find("://") + 3); }

}  // namespace

DynamoTable::DynamoTable(config::DynamoConfig config, std::string origin, std::string region, DynamoParts parts)
    : config_(std::move(config)),
      origin_(std::move(origin)),
      host_(host_of(origin_)),
      region_(std::move(region)),
      subject_("table " + config_.table + " at " + host_),
      remote_(std::move(parts.remote)),
      credentials_({.fixed = {.access_key_id = config_.access_key_id, .secret_access_key = config_.secret_access_key, .session_token = config_.session_token},
                    .region = region_, .sts_endpoint = "", .http = config_.http, .instance_endpoint = ""},
                   std::move(parts.environment), parts.clock),
      clock_(parts.clock) {}

Result<http::ClientResponse> DynamoTable::send(const Call& call, const CallContext& ctx, int* tries) {
  const std::string payload = sha256_hex(call.body);
  const std::vector<http::Header> headers{{"Content-Type", "application/x-amz-json-1.0"}, {"X-Amz-Target", std::string("DynamoDB_20120810.") + call.operation}};
  std::string used_key_id;
  bool renewed = false;
  const BuildRequest build = [&]() -> Result<http::ClientRequest> {
    SKALD_TRY(const AwsCredentials credentials, credentials_.get(ctx));
    used_key_id = credentials.access_key_id;
    const SigV4Request to_sign{.method = "POST", .host = host_, .encoded_path = "/", .headers = headers, .payload_sha256 = payload};
    http::ClientRequest request{.method = "POST", .url = origin_ + "/", .headers = {}, .body = call.body, .response_bytes_max = kAnswerBytesMax};
    request.headers = sigv4_headers(to_sign, credentials, region_, "dynamodb", clock_.now_ns());
    return request;
  };
  const auto judge = [&](const http::ClientResponse& response) {
    if (response.status != 400) return Verdict::kDone;
    const dynamo::Fault fault = dynamo::read_fault(response.body);
    if (is_throttled(fault.code)) return Verdict::kRetry;
    if (!renewed && is_expired(fault.code)) {
      renewed = credentials_.reject(used_key_id);
      return renewed ? Verdict::kRetry : Verdict::kDone;
    }
    return Verdict::kDone;
  };
  const RemoteOperation operation{.name = call.metric, .judge = judge};
  return remote_->run(operation, build, ctx, tries);
}

Result<http::ClientResponse> DynamoTable::call(const Call& call, const CallContext& ctx, int* tries) {
  SKALD_TRY(http::ClientResponse response, send(call, ctx, tries));
  if (response.status != 400 || !config_.create_table || dynamo::read_fault(response.body).code != "ResourceNotFoundException") return response;
  SKALD_TRY_VOID(create_table(ctx));
  return send(call, ctx, tries);
}

// Several processes may do this at once; all but one are told that it is in use.
Result<void> DynamoTable::create_table(const CallContext& ctx) {
  const std::string body = dynamo::create_table_body(config_.table);
  const Call create{"DynamoDB.CreateTable", "CreateTable", body};
  SKALD_TRY(const http::ClientResponse created, send(create, ctx, nullptr));
  if (created.status / 100 != 2 && dynamo::read_fault(created.body).code != "ResourceInUseException") return failure(create, created);
  if (created.status / 100 == 2) log::info("table made", {{"table", config_.table}, {"host", host_}});
  const std::string describe_body = dynamo::describe_table_body(config_.table);
  const Call describe{"DynamoDB.DescribeTable", "DescribeTable", describe_body};
  const std::int64_t give_up_ns = ctx.clock->monotonic_ns() + kCreationNs;
  while (true) {
    SKALD_TRY(const http::ClientResponse described, send(describe, ctx, nullptr));
    // Right after its creation a table may not be known everywhere.
    const bool unknown_yet = dynamo::read_fault(described.body).code == "ResourceNotFoundException";
    if (described.status / 100 != 2 && !unknown_yet) return failure(describe, described);
    if (!unknown_yet) {
      SKALD_TRY(const std::string status, dynamo::read_table_status(described.body));
      if (status == "ACTIVE") return {};
    }
    if (ctx.clock->monotonic_ns() > give_up_ns) return Error(ErrorCode::kUnavailable, subject_ + ": is still being created");
    SKALD_TRY_VOID(ctx.check());
    std::this_thread::sleep_for(kCreationPause);
  }
}

Error DynamoTable::failure(const Call& call, const http::ClientResponse& response) const {
  const dynamo::Fault fault = dynamo::read_fault(response.body);
  const std::string text = subject_ + ": " + call.operation + ": " +
                           (fault.code.empty() ? "status " + std::to_string(response.status) + ": " + summarise_answer(response)
                                               : fault.code + (fault.message.empty() ? "" : ": " + fault.message.substr(0, 300)));
  const auto is = [&](const char* code) { return fault.code == code; };
  if (is_throttled(fault.code)) return Error(ErrorCode::kUnavailable, text);
  if (is("ResourceNotFoundException")) return Error(ErrorCode::kInvalidArgument, text + "; create the table, or set dynamodb.create_table");
  if (is("ConditionalCheckFailedException")) return Error(ErrorCode::kAlreadyExists, text);
  if (response.status == 401 || response.status == 403 || is_expired(fault.code) || is("AccessDeniedException") || is("InvalidSignatureException") ||
      is("MissingAuthenticationTokenException") || is("IncompleteSignatureException")) {
    return Error(ErrorCode::kPermissionDenied, text + "; signed for region '" + region_ + "', service 'dynamodb', host '" + host_ + "'");
  }
  if (is("ResourceInUseException") || is("LimitExceededException")) return Error(ErrorCode::kUnavailable, text);
  return Error(ErrorCode::kInvalidArgument, text);
}

Result<void> DynamoTable::put(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) {
  SKALD_TRY(const std::string body, dynamo::put_item_body(key(hash, range), value, false));
  const Call put{"DynamoDB.PutItem", "PutItem", body};
  SKALD_TRY(const http::ClientResponse response, call(put, ctx));
  if (response.status / 100 != 2) return failure(put, response);
  return {};
}

Result<void> DynamoTable::put_if_absent(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) {
  SKALD_TRY(const std::string body, dynamo::put_item_body(key(hash, range), value, true));
  const Call put{"DynamoDB.PutItem", "PutItem", body};
  int tries = 0;
  SKALD_TRY(const http::ClientResponse response, call(put, ctx, &tries));
  if (response.status / 100 == 2) return {};
  Error error = failure(put, response);
  if (error.code() == ErrorCode::kAlreadyExists && tries > 1) {   // it may be ours
    const Result<Bytes> stored = get(hash, range, ctx);
    if (stored.ok() && *stored == value) return {};
  }
  return error;
}

Result<Bytes> DynamoTable::get(std::string_view hash, std::string_view range, const CallContext& ctx) {
  SKALD_TRY(const std::string body, dynamo::key_body(key(hash, range), true));
  const Call get{"DynamoDB.GetItem", "GetItem", body};
  SKALD_TRY(const http::ClientResponse response, call(get, ctx));
  if (response.status / 100 != 2) return failure(get, response);
  Result<Bytes> value = dynamo::read_item(response.body);
  if (!value.ok()) return std::move(value).error().with_prefix(subject_);
  return value;
}

Result<TablePage> DynamoTable::query(std::string_view hash, std::string_view range_prefix, std::string_view next, std::size_t items_max, WithValues values,
                                     const CallContext& ctx) {
  SKALD_TRY(const std::string body, dynamo::query_body(key(hash, range_prefix), next, items_max, values));
  const Call query{"DynamoDB.Query", "Query", body};
  SKALD_TRY(const http::ClientResponse response, call(query, ctx));
  if (response.status / 100 != 2) return failure(query, response);
  Result<TablePage> page = dynamo::read_query(response.body);
  if (!page.ok()) return std::move(page).error().with_prefix(subject_);
  return page;
}

Result<void> DynamoTable::remove(std::string_view hash, std::string_view range, const CallContext& ctx) {
  SKALD_TRY(const std::string body, dynamo::key_body(key(hash, range), false));
  const Call remove{"DynamoDB.DeleteItem", "DeleteItem", body};
  SKALD_TRY(const http::ClientResponse response, call(remove, ctx));
  if (response.status / 100 != 2) return failure(remove, response);
  return {};
}

Result<std::unique_ptr<TableClient>> open_dynamo_table(const config::DynamoConfig& config, const RemoteContext& context) {
  if (!is_table_name(config.table))
    return Error(ErrorCode::kInvalidArgument, "dynamodb.table '" + config.table + "': a table's name has 3 to 255 letters, digits, '.', '-' or '_'");
  Environment environment = process_environment();
  std::string region = config.region;
  for (const char* variable : {"AWS_REGION", "AWS_DEFAULT_REGION"})
    if (region.empty()) region = environment.variable(variable);
  if (region.empty() && config.endpoint.empty())
    return Error(ErrorCode::kInvalidArgument, "table " + config.table + ": no region; write dynamodb_url: dynamodb://<region>");
  if (region.empty()) region = "us-east-1";
  std::string origin = config.endpoint.empty() ? "https://dynamodb." + region + "." + aws_domain(region) : config.endpoint;
  if (origin.find("://") == std::string::npos) origin.insert(0, "https://");
  while (origin.ends_with('/')) origin.pop_back();
  SKALD_TRY(std::unique_ptr<Remote> remote, Remote::create({.metric = "loki_dynamo_request_duration_seconds",
                                                            .http = config.http,
                                                            .retry = config.retry,
                                                            .hedging = {},
                                                            .subject = "table " + config.table + " at " + host_of(origin)},
                                                           context.registry, context.clock, context.random));
  return std::unique_ptr<TableClient>(std::make_unique<DynamoTable>(
      config, std::move(origin), std::move(region), DynamoParts{.remote = std::move(remote), .environment = std::move(environment), .clock = context.clock}));
}

}  // namespace skald::objstore
