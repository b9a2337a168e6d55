#include "objstore/s3_bucket.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>

#include "skald/base/check.h"
#include "skald/codec/crc32c.h"
#include "skald/obs/log.h"

namespace skald::objstore {
namespace {

using config::S3Config;

constexpr std::int64_t kSkewWorthMentioningNs = kNanosPerMinute;

bool mentions(std::string_view text, std::string_view word) { return text.find(word) != std::string_view::npos; }

std::string seconds_or_minutes(std::int64_t ns) {
  const std::int64_t seconds = std::abs(ns) / kNanosPerSecond;
  return seconds < 120 ? std::to_string(seconds) + " s" : std::to_string(seconds / 60) + " min";
}

// "; the clock here is 7 min behind the store's" or nothing.
std::string skew_text(const http::ClientResponse& response, std::int64_t now_ns) {
  const std::string* date = response.header("Date");
  const std::optional<std::int64_t> there_ns = date != nullptr ? parse_http_date_ns(*date) : std::nullopt;
  if (!there_ns || std::abs(now_ns - *there_ns) < kSkewWorthMentioningNs) return "";
  return "; the clock here is " + seconds_or_minutes(now_ns - *there_ns) + (now_ns < *there_ns ? " behind" : " ahead of") + " the store's: set it right";
}

}  // namespace

std::string base64(ByteView bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

Bytes md5(ByteView data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (::EVP_Digest(data.data(), data.size(), digest, &length, ::EVP_md5(), nullptr) != 1) return {};   // OpenSSL in FIPS mode has none
  return Bytes(reinterpret_cast<const char*>(digest), length);
}

S3Bucket::S3Bucket(const S3Config& config, const S3Address& address, std::string bucket, Remote& remote, AwsCredentialsSource& credentials, const Clock& clock)
    : config_(config), address_(address), bucket_(std::move(bucket)), remote_(remote), credentials_(credentials), clock_(clock), region_(address.region) {
  if (config.sse != S3Config::Sse::kCustomer) return;
  std::string key(config.sse_customer_key.size(), '\0');   // checked when the store was opened
  const int length = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(key.data()), reinterpret_cast<const unsigned char*>(config.sse_customer_key.data()),
                                       static_cast<int>(config.sse_customer_key.size()));
  SKALD_CHECK(length >= 32);
  key.resize(32);
  customer_key_headers_ = {{"X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256"},
                           {"X-Amz-Server-Side-Encryption-Customer-Key", config.sse_customer_key},
                           {"X-Amz-Server-Side-Encryption-Customer-Key-Md5", base64(md5(key))}};
}

std::string S3Bucket::region() const {
  const std::lock_guard lock(mutex_);
  return region_;
}

void S3Bucket::set_region(const std::string& region) {
  const std::lock_guard lock(mutex_);
  if (region_ == region) return;
  log::warn("s3 bucket lies in another region than configured; requests go there from now on", {{"bucket", bucket_}, {"configured", region_}, {"region", region}});
  region_ = region;
}

std::string S3Bucket::subject() const {
  return "s3 bucket '" + bucket_ + "' at " + (address_.host.empty() ? "AWS in " + region() : address_.host);
}

std::vector<http::Header> S3Bucket::checksum_headers(const Call& call) const {
  std::vector<http::Header> headers;
  const bool stored = call.checksum && !call.body.empty();
  if (call.must_md5 || (call.checksum && (config_.checksum == S3Config::Checksum::kMd5 || wants_md5_))) {
    if (const Bytes digest = md5(call.body); !digest.empty()) headers.push_back({"Content-MD5", base64(digest)});
  }
  if (stored && config_.checksum == S3Config::Checksum::kCrc32c) {
    const std::uint32_t crc = codec::crc32c(call.body);
    const char big_endian[4] = {static_cast<char>(crc >> 24), static_cast<char>(crc >> 16), static_cast<char>(crc >> 8), static_cast<char>(crc)};
    headers.push_back({"X-Amz-Checksum-Crc32c", base64({big_endian, 4})});
  }
  return headers;
}

Result<http::ClientResponse> S3Bucket::send(const Call& call, const CallContext& ctx, int* tries) {
  // Over TLS the body need not be hashed: the connection protects it. In plain text the signature must cover it.
  const bool sign_body = !address_.tls || call.body.empty() || (call.checksum && config_.checksum == S3Config::Checksum::kSha256);
  const std::string payload = sign_body ? sha256_hex(call.body) : std::string(kUnsignedPayload);
  std::vector<http::Header> checksums = checksum_headers(call);
  const std::string encoded_key = aws_uri_encode(call.key, true);
  const std::string query = aws_query(call.query);
  std::string used_key_id;
  bool moved = false;
  bool renewed = false;

  const BuildRequest build = [&]() -> Result<http::ClientRequest> {
    SKALD_TRY(const AwsCredentials credentials, credentials_.get(ctx));
    used_key_id = credentials.access_key_id;
    const std::string signing_region = region();
    const S3Location location = locate_bucket(address_, bucket_, signing_region);
    const std::string path = location.path + (call.key.empty() && !location.path.empty() ? "" : "/") + encoded_key;
    SigV4Request to_sign{.method = call.method, .host = location.host, .encoded_path = path, .query = &call.query, .headers = call.headers,
                         .payload_sha256 = payload, .content_sha256_header = true};
    to_sign.headers.insert(to_sign.headers.end(), checksums.begin(), checksums.end());
    http::ClientRequest request{.method = call.method, .url = location.origin + path + (query.empty() ? "" : "?" + query), .body = call.body,
                                .response_bytes_max = call.response_bytes_max};
    request.headers = sigv4_headers(to_sign, credentials, signing_region, "s3", clock_.now_ns());
    return request;
  };

  const auto judge = [&](const http::ClientResponse& response) {
    if (response.status < 300) return call.judge ? call.judge(response) : Verdict::kDone;
    if (response.status == 304 || response.status == 404 || response.status == 412 || response.status == 416) return Verdict::kDone;
    const S3Fault fault = read_s3_fault(response);
    // Another writer is at work on the key, or the body came too slowly.
    if (fault.code == "ConditionalRequestConflict" || fault.code == "OperationAborted" || fault.code == "RequestTimeout") return Verdict::kRetry;
    if (!renewed && (fault.code == "ExpiredToken" || fault.code == "InvalidToken" || fault.code == "TokenRefreshRequired" || fault.code == "InvalidAccessKeyId")) {
      renewed = credentials_.reject(used_key_id);
      return renewed ? Verdict::kRetry : Verdict::kDone;
    }
    if (!moved && !fault.region.empty() && fault.region != region() && response.status != 403 &&
        (response.status == 301 || response.status == 307 || fault.code == "AuthorizationHeaderMalformed" || fault.code == "IncorrectEndpoint" || response.status == 400)) {
      moved = true;
      set_region(fault.region);
      return Verdict::kRetry;
    }
    const bool about_md5 = fault.code == "MissingContentMD5" || mentions(fault.message, "Content-MD5");
    if (response.status == 400 && about_md5 && fault.code != "InvalidDigest" && fault.code != "BadDigest" && call.checksum && !call.body.empty() &&
        config_.checksum == S3Config::Checksum::kAuto && !wants_md5_.exchange(true)) {
      checksums = checksum_headers(call);
      return Verdict::kRetry;
    }
    return Verdict::kDone;
  };

  RemoteOperation operation{.name = call.operation, .hedge = call.hedge, .judge = judge};
  Result<http::ClientResponse> response = remote_.run(operation, build, ctx, tries);
  if (!response.ok()) return response;
  if (response->status >= 300) {
    const std::lock_guard lock(mutex_);
    last_access_key_id_ = used_key_id;
  }
  return response;
}

Error S3Bucket::failure(const Call& call, const http::ClientResponse& response) { return failure(call, response, read_s3_fault(response)); }

Error S3Bucket::failure(const Call& call, const http::ClientResponse& response, const S3Fault& fault) {
  const std::string subject_text = call.key.empty() ? subject() : object(call.key);
  const std::string said = fault.code + (fault.message.empty() ? "" : ": " + fault.message.substr(0, 300));
  const std::string code = fault.code.empty() ? "status " + std::to_string(response.status) + ": " + summarise_answer(response) : said;
  if (fault.code == "NoSuchBucket") {
    return Error(ErrorCode::kInvalidArgument, subject() + ": the bucket does not exist; create it, or correct bucketnames (bucket_name), endpoint or region");
  }
  if (fault.code == "InvalidBucketName") return Error(ErrorCode::kInvalidArgument, subject() + ": " + code);
  if (response.status == 401 || response.status == 403 || fault.code == "ExpiredToken" || fault.code == "InvalidToken" || fault.code == "AuthorizationHeaderMalformed") {
    return refused(call, response, fault);
  }
  if (response.status == 301 || response.status == 307) {
    return Error(ErrorCode::kInvalidArgument, subject() + ": " + said + (fault.region.empty() ? "; set region" : "; the bucket is in region '" + fault.region + "'") +
                                                  (fault.endpoint.empty() ? "" : ", endpoint " + fault.endpoint));
  }
  if (response.status == 404) return Error(ErrorCode::kNotFound, subject_text + " does not exist");
  if (response.status == 412) return Error(ErrorCode::kAlreadyExists, subject_text + " exists already");
  if (response.status == 501 || response.status == 405 || fault.code == "NotImplemented") {
    return Error(ErrorCode::kUnimplemented, subject_text + ": " + call.operation + ": " + code + (fault.header.empty() ? "" : " (header " + fault.header + ")"));
  }
  if (response.status == 413 || fault.code == "EntityTooLarge") return Error(ErrorCode::kTooLarge, subject_text + ": " + code);
  if (response.status == 409 || fault.code == "RequestTimeout") return Error(ErrorCode::kUnavailable, subject_text + ": " + call.operation + ": " + code);
  if (mentions(fault.code, "Quota")) return Error(ErrorCode::kResourceExhausted, subject_text + ": " + code);
  return Error(response.status >= 400 ? ErrorCode::kInvalidArgument : ErrorCode::kInternal, subject_text + ": " + call.operation + ": " + code);
}

// 401 and 403: what was signed, and what most often is wrong.
Error S3Bucket::refused(const Call& call, const http::ClientResponse& response, const S3Fault& fault) {
  std::string key_id;
  {
    const std::lock_guard lock(mutex_);
    key_id = last_access_key_id_;
  }
  const S3Location location = locate_bucket(address_, bucket_, region());
  const std::string signed_for = "signed for access key '" + key_id + "', region '" + region() + "', service 's3', host '" + location.host + "' (" +
                                 (location.virtual_hosted ? "virtual-hosted" : "path") + " style)";
  std::string text = std::string(call.operation) + " on " + subject() + ": " + std::to_string(response.status) + " " + fault.code;
  if (!fault.message.empty()) text += ": " + fault.message.substr(0, 300);
  text += "; " + signed_for;
  if (fault.code == "SignatureDoesNotMatch") {
    text += "; check secret_access_key (percent-encoded in an s3:// URL), region, and that no proxy changes the Host header or the path";
  } else if (fault.code == "InvalidAccessKeyId") {
    text += "; the store does not know this access key";
  } else if (fault.code == "ExpiredToken" || fault.code == "InvalidToken") {
    text += "; the session token is no longer valid";
  } else if (fault.code == "AuthorizationHeaderMalformed" && !fault.region.empty()) {
    text += "; the store expects region '" + fault.region + "'";
  } else if (fault.code == "AccessDenied") {
    text += std::string("; the key's or the bucket's policy must allow ") + call.permission;
    if (call.permission == std::string_view("s3:GetObject")) text += ", and s3:ListBucket, without which AWS answers this for absent objects too";
  }
  std::string skew = skew_text(response, clock_.now_ns());
  if (skew.empty() && fault.code == "RequestTimeTooSkewed") skew = "; the clocks here and at the store differ too much";
  return Error(ErrorCode::kPermissionDenied, text + skew);
}

}  // namespace skald::objstore
