#include "objstore/gcs_store.h"

#include <algorithm>

#include "objstore/gcs_answers.h"
#include "objstore/gcs_credentials.h"
#include "objstore/gcs_request.h"
#include "objstore/gcs_upload.h"
#include "objstore/oauth.h"
#include "objstore/parallel.h"
#include "objstore/range_answer.h"
#include "skald/objstore/remote_stores.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

constexpr std::size_t kParallelRequests = 8;   // of one remove_all
constexpr std::uint64_t kSmallAnswerBytesMax = 1 << 20;
constexpr std::uint64_t kListAnswerBytesMax = 64 << 20;
constexpr std::uint64_t kObjectBytesMax = 4ULL << 30;

class GcsStore final : public ObjectStore {
 public:
  GcsStore(GcsEndpoint endpoint, const config::GcsConfig& config, std::unique_ptr<Remote> remote, TokenRemotes token_remotes,
           std::unique_ptr<CachedToken> token)
      : token_remotes_(std::move(token_remotes)),
        bucket_(std::move(endpoint), config.bucket_name, std::move(remote), std::move(token)),
        upload_(bucket_, config.chunk_buffer_size, config.enable_retries ? config.retry.max_retries : 0),
        pool_("gcs", kParallelRequests - 1) {}

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return write(key, body, false, ctx); }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return write(key, body, true, ctx); }
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override;
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override;
  Result<void> remove(std::string_view key, const CallContext& ctx) override;
  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override;

 private:
  Result<void> write(std::string_view key, ByteView body, bool only_new, const CallContext& ctx);

  const TokenRemotes token_remotes_;   // before bucket_: its token uses it
  GcsBucket bucket_;
  GcsUpload upload_;
  exec::Pool pool_;
};

Result<void> GcsStore::write(std::string_view key, ByteView body, bool only_new, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  int tries = 0;
  Result<void> result = upload_.run(key, body, only_new, ctx, tries);
  if (!result.ok() && result.error().code() == ErrorCode::kAlreadyExists && tries > 1) {   // it may be ours: a try whose answer was lost
    const auto stored = get(key, {}, ctx);
    if (stored.ok() && *stored == body) return {};
  }
  return result;
}

Result<Bytes> GcsStore::get(std::string_view key, ByteRange range, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  const std::string what = bucket_.subject() + ": object '" + std::string(key) + "'";
  GcsBucket::Call call{.what = "download", .method = "GET", .target = bucket_.object_target(key, "alt=media"), .key = key, .headers = {}, .body = {},
                       .hedge = true};
  const auto send = [&](ByteRange asked) -> Result<http::ClientResponse> {
    call.response_bytes_max = std::max(kSmallAnswerBytesMax, std::min(asked.end - asked.begin, kObjectBytesMax));
    call.headers.clear();
    if (!is_whole(asked)) call.headers.push_back({"Range", range_header(asked)});
    SKALD_TRY(http::ClientResponse response, bucket_.send(call, ctx));
    if (response.status == 200 && !whole_body_matches(response))
      return Error(ErrorCode::kUnavailable, what + ": the body does not match the checksum the service sent with it");
    return response;
  };
  return read_range(range, what, send, [&](const http::ClientResponse& response) { return bucket_.failure(call, response); });
}

Result<ListPage> GcsStore::list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) {
  SKALD_TRY_VOID(ctx.check());
  const std::string query = form_encode({{"maxResults", std::to_string(kListPageObjects)},
                                         {"fields", "items(name,size),prefixes,nextPageToken"},
                                         {"prefix", prefix},
                                         {"delimiter", depth == ListDepth::kOneLevel ? "/" : ""},
                                         {"pageToken", next}});
  const GcsBucket::Call call{.what = "list", .method = "GET", .target = bucket_.bucket_target(query), .key = {}, .headers = {}, .body = {},
                             .response_bytes_max = kListAnswerBytesMax};
  SKALD_TRY(const http::ClientResponse response, bucket_.send(call, ctx));
  if (response.status != 200) return bucket_.failure(call, response);
  auto page = parse_gcs_list(response.body);
  if (!page.ok()) return page.error().with_prefix(bucket_.subject());
  return page;
}

Result<void> GcsStore::remove(std::string_view key, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  const GcsBucket::Call call{.what = "delete", .method = "DELETE", .target = bucket_.object_target(key, ""), .key = key, .headers = {}, .body = {}};
  SKALD_TRY(const http::ClientResponse response, bucket_.send(call, ctx));
  if (response.status == 204 || response.status == 200) return {};
  Error error = bucket_.failure(call, response);
  if (error.code() == ErrorCode::kNotFound) return {};
  return error;
}

Result<void> GcsStore::remove_all(std::span<const std::string> keys, const CallContext& ctx) {
  return for_all(pool_, keys.size(), [&](std::size_t i) { return remove(keys[i], ctx); });
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> make_gcs_store(const config::GcsConfig& config, GcsParts parts) {
  // 3 to 222 of these; the name becomes part of URLs and messages.
  if (config.bucket_name.empty() || config.bucket_name.size() > 222 ||
      config.bucket_name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") != std::string::npos)
    return Error(ErrorCode::kInvalidArgument, "gcs: bucket_name '" + config.bucket_name + "' is missing or not a bucket's name");
  if (config.chunk_buffer_size < 0) return Error(ErrorCode::kInvalidArgument, "gcs: chunk_buffer_size is negative");
  if (config.hmac_access_key.empty() != config.hmac_secret.empty())
    return Error(ErrorCode::kInvalidArgument, "gcs: an HMAC key needs both its access id and its secret");
  if (!config.hmac_access_key.empty()) return make_gcs_xml_store(config, std::move(parts));
  SKALD_TRY(GcsEndpoint endpoint, resolve_gcs_endpoint(config.endpoint, parts.environment));
  SKALD_TRY(auto token, make_gcs_token(config, endpoint.emulator, parts.environment, parts.token_remotes, parts.clock));
  return std::make_unique<GcsStore>(std::move(endpoint), config, std::move(parts.remote), std::move(parts.token_remotes), std::move(token));
}

Result<std::unique_ptr<ObjectStore>> open_gcs_store(const config::GcsConfig& config, const RemoteContext& context) {
  Environment environment = process_environment();
  SKALD_TRY(const GcsEndpoint endpoint, resolve_gcs_endpoint(config.endpoint, environment));
  RemoteOptions options{.metric = "loki_gcs_request_duration_seconds",
                        .http = config.http,
                        .retry = config.retry,
                        .hedging = context.hedging,
                        .subject = "gcs bucket '" + config.bucket_name + "' at " + endpoint.origin};
  if (!config.enable_retries) options.retry.max_retries = 0;
  SKALD_TRY(auto remote, Remote::create(options, context.registry, context.clock, context.random));
  TokenRemotes token_remotes;
  if (config.hmac_access_key.empty()) {
    SKALD_TRY(token_remotes, open_token_remotes(options, "gcs token service", context.registry, context.clock, context.random));
  }
  return make_gcs_store(config, {.remote = std::move(remote), .token_remotes = std::move(token_remotes), .environment = std::move(environment), .clock = context.clock});
}

}  // namespace skald::objstore
