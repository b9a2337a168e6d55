// Uploads to Google Cloud Storage: one request, or a resumable session for what is large
// (https://cloud.google.com/storage/docs/performing-resumable-uploads).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "objstore/gcs_answers.h"
#include "objstore/gcs_request.h"

namespace skald::objstore {

// Thread-safe.
class GcsUpload {
 public:
  // `chunk_bytes`: configured size of a session's pieces; 0: sessions only above 64 MiB. `failures_max`: of a session
  // without progress in between. `bucket` outlives this.
  GcsUpload(GcsBucket& bucket, std::int64_t chunk_bytes, std::int64_t failures_max);

  // kAlreadyExists: `only_new` and the key is there. `tries` counts requests that could have stored the object.
  // The service's checksum of what it stored is compared with ours; an object that differs is deleted again.
  Result<void> run(std::string_view key, ByteView body, bool only_new, const CallContext& ctx, int& tries);

 private:
  Result<void> in_one_request(std::string_view key, ByteView body, bool only_new, const CallContext& ctx, int& tries);
  Result<void> in_session(std::string_view key, ByteView body, bool only_new, const CallContext& ctx, int& tries);
  Result<std::string> start_session(std::string_view key, ByteView body, bool only_new, const CallContext& ctx);
  Result<http::ClientResponse> put_piece(const std::string& session, std::string_view key, ByteView body, std::uint64_t begin,
                                         const CallContext& ctx, int& tries);
  Result<http::ClientResponse> session_state(const std::string& session, std::string_view key, ByteView body, const CallContext& ctx, int& tries);
  Result<void> verify(std::string_view key, ByteView body, const http::ClientResponse& response, const CallContext& ctx);
  Error exists(std::string_view key) const;

  GcsBucket& bucket_;
  const std::uint64_t piece_bytes_;
  const bool always_in_session_;
  const std::int64_t failures_max_;
};

// How many bytes of a session the service has, out of a 308's Range ("bytes=0-524287"); 0 without one.
std::uint64_t bytes_received(const http::ClientResponse& response);

}  // namespace skald::objstore
