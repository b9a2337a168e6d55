#include "objstore/azure_store.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "objstore/azure_account.h"
#include "objstore/azure_identity.h"
#include "objstore/azure_request.h"
#include "objstore/azure_xml.h"
#include "objstore/jwt.h"
#include "objstore/oauth.h"
#include "objstore/parallel.h"
#include "objstore/range_answer.h"
#include "skald/objstore/remote_stores.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

constexpr std::size_t kOnePutBytesMax = 64 << 20;
constexpr std::size_t kBlockBytes = 16 << 20;      // 16 MiB: 1% lost to latency at 100 MB/s; 50,000 of them make 780 GiB
constexpr std::size_t kParallelRequests = 8;       // of one upload or one remove_all
constexpr std::uint64_t kSmallAnswerBytesMax = 1 << 20;
constexpr std::uint64_t kListAnswerBytesMax = 64 << 20;
constexpr std::uint64_t kObjectBytesMax = 4ULL << 30;

Result<std::string> md5_base64(ByteView bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_md5(), nullptr) != 1)
    return Error(ErrorCode::kInternal, "MD5 failed (a FIPS-only OpenSSL?)");
  return base64_encode({reinterpret_cast<const char*>(digest.data()), length});
}

bool exists_already(const http::ClientResponse& response) {
  if (response.status != 409 && response.status != 412) return false;
  const std::string code = azure_error_code(response);
  return code == "BlobAlreadyExists" || code == "ConditionNotMet";
}

class AzureStore final : public ObjectStore {
 public:
  AzureStore(AzureAccount account, std::string container, std::unique_ptr<Remote> remote, TokenRemotes token_remotes,
             std::unique_ptr<CachedToken> token, const Clock& clock, Random& random, obs::Counter* egress_bytes)
      : token_remotes_(std::move(token_remotes)),
        container_(std::move(account), std::move(container), std::move(remote), std::move(token), clock),
        random_(random),
        egress_bytes_(egress_bytes),
        pool_("azure", kParallelRequests - 1) {}

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return write(key, body, false, ctx); }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return write(key, body, true, ctx); }
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override;
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override;
  Result<void> remove(std::string_view key, const CallContext& ctx) override;
  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override;

 private:
  Result<void> write(std::string_view key, ByteView body, bool only_new, const CallContext& ctx);
  Result<http::ClientResponse> put_blocks(std::string_view key, ByteView body, bool only_new, int& tries, const CallContext& ctx);
  Result<void> put_block(std::string_view key, const std::string& id, ByteView block, const CallContext& ctx);

  const TokenRemotes token_remotes_;   // before container_: its token uses it
  AzureContainer container_;
  Random& random_;
  obs::Counter* const egress_bytes_;
  exec::Pool pool_;
};

Result<void> AzureStore::put_block(std::string_view key, const std::string& id, ByteView block, const CallContext& ctx) {
  SKALD_TRY(const std::string md5, md5_base64(block));
  const AzureContainer::Call call{.operation = "azure.PutBlock",
                                  .method = "PUT",
                                  .key = key,
                                  .query = "comp=block&blockid=" + percent_encode(id),
                                  .headers = {{"Content-MD5", md5}},
                                  .body = block,
                                  .response_bytes_max = kSmallAnswerBytesMax};
  SKALD_TRY(const http::ClientResponse response, container_.send(call, ctx));
  if (response.status != 201) return container_.failure(call, response);
  return {};
}

Result<http::ClientResponse> AzureStore::put_blocks(std::string_view key, ByteView body, bool only_new, int& tries, const CallContext& ctx) {
  // Blocks wait at the service under their ids until a list commits them. A random part keeps two uploads of one key apart.
  std::string nonce(8, '\0');
  store_le(nonce.data(), random_.next_u64());
  std::vector<std::string> ids;
  for (std::size_t begin = 0; begin < body.size(); begin += kBlockBytes) {
    std::string id = nonce;
    append_le(id, static_cast<std::uint32_t>(ids.size()));
    ids.push_back(base64_encode(id));
  }
  SKALD_TRY_VOID(for_all(pool_, ids.size(), [&](std::size_t i) { return put_block(key, ids[i], body.substr(i * kBlockBytes, kBlockBytes), ctx); }));
  const std::string list = azure_block_list(ids);
  AzureContainer::Call call{.operation = "azure.PutBlockList",
                            .method = "PUT",
                            .key = key,
                            .query = "comp=blocklist",
                            .headers = {},
                            .body = list,
                            .response_bytes_max = kSmallAnswerBytesMax};
  if (only_new) call.headers.push_back({"If-None-Match", "*"});
  return container_.send(call, ctx, &tries);
}

Result<void> AzureStore::write(std::string_view key, ByteView body, bool only_new, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  int tries = 0;
  AzureContainer::Call call{.operation = "azure.PutObject", .method = "PUT", .key = key, .query = {}, .headers = {}, .body = body,
                            .response_bytes_max = kSmallAnswerBytesMax};
  auto send = [&]() -> Result<http::ClientResponse> {
    if (body.size() > kOnePutBytesMax) return put_blocks(key, body, only_new, tries, ctx);
    SKALD_TRY(std::string md5, md5_base64(body));
    call.headers = {{"x-ms-blob-type", "BlockBlob"}, {"Content-MD5", std::move(md5)}};
    if (only_new) call.headers.push_back({"If-None-Match", "*"});
    return container_.send(call, ctx, &tries);
  };
  SKALD_TRY(const http::ClientResponse response, send());
  if (response.status == 201) return {};
  if (only_new && exists_already(response)) {
    if (tries > 1) {   // it may be ours: an earlier try whose answer was lost
      const auto stored = get(key, {}, ctx);
      if (stored.ok() && *stored == body) return {};
    }
    return Error(ErrorCode::kAlreadyExists, container_.subject() + ": object '" + std::string(key) + "' exists already");
  }
  const Error error = container_.failure(call, response);
  // Another upload of the same key committed first, which drops everybody's waiting blocks.
  if (response.status == 400 && azure_error_code(response) == "InvalidBlockList") return Error(ErrorCode::kUnavailable, error.message());
  return error;
}

