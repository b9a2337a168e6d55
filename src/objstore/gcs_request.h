// Requests to one bucket of Google Cloud Storage (JSON API), authorized; what the service refuses becomes an Error here.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "objstore/remote.h"
#include "objstore/token.h"
#include "skald/http/client.h"

namespace skald::objstore {

struct GcsEndpoint {
  std::string origin;        // scheme://host[:port]
  bool emulator = false;     // somebody else's address: works without credentials
};
// `endpoint` as configured (a URL, or host[:port]; a path such as /storage/v1/ is dropped), else STORAGE_EMULATOR_HOST, else Google's.
Result<GcsEndpoint> resolve_gcs_endpoint(const std::string& endpoint, const Environment& environment);

// Thread-safe.
class GcsBucket {
 public:
  // `token` null: anonymous.
  GcsBucket(GcsEndpoint endpoint, std::string bucket, std::unique_ptr<Remote> remote, std::unique_ptr<CachedToken> token);

  struct Call {
    const char* what;                 // for messages: "upload"
    const char* method;
    std::string target;               // path and query, encoded
    std::string_view key;             // for messages; empty: the bucket
    std::vector<http::Header> headers;
    ByteView body;
    std::uint64_t response_bytes_max = 1 << 20;
    bool hedge = false;
    bool retry = true;
  };
  // A token that is refused (401) is replaced once.
  Result<http::ClientResponse> send(const Call& call, const CallContext& ctx, int* tries = nullptr);
  Error failure(const Call& call, const http::ClientResponse& response) const;

  std::string object_target(std::string_view key, std::string_view query) const;   // /storage/v1/b/B/o/K?query
  std::string bucket_target(std::string_view query) const;                         // /storage/v1/b/B/o?query
  std::string upload_target(std::string_view query) const;                         // /upload/storage/v1/b/B/o?query
  const std::string& subject() const { return subject_; }   // "gcs bucket 'logs' at https://storage.googleapis.com"

 private:
  const GcsEndpoint endpoint_;
  const std::string bucket_;
  const std::string subject_;
  const std::unique_ptr<Remote> remote_;
  const std::unique_ptr<CachedToken> token_;
};

}  // namespace skald::objstore
