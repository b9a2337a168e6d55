// Large objects in parts: all or nothing, as the object appears only with the last request.
#include <algorithm>

#include "objstore/s3_store.h"
#include "objstore/xml.h"
#include "skald/obs/log.h"

namespace skald::objstore {
namespace {

constexpr std::int64_t kAbortTimeoutNs = 30 * kNanosPerSecond;

// The service may begin an answer of 200 before it is done, and then find that it failed.
bool holds_error(const http::ClientResponse& response) {
  const Result<XmlNode> root = parse_xml(response.body);
  return !root.ok() || root->name == "Error";
}

}  // namespace

std::uint64_t S3Store::part_bytes(std::uint64_t body_bytes) const {
  const std::int64_t wanted = config_.part_size > 0 ? std::max(config_.part_size, kS3PartBytesMin) : kS3PartBytesDefault;
  return std::max(static_cast<std::uint64_t>(wanted), (body_bytes + kS3PartsMax - 1) / kS3PartsMax);
}

Result<void> S3Store::put_in_parts(S3Bucket& bucket, std::string_view key, ByteView body, const CallContext& ctx) {
  S3Bucket::Call begin{.operation = "S3.CreateMultipartUpload", .permission = "s3:PutObject", .method = "POST", .key = key, .query = {{"uploads", ""}},
                       .headers = upload_headers()};
  if (config_.checksum == config::S3Config::Checksum::kCrc32c) begin.headers.push_back({"X-Amz-Checksum-Algorithm", "CRC32C"});
  SKALD_TRY(const http::ClientResponse started, bucket.send(begin, ctx));
  if (started.status != 200) return bucket.failure(begin, started);
  Result<std::string> upload_id = parse_s3_upload_id(started.body);
  if (!upload_id.ok()) return std::move(upload_id).error().with_prefix(bucket.object(key));

  std::vector<S3Part> parts;
  Result<void> result = send_parts(bucket, key, body, *upload_id, parts, ctx);
  if (result.ok()) result = complete(bucket, key, body, *upload_id, parts, ctx);
  if (!result.ok()) abort_upload(bucket, key, *upload_id);
  return result;
}

Result<void> S3Store::send_parts(S3Bucket& bucket, std::string_view key, ByteView body, const std::string& upload_id, std::vector<S3Part>& parts,
                                 const CallContext& ctx) {
  const std::uint64_t size = part_bytes(body.size());
  parts.resize((body.size() + size - 1) / size);
  std::atomic<bool> failed{false};
  std::mutex mutex;   // guards `first`
  std::optional<Error> first;
  pool_.parallel_for(parts.size(), [&](std::size_t i) {
    if (failed) return;
    const S3Bucket::Call call{.operation = "S3.UploadPart", .permission = "s3:PutObject", .method = "PUT", .key = key,
                              .query = {{"partNumber", std::to_string(i + 1)}, {"uploadId", upload_id}}, .headers = bucket.customer_key_headers(),
                              .body = body.substr(i * size, size), .checksum = true};
    const Result<http::ClientResponse> response = bucket.send(call, ctx);
    const std::string* etag = response.ok() && response->status == 200 ? response->header("ETag") : nullptr;
    if (etag != nullptr) {
      parts[i].etag = *etag;
      if (const std::string* crc = response->header("x-amz-checksum-crc32c")) parts[i].crc32c = *crc;
      return;
    }
    Error error = !response.ok()            ? response.error()
                  : response->status == 200 ? Error(ErrorCode::kCorruption, bucket.object(key) + ": a part was answered without an ETag")
                                            : bucket.failure(call, *response);
    failed = true;
    const std::lock_guard lock(mutex);
    if (!first) first = std::move(error);
  });
  if (first) return *std::move(first);
  return {};
}

Result<void> S3Store::complete(S3Bucket& bucket, std::string_view key, ByteView body, const std::string& upload_id, const std::vector<S3Part>& parts,
                               const CallContext& ctx) {
  const std::string request = s3_complete_request(parts);
  S3Bucket::Call call{.operation = "S3.CompleteMultipartUpload", .permission = "s3:PutObject", .method = "POST", .key = key, .query = {{"uploadId", upload_id}},
                      .headers = {{"Content-Type", "application/xml"}}, .body = request};
  call.judge = [](const http::ClientResponse& response) { return holds_error(response) ? Verdict::kRetry : Verdict::kDone; };
  int tries = 0;
  SKALD_TRY(const http::ClientResponse response, bucket.send(call, ctx, &tries));
  if (response.status == 200 && !holds_error(response)) return {};
  const S3Fault fault = read_s3_fault(response);
  if (response.status == 404 && tries > 1) {   // no such upload any more: an earlier try may have completed it
    const S3Bucket::Call head{.operation = "S3.ObjectExists", .permission = "s3:GetObject", .method = "HEAD", .key = key, .headers = bucket.customer_key_headers()};
    const Result<http::ClientResponse> there = bucket.send(head, ctx);
    const std::string* length = there.ok() && there->status == 200 ? there->header("Content-Length") : nullptr;
    if (length != nullptr && *length == std::to_string(body.size())) return {};
  }
  if (response.status == 200) {
    return Error(ErrorCode::kUnavailable, bucket.object(key) + ": S3.CompleteMultipartUpload: " + (fault.code.empty() ? summarise_answer(response) : fault.code + ": " + fault.message));
  }
  if (response.status == 404) return Error(ErrorCode::kUnavailable, bucket.object(key) + ": the multipart upload is gone: " + fault.code);
  return bucket.failure(call, response, fault);
}

// What is left of a failed upload costs money until it is deleted. With a deadline of its own: the call's may be why it failed.
void S3Store::abort_upload(S3Bucket& bucket, std::string_view key, const std::string& upload_id) {
  CallContext ctx;
  ctx.deadline_monotonic_ns = ctx.clock->monotonic_ns() + kAbortTimeoutNs;
  const S3Bucket::Call call{.operation = "S3.AbortMultipartUpload", .permission = "s3:AbortMultipartUpload", .method = "DELETE", .key = key, .query = {{"uploadId", upload_id}}};
  const Result<http::ClientResponse> response = bucket.send(call, ctx);
  if (response.ok() && (response->status / 100 == 2 || response->status == 404)) return;
  log::warn("a failed multipart upload could not be aborted; its parts stay until a lifecycle rule removes them",
            {{"bucket", bucket.name()}, {"key", key}, {"err", response.ok() ? bucket.failure(call, *response).message() : response.error().message()}});
}

}  // namespace skald::objstore
