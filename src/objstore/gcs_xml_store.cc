// Google Cloud Storage over its XML API, for those who have HMAC keys and nothing else. Not the S3 store with another host:
// a condition "if absent" is Google's own header, which may not stand beside AWS's.
#include <algorithm>
#include <charconv>

#include "objstore/gcs_answers.h"
#include "objstore/gcs_request.h"
#include "objstore/gcs_signing.h"
#include "objstore/gcs_store.h"
#include "objstore/oauth.h"
#include "objstore/parallel.h"
#include "objstore/range_answer.h"
#include "objstore/xml.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

constexpr std::size_t kParallelRequests = 8;   // of one remove_all
constexpr std::uint64_t kSmallAnswerBytesMax = 1 << 20;
constexpr std::uint64_t kListAnswerBytesMax = kXmlBytesMax;
constexpr std::uint64_t kObjectBytesMax = 4ULL << 30;

// <ListBucketResult><Contents><Key/><Size/></Contents><CommonPrefixes><Prefix/></CommonPrefixes><NextContinuationToken/>
Result<ListPage> parse_list(std::string_view xml) {
  const auto bad = [](const std::string& why) { return Error(ErrorCode::kUnavailable, "listing: " + why); };
  auto root = parse_xml(xml);
  if (!root.ok()) return bad(root.error().message());
  if (root->name != "ListBucketResult") return bad("not a ListBucketResult");
  ListPage page;
  for (const XmlNode& entry : root->children) {
    if (entry.name == "Contents") {
      const std::string_view key = entry.child_text("Key"), size_text = entry.child_text("Size");
      std::uint64_t size = 0;
      const auto [rest, failed] = std::from_chars(size_text.data(), size_text.data() + size_text.size(), size);
      if (key.empty() || failed != std::errc() || rest != size_text.data() + size_text.size()) return bad("an object has no key or no size");
      if (!key.ends_with('/')) page.objects.push_back({std::string(key), size});
    } else if (entry.name == "CommonPrefixes") {
      page.folders.emplace_back(entry.child_text("Prefix"));
    }
  }
  if (root->child_text("IsTruncated") != "false") page.next = root->child_text("NextContinuationToken");
  return page;
}

class GcsXmlStore final : public ObjectStore {
 public:
  GcsXmlStore(GcsEndpoint endpoint, const config::GcsConfig& config, std::unique_ptr<Remote> remote, const Clock& clock)
      : endpoint_(std::move(endpoint)),
        host_(endpoint_.origin.substr(endpoint_.origin.find("://") + 3)),
        bucket_(config.bucket_name),
        subject_("gcs bucket '" + bucket_ + "' at " + endpoint_.origin),
        key_{config.hmac_access_key, config.hmac_secret},
        remote_(std::move(remote)),
        clock_(clock),
        pool_("gcs", kParallelRequests - 1) {}

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return write(key, body, false, ctx); }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return write(key, body, true, ctx); }
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override;
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override;
  Result<void> remove(std::string_view key, const CallContext& ctx) override;
  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override {
    return for_all(pool_, keys.size(), [&](std::size_t i) { return remove(keys[i], ctx); });
  }

 private:
  struct Call {
    const char* method;
    std::string_view key;
    QueryPairs query;
    std::vector<http::Header> goog_headers;   // signed; lower case
    std::vector<http::Header> headers;        // not signed
    ByteView body;
    std::uint64_t response_bytes_max = kSmallAnswerBytesMax;
  };
  Result<http::ClientResponse> send(const Call& call, const CallContext& ctx, int* tries = nullptr);
  Error failure(const Call& call, const http::ClientResponse& response) const;
  Result<void> write(std::string_view key, ByteView body, bool only_new, const CallContext& ctx);

  const GcsEndpoint endpoint_;
  const std::string host_, bucket_, subject_;
  const GcsHmacKey key_;
  const std::unique_ptr<Remote> remote_;
  const Clock& clock_;
  exec::Pool pool_;
};

Result<http::ClientResponse> GcsXmlStore::send(const Call& call, const CallContext& ctx, int* tries) {
  std::string path = "/" + bucket_;
  if (!call.key.empty()) path += "/" + aws_uri_encode(call.key, true);
  const std::string query = aws_query(call.query);
  const auto build = [&]() -> Result<http::ClientRequest> {
    const GcsSignedRequest to_sign{.method = call.method, .host = host_, .encoded_path = path, .query = call.query, .goog_headers = call.goog_headers,
                                   .body = call.body};
    http::ClientRequest request;
    request.method = call.method;
    request.url = endpoint_.origin + path + (query.empty() ? "" : "?") + query;
    request.headers = gcs_signed_headers(to_sign, key_, clock_.now_ns());
    request.headers.insert(request.headers.end(), call.headers.begin(), call.headers.end());
    request.body = call.body;
    request.response_bytes_max = call.response_bytes_max;
    return request;
  };
  const bool is_get = std::string_view(call.method) == "GET";
  return remote_->run({.name = call.method, .hedge = is_get && !call.key.empty()}, build, ctx, tries);
}

