// Requests to one S3 bucket: addressed, signed, sent; what the service refuses becomes an Error that says what to do.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "objstore/aws_credentials.h"
#include "objstore/remote.h"
#include "objstore/s3_address.h"
#include "objstore/s3_answers.h"
#include "objstore/sigv4.h"
#include "skald/config/storage.h"

namespace skald::objstore {

// Thread-safe.
class S3Bucket {
 public:
  // All outlive this.
  S3Bucket(const config::S3Config& config, const S3Address& address, std::string bucket, Remote& remote, AwsCredentialsSource& credentials, const Clock& clock);

  struct Call {
    const char* operation;                  // as the metric labels it: "S3.PutObject"
    const char* permission;                 // of AWS's policies, for messages: "s3:PutObject"
    const char* method;
    std::string_view key{};                 // empty: the bucket
    QueryPairs query{};
    std::vector<http::Header> headers{};
    ByteView body{};
    bool checksum = false;                  // the body is what gets stored: with the configured checksum
    bool must_md5 = false;                  // the service insists on Content-MD5 for this request
    std::uint64_t response_bytes_max = 1 << 20;
    bool hedge = false;
    std::function<Verdict(const http::ClientResponse&)> judge{};   // beyond what is retried anyway
  };
  // Credentials that are refused as expired are replaced once; a bucket elsewhere is followed to its region once.
  Result<http::ClientResponse> send(const Call& call, const CallContext& ctx, int* tries = nullptr);
  Error failure(const Call& call, const http::ClientResponse& response);
  Error failure(const Call& call, const http::ClientResponse& response, const S3Fault& fault);

  const std::string& name() const { return bucket_; }
  std::string subject() const;              // "s3 bucket 'logs' at minio:9000"
  std::string object(std::string_view key) const { return subject() + ": object '" + std::string(key) + "'"; }
  // Headers of SSE-C, wanted by every request for an object's bytes; empty otherwise.
  const std::vector<http::Header>& customer_key_headers() const { return customer_key_headers_; }

 private:
  std::string region() const;
  void set_region(const std::string& region);
  std::vector<http::Header> checksum_headers(const Call& call) const;
  Error refused(const Call& call, const http::ClientResponse& response, const S3Fault& fault);

  const config::S3Config& config_;
  const S3Address& address_;
  const std::string bucket_;
  Remote& remote_;
  AwsCredentialsSource& credentials_;
  const Clock& clock_;
  std::vector<http::Header> customer_key_headers_;
  std::atomic<bool> wants_md5_{false};      // the bucket said so (object lock)
  mutable std::mutex mutex_;                // guards what follows
  std::string region_;
  std::string last_access_key_id_;          // for messages
};

std::string base64(ByteView bytes);
Bytes md5(ByteView data);

}  // namespace skald::objstore
