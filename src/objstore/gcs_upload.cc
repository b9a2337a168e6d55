#include "objstore/gcs_upload.h"

#include <algorithm>
#include <charconv>

#include "objstore/oauth.h"

namespace skald::objstore {
namespace {

constexpr std::uint64_t kOneRequestBytesMax = 64 << 20;
constexpr std::uint64_t kPieceUnitBytes = 256 << 10;           // the service takes multiples only, but for the last piece
constexpr std::uint64_t kDefaultPieceBytes = 16 << 20;
constexpr std::uint64_t kPieceBytesMax = 256 << 20;
constexpr int kSessionsMax = 2;                                // a session the service has forgotten is begun anew once

std::uint64_t piece_bytes_of(std::int64_t configured) {
  if (configured <= 0) return kDefaultPieceBytes;
  const std::uint64_t bounded = std::min(static_cast<std::uint64_t>(configured), kPieceBytesMax);
  return (bounded + kPieceUnitBytes - 1) / kPieceUnitBytes * kPieceUnitBytes;
}

// The session's address may carry another host's name (an emulator behind a port mapping): path and query are what counts,
// and the bytes go nowhere but to the configured endpoint.
std::string target_of(const std::string& location) {
  const std::size_t scheme = location.find("://");
  if (scheme == std::string::npos) return location.starts_with('/') ? location : "";
  const std::size_t path = location.find('/', scheme + 3);
  return path == std::string::npos ? "" : location.substr(path);
}

bool lost(const http::ClientResponse& response) { return response.status == 404 || response.status == 410; }
bool stored(const http::ClientResponse& response) { return response.status == 200 || response.status == 201; }

}  // namespace

std::uint64_t bytes_received(const http::ClientResponse& response) {
  const std::string* range = response.header("Range");
  if (range == nullptr || !range->starts_with("bytes=0-")) return 0;
  std::uint64_t last = 0;
  const char* end = range->data() + range->size();
  const auto [rest, failed] = std::from_chars(range->data() + 8, end, last);
  return failed == std::errc() && rest == end ? last + 1 : 0;
}

GcsUpload::GcsUpload(GcsBucket& bucket, std::int64_t chunk_bytes, std::int64_t failures_max)
    : bucket_(bucket), piece_bytes_(piece_bytes_of(chunk_bytes)), always_in_session_(chunk_bytes > 0), failures_max_(failures_max) {}

Error GcsUpload::exists(std::string_view key) const {
  return Error(ErrorCode::kAlreadyExists, bucket_.subject() + ": object '" + std::string(key) + "' exists already");
}

Result<void> GcsUpload::run(std::string_view key, ByteView body, bool only_new, const CallContext& ctx, int& tries) {
  const bool small = body.size() <= (always_in_session_ ? piece_bytes_ : kOneRequestBytesMax);   // one piece: the same bytes, half the requests
  return small ? in_one_request(key, body, only_new, ctx, tries) : in_session(key, body, only_new, ctx, tries);
}

Result<void> GcsUpload::verify(std::string_view key, ByteView body, const http::ClientResponse& response, const CallContext& ctx) {
  SKALD_TRY(const GcsObject object, parse_gcs_object(response.body));
  const bool same_size = !object.size.has_value() || *object.size == body.size();
  if (same_size && (object.crc32c.empty() || object.crc32c == gcs_crc32c(body))) return {};
  std::string fate = "it could not be removed";
  if (!object.generation.empty()) {   // this very version only: somebody may have written a good one since
    const std::string query = form_encode({{"ifGenerationMatch", object.generation}});
    const GcsBucket::Call call{.what = "delete", .method = "DELETE", .target = bucket_.object_target(key, query), .key = key, .headers = {}, .body = {}};
    const auto removed = bucket_.send(call, ctx);
    if (removed.ok() && removed->status / 100 == 2) fate = "it was removed";
  }
  return Error(ErrorCode::kUnavailable, bucket_.subject() + ": upload '" + std::string(key) +
                                            "': the service stored other bytes than were sent (size or CRC32C differ); " + fate);
}

Result<void> GcsUpload::in_one_request(std::string_view key, ByteView body, bool only_new, const CallContext& ctx, int& tries) {
  const std::string query = form_encode({{"uploadType", "media"}, {"name", key}, {"ifGenerationMatch", only_new ? "0" : ""}});
  const GcsBucket::Call call{.what = "upload", .method = "POST", .target = bucket_.upload_target(query), .key = key,
                             .headers = {{"Content-Type", "application/octet-stream"}}, .body = body};
  SKALD_TRY(const http::ClientResponse response, bucket_.send(call, ctx, &tries));
  if (stored(response)) return verify(key, body, response, ctx);
  if (only_new && response.status == 412) return exists(key);
  if (response.status != 404) return bucket_.failure(call, response);
  GcsBucket::Call of_bucket = call;   // nothing but the bucket can be missing
  of_bucket.key = {};
  return bucket_.failure(of_bucket, response);
}

Result<std::string> GcsUpload::start_session(std::string_view key, ByteView body, bool only_new, const CallContext& ctx) {
  const std::string query = form_encode({{"uploadType", "resumable"}, {"name", key}, {"ifGenerationMatch", only_new ? "0" : ""}});
  const GcsBucket::Call call{.what = "upload", .method = "POST", .target = bucket_.upload_target(query), .key = {},
                             .headers = {{"Content-Type", "application/json"},
                                         {"X-Upload-Content-Type", "application/octet-stream"},
                                         {"X-Upload-Content-Length", std::to_string(body.size())}},
                             .body = "{}"};
  SKALD_TRY(const http::ClientResponse response, bucket_.send(call, ctx));
  if (only_new && response.status == 412) return exists(key);
  if (!stored(response)) return bucket_.failure(call, response);
  const std::string* location = response.header("Location");
  std::string target = location == nullptr ? "" : target_of(*location);
  if (target.empty()) return Error(ErrorCode::kUnavailable, bucket_.subject() + ": upload '" + std::string(key) + "': the answer holds no session");
  return target;
}

Result<http::ClientResponse> GcsUpload::put_piece(const std::string& session, std::string_view key, ByteView body, std::uint64_t begin,
                                                  const CallContext& ctx, int& tries) {
  const ByteView piece = body.substr(begin, piece_bytes_);
  const std::string range = "bytes " + std::to_string(begin) + "-" + std::to_string(begin + piece.size() - 1) + "/" + std::to_string(body.size());
  const GcsBucket::Call call{.what = "upload", .method = "PUT", .target = session, .key = key,
                             .headers = {{"Content-Type", "application/octet-stream"}, {"Content-Range", range}}, .body = piece, .retry = false};
  return bucket_.send(call, ctx, &tries);
}

Result<http::ClientResponse> GcsUpload::session_state(const std::string& session, std::string_view key, ByteView body, const CallContext& ctx,
                                                      int& tries) {
  const GcsBucket::Call call{.what = "upload", .method = "PUT", .target = session, .key = key,
                             .headers = {{"Content-Range", "bytes */" + std::to_string(body.size())}}, .body = {}};
  return bucket_.send(call, ctx, &tries);
}

// Piece after piece. After a failure the service is asked how far it got; the question is tried with back-off, which paces
// the whole.
Result<void> GcsUpload::in_session(std::string_view key, ByteView body, bool only_new, const CallContext& ctx, int& tries) {
  if (only_new) {   // a look before much is sent in vain; what decides is the session's condition
    const GcsBucket::Call look{.what = "download", .method = "GET", .target = bucket_.object_target(key, "fields=size"), .key = key, .headers = {}, .body = {}};
    SKALD_TRY(const http::ClientResponse response, bucket_.send(look, ctx));
    if (response.status == 200) return exists(key);
  }
  for (int sessions = 1;; ++sessions) {
    SKALD_TRY(const std::string session, start_session(key, body, only_new, ctx));
    std::uint64_t begin = 0;
    std::int64_t failures = 0;
    while (true) {
      SKALD_TRY_VOID(ctx.check());
      auto answer = put_piece(session, key, body, begin, ctx, tries);
      if (!answer.ok()) {
        const ErrorCode code = answer.error().code();
        const bool again = code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded;   // the piece's deadline, or the caller's
        if (!again || ++failures > failures_max_) return answer.error();
        SKALD_TRY_VOID(ctx.check());
        answer = session_state(session, key, body, ctx, tries);
        if (!answer.ok()) return answer.error();
      }
      if (stored(*answer)) return verify(key, body, *answer, ctx);
      if (only_new && answer->status == 412) return exists(key);
      if (lost(*answer) && sessions < kSessionsMax) break;
      if (answer->status != 308) {
        const GcsBucket::Call call{.what = "upload", .method = "PUT", .target = {}, .key = key, .headers = {}, .body = {}};
        if (lost(*answer))
          return Error(ErrorCode::kUnavailable, bucket_.subject() + ": upload '" + std::string(key) + "': the service lost the session twice");
        return bucket_.failure(call, *answer);
      }
      const std::uint64_t received = bytes_received(*answer);
      if (received > begin && received < body.size()) {
        failures = 0;
      } else if (++failures > failures_max_) {
        return Error(ErrorCode::kUnavailable, bucket_.subject() + ": upload '" + std::string(key) + "': the session does not advance at byte " +
                                                  std::to_string(begin) + " of " + std::to_string(body.size()));
      }
      begin = std::min<std::uint64_t>(received, body.size() - 1);
    }
  }
}

}  // namespace skald::objstore