Error GcsXmlStore::failure(const Call& call, const http::ClientResponse& response) const {
  std::string code, reason;
  if (const auto root = parse_xml(response.body); root.ok() && root->name == "Error") {
    code = one_line(root->child_text("Code"), 64);
    reason = one_line(root->child_text("Message"));
    if (const auto details = root->child_text("Details"); !details.empty()) reason += (reason.empty() ? "" : " ") + one_line(details);
  }
  const std::string message = subject_ + ": " + call.method + (call.key.empty() ? "" : " '" + std::string(call.key) + "'") + ": " +
                              std::to_string(response.status) + (code.empty() ? "" : " " + code) + (reason.empty() ? "" : ": " + reason);
  if (response.status == 401 || response.status == 403)
    return Error(ErrorCode::kPermissionDenied, message + " (signed with the HMAC key " + key_.access_id + "; check hmac_secret and this machine's clock)");
  if (response.status == 404) {
    if (call.key.empty() || code == "NoSuchBucket" || std::string_view(call.method) == "PUT")
      return Error(ErrorCode::kInvalidArgument, message + "; the bucket does not exist: create it first (gcloud storage buckets create gs://" + bucket_ + ")");
    return Error(ErrorCode::kNotFound, subject_ + ": object '" + std::string(call.key) + "' does not exist");
  }
  if (response.status == 413) return Error(ErrorCode::kTooLarge, message);
  if (code == "BadDigest") return Error(ErrorCode::kUnavailable, message);   // damaged on its way
  return Error(ErrorCode::kInternal, message);
}

Result<void> GcsXmlStore::write(std::string_view key, ByteView body, bool only_new, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  Call call{.method = "PUT", .key = key, .query = {}, .goog_headers = {{"x-goog-hash", "crc32c=" + gcs_crc32c(body)}},
            .headers = {{"Content-Type", "application/octet-stream"}}, .body = body};
  if (only_new) call.goog_headers.push_back({"x-goog-if-generation-match", "0"});
  int tries = 0;
  SKALD_TRY(const http::ClientResponse response, send(call, ctx, &tries));
  if (response.status == 200 || response.status == 201) return {};
  if (!only_new || response.status != 412) return failure(call, response);
  if (tries > 1) {   // it may be ours: a try whose answer was lost
    const auto stored = get(key, {}, ctx);
    if (stored.ok() && *stored == body) return {};
  }
  return Error(ErrorCode::kAlreadyExists, subject_ + ": object '" + std::string(key) + "' exists already");
}

Result<Bytes> GcsXmlStore::get(std::string_view key, ByteRange range, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  const std::string what = subject_ + ": object '" + std::string(key) + "'";
  Call call{.method = "GET", .key = key, .query = {}, .goog_headers = {}, .headers = {}, .body = {}};
  const auto ask_for = [&](ByteRange asked) -> Result<http::ClientResponse> {
    call.response_bytes_max = std::max(kSmallAnswerBytesMax, std::min(asked.end - asked.begin, kObjectBytesMax));
    call.headers.clear();
    if (!is_whole(asked)) call.headers.push_back({"Range", range_header(asked)});
    SKALD_TRY(http::ClientResponse response, send(call, ctx));
    if (response.status == 200 && !whole_body_matches(response))
      return Error(ErrorCode::kUnavailable, what + ": the body does not match the checksum the service sent with it");
    return response;
  };
  return read_range(range, what, ask_for, [&](const http::ClientResponse& response) { return failure(call, response); });
}

Result<ListPage> GcsXmlStore::list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) {
  SKALD_TRY_VOID(ctx.check());
  Call call{.method = "GET", .key = {}, .query = {{"list-type", "2"}, {"max-keys", std::to_string(kListPageObjects)}}, .goog_headers = {}, .headers = {},
            .body = {}, .response_bytes_max = kListAnswerBytesMax};
  if (!prefix.empty()) call.query.emplace_back("prefix", prefix);
  if (depth == ListDepth::kOneLevel) call.query.emplace_back("delimiter", "/");
  if (!next.empty()) call.query.emplace_back("continuation-token", next);
  SKALD_TRY(const http::ClientResponse response, send(call, ctx));
  if (response.status != 200) return failure(call, response);
  auto page = parse_list(response.body);
  if (!page.ok()) return page.error().with_prefix(subject_);
  return page;
}

Result<void> GcsXmlStore::remove(std::string_view key, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  const Call call{.method = "DELETE", .key = key, .query = {}, .goog_headers = {}, .headers = {}, .body = {}};
  SKALD_TRY(const http::ClientResponse response, send(call, ctx));
  if (response.status == 204 || response.status == 200) return {};
  Error error = failure(call, response);
  if (error.code() == ErrorCode::kNotFound) return {};
  return error;
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> make_gcs_xml_store(const config::GcsConfig& config, GcsParts parts) {
  SKALD_TRY(GcsEndpoint endpoint, resolve_gcs_endpoint(config.endpoint, parts.environment));
  return std::make_unique<GcsXmlStore>(std::move(endpoint), config, std::move(parts.remote), parts.clock);
}

}  // namespace skald::objstore