Result<Bytes> AzureStore::get(std::string_view key, ByteRange range, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  AzureContainer::Call call{.operation = "azure.GetObject", .method = "GET", .key = key, .query = {}, .headers = {}, .body = {}, .hedge = true};
  const auto send = [&](ByteRange asked) {
    call.response_bytes_max = std::max(kSmallAnswerBytesMax, std::min(asked.end - asked.begin, kObjectBytesMax));
    call.headers.clear();
    if (!is_whole(asked)) call.headers.push_back({"x-ms-range", range_header(asked)});
    return container_.send(call, ctx);
  };
  auto bytes = read_range(range, container_.subject() + ": object '" + std::string(key) + "'", send,
                          [&](const http::ClientResponse& response) { return container_.failure(call, response); });
  if (bytes.ok() && egress_bytes_ != nullptr) egress_bytes_->add(static_cast<double>(bytes->size()));
  return bytes;
}

Result<ListPage> AzureStore::list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) {
  SKALD_TRY_VOID(ctx.check());
  const AzureContainer::Call call{.operation = "azure.List",
                                  .method = "GET",
                                  .key = {},
                                  .query = form_encode({{"restype", "container"},
                                                        {"comp", "list"},
                                                        {"maxresults", std::to_string(kListPageObjects)},
                                                        {"prefix", prefix},
                                                        {"delimiter", depth == ListDepth::kOneLevel ? "/" : ""},
                                                        {"marker", next}}),
                                  .headers = {},
                                  .body = {},
                                  .response_bytes_max = kListAnswerBytesMax};
  SKALD_TRY(const http::ClientResponse response, container_.send(call, ctx));
  if (response.status != 200) return container_.failure(call, response);
  auto page = parse_azure_list(response.body);
  if (!page.ok()) return page.error().with_prefix(container_.subject());
  return page;
}

Result<void> AzureStore::remove(std::string_view key, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  const AzureContainer::Call call{.operation = "azure.DeleteObject",
                                  .method = "DELETE",
                                  .key = key,
                                  .query = {},
                                  .headers = {{"x-ms-delete-snapshots", "include"}},
                                  .body = {},
                                  .response_bytes_max = kSmallAnswerBytesMax};
  SKALD_TRY(const http::ClientResponse response, container_.send(call, ctx));
  if (response.status == 202 || response.status == 200) return {};
  Error error = container_.failure(call, response);
  if (error.code() == ErrorCode::kNotFound) return {};
  return error;
}

Result<void> AzureStore::remove_all(std::span<const std::string> keys, const CallContext& ctx) {
  return for_all(pool_, keys.size(), [&](std::size_t i) { return remove(keys[i], ctx); });
}

// 3 to 63 lower-case letters, digits and single hyphens; also $root and $logs. It becomes part of URLs.
bool is_container_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-$") == std::string_view::npos;
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> make_azure_store(const config::AzureConfig& config, AzureParts parts) {
  SKALD_TRY(AzureAccount account, resolve_azure_account(config));
  if (!is_container_name(config.container_name))
    return Error(ErrorCode::kInvalidArgument, "azure: container_name '" + config.container_name + "' is not made of lower-case letters, digits and '-'");
  std::unique_ptr<CachedToken> token;
  if (account.key.empty() && account.sas.empty()) {
    if (!account.base_url.starts_with("https://"))   // the service refuses such a token, having read it like everybody on the way
      return Error(ErrorCode::kInvalidArgument, "azure: " + account.base_url + " is not https; tokens of identities are sent over https only");
    SKALD_TRY(token, make_azure_token(config, account.authority_host, std::move(parts.environment), parts.token_remotes, parts.clock));
  }
  return std::make_unique<AzureStore>(std::move(account), config.container_name, std::move(parts.remote), std::move(parts.token_remotes),
                                      std::move(token), parts.clock, parts.random, parts.egress_bytes);
}

Result<std::unique_ptr<ObjectStore>> open_azure_store(const config::AzureConfig& config, const RemoteContext& context) {
  SKALD_TRY(const AzureAccount account, resolve_azure_account(config));
  RemoteOptions options{.metric = "loki_azure_blob_request_duration_seconds",
                        .http = config.http,
                        .retry = config.retry,
                        .hedging = context.hedging,
                        .subject = "azure container '" + config.container_name + "' of " + account.base_url};
  SKALD_TRY(auto remote, Remote::create(options, context.registry, context.clock, context.random));
  TokenRemotes token_remotes;
  if (account.key.empty() && account.sas.empty()) {
    SKALD_TRY(token_remotes, open_token_remotes(options, "azure token service", context.registry, context.clock, context.random));
  }
  return make_azure_store(config, {.remote = std::move(remote),
                                   .token_remotes = std::move(token_remotes),
                                   .environment = process_environment(),
                                   .clock = context.clock,
                                   .random = context.random,
                                   .egress_bytes = &context.registry.counter("loki_azure_blob_egress_bytes_total", "Bytes read from Azure Blob Storage.")});
}

}  // namespace skald::objstore
